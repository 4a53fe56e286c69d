"""Network: a fully connected net as plain data (sizes and NumPy weights).

Plain data can be pickled, copied and written to a file; the modules and the compiled program are
made from it when they are needed (see `session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..errors import DataError, OptionError
from ..nn import functional as F
from ..tensor.grad_mode import no_grad
from ..tensor.ops.random import Generator
from ..tensor.tensor import Tensor
from ..tensor.value import stored

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "mish": nn.Mish,
}
OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
    "adadelta": optim.Adadelta,
    "adamax": optim.Adamax,
    "nadam": optim.NAdam,
    "radam": optim.RAdam,
    "lion": optim.Lion,
}
LOSSES = ("cross_entropy", "binary_cross_entropy", "mse", "poisson")
MAX_SIZE = 1 << 20
"""No layer is wider: a number beyond this is a slip or a damaged file."""
_PREDICTION_ROWS = 4096
"""Rows at a time: the layers' outputs stay small, whatever the table."""


def check_sizes(name: str, sizes: Iterable[Any]) -> None:
    """Raise OptionError unless all are numbers of units."""
    for n in sizes:
        whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
        if not whole or not 1 <= n <= MAX_SIZE:
            raise OptionError(
                f"{name}: layer sizes are whole numbers from 1 to {MAX_SIZE}, got {n!r}"
            )


