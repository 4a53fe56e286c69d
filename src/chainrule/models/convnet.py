"""A convolutional net that takes the size of its images, as LeNet's stages with today's parts."""

from __future__ import annotations

from collections import OrderedDict

from .. import nn
from ..nn.options import check, integer, number

STAGES, SMALLEST = 4, 4
"""So many stages at most, and no side of a map is shorter."""


class ConvNet(nn.Sequential):
    """Stages of convolution (5 x 5), ReLU and pooling (2 x 2), then a hidden layer and scores.

    x (N, channels, height, width) -> (N, classes), for `nn.CrossEntropyLoss`. There are as many
    stages as leave at least 4 pixels of height and width, at most 4; the first makes ``maps`` maps
    and each one more twice as many. ``dropout``: before and behind the ``hidden`` units. The stages
    are those of LeNet-5 (LeCun, Bottou, Bengio & Haffner, 1998), units and pooling those of
    Krizhevsky, Sutskever & Hinton (2012).

    >>> import chainrule as cr
    >>> net = cr.models.ConvNet(1, 28, 28, classes=10)
    >>> net(cr.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in net.parameters())
    ((2, 10), 215370)
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        classes: int,
        *,
        maps: int = 16,
        hidden: int = 128,
        dropout: float = 0.25,
    ) -> None:
        sizes = {"channels": channels, "height": height, "width": width, "classes": classes}
        counts = {"maps": maps, "hidden": hidden}
        limits = dict.fromkeys({**sizes, **counts}, integer(1)) | {"dropout": number(0, 1, "[)")}
        check("ConvNet", limits, {**sizes, **counts, "dropout": dropout})
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        read, made, stage = channels, maps, 1
        while stage <= STAGES and min(height, width) >= 2 * SMALLEST:
            layers[f"conv{stage}"] = nn.Conv2d(read, made, 5, padding=2)
            layers[f"unit{stage}"] = nn.ReLU()
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
            read, made, stage = made, 2 * made, stage + 1
            height, width = height // 2, width // 2
        layers |= {"flat": nn.Flatten(), "drop1": nn.Dropout(dropout)}
        layers["hidden"] = nn.Linear(read * height * width, hidden)
        layers |= {"unit": nn.ReLU(), "drop2": nn.Dropout(dropout)}
        layers["output"] = nn.Linear(hidden, classes)
        super().__init__(layers)
