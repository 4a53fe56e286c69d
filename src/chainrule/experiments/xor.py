"""Exclusive or.

The smallest task that a net without hidden units cannot do. One hidden unit with shortcuts from the
inputs is enough (2-1-1), and so are two without shortcuts (2-2-1). In hundreds of runs the authors
met local minima only twice, both in 2-2-1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from .base import Experiment, Lab, Report, bits
from .figures import solved_curves
from .networks import layered
from .replicas import Replicas, Runs, outputs

INPUTS = bits(2)  # 00 01 10 11
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])

ONE_HIDDEN, TWO_HIDDEN = layered(2, 1, 1, shortcuts=True), layered(2, 2, 1)

# The weights printed in the chapter, and what they answer to 00, 01, 10, 11.
FIGURE_3 = {
    "W1": np.array([[-6.4], [-6.4]]),
    "b1": np.array([2.2]),
    "W2": np.array([[-9.4]]),
    "b2": np.array([6.3]),
    "S": np.array([[-4.2], [-4.2]]),
}
FIGURE_3_OUTPUTS = np.array([0.103, 0.877, 0.877, 0.109])
FIGURE_5 = {
    "W1": np.array([[-2.0, 4.3], [9.2, 8.8]]),
    "b1": np.array([2.0, -0.1]),
    "W2": np.array([[-4.5], [5.3]]),
    "b2": np.array([-0.8]),
}
FIGURE_5_OUTPUTS = np.array([0.096, 0.500, 0.898, 0.500])


def published_outputs(net: Any, weights: dict[str, Array]) -> Array:
    """What a net with these weights answers to the four cases."""
    return outputs(net, {k: w[None] for k, w in weights.items()}, INPUTS)[0, :, 0]


def run(lab: Lab) -> Report:
    """All architectures of the chapter, and the published weights."""
    report = Report()
    published(report)

    one = lab.train(
        "xor 2-1-1",
        ONE_HIDDEN,
        INPUTS,
        TARGETS,
        seeds=100,
        eps=0.5,
        alpha=0.9,
        init=0.5,
        sweeps=5000,
    )
    report.add_solved(
        "2-1-1 with shortcuts, ε 0.5, α 0.9",
        one,
        5000,
        share=0.95,
        median=(100, 1000),
        reported="558 sweeps",
    )

    nets = Replicas(TWO_HIDDEN, INPUTS, TARGETS, seeds=lab.seeds(100), init=0.5)
    lab.go_on("xor 2-2-1", nets, 20_000, 0.5, 0.9)
    two = nets.runs()
    report.add_solved(
        "2-2-1, ε 0.5, α 0.9",
        two,
        5000,
        share=0.90,
        median=(100, 700),
        reported="two local minima in hundreds of runs",
    )
    stuck(report, two)
    widths(report, lab)

    report.figures["xor"] = lambda figure: draw(figure, one, two)
    return report


def published(report: Report) -> None:
    """The forward pass, checked with the weights of Figures 3 and 5."""
    for name, net, weights, wanted in (
        ("Figure 3 (2-1-1)", ONE_HIDDEN, FIGURE_3, FIGURE_3_OUTPUTS),
        ("Figure 5 (a local minimum of 2-2-1)", TWO_HIDDEN, FIGURE_5, FIGURE_5_OUTPUTS),
    ):
        y = published_outputs(net, weights)
        distance = float(np.abs(y - wanted).max())
        report.add(
            f"published weights, {name}",
            f"outputs {', '.join(f'{v:.3f}' for v in y)}",
            distance <= 0.005,
            reported=", ".join(f"{v:.3f}" for v in wanted),
            criterion="within 0.005",
            distance=distance,
        )


def stuck(report: Report, runs: Runs) -> None:
    """What has become, after 20,000 sweeps, of the seeds that were not through after 5,000."""
    late = ~runs.solved_in(5000)
    error, gradient = runs.error_and_gradient()
    minimum = late & ~runs.solved & (error > 0.1) & (gradient < 1e-2)
    slow = late & runs.solved
    other = late & ~slow & ~minimum
    errors = ", ".join(f"{e:.3f}" for e in sorted(set(np.round(error[minimum].astype(float), 3))))
    text = f"{late.sum()} unsolved: {minimum.sum()} at or drifting along a local minimum"
    text += f" (E = {errors})" if minimum.any() else ""
    text += f", {slow.sum()} solved it later, {other.sum()} neither"
    report.add(
        "2-2-1, seeds not solved in 5,000 sweeps",
        text,
        not other.any(),
        criterion="each one classified after 20,000 sweeps: E > 0.1 and gradient below 0.01, or "
        "solved late",
        minima=int(minimum.sum()),
        slow=int(slow.sum()),
        other=int(other.sum()),
    )


def widths(report: Report, lab: Lab) -> None:
    """2-H-1: more hidden units learn faster."""
    hidden = [2, 4, 8, 16, 32]
    medians = []
    for h in hidden:
        r = lab.train(
            f"xor 2-{h}-1",
            layered(2, h, 1),
            INPUTS,
            TARGETS,
            seeds=100,
            eps=0.25,
            alpha=0.9,
            init=0.5,
            sweeps=5000,
        )
        medians.append(r.statistics().median)
        report.add_solved(f"2-{h}-1, ε 0.25, α 0.9", r, 5000)
    slope, base = np.polyfit(np.log2(hidden), medians, 1)
    report.add(
        "2-H-1, median sweeps against H = 2, 4, 8, 16, 32",
        f"{', '.join(f'{m:,.0f}' for m in medians)}; fitted {base:.0f} - {-slope:.0f} log2 H",
        bool(np.all(np.diff(medians) < 0)),
        reported="280 - 33 log2 H presentations (Chauvin)",
        criterion="falls at every doubling",
        medians=medians,
        slope=float(slope),
        intercept=float(base),
    )


def draw(figure: Any, one: Runs, two: Runs) -> None:
    """The published 2-1-1 net beside one learned here, and how many seeds are through when."""
    figure.set_size_inches(9, 3.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.9))
    found = np.flatnonzero(one.solved)
    nets = [("published (Figure 3)", FIGURE_3)]
    if len(found):
        nets.append((f"learned, seed {found[0]}", {k: w[found[0]] for k, w in one.weights.items()}))
    for axes, (title, w) in zip((left, middle), nets, strict=False):
        table = np.array(
            [[*w["W1"][:, 0], np.nan, w["b1"][0]], [*w["S"][:, 0], w["W2"][0, 0], w["b2"][0]]]
        )
        names = ("hidden", "output"), ("in 1", "in 2", "hidden", "bias")
        hinton(table, axes, rows=names[0], columns=names[1], numbers=1, holes=True)
        axes.set_title(title, fontsize=9)
    solved_curves(right, {"2-1-1 with shortcuts": one, "2-2-1": two}, 20_000)


EXPERIMENT = Experiment(
    "xor", "Exclusive or", "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 330-334", run
)
