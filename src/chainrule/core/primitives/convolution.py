"""Convolutions and windows: the rules of `conv`, `window` and `fold`.

Channels last, any number of position axes; g counts groups, each with channels and outputs of its
own. With i = t stride + k dilation - low,

    conv    out[n, t, g, o] = sum over k, c of x[n, i / hole, g, c] w[k, c, g, o]
    window  out[..., t, ..., k] = x[..., t stride + k dilation, ...]
    fold    out[i] = sum over (t, k) with i = t stride + k dilation of y[t, k]: window's adjoint

Outside x there are zeros; terms where hole does not divide i are left out. ``hole`` spreads x (a
transposed convolution), ``low`` and ``high`` may be negative (x is cut).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...errors import DTypeError, ShapeError
from ..dtypes import DType
from ..node import Node
from .primitive import Array, Params, Shape

Slices = tuple[slice, slice]


def output_size(
    size: int, kernel: int, stride: int, low: int, high: int, hole: int, dilation: int
) -> int:
    """Positions t of a window of ``kernel`` taps; 0 or less: it does not fit once."""
    room = low + high + (size - 1) * hole + 1 - ((kernel - 1) * dilation + 1)
    return room // stride + 1


def conv_shape(params: Params, x: Node, w: Node) -> tuple[Shape, DType]:
    rank = x.ndim - 3
    if x.dtype != w.dtype or x.dtype.kind == "b":
        raise DTypeError(f"conv expects equal numeric dtypes, got {x.dtype} and {w.dtype}")
    if rank < 0 or w.ndim != x.ndim or any(len(params[p]) != rank for p in _PER_AXIS):
        raise ShapeError(
            f"conv expects (N, *positions, G, C) and (*taps, C, G, O), got {x.shape} and {w.shape}"
        )
    if x.shape[-2:] != (w.shape[-2], w.shape[-3]):
        raise ShapeError(
            f"conv of {x.shape[-2]} groups of {x.shape[-1]} channels does not fit weights {w.shape}"
        )
    sizes = []
    for a, (n, k) in enumerate(zip(x.shape[1:-2], w.shape[:-3], strict=True)):
        stride, low, high, hole, dilation = (params[p][a] for p in _PER_AXIS)
        if min(stride, hole, dilation, k, n) < 1:
            raise ShapeError(
                f"conv along axis {a + 1}: size {n}, taps {k}, stride {stride}, hole {hole} and "
                f"dilation {dilation} must be at least 1"
            )
        size = output_size(n, k, stride, low, high, hole, dilation)
        if size < 1:
            raise ShapeError(
                f"conv along axis {a + 1}: {k} taps at dilation {dilation} span "
                f"{(k - 1) * dilation + 1} elements, the padded input has "
                f"{low + high + (n - 1) * hole + 1}"
            )
        sizes.append(size)
    return (x.shape[0], *sizes, *w.shape[-2:]), x.dtype


_PER_AXIS = ("strides", "low", "high", "hole", "dilation")


def tap_slices(
    tap: int, size: int, count: int, stride: int, low: int, hole: int, dilation: int
) -> Slices | None:
    """Outputs (of ``count``) that a tap reaches, inputs (of ``size``) it reads; or None."""
    offset = tap * dilation - low  # i = t stride + offset
    period = hole // math.gcd(stride, hole)
    first = next((t for t in range(period) if (t * stride + offset) % hole == 0), None)
    if first is None:
        return None
    if first * stride + offset < 0:
        missing = -(first * stride + offset)
        first += -(-missing // (stride * period)) * period
    last = (size - 1) * hole - offset  # the largest t stride
    stop = min(count, last // stride + 1) if last >= 0 else 0
    if first >= stop:
        return None
    positions = range(first, stop, period)
    begin, step = (first * stride + offset) // hole, stride * period // hole
    return (
        slice(first, stop, period),
        slice(begin, begin + (len(positions) - 1) * step + 1, step),
    )


def conv_meaning(params: Params, x: Array, w: Array) -> Array:
    kernel = w.shape[:-3]
    strides, low, high, hole, dilation = (params[p] for p in _PER_AXIS)
    # A multiple of the hole, so that what is divisible by it stays so.
    around = [
        (max(-(-a // h), 0), max(-(-b // h), 0)) for a, b, h in zip(low, high, hole, strict=True)
    ]
    x = np.pad(x, [(0, 0), *around, (0, 0), (0, 0)])
    low = [a - p * h for a, (p, _), h in zip(low, around, hole, strict=True)]
    high = [b - q * h for b, (_, q), h in zip(high, around, hole, strict=True)]
    sizes = tuple(map(output_size, x.shape[1:-2], kernel, strides, low, high, hole, dilation))
    out = np.zeros((x.shape[0], *sizes, *w.shape[-2:]), x.dtype)
    for tap in np.ndindex(*kernel):
        axes = [
            tap_slices(tap[a], x.shape[a + 1], sizes[a], strides[a], low[a], hole[a], dilation[a])
            for a in range(len(kernel))
        ]
        if None not in axes:
            to = (slice(None), *(s[0] for s in axes if s is not None))
            from_ = (slice(None), *(s[1] for s in axes if s is not None))
            out[to] += _tap_product(x[from_], w[tap])
    return out


def _tap_product(x: Array, w: Array) -> Array:
    """(..., G, C) by (C, G, O)."""
    if w.shape[1] == 1:
        return np.asarray(np.matmul(x[..., 0, :], w[:, 0]))[..., None, :]
    if w.shape[0] == 1:
        return np.asarray(x * w[0])
    return np.asarray(np.einsum("...gc,cgo->...go", x, w))


# -- window and fold -----------------------------------------------------------------------------
def _positions(params: Params, shape: Shape, name: str) -> list[int]:
    axes, sizes, strides, dilation = (params[p] for p in ("axes", "sizes", "strides", "dilation"))
    if (
        not len(axes) == len(sizes) == len(strides) == len(dilation)
        or list(axes) != sorted(set(axes))
        or any(not 0 <= a < len(shape) for a in axes)
    ):
        raise ShapeError(f"{name}: {len(sizes)} sizes over axes {axes} of shape {shape}")
    positions = list(shape)
    for a, k, s, d in zip(axes, sizes, strides, dilation, strict=True):
        positions[a] = output_size(shape[a], k, s, 0, 0, 1, d)
        if min(k, s, d) < 1 or positions[a] < 1:
            raise ShapeError(
                f"{name}: {k} elements at dilation {d} span {(k - 1) * d + 1}, axis {a} of shape "
                f"{shape} has {shape[a]}"
            )
    return positions


def window_shape(params: Params, x: Node) -> tuple[Shape, DType]:
    return (*_positions(params, x.shape, "window"), *params["sizes"]), x.dtype


def fold_shape(params: Params, y: Node) -> tuple[Shape, DType]:
    expected = (*_positions(params, params["shape"], "fold"), *params["sizes"])
    if y.shape != expected:
        raise ShapeError(f"fold into {params['shape']} expects {expected}, got {y.shape}")
    if y.dtype.kind == "b":
        raise DTypeError("fold does not take bool; cast first")
    return params["shape"], y.dtype


def window_meaning(params: Params, x: Array) -> Array:
    axes, sizes, strides, dilation = (params[p] for p in ("axes", "sizes", "strides", "dilation"))
    spans = tuple((k - 1) * d + 1 for k, d in zip(sizes, dilation, strict=True))
    if not axes:
        return x
    every = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    at = [slice(None)] * x.ndim
    for a, s in zip(axes, strides, strict=True):
        at[a] = slice(None, None, s)
    return np.asarray(every[(*at, *(slice(None, None, d) for d in dilation))])


def fold_meaning(params: Params, y: Array) -> Array:
    out = np.zeros(params["shape"], y.dtype)
    for tap in np.ndindex(*params["sizes"]):
        out[fold_places(params, y.shape, tap)] += y[(..., *tap)]
    return out


def fold_places(params: Params, shape: Shape, tap: Sequence[int]) -> tuple[slice, ...]:
    """Where the elements of one tap of fold's input (of ``shape``) belong."""
    at = [slice(None)] * len(params["shape"])
    for a, k, s, d in zip(params["axes"], tap, params["strides"], params["dilation"], strict=True):
        at[a] = slice(k * d, k * d + (shape[a] - 1) * s + 1, s)
    return tuple(at)
