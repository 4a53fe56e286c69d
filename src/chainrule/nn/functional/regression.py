"""Losses of numbers, and of distances and rankings."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ...errors import DataError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.elementwise import select
from ...tensor.tensor import Tensor
from ...tensor.value import Value, as_tensor, make, use
from ..options import check, check_reduction, number
from .activations import require_float
from .classification import mean_over, reduced, weighed
from .known import known_values
from .linear import pairwise_distance
from .targets import check_finite, same_shape


def _pair(name: str, x: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Input and target as float tensors of one shape and dtype."""
    check_reduction(name, reduction)
    x = require_float(name, as_tensor(x))
    target = as_tensor(target)
    same_shape(name, x, target)
    check_finite(name, target)
    return x, target.to(x.dtype)


def _weighted(name: str, loss: Tensor, weight: Any, reduction: str) -> Tensor:
    """The weighted mean divides by the sum of the weights; it is 0 where all are 0."""
    if weight is None:
        return reduced(loss, reduction)
    w = as_tensor(weight)
    same_shape(name, loss, w, "weight")
    w = w.to(loss.dtype)
    total = reduced(weighed(loss, w), "sum" if reduction == "mean" else reduction)
    return make(mean_over(use(total), use(w.sum())), total, w) if reduction == "mean" else total


def _difference(x: Tensor, t: Tensor, weight: Any) -> Tensor:
    """x - t; 0 where it is infinite and its weight 0, so that its gradient is 0 too."""
    d: Tensor = x - t
    if weight is None:
        return d
    return select((as_tensor(weight) == 0) & e.isinf(d), 0.0, d)


def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Tensor:
    """(x - t)². Shapes must be equal: nothing is broadcast.

    ``weight``, of that shape, multiplies the loss of each element; the mean divides by its sum.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.mse_loss(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """
    x, t = _pair("mse_loss", input, target, reduction)
    difference = _difference(x, t, weight)
    return _weighted("mse_loss", difference * difference, weight, reduction)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Tensor:
    """|x - t|; ``weight`` as in `mse_loss`.

    >>> from chainrule.nn import functional as F
    >>> F.l1_loss([0.5, 2.0], [1.0, 1.0])
    tensor(0.75)
    """
    x, t = _pair("l1_loss", input, target, reduction)
    return _weighted("l1_loss", e.abs(_difference(x, t, weight)), weight, reduction)


def _quadratic_below(bound: float, d: Tensor) -> Tensor:
    """d² / 2 where |d| ≤ bound, else bound (|d| - bound / 2).

    Of an infinite d too its slope is ± bound.
    """
    size = e.abs(d)
    near = e.clip(size, None, bound)
    return near * (size - 0.5 * near)


