"""Session: a net in training: its modules, its optimizer and their compiled steps.

A session is a tool and no model: what training left (weights, optimizer, counters) goes back as
plain arrays, and the next net of the same structure can be trained by the same compiled program.
`lent` keeps a few sessions for that, so the second of many equal fits traces and compiles nothing.
"""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import nn
from ..core.host.forking import free_in_child
from ..core.node import Array
from ..runtime.threads import shared_cores
from ..tensor.tensor import Tensor
from ..tensor.value import stored
from ..train import Batch, EarlyStopping, History, Trainer
from ..train.interrupt import Interrupts
from ..train.kept import write_array
from ..train.state.snapshot import optimizer_tensors
from .learning import until_interrupted
from .network import Feedforward, Spec, Training

KEPT = 8
"""So many idle sessions are kept, the latest ones."""
MANY_TRACES = 16
"""A session that was used for more kinds of data is not kept: it would fill the memory."""
INTERRUPTION = "Training interrupted by user"
"""How the warnings begin that Ctrl-C leaves, as scikit-learn's."""

_LOSSES: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "binary_cross_entropy": nn.BCEWithLogitsLoss,
    "mse": nn.MSELoss,
    "poisson": nn.PoissonNLLLoss,
}


@dataclass
class Progress:
    """What must be known, beside the weights, to go on training: plain data."""

    optimizer: dict[str, Array]
    draws: list[Array]
    epoch: int
    step: int
    solver: str


class _Regularized(Trainer):
    """A trainer whose loss has scikit-learn's L2 penalty; its α is state of the compiled step."""

    def __init__(self, model: Feedforward, loss: Any, optimizer: Any) -> None:
        super().__init__(model, loss, optimizer)
        self.alpha = stored(np.zeros((), self._float_dtype()))

    def training_step(self, batch: Batch) -> Any:
        """The loss, in training with α / (2 · rows) · Σ W²."""
        loss, prediction = super().training_step(batch)
        if self.model.training:
            squares = sum((layer.weight * layer.weight).sum() for layer in self.model.layers)
            loss = loss + squares * self.alpha * (0.5 / batch.rows)
        return loss, prediction


