"""The encoder: N patterns through a bottleneck of log₂ N units.

One of N inputs is on and the same output must turn on, so the hidden units have to invent a code of
N words. It is often binary; in the published 8-3-8 run four of the eight words contain a one half.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from .base import Experiment, Lab, Report, spread
from .figures import solved_curves
from .networks import hidden_activities, layered
from .replicas import Runs

# N, hidden units, ε, seeds, sweeps, share of seeds that must succeed
SETTINGS = (
    (4, 2, 0.25, 100, 1_000, 1.0),
    (4, 2, 1.0, 100, 1_000, 1.0),
    (8, 3, 0.1, 100, 3_000, 0.95),
    (16, 4, 0.05, 50, 10_000, 0.90),
)


def run(lab: Lab) -> Report:
    """Three sizes, each with the rate that suits it."""
    report = Report()
    all_runs = {}
    for n, hidden, eps, seeds, sweeps, share in SETTINGS:
        name = f"{n}-{hidden}-{n}, ε {eps}"
        r = lab.train(
            f"encoder {name}",
            layered(n, hidden, n),
            np.eye(n),
            np.eye(n),
            seeds=seeds,
            eps=eps,
            alpha=0.9,
            init=0.5,
            sweeps=sweeps,
        )
        report.add_solved(name, r, sweeps, share=share)
        codes(report, name, r)
        all_runs[name] = r
    report.figures["encoder"] = lambda figure: draw(figure, all_runs)
    return report


def smallest_distances(code: Array) -> Array:
    """Of each net (R, N, H), the distance between its two nearest code words."""
    apart = np.linalg.norm(code[:, :, None] - code[:, None], axis=-1)
    return np.asarray((apart + 9 * np.eye(code.shape[1])).min((1, 2)))


def codes(report: Report, name: str, runs: Runs) -> None:
    """Whether the code words differ, and whether they still do when rounded to bits."""
    code = hidden_activities(runs.weights, runs.inputs)[runs.solved]
    if not len(code):
        return
    apart = smallest_distances(code)
    distinct = np.array([len({tuple(w) for w in c}) == len(c) for c in np.round(code)])
    report.add(
        f"{name}: codes",
        f"smallest distance {spread(apart)}; {distinct.sum()} of {len(code)} have"
        f" {code.shape[1]} distinct rounded codes",
        bool(apart.min() > 0.4),
        reported="a binary code, sometimes with values between" if "8-3" in name else "",
        criterion="smallest distance above 0.4 on every solved seed",
        smallest=float(apart.min()),
        binary=int(distinct.sum()),
    )


def draw(figure: Any, runs: dict[str, Runs]) -> None:
    """The code of two 8-3-8 nets: a binary one, one with values between; who is through when."""
    figure.set_size_inches(9, 4.4)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 2.2))
    r = runs["8-3-8, ε 0.1"]
    code = hidden_activities(r.weights, r.inputs)
    binary = np.array([len({tuple(w) for w in c}) == 8 for c in np.round(code)]) & r.solved
    for axes, chosen, title in (
        (left, binary, "a binary code"),
        (middle, r.solved & ~binary, "values between"),
    ):
        seeds = np.flatnonzero(chosen)
        if len(seeds):
            table = code[seeds[0]]
            rows = [f"input {i + 1}" for i in range(8)]
            hinton(table, axes, rows=rows, columns=("h1", "h2", "h3"), numbers=1)
            axes.set_title(f"{title}, seed {seeds[0]}", fontsize=9)
    solved_curves(right, runs, 10_000)


EXPERIMENT = Experiment(
    "encoder",
    "The encoder",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 335-339",
    run,
)
