"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core.node import Array

Evaluate = Callable[[Array], tuple[float, Array]]
DECREASE, CURVATURE, LIMIT = 1e-4, 0.9, 25


def cubic_minimum(a: float, fa: float, da: float, b: float, fb: float, db: float) -> float:
    """Where the cubic with these values and slopes at a and b has its minimum; the middle if it has
    none."""
    d1 = da + db - 3 * (fa - fb) / (a - b)
    inside = d1 * d1 - da * db
    if inside < 0 or a == b:
        return (a + b) / 2
    d2 = math.copysign(math.sqrt(inside), b - a)
    bottom = db - da + 2 * d2
    return b - (b - a) * (db + d2 - d1) / bottom if bottom else (a + b) / 2


def strong_wolfe(
    evaluate: Evaluate, x: Array, t: float, direction: Array, loss: float, grad: Array, slope: float
) -> tuple[float, float, Array, int]:
    """A step t with f(x + t d) ≤ f + 1e-4 t f'(0) and |f'(t)| ≤ 0.9 |f'(0)|, f' the slope along d.

    Returns the step, the loss and gradient there, and how often the loss was computed. First a step
    that is too long is found, by extrapolation; then the interval shrinks around a step that
    satisfies both. Source: Nocedal & Wright, "Numerical optimization", 2006, algorithms 3.5 and
    3.6.
    """
    low = (0.0, loss, grad, slope)
    best = low
    count = 0
    high: tuple[float, float, Array, float] | None = None
    while count < LIMIT:
        new_loss, new_grad = evaluate(x + t * direction)
        point = (t, new_loss, new_grad, float(new_grad.dot(direction)))
        count += 1
        finite = math.isfinite(new_loss)
        if finite and new_loss < best[1]:
            best = point
        if not finite or new_loss > loss + DECREASE * t * slope or new_loss >= low[1]:
            high = point  # too long
        elif abs(point[3]) <= -CURVATURE * slope:
            return t, new_loss, new_grad, count
        else:
            if point[3] * ((high[0] if high else math.inf) - low[0]) >= 0:
                high = low
            low = point
        if high is None:
            t = min(max(cubic_minimum(0.0, loss, slope, *_three(low)), 1.1 * t), 10 * t)
        else:
            t = _between(low, high)
            if abs(high[0] - low[0]) * abs(direction).max() < 1e-9:
                break
    return best[0], best[1], best[2], count


def _three(point: tuple[float, float, Array, float]) -> tuple[float, float, float]:
    return point[0], point[1], point[3]


def _between(
    low: tuple[float, float, Array, float], high: tuple[float, float, Array, float]
) -> float:
    """The minimum of the cubic, kept a tenth away from both ends."""
    left, right = sorted((low[0], high[0]))
    if not math.isfinite(high[1]) or not math.isfinite(high[3]):
        return (left + right) / 2
    t = cubic_minimum(*_three(low), *_three(high))
    margin = 0.1 * (right - left)
    return min(max(t, left + margin), right - margin)
