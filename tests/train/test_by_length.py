"""Batches of sequences of similar length: the same sums, less padding, an order that can be had
again."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.train.inspect.sentinel import NonFiniteLossError
from chainrule.train.listeners.callbacks import Callback
from chainrule.train.rows.by_length import MOST_GROUPS, ByLength, group_edges

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 5, 40) ** 2
XS = [RNG.normal(size=(n, 2)).astype("f") for n in LENGTHS]
YS = [x @ np.array([[1.0], [-2.0]], "f") for x in XS]
OPTIONS: dict[str, Any] = {"batch_size": 6, "progress": False, "diagnose": False}


class Net(nn.Module):
    """An output for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 1)

    def forward(self, x: Any, lengths: Any) -> Any:
        return self.out(x)


def trainer(lr: float = 5e-2, **options: Any) -> cr.Trainer:
    cr.manual_seed(0)
    model = Net()
    adam = optim.Adam(model.parameters(), lr=lr)
    return cr.Trainer(model, nn.MSELoss(), adam, metrics=["mae"], **options)


def test_groups_have_the_least_padding() -> None:
    rng = np.random.default_rng(1)
    for batch in (2, 3, 5):
        lengths = np.sort(rng.integers(1, 9, 30))
        found = group_edges(lengths, batch)
        least = min(
            cost
            for inner in itertools.combinations(range(1, lengths[-1]), len(found) - 1)
            if (cost := steps(lengths, np.array([*inner, lengths[-1]]), batch)) is not None
        )
        assert steps(lengths, found, batch) == least


def steps(lengths: Any, edges: Any, batch: int) -> int | None:
    group = np.searchsorted(edges, lengths)
    if np.bincount(group, minlength=len(edges)).min() < batch:
        return None
    return int(edges[group].sum())


def test_there_are_few_groups_and_none_that_saves_little() -> None:
    assert len(group_edges(np.arange(1, 10_000), 8)) <= MOST_GROUPS
    assert list(group_edges(np.full(100, 7), 8)) == [7]
    assert list(group_edges(np.array([99, 100] * 50), 8)) == [100]
    assert list(group_edges(np.array([1] * 95 + [100] * 5), 8)) == [100]  # of less than a batch


@pytest.mark.parametrize("count", [36, 40])
def test_an_order_is_a_function_of_seed_and_epoch(count: int) -> None:
    order = ByLength(LENGTHS[:count], 6)
    seen = []
    for seed, epoch in [(0, 0), (0, 1), (-1, 0), (1 << 40, 0), (0, 0)]:
        order.arrange(seed, epoch)
        rows = order.rows.numpy().copy()
        assert sorted(rows) == list(range(count))
        for b, length in enumerate(order.lengths):
            assert LENGTHS[rows[6 * b : 6 * b + 6]].max() <= length
        assert len(order.lengths) == -(-count // 6)
        seen.append(rows.tolist())
    assert seen[0] == seen[4]
    assert len({tuple(s) for s in seen}) == 4


def test_every_row_is_in_batches_with_others_and_batches_are_mixed() -> None:
    order = ByLength(np.repeat([3, 9], 50), 10)
    partners, kinds = set(), set()
    for epoch in range(30):
        order.arrange(0, epoch)
        rows = order.rows.numpy().reshape(10, 10)
        partners |= set(rows[(rows == 0).any(1)][0])
        kinds.add(tuple(order.lengths))
    assert len(partners) == 50 and len(kinds) == 1  # so that epochs are one native run
    for seed in range(9):
        order.arrange(seed, 0)
        kinds.add(tuple(order.lengths))
    assert len(kinds) == 9


@pytest.mark.parametrize("accumulate", [1, 3])
def test_sums_over_an_epoch_are_what_they_are_in_any_order(accumulate: int) -> None:
    found = [
        trainer(0.0, accumulate=accumulate).fit(
            XS, YS, epochs=1, validation_data=(XS[:9], YS[:9]), group_by_length=g, **OPTIONS
        )
        for g in (False, True)
    ]
    for name in ("loss", "mae", "val_loss", "val_mae"):
        assert found[1][name][0] == pytest.approx(found[0][name][0], rel=1e-5)


def test_it_learns_with_few_programs() -> None:
    t = trainer()
    history = t.fit(XS, YS, epochs=30, group_by_length=True, **OPTIONS)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    lengths = {k for k in ByLength(LENGTHS, 6).lengths.tolist()}
    assert len(t._steps.training_traces()) == len(lengths) + 1  # and the last batch, of 4 rows
    again = trainer()
    again.fit(XS, YS, epochs=30, group_by_length=True, **OPTIONS)
    for p, q in zip(t.model.parameters(), again.model.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


class StopAt(Callback):
    every = 1

    def on_steps(self, trainer: Any, step: int, logs: Any) -> None:
        if step == 10:
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole, parts = trainer(), trainer()
    options = {**OPTIONS, "epochs": 4, "group_by_length": True}
    whole.fit(XS, YS, **options)
    with pytest.raises(KeyboardInterrupt):
        parts.fit(XS, YS, checkpoint=tmp_path, callbacks=[StopAt()], **options)
    resumed = trainer()
    resumed.fit(XS, YS, checkpoint=tmp_path, callbacks=[Callback()], **options)
    assert resumed.epoch == 4
    for p, q in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_the_row_of_a_loss_that_is_not_finite_is_named() -> None:
    ys = [y.copy() for y in YS]
    ys[17][0] = 3e38
    t = trainer(0.0)
    with pytest.raises(NonFiniteLossError, match="for row 17 of the data"):
        t.fit(XS, ys, epochs=2, group_by_length=True, **OPTIONS)


def test_what_cannot_be_grouped_is_said() -> None:
    t = trainer()
    with pytest.raises(OptionError, match="group_by_length needs x as a list of sequences, and"):
        t.fit(np.ones((4, 3, 2), "f"), np.ones((4, 3, 1), "f"), group_by_length=True, **OPTIONS)
    with pytest.raises(OptionError, match="group_by_length needs shuffle=True: it is an order"):
        t.fit(XS, YS, group_by_length=True, shuffle=False, **OPTIONS)


def test_seeds_have_an_order_each_and_refuse_groups() -> None:
    with pytest.raises(OptionError, match="leave it out with seeds"):
        cr.Trainer(Net, "mse", "adam", seeds=2).fit(XS, YS, **OPTIONS, group_by_length=True)
