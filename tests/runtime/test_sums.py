"""Long sums: the error does not grow with their length, eager and compiled, whatever is summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F  # noqa: N812

N = 2**20
TENTH = np.float32(0.1)  # its sums are rounded the same way for a long time: what hurts most


SUMS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "sum": (lambda x: x.sum(), N),
    "mean": (lambda x: x.mean(), 1),
    "first axis": (lambda x: x.reshape(-1, 4).sum(0), N / 4),
    "first of many columns": (lambda x: x.reshape(-1, 512).sum(0), N / 512),
    "rows": (lambda x: x.reshape(16, -1).sum(1), N / 16),
    "outer axes": (lambda x: x.reshape(-1, 4, 64).sum((0, 2)), N / 4),
    "of a chain": (lambda x: (x * 2 + x).sum(), 3 * N),
    "dot": (lambda x: cr.dot(x, cr.ones(N)), N),
    "a few rows times a vector": (lambda x: x.reshape(4, -1) @ cr.ones(N // 4), N / 4),
    "matrices": (lambda x: x.reshape(8, -1) @ cr.ones(N // 8, 8), N / 8),
    "a wide product": (lambda x: x.reshape(-1, 96).T @ cr.ones(N // 96, 96), N // 96),
    "a loss": (lambda x: F.l1_loss(x, cr.zeros(N)), 1),
}


def numbers(name: str) -> Any:
    return cr.tensor(np.full(N // 96 * 96 if "wide" in name else N, TENTH))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_a_million_equal_numbers(name: str, compiled: bool) -> None:
    f, count = SUMS[name]
    got = (cr.compile(lambda x: f(x)) if compiled else f)(numbers(name)).numpy()
    np.testing.assert_allclose(got.astype(float), count * float(TENTH), rtol=1.1e-6)


@pytest.mark.parametrize("shape", [(5000,), (300, 7), (67, 129), (1031, 3), (3, 1000), (2, 65, 33)])
def test_sums_of_any_shape_are_compared_with_exact_ones(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(1, 1, shape)
    weight = rng.normal(size=(shape[0], 5))

    def every(t: Any, w: Any) -> list[Any]:
        flat = t.reshape(shape[0], -1)
        return [t.sum(), t.sum(0), t.sum(-1), (t * t).mean(0), flat.T @ w, w.T @ flat]

    flat = x.reshape(shape[0], -1)
    want = [x.sum(), x.sum(0), x.sum(-1), (x * x).mean(0), flat.T @ weight, weight.T @ flat]
    for run in (every, cr.compile(every)):
        for got, exact in zip(run(cr.tensor(x), cr.tensor(weight)), want, strict=True):
            np.testing.assert_allclose(got.numpy(), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_an_infinity_in_a_long_sum_stays_one(special: float) -> None:
    x = np.ones(100_000, np.float32)
    x[[70, 99_990]] = special
    f = cr.compile(lambda t: (t.sum(), t.reshape(-1, 4).sum(0), cr.dot(t, cr.ones(100_000))))
    g = cr.compile(lambda t: t.reshape(4, -1) @ cr.ones(25_000, 4))
    total, columns, dot = (t.numpy() for t in f(cr.tensor(x)))
    np.testing.assert_array_equal([total, dot], special)
    np.testing.assert_array_equal(columns, [25_000, 25_000, special, 25_000])
    assert np.array_equal(g(cr.tensor(x)).numpy()[:, 0], [special, 25_000, 25_000, special], True)


def test_integers_wrap_in_long_products() -> None:
    a, b = np.full((2, 5000), 2**62 + 1), np.full((5000, 2), 3)
    with np.errstate(over="ignore"):
        want = a @ b
    for run in (lambda x, y: x @ y, cr.compile(lambda x, y: x @ y)):
        np.testing.assert_array_equal(run(cr.tensor(a), cr.tensor(b)).numpy(), want)


def test_no_bit_depends_on_when_an_operand_was_computed() -> None:
    """Read or not, stored or a view: the sums and products are the same."""
    rng = np.random.default_rng(0)
    x = cr.tensor(rng.normal(size=(40, 50)).astype(np.float32))
    y = cr.tensor(rng.normal(size=(40, 50)).astype(np.float32))
    makers: list[Callable[[], Any]] = [
        lambda: cr.ones(40, 50),
        lambda: y.T.reshape(50, 40).T,
        lambda: cr.flip(y, 0),
        lambda: y[:, ::1] * 1,
        lambda: cr.broadcast_to(y[:1], (40, 50)),
    ]
    uses: list[Callable[[Any], Any]] = [
        lambda z: x.T @ z,
        lambda z: cr.dot(x[0], z[0]),
        lambda z: z.sum(0),
        lambda z: z.sum(),
        lambda z: cr.power(cr.abs(z), 1.37),
        lambda z: cr.power(cr.abs(z), cr.abs(x)),
        lambda z: cr.exp(z) + cr.sin(z) + cr.tanh(z) + cr.log(cr.abs(z)) + cr.erf(z),
        lambda z: z.softmax(0),
        lambda z: z.var(0),
        lambda z: cr.einsum("ij,kj->ik", x, z),
    ]
    for make in makers:
        for use in uses:
            fresh, read = make(), make()
            read.numpy()
            assert use(fresh).numpy().tobytes() == use(read).numpy().tobytes()
