"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..core.node import Array

Evaluate = Callable[[Array], tuple[float, Array]]
DECREASE, CURVATURE = 1e-4, 0.9
"""c₁ and c₂ of Nocedal & Wright (2006), section 3.1, for quasi-Newton methods."""


class Point(NamedTuple):
    """A step, and the loss, the gradient and the slope along the direction there."""

    t: float
    loss: float
    grad: Array
    slope: float

    @property
    def finite(self) -> bool:
        """Whether loss and slope are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic with the values and slopes of a and b is least, within [low, high].

    The middle if it has no minimum, or if one of them is not finite.
    """
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t or not (a.finite and b.finite):
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    inside = d1 * d1 - a.slope * b.slope
    if inside < 0:
        return (low + high) / 2
    d2 = math.sqrt(inside)
    bottom = b.slope - a.slope + 2 * d2
    if not bottom:
        return (low + high) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / bottom), low), high)


def strong_wolfe(
    evaluate: Evaluate,
    x: Array,
    t: float,
    direction: Array,
    start: Point,
    tolerance: float,
    limit: int,
) -> tuple[Point, int]:
    """A step t with f(t) ≤ f(0) + 1e-4 t f'(0) and |f'(t)| ≤ 0.9 |f'(0)|, f' the slope along d.

    ``start`` is the point at t = 0. Returns the point found and how often the loss was computed.
    First a step that is too long is sought by extrapolation; then the interval shrinks around a
    step that satisfies both, until it is shorter than ``tolerance``. After ``limit`` losses the
    best end is taken. Source: Nocedal & Wright, "Numerical optimization", 2006, algorithms 3.5 and
    3.6; the guards of the interpolation are those of Schmidt's minFunc, 2005, as in PyTorch.
    """

    def at(t: float) -> Point:
        loss, grad = evaluate(x + t * direction)
        return Point(t, loss, grad, float(grad.dot(direction)))

    def too_high(point: Point, other: float) -> bool:
        bound = start.loss + DECREASE * point.t * start.slope
        return not point.finite or point.loss > bound or point.loss >= other

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * start.slope

    before, point, count = start, at(t), 0
    while count < limit:
        if too_high(point, before.loss if count > 1 else math.inf):
            break
        if flat(point):
            return point, count + 1
        if point.slope >= 0:
            break
        low = point.t + 0.01 * (point.t - before.t)
        longer = cubic_minimum(before, point, low, 10 * point.t)
        before, point, count = point, at(longer), count + 1
    if count == limit:
        return min(start, point, key=_height), count + 1

    best, worst = sorted((before, point), key=_height)
    crept = False  # the last step came close to an end of the interval
    width = float(abs(direction).max(initial=0))
    while count < limit and abs(worst.t - best.t) * width >= tolerance:
        left, right = sorted((best.t, worst.t))
        t, crept = _inside(cubic_minimum(before, point, left, right), left, right, crept)
        new, count = at(t), count + 1
        if too_high(new, best.loss):
            best, worst = sorted((best, new), key=_height)
        elif flat(new):
            return new, count + 1
        else:
            worst = best if new.slope * (worst.t - best.t) >= 0 else worst
            best = new
        before, point = best, worst
    return best, count + 1


def _height(point: Point) -> float:
    return point.loss if point.finite else math.inf


def _inside(t: float, left: float, right: float, crept: bool) -> tuple[float, bool]:
    """A step twice in the outer tenth of the interval, or on its end, is moved inwards."""
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not crept and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False
