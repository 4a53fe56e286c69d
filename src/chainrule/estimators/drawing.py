"""Figures of a model of a table: its learning curve, answers beside truth, which columns matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..data import Preprocessor
from ..plot import NEGATIVE, POSITIVE, save_figure
from ..plot import matplotlib_of as _matplotlib
from ..train import History

POINTS = 3000
"""More rows are not drawn as points."""
BARS = 15
"""Columns whose importance is drawn."""
CLASSES = 20
"""No larger confusion matrix is drawn; the other classes stand together."""


def draw(
    path: str | Path,
    p: Preprocessor,
    truth: Array | None,
    said: Array | None,
    importances: Mapping[str, float],
    history: History | None = None,
    rows: str = "rows",
) -> Path:
    """Panels in one file: learning curve, true against predicted, permutation importances.

    ``history``: of the learning curve; ``rows``: which ones the others are of. Needs matplotlib.
    """
    panels: list[Any] = []
    if history is not None and len(history):
        panels.append(lambda axes: _curve(axes, p, history))
    if truth is not None and said is not None:
        if p.classes:
            panels.append(
                lambda axes: confusion_matrix(axes, p.classes, truth, said.argmax(1), rows)
            )
        else:
            for i, name in enumerate(p.target_names[:4]):
                panels.append(
                    lambda axes, i=i, name=name: scatter(axes, name, truth[:, i], said[:, i], rows)
                )
    if importances:
        panels.append(lambda axes: _bars(axes, p, importances))
    figure = _matplotlib().figure.Figure(
        figsize=(4.6 * max(len(panels), 1), 4.2), layout="constrained"
    )
    for i, panel in enumerate(panels):
        panel(figure.add_subplot(1, len(panels), i + 1))
    return save_figure(figure, path, dpi=130)


def learning_curve(p: Preprocessor, history: History) -> tuple[str, dict[str, Array]]:
    """What is drawn over the epochs: RMSE in the target's unit, or the loss that is no square."""
    names = {"loss": "training", "val_loss": "validation"}
    lines = {label: history.numpy(name) for name, label in names.items() if name in history}
    if p.classes or p.link or len(set(p.target_std)) > 1:
        what = "cross entropy" if p.classes else "loss"
        return what, lines
    scale = p.target_std[0]
    unit = p.target_names[0] if len(p.target_names) == 1 else "the targets"
    return f"RMSE of {unit}", {k: np.sqrt(np.maximum(v, 0)) * scale for k, v in lines.items()}


def _curve(axes: Any, p: Preprocessor, history: History) -> None:
    what, lines = learning_curve(p, history)
    _lines(axes, history, what, lines)


def loss_curve(axes: Any, history: History, what: str) -> None:
    """The loss of the training and the validation examples over the epochs, the best one marked."""
    names = {"loss": "training", "val_loss": "validation"}
    lines = {label: history.numpy(name) for name, label in names.items() if name in history}
    _lines(axes, history, what, lines)


def _lines(axes: Any, history: History, what: str, lines: Mapping[str, Array]) -> None:
    for (name, values), colour in zip(lines.items(), (POSITIVE, NEGATIVE), strict=False):
        dot = "." if len(values) == 1 else ""
        axes.plot(range(1, len(values) + 1), values, dot + "-", label=name, color=colour, lw=1.6)
    if "validation" in lines:
        best, _ = history.best("val_loss")
        axes.axvline(best + 1, color="0.6", linewidth=1, linestyle="--")
        axes.plot(best + 1, lines["validation"][best], "o", color=NEGATIVE, markersize=6)
        axes.annotate(
            f"best: epoch {best + 1}", (best + 1, lines["validation"][best]), xytext=(6, 10),
            textcoords="offset points", fontsize=9,
        )  # fmt: skip
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch", ylabel=what, title="learning curve")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def scatter(axes: Any, name: str, truth: Array, said: Array, rows: str) -> None:
    """True against predicted numbers."""
    step = -(-len(truth) // POINTS)
    axes.plot(truth[::step], said[::step], ".", color=POSITIVE, markersize=4, alpha=0.5)
    ends = [min(truth.min(), said.min()), max(truth.max(), said.max())]
    axes.plot(ends, ends, color="0.4", linewidth=1)
    axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", title=f"{len(truth)} {rows}")
    axes.grid(alpha=0.25)


def confusion_matrix(axes: Any, names: Sequence[str], truth: Array, said: Array, rows: str) -> None:
    """How many of each class were said to be each class."""
    counts = confusion(truth, said, len(names))
    kept = np.argsort(-counts.sum(1), kind="stable")[:CLASSES]
    kept.sort()
    counts, names = counts[np.ix_(kept, kept)], [names[i] for i in kept]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(counts.shape):
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=8)
    short = [n if len(n) <= 14 else n[:13] + "…" for n in names]
    turned = 90 if max(map(len, short)) > 4 else 0
    axes.set_xticks(range(len(short)), short, rotation=turned)
    axes.set_yticks(range(len(short)), short)
    axes.set(xlabel="predicted", ylabel="true", title=f"{len(truth)} {rows}")


def confusion(truth: Array, said: Array, classes: int) -> Array:
    """int64 (classes, classes): how many rows of each true class were said to be each class."""
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (truth, said), 1)
    return found


def _bars(axes: Any, p: Preprocessor, importances: Mapping[str, float]) -> None:
    shown = list(importances.items())[:BARS][::-1]
    names = [n if len(n) <= 24 else n[:23] + "…" for n, _ in shown]
    axes.barh(range(len(shown)), [v for _, v in shown], color=POSITIVE)
    axes.set_yticks(range(len(shown)), names)
    what = "accuracy lost" if p.classes else "RMSE added"
    axes.set(xlabel=f"{what} if the column is shuffled", title="importance of the columns")
    axes.grid(alpha=0.25, axis="x")
