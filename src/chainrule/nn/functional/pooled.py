"""What the pooling functions do, for any number of positions; ``owner`` is named in messages.

Letters: N minibatch, C channels, S positions (L; H, W; D, H, W), T positions of the result. An
input without N is one example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DataError, DTypeError, OptionError, ShapeError
from ...tensor.ops.operands import float_node
from ...tensor.ranges import check_later
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, integer, number, optional
from .convolution import Sizes, sizes
from .known import known_values
from .window_sums import maximum, total
from .windows import (
    Axis,
    adaptive,
    channels_first,
    channels_last,
    counts,
    regular,
)


def max_pool(
    owner: str,
    x: Any,
    rank: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """The largest element of each window; with ``return_indices`` also where it is."""
    node, tensor, single = channels_last(owner, x, rank)
    shape = node.shape[1:-1]
    axes = regular(owner, shape, kernel_size, stride, padding, dilation, ceil_mode)
    return _maximum(node, tensor, single, axes, return_indices)


def _maximum(
    node: Node, tensor: Tensor, single: bool, axes: Sequence[Axis], return_indices: bool
) -> Any:
    found, places = maximum(node, axes, return_indices)
    out = channels_first(found, tensor, single)
    if places is None:
        return out
    return out, channels_first(g.stop_gradient(places), tensor.detach(), single)


def avg_pool(
    owner: str,
    x: Any,
    rank: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window."""
    table = {"divisor_override": optional(integer())}
    check(owner, table, {"divisor_override": divisor_override})
    if divisor_override == 0:
        raise OptionError(f"{owner}: divisor_override must not be 0")
    node, tensor, single = channels_last(owner, x, rank)
    axes = regular(owner, node.shape[1:-1], kernel_size, stride, padding, 1, ceil_mode)
    around = [a.padding if count_include_pad else 0 for a in axes]
    ends = [(-p, a.size + p) for a, p in zip(axes, around, strict=True)]
    return channels_first(_mean(node, axes, ends, divisor_override), tensor, single)


def _mean(
    x: Node, axes: Sequence[Axis], ends: Sequence[tuple[int, int]], divisor: int | None = None
) -> Node:
    """The sum of each window over the number of its elements between ``ends``."""
    summed = total(x, axes)
    number = counts(axes, ends)
    if divisor is not None or (number == number.flat[0]).all():
        return g.div(summed, g.full(summed.shape, divisor or int(number.flat[0]), summed.dtype))
    by = g.constant(number.astype(summed.dtype)[..., None])
    return g.div(summed, g.expand(by, summed.shape))


def adaptive_avg_pool(owner: str, x: Any, rank: int, output_size: Any) -> Tensor:
    """The mean of each of as many windows as the result has positions."""
    node, tensor, single = channels_last(owner, x, rank)
    axes = adaptive(owner, node.shape[1:-1], output_size)
    return channels_first(_mean(node, axes, [(0, a.size) for a in axes]), tensor, single)


def adaptive_max_pool(owner: str, x: Any, rank: int, output_size: Any, return_indices: bool) -> Any:
    """The largest element of each of as many windows as the result has positions."""
    node, tensor, single = channels_last(owner, x, rank)
    axes = adaptive(owner, node.shape[1:-1], output_size)
    return _maximum(node, tensor, single, axes, return_indices)


def lp_pool(
    owner: str,
    x: Any,
    rank: int,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None,
    ceil_mode: bool,
) -> Tensor:
    """(Σ xᵖ)^(1/p) of each window, by PyTorch's rule: the mean, times the kernel's size."""
    positive = number(0, brackets="()")
    check(owner, {"norm_type": positive}, {"norm_type": norm_type})
    node, tensor, single = channels_last(owner, x, rank)
    axes = regular(owner, node.shape[1:-1], kernel_size, stride, 0, 1, ceil_mode)
    p = float(norm_type)
    powers = _power(node, p)
    taps = math.prod(a.kernel for a in axes)
    mean = _mean(powers, axes, [(0, a.size) for a in axes])
    powered = g.mul(mean, g.full(mean.shape, taps, mean.dtype))
    zero, one = g.zeros_like(powered), g.ones_like(powered)
    is_zero = g.le(powered, zero)  # the root has no derivative there: 0
    root = _power(g.where(is_zero, one, powered), 1 / p)
    return channels_first(g.where(is_zero, zero, root), tensor, single)


