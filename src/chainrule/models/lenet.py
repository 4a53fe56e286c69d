"""LeNet-1, LeNet-4 and LeNet-5.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86 (1998), pages 2278-2324.

Layers of shared weights (C), each followed by subsampling (S), then full connections (F). Images
are (N, 1, H, W), their background at -0.1 and the ink at 1.175: a mean near 0, variance near 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..errors import OptionError, ShapeError
from ..nn import functional as F
from ..nn.options import check, choice, integer
from ..tensor import functions as f
from ..tensor.ops.random import Generator
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor, stored
from .codes import digit_codes

BACKGROUND, INK = -0.1, 1.175
"""Pixels of mean about 0 and variance about 1 (section II.B)."""
Table = Sequence[Sequence[int]]

# Which maps of S2 each map of C3 reads. LeNet-1: two halves that see nothing of one another (Table
# 1 of LeCun et al. 1990). LeNet-5: Table I of the paper. LeNet-4's is not published.
_HALF = ((0,), (0, 1), (0, 1), (1,), (0, 1), (0, 1))
LENET1_C3: Table = (*_HALF, *(tuple(i + 2 for i in maps) for maps in _HALF))
LENET4_C3: Table = tuple(
    tuple(sorted((i + k) % 8 for k in (0, 1, 2 + i // 8, 4))) for i in range(16)
)
LENET4_C5: Table = tuple(tuple(sorted((i + k) % 16 for k in range(4 + i % 2))) for i in range(120))
LENET5_C3: Table = (
    *(tuple(sorted((i + k) % 6 for k in range(3))) for i in range(6)),
    *(tuple(sorted((i + k) % 6 for k in range(4))) for i in range(6)),
    *(tuple(sorted((i + k) % 6 for k in (0, 1, 3, 4))) for i in range(3)),
    tuple(range(6)),
)


# -- layers ----------------------------------------------------------------------------------------
class ScaledTanh(nn.Module):
    """y = 1.7159 tanh(2x / 3): f(±1) = ±1, where its curvature is largest.

    >>> from chainrule import models
    >>> models.ScaledTanh()([0.0, 1.0]).round().tolist()
    [0.0, 1.0]
    """

    def forward(self, x: Any) -> Tensor:
        """The squashed ``x``, of any shape."""
        squashed: Tensor = 1.7159 * f.tanh(as_tensor(x) * (2 / 3))
        return squashed


class Field(nn.Module):
    """An image (N, 1, H, W) in the middle of ``side`` x ``side`` pixels of ``background``.

    Raises ShapeError for an image that is larger, or cannot stand in the middle, or has colours.
    """

    def __init__(self, side: int, background: float = BACKGROUND) -> None:
        super().__init__()
        self.side, self.background = side, background

    def forward(self, x: Any) -> Tensor:
        """The image and what is around it."""
        image: Tensor = as_tensor(x)
        around = [self.side - n for n in image.shape[-2:]]
        one = image.ndim in (3, 4) and image.shape[-3] == 1
        if not one or min(around) < 0 or any(n % 2 for n in around):
            advice = "; add the axis of channels: x[:, None]" if image.ndim == 3 and not one else ""
            raise ShapeError(
                f"Field: images (N, 1, height, width) of at most {self.side} x {self.side} pixels, "
                f"an even number less, are expected; got {image.shape}{advice}"
            )
        if not any(around):
            return image
        edges = [(0, 0)] * (image.ndim - 2) + [(n // 2, n // 2) for n in around]
        return f.pad(image, edges, value=self.background)

    def extra_repr(self) -> str:
        """The field's side."""
        return f"{self.side}"


