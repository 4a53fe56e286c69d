"""Vectors as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.node import Array
from .canvas import signs
from .colours import NEGATIVE


def tiles(
    axes: Any,
    rows: Array,
    side: int | tuple[int, int],
    columns: int,
    title: str,
    *,
    signed: bool,
    labels: Sequence[str] = (),
) -> None:
    """Vectors of side² numbers (or height · width) as pictures, ``columns`` in a row.

    Each with its label in the corner; grey levels, or signed weights from orange to blue, scaled
    each.
    """
    count = -(-len(rows) // columns)
    high, wide = side if isinstance(side, tuple) else (side, side)
    sheet = np.full((count * (high + 1) + 1, columns * (wide + 1) + 1), np.nan)
    for i, row in enumerate(rows):
        top, left = (i // columns) * (high + 1) + 1, (i % columns) * (wide + 1) + 1
        picture = row.reshape(high, wide)
        if signed:
            picture = picture / max(np.abs(picture).max(), 1e-12)
        sheet[top : top + high, left : left + wide] = picture
        if i < len(labels):
            axes.text(left, top, labels[i], color=NEGATIVE, fontsize=6, va="top")
    axes.imshow(sheet, cmap=signs() if signed else "gray", vmin=-1 if signed else 0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
