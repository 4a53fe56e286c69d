"""The figure of the deep belief net."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import COLOURS
from .images import Images, tiles


def draw(
    figure: Any, filters: Array, recalled: Array, curves: dict[str, Array], data: Images
) -> None:
    """What units of the first layer look at; recalled digits; test errors."""
    figure.set_size_inches(12, 4.4)
    left, middle, right = figure.subplots(1, 3)
    tiles(
        left, filters[:100], data.side, 10, "weights of 100 units of the first layer", signed=True
    )
    shown = recalled[:, :10].reshape(-1, data.side**2)
    tiles(middle, shown, data.side, recalled[:, :10].shape[1], "recalled, by label", signed=False)
    for (name, errors), colour in zip(curves.items(), COLOURS, strict=False):
        right.plot(np.arange(1, len(errors) + 1), errors, color=colour, label=name, marker=".")
    right.set_title("back-propagation from four starts", fontsize=9)
    right.set_yscale("log")
    right.set_xlabel("epochs of back-propagation")
    right.set_ylabel("test error, per cent")
    right.grid(alpha=0.3, which="both")
    right.legend(fontsize=7)