class PartialConv2d(nn.Module):
    """A convolution in which map o reads the maps ``table[o]`` of the input only.

        y[n, o] = b[o] + Σ x[n, c] * w[o, c] over c in table[o]

    x (N, C, H, W), or (C, H, W), y (N, O, H - K + 1, W - K + 1). weight (connections, K, K) has the
    kernels of map 0 first, in the order of its row; bias (O,). Raises OptionError for a table with
    an empty row, or with a map twice in it, or one that the input does not have.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> layer = models.PartialConv2d(3, [(0, 1), (1, 2)], 5)
    >>> layer(cr.zeros(1, 3, 8, 8)).shape, sum(p.numel() for p in layer.parameters())
    ((1, 2, 4, 4), 102)
    """

    def __init__(
        self, in_channels: int, table: Table, kernel_size: int, generator: Generator | None = None
    ) -> None:
        super().__init__()
        values = {"in_channels": in_channels, "kernel_size": kernel_size}
        check("PartialConv2d", dict.fromkeys(values, integer(1)), values)
        rows = tuple(tuple(int(c) for c in row) for row in table)
        for o, row in enumerate(rows):
            if not row or len(set(row)) < len(row) or not 0 <= min(row) <= max(row) < in_channels:
                raise OptionError(
                    f"PartialConv2d: table[{o}] must name at least one of the maps 0 to "
                    f"{in_channels - 1}, each once, got {row}"
                )
        if not rows:
            raise OptionError("PartialConv2d: the table is empty; it has one row for each map")
        self.in_channels, self.kernel_size, self.table = in_channels, kernel_size, rows
        self.fan_in = kernel_size**2 * np.array([len(row) for row in rows])
        count = sum(map(len, rows))
        place = np.full((len(rows), in_channels), count)  # the last kernel is the zero one
        place[[o for o, row in enumerate(rows) for _ in row], [c for row in rows for c in row]] = (
            np.arange(count)
        )
        self.register_buffer("place", stored(place.ravel()), persistent=False)
        self.weight = nn.Parameter(np.zeros((count, kernel_size, kernel_size), np.float32))
        self.bias = nn.Parameter(np.zeros(len(rows), np.float32))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the initial numbers again: uniform on ±2.4 / (what the unit reads)."""
        each = np.repeat(self.fan_in, [len(row) for row in self.table])
        _uniform(self.weight, each[:, None, None], generator)
        _uniform(self.bias, self.fan_in, generator)

    def kernels(self) -> Tensor:
        """All kernels (O, C, K, K); zeros where nothing is read."""
        none = f.zeros(1, *self.weight.shape[1:], dtype=self.weight.dtype)
        all_of = f.cat([self.weight, none])[self.get_buffer("place")]
        shape = (len(self.table), self.in_channels, *self.weight.shape[1:])
        kernels: Tensor = all_of.reshape(shape)
        return kernels

    def forward(self, x: Any) -> Tensor:
        """The maps."""
        return F.conv2d(x, self.kernels(), self.bias)

    def extra_repr(self) -> str:
        """Maps read and made, and how many connections there are."""
        count = sum(map(len, self.table))
        return (
            f"{self.in_channels}, {len(self.table)}, kernel_size={self.kernel_size}, "
            f"{count} of {self.in_channels * len(self.table)} connected"
        )


class Subsampling(nn.Module):
    """y[n, c] = coefficient[c] · (sum of each 2 x 2 pixels of x[n, c]) + bias[c].

    x (N, C, H, W), or (C, H, W), y (N, C, H / 2, W / 2); each map of x makes ``copies`` maps of y.
    The coefficients start at 1/4, the mean, the biases at 0. ShapeError for other numbers of maps.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> models.Subsampling(2)(cr.ones(1, 2, 4, 6)).shape
    (1, 2, 2, 3)
    """

    def __init__(self, maps: int, copies: int = 1) -> None:
        super().__init__()
        values = {"maps": maps, "copies": copies}
        check("Subsampling", dict.fromkeys(values, integer(1)), values)
        self.maps, self.copies = maps, copies
        self.coefficient = nn.Parameter(np.full(maps * copies, 0.25, np.float32))
        self.bias = nn.Parameter(np.zeros(maps * copies, np.float32))

    def forward(self, x: Any) -> Tensor:
        """The maps at half the resolution."""
        x = as_tensor(x)
        if x.ndim not in (3, 4) or x.shape[-3] != self.maps:
            raise ShapeError(f"Subsampling expects (N, {self.maps}, H, W), got {x.shape}")
        total = 4 * F.avg_pool2d(x, 2)
        if self.copies > 1:
            total = f.repeat_interleave(total, self.copies, x.ndim - 3)
        y: Tensor = total * self.coefficient.reshape(-1, 1, 1) + self.bias.reshape(-1, 1, 1)
        return y

    def extra_repr(self) -> str:
        """The number of maps."""
        return f"{self.maps}" + (f", copies={self.copies}" if self.copies > 1 else "")


class Radial(nn.Module):
    """-y, y[n, i] = ‖x[n] - codes[i]‖²: how far the units are from each class's code, fixed and ±1.

    x (N, features), codes (classes, features); the largest output is the class, as with logits.

    >>> from chainrule import models
    >>> models.Radial([[1.0, 1.0], [1.0, -1.0]])([[1.0, 0.0]])
    tensor([[-1., -1.]])
    """

    def __init__(self, codes: Any) -> None:
        super().__init__()
        array = np.array(codes, np.float32)
        if array.ndim != 2:
            raise ShapeError(f"Radial: codes (classes, features) are expected, got {array.shape}")
        self.register_buffer("codes", stored(array))

    def forward(self, x: Any) -> Tensor:
        """Minus the squared distances (N, classes)."""
        codes, x = self.get_buffer("codes"), as_tensor(x)
        if x.shape[-1:] != codes.shape[1:]:
            raise ShapeError(f"Radial expects (N, {codes.shape[1]}), got {x.shape}")
        distance: Tensor = ((x.unsqueeze(-2) - codes) ** 2).sum(-1)
        return -distance

    def extra_repr(self) -> str:
        """Features and classes."""
        classes, features = self.get_buffer("codes").shape
        return f"{features}, {classes}"


def map_loss(prediction: Any, target: Any, j: float = 0.1) -> Tensor:
    """The paper's criterion for `Radial` outputs: the mean of

        y[target] + log(exp(-j) + Σ exp(-y[i])),    prediction = -y (N, classes), target (N,).

    It is cross-entropy with one more class, "no digit", whose distance is always ``j``; without it
    all distances could grow, or all codes fall together.

    >>> import math
    >>> from chainrule import models
    >>> loss = models.map_loss([[0.0, -100.0]], [0]).item()
    >>> round(loss - math.log(1 + math.exp(-0.1)), 6)
    0.0
    """
    logits = as_tensor(prediction)
    other = f.full((*logits.shape[:-1], 1), -j, dtype=logits.dtype)
    return F.cross_entropy(f.cat([logits, other], -1), target)


# -- nets ------------------------------------------------------------------------------------------
class _LeNet(nn.Sequential):
    """Named layers one after another; some of them, or more, are a plain `nn.Sequential`."""

    @classmethod
    def _of(cls, modules: list[nn.Module]) -> Any:
        return nn.Sequential(*modules)


def _named(generator: Generator | None, **layers: nn.Module) -> OrderedDict[str, nn.Module]:
    """The layers, convolutions and full connections drawn from ±2.4 / fan-in."""
    for layer in layers.values():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = int(np.prod(layer.weight.shape[1:]))
            for parameter in layer.parameters():
                _uniform(parameter, np.array(fan_in), generator)
    return OrderedDict(layers)


def _uniform(parameter: Tensor, fan_in: Array, generator: Generator | None) -> None:
    nn.init.uniform_(parameter, -1.0, 1.0, generator)
    scale = (2.4 / fan_in).astype(np.float32)
    parameter.detach().mul_(f.tensor(scale, dtype=parameter.dtype))


class LeNet1(_LeNet):
    """28 x 28 pixels -> C1 4 maps -> S2 -> C3 12 maps -> S4 -> 10 units.

    2,578 parameters, 98,442 connections.

    C3 reads the maps of S2 by `LENET1_C3`. x (N, 1, 28, 28), or smaller images, put in the middle;
    returns logits (N, 10), for `nn.CrossEntropyLoss`.
    Source: LeCun et al., "Handwritten digit recognition with a back-propagation network", 1990;
    1.7 % errors in the paper of 1998.

    >>> import chainrule as cr
    >>> net = cr.models.LeNet1()
    >>> net(cr.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in net.parameters())
    ((2, 10), 2578)
    """

    def __init__(self, generator: Generator | None = None) -> None:
        super().__init__(
            _named(
                generator,
                field=Field(28),
                c1=nn.Conv2d(1, 4, 5),
                squash1=ScaledTanh(),
                s2=Subsampling(4),
                squash2=ScaledTanh(),
                c3=PartialConv2d(4, LENET1_C3, 5, generator),
                squash3=ScaledTanh(),
                s4=Subsampling(12),
                squash4=ScaledTanh(),
                flat=nn.Flatten(-3, -1),
                output=nn.Linear(192, 10),
            )
        )


class LeNet4(_LeNet):
    """32 x 32 pixels -> C1 4 maps -> S2 8 maps, two of each -> C3 16 maps -> S4 -> C5 120 -> 10.

    The paper has no tables for C3 and C5; those taken here (`LENET4_C3`: 4 maps of 8, `LENET4_C5`:
    4 or 5 of 16) make 16,598 parameters and 267,806 connections of its "about 17,000" and "about
    260,000". x and the output are those of `LeNet5` with a softmax. 1.1 % errors in the paper.

    >>> import chainrule as cr
    >>> net = cr.models.LeNet4()
    >>> net(cr.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in net.parameters())
    ((2, 10), 16598)
    """

    def __init__(self, generator: Generator | None = None) -> None:
        super().__init__(
            _named(
                generator,
                field=Field(32),
                c1=nn.Conv2d(1, 4, 5),
                squash1=ScaledTanh(),
                s2=Subsampling(4, copies=2),
                squash2=ScaledTanh(),
                c3=PartialConv2d(8, LENET4_C3, 5, generator),
                squash3=ScaledTanh(),
                s4=Subsampling(16),
                squash4=ScaledTanh(),
                c5=PartialConv2d(16, LENET4_C5, 5, generator),
                squash5=ScaledTanh(),
                flat=nn.Flatten(-3, -1),
                output=nn.Linear(120, 10),
            )
        )


class LeNet5(_LeNet):
    """32 x 32 pixels -> C1 6 maps -> S2 -> C3 16 maps -> S4 -> C5 120 -> F6 84 -> 10 outputs.

    C are convolutions of 5 x 5, C3 reads the maps of S2 by `LENET5_C3`; S are `Subsampling`;
    `ScaledTanh` follows each up to F6. ``output``: "radial", distances from fixed codes (`Radial`,
    drawings of the digits of 7 x 12), trained by `map_loss`: 60,000 parameters, as the paper; or
    "softmax", logits for `nn.CrossEntropyLoss`: 60,850. Both: the largest output is the digit.

    x (N, 1, 32, 32), or smaller images such as MNIST's of 28 x 28, put in the middle of background
    (-0.1); y (N, 10). Weights start uniform on ±2.4 / fan-in. Raises OptionError for another
    output, ShapeError for larger images. Source: the paper of 1998; 0.95 % errors on MNIST.

    >>> import chainrule as cr
    >>> net = cr.models.LeNet5(output="softmax")
    >>> net(cr.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in net.parameters())
    ((2, 10), 60850)
    >>> net[:3](cr.zeros(2, 1, 28, 28)).shape  # the maps of C1
    (2, 6, 28, 28)
    """

    def __init__(self, output: str = "radial", generator: Generator | None = None) -> None:
        check("LeNet5", {"output": choice("radial", "softmax")}, {"output": output})
        last = Radial(digit_codes()) if output == "radial" else nn.Linear(84, 10)
        super().__init__(
            _named(
                generator,
                field=Field(32),
                c1=nn.Conv2d(1, 6, 5),
                squash1=ScaledTanh(),
                s2=Subsampling(6),
                squash2=ScaledTanh(),
                c3=PartialConv2d(6, LENET5_C3, 5, generator),
                squash3=ScaledTanh(),
                s4=Subsampling(16),
                squash4=ScaledTanh(),
                c5=nn.Conv2d(16, 120, 5),
                squash5=ScaledTanh(),
                flat=nn.Flatten(-3, -1),
                f6=nn.Linear(120, 84),
                squash6=ScaledTanh(),
                output=last,
            )
        )
