"""Pooling over 1, 2 and 3 positions, in PyTorch's layout.

Letters: N minibatch, C channels, L or H, W or D, H, W positions, T positions of the result. An
input without N is one example.
"""

from __future__ import annotations

from typing import Any

from ...tensor.tensor import Tensor
from .convolution import Sizes
from .pooled import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    lp_pool,
    max_pool,
    max_unpool,
)


# -- max -------------------------------------------------------------------------------------------
def max_pool1d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of x (N, C, L) or (C, L).

    T = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1, rounded up with ``ceil_mode`` (but
    each window begins inside). Outside x there is -∞. The gradient goes to the first of equal
    maxima; NaN is largest. With ``return_indices``: also the positions in x, as `max_unpool1d`
    takes them. Raises OptionError if padding is more than half of the kernel.

    >>> from chainrule.nn import functional as F
    >>> F.max_pool1d([[1.0, 5.0, 2.0, 4.0]], 2, return_indices=True)
    (tensor([[5., 4.]]), tensor([[1, 3]]))
    """
    return max_pool(
        "max_pool1d", input, 1, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool1d` over two positions: x (N, C, H, W) or (C, H, W); indices count row by row.

    >>> from chainrule.nn import functional as F
    >>> F.max_pool2d([[[1.0, 5.0], [2.0, 4.0]]], 2)
    tensor([[[5.]]])
    """
    return max_pool(
        "max_pool2d", input, 2, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool3d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool1d` over three positions: x (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.max_pool3d(cr.ones(1, 2, 4, 4, 4), 2).shape
    (1, 2, 2, 2, 2)
    """
    return max_pool(
        "max_pool3d", input, 3, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


# -- average ---------------------------------------------------------------------------------------
def avg_pool1d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of x (N, C, L) or (C, L).

    T = ⌊(L + 2 padding - K) / stride⌋ + 1, rounded up with ``ceil_mode``. Outside x there are
    zeros, which count as elements unless ``count_include_pad`` is False.

    >>> from chainrule.nn import functional as F
    >>> F.avg_pool1d([[1.0, 5.0, 2.0, 4.0]], 2)
    tensor([[3., 3.]])
    """
    return avg_pool(
        "avg_pool1d", input, 1, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


def avg_pool2d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """`avg_pool1d` over two positions, (N, C, H, W); ``divisor_override`` replaces the count.

    >>> from chainrule.nn import functional as F
    >>> F.avg_pool2d([[[1.0, 5.0], [2.0, 4.0]]], 2)
    tensor([[[3.]]])
    """
    return avg_pool(
        "avg_pool2d",
        input,
        2,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool3d(
    input: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """`avg_pool2d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.avg_pool3d(cr.ones(1, 2, 4, 4, 4), 2).shape
    (1, 2, 2, 2, 2)
    """
    return avg_pool(
        "avg_pool3d",
        input,
        3,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


# -- as many windows as asked for ------------------------------------------------------------------
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Tensor:
    """Means of ``output_size`` windows of x (N, C, L): from ⌊i L / T⌋ up to ⌈(i + 1) L / T⌉.

    None: as many as x has positions.

    >>> from chainrule.nn import functional as F
    >>> F.adaptive_avg_pool1d([[1.0, 2.0, 3.0]], 2)
    tensor([[1.5, 2.5]])
    """
    return adaptive_avg_pool("adaptive_avg_pool1d", input, 1, output_size)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of the windows of `adaptive_avg_pool1d`; with ``return_indices`` also where they are.

    >>> from chainrule.nn import functional as F
    >>> F.adaptive_max_pool1d([[1.0, 2.0, 3.0]], 2)
    tensor([[2., 3.]])
    """
    return adaptive_max_pool("adaptive_max_pool1d", input, 1, output_size, return_indices)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Tensor:
    """`adaptive_avg_pool1d` over two positions, (N, C, H, W); 1: the mean of each channel.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.adaptive_avg_pool2d(cr.ones(2, 8, 7, 5), (3, None)).shape
    (2, 8, 3, 5)
    """
    return adaptive_avg_pool("adaptive_avg_pool2d", input, 2, output_size)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.adaptive_max_pool2d(cr.ones(2, 8, 7, 5), (3, None)).shape
    (2, 8, 3, 5)
    """
    return adaptive_max_pool("adaptive_max_pool2d", input, 2, output_size, return_indices)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Tensor:
    """`adaptive_avg_pool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.adaptive_avg_pool3d(cr.ones(2, 8, 7, 5, 3), 1).shape
    (2, 8, 1, 1, 1)
    """
    return adaptive_avg_pool("adaptive_avg_pool3d", input, 3, output_size)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.adaptive_max_pool3d(cr.ones(2, 8, 7, 5, 3), 2).shape
    (2, 8, 2, 2, 2)
    """
    return adaptive_max_pool("adaptive_max_pool3d", input, 3, output_size, return_indices)


# -- powers, and the way back ----------------------------------------------------------------------
def lp_pool1d(
    input: Any,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(Σ xᵖ)^(1/p) of each window of x (N, C, L), p = ``norm_type``.

    0, without gradient, where the sum is not positive. Windows that ``ceil_mode`` cuts off count as
    if whole, as in PyTorch.

    >>> from chainrule.nn import functional as F
    >>> F.lp_pool1d([[3.0, 4.0]], 2, 2)
    tensor([[5.]])
    """
    return lp_pool("lp_pool1d", input, 1, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Any,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """`lp_pool1d` over two positions, (N, C, H, W).

    >>> from chainrule.nn import functional as F
    >>> F.lp_pool2d([[[3.0, 4.0]]], 2, (1, 2))
    tensor([[[5.]]])
    """
    return lp_pool("lp_pool2d", input, 2, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Any,
    norm_type: float,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """`lp_pool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.lp_pool3d(cr.ones(1, 1, 2, 2, 2), 1, 2).item()
    8.0
    """
    return lp_pool("lp_pool3d", input, 3, norm_type, kernel_size, stride, ceil_mode)


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """The elements of x (N, C, L) at ``indices``, as `max_pool1d` gave them; zeros elsewhere.

    ``output_size``: the positions before the pooling, where several sizes give the same result.
    Raises DataError for an index outside.

    >>> from chainrule.nn import functional as F
    >>> F.max_unpool1d([[5.0, 4.0]], [[1, 3]], 2)
    tensor([[0., 5., 0., 4.]])
    """
    return max_unpool("max_unpool1d", input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """`max_unpool1d` over two positions, (N, C, H, W).

    >>> from chainrule.nn import functional as F
    >>> F.max_unpool2d([[[5.0]]], [[[1]]], 2)
    tensor([[[0., 5.],
             [0., 0.]]])
    """
    return max_unpool("max_unpool2d", input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    output_size: Any = None,
) -> Tensor:
    """`max_unpool1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.max_unpool3d(cr.ones(1, 1, 1, 1), cr.zeros(1, 1, 1, 1).long(), 2).shape
    (1, 2, 2, 2)
    """
    return max_unpool("max_unpool3d", input, indices, 3, kernel_size, stride, padding, output_size)