class Session:
    """Trains nets of one structure.

    ``loss``: a loss of predictions and targets; by default the one named by ``spec``. ``units``:
    the loss sees predictions std · z + mean.
    """

    def __init__(
        self,
        spec: Spec,
        weights: Mapping[str, Array],
        training: Training,
        loss: Any = None,
        units: bool = False,
    ) -> None:
        """Ready to train from these weights (their dtype is the net's)."""
        self.spec = spec
        self.model = Feedforward(spec, next(iter(weights.values())).dtype, units)
        optimizer = training.make_optimizer(self.model)
        make = Trainer if training.l2 is None else _Regularized
        self.trainer = make(self.model, loss or _LOSSES[spec.loss](), optimizer)
        self.start(weights, training)

    def start(
        self, weights: Mapping[str, Array], training: Training, progress: Progress | None = None
    ) -> None:
        """Take weights and, to go on where a net was left, its progress."""
        self.training = training
        trainer = self.trainer
        own = trainer.model_tensors()
        for name, value in weights.items():
            write_array(own[name], value)
        trainer.seed = training.seed
        for i, drop in enumerate(self._drops()):
            drop.generator.manual_seed(training.seed + i)
        for tensor, value in self._first_state:
            write_array(tensor, value)
        trainer.epoch = trainer.step = 0
        trainer.history = History()
        if progress is not None and progress.solver == training.optimizer:
            tensors = optimizer_tensors(trainer)
            for name, value in progress.optimizer.items():
                write_array(tensors[name], value)
            for drop, counter in zip(self._drops(), progress.draws, strict=True):
                write_array(drop.generator.counter, counter)
            trainer.epoch, trainer.step = progress.epoch, progress.step
        for group in trainer.optimizer.param_groups:
            group["lr"] = training.lr
        if isinstance(trainer, _Regularized):
            write_array(trainer.alpha, np.asarray(training.l2, trainer.alpha.dtype))

    @functools.cached_property
    def _first_state(self) -> list[tuple[Tensor, Array]]:
        """All of the optimizer's state, and what it is before the first step."""
        optimizer, found = self.trainer.optimizer, []
        for group in optimizer.param_groups:
            for p in group["params"]:
                fresh = {k: np.asarray(v) for k, v in optimizer.shared.items()}
                fresh |= {k: v.numpy() for k, v in optimizer.new_state(group, p).items()}
                found += [(optimizer.state[p][name], value) for name, value in fresh.items()]
        return found

    def _drops(self) -> list[Any]:
        return list(self.model.drops)

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
        checkpoint: Any = None,
    ) -> History:
        """Train on ``x``, ``y`` and, where given, a weight per row; this call's history."""
        t = self.training
        with shared_cores():
            return self.trainer.fit(
                x,
                y,
                t.epochs if epochs is None else epochs,
                t.batch_size,
                shuffle=t.shuffle,
                sample_weight=weights,
                validation_data=validation,
                early_stopping=stopping,
                metrics=metrics,
                progress=progress,
                callbacks=callbacks,
                checkpoint=checkpoint,
            )

    def fit_until_interrupted(self, interrupts: Interrupts, *given: Any, **options: Any) -> bool:
        """`fit`; whether Ctrl-C ended it. See `until_interrupted`."""
        return until_interrupted(self.trainer, interrupts, lambda: self.fit(*given, **options))

    def set_units(self, mean: Array, std: Array) -> None:
        """What the loss sees is std · z + mean."""
        for buffer, value in ((self.model.mean, mean), (self.model.std, std)):
            write_array(buffer, value.astype(buffer.dtype))

    def weights(self) -> dict[str, Array]:
        """A copy of the weights."""
        own = self.trainer.model_tensors()
        return {k: np.array(own[k]._read()) for k in self.spec.shapes()}

    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(bool(np.isfinite(w).all()) for w in self.weights().values())

    def progress(self) -> Progress:
        """A copy of everything else that training goes on with."""
        return Progress(
            {k: np.array(t._read()) for k, t in optimizer_tensors(self.trainer).items()},
            [np.array(d.generator.counter._read()) for d in self._drops()],
            self.trainer.epoch,
            self.trainer.step,
            self.training.optimizer,
        )


# -- lending ---------------------------------------------------------------------------------------
_idle: list[tuple[Any, Session]] = []
_lock = threading.Lock()
free_in_child(sys.modules[__name__], "_lock")


@contextmanager
def lent(
    spec: Spec,
    weights: Mapping[str, Array],
    training: Training,
    progress: Progress | None = None,
    loss: Any = None,
    units: bool = False,
    metrics: Any = None,
) -> Iterator[Session]:
    """A session for nets of this structure, of its own for this time; started with the weights.

    It is kept for others afterwards, unless an error came.
    """
    # What differs here is data of the compiled steps, and no part of them.
    l2 = None if training.l2 is None else 0.0
    structure = replace(training, lr=0.0, l2=l2, seed=0, epochs=1, batch_size=1, shuffle=True)
    dtype = np.dtype(next(iter(weights.values())).dtype).name
    key = (spec, dtype, structure, loss, units, metrics)
    session = _take(key)
    if session is None:
        session = Session(spec, weights, training, loss, units)
    session.start(weights, training, progress)
    yield session
    traces = sum(map(len, session.trainer._steps.train.traces.values()))
    if traces <= MANY_TRACES:
        with _lock:
            _idle.append((key, session))
            del _idle[:-KEPT]


def _take(key: Any) -> Session | None:
    with _lock:
        for i in reversed(range(len(_idle))):
            if _idle[i][0] == key:
                return _idle.pop(i)[1]
    return None


def warn_interrupted(history: History, epochs: int, patience: int | None) -> None:
    """Say that Ctrl-C ended a `fit` of the user's, and what the model is."""
    state = "that of the best of them" if patience and len(history) else "as it was then"
    warnings.warn(
        f"{INTERRUPTION}, after {len(history)} of {epochs} epochs: the model is {state}",
        UserWarning,
        stacklevel=4,
    )
