"""The basins of exclusive or: which first weights end in the solution, which in a local minimum.

Kolen & Pollack trained 2-2-1 nets from weights of many sizes, and coloured planes of weight space
by what became of the nets that started there; larger weights failed more often. Here are the fates
by the scale of the first weights, and such a plane, one net for every point of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import BLUE, ORANGE, matplotlib_of
from ..tensor import functions as f
from .base import Experiment, Lab, Report
from .networks import initial_weights
from .replicas import Replicas
from .xor import INPUTS, TARGETS, TWO_HIDDEN

SCALES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
FATES = ("solved", "stuck", "on its way")
LONGER = 12  # times as many sweeps for the smallest weights
REACH = 10.0  # the plane: two weights from -10 to 10, the others from seed 0


@dataclass(frozen=True)
class Plan:
    """Seeds a scale, points a side of the plane, sweeps."""

    seeds: int
    side: int
    sweeps: int


QUICK, FULL = Plan(500, 128, 5000), Plan(1000, 256, 20_000)


def fates(
    lab: Lab, what: str, weights: dict[str, Array], sweeps: int
) -> tuple[Array, Array, Array]:
    """The fate of 2-2-1 nets that start from ``weights`` (R, ...).

    Numbers of `FATES`, sweeps, and E, each (R,). Stuck is E > 0.1 with a gradient below 0.01: a
    minimum, a plateau, a saddle.
    """
    nets = Replicas(TWO_HIDDEN, INPUTS, TARGETS, seeds=len(weights["W1"]), init=1.0)
    for name, w in weights.items():
        nets.weights[name].assign(f.tensor(w))
    lab.go_on(what, nets, sweeps, 0.5, 0.9)
    runs = nets.runs()
    error, gradient = runs.error_and_gradient()
    stuck = (error > 0.1) & (gradient < 1e-2)
    return np.where(runs.solved, 0, np.where(stuck, 1, 2)), runs.sweeps, error


def scaled(seeds: int) -> dict[str, Array]:
    """First weights within ± each of the scales, the same directions at every one."""
    unit = initial_weights(TWO_HIDDEN, seeds, 1.0)
    return {k: np.concatenate([np.float32(s) * w for s in SCALES]) for k, w in unit.items()}


def plane(side: int) -> dict[str, Array]:
    """A net for every point of a grid: W1[0, 0] from left to right, W1[1, 1] upwards."""
    axis = np.linspace(-REACH, REACH, side, dtype=np.float32)
    seed = initial_weights(TWO_HIDDEN, 1, 1.0)
    weights = {k: np.repeat(w, side**2, axis=0) for k, w in seed.items()}
    weights["W1"][:, 0, 0], weights["W1"][:, 1, 1] = np.tile(axis, side), np.repeat(axis, side)
    return weights


def run(lab: Lab) -> Report:
    """Fates by scale, and over a plane."""
    return study(lab, FULL if lab.full else QUICK)


def study(lab: Lab, plan: Plan) -> Report:
    """The same for any sizes."""
    report, seeds, side = Report(), lab.seeds(plan.seeds), plan.side
    fate, took, error = fates(lab, "xor, scales", scaled(seeds), plan.sweeps)
    fate = fate.reshape(len(SCALES), seeds)
    shares = np.stack([(fate == k).mean(1) for k in range(len(FATES))], axis=1)
    by_scale(report, plan, seeds, shares)
    found = sorted({round(float(e), 3) for e in error[fate.ravel() == 1]})
    report.add(
        "E of the nets that are stuck",
        f"{len(found)} values, {found[0]:.3f} to {found[-1]:.3f}" if found else "none are",
        values=found,
    )
    of_plane, took, _ = fates(lab, "xor, plane", plane(side), plan.sweeps)
    by_place(report, of_plane.reshape(side, side))
    smallest = {k: w[:seeds] for k, w in scaled(seeds).items()}
    later, _, _ = fates(lab, "xor, longer", smallest, LONGER * plan.sweeps)
    report.add(
        f"weights within ± {SCALES[0]:g}, solved in {LONGER * plan.sweeps:,} sweeps",
        f"{(later == 0).mean():.3f}",
        later=float((later == 0).mean()),
    )
    report.figures["basins"] = lambda figure: draw(
        figure, shares, of_plane.reshape(side, side), took.reshape(side, side)
    )
    return report


def by_scale(report: Report, plan: Plan, seeds: int, shares: Array) -> None:
    """The scale that finds the solution."""
    solved = shares[:, 0]
    report.add(
        f"share solved in {plan.sweeps:,} sweeps, weights within ± "
        f"{', '.join(f'{s:g}' for s in SCALES)}",
        f"{', '.join(f'{s:.2f}' for s in solved)} ({seeds} seeds each)",
        bool(solved[SCALES.index(0.5)] >= 0.85 and solved[-1] <= solved.max() - 0.2),
        reported="fewer, the larger the weights",
        criterion="at least 0.85 within ± 0.5; within ± 16 at least 0.2 fewer than the best",
        shares=shares.tolist(),
    )


def by_place(report: Report, fate: Array) -> None:
    """The shares of the plane, and its border."""
    parts = [float((fate == k).mean()) for k in range(len(FATES))]
    solved = fate == 0
    border = (solved[1:] != solved[:-1]).mean() / 2 + (solved[:, 1:] != solved[:, :-1]).mean() / 2
    report.add(
        f"two weights from -{REACH:g} to {REACH:g}, {len(fate)} × {len(fate)} nets",
        ", ".join(f"{100 * p:.1f} % {name}" for p, name in zip(parts, FATES, strict=True)),
        min(parts[:2]) > 0.02,
        reported="both fates, side by side",
        criterion="solved and stuck each more than 2 %",
        parts=parts,
    )
    report.add("neighbours on the plane with unlike fates", f"{100 * border:.1f} %")


def draw(figure: Any, shares: Array, fate: Array, took: Array) -> None:
    """Fates by scale; the plane by fate; the plane by sweeps until it was solved."""
    figure.set_size_inches(14, 4.2)
    left, middle, right = figure.subplots(1, 3)
    palette = (BLUE, ORANGE, "#dddddd")
    below = np.zeros(len(SCALES))
    for share, name, colour in zip(shares.T, FATES, palette, strict=True):
        left.bar(range(len(SCALES)), share, bottom=below, color=colour, label=name)
        below = below + share
    left.set_xticks(range(len(SCALES)), [f"{s:g}" for s in SCALES])
    left.set(xlabel="first weights within ±", ylabel="share of seeds")
    left.legend(fontsize=8)
    where = {"origin": "lower", "extent": (-REACH, REACH, -REACH, REACH)}
    colours = matplotlib_of().colors.ListedColormap(palette)
    middle.imshow(fate, cmap=colours, vmin=0, vmax=2, **where)
    middle.set_title("fate (colours as on the left)", fontsize=9)
    sweeps = np.where(fate == 0, np.log10(np.maximum(took, 1)), np.nan)
    image = right.imshow(sweeps, cmap="viridis", **where)
    right.set_title("log₁₀ of the sweeps until solved (white: not)", fontsize=9)
    figure.colorbar(image, ax=right)
    for axes in (middle, right):
        axes.set(xlabel="first weight, input 1 to hidden 1", ylabel="input 2 to hidden 2")


EXPERIMENT = Experiment(
    "basins", "The basins of exclusive or", "Kolen & Pollack 1990, NIPS 3, 860-867", run
)
