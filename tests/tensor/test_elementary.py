"""Every elementary function over its whole range, eager and compiled, against wider numbers: values
within 4 units in the last place, gradients finite (and right) wherever the true ones are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 60, reason="needs a long double wider than double as oracle"
)
Wide = np.longdouble
LN2 = np.log(Wide(2))
MOST_ULP = 4.0
COUNT = 1500  # of each kind of argument


class Function(NamedTuple):
    """A function by its public name, what it is in wide numbers, and its derivative there."""

    exact: Callable[..., Any]
    slope: Callable[..., Any]


def sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def erf(x: Any) -> Any:
    return np.array([math.erf(v) for v in x], Wide)


def root(x: Any) -> Any:
    """√(1 - x²)"""
    return np.sqrt((1 - x) * (1 + x))


UNARY: dict[str, Function] = {
    "exp": Function(np.exp, np.exp),
    "exp2": Function(np.exp2, lambda x: np.exp2(x) * LN2),
    "expm1": Function(np.expm1, np.exp),
    "log": Function(np.log, lambda x: 1 / x),
    "log1p": Function(np.log1p, lambda x: 1 / (1 + x)),
    "log2": Function(np.log2, lambda x: 1 / (x * LN2)),
    "log10": Function(np.log10, lambda x: 1 / (x * np.log(Wide(10)))),
    "sqrt": Function(np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "rsqrt": Function(lambda x: 1 / np.sqrt(x), lambda x: -0.5 / (x * np.sqrt(x))),
    "reciprocal": Function(lambda x: 1 / x, lambda x: -1 / (x * x)),
    "square": Function(np.square, lambda x: 2 * x),
    "sin": Function(np.sin, np.cos),
    "cos": Function(np.cos, lambda x: -np.sin(x)),
    "tan": Function(np.tan, lambda x: 1 / np.cos(x) ** 2),
    "asin": Function(np.arcsin, lambda x: 1 / root(x)),
    "acos": Function(np.arccos, lambda x: -1 / root(x)),
    "atan": Function(np.arctan, lambda x: 1 / (1 + x * x)),
    "sinh": Function(np.sinh, np.cosh),
    "cosh": Function(np.cosh, np.sinh),
    "tanh": Function(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "asinh": Function(np.arcsinh, lambda x: 1 / np.sqrt(1 + x * x)),
    "acosh": Function(np.arccosh, lambda x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1))),
    "atanh": Function(np.arctanh, lambda x: 1 / ((1 - x) * (1 + x))),
    "sigmoid": Function(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "softplus": Function(lambda x: np.logaddexp(Wide(0), x), sigmoid),
    "erf": Function(erf, lambda x: 2 / np.sqrt(4 * np.arctan(Wide(1))) * np.exp(-x * x)),
}

BINARY: dict[str, Function] = {
    "logaddexp": Function(np.logaddexp, lambda a, b: (sigmoid(a - b), sigmoid(b - a))),
    "hypot": Function(np.hypot, lambda a, b: (a / np.hypot(a, b), b / np.hypot(a, b))),
    "atan2": Function(
        np.arctan2,
        lambda a, b: (b / np.hypot(a, b) / np.hypot(a, b), -a / np.hypot(a, b) / np.hypot(a, b)),
    ),
    "power": Function(np.power, lambda a, b: (b * np.power(a, b - 1), np.power(a, b) * np.log(a))),
}


def arguments(dtype: str, seed: int = 0) -> np.ndarray:
    """All magnitudes, ordinary numbers, neighbours of 0 and 1, and the special ones."""
    rng = np.random.default_rng(seed)
    bits = np.uint32 if dtype == "float32" else np.uint64
    end = 110.0 if dtype == "float32" else 750.0
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, math.inf, -math.inf, math.nan, info.max, -info.max]
    special += [info.smallest_normal, info.smallest_subnormal, -info.smallest_subnormal]
    ordinary = [
        rng.uniform(-end, end, COUNT),
        rng.normal(0, 2, COUNT),
        rng.uniform(-1, 1, COUNT),
        1 + rng.normal(0, 1e-3, COUNT),
        rng.choice([-1, 1], COUNT) * np.exp(rng.uniform(-60, 3, COUNT)),
        np.linspace(88.5, 89.6, 200) if dtype == "float32" else np.linspace(709.5, 710.6, 200),
        -np.linspace(88.5, 89.6, 200) if dtype == "float32" else -np.linspace(709.5, 710.6, 200),
        special,
    ]
    patterns = rng.integers(0, np.iinfo(bits).max, COUNT, dtype=bits).view(dtype)
    return np.concatenate([patterns, *(o.astype(dtype) for o in map(np.asarray, ordinary))])


def errors(got: np.ndarray, true: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Distances in units in the last place of ``size``; what rounds to the true result has none."""
    info = np.finfo(got.dtype)
    rounded = true.astype(got.dtype)
    binade = np.floor(np.log2(np.abs(size)))
    binade = np.clip(np.where(np.isfinite(binade), binade, 0), info.minexp, info.maxexp)
    distance = np.abs(got.astype(Wide) - true) / np.exp2(binade - info.nmant)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, np.where(np.isnan(distance), np.inf, distance)).astype(float)