def _power(x: Node, p: float) -> Node:
    if p == 1:
        return x
    if p == 2:
        return g.mul(x, x)
    return g.sqrt(x) if p == 0.5 else g.pow(x, g.full(x.shape, p, x.dtype))


def max_unpool(
    owner: str,
    x: Any,
    indices: Any,
    rank: int,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Any,
) -> Tensor:
    """x's elements at the positions they had before a max pooling, zeros elsewhere."""
    node, tensor = float_node(x)
    index = as_tensor(indices)
    if not dt.is_integer(index.dtype):
        raise DTypeError(f"{owner}: indices are integers, got {index.dtype}")
    if node.ndim not in (rank + 1, rank + 2) or index.shape != node.shape:
        raise ShapeError(
            f"{owner} expects the result of a max pooling over {rank} positions and indices of the"
            f" same shape, got {node.shape} and {index.shape}"
        )
    shape = _unpooled(owner, node.shape[-rank:], kernel_size, stride, padding, output_size)
    size = math.prod(shape)
    known = known_values(index)
    if known is not None and known.size and (known.min() < 0 or known.max() >= size):
        wrong = int(known.min()) if known.min() < 0 else int(known.max())
        raise DataError(f"{owner}: index {wrong} is outside of an output {shape}: 0 … {size - 1}")
    text = f"{owner}: index {{}} is outside of an output {shape}: 0 … {size - 1}"
    check_later(index.node, 0, size, text)
    images = math.prod(node.shape[:-rank])
    rows = g.reshape(g.cast(use(index), dt.int64), (images, math.prod(node.shape[-rank:])))
    first = g.constant((np.arange(images) * size).astype(np.int64)[:, None])
    flat = g.reshape(g.add(rows, g.broadcast(first, rows.shape)), (node.size,))
    given = g.reshape(node, (node.size,))
    empty = g.full((images * size,), 0, node.dtype)
    # Windows that overlap may name an element twice, with the same value: it counts once.
    often = g.scatter_add(empty, flat, g.ones_like(given))
    added = g.scatter_add(empty, flat, g.stop_gradient(given))
    out = g.div(added, g.max(often, g.ones_like(often)))
    out = g.custom_vjp(out, [given, flat], _at_index)
    return make(g.reshape(out, (*node.shape[:-rank], *shape)), tensor)


def _at_index(grad: Node, y: Node, x: Node, index: Node) -> list[Node | None]:
    """x̄ = g[index]."""
    return [g.gather(grad, index), None]


def _unpooled(
    owner: str,
    pooled: Sequence[int],
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    output_size: Any,
) -> tuple[int, ...]:
    """The positions before the pooling: ``output_size``, or the fewest that there can have been."""
    rank = len(pooled)
    kernel = sizes(owner, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride is None else sizes(owner, "stride", stride, rank, 1)
    around = sizes(owner, "padding", padding, rank, 0)
    parts = zip(pooled, steps, around, kernel, strict=True)
    found = tuple((n - 1) * s - 2 * p + k for n, s, p, k in parts)
    if output_size is None:
        wanted = found
    else:
        wanted = sizes(owner, "output_size", tuple(output_size)[-rank:], rank, 1)
        if any(not n - s < w < n + s for n, s, w in zip(found, steps, wanted, strict=True)):
            low = tuple(n - s + 1 for n, s in zip(found, steps, strict=True))
            high = tuple(n + s - 1 for n, s in zip(found, steps, strict=True))
            raise ShapeError(
                f"{owner}: output_size={wanted} is not between {low} and {high} for input "
                f"{tuple(pooled)}"
            )
    if min(wanted) < 1:
        raise ShapeError(f"{owner}: the output would have sizes {wanted} for input {tuple(pooled)}")
    return wanted
