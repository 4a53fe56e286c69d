"""Elementwise functions: broadcasting and promotion happen here, then one primitive or a few.

Shapes broadcast as in NumPy. Integer and bool arrays meet float arrays at the float dtype, Python
numbers never widen, and float functions take integers as float32.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.node import Node, Shape
from ...errors import DTypeError, ShapeError
from ...runtime import realize as rt
from ..capture import active
from ..value import Tensor, Value, array_of, as_tensor, constant, make, use
from . import elementary as el

# fmt: off
__all__ = [  # what `chainrule` offers
    "abs", "absolute", "acos", "acosh", "add", "allclose", "arccos", "arccosh", "arcsin", "arcsinh",
    "arctan", "arctan2", "arctanh", "array_equal", "asin", "asinh", "atan", "atan2", "atanh",
    "broadcast_shapes", "ceil", "clamp", "clip", "conj", "copysign", "cos", "cosh", "divide",
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


# -- operands --------------------------------------------------------------------------------------
def broadcast_shapes(*shapes: Shape | int, name: str = "broadcast_shapes") -> Shape:
    """The common shape, by NumPy's rule: axes are matched from the last on, and are equal or 1.

    Raises ShapeError, on behalf of ``name``, with all shapes and the axis that differs.

    >>> import chainrule as cr
    >>> cr.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    result: list[int] = []
    for axis in range(1, max((len(s) for s in given), default=0) + 1):
        lengths = {s[-axis] for s in given if len(s) >= axis} - {1}
        if len(lengths) > 1:
            shown = " and ".join(str(s) for s in given)
            a, b = sorted(lengths)[:2]
            raise ShapeError(
                f"{name}: shapes {shown} do not broadcast: axis -{axis} has lengths {a} and {b}"
                " (they must be equal, or one of them 1)"
            )
        result.append(lengths.pop() if lengths else 1)
    return tuple(reversed(result))


def is_number(x: Any) -> bool:
    """A Python or NumPy scalar, or a tensor made of one: it takes the other operand's dtype."""
    if isinstance(x, Value):
        return x._weak
    return isinstance(x, bool | int | float | np.generic) and not isinstance(
        x, complex | np.complexfloating
    )


def common(name: str, *operands: Any) -> tuple[list[Node], list[Value]]:
    """The operands as nodes of one shape and one dtype, and as tensors."""
    weak = all(map(is_number, operands)) and any(isinstance(x, Value) for x in operands)
    # arithmetic of Python floats is float64
    nodes, used = of_one_dtype(*operands, dtype=dt.float64 if weak else None)
    shape = broadcast_shapes(*(n.shape for n in nodes), name=name)
    return [g.expand(n, shape) for n in nodes], used


def of_one_dtype(*operands: Any, dtype: DType | None = None) -> tuple[list[Node], list[Value]]:
    """The operands as nodes of one dtype, and as tensors. Numbers take the dtype of the others."""
    numbers = [is_number(x) for x in operands]
    used = [x if n else as_tensor(x) for n, x in zip(numbers, operands, strict=True)]
    if dtype is None:
        dtypes = [t.dtype for n, t in zip(numbers, used, strict=True) if not n]
        dtype = dt.promote(*dtypes) if dtypes else None
        for x, n in zip(operands, numbers, strict=True):
            if n:
                dtype = _with_number(x, dtype)
    assert dtype is not None
    return [operand(x, dtype) for x in used], [u for u in used if isinstance(u, Value)]


def _with_number(x: Any, dtype: DType | None) -> DType:
    number = 1.0 if isinstance(x, Value) else x.item() if isinstance(x, np.generic) else x
    if isinstance(number, bool):
        return dtype or dt.bool_
    return dt.weak(number, dtype or dt.bool_)


def operand(x: Any, dtype: DType) -> Node:
    """A tensor or a number as a node of a dtype."""
    if isinstance(x, Value):
        return use(x, dtype)
    return constant(x.item() if isinstance(x, np.generic) else x, dtype)


def finish(node: Node, operands: Sequence[Any], tensors: Sequence[Value]) -> Tensor:
    """The result's tensor; what is made of Python numbers only is a Python number again."""
    result = make(node, *tensors)
    if node.dtype == dt.float64 and node.shape == () and all(is_number(x) for x in operands):
        result._weak = any(isinstance(x, Value) for x in operands)
    return result


def float_node(x: Any) -> tuple[Node, Tensor]:
    """The operand as a float node (integers and bools become float32)."""
    tensor = as_tensor(x)
    node = use(tensor)
    if not dt.is_float(node.dtype):
        node = g.cast(node, dt.default_float)
    return node, tensor


