"""Iterative nets are layered nets with equal weights.

A net whose units act on each other for T steps is a net of T layers that share one weight matrix:
the gradient of a shared weight is the sum of the layers' gradients. Checked exactly; and a small
net learns to remember its first input for three steps.
"""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from ..tensor import functions as f
from ..tensor.tensor import Tensor
from ..tensor.transform import check_grads, grad
from .base import Experiment, Lab, Report, bits
from .networks import Net, Weights, random_numbers

UNITS, STEPS = 4, 3


def recurrent(w: Tensor, b: Tensor, state: Tensor, steps: int) -> Tensor:
    """s(t+1) = σ(s(t) W + b), ``steps`` times with the same W (n, n) and b (n,)."""
    for _ in range(steps):
        state = f.sigmoid(state @ w + b)
    return state


def unrolled(w: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """A layered net: layer t has the weights W[t], of (T, n, n), and b[t], of (T, n)."""
    for t in range(w.shape[0]):
        state = f.sigmoid(state @ w[t] + b[t])
    return state


def run(lab: Lab) -> Report:
    """The equivalence for 2 to 6 units and 1 to 10 steps, and the task."""
    report = Report()
    outputs, gradients = 0.0, 0.0
    for n in range(2, 7):
        for steps in range(1, 11):
            a, b = differences(n, steps)
            outputs, gradients = max(outputs, a), max(gradients, b)
    report.add(
        "2 to 6 units, 1 to 10 steps: recurrent against layered",
        f"largest difference {outputs:.0e} in outputs, {gradients:.0e} in gradients;"
        " finite differences agree for both",
        outputs <= 1e-12 and gradients <= 1e-10,
        reported="equivalent",
        criterion="outputs equal to 1e-12, gradients to 1e-10, finite differences pass",
        outputs=outputs,
        gradients=gradients,
    )
    x = bits(STEPS)
    runs = lab.train(
        "remember the first bit",
        REMEMBER,
        x,
        x[:, :1],
        seeds=20,
        eps=0.5,
        alpha=0.9,
        init=1.0,
        sweeps=5000,
    )
    report.add_solved(
        "4 units, 3 steps: the first of three input bits, ε 0.5, α 0.9, init 1",
        runs,
        5000,
        share=0.9,
    )
    return report


def differences(n: int, steps: int) -> tuple[float, float]:
    """The largest difference of outputs and gradients (float64); also by finite differences."""
    numbers = 2 * random_numbers(1, n * n + n + 3 * n, stream=100 * n + steps)[0] - 1
    w, b, state = (f.tensor(part) for part in _parts(numbers, n))
    several_w, several_b = f.stack([w] * steps), f.stack([b] * steps)

    def one(w: Tensor, b: Tensor) -> Tensor:
        e: Tensor = (recurrent(w, b, state, steps) ** 2).sum()
        return e

    def many(w: Tensor, b: Tensor) -> Tensor:
        e: Tensor = (unrolled(w, b, state) ** 2).sum()
        return e

    output = f.abs(recurrent(w, b, state, steps) - unrolled(several_w, several_b, state)).max()
    shared, layers = grad(one, (0, 1))(w, b), grad(many, (0, 1))(several_w, several_b)
    gradient = max(
        float(f.abs(s - layer.sum(0)).max()) for s, layer in zip(shared, layers, strict=True)
    )
    check_grads(one, [w, b])
    check_grads(many, [several_w, several_b])
    return float(output), gradient


def _parts(numbers: Array, n: int) -> tuple[Array, Array, Array]:
    w, b, state = np.split(numbers, [n * n, n * n + n])
    return 2 * w.reshape(n, n), b, state.reshape(3, n)


def _remember(w: Weights, x: Tensor) -> Tensor:
    """Bits (P, 3), one at each step; unit 0 after the last: (P, 1)."""
    state = f.full((x.shape[0], UNITS), 0.5, dtype=x.dtype)
    for t in range(STEPS):
        state = f.sigmoid(x[:, t : t + 1] @ w["input"] + state @ w["W"] + w["b"])
    return state[:, :1]


REMEMBER = Net({"input": (1, UNITS), "W": (UNITS, UNITS), "b": (UNITS,)}, _remember)

EXPERIMENT = Experiment(
    "iterative-nets",
    "Iterative nets as layered nets with equal weights",
    "Rumelhart, Hinton & Williams 1986, Nature 323, Figure 5",
    run,
)
