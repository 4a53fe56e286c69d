"""Network: a fully connected net as plain data (sizes and NumPy weights), trained by the Trainer.

Plain data can be pickled, copied and written to a file; the modules and the compiled program are
made from it when they are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .. import nn, optim
from ..core.node import Array
from ..errors import DataError, OptionError
from ..nn import functional as F  # noqa: N812 - PyTorch's name
from ..tensor.random import Generator
from ..tensor.tensor import Tensor
from ..tensor.value import no_grad, stored
from ..train import EarlyStopping, History, Trainer

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
LOSSES = ("cross_entropy", "binary_cross_entropy", "mse")
MAX_SIZE = 1 << 20
"""No layer is wider: a number beyond this is a slip or a damaged file."""
_PREDICTION_ROWS = 4096


@dataclass(frozen=True)
class Spec:
    """The architecture: layer sizes, activation of the hidden layers, dropout after each, and the
    loss."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str = "relu"
    dropout: float = 0.0
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        for name, value in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            *(("hidden", h) for h in self.hidden),
        ):
            if (
                isinstance(value, bool)
                or not isinstance(value, int | np.integer)
                or not 1 <= value <= MAX_SIZE
            ):
                raise OptionError(
                    f"{name}: layer sizes are whole numbers from 1 to {MAX_SIZE}, got {value!r}"
                )
        if self.activation not in ACTIVATIONS:
            raise OptionError(
                f"activation {self.activation!r} is unknown; there are {', '.join(ACTIVATIONS)}"
            )
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout is a probability below 1, got {self.dropout!r}")
        if self.loss not in LOSSES:
            raise OptionError(f"loss {self.loss!r} is unknown; there are {', '.join(LOSSES)}")

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
        """W and b from U(-k, k), k = √(6 / (inputs + outputs)) of the layer (Glorot)."""
        rng = np.random.default_rng(seed)
        found = {}
        for name, shape in self.shapes().items():
            k = np.sqrt(6 / sum(self.shapes()[name.replace("bias", "weight")]))
            found[name] = rng.uniform(-k, k, shape).astype(dtype)
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"hidden": [int(h) for h in self.hidden]}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Spec:
        """What `to_json` gave. Raises DataError where it is something else."""
        try:
            return cls(
                held["inputs"],
                tuple(held["hidden"]),
                held["outputs"],
                str(held["activation"]),
                float(held["dropout"]),
                str(held["loss"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no description of a network ({error})") from None


class _Dropout(nn.Module):
    """Dropout with random numbers of its own, so that two nets in two threads do not mix theirs."""

    def __init__(self, p: float, seed: int) -> None:
        super().__init__()
        self.p, self.generator = p, Generator(seed)

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training, generator=self.generator)


class Feedforward(nn.Module):
    """Linear layers with an activation and dropout between them."""

    def __init__(self, spec: Spec, weights: Mapping[str, Array], seed: int = 0) -> None:
        """The net of ``spec`` with these weights (their dtype is the net's)."""
        super().__init__()
        pairs = zip(spec.sizes, spec.sizes[1:], strict=False)
        self.layers = nn.ModuleList([nn.Linear(n, m) for n, m in pairs])
        self.activation = ACTIVATIONS[spec.activation]()
        self.drops = nn.ModuleList(
            [_Dropout(spec.dropout, seed + i) for i in range(len(spec.hidden))]
        )
        self.dropped = spec.dropout > 0
        if next(iter(weights.values())).dtype == np.float64:
            self.double()
        self.load_state_dict(weights)

    def forward(self, x: Any) -> Any:
        """(rows, inputs) to (rows, outputs)."""
        layers = list(self.layers)
        for i, layer in enumerate(layers[:-1]):
            x = self.activation(layer(x))
            if self.dropped:
                x = self.drops[i](x)
        return layers[-1](x)


@dataclass(frozen=True)
class Training:
    """How to train: optimizer, passes over the data, when to stop."""

    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int = 100
    seed: int = 0
    shuffle: bool = True

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
            options["momentum"] = self.momentum
        make: Any = OPTIMIZERS[self.optimizer]
        made: optim.Optimizer = make(groups, **options)
        return made


def loss_of(spec: Spec, weighted: bool) -> Any:
    """The loss module, or, with weights, a function of (prediction, (target, weights with mean
    1))."""
    name = spec.loss
    if not weighted:
        if name == "cross_entropy":
            return nn.CrossEntropyLoss()
        return nn.MSELoss() if name == "mse" else nn.BCEWithLogitsLoss()

    def loss(prediction: Any, target: Any) -> Any:
        y, w = target
        if name == "cross_entropy":
            return (F.cross_entropy(prediction, y, reduction="none") * w).mean()
        each = F.binary_cross_entropy_with_logits if name == "binary_cross_entropy" else F.mse_loss
        return (each(prediction, y, reduction="none").mean(axis=1) * w).mean()

    return loss


class Session:
    """A net in training: its modules, optimizer and compiled steps."""

    def __init__(
        self, spec: Spec, weights: Mapping[str, Array], training: Training, weighted: bool
    ) -> None:
        """Start from these weights."""
        self.spec, self.training, self.weighted = spec, training, weighted
        self.model = Feedforward(spec, weights, training.seed)
        optimizer = training.make_optimizer(self.model)
        self.trainer = Trainer(self.model, loss_of(spec, weighted), optimizer, seed=training.seed)

    def fit(
        self,
        x: Array,
        y: Array,
        weights: Array | None = None,
        validation: Any = None,
        stopping: EarlyStopping | None = None,
        epochs: int | None = None,
        metrics: Any = None,
        progress: bool | None = False,
        callbacks: Any = None,
    ) -> History:
        """Train on rows ``x``, targets ``y`` and, where the session is weighted, weights with mean
        1."""
        dtype = next(iter(self.model.parameters())).dtype
        target: Any = y
        if self.weighted:
            w = np.ones(len(x), dtype) if weights is None else weights.astype(dtype)
            target = (y, w)
            if validation is not None:
                validation = (validation[0], (validation[1], np.ones(len(validation[0]), dtype)))
        t = self.training
        return self.trainer.fit(
            x,
            target,
            t.epochs if epochs is None else epochs,
            t.batch_size,
            shuffle=t.shuffle,
            validation_data=validation,
            early_stopping=stopping,
            metrics=metrics,
            progress=progress,
            callbacks=callbacks,
        )

    def weights(self) -> dict[str, Array]:
        """A copy of the weights."""
        return {k: np.array(v.numpy()) for k, v in self.model.state_dict().items()}


def outputs(spec: Spec, weights: Mapping[str, Array], x: Array) -> Array:
    """float64 (rows, outputs): what the net computes, in double precision, so that a row's result
    does not depend on the rows beside it."""
    model = Feedforward(spec, {k: v.astype(np.float64) for k, v in weights.items()}).eval()
    parts = []
    with no_grad():
        for i in range(0, len(x), _PREDICTION_ROWS):
            rows = np.array(x[i : i + _PREDICTION_ROWS], np.float64)
            parts.append(np.asarray(model(stored(rows)).numpy()))
    return np.concatenate(parts) if parts else np.zeros((0, spec.outputs))


def softmax(z: Array) -> Array:
    """exp(z) / Σ exp(z) along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))
