"""A shift register: a recurrent net that moves its own bits round.

N logistic units, each joined to all, start at a pattern of bits; after two steps the pattern must
have moved by two places. What happens at the first step is left to the net: some shift by one
place, some also invert all the bits and invert them back at the second step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from .base import Experiment, Lab, Report, bits
from .figures import solved_curves
from .networks import Net, Weights, logistic
from .replicas import Runs, within

STEPS = 2
KINDS = ("pure shift", "inverted shift", "graded")


def register(n: int) -> Net:
    """n units run for two steps: s(t+1) = σ(s(t) W + b), both steps with the same weights."""

    def forward(w: Weights, state: Tensor) -> Tensor:
        for _ in range(STEPS):
            state = f.sigmoid(state @ w["W"] + w["b"])
        return state

    return Net({"W": (n, n), "b": (n,)}, forward)


def run(lab: Lab) -> Report:
    """Three and five units."""
    report = Report()
    curves, sharp = {}, {}
    for n, share in ((3, 0.96), (5, 0.88)):
        x = bits(n)
        d = np.roll(x, STEPS, axis=1)
        # The rule averages the gradients of the steps that share a weight; ours are summed.
        options = {"seeds": 50, "eps": 0.25 / STEPS, "alpha": 0.9, "init": 0.5, "sweeps": 2000}
        r = lab.train(f"shift register, {n} units", register(n), x, d, **options)  # type: ignore[arg-type]
        report.add_solved(
            f"{n} units, ε 0.25, α 0.9",
            r,
            2000,
            share=share,
            median=(0, 200),
            reported="under 200 sweeps",
        )
        curves[f"{n} units"] = r
        r = lab.train(
            f"shift register, {n} units, to 0.1",
            register(n),
            x,
            d,
            solved=within(0.1),
            **options,  # type: ignore[arg-type]
        )
        inner_states(report, n, r)
        sharp[n] = r
    report.figures["shift-register"] = lambda figure: draw(figure, curves, sharp[3])
    return report


def states(runs: Runs, steps: int) -> Array:
    """The states after ``steps`` steps from every pattern: (R, P, n)."""
    state: Array = np.broadcast_to(runs.inputs, (len(runs.solved), *runs.inputs.shape))
    for _ in range(steps):
        state = logistic(state @ runs.weights["W"] + runs.weights["b"][:, None])
    return state


def kinds(runs: Runs) -> Array:
    """Which of `KINDS` each net's state after one step is, (R,)."""
    state, shifted = states(runs, 1), np.roll(runs.inputs, 1, axis=1)
    pure = (np.abs(state - shifted) < 0.4).all((1, 2))
    inverted = (np.abs(state - (1 - shifted)) < 0.4).all((1, 2))
    return np.where(pure, 0, np.where(inverted, 1, 2))


def inner_states(report: Report, n: int, runs: Runs) -> None:
    """Nets trained on until all outputs are within 0.1: the state between, and longer runs."""
    if not runs.solved.any():
        return
    count = np.bincount(kinds(runs)[runs.solved], minlength=3)
    report.add(
        f"{n} units, state after one step (trained to 0.1, {runs.solved.sum()} seeds)",
        ", ".join(f"{k}: {c}" for k, c in zip(KINDS, count, strict=True)),
        reported="pure shifts; some inverted",
        counts=count.tolist(),
    )
    right, shares = runs.solved.copy(), []
    for k in range(1, 6):
        wanted = np.roll(runs.inputs, 2 * k, axis=1) > 0.5
        right &= ((states(runs, 2 * k) > 0.5) == wanted).all((1, 2))
        shares.append(float(right[runs.solved].mean()))
    report.add(
        f"{n} units, 2k steps rotate by 2k places, up to k = 1, 2, 3, 4, 5",
        ", ".join(f"{s:.0%}" for s in shares) + " of these nets",
        bool(shares[-1] >= 0.9),
        criterion="at least 90 % up to k = 5",
        shares=shares,
    )


def draw(figure: Any, curves: dict[str, Runs], sharp: Runs) -> None:
    """The weights of a net of each kind, and who is through when."""
    figure.set_size_inches(9, 2.9)
    *left, right = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.8))
    names = [str(k + 1) for k in range(3)]
    for k, axes in enumerate(left):
        seeds = np.flatnonzero(sharp.solved & (kinds(sharp) == k))
        if len(seeds):
            w = np.concatenate([sharp.weights["W"][seeds[0]], sharp.weights["b"][seeds[0]][None]])
            hinton(
                w,
                axes,
                rows=[f"from {n}" for n in names] + ["bias"],
                columns=[f"to {n}" for n in names],
                numbers=1,
            )
            axes.set_title(f"{KINDS[k]}, seed {seeds[0]}", fontsize=9)
        else:
            axes.set_axis_off()
    solved_curves(right, curves, 2000)


EXPERIMENT = Experiment(
    "shift-register",
    "Shift register",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 354-357",
    run,
)
