"""Functions and methods of PyTorch's that others are made of: values, gradients, compiled."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DTypeError, ShapeError, SlowLoopWarning
from chainrule.optim import eager

X = np.random.default_rng(0).normal(size=(4, 5))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, [0.25, 0.5]])
def test_quantiles_are_those_of_numpy(axis: Any, keepdims: bool, q: Any) -> None:
    found = cr.quantile(cr.tensor(X), q, axis, keepdims)
    expected = np.quantile(X, q, axis, keepdims=keepdims)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_medians_are_those_of_numpy_and_with_dim_of_pytorch(axis: Any) -> None:
    np.testing.assert_allclose(cr.tensor(X).median(axis).numpy(), np.median(X, axis), rtol=1e-15)
    if axis is not None:
        values, indices = cr.tensor(X).median(dim=axis)
        lower = np.sort(X, axis).take((X.shape[axis] - 1) // 2, axis)
        assert (values.numpy() == lower).all()
        taken = np.take_along_axis(X, np.expand_dims(indices.numpy(), axis), axis)
        assert (taken.squeeze(axis) == lower).all()


def test_a_quantile_of_nan_is_nan() -> None:
    assert np.isnan(cr.quantile([1.0, float("nan"), 2.0], 0.0).item())


def test_gradients_and_programs_of_the_new_functions() -> None:
    def f(x: Any) -> Any:
        spread = cr.cdist(x, x[:2] + 1).sum()
        written = cr.scatter(x, 1, [[0], [1]], x[2:, :1] * 3)
        return spread + (written * cr.addmm(x, x[:, :4], x, beta=0.5, alpha=2)).sum()

    cr.check_grads(f, (cr.tensor(X),))
    w = cr.tensor(X, requires_grad=True)
    (cr.quantile(w, 0.25, axis=1) + w.median(1)).sum().backward()
    order = X.argsort(1)
    assert all(w.grad[i, order[i, j]] == (j == 1) + (j == 2) for i in range(4) for j in range(5))
    np.testing.assert_allclose(cr.compile(f)(cr.tensor(X)).item(), f(cr.tensor(X)).item())


def test_counts_distances_and_stacks_are_those_of_numpy() -> None:
    n = np.array([3, 0, 3, 5])
    assert cr.bincount(n).tolist() == np.bincount(n).tolist()
    assert cr.bincount(n, X[0, :4], 8).tolist() == np.bincount(n, X[0, :4], 8).tolist()
    assert cr.vstack([X[0], X[1]]).tolist() == np.vstack([X[0], X[1]]).tolist()
    assert cr.hstack([X, X[:, :1]]).tolist() == np.hstack([X, X[:, :1]]).tolist()
    distances = np.sqrt(((X[:, None] - X[None, :2]) ** 2).sum(-1))
    np.testing.assert_allclose(cr.cdist(X, X[:2]).numpy(), distances, atol=1e-15)
    for asked in ({}, {"return_inverse": True}, {"return_index": True, "return_counts": True}):
        found, expected = cr.unique(n, **asked), np.unique(n, **asked)
        assert str(np.array(found, dtype=object)) == str(np.array(expected, dtype=object)) or [
            t.tolist() for t in found
        ] == [a.tolist() for a in expected]


def test_norms_are_those_of_numpy() -> None:
    for a, ord_, axis in ((X, None, None), (X, 1, None), (X, "fro", None), (X, 3, 1), (X[0], 1, 0)):
        expected = np.linalg.norm(a, ord_, axis)
        np.testing.assert_allclose(cr.linalg.norm(a, ord_, axis).numpy(), expected, rtol=1e-12)


def test_scatter_leaves_the_tensor_and_scatters_in_place() -> None:
    x, index = cr.zeros(2, 3), cr.tensor([[0, 2], [1, 1]])
    assert x.scatter(1, index, 5.0).tolist() == [[5, 0, 5], [0, 5, 0]] and not x.any()
    x.scatter_(0, cr.tensor([[1, 0, 1]]), cr.tensor([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]]))
    assert x.tolist() == [[0, 2, 0], [1, 0, 3]]


def test_factors_of_in_place_methods() -> None:
    x = cr.tensor([1.0, 2.0])
    assert x.add(x, alpha=2).tolist() == [3, 6] and x.sub(1, alpha=0.5).tolist() == [0.5, 1.5]
    x.add_(cr.ones(2), alpha=-1).addcmul_(x, x, value=2).addcdiv_(cr.ones(2), 4.0, value=2)
    assert x.tolist() == [0.5, 3.5]  # (0, 1) + 2 (0, 1)² + 2 / 4


def test_random_numbers_in_place_change_the_tensor_and_its_views() -> None:
    cr.manual_seed(0)
    x = cr.zeros(1000)
    x[:500].normal_(3.0, 0.1)
    x[500:].uniform_(-2.0, -1.0)
    assert abs(x[:500].mean().item() - 3) < 0.02 and 0.08 < x[:500].std().item() < 0.12
    assert -2 <= x[500:].min().item() < -1.95 and -1.05 < x[500:].max().item() < -1


def test_what_a_tensor_says_of_its_memory() -> None:
    x = cr.zeros(2, 3, dtype=cr.float64)
    assert (x.element_size(), x.nelement(), x.stride(), x.T.stride(0)) == (8, 6, (3, 1), 1)
    assert x.is_contiguous() and not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
    assert x.device == "cpu" and x.device.type == "cpu" and x.to(x.device) is x
    assert x.new_zeros(2).dtype == x.new_full((2,), 1).dtype == x.new_tensor([1]).dtype == cr.double
    assert cr.backends.mps.is_available() is cr.cuda.is_available() is False


def test_autograd_grad_is_backward_without_grad() -> None:
    w, v = cr.tensor([1.0, 2.0], requires_grad=True), cr.tensor(3.0, requires_grad=True)
    middle = w * v
    loss = (middle * middle).sum()
    found = cr.autograd.grad(loss, [w, middle, v], retain_graph=True)
    assert [g.tolist() for g in found if g is not None] == [[18, 36], [6, 12], 30]
    assert w.grad is None and not any(g.requires_grad for g in found if g is not None)
    assert cr.autograd.grad(loss, [cr.zeros(2, requires_grad=True)], allow_unused=True) == (None,)
    (twice,) = cr.autograd.grad([w * 2, w], w, [cr.ones(2), cr.ones(2) * 3])
    assert twice is not None and twice.tolist() == [5, 5]

    @cr.compile
    def penalty(x: Any) -> Any:
        (g,) = cr.autograd.grad((x**3).sum(), x, create_graph=True)
        return cr.autograd.grad((g * g).sum(), x)[0]

    assert penalty(cr.tensor([2.0], requires_grad=True)).tolist() == [36 * 8]


def test_a_slow_loop_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(1, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @cr.compile
    def step() -> None:
        optimizer.zero_grad()
        layer(cr.ones(1, 1)).sum().backward()
        optimizer.step()

    monkeypatch.setattr(eager, "_count", iter(range(1, 10_000)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        step.repeat(200)
        for _ in range(250):
            optimizer.step()
    assert [w.category for w in said] == [SlowLoopWarning] and said[0].filename == __file__
    assert str(said[0].message) == (
        "100 training steps have run one operation at a time, which is slow: put @cr.compile on a "
        "function that computes the loss and calls zero_grad, backward and step, or use cr.Trainer "
        "(this is said once)"
    )


def test_how_tensors_are_shown_is_a_choice() -> None:
    cr.set_printoptions(precision=1, threshold=2, edgeitems=1, sci_mode=False)
    try:
        assert repr(cr.tensor([0.12, 3.0, 5.0])) == "tensor([0.1, ..., 5. ])"
    finally:
        cr.set_printoptions(profile="default")
    assert repr(cr.tensor([0.12, 3.0])) == "tensor([0.12, 3.  ])"


# -- positions given by an index -------------------------------------------------------------------
def added_at(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray) -> np.ndarray:
    """PyTorch's definition of scatter_add, element by element."""
    found = x.copy()
    for place in np.ndindex(*index.shape):
        at = list(place)
        at[dim] = index[place]
        found[tuple(at)] += src[place]
    return found


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("compiled", [False, True])
def test_scatter_add_and_index_add_are_what_pytorch_defines(dim: int, compiled: bool) -> None:
    rng = np.random.default_rng(dim)
    x, src = rng.normal(size=(3, 4, 2)), rng.normal(size=(5, 5, 5))
    shape = tuple(5 if i == dim else n for i, n in enumerate((2, 3, 2)))
    index = rng.integers(0, x.shape[dim], shape)
    wrapped = (lambda f: cr.compile(f)) if compiled else (lambda f: f)
    found = wrapped(lambda x, i, s: x.scatter_add(dim=dim, index=i, src=s))(
        *map(cr.tensor, (x, index, src))
    )
    np.testing.assert_allclose(found.numpy(), added_at(x, dim, index, src), rtol=1e-12)
    rows = rng.integers(0, x.shape[dim], 5)
    source = rng.normal(size=tuple(5 if i == dim else n for i, n in enumerate(x.shape)))
    found = wrapped(lambda x, i, s: cr.index_add(x, dim, i, s, alpha=2))(
        *map(cr.tensor, (x, rows, source))
    )
    wide = np.broadcast_to(np.expand_dims(rows, [i for i in range(3) if i != dim]), source.shape)
    np.testing.assert_allclose(found.numpy(), added_at(x, dim, wide, 2 * source), rtol=1e-12)


