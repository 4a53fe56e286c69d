"""Convolutions and transposed convolutions over 1, 2 and 3 positions, in PyTorch's layout.

Letters: N minibatch, C channels, O outputs, S positions (L; H, W; D, H, W), K taps. An input
without N is one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...core.primitives.convolution import output_size
from ...errors import DTypeError, OptionError, ShapeError
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import integer

Sizes = int | Sequence[int]


def sizes(owner: str, name: str, value: Any, rank: int, low: int) -> tuple[int, ...]:
    """An option that is one number for all positions, or one for each."""
    each = integer(low)
    given = tuple(value) if isinstance(value, list | tuple) else (value,) * rank
    if len(given) == 1:
        given *= rank
    if len(given) != rank or not all(each.holds(v) for v in given):
        several = f" or {rank} of them" if rank > 1 else ""
        raise OptionError(f"{owner}: {name} must be {each.words}{several}, got {value!r}")
    return tuple(int(v) for v in given)


def padding_of(
    owner: str,
    padding: Any,
    rank: int,
    taps: Sequence[int],
    dilation: Sequence[int],
    stride: Sequence[int],
) -> list[tuple[int, int]]:
    """Zeros before and after each position: numbers, "valid" or "same" (the odd one behind)."""
    if padding == "valid":
        return [(0, 0)] * rank
    if padding == "same":
        if any(s != 1 for s in stride):
            raise OptionError(
                f"{owner}: padding='same' keeps the length, which stride {tuple(stride)} does not;"
                " give the padding as numbers"
            )
        total = [(k - 1) * d for k, d in zip(taps, dilation, strict=True)]
        return [(n // 2, n - n // 2) for n in total]
    if isinstance(padding, str):
        raise OptionError(f"{owner}: padding must be a number, 'valid' or 'same', got {padding!r}")
    return [(p, p) for p in sizes(owner, "padding", padding, rank, 0)]


def _arguments(
    owner: str, x: Any, weight: Any, bias: Any, rank: int, transposed: bool, groups: int
) -> tuple[Tensor, Tensor, Tensor | None, bool]:
    """The tensors, checked, x with its N; and whether that was added."""
    x, weight = as_tensor(x), as_tensor(weight)
    if not dt.is_float(x.dtype):
        x = x.to(weight.dtype)
    if x.dtype != weight.dtype:
        raise DTypeError(
            f"{owner}: the input is {x.dtype}, the weight {weight.dtype}; convert one with .to(), "
            f"as in x.to('{weight.dtype}')"
        )
    single = x.ndim == rank + 1
    positions = ", ".join("DHW"[-rank:]) if rank > 1 else "L"
    if weight.ndim != rank + 2 or x.ndim not in (rank + 1, rank + 2):
        shape = "in, out / groups" if transposed else "out, in / groups"
        raise ShapeError(
            f"{owner} expects x (N, C, {positions}) or (C, {positions}) and weight ({shape}, "
            f"{rank} sizes), got {x.shape} and {weight.shape}"
        )
    x = x.unsqueeze(0) if single else x
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.shape[1] != channels:
        raise ShapeError(
            f"{owner} expects {channels} channels, got {x.shape[1]}: x {x.shape}, weight "
            f"{weight.shape}, groups {groups}"
        )
    if weight.shape[0] % groups:
        raise ShapeError(
            f"{owner}: {weight.shape[0]} {'inputs' if transposed else 'outputs'} cannot be divided "
            f"into {groups} groups"
        )
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    b = None if bias is None else as_tensor(bias)
    if b is not None and b.shape != (outputs,):
        raise ShapeError(f"{owner} expects bias ({outputs},), got {b.shape}")
    return x, weight, b, single


def _channels_last(x: Node, groups: int) -> Node:
    """(N, C, *S) -> (N, *S, G, C / G)."""
    last = g.permute(x, (0, *range(2, x.ndim), 1))
    return g.reshape(last, (*last.shape[:-1], groups, last.shape[-1] // groups))


def _channels_first(y: Node, bias: Tensor | None) -> Node:
    """(N, *T, G, O / G), plus the bias, -> (N, O, *T)."""
    whole = g.reshape(y, (*y.shape[:-2], y.shape[-2] * y.shape[-1]))
    if bias is not None:
        whole = g.add(whole, g.expand(g.cast(use(bias), whole.dtype), whole.shape))
    return g.permute(whole, (0, whole.ndim - 1, *range(1, whole.ndim - 1)))


def convolution(
    owner: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Any,
    dilation: Sizes,
    groups: int,
    rank: int,
) -> Tensor:
    """The convolution over ``rank`` positions; ``owner`` is named in messages."""
    groups = sizes(owner, "groups", groups, 1, 1)[0]
    x, weight, bias, single = _arguments(owner, x, weight, bias, rank, False, groups)
    taps = weight.shape[2:]
    steps = sizes(owner, "stride", stride, rank, 1)
    spread = sizes(owner, "dilation", dilation, rank, 1)
    around = padding_of(owner, padding, rank, taps, spread, steps)
    for n, k, d, (before, after) in zip(x.shape[2:], taps, spread, around, strict=True):
        if output_size(n, k, 1, before, after, 1, d) < 1 or n < 1:
            raise ShapeError(
                f"{owner}: the kernel spans {(k - 1) * d + 1} elements, the padded input has "
                f"{n + before + after}: x {x.shape}, kernel {taps}, dilation {spread}, padding "
                f"{around}"
                "\n    set more padding or a smaller kernel_size, or give larger inputs"
            )
    w = use(weight)  # (O, C / G, *K) -> (*K, C / G, G, O / G)
    w = g.reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    w = g.permute(w, (*range(3, w.ndim), 2, 0, 1))
    first, last = zip(*around, strict=True)
    y = g.conv(_channels_last(use(x), groups), w, steps, first, last, (1,) * rank, spread)
    tensors = [t for t in (x, weight, bias) if t is not None]
    result = make(_channels_first(y, bias), *tensors)
    return result.squeeze(0) if single else result


def transposed_convolution(
    owner: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
    rank: int,
) -> Tensor:
    """The adjoint of the convolution of the same options: what its gradient does to the input."""
    groups = sizes(owner, "groups", groups, 1, 1)[0]
    x, weight, bias, single = _arguments(owner, x, weight, bias, rank, True, groups)
    taps = weight.shape[2:]
    hole = sizes(owner, "stride", stride, rank, 1)
    spread = sizes(owner, "dilation", dilation, rank, 1)
    around = sizes(owner, "padding", padding, rank, 0)
    more = sizes(owner, "output_padding", output_padding, rank, 0)
    for m, s, d in zip(more, hole, spread, strict=True):
        if m >= max(s, d):
            raise OptionError(
                f"{owner}: output_padding must be smaller than stride or dilation, got {more} for "
                f"stride {hole} and dilation {spread}"
            )
    spans = [(k - 1) * d for k, d in zip(taps, spread, strict=True)]
    low = [span - p for span, p in zip(spans, around, strict=True)]
    high = [a + m for a, m in zip(low, more, strict=True)]
    found = [
        output_size(n, k, 1, a, b, h, d)
        for n, k, a, b, h, d in zip(x.shape[2:], taps, low, high, hole, spread, strict=True)
    ]
    if min(found) < 1:
        raise ShapeError(
            f"{owner}: the output would have sizes {tuple(found)}; padding {around} cuts all away: "
            f"x {x.shape}, kernel {taps}"
        )
    w = use(weight)  # (C, O / G, *K) -> (*K, C / G, G, O / G), taps in reverse order
    w = g.reshape(w, (groups, w.shape[0] // groups, *w.shape[1:]))
    w = g.flip(g.permute(w, (*range(3, w.ndim), 1, 0, 2)), range(rank))
    y = g.conv(_channels_last(use(x), groups), w, (1,) * rank, low, high, hole, spread)
    tensors = [t for t in (x, weight, bias) if t is not None]
    result = make(_channels_first(y, bias), *tensors)
    return result.squeeze(0) if single else result


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Any = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, o, t] = b[o] + Σ x[n, c, t stride + k dilation - padding] w[o, c, k] over c and k.

    x (N, C, L) or (C, L), weight (O, C / groups, K): y (N, O, T), T = ⌊(L + 2 padding -
    dilation (K - 1) - 1) / stride⌋ + 1. ``padding`` may be "same" (with stride 1) or "valid".
    Raises ShapeError where channels do not fit or the kernel is longer than the padded input.

    >>> from chainrule.nn import functional as F
    >>> F.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, -1.0]]], padding=1).tolist()
    [[[-1.0, -1.0, -1.0, 3.0]]]
    """
    return convolution("conv1d", input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Any = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """`conv1d` over two positions: x (N, C, H, W), weight (O, C / groups, K, K).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.conv2d(cr.ones(1, 2, 5, 5), cr.ones(3, 2, 3, 3), padding="same").shape
    (1, 3, 5, 5)
    """
    return convolution("conv2d", input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Any = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """`conv1d` over three positions: x (N, C, D, H, W), weight (O, C / groups, K, K, K).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.conv3d(cr.ones(1, 1, 4, 4, 4), cr.ones(2, 1, 3, 3, 3), stride=2).shape
    (1, 2, 1, 1, 1)
    """
    return convolution("conv3d", input, weight, bias, stride, padding, dilation, groups, 3)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The adjoint of `conv1d`: y[n, o, s stride + k dilation - padding] += x[n, c, s] w[c, o, k].

    x (N, C, L), weight (C, O / groups, K): y (N, O, T), T = (L - 1) stride - 2 padding + dilation
    (K - 1) + output_padding + 1. Also called a deconvolution, which it is not.

    >>> from chainrule.nn import functional as F
    >>> F.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 10.0]]], stride=2).tolist()
    [[[1.0, 10.0, 2.0, 20.0]]]
    """
    return transposed_convolution(
        "conv_transpose1d",
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        1,
    )


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """`conv_transpose1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.conv_transpose2d(cr.ones(1, 2, 3, 3), cr.ones(2, 4, 2, 2), stride=2).shape
    (1, 4, 6, 6)
    """
    return transposed_convolution(
        "conv_transpose2d",
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        2,
    )


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """`conv_transpose1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.conv_transpose3d(cr.ones(1, 1, 2, 2, 2), cr.ones(1, 1, 2, 2, 2)).shape
    (1, 1, 3, 3, 3)
    """
    return transposed_convolution(
        "conv_transpose3d",
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        3,
    )
