"""Elementary functions composed of primitives, on float nodes (few take others) of one shape.

Each is within 4 units in the last place over the whole range, and nothing overflows on the way to a
result that does not. Where the gradient of the formula would (or would lose its digits), the
function has the textbook's rule instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...core import graph as g
from ...core.dtypes import bool_, is_float
from ...core.node import Node

Rule = Callable[..., list[Node | None]]

_HALF_E = math.e / 2


def number(x: Node, value: float) -> Node:
    """A constant like x."""
    return g.full(x.shape, value, x.dtype)


def _negative(x: Node) -> Node:
    return g.lt(x, number(x, 0))


def _odd(y: Node, x: Node) -> Node:
    """y = f(|x|) with the sign of x, for an odd f; f(±0) = ±0."""
    signed = g.where(_negative(x), g.neg(y), y)
    return g.where(g.eq(x, number(x, 0)), x, signed)


def _ruled(formula: Callable[[Node], Node], rule: Rule) -> Callable[[Node], Node]:
    return lambda x: g.custom_vjp(formula(x), [x], rule)


# -- of whole numbers too --------------------------------------------------------------------------
def absolute(x: Node) -> Node:
    """|x|"""
    return x if x.dtype.kind == "u" else g.abs(x)


def square(x: Node) -> Node:
    """x²"""
    return g.mul(x, x)


def floor(x: Node) -> Node:
    """⌊x⌋"""
    return g.floor(x) if is_float(x.dtype) else x


def ceil(x: Node) -> Node:
    """⌈x⌉ = -⌊-x⌋"""
    return g.neg(g.floor(g.neg(x))) if is_float(x.dtype) else x


def trunc(x: Node) -> Node:
    """x without its fraction."""
    if not is_float(x.dtype):
        return x
    return g.where(g.lt(x, g.zeros_like(x)), ceil(x), g.floor(x))


def nearest(x: Node) -> Node:
    """The nearest integer, of two the even one; a zero keeps the sign of x."""
    if not is_float(x.dtype):
        return x
    low = g.floor(x)
    rest = g.sub(x, low)
    half, zero = number(x, 0.5), number(x, 0)
    odd = g.ne(g.mod(low, number(x, 2)), zero)
    up = g.or_(g.lt(half, rest), g.and_(g.eq(rest, half), odd))
    whole = g.where(up, g.add(low, number(x, 1)), low)
    return g.where(g.eq(whole, zero), g.mul(x, zero), whole)


def floor_divide(a: Node, b: Node) -> Node:
    """⌊a / b⌋"""
    return g.floordiv(a, b) if is_float(a.dtype) else g.div(a, b)


def whole_power(x: Node, exponent: int) -> Node:
    """x to a power ≥ 0, by squares."""
    result: Node | None = None
    power = x
    while exponent:
        if exponent & 1:
            result = power if result is None else g.mul(result, power)
        exponent >>= 1
        power = g.mul(power, power) if exponent else power
    return result if result is not None else g.ones_like(x)


def relu_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g where y > 0, else 0 (as PyTorch at 0); NaN passes. Only the output is needed."""
    return [g.where(g.le(y, g.zeros_like(y)), g.zeros_like(grad), grad)]


def relu(x: Node) -> Node:
    """max(x, 0)"""
    return g.custom_vjp(g.max(x, g.zeros_like(x)), [x], relu_rule)


