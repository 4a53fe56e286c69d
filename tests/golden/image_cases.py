"""Layers and functions over positions: convolution, pooling, padding, resizing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from case import Case, labels, normal, uniform

L1, L2, L3 = normal(2, 4, 7), normal(1, 4, 5, 6), normal(1, 2, 3, 3, 4)
TIES = labels(2, 4, 5, 6, n=3) * 1.0
LAYERS: dict[str, Case] = {
    "Conv1d": Case(lambda nn, T: nn.Conv1d(4, 3, 3), (L1,)),
    "Conv1d same": Case(lambda nn, T: nn.Conv1d(4, 3, 4, padding="same", dilation=2), (L1,)),
    "Conv1d of one, circular": Case(
        lambda nn, T: nn.Conv1d(4, 2, 3, padding=2, padding_mode="circular"), (L1[0],)
    ),
    "Conv2d": Case(
        lambda nn, T: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2), (L2,)
    ),
    "Conv2d by channel": Case(lambda nn, T: nn.Conv2d(4, 8, 3, groups=4, bias=False), (L2,)),
    "Conv2d reflect": Case(
        lambda nn, T: nn.Conv2d(4, 2, 3, padding=(1, 2), padding_mode="reflect"), (L2,)
    ),
    "Conv3d": Case(lambda nn, T: nn.Conv3d(2, 3, 2, padding=1, dilation=(2, 1, 1)), (L3,)),
    "ConvTranspose1d": Case(
        lambda nn, T: nn.ConvTranspose1d(4, 6, 3, 2, 1, output_padding=1, groups=2), (L1,)
    ),
    "ConvTranspose2d": Case(
        lambda nn, T: nn.ConvTranspose2d(4, 3, (3, 2), stride=(1, 2), dilation=2), (L2,)
    ),
    "ConvTranspose3d": Case(lambda nn, T: nn.ConvTranspose3d(2, 2, 2, bias=False), (L3,)),
    "MaxPool1d": Case(lambda nn, T: nn.MaxPool1d(3, stride=1, dilation=2), (L1,)),
    "MaxPool2d": Case(lambda nn, T: nn.MaxPool2d(2), (L2,)),
    "MaxPool2d overlapping": Case(
        lambda nn, T: nn.MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True), (L2,)
    ),
    "MaxPool2d of ties at kinks": Case(lambda nn, T: nn.MaxPool2d(3, 2, 1), (TIES,)),
    "MaxPool3d": Case(lambda nn, T: nn.MaxPool3d(2, padding=(0, 1, 1)), (L3,)),
    "AvgPool1d": Case(lambda nn, T: nn.AvgPool1d(3, padding=1), (L1,)),
    "AvgPool2d": Case(lambda nn, T: nn.AvgPool2d(3, 2, 1, True), (L2,)),
    "AvgPool2d of elements": Case(
        lambda nn, T: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (L2,)
    ),
    "AvgPool3d": Case(lambda nn, T: nn.AvgPool3d((2, 2, 3), 1, divisor_override=5), (L3,)),
    "AdaptiveAvgPool1d": Case(lambda nn, T: nn.AdaptiveAvgPool1d(4), (L1,)),
    "AdaptiveAvgPool2d": Case(lambda nn, T: nn.AdaptiveAvgPool2d((None, 4)), (L2,)),
    "AdaptiveAvgPool3d": Case(lambda nn, T: nn.AdaptiveAvgPool3d((3, 5, 2)), (L3,)),
    "AdaptiveMaxPool1d": Case(lambda nn, T: nn.AdaptiveMaxPool1d(9), (L1,)),
    "AdaptiveMaxPool2d": Case(lambda nn, T: nn.AdaptiveMaxPool2d((3, 4)), (L2,)),
    "AdaptiveMaxPool2d of ties at kinks": Case(lambda nn, T: nn.AdaptiveMaxPool2d(4), (TIES,)),
    "AdaptiveMaxPool3d": Case(lambda nn, T: nn.AdaptiveMaxPool3d(2), (L3,)),
    "LPPool1d": Case(lambda nn, T: nn.LPPool1d(3, 2), (uniform(2, 4, 7),)),
    "LPPool2d": Case(lambda nn, T: nn.LPPool2d(2, 2, ceil_mode=True), (uniform(2, 4, 5, 5),)),
    "LPPool3d": Case(lambda nn, T: nn.LPPool3d(1.5, 2), (uniform(1, 2, 4, 3, 5),)),
    "ReflectionPad1d": Case(lambda nn, T: nn.ReflectionPad1d((2, 3)), (L1,)),
    "CircularPad2d": Case(lambda nn, T: nn.CircularPad2d((1, 0, 2, 3)), (L2,)),
    "ZeroPad2d": Case(lambda nn, T: nn.ZeroPad2d((1, -1, -2, 3)), (L2,)),
    "Upsample": Case(lambda nn, T: nn.Upsample(scale_factor=(2.0, 1.5)), (L2,)),
    "UpsamplingNearest2d": Case(lambda nn, T: nn.UpsamplingNearest2d((7, 3)), (L2,)),
    "UpsamplingBilinear2d": Case(lambda nn, T: nn.UpsamplingBilinear2d(scale_factor=2), (L2,)),
    "Unfold": Case(lambda nn, T: nn.Unfold((2, 3), (2, 1), 1, (1, 2)), (L2,)),
    "Fold": Case(lambda nn, T: nn.Fold((4, 5), 2, padding=1, stride=(2, 1)), (normal(2, 8, 18),)),
    "PixelShuffle": Case(lambda nn, T: nn.PixelShuffle(2), (L2,)),
    "PixelUnshuffle": Case(lambda nn, T: nn.PixelUnshuffle(2), (normal(2, 3, 4, 6),)),
    "ChannelShuffle": Case(lambda nn, T: nn.ChannelShuffle(2), (L2,)),
    "GroupNorm of images": Case(lambda nn, T: nn.GroupNorm(2, 4), (L2,)),
    "BatchNorm2d averaging": Case(lambda nn, T: nn.BatchNorm2d(4, momentum=None), (L2,)),
}
for _kind in ("ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
    for _rank, _x in ((1, L1), (2, L2), (3, L3)):
        _options = (1, 0.5) if _kind == "ConstantPad" else (1,)
        LAYERS.setdefault(
            f"{_kind}{_rank}d",
            Case(lambda nn, T, n=f"{_kind}{_rank}d", o=_options: getattr(nn, n)(*o), (_x,)),
        )


def _unpool(name: str, x: np.ndarray, size: tuple[int, ...] | None, *places: int) -> None:
    """A MaxUnpool of windows of 2; ``places``: which of the four or eight elements it was."""

    def make(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
        class Unpool(nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = getattr(nn, name.split()[0])(2)

            def forward(self, x: Any, places: Any) -> Any:
                return self.inner(x, places, size)

        return Unpool()

    rank = x.ndim - 2
    shape = size or tuple(2 * n for n in x.shape[2:])
    index = sum(
        (2 * np.arange(n).reshape(-1, *[1] * (rank - 1 - a)) + places[a]) * np.prod(shape[a + 1 :])
        for a, n in enumerate(x.shape[2:])
    )
    LAYERS[name] = Case(make, (x, np.broadcast_to(index, x.shape).astype(np.int64)))


_unpool("MaxUnpool1d", normal(2, 3, 4), None, 1)
_unpool("MaxUnpool2d", normal(2, 2, 3, 2), (7, 5), 1, 0)
_unpool("MaxUnpool3d", normal(1, 2, 2, 1, 2), None, 0, 1, 1)

FUNCTIONS: dict[str, Case] = {}


def _function(name: str, call: Callable[..., Any], *inputs: np.ndarray) -> None:
    def make(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
        class Call(nn.Module):  # type: ignore[misc]
            def forward(self, *given: Any) -> Any:
                return call(nn.functional, *given)

        return Call()

    FUNCTIONS[name] = Case(make, inputs)


for _mode, _x in (
    ("nearest", L1),
    ("nearest-exact", L2),
    ("linear", L1),
    ("bilinear", L2),
    ("trilinear", L3),
    ("bicubic", L2),
    ("area", L2),
):
    _function(
        f"interpolate {_mode}",
        lambda F, x, m=_mode: F.interpolate(x, scale_factor=1.6, mode=m),
        _x,
    )
    if _mode[-3:] in ("ear", "bic"):
        _function(
            f"interpolate {_mode} corners",
            lambda F, x, m=_mode: F.interpolate(x, size=4, mode=m, align_corners=True),
            _x,
        )
_function("pad cut", lambda F, x: F.pad(x, (-1, 2, 1, 0, 0, 1), value=-2.0), L2)
_function("pad reflect cut", lambda F, x: F.pad(x, (-1, 2), "reflect"), L1)

_GRID2, _GRID3 = 2.6 * np.sin(normal(1, 3, 4, 2)), 1.7 * np.sin(normal(1, 2, 3, 2, 3))
for _mode in ("bilinear", "nearest", "bicubic"):
    for _outside in ("zeros", "border", "reflection"):
        for _corners in (False, True):
            for _x, _grid in ((L2, _GRID2), (L3, _GRID3)):
                if _x is L2 or _mode != "bicubic":
                    _function(
                        f"grid_sample at kinks, {_mode} {_outside} {_x.ndim - 2}d"
                        + (" corners" if _corners else ""),
                        lambda F, x, at, m=_mode, o=_outside, c=_corners: F.grid_sample(
                            x, at, m, o, c
                        ),
                        _x,
                        _grid,
                    )
for _corners in (False, True):
    _function(
        f"affine_grid {_corners}",
        lambda F, t, c=_corners: F.affine_grid(t, (2, 1, 3, 2), align_corners=c),
        normal(2, 2, 3),
    )
    _function(
        f"affine_grid 3d {_corners}",
        lambda F, t, c=_corners: F.affine_grid(t, (2, 1, 3, 1, 2), align_corners=c),
        normal(2, 3, 4),
    )


def _fractional(name: str, x: np.ndarray, kernel: Any, **options: Any) -> None:
    """With the random numbers given, beside the layer's options."""
    kind = name.split()[0]
    rank = int(kind[-2])
    samples = uniform(*x.shape[:2], rank)

    def make(nn: Any, T: Callable[[np.ndarray], Any]) -> Any:
        given = T(samples / (samples.max() + 0.1))
        return getattr(nn, kind)(kernel, _random_samples=given, **options)

    LAYERS[name] = Case(make, (x,))


_fractional("FractionalMaxPool2d", L2, 2, output_ratio=(0.7, 0.5))
_fractional("FractionalMaxPool2d of ties at kinks", TIES, (2, 3), output_size=(4, 3))
_fractional("FractionalMaxPool3d", L3, 2, output_size=(1, 1, 2))
