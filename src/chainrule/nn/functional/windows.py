"""Windows over the positions of images: where they lie, their elements, and their maximum.

Letters: N minibatch, C channels, S positions of x (L; H, W; D, H, W), T positions of the windows, K
elements of a window. Inside, channels are last, as the convolutions have them: x (N, *S, C), its
windows (N, *T, C, *K).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import graph as g
from ...core.node import Array, Node
from ...core.primitives.convolution import output_size
from ...errors import OptionError, ShapeError
from ...tensor.ops.operands import float_node
from ...tensor.tensor import Tensor
from ...tensor.value import make
from ..options import integer, optional
from .convolution import Sizes, sizes

OUTSIDE = 2**29  # more than any position; the sum over three axes is an int32


@dataclass(frozen=True)
class Regular:
    """Windows ``stride`` apart along an axis of ``size``; window t begins at t stride - padding."""

    size: int
    outputs: int
    kernel: int
    stride: int
    padding: int = 0
    dilation: int = 1

    @property
    def behind(self) -> int:
        """Elements that the windows need after the last one; less than 0: more than they need."""
        last = (self.outputs - 1) * self.stride + (self.kernel - 1) * self.dilation
        return last + 1 - self.padding - self.size

    def table(self) -> Array:
        """The positions (T, K) that the windows read; -1 outside."""
        found = self.places()
        return np.where((found >= 0) & (found < self.size), found, -1)

    def places(self) -> Array:
        """The same, where they would be outside."""
        t, k = np.arange(self.outputs)[:, None], np.arange(self.kernel)
        return t * self.stride + k * self.dilation - self.padding


@dataclass(frozen=True)
class Adaptive:
    """Window i of ``outputs``: from ⌊i size / outputs⌋ up to ⌈(i + 1) size / outputs⌉."""

    size: int
    outputs: int

    def table(self) -> Array:
        """As `Regular.table`; shorter windows end with -1."""
        i = np.arange(self.outputs)
        start = i * self.size // self.outputs
        stop = -(-(i + 1) * self.size // self.outputs)
        found = start[:, None] + np.arange((stop - start).max())
        return np.where(found < stop[:, None], found, -1)


Axis = Regular | Adaptive


# -- from and to (N, C, *S) ------------------------------------------------------------------------
def channels_last(owner: str, x: Any, rank: int) -> tuple[Node, Tensor, bool]:
    """(N, C, *S) or (C, *S) -> (N, *S, C); and whether N was added."""
    node, tensor = float_node(x)
    if node.ndim not in (rank + 1, rank + 2):
        positions = ", ".join("DHW"[-rank:]) if rank > 1 else "L"
        raise ShapeError(f"{owner} expects (N, C, {positions}) or (C, {positions}), got {x.shape}")
    single = node.ndim == rank + 1
    node = g.reshape(node, (1, *node.shape)) if single else node
    return g.permute(node, (0, *range(2, rank + 2), 1)), tensor, single


def channels_first(y: Node, tensor: Tensor, single: bool) -> Tensor:
    """The way back."""
    y = g.permute(y, (0, y.ndim - 1, *range(1, y.ndim - 1)))
    return make(g.reshape(y, y.shape[1:]) if single else y, tensor)


# -- where windows lie -----------------------------------------------------------------------------
def check_regular(
    owner: str,
    rank: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
) -> list[tuple[int, int, int, int]]:
    """(kernel, stride, padding, dilation) of each axis; ``stride`` None: the kernel's."""
    kernel = sizes(owner, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride is None else sizes(owner, "stride", stride, rank, 1)
    around = sizes(owner, "padding", padding, rank, 0)
    spread = sizes(owner, "dilation", dilation, rank, 1)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise OptionError(
            f"{owner}: padding must be at most half of kernel_size, got padding {around} and "
            f"kernel_size {kernel}; pad more with nn.functional.pad before it"
        )
    return list(zip(kernel, steps, around, spread, strict=True))


def regular(
    owner: str,
    shape: Sequence[int],
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> list[Regular]:
    """The windows of a pooling layer over positions of ``shape``, by PyTorch's rules."""
    options = check_regular(owner, len(shape), kernel_size, stride, padding, dilation)
    found = []
    for n, (k, s, p, d) in zip(shape, options, strict=True):
        outputs = output_size(n, k, s, p, p, 1, d)
        if ceil_mode:
            outputs = output_size(n, k, s, p, p + s - 1, 1, d)
            outputs -= (outputs - 1) * s >= n + p  # each window begins inside
        if outputs < 1 or n < 1:
            raise ShapeError(
                f"{owner}: a window spans {(k - 1) * d + 1} elements, the padded input has "
                f"{n + 2 * p}: input (..., {', '.join(map(str, shape))}), padding {p}; set a "
                f"smaller kernel_size{' or dilation' if d > 1 else ''}, or give larger inputs"
            )
        found.append(Regular(n, outputs, k, s, p, d))
    return found


def check_adaptive(owner: str, rank: int, output_size: Any) -> list[int | None]:
    """The positions wanted along each axis; None: as many as there are."""
    several = isinstance(output_size, list | tuple)
    given = list(output_size) if several else [output_size] * rank
    given = given * rank if len(given) == 1 else given
    each = optional(integer(1))
    if len(given) != rank or not all(each.holds(o) for o in given):
        words = f", or {rank} of them" if rank > 1 else ""
        raise OptionError(
            f"{owner}: output_size must be an integer ≥ 1 or None{words}, got {output_size!r}"
        )
    return given


def adaptive(owner: str, shape: Sequence[int], output_size: Any) -> list[Axis]:
    """The windows that give ``output_size`` positions."""
    wanted = check_adaptive(owner, len(shape), output_size)
    if min(shape) < 1:
        raise ShapeError(f"{owner}: the input has no elements along an axis: {tuple(shape)}")
    found: list[Axis] = []
    for n, o in zip(shape, [o or n for o, n in zip(wanted, shape, strict=True)], strict=True):
        found.append(Adaptive(n, o) if n % o else Regular(n, o, n // o, n // o))
    return found


# -- what lies in them -----------------------------------------------------------------------------
def windows(x: Node, axes: Sequence[Axis], fill: float) -> Node:
    """x (N, *S, C) -> its windows (N, *T, C, *K), ``fill`` outside of x."""
    regulars = [a for a in axes if isinstance(a, Regular)]
    if len(regulars) < len(axes):
        return _gathered(x, axes, fill)
    low, high = [0] * x.ndim, [0] * x.ndim
    for i, a in enumerate(regulars, 1):
        low[i], high[i] = a.padding, max(a.behind, 0)
    options = [(a.kernel, a.stride, a.dilation) for a in regulars]
    places = range(1, len(axes) + 1)
    return g.window(g.pad(x, low, high, fill), places, *zip(*options, strict=True))


def _gathered(x: Node, axes: Sequence[Axis], fill: float) -> Node:
    inside: list[tuple[int, Array]] = []
    for i, axis in enumerate(axes, 1):
        table = axis.table()
        first = g.permute(x, (i, *(j for j in range(x.ndim) if j != i)))
        found = g.gather(first, g.constant(np.maximum(table, 0)))  # (T, K, the others)
        order = [j + 1 if j > i else j + 2 for j in range(x.ndim) if j != i]
        x = g.permute(found, (*order[:i], 0, *order[i:], 1))
        inside.append((i, table >= 0))
    for i, (place, mask) in enumerate(inside):
        if not mask.all():
            taps = x.ndim - len(axes) + i
            whole = along(mask, x, place, taps)
            x = g.where(whole, x, g.full(x.shape, fill, x.dtype))
    return x


def along(table: Array, like: Node, first: int, second: int) -> Node:
    """A table for two axes of ``like``, broadcast to it."""
    shape = [1] * like.ndim
    shape[first], shape[second] = table.shape
    return g.broadcast(g.reshape(g.constant(table), shape), like.shape)


def counts(axes: Sequence[Axis], ends: Sequence[tuple[int, int]]) -> Array:
    """Elements of the windows (*T,) that lie in start ≤ position < stop of each axis."""
    found = np.ones((), np.int64)
    for axis, (start, stop) in zip(axes, ends, strict=True):
        if isinstance(axis, Regular):
            places = axis.places()
            number = ((places >= start) & (places < stop)).sum(1)
        else:
            number = (axis.table() >= 0).sum(1)
        found = found[..., None] * number
    return found
