"""Images read at positions that are data: `grid_sample`, and the grids of affine maps.

Letters: N minibatch, C channels, S positions of x (H, W or D, H, W), T positions of the result. A
position is written as in PyTorch: x, y (, z), the last axis of the image first, from -1 to 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Array, Node
from ...errors import DTypeError, ShapeError
from ...tensor.ops.elementwise import where
from ...tensor.ops.operands import float_node
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, choice, integer
from .resize import far, near

_OPTIONS = {
    "mode": choice("bilinear", "nearest", "bicubic"),
    "padding_mode": choice("zeros", "border", "reflection"),
}
_SHAPES = {2: "(N, C, H, W) and a grid (N, H', W', 2)", 3: "(N, C, D, H, W), (N, D', H', W', 3)"}


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """The grid of an affine map, for `grid_sample`: position p of the result is read at θ (p, 1).

    ``theta`` (N, 2, 3), ``size`` (N, C, H, W) of the result: a grid (N, H, W, 2); or (N, 3, 4) and
    (N, C, D, H, W): (N, D, H, W, 3). ``align_corners``: -1 and 1 are the centres of the first and
    the last element, else their outer edges. Raises ShapeError for other shapes.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.affine_grid(cr.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2)).tolist()
    [[[[0.0, 0.0], [1.0, 0.0]]]]
    """
    node, tensor = float_node(as_tensor(theta))
    shape = tuple(size)
    rank = len(shape) - 2
    if rank not in (2, 3) or node.shape != (shape[0], rank, rank + 1):
        raise ShapeError(
            "affine_grid expects theta (N, 2, 3) and size (N, C, H, W), or (N, 3, 4) and "
            f"(N, C, D, H, W), got {node.shape} and {shape}"
        )
    for n in shape:
        check("affine_grid", {"size": integer(1)}, {"size": n})
    places = [_centres(n, align_corners) for n in shape[:1:-1]]  # the last axis is x
    axes = [p.reshape(-1, *[1] * i) for i, p in enumerate(places)]
    columns = np.broadcast_arrays(*axes, np.ones(()))
    points = np.stack([c.ravel() for c in columns], 1).astype(node.dtype)  # (S, rank + 1)
    many = g.broadcast(g.reshape(g.constant(points), (1, *points.shape)), (shape[0], *points.shape))
    grid = g.dot(many, g.permute(node, (0, 2, 1)))
    return make(g.reshape(grid, (shape[0], *shape[2:], rank)), tensor)


def _centres(n: int, corners: bool) -> Array:
    """Where the elements of an axis lie."""
    if corners:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return (2 * np.arange(n) + 1) / n - 1


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """x (N, C, *S) read at the positions of ``grid`` (N, *T, 2 or 3): (N, C, *T).

    A position is (x, y) or (x, y, z), from -1 to 1 along the last, the last but one, ... axis of x.
    ``mode``: "bilinear" (over three axes too), "nearest" (of two equally near the even one) or
    "bicubic" (two axes). Outside x there are zeros, the element at the border, or the image
    reflected (``padding_mode``). ``align_corners``: -1 and 1 are the centres of the first and the
    last element, else their outer edges. The gradient goes to x and the grid, where it is 0 if
    ``mode`` is "nearest" or a position is cut. Raises ShapeError, DTypeError or OptionError.

    Jaderberg, Simonyan, Zisserman & Kavukcuoglu, "Spatial transformer networks" (2015).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> x = cr.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> F.grid_sample(x, cr.tensor([[[[0.0, 0.0], [1.0, -1.0]]]]), align_corners=True).tolist()
    [[[[2.5, 2.0]]]]
    """
    check("grid_sample", _OPTIONS, {"mode": mode, "padding_mode": padding_mode})
    image, places = as_tensor(input), as_tensor(grid)
    node, image = float_node(image)
    rank = image.ndim - 2
    fits = places.ndim == rank + 2 and places.shape[-1] == rank
    if rank not in _SHAPES or not fits or places.shape[0] != image.shape[0]:
        raise ShapeError(
            f"grid_sample expects {_SHAPES[2]}, or {_SHAPES[3]}, got {image.shape} and "
            f"{places.shape}"
        )
    if mode == "bicubic" and rank != 2:
        raise ShapeError(f"grid_sample with mode 'bicubic' expects {_SHAPES[2]}, got {image.shape}")
    if min(image.shape[1:]) < 1:
        raise ShapeError(f"grid_sample: the image has no elements: {image.shape}")
    if places.dtype != image.dtype:
        raise DTypeError(
            f"grid_sample: the image is {image.dtype}, the grid {places.dtype}; convert one of them"
        )
    sizes = image.shape[2:]
    pad = _Padding(padding_mode, bool(align_corners))
    at = []  # in elements, along each axis of the image
    for axis, n in enumerate(sizes):
        c = places[..., rank - 1 - axis]
        at.append((c + 1) * ((n - 1) / 2) if align_corners else ((c + 1) * n - 1) * 0.5)
    taps = [_taps(mode, pad, c, n) for c, n in zip(at, sizes, strict=True)]
    rows = _Rows(node, sizes)
    total: Node | None = None
    for corner in itertools.product(*taps):
        term = rows.at(corner)
        total = term if total is None else g.add(total, term)
    assert total is not None
    out = g.reshape(total, (*places.shape[:-1], image.shape[1]))
    return make(g.permute(out, (0, rank + 1, *range(1, rank + 1))), image, places)


# -- which elements, and how much of each ----------------------------------------------------------
class _Tap(NamedTuple):
    """One element along an axis: which, whether it is there, and how much it counts."""

    number: Tensor
    there: Tensor
    weight: Tensor


def _taps(mode: str, pad: _Padding, at: Tensor, n: int) -> list[_Tap]:
    """The elements of an axis that the coordinates ``at`` are read from."""
    if mode != "bicubic":  # where what lies outside is looked up element by element
        at = pad(at, n)
    below = at.detach().floor()
    t = at - below
    match mode:
        case "bilinear":
            found = [(below, 1 - t), (below + 1, t)]
        case "nearest":
            one = g.custom_vjp(g.ones_like(use(at)), [use(at)], _no_slope)
            found = [(at.detach().round(), make(one, at))]
        case _:
            weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
            found = [(pad(below + (k - 1), n), w) for k, w in enumerate(weights)]
    taps = []
    for c, weight in found:
        there = (c >= 0) & (c <= n - 1)  # not where it is no number
        taps.append(_Tap(where(there, c, 0.0).to(dt.int64), there, weight))
    return taps


def _no_slope(grad: Node, y: Node, at: Node) -> list[Node | None]:
    return [g.zeros_like(at)]


class _Padding:
    """What a coordinate outside of an axis stands for."""

    def __init__(self, mode: str, corners: bool) -> None:
        self.mode, self.corners = mode, corners

    def __call__(self, at: Tensor, n: int) -> Tensor:
        if self.mode == "zeros":
            return at
        if self.mode == "reflection":
            at = self._reflected(at, n)
        found: Tensor = where(at <= 0, 0.0, where(at >= n - 1, float(n - 1), at))
        return found

    def _reflected(self, at: Tensor, n: int) -> Tensor:
        """Back and forth between the centres of the first and the last element, or their edges."""
        low, span = (0.0, n - 1.0) if self.corners else (-0.5, float(n))
        if span == 0:
            return at * 0
        beyond = at - low
        beyond = where(beyond < 0, -beyond, beyond)
        times = (beyond.detach() / span).floor()
        rest = beyond - times * span
        odd = times - 2 * (times / 2).floor()
        found: Tensor = where(odd == 0, rest, span - rest) + low
        return found


class _Rows:
    """The elements of images (N, C, *S), each a row of C channels."""

    def __init__(self, x: Node, sizes: Sequence[int]) -> None:
        self.sizes, self.images, channels = tuple(sizes), x.shape[0], x.shape[1]
        last = g.permute(x, (0, *range(2, x.ndim), 1))
        self.rows = g.reshape(last, (self.images * math.prod(sizes), channels))

    def at(self, taps: Sequence[_Tap]) -> Node:
        """(P, C): the elements where these cross, times their weights; 0 outside."""
        index, there, weight = taps[0]
        for tap, n in zip(taps[1:], self.sizes[1:], strict=True):
            index = index * n + tap.number
            there, weight = there & tap.there, weight * tap.weight
        first = np.arange(self.images) * math.prod(self.sizes)
        index = index + make(g.constant(first.reshape(-1, *[1] * (index.ndim - 1))))
        shape = (index.node.size, self.rows.shape[1])
        found = g.gather(self.rows, g.reshape(use(index), shape[:1]))
        on, by = (g.broadcast(g.reshape(use(t), (shape[0], 1)), shape) for t in (there, weight))
        return g.where(on, g.mul(found, by), g.zeros_like(found))
