"""Indices outside their axis: an error in eager, compiled, vmapped and interpreted code alike, and
negative ones count from the end in all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import DataError, OutOfRangeError

X = cr.arange(5.0)
M = cr.arange(20.0).reshape(4, 5)

LOOKUPS: dict[str, Callable[[Any], Any]] = {
    "x[i]": lambda i: X[i],
    "x[:, i]": lambda i: M[:, i],
    "take": lambda i: cr.take(X, i),
    "index_select": lambda i: cr.index_select(M, 1, i),
    "take_along_axis": lambda i: cr.take_along_axis(X, i, 0),
    "gather": lambda i: cr.gather(X, 0, i),
    "scatter_add": lambda i: cr.index_add(X, 0, i, cr.ones(3)),
    "gradient": lambda i: cr.grad(lambda x: (x[i] ** 2).sum())(X),
}
WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "eager": lambda f, i: f(i),
    "compiled": lambda f, i: cr.compile(f)(i),
    "vmapped": lambda f, i: cr.vmap(f)(i.reshape(1, -1))[0],
    "compiled vmap": lambda f, i: cr.compile(cr.vmap(f))(i.reshape(1, -1))[0],
}


@pytest.fixture(params=["interpreter", "cpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CHAINRULE_BACKEND", request.param)
    return str(request.param)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("wrong", [5, -6, 2**32 + 1])
def test_an_index_outside_is_refused_whatever_runs_the_code(
    way: str, name: str, wrong: int, backend: str
) -> None:
    with pytest.raises(OutOfRangeError, match=rf"index {wrong} is outside axis \d of length 5"):
        WAYS[way](LOOKUPS[name], cr.tensor([0, wrong, 1]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOOKUPS)
def test_negative_indices_count_from_the_end_whatever_runs_the_code(
    way: str, name: str, backend: str
) -> None:
    found = WAYS[way](LOOKUPS[name], cr.tensor([-1, 2, -5]))
    assert np.array_equal(found.numpy(), LOOKUPS[name](cr.tensor([4, 2, 0])).numpy())


def test_the_error_is_an_index_error_and_names_the_users_line() -> None:
    f = cr.compile(lambda i: X[i * 2])
    with pytest.raises(IndexError) as caught:
        f(cr.tensor([0, 3]))
    assert isinstance(caught.value, DataError)
    assert re.sub(r"\w+\.py:\d+", "file:line", str(caught.value)) == (
        "index 6 is outside axis 0 of length 5\n"
        "    at file:line: `f = cr.compile(lambda i: X[i * 2])`\n"
        "    found when compiled <lambda> had run"
    )
    assert f(cr.tensor([0, 2])).tolist() == [0.0, 4.0], "the next call starts afresh"


def test_one_wrong_step_among_many_is_found() -> None:
    count, total = cr.zeros((), dtype="int64"), cr.zeros(())

    @cr.compile
    def step() -> None:
        total.assign(total + X[cr.where(count == 3, 9, 0)])
        count.assign(count + 1)

    with pytest.raises(OutOfRangeError) as caught:
        step.repeat(10)
    assert str(caught.value).endswith(
        "found when compiled step had run: the tensors it updates were updated with the nearest row"
        " instead"
    )
    step.repeat(10)


def test_classes_of_one_hot_and_offsets_of_bags_are_checked() -> None:
    with pytest.raises(OutOfRangeError, match="one_hot: class 3 is outside 0 … 2"):
        cr.compile(lambda i: cr.one_hot(i, 3))(cr.tensor([0, 3]))
    bag = cr.compile(lambda i, o: nn.functional.embedding_bag(i, cr.ones(3, 2), o))
    with pytest.raises(OutOfRangeError, match="offset 3 is not among the 2 indices"):
        bag(cr.tensor([0, 1]), cr.tensor([0, 3]))
    with pytest.raises(OutOfRangeError, match="index 3 is outside the table of 3 rows"):
        bag(cr.tensor([0, 3]), cr.tensor([0, 1]))


LOG = nn.functional.log_softmax(cr.rand(5, 2, 9), -1)
LABELS = cr.tensor([[1, 2], [3, 4]])
COUNTS: dict[str, tuple[Callable[[Any], Any], list[int], str]] = {
    "lengths of sequences": (
        lambda i: nn.GRU(2, 3)(cr.ones(4, 2, 2), lengths=i)[0],
        [4, 0],
        "length 0 of a sequence is not in 1 … 4, the steps",
    ),
    "lengths above": (
        lambda i: nn.LSTM(2, 3)(cr.ones(4, 2, 2), lengths=i)[0],
        [1, 5],
        "length 5 of a sequence is not in 1 … 4, the steps",
    ),
    "steps of ctc_loss": (
        lambda i: nn.functional.ctc_loss(LOG, LABELS, i, cr.tensor([2, 1])),
        [5, 6],
        "6 in input_lengths is not in 0 … 5, the steps of log_probs",
    ),
    "labels of ctc_loss": (
        lambda i: nn.functional.ctc_loss(LOG, LABELS, cr.tensor([5, 5]), i),
        [2, 3],
        "3 in target_lengths is not in 0 … 2, the labels of the padded targets",
    ),
    "positions of max_unpool": (
        lambda i: nn.functional.max_unpool1d(cr.ones(1, 1, 2), i.reshape(1, 1, 2), 2),
        [3, 4],
        r"index 4 is outside of an output \(4,\): 0 … 3",
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_lengths_and_positions_of_layers_are_checked(name: str) -> None:
    f, wrong, message = COUNTS[name]
    right = cr.tensor([wrong[0], wrong[0]])
    np.testing.assert_allclose(cr.compile(f)(right).shape, f(right).shape)
    for way in ("compiled", "vmapped", "compiled vmap"):
        with pytest.raises(OutOfRangeError, match=message):
            WAYS[way](f, cr.tensor(wrong))
    with pytest.raises((DataError, OutOfRangeError)):
        f(cr.tensor(wrong))


def test_the_layer_is_named() -> None:
    table = nn.Embedding(4, 2)
    with pytest.raises(OutOfRangeError, match=r"\n    in Embedding\(4, 2\) `.*` \(test_ranges"):
        cr.compile(nn.Sequential(table))(cr.tensor([1, 4]))
    with pytest.raises(OutOfRangeError, match="table of 4 rows"):
        cr.vmap(table)(cr.tensor([[1], [-1]]))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[cr.argmax(x)],
        lambda x: x[(x * 3).long() % 5],
        lambda x: x[cr.clip(x.long(), -5, 4)],
        lambda x: x[(x > 2).long()],
        lambda x: cr.flip(x)[cr.arange(5)],
    ],
)
def test_what_cannot_be_outside_costs_no_check(f: Callable[[Any], Any]) -> None:
    assert not cr.compile(f).program(X).extremes.checks


def test_an_index_that_differs_between_examples_is_kept_apart() -> None:
    """So that a vmapped step stays one program of independent replicas."""
    f = cr.compile(cr.vmap(lambda x, i: x[i]))
    trace = f.program(M, cr.tensor([0, 1, 2, 3]))
    assert [n.shape for n in trace.extremes.state] == [(4,), (4,)]
    assert f(M, cr.tensor([0, -1, 2, 3])).tolist() == [0.0, 9.0, 12.0, 18.0]
    with pytest.raises(OutOfRangeError, match="index -6 is outside axis 0 of length 5"):
        f(M, cr.tensor([0, 1, -6, 3]))


@pytest.mark.parametrize("index", [7, [0, -6], np.array([5])])
def test_an_assignment_outside_is_refused(index: Any) -> None:
    x = cr.zeros(5)
    with pytest.raises(OutOfRangeError, match="is outside axis 0 of length 5"):
        x[index] = 1.0
    assert x.tolist() == [0.0] * 5


def test_a_rule_of_the_users_is_checked_under_vmap_too() -> None:
    @cr.custom_vjp
    def pick(x: Any, i: Any) -> Any:
        return x[i.long()]

    pick.defvjp(
        lambda x, i: (x[i.long()], (x, i)),
        lambda kept, g: (cr.index_add(kept[0] * 0, 0, kept[1].long(), g), None),
    )
    gradient = cr.compile(cr.vmap(cr.grad(lambda x, i: pick(x, i).sum()), (None, 0)))
    assert gradient(X, cr.tensor([[1.0, 2.0]])).tolist() == [[0, 1, 1, 0, 0]]
    with pytest.raises(OutOfRangeError, match="index 9 is outside axis 0 of length 5"):
        gradient(X, cr.tensor([[1.0, 9.0]]))


def test_a_padding_row_that_small_indices_cannot_name_is_none() -> None:
    table = nn.Embedding(300, 2, padding_idx=299)
    index = cr.tensor(np.array([0, 255], np.uint8))
    for f in (table, cr.compile(table)):
        assert np.array_equal(f(index).numpy(), table.weight.numpy()[[0, 255]])


@pytest.mark.parametrize("far", [2**63, 2**64 - 1])
def test_unsigned_indices_past_all_signed_ones(far: int) -> None:
    """They are not the negative numbers of the same bits, which count from the end."""
    x, i = cr.tensor([1.0, 2.0, 3.0]), cr.tensor(np.array([far], np.uint64))
    for function in (lambda a, j: a[j], lambda a, j: cr.take(a, j + 0)):
        with pytest.raises(OutOfRangeError, match="is outside axis 0 of length 3"):
            cr.compile(function)(x, i)
