"""Nets that are trained from first weights of many gains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..nn import functional as F
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.tensor import Tensor
from ..tensor.transform import value_and_grad, vmap
from .first_errors import (
    digits,
    first_weights,
    forward,
)
from .networks import Weights

WIDTH, RATE = 16, 0.005


LEARNED = 0.95  # of the training images right


SEEDS_AT_ONCE = 10  # the nets of a program fit the processor's cache


@dataclass(frozen=True)
class Plan:
    """Gains an octave, depths, seeds, steps, layers of the nets whose errors are measured."""

    fineness: int
    depths: tuple[int, ...]
    seeds: int
    steps: int
    layers: int

    @property
    def gains(self) -> Array:
        """From 1/4 to 16."""
        return np.asarray(2.0 ** np.linspace(-2, 4, 6 * self.fineness + 1))


QUICK = Plan(2, (2, 10, 20), 5, 700, 20)


FULL = Plan(4, (1, 2, 5, 10, 20), 20, 1000, 20)


def trained(
    plan: Plan, seeds: int, steps: int, depth: int, activation: str, norm: bool
) -> tuple[Array, Array]:
    """Share of seeds that learn the images, and median loss in the end, (gains,); momentum 0.9."""
    images, labels = digits()
    x, y = f.tensor(images.astype(np.float32)), f.tensor(labels)

    def loss(w: Weights) -> tuple[Tensor, Tensor]:
        scores = forward(w, x, activation, norm)
        return F.cross_entropy(scores, y), f.where(scores.argmax(-1) == y, 1.0, 0.0).mean()

    def fresh(start: int) -> dict[str, Tensor]:
        chunk = range(start, min(start + SEEDS_AT_ONCE, seeds))
        return first_weights(plan.gains, chunk, depth, WIDTH, "float32")

    @compile_function
    def step(w: dict[str, Tensor], changes: dict[str, Tensor], rate: float) -> Any:
        (losses, right), gradients = vmap(value_and_grad(loss, has_aux=True))(w)
        for k, g in gradients.items():
            changes[k].assign(0.9 * changes[k] - rate * g)
            w[k].assign(w[k] + changes[k])
        return losses, right

    losses, right = [], []
    for start in range(0, seeds, SEEDS_AT_ONCE):
        w = fresh(start)
        changes = {k: f.zeros_like(t) for k, t in w.items()}
        e, r = step.repeat(steps, w, changes, RATE)
        losses.append(e.numpy().reshape(len(plan.gains), -1))
        right.append(r.numpy().reshape(len(plan.gains), -1))
    e = np.nan_to_num(np.concatenate(losses, 1), nan=np.inf, posinf=np.inf)
    learned = (np.concatenate(right, 1) >= LEARNED) & np.isfinite(e)
    return learned.mean(1), np.median(e, 1)
