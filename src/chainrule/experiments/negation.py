"""Negation: four bits in, three out, complemented when the first input is on.

Each output is the exclusive or of one bit with the negation bit, so a net with three hidden units
and shortcuts can solve it as three separate XORs, one hidden unit each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from .base import Experiment, Lab, Report, bits
from .figures import shortcut_net, solved_curves
from .networks import layered
from .replicas import Runs, outputs

INPUTS = bits(4)
TARGETS = np.abs(INPUTS[:, 1:] - INPUTS[:, :1])
NET = layered(4, 3, 3, shortcuts=True)


def published() -> dict[str, Array]:
    """The weights of Figure 12."""
    bit = np.eye(3)
    return {
        "W1": np.concatenate([[[6, -6, -6]], np.diag([6, -6, -6])]).astype(float),
        "b1": np.array([-8.0, 2.0, 2.0]),
        "W2": -10 * bit,
        "b2": np.array([-1.0, 6.0, 6.0]),
        "S": np.concatenate([[[4, -4, -4]], np.diag([4, -4, -4])]).astype(float),
    }


def run(lab: Lab) -> Report:
    """The published weights; learning with shortcuts at two rates, and without shortcuts."""
    report = Report()
    y = outputs(NET, {k: w[None] for k, w in published().items()}, INPUTS)[0]
    distance = float(np.abs(y - TARGETS).max())
    report.add(
        "published weights (Figure 12)",
        f"all outputs within {distance:.3f}",
        distance <= 0.27,
        criterion="within 0.27 of the target",
        distance=distance,
    )
    runs = {}
    for name, net, eps, share in (
        ("4-3-3 with shortcuts, ε 0.1", NET, 0.1, 0.90),
        ("4-3-3 with shortcuts, ε 0.25", NET, 0.25, None),
        ("4-3-3, layers only, ε 0.1", layered(4, 3, 3), 0.1, None),
        ("4-6-3, layers only, ε 0.1", layered(4, 6, 3), 0.1, None),
    ):
        runs[name] = lab.train(
            f"negation {name}",
            net,
            INPUTS,
            TARGETS,
            seeds=50,
            eps=eps,
            alpha=0.9,
            init=0.5,
            sweeps=8000,
        )
        reported = "about 5,000 passes at ε 0.25" if share else ""
        report.add_solved(name, runs[name], 8000, share=share, reported=reported)
    first = runs["4-3-3 with shortcuts, ε 0.1"]
    units = dedicated(first).sum(1)[first.solved]
    report.add(
        "hidden units that attend to the negation bit and one other only",
        ", ".join(f"{k} of 3: {(units == k).sum()} nets" for k in range(4)),
        reported="three XORs, one unit each",
        counts=[int((units == k).sum()) for k in range(4)],
    )
    report.figures["negation"] = lambda figure: draw(figure, first, runs)
    return report


def dedicated(runs: Runs) -> Array:
    """Which hidden units (R, 3) have one weight of the three other bits over twice the next."""
    sizes = np.sort(np.abs(runs.weights["W1"][:, 1:]), axis=1)
    return np.asarray(sizes[:, 1] < 0.5 * sizes[:, 2])


def draw(figure: Any, first: Runs, runs: dict[str, Runs]) -> None:
    """The hidden units of the solved net with the most dedicated ones, and who is through when."""
    figure.set_size_inches(9, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    if first.solved.any():
        seed = int(np.where(first.solved, dedicated(first).sum(1), -1).argmax())
        outs, ins = ("out 1", "out 2", "out 3"), ("negate", "bit 1", "bit 2", "bit 3")
        shortcut_net(left, first, seed, outs, ins)
    solved_curves(right, {k: v for k, v in runs.items() if v.solved.any()}, 8000)


EXPERIMENT = Experiment(
    "negation",
    "Negation",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 346-348",
    run,
)
