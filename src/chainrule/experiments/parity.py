"""Parity: is the number of ones odd?

The hardest function for units that look at similarity: flipping any one bit flips the answer. The
published 4-4-1 net is a thermometer: hidden unit k turns on when at least k inputs are on, and the
output weights alternate in sign.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import COLOURS
from .base import Experiment, Lab, Report, bits
from .figures import solved_curves
from .networks import hidden_activities, layered
from .replicas import Runs

# inputs, hidden units, ε, initial range, seeds, sweeps, share of seeds that must succeed
SETTINGS: tuple[tuple[int, int, float, float, int, int, float | None], ...] = (
    (3, 3, 0.5, 0.5, 40, 5000, 0.90),
    (4, 4, 0.3, 1.0, 50, 8000, 0.30),
    (4, 8, 0.1, 1.0, 50, 8000, 0.90),
    (5, 5, 0.1, 2.0, 30, 8000, None),
    (5, 10, 0.1, 2.0, 30, 8000, 0.80),
    (6, 6, 0.05, 2.0, 30, 8000, None),
    (6, 12, 0.05, 2.0, 30, 8000, 0.80),
)


def parity(n: int) -> tuple[Array, Array]:
    """All 2ⁿ cases and their targets."""
    x = bits(n)
    return x, x.sum(1, keepdims=True) % 2


def run(lab: Lab) -> Report:
    """The ideal thermometer, then learned nets of growing width."""
    report = Report()
    wrong = [n for n in range(2, 9) if (ideal(n) != parity(n)[1][:, 0]).any()]
    report.add(
        "ideal thermometer of threshold units, n = 2 to 8",
        f"wrong for {wrong or 'none'}",
        not wrong,
        criterion="right on all 2ⁿ cases",
    )
    all_runs = {}
    for n, hidden, eps, init, seeds, sweeps, share in SETTINGS:
        x, d = parity(n)
        name = f"{n}-{hidden}-1"
        r = lab.train(
            f"parity {name}",
            layered(n, hidden, 1),
            x,
            d,
            seeds=seeds,
            eps=eps,
            alpha=0.9,
            init=init,
            sweeps=sweeps,
        )
        reported = "2,825 presentations of each case" if (n, hidden) == (4, 4) else ""
        report.add_solved(
            f"{name}, ε {eps}, init {init}", r, sweeps, share=share, reported=reported
        )
        which = thermometers(r)
        text = f"{which.sum()} of {r.solved.sum()} solved nets"
        report.add(
            f"{name}: thermometers",
            text,
            reported="the published 4-4-1 net is one" if n == hidden == 4 else "",
            thermometers=int(which.sum()),
            solved=int(r.solved.sum()),
        )
        all_runs[name] = r
    report.figures["parity"] = lambda figure: draw(figure, all_runs)
    return report


def ideal(n: int) -> Array:
    """Unit k on when at least k inputs are on; output weights +1 -1 +1 …, threshold ½."""
    count = bits(n).sum(1, keepdims=True)
    hidden = count - (np.arange(n) + 0.5) > 0
    return np.asarray(hidden @ (-1.0) ** np.arange(n) - 0.5 > 0, float)


def activity_by_count(runs: Runs) -> tuple[Array, Array]:
    """Mean and deviation of each hidden unit over the cases with 0 … n ones: (R, n + 1, H)."""
    h = hidden_activities(runs.weights, runs.inputs)
    count = runs.inputs.sum(1)
    groups = [h[:, count == k] for k in range(runs.inputs.shape[1] + 1)]
    return np.stack([g.mean(1) for g in groups], 1), np.stack([g.std(1) for g in groups], 1)


def thermometers(runs: Runs) -> Array:
    """Which nets are solved by hidden units that depend monotonely on the number of ones alone."""
    mean, deviation = activity_by_count(runs)
    steps = np.diff(mean, axis=1)
    monotone = np.all(steps >= -1e-3, axis=1) | np.all(steps <= 1e-3, axis=1)
    return np.asarray(runs.solved & np.all(deviation < 0.1, axis=(1, 2)) & np.all(monotone, axis=1))


def draw(figure: Any, runs: dict[str, Runs]) -> None:
    """A thermometer found by a 4-4-1 net (or the nearest to one), and who is through when."""
    figure.set_size_inches(11, 3.8)
    *left, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    for axes, name in zip(left, ("3-3-1", "4-4-1"), strict=True):
        r = runs[name]
        if not r.solved.any():
            continue
        mean, deviation = activity_by_count(r)
        seed = int(np.argmin(np.where(r.solved, deviation.max((1, 2)), np.inf)))
        for k, colour in zip(range(mean.shape[2]), COLOURS, strict=False):
            axes.errorbar(
                range(mean.shape[1]),
                mean[seed, :, k],
                deviation[seed, :, k],
                color=colour,
                marker="o",
                ms=4,
                capsize=3,
                label=f"unit {k + 1}, to output {r.weights['W2'][seed, k, 0]:+.1f}",
            )
        axes.set_xlabel("number of ones in the input")
        axes.set_ylabel("activity (mean and deviation)")
        kind = "a thermometer" if thermometers(r)[seed] else "the nearest to one"
        axes.set_title(f"hidden units of {name}, seed {seed}: {kind}", fontsize=9)
        axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        axes.grid(alpha=0.3)
    solved_curves(right, runs, 8000)


EXPERIMENT = Experiment(
    "parity", "Parity", "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 334-335", run
)
