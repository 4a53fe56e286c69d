"""Mistakes with images: every message in full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import chainrule as cr
from chainrule import errors, nn
from chainrule.nn import functional as F

z = cr.zeros
net = nn.Sequential(
    nn.Conv2d(3, 8, 3),
    nn.MaxPool2d(2),
    nn.BatchNorm2d(16),
    nn.Conv2d(16, 4, 9),
    nn.Flatten(),
    nn.Linear(100, 10),
)
MISTAKES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "conv channels": (
        lambda: net(z(2, 1, 28, 28)),
        "ShapeError",
        "Conv2d(3, 8, kernel_size=3) `net[0]` (file:line) expects 3 channels, got 1: "
        "input (2, 1, 28, 28)\n"
        "    set in_channels=1",
    ),
    "conv channels last": (
        lambda: net(z(2, 28, 28, 3)),
        "ShapeError",
        "Conv2d(3, 8, kernel_size=3) `net[0]` (file:line) expects 3 channels, got 28: "
        "input (2, 28, 28, 3)\n"
        "    channels come first: put x.movedim(-1, 1) before it",
    ),
    "conv axes": (
        lambda: net(z(28, 28)),
        "ShapeError",
        "Conv2d(3, 8, kernel_size=3) `net[0]` (file:line) expects (N, 3, H, W) or (3, H, "
        "W), got (28, 28)",
    ),
    "conv kernel": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 9))(z(1, 1, 6, 6)),
        "ShapeError",
        "Conv2d(2, 2, kernel_size=9): the kernel spans 9 elements, the padded input has "
        "4: x (1, 2, 4, 4), kernel (9, 9), dilation (1, 1), padding [(0, 0), (0, 0)]\n"
        "    set more padding or a smaller kernel_size, or give larger inputs\n"
        "    in Conv2d(2, 2, kernel_size=9) `model[1]` (file:line), called with "
        "float32[1, 2, 4, 4]",
    ),
    "batchnorm after pooling": (
        lambda: net(z(2, 3, 28, 28)),
        "ShapeError",
        "BatchNorm2d(16) `net[2]` (file:line) expects (batch, 16, n, n), got (2, 8, 13, "
        "13)\n"
        "    from MaxPool2d(kernel_size=2) `net[1]`, input (batch, 8, 26, 26)\n"
        "    set num_features=8",
    ),
    "batchnorm channels last": (
        lambda: nn.BatchNorm2d(3)(z(2, 8, 8, 3)),
        "ShapeError",
        "BatchNorm2d(3) (file:line) expects (batch, 3, n, n), got (2, 8, 8, 3)\n"
        "    channels come first: put x.movedim(-1, 1) before it",
    ),
    "instance channels": (
        lambda: nn.InstanceNorm2d(3)(z(4, 8, 8)),
        "ShapeError",
        "InstanceNorm2d(3) (file:line) expects (batch, 3, n, n), or that without the "
        "batch, got (4, 8, 8)\n"
        "    set num_features=4",
    ),
    "group channels": (
        lambda: nn.GroupNorm(2, 4)(z(2, 6, 8, 8)),
        "ShapeError",
        "GroupNorm (file:line) expects (batch, 4, ...), got (2, 6, 8, 8)\n    set num_channels=6",
    ),
    "flatten after convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 10)
        )(z(2, 3, 28, 28)),
        "ShapeError",
        "Linear(100, 10) `model[3]` (file:line) expects 100 features, got 1352 = 8·13·13\n"
        "    from Flatten `model[2]`, input (batch, 8, 13, 13)\n"
        "    set in_features=1352",
    ),
    "pool axes": (
        lambda: nn.MaxPool2d(2)(z(5, 5)),
        "ShapeError",
        "MaxPool2d(kernel_size=2) expects (N, C, H, W) or (C, H, W), got (5, 5)\n"
        "    in MaxPool2d(kernel_size=2) (file:line), called with float32[5, 5]",
    ),
    "pool window": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(4))(z(1, 2, 6, 6)),
        "ShapeError",
        "AvgPool2d(kernel_size=4): a window spans 4 elements, the padded input has 3: "
        "input (..., 3, 3), padding 0; set a smaller kernel_size, or give larger inputs\n"
        "    in AvgPool2d(kernel_size=4) `model[1]` (file:line), called with float32[1, "
        "2, 3, 3]",
    ),
    "pool dilation": (
        lambda: F.max_pool1d(z(1, 1, 8), 3, dilation=4),
        "ShapeError",
        "max_pool1d: a window spans 9 elements, the padded input has 8: input (..., 8), "
        "padding 0; set a smaller kernel_size or dilation, or give larger inputs",
    ),
    "pool padding": (
        lambda: nn.MaxPool2d(2, padding=(1, 2)),
        "OptionError",
        "MaxPool2d: padding must be at most half of kernel_size, got padding (1, 2) and "
        "kernel_size (2, 2); pad more with nn.functional.pad before it",
    ),
    "pool padding function": (
        lambda: F.avg_pool1d(z(1, 1, 8), 3, padding=2),
        "OptionError",
        "avg_pool1d: padding must be at most half of kernel_size, got padding (2,) and "
        "kernel_size (3,); pad more with nn.functional.pad before it",
    ),
    "pool kernel": (
        lambda: nn.MaxPool2d((2, 2, 2)),
        "OptionError",
        "MaxPool2d: kernel_size must be an integer ≥ 1 or 2 of them, got (2, 2, 2)",
    ),
    "pool kernel 0": (
        lambda: nn.AvgPool1d(0),
        "OptionError",
        "AvgPool1d: kernel_size must be an integer ≥ 1, got 0",
    ),
    "pool divisor": (
        lambda: F.avg_pool2d(z(1, 4, 4), 2, divisor_override=0),
        "OptionError",
        "avg_pool2d: divisor_override must not be 0",
    ),
    "pool norm": (
        lambda: nn.LPPool1d(0, 2),
        "OptionError",
        "LPPool1d: norm_type must be a number > 0, got 0",
    ),
    "adaptive size": (
        lambda: nn.AdaptiveAvgPool2d((1, 2, 3)),
        "OptionError",
        "AdaptiveAvgPool2d: output_size must be an integer ≥ 1 or None, or 2 of them, "
        "got (1, 2, 3)",
    ),
    "adaptive zero": (
        lambda: nn.AdaptiveMaxPool1d(0),
        "OptionError",
        "AdaptiveMaxPool1d: output_size must be an integer ≥ 1 or None, got 0",
    ),
    "adaptive nothing": (
        lambda: nn.AdaptiveMaxPool1d(2)(z(1, 2, 0)),
        "ShapeError",
        "AdaptiveMaxPool1d(output_size=2): the input has no elements along an axis: (0,)\n"
        "    in AdaptiveMaxPool1d(output_size=2) (file:line), called with float32[1, 2, "
        "0]",
    ),
    "unpool index": (
        lambda: nn.MaxUnpool1d(2)(z(1, 1, 2), cr.tensor([[[0, 4]]])),
        "DataError",
        "MaxUnpool1d(kernel_size=2): index 4 is outside of an output (4,): 0 … 3\n"
        "    in MaxUnpool1d(kernel_size=2) (file:line), called with float32[1, 1, 2], "
        "int64[1, 1, 2]",
    ),
    "unpool types": (
        lambda: nn.MaxUnpool1d(2)(z(1, 1, 2), z(1, 1, 2)),
        "DTypeError",
        "MaxUnpool1d(kernel_size=2): indices are integers, got float32\n"
        "    in MaxUnpool1d(kernel_size=2) (file:line), called with float32[1, 1, 2], "
        "float32[1, 1, 2]",
    ),
    "unpool shapes": (
        lambda: nn.MaxUnpool2d(2)(z(1, 1, 2, 2), z(1, 1, 2).long()),
        "ShapeError",
        "MaxUnpool2d(kernel_size=2) expects the result of a max pooling over 2 positions "
        "and indices of the same shape, got (1, 1, 2, 2) and (1, 1, 2)\n"
        "    in MaxUnpool2d(kernel_size=2) (file:line), called with float32[1, 1, 2, 2], "
        "int64[1, 1, 2]",
    ),
    "unpool size": (
        lambda: nn.MaxUnpool1d(2)(z(1, 1, 2), z(1, 1, 2).long(), output_size=(9,)),
        "ShapeError",
        "MaxUnpool1d(kernel_size=2): output_size=(9,) is not between (3,) and (5,) for "
        "input (2,)\n"
        "    in MaxUnpool1d(kernel_size=2) (file:line), called with float32[1, 1, 2], "
        "int64[1, 1, 2]",
    ),
    "pad numbers": (
        lambda: F.pad(z(2, 3), (1, 2, 3)),
        "OptionError",
        "pad: pad must be (before, after) of the last axis, then of the one before, and "
        "so on; got (1, 2, 3)",
    ),
    "pad axes": (
        lambda: F.pad(z(3), (1, 1, 1, 1)),
        "ShapeError",
        "pad: 4 numbers for a tensor of shape (3,)",
    ),
    "pad mode": (
        lambda: F.pad(z(2, 3), (1, 1), "edge"),
        "OptionError",
        "pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got 'edge'",
    ),
    "pad value": (
        lambda: F.pad(z(2, 3), (1, 1), "reflect", 1.0),
        "OptionError",
        "pad: value=1.0 belongs to mode 'constant', not 'reflect'",
    ),
    "pad reflect": (
        lambda: nn.ReflectionPad1d(3)(z(1, 2, 3)),
        "ShapeError",
        "pad: cannot add (3, 3) to axis 2 of length 3 with mode 'reflect'\n"
        "    in ReflectionPad1d((3, 3)) (file:line), called with float32[1, 2, 3]",
    ),
    "pad circular": (
        lambda: F.pad(z(2, 3), (4, 0), "circular"),
        "ShapeError",
        "pad: (4, 0) goes round axis 1 of length 3 more than once with mode 'circular'",
    ),
    "pad all cut": (
        lambda: F.pad(z(2, 3), (-2, -2)),
        "ShapeError",
        "pad: [(-2, -2)] cuts more than there is off a tensor of shape (2, 3)",
    ),
    "pad integers": (
        lambda: F.pad(cr.zeros(2).long(), (1, 1), value=0.5),
        "DTypeError",
        "pad: value 0.5 is no int64; convert the input first",
    ),
    "pad layer": (
        lambda: nn.ZeroPad2d((1, 2)),
        "OptionError",
        "ZeroPad2d: padding must be an integer or (left, right, top, bottom), got (1, 2)",
    ),
    "pad layer axes": (
        lambda: nn.ZeroPad2d(1)(z(3, 3)),
        "ShapeError",
        "ZeroPad2d((1, 1, 1, 1)) expects (N, C, H, W) or (C, H, W), got (3, 3)\n"
        "    in ZeroPad2d((1, 1, 1, 1)) (file:line), called with float32[3, 3]",
    ),
    "resize neither": (
        lambda: nn.Upsample(),
        "OptionError",
        "Upsample: give one of size and scale_factor",
    ),
    "resize both": (
        lambda: F.interpolate(z(1, 1, 2), 4, 2.0),
        "OptionError",
        "interpolate: give one of size and scale_factor",
    ),
    "resize mode": (
        lambda: F.interpolate(z(1, 1, 2), 4, mode="cubic"),
        "OptionError",
        "interpolate: mode must be 'nearest', 'nearest-exact', 'linear', 'bilinear', "
        "'trilinear', 'bicubic' or 'area', got 'cubic'",
    ),
    "resize rank": (
        lambda: F.interpolate(z(1, 1, 2), 4, mode="bilinear"),
        "ShapeError",
        "interpolate with mode 'bilinear' expects (N, C, H, W), got (1, 1, 2)",
    ),
    "resize axes": (
        lambda: F.interpolate(z(2, 2), 4),
        "ShapeError",
        "interpolate with mode 'nearest' expects (N, C, L) or (N, C, H, W) or (N, C, D, "
        "H, W), got (2, 2)",
    ),
    "resize corners": (
        lambda: F.interpolate(z(1, 1, 2), 4, align_corners=True),
        "OptionError",
        "interpolate: align_corners belongs to linear, bilinear, bicubic, trilinear, not 'nearest'",
    ),
    "resize antialias": (
        lambda: F.interpolate(z(1, 1, 2, 2), 4, mode="bilinear", antialias=True),
        "OptionError",
        "interpolate: antialias=True is not there; to make images smaller, use mode='area'",
    ),
    "resize recompute": (
        lambda: F.interpolate(z(1, 1, 2), 4, recompute_scale_factor=True),
        "OptionError",
        "interpolate: recompute_scale_factor belongs to scale_factor, not to size",
    ),
    "resize factors": (
        lambda: F.interpolate(z(1, 1, 2), scale_factor=(2.0, 3.0)),
        "OptionError",
        "interpolate: scale_factor must be a number > 0, got (2.0, 3.0)",
    ),
    "resize to nothing": (
        lambda: nn.Upsample(scale_factor=0.25)(z(1, 1, 3)),
        "ShapeError",
        "Upsample(scale_factor=0.25, mode='nearest'): scale_factor=0.25 leaves nothing "
        "of (3,)\n"
        "    in Upsample(scale_factor=0.25, mode='nearest') (file:line), called with "
        "float32[1, 1, 3]",
    ),
    "unfold patch": (
        lambda: nn.Unfold(5, padding=1)(z(1, 2, 2, 6)),
        "ShapeError",
        "Unfold(kernel_size=5, padding=1): a patch spans (5, 5) elements, the padded "
        "image has (4, 8)\n"
        "    in Unfold(kernel_size=5, padding=1) (file:line), called with float32[1, 2, "
        "2, 6]",
    ),
    "unfold axes": (
        lambda: nn.Unfold(2)(z(3, 3)),
        "ShapeError",
        "Unfold(kernel_size=2) expects (N, C, H, W) or (C, H, W), got (3, 3)\n"
        "    in Unfold(kernel_size=2) (file:line), called with float32[3, 3]",
    ),
    "fold columns": (
        lambda: nn.Fold((4, 5), 2)(z(1, 8, 11)),
        "ShapeError",
        "Fold(output_size=(4, 5), kernel_size=2) expects (N, C·4, 12) or (C·4, 12): "
        "patches of 2·2 elements at 3·4 places of (4, 5), got (1, 8, 11)\n"
        "    in Fold(output_size=(4, 5), kernel_size=2) (file:line), called with "
        "float32[1, 8, 11]",
    ),
    "unfold tensor": (
        lambda: z(4).unfold(0, 5, 1),
        "ShapeError",
        "unfold: windows of 5 elements, 1 apart, along axis 0 of shape (4,); both are at "
        "least 1, and the size at most 4",
    ),
    "pixels": (
        lambda: nn.PixelShuffle(2)(z(1, 6, 2, 2)),
        "ShapeError",
        "pixel_shuffle by 2 expects (*, C·4, H, W), got (1, 6, 2, 2)\n"
        "    in PixelShuffle (file:line), called with float32[1, 6, 2, 2]",
    ),
    "pixels back": (
        lambda: nn.PixelUnshuffle(2)(z(1, 6, 3, 2)),
        "ShapeError",
        "pixel_unshuffle by 2 expects (*, C, 2·H, 2·W), got (1, 6, 3, 2)\n"
        "    in PixelUnshuffle (file:line), called with float32[1, 6, 3, 2]",
    ),
    "channels dealt": (
        lambda: nn.ChannelShuffle(4)(z(1, 6, 3, 2)),
        "OptionError",
        "channel_shuffle: 6 channels in groups=4 do not divide\n"
        "    in ChannelShuffle (file:line), called with float32[1, 6, 3, 2]",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str) -> None:
    call, kind, message = MISTAKES[name]
    with pytest.raises(getattr(errors, kind)) as caught:
        call()
    assert re.sub(r"\(\w+\.py:\d+\)", "(file:line)", str(caught.value)) == message


def test_a_compiled_function_refuses_the_same() -> None:
    pool = nn.MaxPool1d(3, 2, dilation=4)
    with pytest.raises(errors.ShapeError, match="a window spans 9 elements"):
        cr.compile(lambda x: pool(x))(z(1, 1, 8))
