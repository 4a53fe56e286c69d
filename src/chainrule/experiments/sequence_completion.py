"""Sequence completion: two letters, then the digits they stand for.

A=12, B=23, C=31, D=21, E=13: after "AD" the net must say 1 2 2 1. The letters are gone when the
digits are due, so thirty recurrent hidden units have to remember them. It is taught 20 of the 25
sequences and answers the other five.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from .base import Experiment, Lab, Report
from .figures import solved_curves
from .networks import Net, Weights
from .replicas import Runs

CODES = {"A": "12", "B": "23", "C": "31", "D": "21", "E": "13"}
TEST = ("AD", "BE", "CA", "DB", "EC")
TRAIN = tuple(a + b for a in CODES for b in CODES if a + b not in TEST)
HIDDEN, START = 30, 0.2


def cases(pairs: tuple[str, ...]) -> tuple[Array, Array]:
    """Letters at the first two steps (P, 2, 5); digits at steps 3 to 6, one-hot (P, 4, 3)."""
    x = np.array([[np.eye(5)["ABCDE".index(letter)] for letter in pair] for pair in pairs])
    d = np.array(
        [[np.eye(3)[int(digit) - 1] for a in pair for digit in CODES[a]] for pair in pairs]
    )
    return x, d


def forward(w: Weights, letters: Tensor) -> Tensor:
    """h(t+1) = σ(U x(t) + W h(t) + b), o(t+1) = σ(V h(t) + c): the outputs at steps 3 to 6."""
    h = f.full((letters.shape[0], HIDDEN), START, dtype=letters.dtype)
    found = []
    for t in range(1, 6):
        if t >= 2:
            found.append(f.sigmoid(h @ w["V"] + w["c"]))  # the output at step t + 1
        x = h @ w["W"] + w["b"]
        if t <= 2:
            x = x + letters[:, t - 1] @ w["U"]
        h = f.sigmoid(x)
    return f.stack(found, 1)


NET = Net(
    {"U": (5, HIDDEN), "W": (HIDDEN, HIDDEN), "b": (HIDDEN,), "V": (HIDDEN, 3), "c": (3,)}, forward
)


def all_highest(y: Tensor, d: Tensor) -> Tensor:
    """Whether the right unit is the highest for every digit."""
    others = f.where(d > 0.5, 0.0, y).max(-1)
    everywhere: Tensor = ((y * d).sum(-1) - others).min() > 0
    return everywhere


def digits_right(y: Array, d: Array) -> Array:
    """Which digits (…, 4) have the right unit highest."""
    return np.asarray(y.argmax(-1) == d.argmax(-1))


def run(lab: Lab) -> Report:
    """Rates that work, and few sweeps at a high rate."""
    report = Report()
    x, d = cases(TRAIN)
    runs = lab.train(
        "sequence completion",
        NET,
        x,
        d,
        seeds=20,
        eps=0.02,
        alpha=0.9,
        init=0.3,
        sweeps=3000,
        solved=all_highest,
        freeze=False,
    )
    right = digits_right(runs.outputs(), d)
    whole = int(right.all((1, 2)).sum())
    s = runs.statistics()
    report.add(
        "training: all 80 digits right after 3,000 sweeps (ε 0.02, α 0.9, init 0.3)",
        f"{whole} of {s.seeds} seeds; first all right: median {s.median:,.0f} sweeps,"
        f" 10-90 % {s.p10:,.0f}-{s.p90:,.0f}",
        whole >= 0.9 * s.seeds,
        reported="260 sweeps",
        criterion="at least 90 % of the seeds",
        solved=whole,
        seeds=s.seeds,
    )
    new_x, new_d = cases(TEST)
    y = runs.outputs(new_x)
    new = digits_right(y, new_d)
    complete = new.all(2).sum(1)
    report.add(
        "test: the five new sequences entirely right",
        f"mean {complete.mean():.2f} of 5; digits {new.sum((1, 2)).mean():.2f} of 20",
        bool(complete.mean() >= 4.0),
        reported="19 of 20 digits, one tie",
        criterion="mean at least 4.0 of 5",
        complete=complete.tolist(),
    )
    fast = lab.train(
        "sequence completion, fast",
        NET,
        x,
        d,
        seeds=20,
        eps=0.1,
        alpha=0.9,
        init=0.5,
        sweeps=260,
        solved=all_highest,
        freeze=False,
    )
    report.add_solved("training at ε 0.1, init 0.5", fast, 260, reported="260 sweeps")
    report.figures["sequence-completion"] = lambda figure: draw(figure, runs, y, new_d)
    return report


def draw(figure: Any, runs: Runs, y: Array, d: Array) -> None:
    """What seed 0 answers to the new sequences, and who is through when."""
    figure.set_size_inches(9, 3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    table = y[0].reshape(5, 12)
    left.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        bold = "bold" if d.reshape(5, 12)[i, j] else "normal"
        left.text(
            j,
            i,
            f"{value:.2f}"[1:] if value < 0.995 else "1.0",
            ha="center",
            va="center",
            fontsize=8,
            weight=bold,
            color="white" if value > 0.6 else "black",
        )
    left.set_yticks(range(5), TEST)
    left.set_xticks(range(12), [str(k % 3 + 1) for k in range(12)])
    for k in (2.5, 5.5, 8.5):
        left.axvline(k, color="black", lw=1)
    left.set_xlabel("digit units at steps 3, 4, 5, 6 (bold: should be on)")
    left.set_title("the five new sequences, seed 0", fontsize=9)
    solved_curves(right, {"all 80 training digits": runs}, 3000)


EXPERIMENT = Experiment(
    "sequence-completion",
    "Sequence completion",
    "Rumelhart, Hinton & Williams 1986, PDP 1, chapter 8, pages 357-360",
    run,
)
