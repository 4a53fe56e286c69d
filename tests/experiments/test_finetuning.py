"""Pre-training and fine-tuning: the tasks are what they say, and reading helps."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError
from chainrule.experiments import few_labels, finetuning
from chainrule.experiments.base import Lab

RNG = np.random.default_rng(0)


def small(count: int = 60) -> few_labels.Task:
    """Words that repeat a syllable, of two classes."""
    kinds = [["".join(RNG.permutation(list("aab"))) * 3 for _ in range(count)],
             ["".join(RNG.permutation(list("abb"))) * 3 for _ in range(count)]]  # fmt: skip
    text = "\n".join(w for pair in zip(*kinds, strict=True) for w in pair)
    return few_labels.task("small", text, kinds, [k[:20] for k in kinds])


def test_trigrams_are_those_of_the_formula() -> None:
    what = few_labels.task("t", "abc", [["abc", "abb"], ["bca"]], [["abc"], ["bca"]])
    rows = np.arange(3)
    for c, row in enumerate(what.x_test):
        likely = []
        for k in range(2):
            own = what.x[what.y == k]
            count = sum((r[:2] == row[:2]).all() for r in own)
            both = sum((r == row).all() for r in own)
            likely.append((both + 0.1) / (count + 0.1 * len(what.corpus.vocabulary)))
        assert np.argmax(likely) == c
    assert few_labels.trigrams(what, rows) == 1.0


def test_a_net_that_has_read_starts_from_it_and_learns() -> None:
    plan = finetuning.Plan(16, 1, 60, 60, length=16)
    what, lab = small(), Lab()
    cr.manual_seed(0)
    start, loss = finetuning.read(lab, plan, what)
    assert loss < np.log(len(what.corpus.vocabulary))
    before = {k: v.numpy().copy() for k, v in start.state_dict().items()}
    found = finetuning.tune(lab, plan, what, start, np.arange(0, 120, 2), 0)
    assert found > 0.8
    assert found == finetuning.tune(lab, plan, what, start, np.arange(0, 120, 2), 0)
    for k, v in start.state_dict().items():  # what was read is not changed
        np.testing.assert_array_equal(v.numpy(), before[k])


def test_the_tasks_hold_what_they_say() -> None:
    try:
        what = few_labels.languages(np.random.default_rng(0))
        words = few_labels.names_or_words(np.random.default_rng(0))
    except DataError as error:
        pytest.skip(str(error).splitlines()[0])
    assert what.x.shape == (6000, 12) and what.classes == 3 and words.classes == 2
    assert np.bincount(what.y_test).tolist() == [333] * 3
    assert np.bincount(words.y).tolist() == [2000, 2000] and len(words.y_test) == 1000
    tested = {words.corpus.decode(row) for row in words.x_test}
    assert not tested & {words.corpus.decode(row) for row in words.x}
