"""Patches of images as columns and back; channels as positions and back."""

from __future__ import annotations

import math
from typing import Any

from ...core import graph as g
from ...core.primitives.convolution import output_size as count
from ...errors import OptionError, ShapeError
from ...tensor.ops.operands import float_node
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make
from ..options import check, integer
from .convolution import Sizes, sizes

Options = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def patches(
    owner: str, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Options:
    """(kernel, dilation, padding, stride) of both positions, checked."""
    return (
        sizes(owner, "kernel_size", kernel_size, 2, 1),
        sizes(owner, "dilation", dilation, 2, 1),
        sizes(owner, "padding", padding, 2, 0),
        sizes(owner, "stride", stride, 2, 1),
    )


def _counts(owner: str, shape: tuple[int, ...], options: Options) -> tuple[int, ...]:
    """Windows along each position."""
    parts = zip(shape, *options, strict=True)
    found = tuple(count(n, k, s, p, p, 1, d) for n, k, d, p, s in parts)
    if min(found) < 1 or min(shape) < 1:
        kernel, dilation, padding, _ = options
        spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        room = tuple(n + 2 * p for n, p in zip(shape, padding, strict=True))
        raise ShapeError(f"{owner}: a patch spans {spans} elements, the padded image has {room}")
    return found


def unfold(
    input: Any, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Tensor:
    """Patches of x (N, C, H, W) or (C, H, W) as columns: (N, C K K, patches), also called im2col.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.unfold(cr.arange(6).reshape(1, 2, 3).float(), 2)
    tensor([[0., 1.],
            [1., 2.],
            [3., 4.],
            [4., 5.]])
    """
    return unfolded("unfold", input, kernel_size, dilation, padding, stride)


def unfolded(
    owner: str, x: Any, kernel_size: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Tensor:
    """`unfold`; ``owner`` is named in messages."""
    options = patches(owner, kernel_size, dilation, padding, stride)
    kernel, spread, around, steps = options
    node, tensor = float_node(x)
    if node.ndim not in (3, 4):
        raise ShapeError(f"{owner} expects (N, C, H, W) or (C, H, W), got {node.shape}")
    rows = _counts(owner, node.shape[-2:], options)
    single = node.ndim == 3
    node = g.reshape(node, (1, *node.shape)) if single else node
    node = g.pad(node, (0, 0, *around), (0, 0, *around))
    w = g.permute(g.window(node, (2, 3), kernel, steps, spread), (0, 1, 4, 5, 2, 3))
    columns = (w.shape[1] * math.prod(kernel), math.prod(rows))
    return make(g.reshape(w, columns if single else (w.shape[0], *columns)), tensor)


def fold(
    input: Any,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """Columns (N, C K K, patches) added up in an image (N, C, *output_size): `unfold`'s adjoint.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.fold(cr.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    return folded("fold", input, output_size, kernel_size, dilation, padding, stride)


def folded(
    owner: str,
    x: Any,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes,
    padding: Sizes,
    stride: Sizes,
) -> Tensor:
    """`fold`; ``owner`` is named in messages."""
    options = patches(owner, kernel_size, dilation, padding, stride)
    kernel, spread, around, steps = options
    image = sizes(owner, "output_size", output_size, 2, 1)
    rows, taps = _counts(owner, image, options), math.prod(kernel)
    node, tensor = float_node(x)
    if node.ndim not in (2, 3) or node.shape[-2] % taps or node.shape[-1] != math.prod(rows):
        raise ShapeError(
            f"{owner} expects (N, C·{taps}, {math.prod(rows)}) or (C·{taps}, {math.prod(rows)}): "
            f"patches of {kernel[0]}·{kernel[1]} elements at {rows[0]}·{rows[1]} places of "
            f"{image}, got {node.shape}"
        )
    single = node.ndim == 2
    n, channels = 1 if single else node.shape[0], node.shape[-2] // taps
    y = g.permute(g.reshape(node, (n, channels, *kernel, *rows)), (0, 1, 4, 5, 2, 3))
    (h, w), (p, q) = image, around
    whole = g.fold(y, (n, channels, h + 2 * p, w + 2 * q), (2, 3), kernel, steps, spread)
    whole = g.slice(whole, (0, 0, p, q), (n, channels, p + h, q + w), (1, 1, 1, 1))
    return make(g.reshape(whole, whole.shape[1:]) if single else whole, tensor)


def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """(*, C r², H, W) -> (*, C, r H, r W): channels become pixels (Shi et al., 2016).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.pixel_shuffle(cr.arange(4).reshape(4, 1, 1), 2)
    tensor([[[0, 1],
             [2, 3]]])
    """
    check("pixel_shuffle", {"upscale_factor": integer(1)}, {"upscale_factor": upscale_factor})
    x, r = as_tensor(input), upscale_factor
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ShapeError(f"pixel_shuffle by {r} expects (*, C·{r * r}, H, W), got {x.shape}")
    *lead, channels, h, w = x.shape
    c, a = channels // (r * r), len(lead)
    parts = x.reshape((*lead, c, r, r, h, w))
    order = (*range(a + 1), a + 3, a + 1, a + 4, a + 2)
    return parts.permute(order).reshape((*lead, c, r * h, r * w))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """(*, C, r H, r W) -> (*, C r², H, W): the inverse of `pixel_shuffle`.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.pixel_unshuffle(cr.zeros(1, 4, 6), 2).shape
    (4, 2, 3)
    """
    name = "pixel_unshuffle"
    check(name, {"downscale_factor": integer(1)}, {"downscale_factor": downscale_factor})
    x, r = as_tensor(input), downscale_factor
    if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise ShapeError(f"pixel_unshuffle by {r} expects (*, C, {r}·H, {r}·W), got {x.shape}")
    *lead, c, h, w = x.shape
    a = len(lead)
    parts = x.reshape((*lead, c, h // r, r, w // r, r))
    order = (*range(a + 1), a + 2, a + 4, a + 1, a + 3)
    return parts.permute(order).reshape((*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Tensor:
    """Channels of (N, C, *) dealt round the groups: 0, C/g, 2 C/g, …, 1, … (Zhang et al., 2018).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.channel_shuffle(cr.arange(6).reshape(1, 6, 1), 2).flatten().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    check("channel_shuffle", {"groups": integer(1)}, {"groups": groups})
    x = as_tensor(input)
    if x.ndim < 3:
        raise ShapeError(f"channel_shuffle expects (N, C, positions), got {x.shape}")
    n, channels, *rest = x.shape
    if channels % groups:
        raise OptionError(f"channel_shuffle: {channels} channels in groups={groups} do not divide")
    parts = x.reshape((n, groups, channels // groups, *rest))
    return parts.swapaxes(1, 2).reshape(x.shape)