# -- with another gradient at a kink ---------------------------------------------------------------
def sqrt_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g / 2y, and 0 at 0"""
    at_zero = g.eq(y, number(y, 0))
    safe = g.where(at_zero, number(y, 1), y)
    return [g.where(at_zero, number(y, 0), g.div(grad, g.add(safe, safe)))]


root_of_sum = _ruled(g.sqrt, sqrt_rule)
"""√x of a sum of squares: 0 where all of them are, and so is its gradient."""


@dataclass(frozen=True)
class ClipRule:
    """x̄ = g where low ≤ x ≤ high; the bound that counts gets the rest, the upper one before the
    lower one. Of equal numbers x has it all."""

    has_low: bool
    has_high: bool

    def __call__(self, grad: Node, y: Node, x: Node, *bounds: Node) -> list[Node | None]:
        zero = g.zeros_like(grad)
        low = bounds[0] if self.has_low else None
        high = bounds[-1] if self.has_high else None
        below = g.lt(x, low) if low is not None else g.full(x.shape, False, bool_)
        above = g.lt(high, x) if high is not None else g.full(x.shape, False, bool_)
        if low is not None and high is not None:
            crossed = g.lt(high, low)
            below, above = g.and_(below, g.not_(crossed)), g.or_(above, crossed)
        result: list[Node | None] = [g.where(g.or_(below, above), zero, grad)]
        result += [g.where(below, grad, zero)] if low is not None else []
        result += [g.where(above, grad, zero)] if high is not None else []
        return result


def clip(x: Node, low: Node | None, high: Node | None) -> Node:
    """min(max(x, low), high)"""
    y = x if low is None else g.max(x, low)
    y = y if high is None else g.min(y, high)
    if x.dtype.kind != "f":
        return y
    bounds = [b for b in (low, high) if b is not None]
    return g.custom_vjp(y, [x, *bounds], ClipRule(low is not None, high is not None))


@dataclass(frozen=True)
class FirstRule:
    """x̄ = g at the first element along the axis that is the extreme one, 0 elsewhere."""

    axis: int
    largest: bool

    def __call__(self, grad: Node, y: Node, x: Node) -> list[Node | None]:
        kept = [1 if i == self.axis else n for i, n in enumerate(x.shape)]
        position = g.argmax(x if self.largest else g.neg(x), self.axis)
        position = g.broadcast(g.reshape(position, kept), x.shape)
        chosen = g.eq(g.iota(x.shape, self.axis, position.dtype), position)
        wide = g.broadcast(g.reshape(grad, kept), x.shape)
        return [g.where(chosen, wide, g.zeros_like(wide))]


def first_extreme(x: Node, axis: int, largest: bool) -> Node:
    """The largest or smallest element along an axis; the first of equal ones has the gradient."""
    y = (g.reduce_max if largest else g.reduce_min)(x, [axis])
    return g.custom_vjp(y, [x], FirstRule(axis, largest)) if x.dtype.kind == "f" else y


@dataclass(frozen=True)
class SoftmaxRule:
    """x̄ = y (g - Σ g y): needs what softmax gives, and nothing between."""

    over: tuple[int, ...]

    def __call__(self, grad: Node, y: Node, x: Node) -> list[Node | None]:
        kept = [1 if i in self.over else n for i, n in enumerate(y.shape)]
        total = g.reshape(g.sum(g.mul(grad, y), self.over), kept)
        return [g.mul(y, g.sub(grad, g.broadcast(total, y.shape)))]


# -- hyperbolic functions --------------------------------------------------------------------------
def _half_exp(a: Node, far: Node) -> Node:
    """eᵃ/2; where ``far``, as eᵃ⁻¹ e/2, which overflows only where the result does (a - 1 is
    exact)."""
    one = number(a, 1)
    factor = g.where(far, number(a, _HALF_E), number(a, 0.5))
    return g.mul(g.exp(g.where(far, g.sub(a, one), a)), factor)


def _sinh(x: Node) -> Node:
    # Near 0 by e = expm1|x|: (e + e / (e + 1)) / 2; from 22 on e^-|x| is too small to count.
    a = g.abs(x)
    far = g.lt(number(a, 22), a)
    e = g.expm1(g.where(far, number(a, 1), a))
    near = g.mul(number(a, 0.5), g.add(e, g.div(e, g.add(e, number(a, 1)))))
    return _odd(g.where(far, _half_exp(a, far), near), x)


def _cosh(x: Node) -> Node:
    a = g.abs(x)
    half = _half_exp(a, g.lt(number(a, 22), a))
    return g.add(half, g.div(number(a, 0.25), half))


def sinh_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g cosh x"""
    return [g.mul(grad, cosh(x))]


def cosh_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g sinh x"""
    return [g.mul(grad, sinh(x))]


sinh = _ruled(_sinh, sinh_rule)
cosh = _ruled(_cosh, cosh_rule)


def _large(x: Node) -> Node:
    """Whether 1 + x² rounds to x²."""
    return g.lt(number(x, 2.0 ** (np.finfo(x.dtype).nmant // 2 + 2)), x)


def _asinh(x: Node) -> Node:
    # log1p(a + a² / (1 + √(1 + a²))); far out log a + log 2
    a = g.abs(x)
    far = _large(a)
    one = number(a, 1)
    s = g.where(far, one, a)
    square = g.mul(s, s)
    near = g.log1p(g.add(s, g.div(square, g.add(one, g.sqrt(g.add(one, square))))))
    y = g.where(far, g.add(g.log(a), number(a, math.log(2))), near)
    return _odd(y, x)


def asinh_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g / √(1 + x²)"""
    return [g.div(grad, hypot(x, number(x, 1)))]


def _acosh(x: Node) -> Node:
    # With t = x - 1: log1p(t + √(t (t + 2))); far out log x + log 2
    far = _large(x)
    t = g.sub(g.where(far, number(x, 2), x), number(x, 1))
    near = g.log1p(g.add(t, g.sqrt(g.mul(t, g.add(t, number(x, 2))))))
    y = g.where(far, g.add(g.log(x), number(x, math.log(2))), near)
    return g.where(g.lt(x, number(x, 1)), number(x, math.nan), y)