def assert_within(what: str, got: np.ndarray, true: np.ndarray, at: Any, most: float) -> None:
    size = true
    if "logaddexp" in what:  # a sum of two numbers that may cancel: relative to the larger one
        size = np.maximum(np.abs(true), np.abs(np.maximum(*at)))
    error = errors(got, true, size)
    worst = int(error.argmax())
    where = ", ".join(repr(x[worst]) for x in at)
    assert error[worst] <= most, (
        f"{what} at {where} is {got[worst]!r}, {error[worst]:.2f} ulp from {true[worst]!r}"
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_values_and_gradients_over_the_whole_range(name: str, dtype: str) -> None:
    f = getattr(cr, name)
    function = UNARY.get(name) or BINARY[name]
    at = [arguments(dtype)]
    if name in BINARY:
        rng = np.random.default_rng(9)
        at.append(rng.permutation(at[0]))
        at[1][::3] = at[0][::3]
    if name == "power":  # beyond, the result is 0 or inf; 0 and negative bases are tested apart
        at = [np.abs(at[0]), np.clip(at[1], -50, 50)]
        at[0][~(at[0] > 0)] = 1.5
        at[1][np.abs(at[1]) < 0.1] = 0
    wide = [x.astype(Wide) for x in at]
    values = function.exact(*wide)
    slopes = function.slope(*wide)
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)

    def both(*xs: Any) -> tuple[Any, Any]:
        argnums = tuple(range(len(xs)))
        return f(*xs), cr.grad(lambda *xs: f(*xs).sum(), argnums)(*xs)

    tensors = [cr.tensor(x) for x in at]
    for mode, run in (("eager", both), ("compiled", cr.compile(both))):
        value, gradients = run(*tensors)
        # the oracle of erf is rounded to float64
        most = MOST_ULP + (name == "erf" and dtype == "float64")
        assert_within(f"{mode} {name}", value.numpy(), values, at, most)
        for i, (gradient, slope) in enumerate(zip(gradients, slopes, strict=True)):
            got = gradient.numpy()
            # where f itself is finite: NaN and inf have no neighbours to compare with
            known = np.isfinite((8 * slope).astype(dtype)) & np.isfinite(values.astype(dtype))
            wrong = known & ~np.isfinite(got)
            assert not wrong.any(), (
                f"{mode} gradient {i} of {name} at {[x[wrong][0] for x in at]} is {got[wrong][0]},"
                f" not {slope[wrong][0]}"
            )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logarithms_of_powers_are_exact(dtype: str) -> None:
    twos = np.arange(-149, 128) if dtype == "float32" else np.arange(-1074, 1024)
    tens = np.arange(0, 11 if dtype == "float32" else 23)
    x = np.exp2(twos.astype(Wide)).astype(dtype)
    y = np.array([10 ** int(k) for k in tens]).astype(dtype)
    for run in (lambda f: f, cr.compile):
        assert (run(lambda t: cr.log2(t))(cr.tensor(x)).numpy() == twos).all()
        assert (run(lambda t: cr.log10(t))(cr.tensor(y)).numpy() == tens).all()
        assert (run(lambda t: cr.exp2(t))(cr.tensor(twos.astype(dtype))).numpy() == x).all()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["trunc", "ceil", "floor", "round", "sinh", "asinh", "atanh"])
def test_zeros_keep_their_sign(name: str, compiled: bool) -> None:
    x = np.array([0.0, -0.0, 0.3, -0.3, 0.5, -0.5, 1.5, -1.5, 2.5], np.float32)
    numpys = {"round": np.rint, "asinh": np.arcsinh, "atanh": np.arctanh}
    with np.errstate(invalid="ignore"):
        want = numpys.get(name, getattr(np, name, None))(x)
    f = getattr(cr, name)
    got = (cr.compile(lambda t: f(t)) if compiled else f)(cr.tensor(x)).numpy()
    known = ~np.isnan(want)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


SIGNED = [0.0, -0.0, 1.0, -1.0, 0.5, -3.0, math.inf, -math.inf]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["atan2", "hypot", "copysign", "nextafter"])
def test_functions_of_two_numbers_at_special_values(name: str, dtype: str) -> None:
    info = np.finfo(dtype)
    values = [*SIGNED, info.max, -info.max, info.smallest_normal, 2 * info.smallest_normal, 3.0]
    values += [info.smallest_subnormal, -info.smallest_subnormal, 1e-30, -1e-30, 1e30, math.nan]
    grid = np.meshgrid(np.array(values, dtype), np.array(values, dtype))
    a, b = (m.ravel() for m in grid)
    want = getattr(np, "arctan2" if name == "atan2" else name)(a, b)
    f = getattr(cr, name)
    most = 0 if name in ("copysign", "nextafter") else 2e-7 if dtype == "float32" else 4e-16
    for run in (f, cr.compile(lambda x, y: f(x, y))):
        got = run(cr.tensor(a), cr.tensor(b)).numpy()
        np.testing.assert_allclose(got, want, rtol=most, atol=0)
        number = ~np.isnan(want) & ~np.isnan(a) & ~np.isnan(b)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def test_the_sign_of_a_number() -> None:
    x = np.array([1.0, -1.0, 0.0, -0.0, math.inf, -math.inf, math.nan])
    np.testing.assert_array_equal(cr.signbit(cr.tensor(x)).numpy(), np.signbit(x))
    assert cr.signbit([1, -1]).tolist() == [False, True]