# -- one operand -----------------------------------------------------------------------------------
def _unary(name: str, build: Callable[[Node], Node], formula: str, example: str = "") -> Unary:
    def function(x: Any) -> Tensor:
        node, tensor = float_node(x)
        return make(build(node), tensor)

    return _document(function, name, f"{formula}, elementwise.", example)


def _document(function: F, name: str, text: str, example: str) -> F:
    function.__name__ = function.__qualname__ = name
    shown = f"\n\n>>> import chainrule as cr\n>>> {example}\n" if example else ""
    function.__doc__ = text + (shown.replace(" -> ", "\n") if shown else "")
    return function


def _full(x: Node, value: float) -> Node:
    return g.full(x.shape, value, x.dtype)


def _square(x: Node) -> Node:
    return g.mul(x, x)


def _softplus(x: Node) -> Node:
    # max(x, 0) + log1p(e^-|x|), with branches chosen so that the gradient at 0 is sigmoid(0) = 1/2.
    positive = g.lt(_full(x, 0), x)
    return g.add(g.where(positive, x, _full(x, 0)), g.log1p(g.exp(g.where(positive, g.neg(x), x))))


exp = _unary("exp", g.exp, "eˣ", "cr.exp([0.0, 1.0]) -> tensor([1.    , 2.7183])")
expm1 = _unary(
    "expm1", g.expm1, "eˣ - 1, exact near 0", "cr.expm1([0.0, 1.0]) -> tensor([0.    , 1.7183])"
)
log = _unary(
    "log", g.log, "The natural logarithm ln x", "cr.log([1.0, 2.0]) -> tensor([0.    , 0.6931])"
)
log1p = _unary(
    "log1p", g.log1p, "ln(1 + x), exact near 0", "cr.log1p([0.0, 1.0]) -> tensor([0.    , 0.6931])"
)
log2 = _unary(
    "log2", g.log2, "log₂ x, exact at powers of two", "cr.log2([1.0, 8.0]) -> tensor([0., 3.])"
)
log10 = _unary(
    "log10",
    g.log10,
    "log₁₀ x, exact at powers of ten",
    "cr.log10([1.0, 100.0]) -> tensor([0., 2.])",
)
exp2 = _unary("exp2", el.exp2, "2ˣ", "cr.exp2([0.5, 3.0]) -> tensor([1.4142, 8.    ])")
sqrt = _unary("sqrt", g.sqrt, "√x", "cr.sqrt([4.0, 9.0]) -> tensor([2., 3.])")
rsqrt = _unary(
    "rsqrt",
    lambda x: g.div(_full(x, 1), g.sqrt(x)),
    "1/√x",
    "cr.rsqrt([4.0, 16.0]) -> tensor([0.5 , 0.25])",
)
reciprocal = _unary(
    "reciprocal",
    lambda x: g.div(_full(x, 1), x),
    "1/x",
    "cr.reciprocal([2.0, 4.0]) -> tensor([0.5 , 0.25])",
)
sin = _unary("sin", g.sin, "sin x", "cr.sin([0.0, 1.0]) -> tensor([0.    , 0.8415])")
cos = _unary("cos", g.cos, "cos x", "cr.cos([0.0, 1.0]) -> tensor([1.    , 0.5403])")
tan = _unary("tan", el.tan, "sin x / cos x")
asin = arcsin = _unary(
    "asin",
    el.asin,
    "The angle in [-π/2, π/2] whose sine is x",
    "cr.asin([0.0, 1.0]) -> tensor([0.    , 1.5708])",
)
acos = arccos = _unary(
    "acos",
    el.acos,
    "The angle in [0, π] whose cosine is x",
    "cr.acos([0.0, 1.0]) -> tensor([1.5708, 0.    ])",
)
atan = arctan = _unary(
    "atan",
    g.atan,
    "The angle in [-π/2, π/2] whose tangent is x",
    "cr.atan([0.0, 1.0]) -> tensor([0.    , 0.7854])",
)
sinh = _unary("sinh", el.sinh, "(eˣ - e⁻ˣ)/2", "cr.sinh([0.0, 1.0]) -> tensor([0.    , 1.1752])")
cosh = _unary("cosh", el.cosh, "(eˣ + e⁻ˣ)/2", "cr.cosh([0.0, 1.0]) -> tensor([1.    , 1.5431])")
asinh = arcsinh = _unary("asinh", el.asinh, "ln(x + √(x² + 1)), the inverse of sinh")
acosh = arccosh = _unary("acosh", el.acosh, "ln(x + √(x² - 1)), the inverse of cosh; NaN for x < 1")
atanh = arctanh = _unary("atanh", el.atanh, "½ ln((1 + x)/(1 - x)), the inverse of tanh")
tanh = _unary("tanh", g.tanh, "(eˣ - e⁻ˣ)/(eˣ + e⁻ˣ)", "cr.tanh(0.5) -> tensor(0.4621)")
sigmoid = _unary(
    "sigmoid", g.sigmoid, "1/(1 + e⁻ˣ)", "cr.sigmoid([0.0, 2.0]) -> tensor([0.5   , 0.8808])"
)
softplus = _unary(
    "softplus", _softplus, "ln(1 + eˣ), without overflow", "cr.softplus(0.0) -> tensor(0.6931)"
)
erf = _unary(
    "erf", g.erf, "The error function 2/√π ∫₀ˣ e^(-t²) dt", "cr.erf(0.5) -> tensor(0.5205)"
)


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


