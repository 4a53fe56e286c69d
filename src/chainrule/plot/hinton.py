"""Hinton diagrams: a square for each weight (Rumelhart, Hinton & Williams, 1986, figure 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, ShapeError
from .canvas import matplotlib_of, save_figure
from .colours import GROUND, NEGATIVE, POSITIVE


def hinton(
    weights: Any,
    axes: Any,
    largest: float | None = None,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    numbers: int | None = None,
    holes: bool = False,
) -> None:
    """Draw a matrix on matplotlib ``axes``: one square a weight, its area proportional to |weight|.

    Blue where it is positive, orange where it is negative.

    ``weights`` (rows, columns); ``largest``: the |weight| whose square fills its cell (default: the
    largest of them). ``rows`` and ``columns``: labels. ``numbers``: write each weight below its
    square, with so many digits. ``holes``: NaN means that there is no weight. Raises ShapeError for
    what is no matrix, DataError for weights that are not finite.

    >>> from matplotlib.figure import Figure
    >>> from chainrule.plot import hinton
    >>> axes = Figure().add_subplot()
    >>> hinton([[1.0, -0.5]], axes, rows=["a unit"], columns=["left", "right"], numbers=1)
    >>> [t.get_text() for t in axes.texts]
    ['1.0', '-0.5']
    """
    w = _matrix(weights, holes)
    scale = largest if largest is not None else float(np.nanmax(np.abs(w), initial=0.0))
    side = np.sqrt(np.minimum(np.abs(w) / (scale or 1.0), 1.0)) * 0.92
    pitch = 1.0 if numbers is None else 1.4
    mpl = matplotlib_of()
    for keep, colour in ((w > 0, POSITIVE), (w < 0, NEGATIVE)):
        squares = [
            mpl.patches.Rectangle((j - s / 2, pitch * i - s / 2), s, s)
            for i, j, s in zip(*np.nonzero(keep), side[keep], strict=True)
        ]
        axes.add_collection(
            mpl.collections.PatchCollection(squares, facecolor=colour, edgecolor="none")
        )
    if numbers is not None:
        for (i, j), value in np.ndenumerate(w):
            if np.isfinite(value):
                text = f"{value:.{numbers}f}"
                axes.text(j, pitch * i + 0.68, text, ha="center", va="center", fontsize=7)
    bottom = pitch * (w.shape[0] - 1) + (0.6 if numbers is None else 0.9)
    axes.set(xlim=(-0.6, w.shape[1] - 0.4), ylim=(bottom, -0.6), aspect="equal")
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks([pitch * i for i in range(len(rows))], rows)
    axes.set_facecolor(GROUND)
    for spine in axes.spines.values():
        spine.set_visible(False)


def hinton_figure(
    panels: Sequence[Any] | Mapping[str, Any],
    path: str | Path,
    title: str = "",
    columns: int | None = None,
    inches: float = 1.1,
) -> Path:
    """Hinton diagrams of several matrices in one file, all on one scale; a mapping gives titles.

    ``path`` ends in .png, .svg or .pdf; ``inches`` is the width of a panel. Returns the path.

    >>> import tempfile, numpy as np
    >>> from chainrule.plot import hinton_figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hinton_figure({"a unit": np.eye(3) - 0.5}, f"{folder}/unit.png").name
    'unit.png'
    """
    names = list(panels) if isinstance(panels, Mapping) else [""] * len(panels)
    matrices = [_matrix(w) for w in (panels.values() if isinstance(panels, Mapping) else panels)]
    if not matrices:
        raise ShapeError("hinton_figure: no matrices to draw")
    across = columns or math.ceil(math.sqrt(2 * len(matrices)))
    across = min(across, len(matrices))
    down = math.ceil(len(matrices) / across)
    ratio = max(m.shape[0] / m.shape[1] for m in matrices)
    head = 0.45 if title else 0.0
    label = 0.22 if any(names) else 0.06
    size = (across * (inches + 0.1), down * (inches * ratio + label + 0.05) + head)
    figure = matplotlib_of().figure.Figure(figsize=size, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10)
    largest = max(float(np.abs(m).max(initial=0.0)) for m in matrices)
    for i, (name, matrix) in enumerate(zip(names, matrices, strict=True)):
        axes = figure.add_subplot(down, across, i + 1)
        hinton(matrix, axes, largest)
        if name:
            axes.set_title(name, fontsize=7, pad=2)
    return save_figure(figure, path, dpi=160)


def _matrix(weights: Any, holes: bool = False) -> Array:
    w = np.asarray(weights.numpy() if hasattr(weights, "numpy") else weights, np.float64)
    if w.ndim == 1:
        w = w[None]
    if w.ndim != 2 or not w.size:
        raise ShapeError(f"a Hinton diagram shows a matrix (rows, columns), got shape {w.shape}")
    if not (np.isfinite(w) | (holes & np.isnan(w))).all():
        raise DataError(
            f"a Hinton diagram shows finite weights; {int((~np.isfinite(w)).sum())} are not"
        )
    return w