def smooth_l1_loss(
    input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """(x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta/2 (Girshick, 2015).

    >>> from chainrule.nn import functional as F
    >>> F.smooth_l1_loss([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """
    x, t = _pair("smooth_l1_loss", input, target, reduction)
    check("smooth_l1_loss", {"beta": number(0)}, {"beta": beta})
    if not isinstance(beta, Value) and beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return reduced(_quadratic_below(beta, x - t) * (1 / beta), reduction)


def huber_loss(
    input: Any, target: Any, *, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """(x - t)² / 2 where |x - t| ≤ delta, else delta (|x - t| - delta/2) (Huber, 1964).

    ``weight`` multiplies the loss of each element; the mean divides by their number, as PyTorch's.

    >>> from chainrule.nn import functional as F
    >>> F.huber_loss([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """
    x, t = _pair("huber_loss", input, target, reduction)
    check("huber_loss", {"delta": number(0, brackets="()")}, {"delta": delta})
    d = _difference(x, t, weight)
    loss = _quadratic_below(delta, d)
    if weight is not None:
        w = as_tensor(weight)
        same_shape("huber_loss", loss, w, "weight")
        loss = weighed(loss, w)
    return reduced(loss, reduction)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """eˣ - t x for the logarithm x of a rate (x - t ln(x + eps) for a rate) and counts t.

    ``full`` adds Stirling's t ln t - t + ln(2πt)/2 where t > 1.

    >>> from chainrule.nn import functional as F
    >>> F.poisson_nll_loss([0.5, 2.0], [1.0, 1.0])
    tensor(3.2689)
    """
    x, t = _pair("poisson_nll_loss", input, target, reduction)
    loss = e.exp(x) - weighed(x, t) if log_input else x - weighed(e.log(x + eps), t)
    if full:
        counts = select(t > 1, t, 1.0)
        stirling = counts * e.log(counts) - counts + 0.5 * e.log(2 * math.pi * counts)
        loss = loss + select(t > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(ln v + (x - t)² / v) / 2 for a mean x, a target t, and a variance v of at least eps.

    ``var`` has the input's shape, or 1 (or nothing) as its last axis. ``full`` adds ln(2π)/2.

    >>> from chainrule.nn import functional as F
    >>> F.gaussian_nll_loss([0.5, 2.0], [1.0, 1.0], [1.0, 4.0])
    tensor(0.4716)
    """
    name = "gaussian_nll_loss"
    x, t = _pair(name, input, target, reduction)
    check(name, {"eps": number(0, brackets="()")}, {"eps": eps})
    v = as_tensor(var).to(x.dtype)
    if v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = v.unsqueeze(-1)
        elif v.ndim and v.shape[:-1] != x.shape[:-1] or v.shape[-1:] != (1,):
            raise ShapeError(
                f"{name}: the input has shape {x.shape}, var {v.shape}; equal, or 1 as last axis"
            )
    known = known_values(v)
    if known is not None and (known < 0).any():
        raise DataError(f"{name}: a variance is not negative, got {known.min():g}")
    # The value is bounded below by eps, its gradient is not (PyTorch's choice).
    bounded = v + e.maximum(eps - v.detach(), 0.0)
    d = x - t
    loss = 0.5 * (e.log(bounded) + d * d / bounded)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


# -- distances and rankings ------------------------------------------------------------------------
def _signs(name: str, target: Any, shape: tuple[int, ...]) -> Tensor:
    """A target of 1 and -1."""
    signs: Tensor = as_tensor(target)
    known = known_values(signs)
    if known is not None and known.size and (abs(known) != 1).any():
        raise DataError(f"{name}: targets are 1 or -1, got {known[abs(known) != 1].flat[0]:g}")
    if signs.shape not in (shape, ()):
        raise ShapeError(f"{name}: expects a target of shape {shape}, got {signs.shape}")
    return signs


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x1, x2) if target = 1, max(0, cos(x1, x2) - margin) if target = -1; x (N, D) or (D,).

    >>> from chainrule.nn import functional as F
    >>> F.cosine_embedding_loss([[1.0, 0.0]], [[3.0, 4.0]], [1.0])
    tensor(0.4)
    """
    name = "cosine_embedding_loss"
    check_reduction(name, reduction)
    x1, x2 = require_float(name, as_tensor(input1)), require_float(name, as_tensor(input2))
    same_shape(name, x1, x2, "second input")
    sign = _signs(name, target, x1.shape[:-1])
    cosine = (_unit(x1) * _unit(x2)).sum(axis=-1)
    return reduced(select(sign == 1, 1.0 - cosine, e.clip(cosine - margin, min=0)), reduction)


def _unit(x: Tensor) -> Tensor:
    """x / √(‖x‖² + 1e-12) along the last axis, computed of x / max|x|: squares do not overflow."""
    largest = e.maximum(e.abs(x.detach()).max(axis=-1, keepdims=True), 1e-6)
    y = x / largest
    unit: Tensor = y / e.sqrt((y * y).sum(axis=-1, keepdims=True) + (1e-6 / largest) ** 2)
    return unit


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + d(a, p) - d(a, n)); ``swap`` takes the smaller of d(a, n) and d(p, n).

    >>> from chainrule.nn import functional as F
    >>> F.triplet_margin_loss([[0.0, 0.0]], [[1.0, 0.0]], [[3.0, 4.0]])
    tensor(0.)
    """
    given = (anchor, positive, negative)
    distance = functools.partial(pairwise_distance, p=p, eps=eps)
    return _triplet("triplet_margin_loss", given, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of your own: max(0, margin + d(a, p) - d(a, n)).

    ``distance_function`` takes two tensors (N, D) and gives (N,); `pairwise_distance` if None.

    >>> from chainrule.nn import functional as F
    >>> F.triplet_margin_with_distance_loss([[0.0]], [[1.0]], [[3.0]], margin=4.0)
    tensor(2.)
    """
    name = "triplet_margin_with_distance_loss"
    check_reduction(name, reduction)
    check(name, {"margin": number(0, brackets="()")}, {"margin": margin})
    given = (anchor, positive, negative)
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(name, given, distance, margin, swap, reduction)


def _triplet(
    name: str,
    given: tuple[Any, Any, Any],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    check_reduction(name, reduction)
    a, b, c = (require_float(name, as_tensor(x)) for x in given)
    same_shape(name, a, b, "positive")
    same_shape(name, a, c, "negative")
    near, far = distance(a, b), distance(a, c)
    if swap:
        far = e.minimum(far, distance(b, c))
    return reduced(e.clip(margin + near - far, min=0), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, *, reduction: str = "mean"
) -> Tensor:
    """max(0, margin - y (x1 - x2)): x1 should rank above x2 where y = 1, below where y = -1.

    >>> from chainrule.nn import functional as F
    >>> F.margin_ranking_loss([0.5, 2.0], [1.0, 1.0], [1.0, -1.0])
    tensor(0.75)
    """
    name = "margin_ranking_loss"
    check_reduction(name, reduction)
    x1, x2 = require_float(name, as_tensor(input1)), require_float(name, as_tensor(input2))
    same_shape(name, x1, x2, "second input")
    y = _signs(name, target, x1.shape)
    return reduced(e.clip(margin - y.to(x1.dtype) * (x1 - x2), min=0), reduction)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """x where target = 1, max(0, margin - x) where target = -1.

    >>> from chainrule.nn import functional as F
    >>> F.hinge_embedding_loss([0.5, 0.25], [1.0, -1.0])
    tensor(0.625)
    """
    check_reduction("hinge_embedding_loss", reduction)
    x = require_float("hinge_embedding_loss", as_tensor(input))
    y = _signs("hinge_embedding_loss", target, x.shape)
    return reduced(select(y == 1, x, e.clip(margin - x, min=0)), reduction)


def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """ln(1 + e^(-y x)) for scores x and y = 1 or -1.

    >>> from chainrule.nn import functional as F
    >>> F.soft_margin_loss([0.5, 2.0], [1.0, 1.0])
    tensor(0.3005)
    """
    check_reduction("soft_margin_loss", reduction)
    x = require_float("soft_margin_loss", as_tensor(input))
    y = _signs("soft_margin_loss", target, x.shape)
    return reduced(e.softplus(-y.to(x.dtype) * x), reduction)
