"""Binary addition of two two-bit numbers.

The carry is the difficulty: the middle sum bit needs to know what happened on the right. A
hand-made net of threshold units shows that two hidden units can do it; learning with two often ends
in a local minimum, with three it mostly succeeds. The shortcuts from inputs to outputs are
essential.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from .base import Experiment, Lab, Report, bits
from .figures import shortcut_net, solved_curves
from .networks import layered
from .replicas import Runs

INPUTS = bits(4)  # high and low bit of the one number, high and low bit of the other
SUM = (2 * INPUTS[:, [0, 2]] + INPUTS[:, [1, 3]]).sum(1).astype(int)
TARGETS = (SUM[:, None] >> np.array([2, 1, 0]) & 1).astype(float)

# name, hidden units, shortcuts, cascade, ε, share that must succeed
SETTINGS = (
    ("4-2-3 with shortcuts", 2, True, False, 0.25, None),
    ("4-3-3 with shortcuts", 3, True, False, 0.25, 0.60),
    ("4-2-3 with shortcuts, cascaded", 2, True, True, 0.25, None),
    ("4-3-3 with shortcuts, cascaded", 3, True, True, 0.25, None),
    ("4-2-3, layers only", 2, False, False, 0.25, None),
    ("4-3-3, layers only", 3, False, False, 0.25, None),
    ("4-4-3, layers only", 4, False, False, 0.25, 0.60),
)


def run(lab: Lab) -> Report:
    """The hand-made net, and learning with two, three and four hidden units."""
    report = Report()
    wrong = int((handmade(INPUTS) != TARGETS).any(1).sum())
    report.add(
        "hand-made net of threshold units (Figure 10)",
        f"{16 - wrong} of 16 cases right",
        wrong == 0,
        criterion="all 16",
    )
    runs = {}
    for name, hidden, shortcuts, cascade, eps, share in SETTINGS:
        net = layered(4, hidden, 3, shortcuts=shortcuts, cascade=cascade)
        runs[name] = lab.train(
            f"addition {name}",
            net,
            INPUTS,
            TARGETS,
            seeds=50,
            eps=eps,
            alpha=0.9,
            init=0.5,
            sweeps=8000,
        )
        reported = {SETTINGS[0][0]: "often a local minimum", SETTINGS[1][0]: "succeeds"}.get(
            name, ""
        )
        report.add_solved(name, runs[name], 8000, share=share, reported=reported)
    two, three = (100 * runs[s[0]].solved.mean() for s in SETTINGS[:2])
    report.add(
        "two hidden units against three",
        f"{two:.0f} % and {three:.0f} % solved",
        bool(three - two >= 20),
        reported="three are needed",
        criterion="at least 20 points between them",
    )
    report.figures["addition"] = lambda figure: draw(figure, runs)
    return report


def handmade(x: Array) -> Array:
    """Hidden R: both low bits; hidden L: two of high, high and R; outputs: carry, middle, low."""
    high, low = x[:, 0] + x[:, 2], x[:, 1] + x[:, 3]
    r = (low - 1.5 > 0).astype(float)
    left = (high + r - 1.5 > 0).astype(float)
    outputs = np.stack([left, high + r - 2 * left, low - 2 * r], axis=1)
    return (outputs - 0.5 > 0).astype(float)


def draw(figure: Any, runs: dict[str, Runs]) -> None:
    """The weights of the first solved net with three hidden units, and who is through when."""
    figure.set_size_inches(9, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    r = runs[SETTINGS[1][0]]
    seeds = np.flatnonzero(r.solved)
    if len(seeds):
        shortcut_net(left, r, int(seeds[0]), ("4s", "2s", "1s"), ("a 2s", "a 1s", "b 2s", "b 1s"))
    solved_curves(right, {k: v for k, v in runs.items() if v.solved.any()}, 8000)


EXPERIMENT = Experiment(
    "addition",
    "Binary addition",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 341-346",
    run,
)