def acosh_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g / (√(x - 1) √(x + 1))"""
    one = number(x, 1)
    return [g.div(g.div(grad, g.sqrt(g.sub(x, one))), g.sqrt(g.add(x, one)))]


def _atanh(x: Node) -> Node:
    # log1p(2a / (1 - a)) / 2
    a = g.abs(x)
    ratio = g.div(g.add(a, a), g.sub(number(a, 1), a))
    return _odd(g.mul(number(a, 0.5), g.log1p(ratio)), x)


def atanh_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g / ((1 - x) (1 + x))"""
    return [g.div(g.div(grad, g.sub(number(x, 1), x)), g.add(number(x, 1), x))]


asinh = _ruled(_asinh, asinh_rule)
acosh = _ruled(_acosh, acosh_rule)
atanh = _ruled(_atanh, atanh_rule)


# -- inverse trigonometric functions ---------------------------------------------------------------
def _cosine_of_asin(x: Node) -> Node:
    return g.sqrt(g.mul(g.sub(number(x, 1), x), g.add(number(x, 1), x)))


def _asin(x: Node) -> Node:
    return g.atan(g.div(x, _cosine_of_asin(x)))


def asin_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g / √(1 - x²)"""
    return [g.div(grad, _cosine_of_asin(x))]


def _acos(x: Node) -> Node:
    ratio = g.div(g.sub(number(x, 1), x), g.add(number(x, 1), x))
    half = g.atan(g.sqrt(ratio))
    return g.add(half, half)


def acos_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = -g / √(1 - x²)"""
    return [g.neg(g.div(grad, _cosine_of_asin(x)))]


asin = _ruled(_asin, asin_rule)
acos = _ruled(_acos, acos_rule)