def _abs(x: Node) -> Node:
    return x if x.dtype.kind == "u" else g.abs(x)


def _floor(x: Node) -> Node:
    return g.floor(x) if dt.is_float(x.dtype) else x


def _ceil(x: Node) -> Node:
    return g.neg(g.floor(g.neg(x))) if dt.is_float(x.dtype) else x


def _trunc(x: Node) -> Node:
    if not dt.is_float(x.dtype):
        return x
    return g.where(g.lt(x, g.zeros_like(x)), _ceil(x), g.floor(x))


def _round(x: Node) -> Node:
    if not dt.is_float(x.dtype):
        return x
    low = g.floor(x)
    rest = g.sub(x, low)
    half = _full(x, 0.5)
    odd = g.ne(g.mod(low, _full(x, 2)), _full(x, 0))
    up = g.or_(g.lt(half, rest), g.and_(g.eq(rest, half), odd))
    whole = g.where(up, g.add(low, _full(x, 1)), low)
    zero = _full(x, 0)  # a zero keeps the sign of x
    return g.where(g.eq(whole, zero), g.mul(x, zero), whole)


negative = _any_unary("negative", g.neg, "-x", "cr.negative([1.0, -2.0]) -> tensor([-1.,  2.])")
positive = _any_unary("positive", lambda x: x, "x itself")
conj = _any_unary("conj", lambda x: x, "x itself: there are no complex numbers")
real = _any_unary("real", lambda x: x, "x itself: there are no complex numbers")
imag = _any_unary("imag", g.zeros_like, "0: there are no complex numbers")
absolute = _any_unary("absolute", _abs, "|x|", "cr.absolute([-1.5, 2.0]) -> tensor([1.5, 2. ])")
abs = absolute
sign = _any_unary(
    "sign",
    g.sign,
    "-1, 0 or 1 as x is negative, zero or positive",
    "cr.sign([-2.0, 0.0, 3.0]) -> tensor([-1.,  0.,  1.])",
)
square = _any_unary("square", _square, "x²", "cr.square([-2.0, 3.0]) -> tensor([4., 9.])")
floor = _any_unary(
    "floor", _floor, "The largest integer ≤ x", "cr.floor([-1.5, 1.5]) -> tensor([-2.,  1.])"
)
ceil = _any_unary(
    "ceil", _ceil, "The smallest integer ≥ x", "cr.ceil([-1.5, 1.5]) -> tensor([-1.,  2.])"
)
trunc = _any_unary(
    "trunc", _trunc, "x without its fraction", "cr.trunc([-1.5, 1.5]) -> tensor([-1.,  1.])"
)
_to_integer = _any_unary("round", _round, "The nearest integer, halves to the even one")


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


