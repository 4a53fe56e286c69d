"""A belief net: the machine on top that knows labels, its answers, and what it recalls."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..core.node import Array
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.grad_mode import no_grad
from ..train import fit_rbm
from .base import Lab, Report
from .images import Images

STEPS_OF_GIBBS = 1000


def associative_memory(
    lab: Lab, units: int, epochs: int, lower: nn.Sequential, data: Images
) -> nn.RBM:
    """The top machine: [second hidden layer, label] to the top units."""
    with no_grad():
        seen = np.concatenate([lower(data.x).numpy(), np.eye(10, dtype="float32")[data.y]], 1)
    top = nn.RBM(seen.shape[1], units, labels=10, generator=f.Generator(10))
    epochs = lab.epochs(epochs)
    fit_rbm(top, seen, epochs=epochs, watch=lambda e, _: lab.tell("associative memory", e, epochs))
    return top


def belief(
    report: Report, most: float, epochs: int, top: nn.RBM, lower: nn.Sequential, data: Images
) -> None:
    """Test error of the belief net: the label with the lowest free energy, after one way up."""
    name = compile_function(lambda v: top.label_logits(lower(v)).argmax(1))
    parts = np.array_split(data.x_test, max(1, len(data.x_test) // 500))
    with no_grad():
        found = np.concatenate([name(f.tensor(part)).numpy() for part in parts])
    error = 100 * float((found != data.y_test).mean())
    report.add(
        f"belief net, greedy learning alone ({epochs} epochs a layer)",
        f"test error {error:.2f} %",
        error <= most,
        reported="2.49 % (30 epochs a layer)",
        criterion=f"at most {most} %",
        error=error,
    )


def recall(
    lab: Lab,
    report: Report,
    each: int,
    top: nn.RBM,
    machines: list[nn.RBM],
    judge: nn.Module,
    data: Images,
) -> Array:
    """Images of each class: its label is held on in the top machine for 1,000 steps of Gibbs
    sampling, then one way down; (classes, images, side²)."""
    labels = np.repeat(np.arange(10), each)
    width = top.visible_features - 10
    noise = np.random.default_rng(0).random((len(labels), width)) < 0.5
    first = np.concatenate([noise, np.eye(10)[labels]], 1).astype("float32")
    held = f.tensor(np.arange(width + 10) >= width)
    steps = lab.epochs(STEPS_OF_GIBBS)

    def generate(v: Any) -> Any:
        h = top.hidden_mean(top.gibbs(v, steps, clamp=held))
        hidden = top.visible_mean(h)[:, :width]
        for machine in reversed(machines[:-1]):
            hidden = machine.visible_mean(hidden)
        return hidden

    with no_grad():
        made = compile_function(generate)(f.tensor(first)).numpy()
        right = 100 * float((judge(made).numpy().argmax(1) == labels).mean())
    report.add(
        "images recalled from a label",
        f"{right:.1f} % of {len(labels)} are that digit to the net of ReLU units",
        right >= 80,
        reported="they look like digits",
        criterion="at least 80 %",
        right=right,
    )
    return np.asarray(made.reshape(10, each, -1))