def tan_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g (1 + y²)"""
    return [g.mul(grad, g.add(number(x, 1), g.mul(y, y)))]


tan = _ruled(lambda x: g.div(g.sin(x), g.cos(x)), tan_rule)


def softplus(x: Node) -> Node:
    """max(x, 0) + log1p(e^-|x|), with branches chosen so that the gradient at 0 is sigmoid(0)."""
    zero = number(x, 0)
    positive = g.lt(zero, x)
    return g.add(g.where(positive, x, zero), g.log1p(g.exp(g.where(positive, g.neg(x), x))))


def exp2(x: Node) -> Node:
    """2ˣ"""
    return g.pow(number(x, 2), x)


# -- of two numbers --------------------------------------------------------------------------------
def signbit(x: Node) -> Node:
    """Whether x is below 0 or is -0 (whose reciprocal is -∞)."""
    zero = number(x, 0)
    minus_zero = g.and_(g.eq(x, zero), g.lt(g.div(number(x, 1), x), zero))
    return g.or_(g.lt(x, zero), minus_zero)


def _copysign(a: Node, b: Node) -> Node:
    return g.where(g.ne(signbit(a), signbit(b)), g.neg(a), a)


def copysign_rule(grad: Node, y: Node, a: Node, b: Node) -> list[Node | None]:
    """ā = g where the signs of a and b are equal, else -g; 0 at a = 0"""
    signed = g.where(g.eq(signbit(a), signbit(b)), grad, g.neg(grad))
    return [g.where(g.eq(a, number(a, 0)), number(a, 0), signed), number(b, 0)]


def copysign(a: Node, b: Node) -> Node:
    """|a| with the sign of b."""
    return g.custom_vjp(_copysign(a, b), [a, b], copysign_rule)


def _hypot(a: Node, b: Node) -> Node:
    # m √(1 + (n/m)²), m the larger of |a| and |b|
    x, y = g.abs(a), g.abs(b)
    large, small = g.max(x, y), g.min(x, y)
    zero, infinite = number(a, 0), number(a, math.inf)
    ratio = g.div(small, g.where(g.eq(large, zero), number(a, 1), large))
    root = g.sqrt(g.add(number(a, 1), g.mul(ratio, ratio)))
    is_infinite = g.or_(g.eq(x, infinite), g.eq(y, infinite))
    return g.where(is_infinite, infinite, g.mul(large, root))


def hypot_rule(grad: Node, y: Node, a: Node, b: Node) -> list[Node | None]:
    """ā = g a / y, b̄ = g b / y; 0 at the origin"""
    safe = g.where(g.eq(y, number(y, 0)), number(y, 1), y)
    return [g.mul(grad, g.div(a, safe)), g.mul(grad, g.div(b, safe))]


def hypot(a: Node, b: Node) -> Node:
    """√(a² + b²)"""
    return g.custom_vjp(_hypot(a, b), [a, b], hypot_rule)


def _atan2(y: Node, x: Node) -> Node:
    # The angle of the first quadrant, mirrored at the y axis where x < 0 (π in two parts), then
    # at the x axis.
    a, b = g.abs(y), g.abs(x)
    one, zero = number(y, 1), number(y, 0)
    same = g.eq(a, b)  # 0 and 0, or inf and inf
    ratio = g.div(g.where(same, one, a), g.where(same, one, b))
    angle = g.atan(ratio)
    left = signbit(x)
    is_zero = g.and_(same, g.eq(a, zero))
    angle = g.where(is_zero, zero, angle)
    high = float(np.asarray(math.pi, y.dtype))
    low = 1.2246467991473532e-16 if y.dtype == np.float64 else math.pi - high
    mirrored = g.add(g.sub(number(y, high), angle), number(y, low))
    return copysign(g.where(left, mirrored, angle), y)


def atan2_rule(grad: Node, out: Node, y: Node, x: Node) -> list[Node | None]:
    """ȳ = g x / (x² + y²), x̄ = -g y / (x² + y²); 0 at the origin"""
    r = hypot(y, x)
    r = g.where(g.eq(r, number(r, 0)), number(r, 1), r)
    return [
        g.mul(grad, g.div(g.div(x, r), r)),
        g.neg(g.mul(grad, g.div(g.div(y, r), r))),
    ]


def atan2(y: Node, x: Node) -> Node:
    """The angle of the point (x, y), from -π to π."""
    return g.custom_vjp(_atan2(y, x), [y, x], atan2_rule)


def _distance(a: Node, b: Node) -> Node:
    """a - b, but 0 where both are the same infinity."""
    same = g.and_(g.eq(a, b), g.eq(g.abs(a), number(a, math.inf)))
    return g.where(same, number(a, 0), g.sub(a, b))


def _logaddexp(a: Node, b: Node) -> Node:
    # m + log1p(e^-d), m the larger one. What d = m - n lost in rounding is made good: e^d would
    # magnify it.
    larger = g.lt(b, a)
    m, n = g.where(larger, a, b), g.where(larger, b, a)
    d = _distance(n, m)
    back = g.sub(d, n)
    lost = g.sub(g.sub(n, g.sub(d, back)), g.add(m, back))
    lost = g.where(g.lt(g.abs(d), number(d, math.inf)), lost, number(d, 0))
    lost = g.where(g.eq(n, m), number(d, 0), lost)
    e = g.exp(d)
    return g.add(m, g.log1p(g.add(e, g.mul(e, lost))))


def logaddexp_rule(grad: Node, y: Node, a: Node, b: Node) -> list[Node | None]:
    """ā = g / (1 + eᵇ⁻ᵃ), b̄ = g / (1 + eᵃ⁻ᵇ)"""
    d = _distance(a, b)
    return [g.mul(grad, g.sigmoid(d)), g.mul(grad, g.sigmoid(g.neg(d)))]


def logaddexp(a: Node, b: Node) -> Node:
    """ln(eᵃ + eᵇ)"""
    return g.custom_vjp(_logaddexp(a, b), [a, b], logaddexp_rule)


def nextafter(a: Node, b: Node) -> Node:
    """The next float from a towards b.

    With ε half the last place's unit, x + ε (1 + 2ε) |x| rounds to the next float above x; scaled
    up where the step is too small to be exact, and the smallest float there is near 0.
    """
    info = np.finfo(a.dtype)
    normal, scale = float(info.smallest_normal), 2.0**64
    factor = number(a, float(info.eps) / 2 * (1 + float(info.eps)))
    zero, size = number(a, 0), g.abs(a)
    up = g.where(g.lt(a, b), number(a, 1), number(a, -1))
    is_small = g.lt(size, number(a, normal * scale))
    scaled = g.mul(a, g.where(is_small, number(a, scale), number(a, 1)))
    moved = g.add(scaled, g.mul(up, g.mul(g.abs(scaled), factor)))
    moved = g.mul(moved, g.where(is_small, number(a, 1 / scale), number(a, 1)))
    tiny = g.add(a, g.mul(up, number(a, float(info.smallest_subnormal))))
    moved = g.where(g.lt(size, number(a, 2 * normal)), tiny, moved)
    inward = g.mul(g.sign(a), number(a, float(info.max)))
    moved = g.where(g.eq(size, number(a, math.inf)), inward, moved)
    moved = g.where(g.eq(moved, zero), copysign(zero, a), moved)
    return g.where(g.eq(a, b), b, g.where(g.ne(b, b), b, moved))
