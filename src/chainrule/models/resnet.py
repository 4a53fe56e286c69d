"""Residual nets for small images."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..errors import OptionError
from ..nn.functional import pad
from ..nn.options import check, integer
from ..tensor.tensor import Tensor


class BasicBlock(nn.Module):
    """y = relu(x + norm(conv(relu(norm(conv(x)))))), 3 × 3 kernels.

    x (N, inputs, H, W) -> (N, outputs, H / stride, W / stride). Where the shape changes, x is taken
    at every second place and zeros are the new channels: the shortcut has no weights (He et al.,
    2016, option A). Without ``shortcut`` x is left out.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride, self.shortcut, self.new = stride, shortcut, outputs - inputs

    def forward(self, x: Any) -> Tensor:
        """The same places, or half as many each way."""
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        if self.shortcut:
            if self.stride > 1:
                x = x[:, :, :: self.stride, :: self.stride]
            if self.new:
                x = pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
            y = x + y
        found: Tensor = y.relu()
        return found


class ResNet(nn.Sequential):
    """The residual net for images of 32 × 32 pixels (He, Zhang, Ren & Sun, 2016, section 4.2).

    A convolution to 16 channels; (depth - 2) / 6 `BasicBlock` each of 16, 32 and 64 channels, the
    second and third group at half the width and height; the mean over places; linear scores.
    Images (N, channels, H, W) -> (N, classes). ``shortcuts`` False: the *plain* net beside it in
    the paper. Convolutions start with He's normal numbers. Raises OptionError for a depth that is
    not 6 n + 2.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> net = models.ResNet(depth=20)
    >>> sum(p.numel() for p in net.parameters())
    269722
    >>> net(cr.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """

    def __init__(
        self, depth: int = 20, classes: int = 10, channels: int = 3, shortcuts: bool = True
    ) -> None:
        limits = dict.fromkeys(("depth", "classes", "channels"), integer(1))
        check("ResNet", limits, {"depth": depth, "classes": classes, "channels": channels})
        blocks, rest = divmod(depth - 2, 6)
        if rest or not blocks:
            raise OptionError(f"ResNet: depth is 8, 14, 20, … = 6 n + 2, got {depth}")
        layers: list[nn.Module] = [
            nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        ]
        before = 16
        for width in (16, 32, 64):
            for _ in range(blocks):
                layers.append(BasicBlock(before, width, width // before, shortcuts))
                before = width
        ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
        super().__init__(*layers, *ends)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


__all__ = ["ResNet"]
