"""Elementwise functions of tensors: operands of one shape and dtype, then a formula of primitives.

How shapes and dtypes meet: see `operands`.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DTypeError
from ...runtime import realize as rt
from ..capture import active
from ..value import Tensor, array_of, as_tensor, make, use
from . import elementary as el
from .operands import (
    broadcast_shapes,
    common,
    finish,
    float_node,
    is_number,
    of_one_dtype,
)

# fmt: off
__all__ = [  # what `chainrule` offers
    "abs", "absolute", "acos", "acosh", "add", "allclose", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "array_equal", "asin", "asinh", "atan", "atan2", "atanh",
    "ceil", "clamp", "clip", "conj", "copysign", "cos", "cosh", "divide",
    "equal", "erf", "exp", "exp2", "expm1", "floor", "floor_divide", "greater", "greater_equal",
    "hypot", "imag", "isfinite", "isinf", "isnan", "lerp", "less", "less_equal", "log", "log10",
    "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor",
    "maximum", "minimum", "multiply", "negative", "nextafter", "nonzero", "not_equal", "positive",
    "pow", "power", "real", "reciprocal", "relu", "remainder", "round", "rsqrt", "sigmoid", "sign",
    "signbit", "sin", "sinh", "softplus", "sqrt", "square", "subtract", "tan", "tanh", "trunc",
    "where",
]
# fmt: on


Unary = Callable[[Any], "Tensor"]
Binary = Callable[[Any, Any], "Tensor"]
F = TypeVar("F", bound=Callable[..., Any])


# -- one operand -----------------------------------------------------------------------------------
def _unary(name: str, build: Callable[[Node], Node], formula: str, example: str = "") -> Unary:
    def function(x: Any) -> Tensor:
        node, tensor = float_node(x)
        return make(build(node), tensor)

    return _document(function, name, f"{formula}, elementwise.", example)


def _document(function: F, name: str, text: str, example: str) -> F:
    function.__name__ = function.__qualname__ = name
    given, _, result = example.partition(" -> ")
    shown = f"\n\n>>> import chainrule as cr\n>>> cr.{name}({given})\ntensor({result})\n"
    function.__doc__ = text + (shown if example else "")
    return function


exp = _unary("exp", g.exp, "eˣ", "[0.0, 1.0] -> [1.    , 2.7183]")
expm1 = _unary("expm1", g.expm1, "eˣ - 1, exact near 0", "[0.0, 1.0] -> [0.    , 1.7183]")
log = _unary("log", g.log, "The natural logarithm ln x", "[1.0, 2.0] -> [0.    , 0.6931]")
log1p = _unary("log1p", g.log1p, "ln(1 + x), exact near 0", "[0.0, 1.0] -> [0.    , 0.6931]")
log2 = _unary("log2", g.log2, "log₂ x, exact at powers of two", "[1.0, 8.0] -> [0., 3.]")
log10 = _unary(
    "log10",
    g.log10,
    "log₁₀ x, exact at powers of ten",
    "[1.0, 100.0] -> [0., 2.]",
)
exp2 = _unary("exp2", el.exp2, "2ˣ", "[0.5, 3.0] -> [1.4142, 8.    ]")
sqrt = _unary("sqrt", g.sqrt, "√x", "[4.0, 9.0] -> [2., 3.]")
rsqrt = _unary(
    "rsqrt",
    lambda x: g.div(el.number(x, 1), g.sqrt(x)),
    "1/√x",
    "[4.0, 16.0] -> [0.5 , 0.25]",
)
reciprocal = _unary(
    "reciprocal",
    lambda x: g.div(el.number(x, 1), x),
    "1/x",
    "[2.0, 4.0] -> [0.5 , 0.25]",
)
sin = _unary("sin", g.sin, "sin x", "[0.0, 1.0] -> [0.    , 0.8415]")
cos = _unary("cos", g.cos, "cos x", "[0.0, 1.0] -> [1.    , 0.5403]")
tan = _unary("tan", el.tan, "sin x / cos x")
asin = arcsin = _unary(
    "asin",
    el.asin,
    "The angle in [-π/2, π/2] whose sine is x",
    "[0.0, 1.0] -> [0.    , 1.5708]",
)
acos = arccos = _unary(
    "acos",
    el.acos,
    "The angle in [0, π] whose cosine is x",
    "[0.0, 1.0] -> [1.5708, 0.    ]",
)
atan = arctan = _unary(
    "atan",
    g.atan,
    "The angle in [-π/2, π/2] whose tangent is x",
    "[0.0, 1.0] -> [0.    , 0.7854]",
)
sinh = _unary("sinh", el.sinh, "(eˣ - e⁻ˣ)/2", "[0.0, 1.0] -> [0.    , 1.1752]")
cosh = _unary("cosh", el.cosh, "(eˣ + e⁻ˣ)/2", "[0.0, 1.0] -> [1.    , 1.5431]")
asinh = arcsinh = _unary("asinh", el.asinh, "ln(x + √(x² + 1)), the inverse of sinh")
acosh = arccosh = _unary("acosh", el.acosh, "ln(x + √(x² - 1)), the inverse of cosh; NaN for x < 1")
atanh = arctanh = _unary("atanh", el.atanh, "½ ln((1 + x)/(1 - x)), the inverse of tanh")
tanh = _unary("tanh", g.tanh, "(eˣ - e⁻ˣ)/(eˣ + e⁻ˣ)", "0.5 -> 0.4621")
sigmoid = _unary("sigmoid", g.sigmoid, "1/(1 + e⁻ˣ)", "[0.0, 2.0] -> [0.5   , 0.8808]")
softplus = _unary("softplus", el.softplus, "ln(1 + eˣ), without overflow", "0.0 -> 0.6931")
erf = _unary("erf", g.erf, "The error function 2/√π ∫₀ˣ e^(-t²) dt", "0.5 -> 0.5205")


def _any_unary(name: str, build: Callable[[Node], Node], text: str, example: str = "") -> Unary:
    """For functions that keep integers."""

    def function(x: Any) -> Tensor:
        tensor = as_tensor(x)
        if tensor.dtype == dt.bool_:
            raise DTypeError(f"{name} does not take bool; convert it with .int() or .float()")
        node = use(tensor)
        if tensor._weak:
            return finish(build(tensor._exact_node), [tensor], [tensor])
        return make(build(node), tensor)

    return _document(function, name, f"{text}, elementwise.", example)


negative = _any_unary("negative", g.neg, "-x", "[1.0, -2.0] -> [-1.,  2.]")
positive = _any_unary("positive", lambda x: x, "x itself")
conj = _any_unary("conj", lambda x: x, "x itself: there are no complex numbers")
real = _any_unary("real", lambda x: x, "x itself: there are no complex numbers")
imag = _any_unary("imag", g.zeros_like, "0: there are no complex numbers")
absolute = _any_unary("absolute", el.absolute, "|x|", "[-1.5, 2.0] -> [1.5, 2. ]")
abs = absolute
sign = _any_unary(
    "sign",
    g.sign,
    "-1, 0 or 1 as x is negative, zero or positive",
    "[-2.0, 0.0, 3.0] -> [-1.,  0.,  1.]",
)
square = _any_unary("square", el.square, "x²", "[-2.0, 3.0] -> [4., 9.]")
floor = _any_unary("floor", el.floor, "The largest integer ≤ x", "[-1.5, 1.5] -> [-2.,  1.]")
ceil = _any_unary("ceil", el.ceil, "The smallest integer ≥ x", "[-1.5, 1.5] -> [-1.,  2.]")
trunc = _any_unary("trunc", el.trunc, "x without its fraction", "[-1.5, 1.5] -> [-1.,  1.]")
_to_integer = _any_unary("round", el.nearest, "The nearest integer, halves to the even one")


def round(x: Any, decimals: int = 0) -> Tensor:
    """x rounded to so many decimals, elementwise; halves to the even digit. Integers stay as they
    are.

    >>> import chainrule as cr
    >>> cr.round([0.5, 1.5, -0.7]), cr.round([1.234, -5.678], 1)
    (tensor([ 0.,  2., -1.]), tensor([ 1.2, -5.7]))
    """
    tensor = as_tensor(x)
    if decimals == 0 or not dt.is_float(tensor.dtype):
        if decimals < 0:
            raise DTypeError("round: decimals < 0 takes floats; convert with .float() or .double()")
        return _to_integer(x)
    scale = 10.0 ** builtins.abs(decimals)
    if decimals < 0:
        return multiply(_to_integer(divide(tensor, scale)), scale)
    return divide(_to_integer(multiply(tensor, scale)), scale)


relu = _any_unary("relu", el.relu, "max(x, 0)", "[-1.0, 2.0] -> [0., 2.]")


def isnan(x: Any) -> Tensor:
    """Whether x is NaN, elementwise.

    >>> import chainrule as cr
    >>> cr.isnan([1.0, float("nan")])
    tensor([False,  True])
    """
    tensor = as_tensor(x)
    return make(g.ne(tensor.node, tensor.node))


def isinf(x: Any) -> Tensor:
    """Whether x is +∞ or -∞, elementwise."""
    tensor = as_tensor(x)
    node = tensor.node
    if not dt.is_float(node.dtype):
        return make(g.full(node.shape, False, dt.bool_))
    return make(g.eq(g.abs(node), el.number(node, math.inf)))


def isfinite(x: Any) -> Tensor:
    """Whether x is neither NaN nor infinite, elementwise.

    >>> import chainrule as cr
    >>> cr.isfinite([1.0, float('inf'), float('nan')])
    tensor([ True, False, False])
    """
    tensor = as_tensor(x)
    node = tensor.node
    if not dt.is_float(node.dtype):
        return make(g.full(node.shape, True, dt.bool_))
    return make(g.lt(g.abs(node), el.number(node, math.inf)))


def signbit(x: Any) -> Tensor:
    """Whether x is negative or -0, elementwise (False for NaN, whatever its sign).

    >>> import chainrule as cr
    >>> cr.signbit([-1.0, -0.0, 0.0])
    tensor([ True,  True, False])
    """
    node = as_tensor(x).node
    return make(el.signbit(node) if dt.is_float(node.dtype) else g.lt(node, g.zeros_like(node)))


def logical_not(x: Any) -> Tensor:
    """Not x; numbers count as x ≠ 0.

    >>> import chainrule as cr
    >>> cr.logical_not([True, False])
    tensor([False,  True])
    """
    return make(g.not_(g.cast(as_tensor(x).node, dt.bool_)))


# -- two operands ----------------------------------------------------------------------------------
def _binary(
    name: str,
    build: Callable[[Node, Node], Node],
    text: str,
    example: str = "",
    kinds: str = "biuf",
) -> Binary:
    def function(a: Any, b: Any) -> Tensor:
        (x, y), tensors = common(name, a, b)
        if x.dtype.kind not in kinds:
            x, y = _number(name, x, kinds), _number(name, y, kinds)
        return finish(build(x, y), (a, b), tensors)

    return _document(function, name, f"{text}, elementwise.", example)


def _number(name: str, x: Node, kinds: str) -> Node:
    if kinds == "f":
        return g.cast(x, dt.default_float)
    if x.dtype == dt.bool_:
        raise DTypeError(
            f"{name} does not take two bools; use |, & or ^, or convert one with .int()"
        )
    return x


add = _binary("add", g.add, "a + b", "[1, 2], 0.5 -> [1.5, 2.5]", kinds="iuf")
subtract = _binary("subtract", g.sub, "a - b", "[3.0, 2.0], 1.0 -> [2., 1.]", kinds="iuf")
multiply = _binary("multiply", g.mul, "a · b", "[1.0, 2.0], 3.0 -> [3., 6.]", kinds="iuf")
divide = _binary(
    "divide",
    g.div,
    "a / b; integers are divided as float32",
    "[1, 2], 2 -> [0.5, 1. ]",
    kinds="f",
)
floor_divide = _binary(
    "floor_divide",
    el.floor_divide,
    "⌊a / b⌋, so that a = b · (a // b) + a % b; an integer divided by 0 gives 0",
    "-7, 2 -> -4",
    kinds="iuf",
)
remainder = _binary(
    "remainder",
    g.mod,
    "a - b⌊a / b⌋, with the sign of b",
    "-7, 3 -> 2",
    kinds="iuf",
)
maximum = _binary(
    "maximum",
    g.max,
    "The larger of a and b; NaN if one is NaN",
    "[1, 5], 3 -> [3, 5]",
)
minimum = _binary(
    "minimum",
    g.min,
    "The smaller of a and b; NaN if one is NaN",
    "[1.0, 5.0], [4.0, 2.0] -> [1., 2.]",
)
logaddexp = _binary(
    "logaddexp",
    el.logaddexp,
    "ln(eᵃ + eᵇ), without overflow",
    "[0.0, 1000.0], [0.0, 1000.0] -> [6.9315e-01, 1.0007e+03]",
    kinds="f",
)
atan2 = arctan2 = _binary(
    "atan2",
    el.atan2,
    "The angle of the point (b, a), in [-π, π]",
    "[1.0, 0.0], [1.0, -1.0] -> [0.7854, 3.1416]",
    kinds="f",
)
hypot = _binary("hypot", el.hypot, "√(a² + b²), without overflow", "3.0, 4.0 -> 5.", kinds="f")
copysign = _binary(
    "copysign",
    el.copysign,
    "|a| with the sign of b",
    "[1.0, 2.0], [-0.0, 3.0] -> [-1.,  2.]",
    kinds="f",
)
nextafter = _binary("nextafter", el.nextafter, "The next float from a towards b", kinds="f")
equal = _binary("equal", g.eq, "a = b", "[1, 2], 2 -> [False,  True]")
not_equal = _binary("not_equal", g.ne, "a ≠ b", "[1, 2, 3], 2 -> [ True, False,  True]")
less = _binary("less", g.lt, "a < b")
less_equal = _binary(
    "less_equal",
    g.le,
    "a ≤ b",
    "[1.0, 2.0, 3.0], 2.0 -> [ True,  True, False]",
)
greater = _binary(
    "greater",
    lambda a, b: g.lt(b, a),
    "a > b",
    "[1.0, 2.0, 3.0], 2.0 -> [False, False,  True]",
)
greater_equal = _binary("greater_equal", lambda a, b: g.le(b, a), "a ≥ b")


def _logical(
    name: str, build: Callable[[Node, Node], Node], text: str, example: str = ""
) -> Binary:
    def function(a: Any, b: Any) -> Tensor:
        (x, y), _ = common(name, a, b)
        return make(build(g.cast(x, dt.bool_), g.cast(y, dt.bool_)))

    return _document(function, name, f"{text}, elementwise; numbers count as x ≠ 0.", example)


logical_and = _logical(
    "logical_and",
    g.and_,
    "a and b",
    "[True, True], [True, False] -> [ True, False]",
)
logical_or = _logical(
    "logical_or",
    g.or_,
    "a or b",
    "[True, False], [False, False] -> [ True, False]",
)
logical_xor = _logical(
    "logical_xor",
    g.ne,
    "Exactly one of a and b",
    "[True, True], [True, False] -> [False,  True]",
)


def power(a: Any, b: Any) -> Tensor:
    """aᵇ, elementwise. Small whole exponents multiply, so they also work for negative and integer
    a. Powers of integers are exact and wrap as NumPy's; a negative exponent raises DTypeError
    (in a compiled function, where it is not known, such a power is cut to an integer).

    >>> import chainrule as cr
    >>> cr.power(cr.tensor([1, 2, 3]), 2), cr.power(2.0, [1.0, 0.5])
    (tensor([1, 4, 9]), tensor([2.    , 1.4142]))
    """
    number = b.item() if isinstance(b, np.generic) else b
    if isinstance(number, int | float) and not isinstance(number, bool) and not is_number(a):
        base = as_tensor(a)
        if base.dtype == dt.bool_:
            raise DTypeError("power does not take bool; convert it with .int() or .float()")
        if number == 0.5:
            return sqrt(base)
        if number == int(number) if math.isfinite(number) else False:
            exponent = int(number)
            floating = dt.is_float(base.dtype) or isinstance(number, float)
            if exponent == 0 and floating:  # 1, but with a gradient: 0
                node, _ = float_node(base)
                return make(g.pow(node, g.zeros_like(node)), base)
            if 0 <= exponent <= 8 or (not floating and exponent >= 0):
                node = use(base)
                node = (
                    g.cast(node, dt.default_float)
                    if floating and not dt.is_float(node.dtype)
                    else node
                )
                return make(el.whole_power(node, exponent), base)
            if floating and -4 <= exponent < 0:
                return divide(1.0, power(base, -exponent))
    (x, y), tensors = common("power", a, b)
    if not dt.is_float(x.dtype):
        if isinstance(number, int) and number < 0:
            raise DTypeError(
                f"integers cannot be raised to the power {number}; convert the base with .float()"
            )
        if x.dtype == dt.bool_:
            x, y = g.cast(x, dt.default_int), g.cast(y, dt.default_int)
        _forbid_negative(y)
        return make(g.pow(x, y))
    return finish(g.pow(x, y), (a, b), tensors)


def _forbid_negative(exponent: Node) -> None:
    """Where the values are known. (Elsewhere 1/aᵇ loses its fraction.)"""
    if active.capture is not None or exponent.dtype.kind != "i":
        return
    if rt.purpose_of([exponent]) is None and exponent.size:
        least = rt.realize([exponent])[0].min()
        if least < 0:
            raise DTypeError(
                f"integers cannot be raised to the power {least}; convert the base with .float()"
            )


pow = power


# -- three operands --------------------------------------------------------------------------------
def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """``a`` where ``condition`` holds, otherwise ``b``; the three broadcast.

    With the condition alone: the positions where it holds (see `nonzero`).

    >>> import chainrule as cr
    >>> cr.where([True, False], [1.0, 2.0], 0.0)
    tensor([1., 0.])
    """
    return nonzero(condition) if a is None and b is None else select(condition, a, b)


def select(condition: Any, a: Any, b: Any) -> Tensor:
    """`where` with three arguments."""
    test = as_tensor(condition)
    (x, y), tensors = of_one_dtype(a, b)
    shape = broadcast_shapes(test.shape, x.shape, y.shape, name="where")
    chosen = g.expand(g.cast(test.node, dt.bool_), shape)
    return make(g.where(chosen, g.expand(x, shape), g.expand(y, shape)), *tensors)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The positions of the elements that are not zero, one int64 tensor per axis. Needs the values.

    >>> import chainrule as cr
    >>> cr.nonzero(cr.tensor([0, 3, 5]))
    (tensor([1, 2]),)
    """
    return tuple(as_tensor(i.astype(np.int64)) for i in np.nonzero(array_of(x)))


