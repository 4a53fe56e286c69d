"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .canvas import matplotlib_of, save_figure


def curves(
    lines: Mapping[str, Sequence[float]],
    path: str | Path,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    log: bool = True,
) -> Path:
    """Curves over the same epochs (counted from 1) in one file; with ``log``, on a log scale."""
    figure = matplotlib_of().figure.Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in lines.items():
        axes.plot(range(1, len(values) + 1), values, label=name, linewidth=1.6)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return save_figure(figure, path, dpi=160)
