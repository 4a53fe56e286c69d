"""Drawing: Hinton diagrams and the like. Blue is positive, orange negative, everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import MissingExtraError

Draw = Callable[[Any], None]  # draws on a matplotlib Figure

BLUE, ORANGE, GREY = "#1f6fb4", "#f28e2b", "#8a8a8a"
COLOURS = (BLUE, ORANGE, "#3a9d6e", "#b0508e", GREY, "#b8960c", "#17a2b8", "#7b4fb0")


def save(draw: Draw, path: Path) -> Path:
    """Draw into a file of its own."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "figures need matplotlib: pip install 'chainrule[figures]'"
        ) from None
    figure = Figure(layout="constrained")
    draw(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def hinton(
    axes: Any,
    weights: Array,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    *,
    numbers: int | None = None,
) -> None:
    """A square for each weight (rows, columns): its area is the size, blue means positive, orange
    negative.

    ``numbers``: write the weights below their squares, with so many digits. NaN: no weight there.
    """
    weights = np.atleast_2d(weights)
    count, width = weights.shape
    largest = np.nanmax(np.abs(weights))
    pitch = 1.0 if numbers is None else 1.4
    for (i, j), w in np.ndenumerate(weights):
        if np.isnan(w):
            continue
        side = 0.94 * np.sqrt(abs(w) / largest)
        axes.add_patch(_square(j, pitch * i, side, BLUE if w > 0 else ORANGE))
        if numbers is not None:
            axes.text(j, pitch * i + 0.68, f"{w:.{numbers}f}", ha="center", va="center", fontsize=7)
    axes.set_xlim(-0.6, width - 0.4)
    axes.set_ylim(pitch * (count - 1) + (0.6 if numbers is None else 0.9), -0.6)
    axes.set_aspect("equal")
    axes.set_facecolor("#f2f2f2")
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks([pitch * i for i in range(len(rows))], rows)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _square(x: float, y: float, side: float, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - side / 2, y - side / 2), side, side, color=colour, lw=0)


def solved_curves(axes: Any, runs: dict[str, Any], limit: int) -> None:
    """The share of seeds that have solved their task, against the sweeps (logarithmic)."""
    for (label, r), colour in zip(runs.items(), COLOURS, strict=False):
        took = np.sort(r.sweeps[r.solved_in(limit)])
        share = np.arange(1, len(took) + 1) / len(r.solved)
        last = share[-1] if len(took) else 0.0
        axes.step([*took, limit], [*share, last], where="post", color=colour, label=label)
    axes.set_xscale("log")
    first = min((r.sweeps[r.solved].min() for r in runs.values() if r.solved.any()), default=1)
    marks = [m * 10**k for k in range(6) for m in (1, 2, 5)]
    marks = [m for m in marks if 0.8 * first <= m <= limit]
    axes.set_xticks(marks, [f"{m:,}" for m in marks], rotation=45, fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("sweeps")
    axes.set_ylabel("share of seeds that solved it")
    axes.grid(alpha=0.3)
    if runs:
        axes.legend(fontsize=8)
