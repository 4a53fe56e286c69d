"""A net, a batch size, an optimizer and a loss; its data, initial weights and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import layers as of
from .layers import Array, Layer, Shape

ROWS = 8192
"""Rows of a data set, where a workload says no other number."""
EPOCH = 2e10
"""Arithmetic of an epoch of a net of layers, about a tenth of a second: what a Trainer does at
once."""
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

DENSE = ("sklearn", "numpy")
"""Modes that train multilayer perceptrons only."""
IMAGES = ("torch-last",)
"""Modes that differ from another one for images only."""


@dataclass(frozen=True)
class Net:
    """``layers`` on rows of shape ``row``: numbers, or one of so many ``words`` at each step."""

    row: Shape
    layers: tuple[Layer, ...]
    words: int = 0

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Net:
        """From JSON."""
        return cls(tuple(held["row"]), of.from_dicts(held["layers"]), held["words"])


@dataclass(frozen=True)
class Workload:
    """A net with its training step.

    Without ``net`` it is a multilayer perceptron of ``sizes``: every layer is y = x Wᵀ + b;
    ``activation`` follows all but the last. ``loss`` is "mse" (mean over all elements) or "ce"
    (softmax cross-entropy of class numbers, mean over the batch and, of words, over the steps).
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
    net: Net | None = None

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> Workload:
        """From JSON."""
        net = Net.from_dict(held["net"]) if held.get("net") else None
        return cls(**{**held, "sizes": tuple(held["sizes"]), "net": net})

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those of the net."""
        if self.net is not None:
            return self.net.layers
        between = of.Activation("ReLU" if self.activation == "relu" else "Tanh")
        found: list[Layer] = []
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            found += [of.Linear(inputs, outputs), between]
        return tuple(found[:-1])

    @property
    def row(self) -> Shape:
        """The shape of a row that goes into the net."""
        return self.sizes[:1] if self.net is None else self.net.row

    @property
    def words(self) -> int:
        """How many words there are; 0 where rows are numbers."""
        return self.net.words if self.net else 0

    @property
    def outputs(self) -> int:
        """Length of the last axis of what the net gives."""
        return of.after(self.layers, self.row)[-1]

    @property
    def about(self) -> str:
        """The net in a few words."""
        if self.net is None:
            return f"{'-'.join(map(str, self.sizes))} {self.activation}"
        what = f"{self.words} words" if self.words else "numbers"
        return f"{' × '.join(map(str, self.row))} {what}, {len(self.layers)} layers"

    def suits(self, mode: str) -> bool:
        """Whether the mode can train it, in a way of its own."""
        if mode in DENSE:
            return self.net is None
        return mode not in IMAGES or len(self.row) == 3

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
        """Of the contractions of one step: forward, and all gradients but the first input's."""
        first = 0.0 if self.words else self.layers[0].input_flops(self.row)
        return self.batch * (3 * of.flops(self.layers, self.row) - first)

    def data(self) -> tuple[Array, Array]:
        """Inputs (rows, *row) and targets.

        Numbers (rows, outputs), classes int64 (rows,), or of words those that follow, int64
        (rows, steps).
        """
        if self.name == "xor":
            x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], self.dtype)
            return x, np.array([[0], [1], [1], [0]], self.dtype)
        rng = np.random.default_rng(0)
        if self.words:
            text = rng.integers(0, self.words, (self.rows, self.row[0] + 1))
            return text[:, :-1].copy(), text[:, 1:].copy()
        x = rng.standard_normal((self.rows, *self.row)).astype(self.dtype)
        flat = x.reshape(self.rows, -1)
        teacher = rng.standard_normal((flat.shape[1], self.outputs)).astype(self.dtype)
        y = flat @ (teacher / np.sqrt(np.float32(len(teacher))).astype(self.dtype))
        return (x, y) if self.loss == "mse" else (x, y.argmax(1))

    def parameters(self) -> list[Array]:
        """Of each layer; linear ones have W (out, in) and b (out,), uniform in ±1/√in."""
        rng = np.random.default_rng(1)
        return [p.astype(self.dtype) for layer in self.layers for p in layer.parameters(rng)]

    def epochs_of_batches(self, steps: int, seed: int) -> Array:
        """Rows of ``steps`` minibatches, int32 (steps, batch): a new permutation every epoch."""
        rng = np.random.default_rng(seed)
        epochs = -(-steps // self.steps_an_epoch)
        order = np.concatenate([rng.permutation(self.rows) for _ in range(epochs)]).astype(np.int32)
        return order[: steps * self.batch].reshape(steps, self.batch)

    def batches_in_order(self, steps: int) -> Array:
        """Row numbers of ``steps`` minibatches int32 (steps, batch), without shuffling."""
        return (np.arange(steps * self.batch, dtype=np.int32) % self.rows).reshape(
            steps, self.batch
        )


def custom(
    sizes: tuple[int, ...],
    batch: int,
    activation: str = "relu",
    optimizer: str = "adam",
    loss: str = "ce",
    dtype: str = "float32",
) -> Workload:
    """A workload of the user's own; the data set has as many batches as fit into 8192 rows."""
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


def layered(
    name: str, batch: int, net: Net, loss: str = "ce", dtype: str = "float32", lr: float = 1e-3
) -> Workload:
    """A workload of a net of layers, trained with Adam; an epoch has 4 to 64 minibatches."""
    found = Workload(name, (), batch, "", "adam", loss, dtype, lr, net=net)
    steps = min(max(int(EPOCH / found.flops), 4), 64)
    return replace(found, rows=batch * steps)
