"""Recurrent cells, and the loop of one layer along one direction.

Letters: T steps, N minibatch, I input features, H hidden units, R units that are fed back (H, or
proj_size), G gates. Weights as in PyTorch: W_ih (G H, I), W_hh (G H, R), biases (G H), W_hr (R, H).
W_ih x_t + b of all steps is one product outside the loop; inside is what needs the step before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...tensor.ops.create import zeros_like
from ...tensor.ops.elementwise import where
from ...tensor.ops.joining import chunk
from ...tensor.tensor import Tensor
from ...tensor.transform.loops import scan
from .activations import relu, sigmoid, tanh
from .linear import linear

State = tuple[Tensor, ...]  # (h,), or (h, c)


class Weights(NamedTuple):
    """Those of one layer and direction."""

    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None
    hr: Tensor | None = None


class Cell(NamedTuple):
    """A formula: ``step(W_ih x + b, state, weights)`` is the next state, first the output."""

    gates: int
    states: int
    step: Callable[[Tensor, State, Weights], State]
    bias_inside: bool = False  # b_hh cannot be added before the loop


def _elman(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor, State, Weights], State]:
    def step(x: Tensor, state: State, w: Weights) -> State:
        (h,) = state
        return (activation(x + h @ w.hh.T),)  # (N, H)

    return step


def _lstm(x: Tensor, state: State, w: Weights) -> State:
    h, c = state  # (N, R), (N, H)
    i, f, g, o = chunk(x + h @ w.hh.T, 4, -1)  # each (N, H)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if w.hr is None else h @ w.hr.T), c


def _gru(x: Tensor, state: State, w: Weights) -> State:
    (h,) = state
    rx, zx, nx = chunk(x, 3, -1)  # each (N, H)
    rh, zh, nh = chunk(linear(h, w.hh, w.b_hh), 3, -1)
    r, z = sigmoid(rx + rh), sigmoid(zx + zh)
    n = tanh(nx + r * nh)  # the reset gate acts behind the product, as in PyTorch and cuDNN
    return (n + z * (h - n),)


CELLS = {
    "tanh": Cell(1, 1, _elman(tanh)),
    "relu": Cell(1, 1, _elman(relu)),
    "LSTM": Cell(4, 2, _lstm),
    "GRU": Cell(3, 1, _gru, bias_inside=True),
}


def projected(cell: Cell, x: Tensor, w: Weights) -> Tensor:
    """(..., G H): the share of the input in the gates, with the biases that may be added to it."""
    bias = w.b_ih
    if bias is not None and w.b_hh is not None and not cell.bias_inside:
        bias = bias + w.b_hh
    return linear(x, w.ih, bias)


def run(
    cell: Cell,
    x: Tensor,
    state: State,
    w: Weights,
    *,
    reverse: bool = False,
    alive: Tensor | None = None,
    remat: bool = False,
) -> tuple[Tensor, State]:
    """x (T, N, I) -> the outputs (T, N, R) and the last state.

    ``alive`` (T, N, 1): where it is False the state stays as it is and the output is 0, so the
    reverse direction starts at the end of each sequence.
    """

    def step(state: Any, now: Any) -> tuple[Any, Tensor]:
        gates, keep = now
        new = cell.step(projected(cell, gates, w) if remat else gates, state, w)
        if keep is None:
            return new, new[0]
        kept = tuple(where(keep, a, b) for a, b in zip(new, state, strict=True))
        return kept, where(keep, new[0], zeros_like(new[0]))

    # With remat by blocks: G H numbers a step are many.
    rows = x if remat else projected(cell, x, w)
    last, outputs = scan(step, state, (rows, alive), reverse=reverse, remat=remat)
    return outputs, last
