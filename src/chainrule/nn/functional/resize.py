"""Images in another size: each element of the result is a weighted sum of a few elements of x.

What they are is a table for each axis, made when the graph is made: positions (T, K) and weights
(T, K), for T elements of the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ...core import graph as g
from ...core.node import Array, Node
from ...errors import OptionError, ShapeError
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor
from ..options import check, choice, number
from .convolution import sizes
from .pooled import adaptive_avg_pool
from .windows import channels_first, channels_last

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_CUBIC = -0.75  # Keys's parameter, as in PyTorch


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """x with ``size``, or ``scale_factor`` times as many, positions.

    x (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    ``mode``: "nearest" (element ⌊i L / T⌋, exactly), "nearest-exact" (⌊(i + ½) L / T⌋), "linear",
    "bilinear", "trilinear", "bicubic" or "area" (means of windows). ``align_corners``: first and
    last elements lie on each other, for the linear ones and bicubic. ``antialias`` is not there.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> x = cr.tensor([[[0.0, 4.0]]])
    >>> F.interpolate(x, scale_factor=2).tolist(), F.interpolate(x, 4, mode="linear").tolist()
    ([[[0.0, 0.0, 4.0, 4.0]]], [[[0.0, 1.0, 3.0, 4.0]]])
    """
    return interpolated(
        "interpolate",
        input,
        size,
        scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
    )


def interpolated(
    owner: str,
    x: Any,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """`interpolate`; ``owner`` is named in messages."""
    check_options(owner, size, scale_factor, mode, align_corners, recompute, antialias)
    x = as_tensor(x)
    rank = x.ndim - 2
    if rank not in (1, 2, 3) or rank != _RANKS.get(mode, rank):
        wanted = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
        shapes = [wanted[_RANKS[mode]]] if mode in _RANKS else list(wanted.values())
        raise ShapeError(f"{owner} with mode {mode!r} expects {' or '.join(shapes)}, got {x.shape}")
    node, tensor, _ = channels_last(owner, x, rank)
    shape = node.shape[1:-1]
    if min(shape) < 1:
        raise ShapeError(f"{owner}: the image has no positions: {tensor.shape}")
    if scale_factor is None:
        factors: Sequence[float | None] = [None] * rank
        wanted_sizes = sizes(owner, "size", size, rank, 1)
    else:
        given = _factors(owner, scale_factor, rank)
        found = [math.floor(n * f) for n, f in zip(shape, given, strict=True)]
        if min(found) < 1:
            raise ShapeError(f"{owner}: scale_factor={scale_factor!r} leaves nothing of {shape}")
        wanted_sizes = tuple(found)
        factors = [None] * rank if recompute or mode == "area" else given
    if mode == "area":
        return adaptive_avg_pool(owner, tensor, rank, wanted_sizes)
    for axis, (new, factor) in enumerate(zip(wanted_sizes, factors, strict=True), 1):
        node = _along(node, axis, new, factor, mode, bool(align_corners))
    return channels_first(node, tensor, False)


def check_options(
    owner: str,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute: bool | None = None,
    antialias: bool = False,
) -> None:
    """Raise OptionError for options that do not fit together."""
    check(owner, {"mode": choice(*MODES)}, {"mode": mode})
    if antialias:
        raise OptionError(
            f"{owner}: antialias=True is not there; to make images smaller, use mode='area'"
        )
    if (size is None) == (scale_factor is None):
        raise OptionError(f"{owner}: give one of size and scale_factor")
    if align_corners is not None and mode not in _RANKS:
        raise OptionError(f"{owner}: align_corners belongs to {', '.join(_RANKS)}, not {mode!r}")
    if recompute and size is not None:
        raise OptionError(f"{owner}: recompute_scale_factor belongs to scale_factor, not to size")
    if scale_factor is not None:
        several = isinstance(scale_factor, list | tuple)
        _factors(owner, scale_factor, len(scale_factor) if several else 1)


def _factors(owner: str, value: Any, rank: int) -> list[float]:
    given = list(value) if isinstance(value, list | tuple) else [value] * rank
    each = number(0, brackets="()")
    if len(given) != rank or not all(each.holds(f) for f in given):
        words = f", or {rank} of them" if rank > 1 else ""
        raise OptionError(f"{owner}: scale_factor must be {each.words}{words}, got {value!r}")
    return [float(f) for f in given]


def _along(x: Node, axis: int, new: int, factor: float | None, mode: str, corners: bool) -> Node:
    """x with ``new`` elements along one axis."""
    old = x.shape[axis]
    if factor is None or old * factor == new:
        ratio = Fraction(old, new)
    else:  # 0.1 means a tenth, not the nearest binary number
        ratio = 1 / Fraction(factor).limit_denominator(10**9)
    if mode == "nearest":
        if ratio.numerator == 1:
            return _repeated(x, axis, ratio.denominator)
        if ratio.denominator == 1:
            step = ratio.numerator
            return g.part(x, axis, 0, (new - 1) * step + 1, step)
    first = g.permute(x, (axis, *(a for a in range(x.ndim) if a != axis)))
    total: Node | None = None
    positions, weights = _table(old, new, ratio, mode, corners)
    for k in range(positions.shape[1]):
        term = g.gather(first, g.constant(positions[:, k]))
        if weights is not None:
            by = g.constant(weights[:, k].astype(x.dtype))
            by = g.reshape(by, (new, *[1] * (x.ndim - 1)))
            term = g.mul(term, g.broadcast(by, term.shape))
        total = term if total is None else g.add(total, term)
    assert total is not None
    return g.permute(total, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))


def _repeated(x: Node, axis: int, times: int) -> Node:
    """Each element ``times`` times."""
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = g.reshape(x, (*before, n, 1, *after))
    return g.reshape(g.broadcast(apart, (*before, n, times, *after)), (*before, n * times, *after))


def _table(
    old: int, new: int, ratio: Fraction, mode: str, corners: bool
) -> tuple[Array, Array | None]:
    """Positions and weights of the elements that each new element is made of."""
    last = old - 1
    if mode.startswith("nearest"):
        half = Fraction(1, 2) if mode == "nearest-exact" else 0
        found = [min(math.floor((i + half) * ratio), last) for i in range(new)]
        return np.array(found, np.int64)[:, None], None
    i = np.arange(new)
    if corners:
        at = i * (last / (new - 1) if new > 1 else 0.0)
    else:
        at = (i + 0.5) * float(ratio) - 0.5
    if mode == "bicubic":
        below = np.floor(at)
        t = np.clip(at - below, 0, 1)
        weights = np.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], 1)
        return np.clip(below[:, None] + np.arange(-1, 3), 0, last).astype(np.int64), weights
    at = np.maximum(at, 0)
    below = np.minimum(np.floor(at), last)
    t = np.clip(at - below, 0, 1)
    both = np.stack([below, np.minimum(below + 1, last)], 1).astype(np.int64)
    return both, np.stack([1 - t, t], 1)


def near(t: Any) -> Any:
    """The cubic kernel for |t| ≤ 1 (Keys, 1981), of an array or a tensor."""
    return ((_CUBIC + 2) * t - (_CUBIC + 3)) * t * t + 1


def far(t: Any) -> Any:
    """The cubic kernel for 1 < |t| < 2."""
    return ((_CUBIC * t - 5 * _CUBIC) * t + 8 * _CUBIC) * t - 4 * _CUBIC


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate`, by its older name.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.upsample(cr.zeros(1, 3, 4, 4), scale_factor=2).shape
    (1, 3, 8, 8)
    """
    return interpolated("upsample", input, size, scale_factor, mode, align_corners)
