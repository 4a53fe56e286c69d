"""Experiment 2a of Hochreiter & Schmidhuber (1997): sequences that differ at their ends only.

Two of them, y a1 ... a99 y and x a1 ... a99 x; the next symbol is told at every step.

Outputs read the inputs and one memory cell with an input gate and no output gate; the cell is added
after outputs have learned what they can from the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from ..tensor.transform import stop_gradient
from ..tensor.transform.loops import scan
from .base import Lab, Report
from .online import Given, Online

LAG, RATE, CHUNK = 100, 1.0, 100
ALONE, LIMIT = 2000, 30_000  # sequences without the cell, and with it


class InputsAndCell(nn.Module):
    """Logistic outputs from inputs, and from a state s(t) = s(t-1) + y_in σ(net_c) if ``cell``."""

    def __init__(self, symbols: int, cell: bool) -> None:
        super().__init__()
        self.cell = cell
        self.from_inputs = nn.Parameter(f.zeros(symbols, symbols))
        if cell:
            self.from_cell = nn.Parameter(f.zeros(symbols))
            self.weight_ih = nn.Parameter(f.zeros(2, symbols))
            self.weight_hh = nn.Parameter(f.zeros(2, 2))
        for p in self.parameters():
            nn.init.uniform_(p, -0.2, 0.2)

    def forward(self, x: Any) -> Any:
        """Outputs after each step of (T, ..., symbols)."""
        out = x @ self.from_inputs.T
        return f.sigmoid(out + self.states(x) * self.from_cell if self.cell else out)

    def states(self, x: Any) -> Any:
        """The state after each step, (T, ..., 1); errors flow back through it only."""

        def step(y: Any, net: Any) -> Any:
            y_in, s = y
            known = stop_gradient(f.cat([y_in, s], -1))
            y_in, g = f.sigmoid(net + known @ self.weight_hh.T).chunk(2, -1)
            s = s + y_in * g
            return (y_in, s), s

        given = x @ self.weight_ih.T
        zeros = f.zeros_like(given[0, ..., :1])
        _, s = scan(step, (zeros, zeros), given)
        return s


def both() -> Array:
    """The two sequences, one-hot (2, LAG + 1, LAG + 1)."""
    between = np.arange(2, LAG + 1)
    numbers = np.stack([np.concatenate([[k], between, [k]]) for k in (0, 1)])
    one_hot: Array = np.eye(LAG + 1, dtype=np.float32)[numbers]
    return one_hot


def study(lab: Lab, report: Report) -> None:
    """After how many sequences the largest error of both is below 0.25."""
    seeds, symbols = lab.seeds(10), both()
    x, d = symbols[:, :-1], symbols[:, 1:]
    given = Given(x, d, np.ones(x.shape[:2], np.float32))

    def drawn(n: int, seed: int, chunk: int) -> Given:
        rows = np.random.default_rng((seed, chunk)).integers(0, 2, n)
        return Given(x[rows], d[rows], given.counts[rows])

    f.manual_seed(0)
    alone = Online([InputsAndCell(LAG + 1, False) for _ in range(seeds)], drawn, RATE, CHUNK)
    for _ in range(lab.epochs(ALONE // CHUNK)):
        alone.learn()
    nets = [InputsAndCell(LAG + 1, True) for _ in range(seeds)]
    with no_grad():
        for net, w in zip(nets, alone.weights["from_inputs"].numpy(), strict=True):
            net.from_inputs.assign(f.tensor(w))
    together, took = Online(nets, drawn, RATE, CHUNK), np.zeros(seeds, int)
    chunks = lab.epochs(LIMIT // CHUNK)
    for chunk in range(chunks):
        together.learn()
        worst = together.errors(given)[0].max(0)
        took[(worst < 0.25) & (took == 0)] = alone.seen + together.seen
        lab.tell("the first symbol again (2a)", chunk + 1, chunks)
        if took.all():
            break
    solved = np.sort(took[took > 0])
    report.add(
        f"the first symbol again after {LAG} steps (2a), one cell",
        f"{len(solved)} of {seeds} seeds"
        + (f", after {', '.join(f'{n:,}' for n in solved)} sequences" if len(solved) else ""),
        None,
        reported="100 % of trials, 5,040 sequences; RTRL, BPTT: 0 %",
        took=took.tolist(),
    )
