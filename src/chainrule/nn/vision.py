"""Layers that resize and rearrange images, with PyTorch's names and options."""

from __future__ import annotations

from typing import Any

from ..tensor.tensor import Tensor
from . import functional as F
from . import trail
from .functional.convolution import Sizes, sizes
from .functional.rearrange import folded, patches, unfolded
from .functional.resize import check_options, interpolated
from .module import Module
from .of_function import OfFunction
from .options import integer, takes_options


class Upsample(Module):
    """(N, C, L), (N, C, H, W) or (N, C, D, H, W) in another size: see `functional.interpolate`.

    Give one of ``size`` and ``scale_factor``.

    ``mode``: "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic" or "area".

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Upsample(scale_factor=2)(cr.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_options(name, size, scale_factor, mode, align_corners, recompute_scale_factor)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Any) -> Tensor:
        """X (N, C, *S) with the other number of positions."""
        return interpolated(
            trail.headline(self),
            x,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def headline(self) -> str:
        """In one line: Upsample(scale_factor=2, mode='nearest')."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments that are given."""
        which = "scale_factor" if self.size is None else "size"
        parts = [f"{which}={getattr(self, which)!r}", f"mode={self.mode!r}"]
        corners = self.align_corners
        parts += [f"align_corners={corners}"] if corners is not None else []
        return ", ".join(parts)


class UpsamplingNearest2d(Upsample):
    """`Upsample` of (N, C, H, W) with mode "nearest".

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.UpsamplingNearest2d(scale_factor=2)(cr.ones(1, 3, 2, 2)).shape
    (1, 3, 4, 4)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` of (N, C, H, W) with mode "bilinear" and align_corners=True.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.UpsamplingBilinear2d((1, 3))(cr.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.5, 2.0]]]]
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class Unfold(Module):
    """Patches of x (N, C, H, W) or (C, H, W) as columns: (N, C K K, patches), also called im2col.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Unfold(3, padding=1)(cr.zeros(2, 4, 5, 6)).shape
    (2, 36, 30)
    """

    def __init__(
        self, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
    ) -> None:
        super().__init__()
        patches(type(self).__name__, kernel_size, dilation, padding, stride)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Any) -> Tensor:
        """X (N, C, H, W) -> (N, C K K, patches)."""
        options = self.kernel_size, self.dilation, self.padding, self.stride
        return unfolded(trail.headline(self), x, *options)

    def headline(self) -> str:
        """In one line: Unfold(kernel_size=3)."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        plain = {"dilation": 1, "padding": 0, "stride": 1}
        parts = [f"kernel_size={self.kernel_size!r}"]
        parts += [f"{n}={getattr(self, n)!r}" for n, v in plain.items() if getattr(self, n) != v]
        return ", ".join(parts)


class Fold(Unfold):
    """Columns (N, C K K, patches) added up in images (N, C, *output_size): `Unfold`'s adjoint.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Fold((5, 6), 3, padding=1)(cr.zeros(2, 36, 30)).shape
    (2, 4, 5, 6)
    """

    def __init__(
        self,
        output_size: Sizes,
        kernel_size: Sizes,
        dilation: Sizes = 1,
        padding: Sizes = 0,
        stride: Sizes = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        sizes(type(self).__name__, "output_size", output_size, 2, 1)
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        """X (N, C K K, patches) -> (N, C, *output_size)."""
        options = self.kernel_size, self.dilation, self.padding, self.stride
        return folded(trail.headline(self), x, self.output_size, *options)

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""
        return f"output_size={self.output_size!r}, {super().extra_repr()}"


class PixelShuffle(OfFunction):
    """(*, C r², H, W) -> (*, C, r H, r W): channels become pixels (Shi et al., 2016).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.PixelShuffle(2)(cr.zeros(1, 12, 4, 5)).shape
    (1, 3, 8, 10)
    """

    constraints = {"upscale_factor": integer(1)}
    function = F.pixel_shuffle

    @takes_options
    def __init__(self, upscale_factor: int) -> None: ...


class PixelUnshuffle(OfFunction):
    """(*, C, r H, r W) -> (*, C r², H, W): the inverse of `PixelShuffle`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.PixelUnshuffle(2)(cr.zeros(1, 3, 8, 10)).shape
    (1, 12, 4, 5)
    """

    constraints = {"downscale_factor": integer(1)}
    function = F.pixel_unshuffle

    @takes_options
    def __init__(self, downscale_factor: int) -> None: ...


class ChannelShuffle(OfFunction):
    """Channels of (N, C, *) dealt round the groups: 0, C/g, 2 C/g, …, 1, … (Zhang et al., 2018).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ChannelShuffle(2)(cr.arange(4).reshape(1, 4, 1)).flatten().tolist()
    [0, 2, 1, 3]
    """

    constraints = {"groups": integer(1)}
    function = F.channel_shuffle

    @takes_options
    def __init__(self, groups: int) -> None: ...