def clip(
    x: Any, min: Any = None, max: Any = None, *, a_min: Any = None, a_max: Any = None
) -> Tensor:
    """x, but at least ``min`` and at most ``max``. At a bound the gradient is that of x.

    >>> import chainrule as cr
    >>> cr.clip([-2.0, 0.5, 9.0], -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    low, high = a_min if min is None else min, a_max if max is None else max
    bounds = [b for b in (low, high) if b is not None]
    (node, *limits), tensors = common("clip", x, *bounds)
    found = el.clip(
        node,
        None if low is None else limits[0],
        None if high is None else limits[-1],
    )
    return finish(found, (x, *bounds), tensors)


clamp = clip  # PyTorch's name


def lerp(a: Any, b: Any, weight: Any) -> Tensor:
    """a + weight · (b - a), elementwise.

    >>> import chainrule as cr
    >>> cr.lerp([0.0, 0.0], [4.0, 8.0], 0.25)
    tensor([1., 2.])
    """
    return add(a, multiply(weight, subtract(b, a)))


def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether |a - b| ≤ atol + rtol·|b| everywhere. Needs the values.

    >>> import chainrule as cr
    >>> cr.allclose([1.0, 2.0], [1.0, 2.0 + 1e-7])
    True
    """
    return bool(np.allclose(array_of(a), array_of(b), rtol, atol, equal_nan))


def array_equal(a: Any, b: Any) -> bool:
    """Whether shapes and all elements are equal. Needs the values.

    >>> import chainrule as cr
    >>> cr.array_equal([1, 2], [1, 2]), cr.array_equal([1, 2], [1, 2, 3])
    (True, False)
    """
    return bool(np.array_equal(array_of(a), array_of(b)))