def test_the_same_in_place_and_with_nothing_to_add() -> None:
    x = cr.zeros(2, 3)
    assert x.index_add_(1, cr.tensor([2, 2]), cr.ones(2, 2)) is x
    assert x.scatter_add_(1, cr.tensor([[0], [-1]]), cr.ones(2, 1)).tolist() == [
        [1, 0, 2],
        [0, 0, 3],
    ]
    assert (x.index_add(0, cr.zeros(0, dtype="int64"), cr.zeros(0, 3)) == x).all()


def test_clamp_unflatten_and_masked_select() -> None:
    x = cr.tensor(X)
    np.testing.assert_array_equal(cr.clamp(x, -0.5, max=0.5).numpy(), X.clip(-0.5, 0.5))
    np.testing.assert_array_equal(cr.clamp(x, min=cr.zeros(5)).numpy(), X.clip(0))
    assert x.unflatten(-1, (5, 1)).shape == (4, 5, 1) and x.unflatten(0, [-1, 2]).shape == (2, 2, 5)
    np.testing.assert_array_equal(x.masked_select(x > 0).numpy(), X[X > 0])
    column = np.array([[True], [False], [True], [False]])
    np.testing.assert_array_equal(x.masked_select(column).numpy(), X[::2].ravel())


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda x: x.scatter_add(0, [[0, 1, 2]], cr.ones(2, 2)),
            ShapeError,
            "scatter_add: index has length 3 in axis 1, where x has 2 and src 2; an index is no"
            " longer than src, and than x except along dim 0",
        ),
        (
            lambda x: x.scatter_add(0, [0, 1], cr.ones(2)),
            ShapeError,
            "scatter_add: x has shape (2, 2), index (2,), src (2,); equal ranks expected",
        ),
        (
            lambda x: x.index_add(1, [0, 1, 1], cr.ones(2, 2)),
            ShapeError,
            "index_add: 3 positions along axis 1 of x (2, 2) need a source of shape (2, 3), got"
            " (2, 2)",
        ),
        (
            lambda x: x.index_add(0, [2], cr.ones(1, 2)),
            IndexError,
            "index 2 is outside axis 0 of length 2",
        ),
        (
            lambda x: x.masked_select(x),
            DTypeError,
            "masked_select: the mask has bools, got float32",
        ),
        (
            lambda x: x.unflatten(1, (3, -1)),
            ShapeError,
            "unflatten: axis 1 has length 2, which is not the product of (3, -1)",
        ),
        (
            lambda x: x.index_put_((0,), 1.0),
            AttributeError,
            "a Tensor has no attribute 'index_put_'; write x[i, j] = values, on x.clone() to keep"
            " x; x.index_add(dim, index, source) adds",
        ),
    ],
)
def test_what_is_said_of_wrong_indices(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as found:
        make(cr.ones(2, 2))
    assert str(found.value).splitlines()[0] == text


def test_rounding_to_decimals() -> None:
    x = np.array([1.25, -2.567, 1234.5])
    for decimals in (0, 1, 2, -2):
        np.testing.assert_allclose(cr.round(x, decimals).numpy(), np.round(x, decimals))
    assert round(cr.tensor(x), 1).tolist() == np.round(x, 1).tolist()
    assert cr.tensor([15]).round(decimals=1).tolist() == [15]
    with pytest.raises(DTypeError, match=r"round: decimals < 0 takes floats; convert with"):
        cr.round([15], -1)
