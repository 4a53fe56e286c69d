"""Reductions against NumPy: axes, keepdims, dtypes, empty axes, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_oracle import NUMBERS, check, sample

import chainrule as cr

AXES = [None, 0, 1, -1, (0, 2), (0, 1, 2)]
REDUCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "amax": np.max,
    "amin": np.min,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
    "any": np.any,
    "all": np.all,
}


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str, axis: object, keepdims: bool) -> None:
    x = sample((2, 3, 4), "float64")
    expected = REDUCTIONS[name](x, axis=axis, keepdims=keepdims)
    check(getattr(cr, name)(x, axis=axis, keepdims=keepdims), expected)
    found = getattr(cr.tensor(x), name)
    if name not in ("max", "min"):
        check(found(dim=axis, keepdim=keepdims), expected)
    check(found(axis, keepdims=keepdims), expected)


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "min", "prod", "any", "all", "cumsum", "cumprod"]
)
def test_dtypes(name: str, dtype: str) -> None:
    x = sample((3, 4), dtype)
    found = getattr(cr.tensor(x), name)(axis=0)
    wanted = np.dtype(dtype)
    if name in ("sum", "prod", "cumsum", "cumprod") and wanted.kind != "f":
        wanted = np.dtype("uint64" if dtype == "uint64" else "int64")
    if name == "mean" and wanted.kind != "f":
        wanted = np.dtype("float32")
    if name in ("any", "all"):
        wanted = np.dtype("bool")
    assert found.dtype == wanted
    check(found, getattr(np, name)(x, axis=0), 1e-5)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
def test_empty(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    for axis in [None, 0, len(shape) - 1]:
        for name in ["sum", "prod", "any", "all"]:
            check(getattr(cr, name)(x, axis=axis), getattr(np, name)(x, axis=axis))
        with np.errstate(divide="ignore"):
            check(cr.logsumexp(x, axis=axis), np.log(np.sum(np.exp(x), axis=axis)))
    assert np.isnan(cr.mean(cr.zeros(0)).item())
    check(cr.cumsum(x, axis=0), np.cumsum(x, axis=0))
    check(cr.max(cr.zeros(3, 0), axis=0), np.zeros(0))


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_positions(axis: int | None, dtype: str) -> None:
    x = sample((4, 5), dtype, seed=3)
    for name in ["argmax", "argmin"]:
        found = getattr(cr.tensor(x), name)(axis)
        assert found.dtype == np.int64
        check(found, getattr(np, name)(x, axis))
        check(
            getattr(cr, name)(x, dim=axis, keepdim=True), getattr(np, name)(x, axis, keepdims=True)
        )


def test_positions_at_the_edges() -> None:
    lowest = np.array([0, np.iinfo(np.int32).min, 3], np.int32)
    assert cr.argmin(lowest).item() == 1
    assert cr.argmin(np.array([3, 0, 200], np.uint8)).item() == 1
    assert cr.argmin(np.array([1.0, np.nan, -5.0])).item() == np.argmin([1.0, np.nan, -5.0])
    assert cr.argmax([1.0, 7.0, 7.0]).item() == 1


def test_pytorch_pairs() -> None:
    x = sample((3, 4))
    values, indices = cr.tensor(x).max(dim=1)
    check(values, x.max(1))
    check(indices, x.argmax(1))
    low = cr.tensor(x).min(dim=0, keepdim=True)
    check(low.values, x.min(0, keepdims=True))
    check(low.indices, x.argmin(0)[None])


@pytest.mark.parametrize("ddof", [0, 1])
def test_degrees_of_freedom(ddof: int) -> None:
    x = sample((4, 5), "float64")
    check(cr.var(x, axis=0, ddof=ddof), x.var(0, ddof=ddof))
    check(cr.std(x, axis=0, correction=ddof), x.std(0, ddof=ddof))
    check(cr.tensor(x).std(unbiased=bool(ddof)), x.std(ddof=ddof))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9])
def test_cumulative(n: int) -> None:
    x = sample((2, n), "float64")
    for name in ["cumsum", "cumprod"]:
        check(getattr(cr, name)(x, axis=1), getattr(np, name)(x, axis=1))
        check(getattr(cr, name)(x, dim=0), getattr(np, name)(x, axis=0))
        check(getattr(cr, name)(x), getattr(np, name)(x))


def test_cumsum_keeps_infinities_apart() -> None:
    x = np.array([1.0, np.inf, 2.0])
    check(cr.cumsum(x), np.cumsum(x))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_exponentials(axis: object) -> None:
    x = sample((3, 4), "float64")
    e = np.exp(x)
    total = e.sum(axis=axis, keepdims=True)
    check(cr.softmax(x, axis), e / total)
    check(cr.log_softmax(x, axis), np.log(e / total))
    check(cr.logsumexp(x, axis, keepdims=True), np.log(total))
    check(cr.tensor(x).logsumexp(dim=axis), np.log(e.sum(axis=axis)))


def test_exponentials_do_not_overflow() -> None:
    x = np.array([[1e4, 1e4, -1e4], [-np.inf, -np.inf, -np.inf], [np.inf, 0.0, 0.0]])
    check(cr.logsumexp(x, axis=1), [1e4 + np.log(2), -np.inf, np.inf])
    check(cr.softmax(x[0]), [0.5, 0.5, 0.0])
    check(cr.log_softmax([0.0, -1e4]), [0.0, -1e4])


@pytest.mark.parametrize("ord_", [1, 2, 3, 0.5, np.inf])
def test_norm(ord_: float) -> None:
    x = sample((3, 4), "float64")
    check(cr.norm(x, ord_, axis=1), np.linalg.norm(x, ord_, axis=1))
    check(cr.tensor(x).norm(p=ord_, dim=0), np.linalg.norm(x, ord_, axis=0))


def test_count_nonzero() -> None:
    x = sample((3, 4), "int32")
    check(cr.count_nonzero(x), np.count_nonzero(x))
    check(cr.count_nonzero(x, axis=0), np.count_nonzero(x, axis=0))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sum(0).square().sum(),
        lambda x: x.mean(1).square().sum(),
        lambda x: x.var(0).sum(),
        lambda x: x.std(1).sum(),
        lambda x: x.prod(),
        lambda x: x.prod(1).sum(),
        lambda x: x.logsumexp(0).sum(),
        lambda x: (x.softmax(-1) * x).sum(),
        lambda x: (x.log_softmax(0) * x).sum(),
        lambda x: x.norm(),
        lambda x: (x.cumsum(1) * x).sum(),
        lambda x: x.cumprod(1).sum(),
        lambda x: x.max(axis=1).square().sum(),
        lambda x: x.norm(3, axis=0).sum(),
    ],
)
def test_gradients(f) -> None:
    cr.check_grads(f, [sample((3, 4), "float64", seed=5)], order=2)


def test_gradient_of_a_product_with_a_zero() -> None:
    check(cr.grad(cr.prod)(cr.tensor([2.0, 0.0, 3.0])), [0.0, 6.0, 0.0])
