"""Nets for images by name: how each is made for images of a size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .. import nn
from ..errors import OptionError
from ..models import ConvNet, LeNet1, LeNet4, LeNet5
from ..models.lenet import BACKGROUND, INK
from ..tensor.tensor import Tensor
from ..tensor.value import stored

Shape = tuple[int, int, int]
"""Channels, height, width."""


class Pixels(nn.Module):
    """(x - mean) / std of each channel: pixels (N, C, H, W), of any kind of number, as floats."""

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        self.mean, self.std = nn.Buffer(stored(mean)), nn.Buffer(stored(std))

    def forward(self, x: Any) -> Tensor:
        """What the net reads."""
        scaled: Tensor = (x.float() - self.mean) / self.std
        return scaled


def _mlp(shape: Shape, classes: int, dropout: float) -> nn.Module:
    c, h, w = shape
    return nn.Sequential(
        OrderedDict(
            flat=nn.Flatten(),
            hidden1=nn.Linear(c * h * w, 300),
            unit1=nn.ReLU(),
            drop1=nn.Dropout(dropout),
            hidden2=nn.Linear(300, 100),
            unit2=nn.ReLU(),
            drop2=nn.Dropout(dropout),
            output=nn.Linear(100, classes),
        )
    )


def _linear(shape: Shape, classes: int, dropout: float) -> nn.Module:
    c, h, w = shape
    return nn.Sequential(OrderedDict(flat=nn.Flatten(), output=nn.Linear(c * h * w, classes)))


def _conv(shape: Shape, classes: int, dropout: float) -> nn.Module:
    return ConvNet(*shape, classes, dropout=dropout)


def _lenet(name: str, make: Callable[[], Any], side: int) -> Callable[..., nn.Module]:
    def made(shape: Shape, classes: int, dropout: float) -> nn.Module:
        c, h, w = shape
        if c != 1 or max(h, w) > side or (side - h) % 2 or (side - w) % 2:
            raise OptionError(
                f"{name} reads grey images of at most {side} x {side} pixels, an even number less; "
                f"these have {c} channels and {h} x {w} pixels: use the net 'conv', or mode 'L' "
                f"and size {side}"
            )
        net: nn.Module = make()
        if classes != 10:
            last: Any = net.output
            net.output = nn.Linear(last.in_features, classes)
        return net

    return made


NETS: dict[str, Callable[[Shape, int, float], nn.Module]] = {
    "conv": _conv,
    "lenet5": _lenet("lenet5", lambda: LeNet5("softmax"), 32),
    "lenet4": _lenet("lenet4", LeNet4, 32),
    "lenet1": _lenet("lenet1", LeNet1, 28),
    "mlp": _mlp,
    "linear": _linear,
}
"""By name, from (channels, height, width), classes and dropout: convolutions as large as the images
ask for; LeNet-5, -4 and -1 of 1998 (no dropout); 300 and 100 hidden units; none."""


def pixels_of(name: str, mean: Any, std: Any) -> Pixels:
    """How a net reads pixels: with mean 0 and deviation 1; those of 1998 from background to ink."""
    if name.startswith("lenet"):
        std = 0 * std + 255 / (INK - BACKGROUND)
        mean = 0 * mean - BACKGROUND * std
    return Pixels(mean, std)


def net_of(name: str, shape: Shape, classes: int, dropout: float, pixels: Pixels) -> nn.Module:
    """The net called ``name`` behind what it reads."""
    if name not in NETS:
        raise OptionError(f"model {name!r} is unknown; there are {', '.join(NETS)}")
    return nn.Sequential(OrderedDict(pixels=pixels, net=NETS[name](shape, classes, dropout)))