@dataclass(frozen=True)
class Spec:
    """The architecture: layer sizes, hidden layers' activation, dropout after each, and the loss.

    ``activation`` and ``dropout``: one for all hidden layers, or a tuple with one for each.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str | tuple[str, ...] = "relu"
    dropout: float | tuple[float, ...] = 0.0
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        check_sizes("inputs", [self.inputs])
        check_sizes("outputs", [self.outputs])
        check_sizes("hidden", self.hidden)
        for name in self._each("activation"):
            if name not in ACTIVATIONS:
                raise OptionError(
                    f"activation {name!r} is unknown; there are {', '.join(ACTIVATIONS)}"
                )
        for p in self._each("dropout"):
            if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 0 <= p < 1:
                raise OptionError(f"dropout is a probability below 1, got {p!r}")
        if self.loss not in LOSSES:
            raise OptionError(f"loss {self.loss!r} is unknown; there are {', '.join(LOSSES)}")

    def _each(self, name: str) -> tuple[Any, ...]:
        """One ``name`` for each hidden layer (a single one is checked even without layers)."""
        given, layers = getattr(self, name), len(self.hidden)
        if not isinstance(given, tuple):
            return (given,) * max(layers, 1)
        if len(given) != layers:
            raise OptionError(
                f"{name} has {len(given)} entries for {layers} hidden layers; give one for all, or"
                " one for each"
            )
        return given

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        return self._each("activation")[: len(self.hidden)]

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The probability with which a unit of each hidden layer is dropped."""
        return self._each("dropout")[: len(self.hidden)]

    @property
    def sizes(self) -> list[int]:
        """Inputs, hidden sizes, outputs."""
        return [int(n) for n in (self.inputs, *self.hidden, self.outputs)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The weights' names and shapes: layer i is y = x Wᵢᵀ + bᵢ."""
        found: dict[str, tuple[int, ...]] = {}
        for i, (n, m) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            found |= {f"layers.{i}.weight": (m, n), f"layers.{i}.bias": (m,)}
        return found

    def new_weights(self, seed: int, dtype: Any = np.float32) -> dict[str, Array]:
        """W and b from U(-k, k), k = √(c / (inputs + outputs)) of the layer (Glorot).

        c = 2 in a net whose hidden layers are all logistic, otherwise 6 (as scikit-learn does).
        """
        rng = np.random.default_rng(seed)
        names = set(self._each("activation"))
        c = 2 if names <= {"logistic", "sigmoid"} else 6
        found, shapes = {}, self.shapes()
        for name, shape in shapes.items():
            k = np.sqrt(c / sum(shapes[name.replace("bias", "weight")]))
            found[name] = rng.uniform(-k, k, shape).astype(dtype)
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        lists = {k: list(v) for k, v in asdict(self).items() if isinstance(v, tuple)}
        return asdict(self) | lists | {"hidden": [int(h) for h in self.hidden]}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Spec:
        """What `to_json` gave. Raises DataError where it is something else."""
        try:
            activation, dropout = held["activation"], held["dropout"]
            return cls(
                held["inputs"],
                tuple(held["hidden"]),
                held["outputs"],
                tuple(activation) if isinstance(activation, list) else str(activation),
                tuple(map(float, dropout)) if isinstance(dropout, list) else float(dropout),
                str(held["loss"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"this is no description of a network ({error})") from None


class _Dropout(nn.Module):
    """Dropout with random numbers of its own, so that two nets in two threads do not mix theirs."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.generator = p, Generator(0)

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training, generator=self.generator)


class _Linear(nn.Linear):
    """A linear layer whose weights are given, so none are drawn."""

    def reset_parameters(self) -> None:
        pass


class Feedforward(nn.Module):
    """Linear layers with an activation and dropout between them."""

    def __init__(self, spec: Spec, dtype: Any = np.float32, units: bool = False) -> None:
        """The net of ``spec``; its weights are to be loaded.

        With ``units`` an output z becomes std · z + mean, by two buffers of the outputs' number.
        """
        super().__init__()
        self.units = units
        if units:
            self.register_buffer("std", stored(np.ones(spec.outputs, dtype)))
            self.register_buffer("mean", stored(np.zeros(spec.outputs, dtype)))
        pairs = zip(spec.sizes, spec.sizes[1:], strict=False)
        self.layers = nn.ModuleList([_Linear(n, m, dtype=dtype) for n, m in pairs])
        self.activations = nn.ModuleList([ACTIVATIONS[name]() for name in spec.activations])
        self.drops = nn.ModuleList([_Dropout(p) for p in spec.dropouts])

    def forward(self, x: Any) -> Any:
        """(rows, inputs) to (rows, outputs)."""
        *hidden, last = self.layers
        for layer, activation, drop in zip(hidden, self.activations, self.drops, strict=True):
            x = activation(layer(x))
            if drop.p:
                x = drop(x)
        return last(x) * self.std + self.mean if self.units else last(x)


@dataclass(frozen=True)
class Training:
    """How to train: optimizer, passes over the data, order of the rows."""

    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int = 100
    seed: int = 0
    shuffle: bool = True
    nesterov: bool = False
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    l2: float | None = None
    """α of a penalty α / (2 · rows of the batch) · Σ W²; None leaves it out of the program."""

    def make_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """The optimizer; biases do not decay."""
        if self.optimizer not in OPTIMIZERS:
            raise OptionError(
                f"optimizer {self.optimizer!r} is unknown; there are {', '.join(OPTIMIZERS)}"
            )
        named = list(model.named_parameters())
        groups = [
            {
                "params": [p for n, p in named if n.endswith("weight")],
                "weight_decay": self.weight_decay,
            },
            {"params": [p for n, p in named if not n.endswith("weight")], "weight_decay": 0.0},
        ]
        options: dict[str, Any] = {"lr": self.lr}
        if self.optimizer == "sgd":
            options |= {
                "momentum": self.momentum,
                "nesterov": self.nesterov and self.momentum > 0,
            }
        make: Any = OPTIMIZERS[self.optimizer]
        if {"betas", "eps"} <= make.constraints.keys():
            options |= {"betas": (self.beta_1, self.beta_2), "eps": self.epsilon}
        made: optim.Optimizer = make(groups, **options)
        return made


def outputs(spec: Spec, weights: Mapping[str, Array], x: Array) -> Array:
    """float64 (rows, outputs): what the net computes, in double precision.

    So a row's result does not depend on the rows beside it.
    """
    layers = [
        (weights[f"layers.{i}.weight"].T.astype(np.float64), weights[f"layers.{i}.bias"])
        for i in range(len(spec.hidden) + 1)
    ]
    activations = [ACTIVATIONS[name]() for name in spec.activations]
    found = np.empty((len(x), spec.outputs))
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):  # the caller looks
        for start in range(0, len(x), _PREDICTION_ROWS):
            rows = np.asarray(x[start : start + _PREDICTION_ROWS], np.float64)
            for i, (w, b) in enumerate(layers):
                rows = rows @ w + b
                if i < len(activations):
                    rows = np.asarray(activations[i](stored(rows)).numpy())
            found[start : start + len(rows)] = rows
    return found


def softmax(z: Array) -> Array:
    """exp(z) / Σ exp(z) along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))
