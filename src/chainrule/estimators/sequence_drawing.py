"""The figure of a model of sequences: learning, answers beside the truth, the worst answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import Sequences
from ..plot import matplotlib_of, save_figure
from ..train import History
from .drawing import confusion_matrix, loss_curve, scatter

SHOWN = 6
"""The worst answers, that many."""


def draw(path: str | Path, found: Sequences, said: Array, rows: str, history: History) -> Path:
    """Panels in one file; ``said``: probabilities, or values (N, 1); ``rows``: their name."""
    panels: list[Any] = []
    if len(history):
        what = "cross entropy" if found.classes else "squared error, standardized"
        panels.append(lambda axes: loss_curve(axes, history, what))
    if found.classes:
        chosen = said.argmax(1)
        panels.append(lambda axes: confusion_matrix(axes, found.classes, found.y, chosen, rows))
        order = np.argsort(said[np.arange(len(found)), found.y])
    else:
        panels.append(lambda axes: scatter(axes, "value", found.y, said[:, 0], rows))
        order = np.argsort(-np.abs(said[:, 0] - found.y))
    panels.append(lambda axes: _worst(axes, found, said, order[:SHOWN]))
    figure = matplotlib_of().figure.Figure(figsize=(5 * len(panels), 4.6), layout="constrained")
    for i, panel in enumerate(panels):
        panel(figure.add_subplot(1, len(panels), i + 1))
    return save_figure(figure, path, dpi=130)


def _worst(axes: Any, found: Sequences, said: Array, order: Array) -> None:
    """The first channel of some sequences, one above the other."""
    for place, i in enumerate(order):
        line = found.x[i][:, 0]
        low, span = np.nanmin(line), np.nanmax(line) - np.nanmin(line)
        axes.plot((line - low) / (1.25 * (span or 1.0)) - place, linewidth=1.1)
        if found.classes:
            words = f"{found.classes[int(found.y[i])]} > {found.classes[int(said[i].argmax())]}"
        else:
            words = f"{found.y[i]:.4g} > {said[i, 0]:.4g}"
        axes.text(0, 0.82 - place, words, fontsize=7, va="bottom")
    axes.set_yticks([])
    axes.set(xlabel="step", title="least certain: truth > answer (first channel)")
