"""Workload: a net, a batch size, an optimizer and a loss; its data, initial weights and
arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROWS = 8192
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


@dataclass(frozen=True)
class Workload:
    """A multilayer perceptron with its training step.

    Every layer is y = x Wᵀ + b; ``activation`` follows all but the last. ``loss`` is "mse" (mean
    over all elements) or "ce" (softmax cross-entropy of class numbers, mean over the batch).
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: str = "relu"
    optimizer: str = "adam"
    loss: str = "ce"
    dtype: str = "float32"
    lr: float = 1e-3
    momentum: float = 0.0
    rows: int = ROWS

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Workload:
        """From JSON."""
        return cls(**{**held, "sizes": tuple(held["sizes"])})

    @property
    def full_batch(self) -> bool:
        """Whether every step sees the whole data set (then no rows are gathered)."""
        return self.batch == self.rows

    @property
    def steps_an_epoch(self) -> int:
        """Whole batches in the data set; ``rows`` is a multiple of ``batch``."""
        return self.rows // self.batch

    @property
    def flops(self) -> float:
        """Of the contractions of one step: forward, gradients of the weights, gradients of all but
        the first input."""
        products = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2.0 * self.batch * (3 * sum(products) - products[0])

    def data(self) -> tuple[Array, Array]:
        """Inputs (rows, sizes[0]) and targets: numbers (rows, sizes[-1]), or classes int64
        (rows,)."""
        if self.name == "xor":
            x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], self.dtype)
            return x, np.array([[0], [1], [1], [0]], self.dtype)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.rows, self.sizes[0])).astype(self.dtype)
        teacher = rng.standard_normal((self.sizes[0], self.sizes[-1])).astype(self.dtype)
        y = x @ (teacher / np.sqrt(np.float32(self.sizes[0])).astype(self.dtype))
        return (x, y) if self.loss == "mse" else (x, y.argmax(1))

    def parameters(self) -> list[Array]:
        """W (out, in) and b (out,) of each layer, uniform in ±1/√in."""
        rng = np.random.default_rng(1)
        found: list[Array] = []
        for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False):
            bound = fan_in**-0.5
            for shape in ((fan_out, fan_in), (fan_out,)):
                found.append(rng.uniform(-bound, bound, shape).astype(self.dtype))
        return found

    def epochs_of_batches(self, steps: int, seed: int) -> Array:
        """Row numbers of ``steps`` minibatches int32 (steps, batch): a new permutation every
        epoch."""
        rng = np.random.default_rng(seed)
        epochs = -(-steps // self.steps_an_epoch)
        order = np.concatenate([rng.permutation(self.rows) for _ in range(epochs)]).astype(np.int32)
        return order[: steps * self.batch].reshape(steps, self.batch)

    def batches_in_order(self, steps: int) -> Array:
        """Row numbers of ``steps`` minibatches int32 (steps, batch), without shuffling."""
        return (np.arange(steps * self.batch, dtype=np.int32) % self.rows).reshape(
            steps, self.batch
        )


def _named() -> dict[str, Workload]:
    found = [
        Workload("xor", (2, 2, 1), 4, "tanh", "sgd", "mse", lr=0.01, momentum=0.9, rows=4),
        Workload("digits", (64, 100, 10), 32),
        Workload("tabular", (14, 256, 128, 64, 2), 256),
        Workload("mnist", (784, 300, 100, 10), 128),
        Workload("wide", (1024, 2048, 2048, 1024), 512, optimizer="sgd", loss="mse", lr=0.01),
    ]
    return {w.name: w for w in found}


WORKLOADS = _named()


def custom(
    sizes: tuple[int, ...],
    batch: int,
    activation: str = "relu",
    optimizer: str = "adam",
    loss: str = "ce",
    dtype: str = "float32",
) -> Workload:
    """A workload of the user's own; the data set has as many whole batches as fit into 8192
    rows."""
    name = (
        "-".join(map(str, sizes)) + f" batch {batch}" + ("" if dtype == "float32" else f" {dtype}")
    )
    rows = batch * max(1, ROWS // batch)
    lr = {"adam": 1e-3, "sgd": 0.01, "momentum": 0.01}[optimizer]
    momentum = 0.9 if optimizer == "momentum" else 0.0
    return Workload(
        name,
        sizes,
        batch,
        activation,
        "adam" if optimizer == "adam" else "sgd",
        loss,
        dtype,
        lr,
        momentum,
        rows,
    )
