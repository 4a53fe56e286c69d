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

from .. import nn, optim
from ..core.node import Array
from ..data import Batches
from ..data.generators import REBER_SYMBOLS, make_reber, reber_next
from ..data.long_lags import make_adding
from ..data.sequences import pad_sequences
from ..plot import COLOURS
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from .base import Experiment, Lab, Report

NETS = {"LSTM": nn.LSTM, "plain net": nn.RNN}
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


class Reader(nn.Module):
    """A recurrent layer and a linear map of its outputs: sequences (N, T, inputs) and their lengths
    -> (N, T, outputs), or (N, outputs) behind the last step."""

    def __init__(self, kind: str, inputs: int, cells: int, outputs: int, *, each: bool) -> None:
        super().__init__()
        self.each, self.rnn = each, NETS[kind](inputs, cells, batch_first=True)
        self.head = nn.Linear(cells, outputs)

    def forward(self, x: Any, lengths: Any = None) -> Any:
        """What it says at each step, or at the end."""
        out, last = self.rnn(x, lengths=lengths)
        h = last[0] if isinstance(last, tuple) else last
        return self.head(out if self.each else h[0])


def set_gates(net: Reader, forget: float, shut: bool = False) -> None:
    """Let the forget gates start at σ(forget): 1/e is left after about exp(forget) steps. ``shut``:
    input gates start from -3 to -6, as in the paper, lest the cells fill with noise."""
    if isinstance(net.rnn, nn.LSTM):
        cells = net.rnn.hidden_size
        with no_grad():
            net.rnn.bias_hh_l0[cells * (not shut) : 2 * cells] = 0.0
            net.rnn.bias_ih_l0[cells : 2 * cells] = forget
            if shut:
                net.rnn.bias_ih_l0[:cells] = f.linspace(-3, -6, cells)


def trained(net: Reader, batches: Batches, loss_of: Any, lr: float, end: float, of: int) -> Any:
    """A program of one update by Adam, whose rate falls to the part ``end`` within ``of`` updates;
    gradients are clipped at the norm 1."""
    adam = optim.Adam(net.parameters(), lr=lr)
    falling = optim.lr_scheduler.LinearLR(adam, 1.0, end, of)

    @compiled
    def step() -> Any:
        (x, lengths), y = batches.next()
        loss = loss_of(net(x, lengths), y)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        falling.step()
        return loss

    return step


# -- the adding problem ----------------------------------------------------------------------------
@dataclass
class Added:
    """One net on the adding problem: error and share of wrong answers by sequences seen; gradient
    by lag, before and after training."""

    net: Reader
    seen: list[int]
    error: list[float]
    wrong: list[float]
    lags: list[Array]


def by_lag(net: Reader, steps: int) -> Array:
    """‖∂E/∂x_t‖ by lag (steps,), root mean square over sequences of equal length."""
    made = make_adding(TESTED // 10, steps, random_state=3)
    x = f.tensor(np.stack([s[:steps] for s in made.x]), requires_grad=True)
    nn.functional.mse_loss(net(x)[:, 0], f.tensor(made.y), reduction="sum").backward()
    assert x.grad is not None
    slopes = x.grad.numpy().astype(float)
    return np.asarray(np.sqrt((slopes**2).sum(-1).mean(0))[::-1])


def add(lab: Lab, plan: Plan, kind: str, seed: int) -> Added:
    """Train one net, on fresh sequences for each tenth of the time."""
    f.manual_seed(seed)
    net = Reader(kind, 2, CELLS, 1, each=False)
    set_gates(net, plan.bias, shut=True)
    test = make_adding(TESTED, plan.steps, random_state=1)
    x_test, long = test.padded()
    answer = compiled(lambda x, lengths: net(x, lengths)[:, 0])
    found = Added(net, [], [], [], [by_lag(net, plan.steps)])
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
    found.lags.append(by_lag(net, plan.steps))
    return found


def cells_over_time(net: Reader, x: Array) -> Array:
    """The state of each cell after each step (T, cells) of one sequence (T, inputs): that of its
    pieces that end there."""
    steps = len(x)
    pieces = np.broadcast_to(x, (steps, *x.shape)).copy()
    with no_grad():
        _, (_, c) = net.rnn(f.tensor(pieces), lengths=np.arange(1, steps + 1))
    return np.asarray(c.numpy()[0])


# -- Reber's grammar -------------------------------------------------------------------------------
def coded(strings: list[str], longest: int) -> tuple[Array, Array, Array, Array]:
    """One-hot symbols (N, T, 7) without the last of each string, how many there are (N,), the
    symbols that follow (N, T), and which may follow (N, T, 7)."""
    numbers = [np.array([REBER_SYMBOLS.index(s) for s in text]) for text in strings]
    allowed = np.zeros((len(strings), longest, 7), bool)
    for row, text in zip(allowed, strings, strict=True):
        for t, symbols in enumerate(reber_next(text, embedded=True)):
            row[t, [REBER_SYMBOLS.index(s) for s in symbols]] = True
    x = pad_sequences([np.eye(7, dtype=np.float32)[n[:-1]] for n in numbers], length=longest)[0]
    y = pad_sequences([n[1:] for n in numbers], length=longest)[0]
    return x, np.array([len(n) - 1 for n in numbers]), y, allowed


def legal(scores: Array, lengths: Array, allowed: Array) -> Array:
    """Of each string (N,): is every symbol that may follow above every one that may not, always?"""
    least = np.where(allowed, scores, np.inf).min(-1)
    most = np.where(allowed, -np.inf, scores).max(-1)
    behind = np.arange(scores.shape[1]) >= lengths[:, None]
    return np.asarray(((least > most) | behind).all(1))


def reber(lab: Lab, plan: Plan, kind: str, seed: int) -> tuple[int | None, float]:
    """After how many strings all 256 and 256 others are right (None: never), and the share of
    those others that is right at the end."""
    f.manual_seed(seed)
    strings = make_reber(256, embedded=True, random_state=2 * seed)
    others = [s for s in make_reber(2048, True, 2 * seed + 1) if s not in set(strings)][:256]
    longest = max(map(len, strings + others)) - 1
    net = Reader(kind, 7, 12, 7, each=True)
    set_gates(net, 1.0)
    x, lengths, y, allowed = (
        np.concatenate(parts)
        for parts in zip(coded(strings, longest), coded(others, longest), strict=True)
    )
    half = len(strings)
    batches = Batches((x[:half], lengths[:half]), y[:half], 16, seed=seed)

    def loss_of(out: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(out.movedim(-1, 1), y)

    share, sweeps = 0.0, lab.epochs(plan.strings // half)
    step, answer = trained(net, batches, loss_of, 1e-2, 1.0, 1), compiled(net)
    for sweep in range(1, sweeps + 1):
        step.repeat(half // 16)
        with no_grad():
            right = legal(answer(x, lengths).numpy(), lengths, allowed)
        share = 100 * float(right[half:].mean())
        lab.tell(f"Reber's grammar, {kind}", sweep, sweeps)
        if right.all():
            return sweep * half, share
    return None, share


# -- the experiment --------------------------------------------------------------------------------
def run(lab: Lab) -> Report:
    """Both problems, both nets."""
    plan, report = FULL if lab.full else QUICK, Report()
    added: dict[str, list[Added]] = {}
    for kind in NETS:
        added[kind] = [add(lab, plan, kind, s) for s in range(lab.seeds(plan.seeds))]
        compare(report, plan, kind, added[kind])
    for kind in NETS:
        found = [reber(lab, plan, kind, s) for s in range(lab.seeds(plan.reber_seeds))]
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
