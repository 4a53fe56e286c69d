"""Long lags: LSTM beside a plain recurrent net on the adding problem and Reber's grammar.

Back through a plain net an error is multiplied by the same matrix at every step, and is gone after
a few; in the cell of the LSTM it is multiplied by the forget gate, which may be open. Here stand
the modern cell (Gers, Schmidhuber & Cummins 2000), the full gradient and Adam, not 1997's rule.
The forget gates start open, as far as the lag asks (see `set_gates`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..data import Batches
from ..data.long_lags import make_adding
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report
from .reber import reber
from .recurrent import NETS, Reader, by_lag, cells_over_time, set_gates, trained

NEAR = 0.04  # a sum is right within


@dataclass(frozen=True)
class Plan:
    """Steps, sequences and criteria of a tier."""

    steps: int
    sequences: int
    seeds: int  # of the adding problem
    bias: float  # of the forget gates there
    wrong: float  # per cent
    reber_seeds: int
    strings: int


QUICK = Plan(100, 60_000, 3, 6.0, 1.0, 10, 60_000)
FULL = Plan(100, 300_000, 5, 6.0, 1.0, 10, 60_000)
CELLS, BATCH, TESTED = 16, 50, 2560


# -- the adding problem ----------------------------------------------------------------------------
@dataclass
class Added:
    """One net on the adding problem.

    Error and share of wrong answers by sequences seen; gradient by lag, before and after training.
    """

    net: Reader
    seen: list[int]
    error: list[float]
    wrong: list[float]
    lags: list[Array]


def add(lab: Lab, plan: Plan, kind: str, seed: int) -> Added:
    """Train one net, on fresh sequences for each tenth of the time."""
    f.manual_seed(seed)
    net = Reader(kind, 2, CELLS, 1, each=False)
    set_gates(net, plan.bias, shut=True)
    test = make_adding(TESTED, plan.steps, random_state=1)
    x_test, long = test.padded()
    answer = compiled(lambda x, lengths: net(x, lengths)[:, 0])
    found = Added(net, [], [], [], [by_lag(net, plan.steps, TESTED // 10)])
    parts = min(10, lab.epochs(10))
    updates = lab.epochs(plan.sequences // (10 * BATCH))
    made = make_adding(max(updates * BATCH * parts // 4, BATCH), plan.steps, random_state=2 + seed)
    x, lengths = made.padded()
    batches = Batches((x, lengths), made.y, BATCH, seed=seed)

    def loss_of(out: Any, y: Any) -> Any:
        return nn.functional.mse_loss(out[:, 0], y)

    step = trained(net, batches, loss_of, 1e-2, 0.1, parts * updates)
    for part in range(parts):
        step.repeat(updates)
        with no_grad():
            off = np.abs(answer(x_test, long).numpy() - test.y)
        found.seen.append((part + 1) * updates * BATCH)
        found.error.append(float((off**2).mean()))
        found.wrong.append(float(100 * (off >= NEAR).mean()))
        lab.tell(f"adding, {kind}", part + 1, parts)
    found.lags.append(by_lag(net, plan.steps, TESTED // 10))
    return found


# -- the experiment --------------------------------------------------------------------------------
def run(lab: Lab) -> Report:
    """Both problems, both nets."""
    plan, report = FULL if lab.full else QUICK, Report()
    added: dict[str, list[Added]] = {}
    for kind in NETS:
        added[kind] = [add(lab, plan, kind, s) for s in range(lab.seeds(plan.seeds))]
        compare(report, plan, kind, added[kind])
    for kind in NETS:
        found = [reber(lab, plan.strings, kind, s) for s in range(lab.seeds(plan.reber_seeds))]
        took = [n for n, _ in found if n is not None]
        needed = int(np.ceil(0.9 * len(found) - 1e-9))
        words = f", after {', '.join(f'{n:,}' for n in took)} strings" if took else ""
        report.add(
            f"embedded Reber grammar, {kind} of 12",
            f"{len(took)} of {len(found)} seeds{words}; "
            f"{np.mean([share for _, share in found]):.1f} % of the test strings in the end",
            bool(len(took) >= needed) if kind == "LSTM" else None,
            criterion=f"{needed} of {len(found)} within {plan.strings:,} strings"
            if kind == "LSTM"
            else "",
            reported="97 to 100 % of trials, 8,440 to 39,740 strings (cell and rule of 1997)"
            if kind == "LSTM"
            else "Elman net: 0 %",
            strings=took,
        )
    report.figures["lstm"] = lambda figure: draw(figure, plan, added)
    return report


def compare(report: Report, plan: Plan, kind: str, found: list[Added]) -> None:
    """Errors beside what was reported, and how far back the gradient reaches."""
    wrong, error = (np.array([getattr(a, n)[-1] for a in found]) for n in ("wrong", "error"))
    good, lstm = (wrong <= plan.wrong).sum(), kind == "LSTM"
    needed = int(np.ceil(0.8 * len(found)))
    report.add(
        f"adding, {plan.steps} to {plan.steps + plan.steps // 10} steps, {kind} of {CELLS}",
        f"{', '.join(f'{w:.2f}' for w in wrong)} % of {TESTED:,} wrong after "
        f"{found[0].seen[-1]:,} sequences; squared error {error.mean():.5f}",
        bool(good >= needed if lstm else (error > 0.03).all()),
        criterion=f"at most {plan.wrong:g} % on {needed} of {len(found)} seeds"
        if lstm
        else "squared error above 0.03",
        reported="1 of 2,560 after 74,000 sequences (100 steps, cell and rule of 1997)" * lstm,
        wrong=wrong.tolist(),
        error=error.tolist(),
    )
    far = [np.mean([a.lags[k][-10:].mean() / a.lags[k][:3].mean() for a in found]) for k in (0, 1)]
    report.add(
        f"adding, {kind}: gradient at the first ten steps, of that at the last three",
        f"{far[0]:.1e} before training, {far[1]:.1e} after",
        before=float(far[0]),
        after=float(far[1]),
    )


def draw(figure: Any, plan: Plan, added: dict[str, list[Added]]) -> None:
    """Error by sequences; gradient by lag; the states of the cells while two numbers are added."""
    figure.set_size_inches(14, 4.2)
    left, middle, right = figure.subplots(1, 3)
    for (kind, found), colour in zip(added.items(), COLOURS, strict=False):
        for k, a in enumerate(found):
            left.plot(a.seen, a.error, color=colour, label=None if k else kind, marker=".")
        for k, (when, line) in enumerate((("before training", ":"), ("after", "-"))):
            norms = np.maximum(np.mean([a.lags[k] for a in found], axis=0), 1e-30)
            middle.plot(norms, line, color=colour, label=f"{kind}, {when}")
    left.axhline(0.04, color="#8a8a8a", lw=0.8, ls=":", label="to say 0.5 always")
    left.set(yscale="log", xlabel="sequences", ylabel="squared error, adding")
    middle.set(yscale="log", xlabel="lag: steps before the end", ylabel="‖∂E/∂x‖")
    test = make_adding(TESTED, plan.steps, random_state=1)
    x = test.x[int(np.argmax([np.ptp(np.flatnonzero(s[:, 1] == 1)) for s in test.x]))]
    for cell in cells_over_time(added["LSTM"][0].net, x).T:
        right.plot(cell, lw=0.9)
    for t in np.flatnonzero(x[:, 1] == 1):
        right.axvline(t, color="#8a8a8a", lw=0.8, ls="--")
        right.text(t, right.get_ylim()[1], f"{x[t, 0]:.2f}", fontsize=8, ha="center", va="bottom")
    right.set(xlabel="step (dashed: a marked number)", ylabel="states of the LSTM's cells")
    for axes in (left, middle):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)


EXPERIMENT = Experiment(
    "lstm",
    "Long lags: the adding problem and Reber's grammar",
    "Hochreiter & Schmidhuber 1997, Neural Computation 9, 1735-1780; Gers, Schmidhuber & Cummins "
    "2000",
    run,
)