def _relu_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g where y > 0, else 0 (as PyTorch at 0); NaN passes. Only the output is needed."""
    return [g.where(g.le(y, g.zeros_like(y)), g.zeros_like(grad), grad)]


def relu_node(x: Node) -> Node:
    """max(x, 0)."""
    return g.custom_vjp(g.max(x, g.zeros_like(x)), [x], _relu_rule)


relu = _any_unary("relu", relu_node, "max(x, 0)", "cr.relu([-1.0, 2.0]) -> tensor([0., 2.])")


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
    return make(g.eq(g.abs(node), _full(node, math.inf)))


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
    return make(g.lt(g.abs(node), _full(node, math.inf)))


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


def _true_divide(a: Node, b: Node) -> Node:
    return g.div(a, b)


def _floor_divide(a: Node, b: Node) -> Node:
    return g.floordiv(a, b) if dt.is_float(a.dtype) else g.div(a, b)


add = _binary("add", g.add, "a + b", "cr.add([1, 2], 0.5) -> tensor([1.5, 2.5])", kinds="iuf")
subtract = _binary(
    "subtract", g.sub, "a - b", "cr.subtract([3.0, 2.0], 1.0) -> tensor([2., 1.])", kinds="iuf"
)
multiply = _binary(
    "multiply", g.mul, "a · b", "cr.multiply([1.0, 2.0], 3.0) -> tensor([3., 6.])", kinds="iuf"
)
divide = _binary(
    "divide",
    _true_divide,
    "a / b; integers are divided as float32",
    "cr.divide([1, 2], 2) -> tensor([0.5, 1. ])",
    kinds="f",
)
floor_divide = _binary(
    "floor_divide",
    _floor_divide,
    "⌊a / b⌋, so that a = b · (a // b) + a % b; an integer divided by 0 gives 0",
    "cr.floor_divide(-7, 2) -> tensor(-4)",
    kinds="iuf",
)
remainder = _binary(
    "remainder",
    g.mod,
    "a - b⌊a / b⌋, with the sign of b",
    "cr.remainder(-7, 3) -> tensor(2)",
    kinds="iuf",
)
maximum = _binary(
    "maximum",
    g.max,
    "The larger of a and b; NaN if one is NaN",
    "cr.maximum([1, 5], 3) -> tensor([3, 5])",
)
minimum = _binary(
    "minimum",
    g.min,
    "The smaller of a and b; NaN if one is NaN",
    "cr.minimum([1.0, 5.0], [4.0, 2.0]) -> tensor([1., 2.])",
)
logaddexp = _binary(
    "logaddexp",
    el.logaddexp,
    "ln(eᵃ + eᵇ), without overflow",
    "cr.logaddexp([0.0, 1000.0], [0.0, 1000.0]) -> tensor([6.9315e-01, 1.0007e+03])",
    kinds="f",
)
atan2 = arctan2 = _binary(
    "atan2",
    el.atan2,
    "The angle of the point (b, a), in [-π, π]",
    "cr.atan2([1.0, 0.0], [1.0, -1.0]) -> tensor([0.7854, 3.1416])",
    kinds="f",
)
hypot = _binary(
    "hypot", el.hypot, "√(a² + b²), without overflow", "cr.hypot(3.0, 4.0) -> tensor(5.)", kinds="f"
)
copysign = _binary(
    "copysign",
    el.copysign,
    "|a| with the sign of b",
    "cr.copysign([1.0, 2.0], [-0.0, 3.0]) -> tensor([-1.,  2.])",
    kinds="f",
)
nextafter = _binary("nextafter", el.nextafter, "The next float from a towards b", kinds="f")
equal = _binary("equal", g.eq, "a = b", "cr.equal([1, 2], 2) -> tensor([False,  True])")
not_equal = _binary(
    "not_equal", g.ne, "a ≠ b", "cr.not_equal([1, 2, 3], 2) -> tensor([ True, False,  True])"
)
less = _binary("less", g.lt, "a < b")
less_equal = _binary(
    "less_equal",
    g.le,
    "a ≤ b",
    "cr.less_equal([1.0, 2.0, 3.0], 2.0) -> tensor([ True,  True, False])",
)
greater = _binary(
    "greater",
    lambda a, b: g.lt(b, a),
    "a > b",
    "cr.greater([1.0, 2.0, 3.0], 2.0) -> tensor([False, False,  True])",
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
    "cr.logical_and([True, True], [True, False]) -> tensor([ True, False])",
)
logical_or = _logical(
    "logical_or",
    g.or_,
    "a or b",
    "cr.logical_or([True, False], [False, False]) -> tensor([ True, False])",
)
logical_xor = _logical(
    "logical_xor",
    g.ne,
    "Exactly one of a and b",
    "cr.logical_xor([True, True], [True, False]) -> tensor([False,  True])",
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
                return make(_repeated_product(node, exponent), base)
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


def _repeated_product(x: Node, exponent: int) -> Node:
    result: Node | None = None
    square = x
    while exponent:
        if exponent & 1:
            result = square if result is None else g.mul(result, square)
        exponent >>= 1
        square = g.mul(square, square) if exponent else square
    return result if result is not None else g.ones_like(x)


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
