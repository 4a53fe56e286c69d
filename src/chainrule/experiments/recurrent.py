"""Recurrent nets for sequences, trained by Adam, and what their cells hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..data import Batches
from ..data.long_lags import make_adding
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad

NETS = {"LSTM": nn.LSTM, "plain net": nn.RNN}


class Reader(nn.Module):
    """A recurrent layer and a linear map of its outputs.

    Sequences (N, T, inputs) and their lengths -> (N, T, outputs), or (N, outputs) behind the last
    step.
    """

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
    """A program of one update by Adam, with gradients clipped at the norm 1.

    Its rate falls to the part ``end`` within ``of`` updates.
    """
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


def cells_over_time(net: Reader, x: Array) -> Array:
    """The state of each cell after each step (T, cells) of one sequence (T, inputs).

    It is that of the sequence's pieces that end there.
    """
    steps = len(x)
    pieces = np.broadcast_to(x, (steps, *x.shape)).copy()
    with no_grad():
        _, (_, c) = net.rnn(f.tensor(pieces), lengths=np.arange(1, steps + 1))
    return np.asarray(c.numpy()[0])


def by_lag(net: Reader, steps: int, count: int = 256) -> Array:
    """‖∂E/∂x_t‖ by lag (steps,), root mean square over sequences of equal length."""
    made = make_adding(count, steps, random_state=3)
    x = f.tensor(np.stack([s[:steps] for s in made.x]), requires_grad=True)
    nn.functional.mse_loss(net(x)[:, 0], f.tensor(made.y), reduction="sum").backward()
    assert x.grad is not None
    slopes = x.grad.numpy().astype(float)
    return np.asarray(np.sqrt((slopes**2).sum(-1).mean(0))[::-1])
