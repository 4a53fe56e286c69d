"""Mirror symmetry.

Is a string of six bits its own mirror image? Two hidden units are enough: in each of them the
weights of mirror positions are equal and opposite, so a symmetric string sends them exactly
nothing; and the three magnitudes on a side are as 1 : 2 : 4, so every other string sends them
something. The paper's Figure 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import BLUE, GREY, ORANGE, hinton
from .base import Experiment, Lab, Report, bits
from .networks import layered
from .replicas import Runs, outputs

INPUTS = bits(6)
TARGETS = np.all(INPUTS == INPUTS[:, ::-1], axis=1, keepdims=True).astype(float)
NET = layered(6, 2, 1)

PUBLISHED = {
    "W1": np.array(
        [[-3.18, 6.32, -12.56, 12.56, -6.33, 3.17], [3.16, -6.34, 12.52, -12.51, 6.31, -3.17]]
    ).T,
    "b1": np.array([-1.0, -1.0]),
    "W2": np.array([[-9.44], [-9.44]]),
    "b2": np.array([6.89]),
}


def run(lab: Lab) -> Report:
    """ε 0.1 as in the paper, and half of it, which always succeeds."""
    report = Report()
    y = outputs(NET, {k: w[None] for k, w in PUBLISHED.items()}, INPUTS)[0]
    distance = float(np.abs(y - TARGETS).max())
    report.add(
        "published weights",
        f"all 64 outputs within {distance:.3f}",
        distance <= 0.17,
        criterion="within 0.17 of the target",
        distance=distance,
    )
    runs = {}
    for eps, sweeps, share, reported in ((0.1, 8000, 0.60, "1,425 sweeps"), (0.05, 3000, 0.95, "")):
        runs[eps] = lab.train(
            f"symmetry ε {eps}",
            NET,
            INPUTS,
            TARGETS,
            seeds=100,
            eps=eps,
            alpha=0.9,
            init=0.3,
            sweeps=sweeps,
        )
        report.add_solved(
            f"6-2-1, ε {eps}, α 0.9", runs[eps], sweeps, share=share, reported=reported
        )
        representation(report, eps, runs[eps])
    report.figures["symmetry"] = lambda figure: draw(figure, runs)
    return report


def measures(runs: Runs) -> dict[str, Array]:
    """Of every solved seed: mirror error, twin correlation, sorted magnitudes over the smallest."""
    w = runs.weights["W1"][runs.solved].astype(np.float64)  # (S, 6, 2)
    mirror = np.abs(w + w[:, ::-1]).max((1, 2)) / np.abs(w).max((1, 2))
    twins = np.array([np.corrcoef(one.T)[0, 1] for one in w])
    sides = np.sort(np.abs(w[:, :3]).mean(2), axis=1)
    return {"mirror": mirror, "twins": twins, "ratios": sides / sides[:, :1]}


def near(ratios: Array, wanted: tuple[float, ...], tolerance: float) -> Array:
    """Which of ``ratios`` (S, 3) are within ``tolerance`` (relative) of ``wanted``."""
    return np.asarray((np.abs(ratios / np.array(wanted) - 1) <= tolerance).all(1))


def representation(report: Report, eps: float, runs: Runs) -> None:
    """What the hidden units have become, over all solved seeds."""
    if not runs.solved.any():
        return
    m = measures(runs)
    w = {k: v[runs.solved] for k, v in runs.weights.items()}
    signs = (w["b1"] < 0).all(1) & (w["b2"] > 0).all(1) & (w["W2"] < 0).all((1, 2))
    report.add(
        f"ε {eps}: antisymmetric weights",
        f"mirror error at most {m['mirror'].max():.5f};"
        f" twin correlation at most {m['twins'].max():.5f}; signs as described in "
        f"{signs.mean():.0%}",
        bool(m["mirror"].max() < 0.01 and m["twins"].max() < -0.95),
        reported="equal and opposite; the two units have opposite signs",
        criterion="mirror error below 0.01 and twin correlation below -0.95 on all solved seeds",
        mirror=float(m["mirror"].max()),
        twins=float(m["twins"].max()),
        signs=float(signs.mean()),
    )
    exact = near(m["ratios"], (1, 2, 4), 0.10).mean()
    either = (near(m["ratios"], (1, 2, 4), 0.15) | near(m["ratios"], (1, 1.5, 2), 0.15)).mean()
    report.add(
        f"ε {eps}: magnitudes on a side",
        f"{exact:.0%} within 10 % of 1 : 2 : 4; {either:.0%} within 15 % of 1 : 2 : 4 or 2 : 3 : 4",
        bool(exact >= 0.45 and either >= 0.95),
        reported="1 : 2 : 4",
        criterion="at least 45 %; at least 95 %",
        exact=exact,
        either=either,
    )


def draw(figure: Any, runs: dict[float, Runs]) -> None:
    """The first net with 1 : 2 : 4 as a Hinton diagram, and the ratios of all nets."""
    figure.set_size_inches(9, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    r = runs[0.1]
    seeds = np.flatnonzero(r.solved)
    if len(seeds):
        ratios = measures(r)["ratios"]
        chosen = np.flatnonzero(near(ratios, (1, 2, 4), 0.10))
        seed = seeds[chosen[0]] if len(chosen) else seeds[0]
        w = np.concatenate([r.weights["W1"][seed].T, r.weights["b1"][seed][:, None]], axis=1)
        columns = ("1", "2", "3", "4", "5", "6", "bias")
        hinton(w, left, rows=("hidden 1", "hidden 2"), columns=columns, numbers=2)
        title = f"weights of the hidden units, seed {seed}, after {r.sweeps[seed]:,} sweeps"
        left.set_title(title, fontsize=9)
    for (eps, one), colour in zip(runs.items(), (BLUE, ORANGE), strict=True):
        if one.solved.any():
            ratios = measures(one)["ratios"]
            right.scatter(
                ratios[:, 1], ratios[:, 2], s=12, color=colour, alpha=0.6, label=f"ε {eps}"
            )
    for ratio in ((2, 4), (1.5, 2)):
        right.plot(*ratio, "+", color=GREY, ms=14)
    right.set_xlabel("middle magnitude / smallest")
    right.set_ylabel("largest / smallest")
    right.set_title("every solved seed (+: 1:2:4 and 2:3:4)", fontsize=9)
    right.grid(alpha=0.3)
    if any(one.solved.any() for one in runs.values()):
        right.legend(fontsize=8)


EXPERIMENT = Experiment(
    "symmetry", "Mirror symmetry", "Rumelhart, Hinton & Williams 1986, Nature 323, Figure 1", run
)
