"""Intermediate values: two bits through a single hidden unit, 2-1-4-4.

Four cases must stay apart in the activity of one unit, so it cannot be just on or off: in the book
it takes the values 0, 0.2, 0.6 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import BLUE, ORANGE
from .base import Experiment, Lab, Report, bits
from .figures import solved_curves
from .networks import hidden_activities, layered
from .replicas import Runs

INPUTS, TARGETS = bits(2), np.eye(4)
BOOK = (0.0, 0.2, 0.6, 1.0)


def run(lab: Lab) -> Report:
    """Learn, and look at the one unit."""
    report = Report()
    runs = lab.train(
        "intermediate values",
        layered(2, 1, 4, 4),
        INPUTS,
        TARGETS,
        seeds=50,
        eps=0.25,
        alpha=0.9,
        init=0.5,
        sweeps=3000,
    )
    report.add_solved("2-1-4-4, ε 0.25, α 0.9", runs, 3000, share=0.96)
    values = activities(runs)
    if len(values):
        gap = np.diff(values, axis=1).min(1)
        inside = ((values > 0.1) & (values < 0.9)).sum(1)
        report.add(
            "activity of the single unit, sorted",
            f"mean {', '.join(f'{v:.2f}' for v in values.mean(0))}; smallest gap {gap.min():.2f};"
            f" two between 0.1 and 0.9 on {(inside == 2).sum()} of {len(values)}",
            bool((gap >= 0.1).all() and (inside == 2).all()),
            reported="0, 0.2, 0.6, 1",
            criterion="on all solved seeds: the four differ by at least 0.1, two lie between 0.1 "
            "and 0.9",
            means=values.mean(0).tolist(),
            gap=float(gap.min()),
        )
    report.figures["intermediate-values"] = lambda figure: draw(figure, runs)
    return report


def activities(runs: Runs) -> Array:
    """The unit's activity in the four cases, sorted, for every solved net: (S, 4)."""
    return np.sort(hidden_activities(runs.weights, INPUTS)[runs.solved, :, 0], axis=1)


def draw(figure: Any, runs: Runs) -> None:
    """The four values of every solved net beside the book's, and who is through when."""
    figure.set_size_inches(9, 3.2)
    left, right = figure.subplots(1, 2)
    values = activities(runs)
    left.plot(values.T, color=BLUE, alpha=0.25, marker="o", ms=3, lw=0.8)
    left.plot(BOOK, color=ORANGE, marker="s", label="the book")
    left.set_xticks(range(4), ("lowest", "second", "third", "highest"))
    left.set_ylabel("activity of the single unit")
    left.legend(fontsize=8)
    left.grid(alpha=0.3)
    solved_curves(right, {"2-1-4-4": runs}, 3000)


EXPERIMENT = Experiment(
    "intermediate-values",
    "Intermediate values",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 339-340",
    run,
)
