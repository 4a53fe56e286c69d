"""T or C: one receptive field, shared by all hidden units.

Five squares each; in every orientation T and C have the same distances between pairs of squares, so
triples must be looked at. Every hidden unit sees its own 3 x 3 window through the *same* nine
weights and bias, and all have the same weight to the output: twelve numbers are learned, whose
gradients are summed over all positions. Different runs find different fields.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from .base import Experiment, Lab, Report
from .networks import Net, Weights, logistic
from .replicas import outputs

T = np.array([[1, 1, 1], [0, 1, 0], [0, 1, 0]], float)
C = np.array([[1, 1], [1, 0], [1, 1]], float)
SHAPES = [np.rot90(shape, k) for shape in (T, C) for k in range(4)]
TARGETS = np.repeat([[1.0], [0.0]], 4, axis=0)
MARGIN = 2


def forward(w: Weights, windows: Tensor) -> Tensor:
    """Windows (P, positions, 9) to the output (P, 1)."""
    hidden = f.sigmoid(windows @ w["field"] + w["bias"])  # (P, positions)
    return f.sigmoid(w["output"] * hidden.sum(1, keepdims=True) + w["output bias"])


NET = Net({"field": (9,), "bias": (1,), "output": (1,), "output bias": (1,)}, forward)


def windows(retina: Array) -> Array:
    """All 3 x 3 windows of a square retina, row by row: (positions, 9)."""
    return np.lib.stride_tricks.sliding_window_view(retina, (3, 3)).reshape(-1, 9)


def retina(shape: Array, side: int, row: int, column: int) -> Array:
    """``shape`` on an empty retina."""
    out = np.zeros((side, side))
    out[row : row + shape.shape[0], column : column + shape.shape[1]] = shape
    return out


def centred(side: int) -> Array:
    """The windows of the eight patterns in the middle of the retina: (8, positions, 9)."""
    return np.stack(
        [
            windows(retina(s, side, (side - s.shape[0]) // 2, (side - s.shape[1]) // 2))
            for s in SHAPES
        ]
    )


def run(lab: Lab) -> Report:
    """Learn on a 7 x 7 retina; look at the fields; move the patterns about."""
    report = Report()
    runs = lab.train(
        "T or C", NET, centred(7), TARGETS, seeds=40, eps=0.1, alpha=0.5, init=1.0, sweeps=10_000
    )
    report.add_solved(
        "one shared 3 x 3 field, 7 x 7 retina, ε 0.1, α 0.5",
        runs,
        10_000,
        share=0.40,
        reported="5,000 to 10,000 presentations of the set",
    )
    solved = {k: w[runs.solved].astype(float) for k, w in runs.weights.items()}
    if runs.solved.any():
        small, large = moved(solved, 9), moved(solved, 20)
        report.add(
            "the same answer wherever the pattern stands (9 x 9 and 20 x 20 retinas)",
            f"largest difference {max(small, large):.1e}",
            bool(max(small, large) <= 1e-12),
            criterion="at most 1e-12, the output bias corrected for the additional hidden units",
            difference=max(small, large),
        )
    kinds = Counter(kind(w) for w in solved["field"])
    report.add(
        "receptive fields",
        ", ".join(f"{k}: {n}" for k, n in kinds.most_common()) or "none",
        reported="on-centre off-surround, bars, diagonals, compactness",
        kinds=dict(kinds),
    )
    report.figures["t-c"] = lambda figure: draw(
        figure, solved["field"], np.flatnonzero(runs.solved)
    )
    return report


def moved(w: dict[str, Array], side: int) -> float:
    """The largest change of any output when a pattern is moved about a retina of another size.

    Idle hidden units contribute too, so the output bias is lowered by (additional units) v σ(b).
    """
    reference = outputs(NET, w, centred(7))[:, :, 0]
    additional = (side - 2) ** 2 - 25
    w = w | {"output bias": w["output bias"] - additional * w["output"] * logistic(w["bias"])}
    largest = 0.0
    for k, shape in enumerate(SHAPES):
        rows, columns = (range(MARGIN, side - MARGIN - n + 1) for n in shape.shape)
        places = np.stack([windows(retina(shape, side, i, j)) for i in rows for j in columns])
        y = outputs(NET, w, places)[:, :, 0]
        largest = max(largest, float(np.abs(y - reference[:, k : k + 1]).max()))
    return largest


def dilation(shape: Array) -> int:
    """How many hidden units see at least one square of ``shape``: 20 for a C, 21 for a T."""
    side = 7
    return int(windows(retina(shape, side, MARGIN, MARGIN)).any(1).sum())


def templates() -> dict[str, list[Array]]:
    """The patterns a field is compared with, up to sign."""
    ones = np.eye(9).reshape(9, 3, 3)
    wide = np.pad(C, ((0, 0), (0, 1)))
    bars = [np.zeros((3, 3)) for _ in range(3)]
    for k, b in enumerate(bars):
        b[k] = 1
    return {
        "on-centre": [ones[4]],
        "off-centre": [*ones[:4], *ones[5:]],
        "bar": [m for b in bars for m in (b, b.T)],
        "diagonal": [np.eye(3), np.eye(3)[::-1]],
        "a T": SHAPES[:4],
        "a C": [
            np.rot90(m, k) for m in (wide, wide[:, ::-1], np.roll(wide, 1, 1)) for k in range(4)
        ],
    }


def kind(field: Array) -> str:
    """Compactness (nine weights of one sign and similar size), or a template with |r| ≥ 0.7."""
    if field.std() < 0.35 * abs(field.mean()):
        return "compactness"
    best, name = max(
        (abs(float(np.corrcoef(field, t.ravel())[0, 1])), name)
        for name, ts in templates().items()
        for t in ts
    )
    return name if best >= 0.7 else "other"


def draw(figure: Any, fields: Array, seeds: Array) -> None:
    """The fields of the first solved nets."""
    columns = 8
    shown = fields[: 3 * columns]
    rows = max(1, -(-len(shown) // columns))
    figure.set_size_inches(9, 1.45 * rows + 0.3)
    figure.suptitle("the field that each seed learned, and what it is called", fontsize=9)
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, field, seed in zip(grid, shown, seeds, strict=False):
        hinton(field.reshape(3, 3), axes)
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{seed}: {kind(field)}", fontsize=8)


EXPERIMENT = Experiment(
    "t-c",
    "T or C, with shared weights",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 348-352",
    run,
)
