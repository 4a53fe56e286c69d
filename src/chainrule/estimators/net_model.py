"""What models of images, sequences and texts have in common: a net, how it was trained, a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from .. import nn
from ..core.node import Array
from ..errors import CheckpointError, DataError, OptionError
from ..tensor.value import array_of
from ..train import History, Trainer
from .learning import LearningOptions, seeded
from .model_file import (
    DAMAGE,
    VERSION,
    damaged,
    misfit,
    numbers_in,
    options_in,
    read_model,
    write_model,
)
from .session import warn_interrupted


class NetModel(ABC):
    """A trained net and all that it needs to be fed, in one file."""

    kind: ClassVar[str]
    net: nn.Module
    training: dict[str, Any]
    metrics: dict[str, float]
    """Measured on the validation examples, by which the epoch was chosen."""
    baseline: dict[str, float]
    """The same measures of an answer that looks at nothing."""

    def __init__(self) -> None:
        self.training, self.metrics, self.baseline = {}, {}, {}
        self.history = History()
        self.notes: list[str] = []
        self.interrupted = False
        """Whether Ctrl-C ended the training."""

    # -- what a subclass says ----------------------------------------------------------------------
    @abstractmethod
    def _description(self) -> dict[str, Any]:
        """What the net is and what its numbers mean, as JSON values."""

    @classmethod
    @abstractmethod
    def _described(cls, held: Mapping[str, Any], weights: Mapping[str, Array]) -> Self:
        """A model with a net for these weights; raises anything if they do not fit together."""

    @abstractmethod
    def evaluate(self, data: Any) -> dict[str, float]:
        """Measures of data whose answers are known."""

    @abstractmethod
    def example_step(self) -> tuple[Trainer, Any, Any]:
        """A Trainer as in the training of this model, and one batch of made-up rows, x and y."""

    @abstractmethod
    def draw(self, path: str | Path) -> Path:
        """Draw what people look at."""

    # -- using -------------------------------------------------------------------------------------
    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, by name."""
        return {k: np.array(array_of(v)) for k, v in self.net.state_dict().items()}

    def describe(self) -> dict[str, Any]:
        """Everything but the weights, as JSON values."""
        return {
            "version": VERSION,
            **self._description(),
            "training": self.training,
            "metrics": self.metrics,
            "baseline": self.baseline,
        }

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file whose metadata describe the model; it is whole or not there."""
        return write_model(path, self.kind, self.describe(), self.weights)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote. Raises CheckpointError with the reason for anything else."""
        held, weights = read_model(path, cls.kind)
        try:
            training = options_in(held["training"])
            metrics = numbers_in("metrics", held["metrics"])
            baseline = numbers_in("baseline", held["baseline"])
            with seeded(0):
                model = cls._described(held, weights)
            _take(model.net, weights)
        except CheckpointError:
            raise
        except DAMAGE as error:
            raise damaged(path, error) from None
        model.training, model.metrics, model.baseline = training, metrics, baseline
        model.net.eval()
        return model

    # -- for `fit` ---------------------------------------------------------------------------------
    def _learned(self, trainer: Any, options: LearningOptions, interrupted: bool) -> None:
        """What is to be said of a training that is over."""
        self.history, self.interrupted = trainer.history, interrupted
        self.net.eval()
        self.training = options.described() | {"epochs_run": len(trainer.history)}
        if interrupted:
            warn_interrupted(self.history, options.epochs, options.patience)

    def _needs_history(self) -> None:
        if not len(self.history):
            raise OptionError(
                f"draw: this {type(self).__name__} was loaded, or has no whole epoch: there is no "
                "course of a training to draw"
            )


def _take(net: nn.Module, weights: Mapping[str, Array]) -> None:
    """The weights, all of them and no others, each of the shape that the net has."""
    own = {k: v.shape for k, v in net.state_dict().items()}
    found = {k: v.shape for k, v in weights.items()}
    odd = misfit(own, found)
    if odd:
        raise DataError(f"the weights do not fit the net: {odd}")
    net.load_state_dict(dict(weights))


def check_shapes(weights: Mapping[str, Array], **expected: tuple[int, ...]) -> None:
    """Raise DataError unless the weights named (``__`` for a dot) have these shapes.

    Before a net of the sizes that a file gives is made, these must be those of what the file holds.
    """
    for name, shape in expected.items():
        key = name.replace("__", ".")
        found = weights[key].shape if key in weights else "missing"
        if found != shape:
            raise DataError(f"the weights do not fit the net: {key} is {found}, expected {shape}")
