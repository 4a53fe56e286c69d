"""Elementwise functions against NumPy: values, dtypes, broadcasting, gradients at the edges."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from numpy_oracle import FLOATS, NUMBERS, SHAPES, check, sample

import chainrule as cr
from chainrule.errors import ShapeError

UNARY = {
    "exp": np.exp,
    "expm1": np.expm1,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "square": np.square,
    "negative": np.negative,
    "absolute": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": np.vectorize(math.erf, otypes=[float]),
    "reciprocal": lambda x: 1 / x,
}
POSITIVE = {
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, shape: tuple[int, ...], dtype: str) -> None:
    x = sample(shape, dtype)
    found = getattr(cr, name)(x)
    assert found.dtype == dtype
    check(found, UNARY[name](x.astype(np.float64)), 1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", POSITIVE)
def test_unary_of_positive(name: str, dtype: str) -> None:
    x = sample((3, 4), dtype, low=0.01, high=5)
    check(getattr(cr, name)(x), POSITIVE[name](x.astype(np.float64)), 1e-5)


@pytest.mark.parametrize("name", [*POSITIVE, "exp", "tanh", "sigmoid", "sin"])
def test_float_functions_take_integers_as_float32(name: str) -> None:
    assert getattr(cr, name)(cr.tensor([1, 2])).dtype == np.float32
    assert getattr(cr, name)(3).shape == ()


@pytest.mark.parametrize(
    "name", ["negative", "absolute", "sign", "square", "floor", "ceil", "trunc", "round", "relu"]
)
def test_functions_that_keep_integers(name: str) -> None:
    x = sample((4,), "int32")
    found = getattr(cr, name)(x)
    assert found.dtype == np.int32
    check(found, UNARY[name](x))


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    a, b = sample((2, 3), dtype, 1), sample((3,), dtype, 2)
    found = getattr(cr, name)(a, b)
    check(found, BINARY[name](a, b))
    check(getattr(cr, name)(a, a), BINARY[name](a, a))


@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_broadcasting(shapes) -> None:
    a, b = (sample(s, "float64", i) for i, s in enumerate(shapes.input_shapes))
    check(cr.tensor(a) + cr.tensor(b), a + b)
    check(cr.where(cr.tensor(a) > 0, b, 0.0), np.where(a > 0, b, 0.0))


@given(st.integers(-9, 9), st.integers(-9, 9).filter(bool))
def test_integer_division_rounds_down(a: int, b: int) -> None:
    x, y = cr.tensor([a]), cr.tensor([b])
    assert (x // y).item() == a // b
    assert (x % y).item() == a % b
    assert (a // y).item() == a // b
    assert (x.float() // b).item() == a // b
    assert (x.double() % b).item() == pytest.approx(a % b)


def test_true_division_of_integers_is_float32() -> None:
    found = cr.tensor([1, 2]) / cr.tensor([2, 4])
    assert found.dtype == np.float32
    check(found, [0.5, 0.5])


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("int32", "float32", "float32"),
        ("int64", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("uint8", "int32", "int32"),
        ("bool", "int32", "int32"),
        ("bool", "float32", "float32"),
        ("uint32", "int32", "int64"),
        ("int32", "int64", "int64"),
    ],
)
def test_promotion(left: str, right: str, expected: str) -> None:
    a, b = cr.ones(2, dtype=left), cr.ones(2, dtype=right)
    assert (a + b).dtype == expected
    assert (b * a).dtype == expected
    assert cr.where(cr.tensor([True, False]), a, b).dtype == expected
    assert cr.result_type(a, b) == expected


@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.int64(2)])
def test_numbers_never_widen(number: object) -> None:
    for dtype in FLOATS:
        assert (cr.ones(2, dtype=dtype) * number).dtype == dtype
        assert (number + cr.ones(2, dtype=dtype)).dtype == dtype
    wanted = "int32" if isinstance(number, int | np.integer) else "float32"
    assert (cr.ones(2, dtype="int32") * number).dtype == wanted


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.mod,
    operator.floordiv,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("f", OPERATORS)
def test_operators_with_arrays_and_numbers_on_both_sides(f) -> None:
    x, y = sample((3,), "float32", 1, 0.5, 2), sample((3,), "float32", 2, 0.5, 2)
    t = cr.tensor(x)
    for found, expected in [
        (f(t, y), f(x, y)),
        (f(y, t), f(y, x)),
        (f(t, 1.5), f(x, 1.5)),
        (f(1.5, t), f(1.5, x)),
    ]:
        check(found, expected, 1e-5)
        assert found.dtype == expected.dtype


def test_logic_of_bools() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    x, y = cr.tensor(a), cr.tensor(b)
    check(x & y, a & b)
    check(x | y, a | b)
    check(x ^ y, a ^ b)
    check(~x, ~a)
    check(True & x, a)
    check(cr.logical_and([1, 0, 2], [1, 1, 0]), [True, False, False])
    check(cr.logical_or([1, 0, 0], [0, 0, 3.5]), [True, False, True])
    check(cr.logical_xor(x, y), a ^ b)
    check(cr.logical_not([0.0, 2.0]), [True, False])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, 8, 11, -1, -2, -7, 0.5, 1.5, 2.0, -0.5, -1.0])
def test_power(exponent: float, dtype: str) -> None:
    x = sample((5,), dtype, low=0.5, high=2)
    found = cr.tensor(x) ** exponent
    assert found.dtype == dtype
    check(found, x.astype(np.float64) ** exponent, 1e-5)


def test_power_of_negative_and_integer_bases() -> None:
    x = np.array([-2, -1, 3])
    check(cr.tensor(x) ** 3, x**3)
    check(cr.tensor(x) ** 0, x**0)
    check(cr.tensor(x, dtype="float32") ** 2, x.astype(float) ** 2)
    check(cr.tensor(x, dtype="float32") ** -2, x.astype(float) ** -2)
    check(cr.tensor([2, 3]) ** cr.tensor([3, 2]), [8, 9])
    check(2 ** cr.tensor([3, 4]), [8, 16])
    check(cr.tensor([4, 9]) ** 0.5, [2.0, 3.0])


def test_special_values() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)
    check(cr.isnan(x), np.isnan(x))
    check(cr.isinf(x), np.isinf(x))
    check(cr.isfinite(x), np.isfinite(x))
    check(cr.maximum(x, 0.0), np.maximum(x, 0))
    check(cr.isnan([1, 2]), [False, False])
    check(cr.isinf([1, 2]), [False, False])
    check(cr.isfinite([1, 2]), [True, True])
    check(cr.softplus([-1e4, 1e4]), [0.0, 1e4])
    check(
        cr.logaddexp([np.inf, -np.inf, 1e4, 0.0], [np.inf, -np.inf, 0.0, 0.0]),
        [np.inf, -np.inf, 1e4, math.log(2)],
    )
    check(cr.sigmoid([-1e4, 1e4]), [0.0, 1.0])


def test_clip_where_lerp() -> None:
    x = sample((3, 4))
    t = cr.tensor(x)
    check(t.clip(-1, 1), np.clip(x, -1, 1))
    check(t.clamp(min=0.5), np.clip(x, 0.5, None))
    check(cr.clip(t, max=0.5), np.clip(x, None, 0.5))
    check(cr.clip(t, a_min=-1, a_max=0), np.clip(x, -1, 0))
    check(t.where(t > 0, -1.0), np.where(x > 0, x, -1))
    check(t.masked_fill(t > 0, 9), np.where(x > 0, 9, x))
    check(cr.lerp([0.0, 2.0], [1.0, 4.0], 0.5), [0.5, 3.0])
    rows, columns = cr.where(t > 0)
    check(rows, np.where(x > 0)[0])
    check(columns, np.where(x > 0)[1])
    check(t.nonzero()[0], np.nonzero(x)[0])


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (cr.softplus, 0.0, 0.5),
        (cr.relu, 2.0, 1.0),
        (cr.softplus, 50.0, 1.0),
        (cr.softplus, -200.0, 0.0),
        (cr.sqrt, 4.0, 0.25),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**-1, 2.0, -0.25),
        (lambda x: cr.logaddexp(x, 0.0), 0.0, 0.5),
        (cr.round, 0.3, 0.0),
        (cr.sinh, 0.0, 1.0),
        (lambda x: cr.norm(cr.stack([x, x])), 0.0, 0.0),
        (lambda x: 2**x, 0.0, math.log(2)),
    ],
)
def test_gradients_at_points_that_need_care(f, x: float, slope: float) -> None:
    assert cr.grad(f)(cr.tensor(x)).item() == pytest.approx(slope, abs=1e-6)


SMOOTH = [
    "exp",
    "expm1",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "square",
    "sigmoid",
    "softplus",
    "erf",
    "relu",
    "absolute",
]


@pytest.mark.parametrize("name", [*SMOOTH, *POSITIVE, "reciprocal"])
def test_gradients(name: str) -> None:
    f = getattr(cr, name)
    cr.check_grads(lambda x: f(x).sum(), [sample((5,), "float64", low=0.2, high=1.5)], order=2)


def test_numpy_functions_take_tensors() -> None:
    x = sample((3,))
    t = cr.tensor(x)
    check(np.exp(t), np.exp(x))
    check(np.add(x, t), x + x)
    check(x @ t, x @ x)
    assert isinstance(x * t, cr.Tensor)
    with pytest.raises(
        TypeError, match=r"np\.cbrt does not take a tensor; convert it with \.numpy\(\)"
    ):
        np.cbrt(t)


def test_comparisons_of_values() -> None:
    assert cr.allclose(cr.ones(3), np.ones(3) + 1e-7)
    assert not cr.allclose(cr.ones(3), np.ones(3) + 1e-3)
    assert not cr.allclose([np.nan], [np.nan])
    assert cr.allclose([np.nan], [np.nan], equal_nan=True)
    assert cr.array_equal([1, 2], cr.tensor([1, 2]))
    assert not cr.array_equal([1, 2], [1, 2, 3])


@pytest.mark.parametrize("shapes", [(), ((3, 1), (4,)), ((2, 1, 3), (5, 1), 3), ((0, 1), (1, 4))])
def test_broadcast_shapes_is_numpys(shapes: tuple[Any, ...]) -> None:
    assert cr.broadcast_shapes(*shapes) == np.broadcast_shapes(*shapes)


def test_broadcast_shapes_names_what_differs() -> None:
    with pytest.raises(ShapeError) as error:
        cr.broadcast_shapes((2, 3), (3, 1), (4,))
    assert str(error.value) == (
        "broadcast_shapes: shapes (2, 3) and (3, 1) and (4,) do not broadcast: axis -1 has lengths "
        "3 and 4 (they must be equal, or one of them 1)"
    )
