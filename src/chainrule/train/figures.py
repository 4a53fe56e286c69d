"""Figures of what a net learned: Hinton diagrams (blue: positive, orange: negative), learning
curves.

matplotlib is imported when a figure is drawn; no window is opened and no global state touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.host.whole_file import whole_file
from ..core.node import Array
from ..errors import DataError, MissingExtraError, ShapeError

POSITIVE, NEGATIVE, GROUND = "#0877bd", "#f59322", "#f4f4f2"


def matplotlib_of() -> Any:
    """matplotlib, or MissingExtraError."""
    try:
        import matplotlib.collections
        import matplotlib.colors
        import matplotlib.figure
        import matplotlib.patches
    except ImportError:
        raise MissingExtraError(
            "figures need matplotlib: pip install 'chainrule[figures]'"
        ) from None
    return matplotlib


def save_figure(figure: Any, path: str | Path, **options: Any) -> Path:
    """Write a figure of matplotlib, whole or not at all, as the ending says (PNG where there is
    none). Raises WriteError, with the path, where that is not possible."""
    target = Path(path)
    with whole_file(target) as file:
        figure.savefig(file, format=target.suffix[1:] or "png", **options)
    return target


def hinton(weights: Any, axes: Any, largest: float | None = None) -> None:
    """Draw a matrix on matplotlib ``axes``: one square a weight, its area proportional to |weight|.

    ``weights`` (rows, columns); ``largest``: the |weight| whose square fills its cell (default: the
    largest of them). Source: Rumelhart, Hinton & Williams (1986), figure 4.
    """
    w = _matrix(weights)
    scale = largest if largest is not None else float(np.abs(w).max(initial=0.0))
    side = np.sqrt(np.minimum(np.abs(w) / (scale or 1.0), 1.0)) * 0.92
    rows, columns = w.shape
    mpl = matplotlib_of()
    for keep, colour in ((w > 0, POSITIVE), (w < 0, NEGATIVE)):
        squares = [
            mpl.patches.Rectangle((j - side[i, j] / 2, i - side[i, j] / 2), side[i, j], side[i, j])
            for i, j in zip(*np.nonzero(keep), strict=True)
        ]
        axes.add_collection(
            mpl.collections.PatchCollection(squares, facecolor=colour, edgecolor="none")
        )
    axes.set(
        xlim=(-0.6, columns - 0.4), ylim=(rows - 0.4, -0.6), xticks=[], yticks=[], aspect="equal"
    )
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
    """Hinton diagrams of several matrices in one file, all on one scale; a mapping gives each a
    title.

    ``path`` ends in .png, .svg or .pdf; ``inches`` is the width of a panel. Returns the path.

    >>> import tempfile, numpy as np
    >>> from chainrule.train.figures import hinton_figure
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
    """Vectors of side² numbers (or height · width) as pictures, ``columns`` in a row, each with its
    label in the corner; grey levels, or signed weights from orange to blue, each picture on its own
    scale."""
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
    made = matplotlib_of().colors.LinearSegmentedColormap.from_list
    signs = made("signs", [NEGATIVE, "#ffffff", POSITIVE])
    axes.imshow(sheet, cmap=signs if signed else "gray", vmin=-1 if signed else 0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)


def curves(
    lines: Mapping[str, Sequence[float]],
    path: str | Path,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    log: bool = True,
) -> Path:
    """Several curves over the same epochs (counted from 1) in one file; with ``log``, on a log
    scale."""
    figure = matplotlib_of().figure.Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in lines.items():
        axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1.6)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return save_figure(figure, path, dpi=160)


def _matrix(weights: Any) -> Array:
    w = np.asarray(weights.numpy() if hasattr(weights, "numpy") else weights, np.float64)
    if w.ndim == 1:
        w = w[None]
    if w.ndim != 2 or not w.size:
        raise ShapeError(f"a Hinton diagram shows a matrix (rows, columns), got shape {w.shape}")
    if not np.isfinite(w).all():
        raise DataError(
            f"a Hinton diagram shows finite weights; {int((~np.isfinite(w)).sum())} are not"
        )
    return w
