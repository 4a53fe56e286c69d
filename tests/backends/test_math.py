"""The elementary functions: error in ulp over the whole range, special values, every instruction
set."""

from __future__ import annotations

import itertools
import math
import platform
import re

import numpy as np
import pytest
from math_harness import ARITY, Kernel, ulp_errors

from chainrule.backends.cpu.machine.compiler import assembly
from chainrule.backends.cpu.machine.target import host, preset, runs_here
from chainrule.backends.llvm import elementary as vector_math

ON_X86 = platform.machine() in ("x86_64", "AMD64")
TARGETS = ["host", *(t for t in ("avx2", "sse2") if ON_X86 and runs_here(preset(t)))]
WIDE = np.finfo(np.longdouble).nmant > 60

# Largest errors allowed, in ulp: a little above what every float32 of the binades that matter, or
# a million random float64, showed with and without fused multiply-add.
BOUNDS = {
    "float32": {
        "exp": 1.9,
        "log": 0.95,
        "log2": 2.1,
        "log10": 0.51,
        "log1p": 1.5,
        "expm1": 1.9,
        "tanh": 3.6,
        "sigmoid": 3.75,
        "sin": 2.4,
        "cos": 2.5,
        "erf": 1.7,
        "atan": 2.3,
        "pow": 0.51,
    },
    "float64": {
        "exp": 1.9,
        "log": 0.9,
        "log2": 2.1,
        "log10": 0.51,
        "log1p": 1.5,
        "expm1": 2.2,
        "tanh": 2.8,
        "sigmoid": 3.4,
        "sin": 2.5,
        "cos": 2.8,
        "erf": 1.6,
        "atan": 2.3,
        "pow": 2.6,
    },
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


REFERENCE = {
    name: getattr(np, name) for name in ("exp", "log", "log1p", "expm1", "tanh", "sin", "cos")
}
REFERENCE |= {"log2": np.log2, "log10": np.log10, "atan": np.arctan}
REFERENCE["sigmoid"] = sigmoid
REFERENCE["erf"] = np.vectorize(math.erf, otypes=[np.float64])


def exact(name: str, wide: type, *narrow: np.ndarray) -> np.ndarray:
    """The function in wider numbers, NaN and inf where they belong without warnings."""
    with np.errstate(all="ignore"):
        operands = [x.astype(wide) for x in narrow]
        if name == "pow":
            return np.power(*operands)
        return REFERENCE[name](*operands)


def kernels(name: str, dtype: str) -> dict[str, Kernel]:
    lanes = {"host": host().lanes(dtype), "avx2": 32 // np.dtype(dtype).itemsize, "sse2": 2}
    return {target: Kernel(name, dtype, lanes[target], target) for target in TARGETS}


def assert_accurate(name: str, dtype: str, operands: tuple[np.ndarray, ...], wide: type) -> None:
    results = {target: kernel(*operands) for target, kernel in kernels(name, dtype).items()}
    truth = exact(name, wide, *operands)
    for target, got in results.items():
        error = ulp_errors(got, truth)
        at = int(error.argmax())
        where = f"{name}({', '.join(repr(x[at]) for x in operands)}) = {got[at]!r} on {target}"
        assert error[at] <= BOUNDS[dtype][name], f"{where}: {error[at]:.2f} ulp from {truth[at]!r}"
    if "avx2" in results:  # the same operations, so the same bits
        assert results["avx2"].tobytes() == results["host"].tobytes()


@pytest.mark.parametrize("name", vector_math.UNARY)
def test_float32_over_all_bit_patterns(name: str) -> None:
    stride = 16411 if name == "erf" else 2053  # the reference of erf is slow
    patterns = np.arange(0, 2**32, stride, dtype=np.uint64).astype(np.uint32)
    x = patterns[: len(patterns) // 16 * 16].view(np.float32)
    assert_accurate(name, "float32", (x,), np.float64)


@pytest.mark.parametrize("name", vector_math.UNARY)
def test_float32_where_results_are_ordinary(name: str) -> None:
    rng = np.random.default_rng(1)
    count = 1 << (15 if name == "erf" else 19)
    x = np.concatenate([rng.normal(0, 3, count), rng.uniform(-110, 110, count)]).astype(np.float32)
    assert_accurate(name, "float32", (x,), np.float64)


SPECIAL = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    -1e-3,
    5e-324,
    -5e-324,
    1e-310,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    709.78,
    709.79,
    -708.4,
    -745.13,
    -745.14,
    5.9,
    6.0,
    6.1,
    1e22,
    1e300,
    6381956970095103 * 2.0**797,
]


@pytest.mark.skipif(not WIDE, reason="needs a long double wider than double as reference")
@pytest.mark.parametrize("name", vector_math.UNARY)
def test_float64(name: str) -> None:
    rng = np.random.default_rng(2)
    count = 1 << (12 if name == "erf" else 16)
    x = np.concatenate(
        [
            rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64),
            rng.uniform(-750, 750, count),
            rng.uniform(-2, 2, count),
            rng.normal(0, 5, count),
            np.exp(rng.uniform(-40, 40, count)),
            -np.exp(rng.uniform(-40, 0, count)),
            np.resize(SPECIAL, 32),
        ]
    )
    assert_accurate(name, "float64", (x,), np.longdouble)


@pytest.mark.skipif(not WIDE, reason="needs a long double wider than double as reference")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pow(dtype: str) -> None:
    rng = np.random.default_rng(3)
    count = 1 << 16
    span = math.log(float(np.finfo(dtype).max))
    x = np.concatenate(
        [
            np.exp(rng.uniform(-20, 20, count)),
            np.exp(rng.uniform(-span, span, count)),
            np.exp(rng.normal(0, 1e-3, count)),
            -np.exp(rng.normal(0, 2, count)),
            rng.uniform(0.5, 2, count),
        ]
    ).astype(dtype)
    y = np.concatenate(
        [
            rng.normal(0, 10, count),
            rng.normal(0, 2, count),
            rng.normal(0, 500 * span, count),
            rng.integers(-30, 30, count),
            rng.uniform(-1.5, 1.5, count) * span,
        ]
    ).astype(dtype)
    assert_accurate("pow", dtype, (x, y), np.float64 if dtype == "float32" else np.longdouble)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pow_of_special_values_is_as_in_c(dtype: str) -> None:
    values = [
        0.0,
        1.0,
        2.0,
        0.5,
        3.0,
        2.5,
        7.0,
        math.inf,
        1e30,
        1e-30,
        8388609.0,
        16777217.0,
        4503599627370497.0,
        9007199254740991.0,
        9007199254740992.0,
        float(np.finfo(dtype).smallest_subnormal),
    ]
    both = [*values, *(-v for v in values), math.nan, 1.5, -1.5, 0.25]
    pairs = np.array(list(itertools.product(both, both)), dtype)
    x, y = pairs.T.copy()
    assert len(x) % 16 == 0
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    special = ~np.isfinite(want) | np.isin(want, [0, 1, -1])
    assert special.sum() > 900
    for target, kernel in kernels("pow", dtype).items():
        got = kernel(x, y)
        np.testing.assert_array_equal(got[special], want[special], err_msg=target)
        np.testing.assert_array_equal(
            np.signbit(got[want == 0]), np.signbit(want[want == 0]), err_msg=target
        )


INF, NAN = math.inf, math.nan
EXACT = {
    "exp": [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (1000, INF), (-1000, 0)],
    "log": [(1, 0), (0, -INF), (-0.0, -INF), (-1, NAN), (-INF, NAN), (INF, INF)],
    "log2": [(1, 0), (8, 3), (0.25, -2), (0, -INF), (-1, NAN), (INF, INF)],
    "log10": [(1, 0), (10, 1), (1e5, 5), (1e10, 10), (0, -INF), (-1, NAN), (INF, INF)],
    "atan": [(0, 0), (-0.0, -0.0), (INF, math.pi / 2), (-INF, -math.pi / 2)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -INF), (-2, NAN), (INF, INF)],
    "expm1": [(0, 0), (-0.0, -0.0), (-INF, -1), (INF, INF), (1000, INF), (-100, -1)],
    "tanh": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (30, 1), (-1e30, -1)],
    "sigmoid": [(0, 0.5), (-0.0, 0.5), (INF, 1), (-INF, 0), (50, 1), (-1000, 0)],
    "sin": [(0, 0), (-0.0, -0.0), (INF, NAN), (-INF, NAN)],
    "cos": [(0, 1), (-0.0, 1), (INF, NAN), (-INF, NAN)],
    "erf": [(0, 0), (-0.0, -0.0), (INF, 1), (-INF, -1), (10, 1), (-1e30, -1)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_values_that_must_be_exact(name: str, dtype: str) -> None:
    cases = [*EXACT[name], (NAN, NAN)]
    x, want = np.array([*cases, *[cases[0]] * (16 - len(cases))], dtype).T.copy()
    for target, kernel in kernels(name, dtype).items():
        got = kernel(x)
        np.testing.assert_array_equal(got, want, err_msg=target)
        numbers = ~np.isnan(want)
        np.testing.assert_array_equal(
            np.signbit(got[numbers]), np.signbit(want[numbers]), err_msg=target
        )


def test_sin_and_cos_of_the_double_nearest_to_a_multiple_of_half_pi() -> None:
    x = np.full(8, 6381956970095103 * 2.0**797)
    assert Kernel("cos", "float64", 8)(x)[0] == pytest.approx(-4.687165924254624e-19, rel=1e-15)
    assert Kernel("sin", "float64", 8)(x)[0] == 1.0


@pytest.mark.parametrize("name", ["tanh", "erf"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturating_functions_stay_within_one(name: str, dtype: str) -> None:
    x = np.linspace(1, 25, 1 << 20).astype(dtype)
    for target, kernel in kernels(name, dtype).items():
        assert np.abs(kernel(x)).max() == 1.0, target


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ARITY)
def test_bits_do_not_depend_on_the_number_of_lanes(name: str, dtype: str) -> None:
    rng = np.random.default_rng(4)
    scale = np.exp(rng.uniform(-10, 12, 3 * 5 * 16))  # sin and cos see huge and small together
    x = (rng.choice([-1, 1], len(scale)) * scale).astype(dtype)
    results = {lanes: Kernel(name, dtype, lanes)(x).tobytes() for lanes in (1, 3, 4, 5, 8, 16)}
    assert len(set(results.values())) == 1


@pytest.mark.parametrize("name", ARITY)
def test_nothing_is_called_but_the_reduction_of_huge_angles(name: str) -> None:
    for target, dtype in itertools.product(TARGETS, ("float32", "float64")):
        kernel = Kernel(name, dtype, 4, target)
        if ON_X86:
            # calls go by name, or through a register that holds the function's address
            pattern = r"(?:callq?\s+|movabsq\s+\$)([A-Za-z_]\w*)"
            names = set(re.findall(pattern, assembly(kernel.ir, kernel.target))) - {"inverse_pi"}
            assert names == ({"reduce_by_pi"} if name in ("sin", "cos") else set()), (target, dtype)
        assert ("llvm.fma" in kernel.ir) == (target != "sse2")


def test_ulp_errors_sees_what_is_wrong() -> None:
    one = np.ones(1)
    next_up = np.nextafter(np.float32(1), np.float32(2))
    assert ulp_errors(np.array([next_up]), one)[0] == 1.0
    for got, want in [(INF, 1.0), (NAN, 1.0), (1.0, NAN), (0.0, -0.0), (-INF, INF)]:
        assert ulp_errors(np.array([got], np.float32), np.array([want]))[0] == INF
