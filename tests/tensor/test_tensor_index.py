"""Indexing against NumPy, by random keys; assignment; take and its relatives; gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices
from numpy_oracle import check, sample

import chainrule as cr


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)


@given(st.data())
def test_basic_indices(data) -> None:
    shape = data.draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    key = data.draw(basic_indices(shape, allow_newaxis=True, max_dims=6))
    x = numbered(shape)
    check(cr.tensor(x)[key], x[key])


@given(st.data())
def test_integer_arrays(data) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    key = data.draw(integer_array_indices(shape))
    x = numbered(shape)
    check(cr.tensor(x)[key], x[key])
    check(cr.tensor(x)[tuple(cr.tensor(k) for k in key)], x[key])


@st.composite
def mixed_keys(draw, shape: tuple[int, ...]):
    """Slices, integers, None, integer arrays and masks in any order."""
    common = draw(array_shapes(min_dims=0, max_dims=2, max_side=3))
    key: list[object] = []
    for n in shape:
        if draw(st.booleans()) and draw(st.booleans()):
            key.append(None)
        kind = draw(st.sampled_from(["slice", "integer", "array", "array", "list"]))
        if kind == "slice":
            key.append(draw(st.slices(n)))
        elif kind == "integer":
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            key.append(draw(arrays(np.int64, common, elements=st.integers(-n, n - 1))))
        else:
            key.append([draw(st.integers(-n, n - 1))])
    return tuple(key)


@given(st.data())
def test_mixed_indices(data) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, max_side=4))
    key = data.draw(mixed_keys(shape))
    x = numbered(shape)
    check(cr.tensor(x)[key], x[key])


@given(st.data())
def test_masks(data) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    mask = data.draw(arrays(bool, shape[: data.draw(st.integers(1, len(shape)))]))
    x = numbered(shape)
    check(cr.tensor(x)[mask], x[mask])
    check(cr.tensor(x)[cr.tensor(mask)], x[mask])
    check(cr.tensor(x)[mask.tolist()], x[mask])


def test_ellipsis_lists_scalars_of_tensors() -> None:
    x = numbered((2, 3, 4))
    t = cr.tensor(x)
    check(t[..., 1], x[..., 1])
    check(t[0, ..., ::-1], x[0, ..., ::-1])
    check(t[[0, 1], :, [2, 3]], x[[0, 1], :, [2, 3]])
    check(t[:, [True, False, True]], x[:, [True, False, True]])
    check(t[cr.tensor(1)], x[1])
    check(t[np.int64(1), cr.argmax(cr.tensor([1, 5, 2]))], x[1, 1])
    check(t[[]], x[[]])
    check(t[0:0], x[0:0])


@given(st.data())
def test_assignment(data) -> None:
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    key = data.draw(st.one_of(basic_indices(shape, allow_ellipsis=True), mixed_keys(shape)))
    x = numbered(shape)
    t = cr.tensor(x)
    value = -1 - np.arange(x[key].size).reshape(x[key].shape)
    # NumPy leaves open which of several values for one position stays: give those the same value.
    if np.unique(x[key]).size < x[key].size:
        value = np.array(-7)
    t[key] = value
    x[key] = value
    check(t, x)


def test_assignment_by_mask_and_its_gradient() -> None:
    x = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    y[x > 1.5] = 0.0
    check(y.detach(), [1.0, 0.0, 0.0])
    y[0] = x[1] * 5
    y.sum().backward()
    check(x.grad, [0.0, 5.0, 0.0])


def test_assignment_changes_every_name_of_the_tensor() -> None:
    a = cr.zeros(3)
    b = a
    a[1] = 5
    a += 1
    check(b, [1.0, 6.0, 1.0])
    assert b is a


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_take(shape: tuple[int, ...], axis: int | None) -> None:
    x = sample((3, 4))
    index = np.random.default_rng(0).integers(-3, 3, shape)
    check(cr.take(x, index, axis), np.take(x, index, axis))
    check(cr.tensor(x).take(cr.tensor(index), dim=axis), np.take(x, index, axis))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take_along_axis(axis: int) -> None:
    x = sample((2, 3, 4))
    index = np.argsort(x, axis)
    check(cr.take_along_axis(x, index, axis), np.take_along_axis(x, index, axis))
    check(cr.take_along_axis(x, index - x.shape[axis], axis), np.take_along_axis(x, index, axis))


def test_pytorch_gather_and_index_select() -> None:
    x = numbered((3, 4))
    index = np.array([[0, 2], [1, 0]])
    check(cr.gather(x, 0, index), [[x[0, 0], x[2, 1]], [x[1, 0], x[0, 1]]])
    check(cr.tensor(x).gather(1, index), [[x[0, 0], x[0, 2]], [x[1, 1], x[1, 0]]])
    check(cr.tensor(x).index_select(1, [3, 0]), x[:, [3, 0]])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sorting(axis: int, descending: bool) -> None:
    x = np.random.default_rng(0).integers(0, 4, (4, 5)).astype(np.float32)
    found = cr.sort(x, axis, descending=descending)
    expected = np.sort(x, axis)
    check(found, np.flip(expected, axis) if descending else expected)
    values, order = cr.tensor(x).sort(dim=axis, descending=descending)
    check(values, found.numpy())
    check(order, np.argsort(-x if descending else x, axis, kind="stable"))


def test_topk() -> None:
    values, index = cr.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]]).topk(2)
    check(values, [[3.0, 2.0], [5.0, 4.0]])
    check(index, [[0, 2], [1, 2]])
    check(cr.topk([3.0, 1.0, 2.0], 2, largest=False).values, [1.0, 2.0])


def test_one_hot_searchsorted_index_add() -> None:
    check(cr.one_hot([1, 0, 3]), np.eye(4, dtype=int)[[1, 0, 3]])
    check(cr.one_hot([[1], [0]], 2, dtype="float32"), np.eye(2)[[[1], [0]]])
    edges, x = np.array([0.0, 1.0, 2.0]), np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, 3.0]])
    for side in ("left", "right"):
        check(cr.searchsorted(edges, x, side=side), np.searchsorted(edges, x, side=side))
    base = np.zeros((4, 2))
    np.add.at(base, [1, 1, -1], 2.0)
    check(cr.index_add(cr.zeros(4, 2, dtype="float64"), 0, [1, 1, -1], 2.0), base)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[::-1, 1:],
        lambda x: x[[0, 2, 0]],
        lambda x: x[:, None, [1, 1]],
        lambda x: x[np.array([True, False, True])],
        lambda x: x[1, ..., ::2],
        lambda x: cr.take_along_axis(x, cr.argsort(x, 1), 1),
        lambda x: cr.sort(x, axis=0),
        lambda x: cr.take(x, [0, 5, 5]),
        lambda x: cr.index_add(x, 0, [0, 0], x[1:] * 2),
        lambda x: cr.index_add(x, 1, [3, 0, 3], x[:, 1:], alpha=0.5),
        lambda x: cr.scatter_add(x, 0, [[2, 0, 2], [2, 1, 0]], x[1:] * x[:2]),
        lambda x: cr.scatter_add(x, -1, [[3, 3], [0, -1]], x),
        lambda x: cr.masked_select(x, np.array([True, False, True, True])),
        lambda x: cr.unflatten(x, 1, (2, -1)),
    ],
)
def test_gradients(f) -> None:
    cr.check_grads(lambda x: (f(x) ** 2).sum(), [sample((3, 4), "float64")], order=2)


def test_negative_indices_without_known_values_wrap() -> None:
    @cr.compile
    def last(x, i):
        return x[i]

    check(last(cr.tensor([1, 2, 3]), cr.tensor([-1, 0])), [3, 1])


def test_iteration_unpacking_and_membership() -> None:
    a, b = cr.tensor([[1, 2], [3, 4]])
    check(b, [3, 4])
    assert len(cr.zeros(3, 2)) == 3
    assert [t.item() for t in cr.arange(3)] == [0, 1, 2]
    assert 3 in cr.arange(4)
    assert 5 not in cr.arange(4)
    assert list(range(5))[cr.tensor(2)] == 2
