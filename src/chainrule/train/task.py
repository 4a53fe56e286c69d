"""Task: what is trained: a model, by a loss and an optimizer; and how far it is."""

from __future__ import annotations

import contextlib
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.node import Array
from ..errors import OptionError
from ..nn.module import Module
from ..nn.options import Constraint, check, choice, integer, number, optional
from ..optim.lbfgs import LBFGS
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..optim.optimizer import Optimizer
from ..tensor.changes import Changes
from ..tensor.tensor import Tensor
from .kept import write_array
from .measure.batch import Batch, BatchLoss
from .measure.history import History
from .measure.objective import Objective
from .names import optimizer_of
from .rows.columns import Columns

_OPTIONS: dict[str, Constraint] = {
    "accumulate": integer(1),
    "clip_norm": optional(number(0, brackets="()")),
    "clip_value": optional(number(0, brackets="()")),
    "seed": integer(),
    "scheduler_interval": choice("epoch", "step"),
}


class Task:
    """A model, the loss of a batch and the optimizer that lowers it; counters and history.

    All rooms of training work for a task; the `Trainer` is one with `fit`. Its parts may be
    replaced between two calls.
    """

    _watched_ = ("model", "optimizer", "objective")

    def __init__(
        self,
        model: Module,
        loss: Any,
        optimizer: Any,
        scheduler: Any = None,
        loss_weights: Any = None,
        seed: int = 0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        accumulate: int = 1,
        scheduler_interval: str = "epoch",
    ) -> None:
        """Raises OptionError for arguments that do not fit together."""
        used = _check_kinds(model, optimizer_of(model, optimizer))
        given = locals()
        check("Trainer", _OPTIONS, {name: given[name] for name in _OPTIONS})
        self.model, self.optimizer, self.scheduler_interval = model, used, scheduler_interval
        self.schedulers = _schedulers(scheduler, used)
        self._loss, self._loss_weights = loss, loss_weights
        self.objective, self.seed = Objective(loss, loss_weights), int(seed)
        self._listed: _Parts | None = None
        self.clip_norm, self.clip_value, self.accumulate = clip_norm, clip_value, accumulate
        self._check_parts(False)
        self.history = History()
        self.epoch = 0
        """Epochs finished, over all calls of `fit`."""
        self.step = 0
        """Batches used, over all calls of `fit`."""
        self.has_validation = False
        self.first_loss: float | None = None
        """The loss of some rows before the first step, where a `Watch` has measured it."""
        self._best: dict[str, Array] | None = None
        self.columns: Columns = None
        """The names of the columns, where a table was trained on."""
        self._modes: list[tuple[Module, bool]] = []
        self.weights_of_epoch: Callable[[], dict[str, Array]] | None = None
        """While callbacks are told late of an epoch: the weights after it."""
        self._stop = ""
        self._started: dict[Path, dict[str, Any]] = {}  # checkpoint folders: how runs there began

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        signature = inspect.signature(cls.training_step)
        try:
            signature.bind("self", "batch")
        except TypeError:
            raise OptionError(
                f"{cls.__name__}.training_step{signature} is called with one batch; write"
                " def training_step(self, batch), where batch.x and batch.y are the rows,"
                " self.forward(batch.x) and self.compute_loss(prediction, batch)"
            ) from None

    # -- its parts ---------------------------------------------------------------------------------
    @property
    def loss(self) -> Any:
        """The loss, or the list or dict of losses; another one is used from the next call on."""
        return self._loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self.objective, self._loss = Objective(loss, self._loss_weights), loss

    @property
    def loss_weights(self) -> Any:
        """The weights of several losses."""
        return self._loss_weights

    @loss_weights.setter
    def loss_weights(self, weights: Any) -> None:
        self.objective, self._loss_weights = Objective(self._loss, weights), weights

    @property
    def scheduler(self) -> Any:
        """The schedule (or the list of several); another one is stepped from now on."""
        return self.schedulers[0] if len(self.schedulers) == 1 else self.schedulers or None

    @scheduler.setter
    def scheduler(self, scheduler: Any) -> None:
        self.schedulers = _schedulers(scheduler, self.optimizer)

    @property
    def _modules(self) -> list[Module]:
        """The model, and the losses that are modules."""
        return [self.model, *(p.loss for p in self.objective.parts if isinstance(p.loss, Module))]

    @property
    def _exclusive(self) -> list[Module]:
        """The modules that one thread at a time may work with."""
        return self._known.exclusive

    def _check_parts(self, again: bool = True) -> None:
        """Whether model, optimizer and schedule belong together, at first and ``again``.

        Again before each training, for they may have been replaced.
        """
        _check_kinds(self.model, self.optimizer)
        _schedulers(self.schedulers, self.optimizer)
        used = [p for group in self.optimizer.param_groups for p in group["params"]]
        strangers = [p for p in used if id(p) not in self._known.parameters]
        if strangers:
            shapes = ", ".join(str(p.shape) for p in strangers[:4])
            shapes += ", ..." if len(strangers) > 4 else ""
            name = type(self.optimizer).__name__
            remedy = f": trainer.optimizer = optim.{name}(trainer.model.parameters(), ...)"
            raise OptionError(
                f"Trainer: {len(strangers)} of {len(used)} parameters of the optimizer (shapes "
                f"{shapes}) are not in the model; make the optimizer from model.parameters() of "
                f"the model that is trained{remedy if again else ''}"
            )
        if not any(p.requires_grad for p in used):
            raise OptionError(
                "Trainer: all parameters of the optimizer are frozen (requires_grad=False)"
            )

    # -- what a subclass may change ----------------------------------------------------------------
    def forward(self, x: Any) -> Any:
        """The prediction for a batch: ``model(x)``; tuples are arguments, dicts named ones."""
        if isinstance(x, Mapping):
            return self.model(**x)
        return self.model(*x) if isinstance(x, tuple) else self.model(x)

    def training_step(self, batch: Batch) -> Any:
        """The loss of a batch, or (loss, prediction); a subclass may compute anything here.

        ``batch`` has ``x``, ``y``, the number of ``rows`` and their ``weight`` (or None);
        ``batch.replace(x=..., y=...)`` is one of other rows. Runs once, to be compiled: only tensor
        operations. Metrics need the prediction.

        >>> import chainrule as cr
        >>> class L1(cr.Trainer):
        ...     def training_step(self, batch):
        ...         prediction = self.forward(batch.x)
        ...         penalty = sum(abs(p).sum() for p in self.model.parameters())
        ...         return self.compute_loss(prediction, batch) + 1e-4 * penalty, prediction
        """
        prediction = self.forward(batch.x)
        return self.compute_loss(prediction, batch), prediction

    def compute_loss(self, prediction: Any, batch: Batch) -> Tensor:
        """The loss of this trainer for a prediction, with the row weights of the batch."""
        if not isinstance(batch, Batch):
            raise OptionError(
                f"compute_loss(prediction, batch) takes the batch, got {_kind(batch)}; for another "
                "target write batch.replace(y=target)"
            )
        return self.objective(prediction, batch).total

    def after_update(self) -> None:
        """After each update, in the compiled step: tensor operations and ``assign``."""

    # -- what the rooms ask of it ------------------------------------------------------------------
    def while_traced(self) -> contextlib.AbstractContextManager[None]:
        """Is entered while a step is traced."""
        return contextlib.nullcontext()

    def loss_of(self, batch: Batch) -> tuple[BatchLoss, Any]:
        """The loss of a batch as `training_step` says, and the prediction (None: it gave none)."""
        result = self.training_step(batch)
        loss, prediction = result if isinstance(result, tuple) else (result, None)
        if not isinstance(loss, Tensor):
            raise OptionError(
                "training_step must return a scalar tensor, or (loss, prediction); got "
                f"{_kind(loss)}"
            )
        if loss.shape != ():
            raise OptionError(
                f"training_step must return a scalar loss, got shape {loss.shape}; end with .mean()"
            )
        return BatchLoss(loss, batch), prediction

    @property
    def own_step(self) -> bool:
        """Whether a subclass has a `training_step` or `forward` of its own."""
        kind = type(self)
        return kind.training_step is not Task.training_step or kind.forward is not Task.forward

    @property
    def epochly(self) -> bool:
        """Whether there are schedules that are stepped after each epoch."""
        return bool(self.schedulers) and self.scheduler_interval == "epoch"

    @property
    def trained(self) -> list[Any]:
        """The parameters the optimizer changes."""
        return [
            p for group in self.optimizer.param_groups for p in group["params"] if p.requires_grad
        ]

    def name_of(self, parameter: Any) -> str:
        """The name of a parameter in the model."""
        for module in self._modules:
            for name, p in module.named_parameters():
                if p is parameter:
                    return f"`{name}`"
        return f"of shape {parameter.shape}"

    def model_tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers of the model (and of losses that have some), by name."""
        return self._known.tensors

    @property
    def _known(self) -> _Parts:
        """What the model and the losses are made of, listed anew only where a module changed."""
        key = Changes.now, self.model, self.objective
        if self._listed is None or not all(map(operator.is_, key, self._listed.key)):
            self._listed = _Parts(key, self._modules)
        return self._listed

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the training after the callback that calls this."""
        self._stop = reason

    def remember_best(self) -> None:
        """Keep a copy of the weights as they are, or were after the epoch told of late."""
        if self.weights_of_epoch is not None:
            self._best = self.weights_of_epoch()
        else:
            self._best = {k: np.array(t._read()) for k, t in self.model_tensors().items()}

    def restore_best(self) -> None:
        """Go back to the weights kept by `remember_best`, if there are some."""
        if self._best is not None:
            for name, tensor in self.model_tensors().items():
                write_array(tensor, self._best[name])
            self._best = None

    def _float_dtype(self) -> dt.DType:
        for p in self.model.parameters():
            return dt.float64 if p.dtype == dt.float64 else dt.float32
        return dt.float32

    def back_to_training(self) -> None:
        """Where a callback has called ``model.eval()``: all modules as when the training began."""
        if not self.model._training:
            for module, mode in self._modes:
                module.training = mode

    @contextlib.contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """All modules in training or evaluation mode, and afterwards as they were."""
        before = [(m, m._training) for m in self._known.modules]
        try:
            if not training or not self.model._training:
                for root in self._modules:
                    root.train(training)
            if training:
                self._modes = [(m, m._training) for root in self._modules for m in root.modules()]
            yield
        finally:
            for module, mode in before:
                module._set_mode(mode)


class _Parts:
    """What some modules are made of; ``key``: what that follows from."""

    def __init__(self, key: tuple[object, ...], roots: list[Module]) -> None:
        self.key = key
        self.modules = list({id(m): m for root in roots for m in root.modules()}.values())
        self.exclusive = [m for root in roots if _has_state(root) for m in root.modules()]
        self.parameters = {id(p) for root in roots for p in root.parameters()}
        self.tensors: dict[str, Tensor] = {}
        for i, root in enumerate(roots):
            prefix = "" if i == 0 else f"loss{i - 1}."
            self.tensors |= {prefix + k: p for k, p in root.named_parameters()}
            self.tensors |= {prefix + k: b for k, b in root.named_buffers()}


def _has_state(root: Module) -> bool:
    """Whether a module's mode can matter: one loss may serve many threads."""
    parts = (root.parameters(), root.buffers(), root.children())
    return any(next(iter(p), None) is not None for p in parts)


def _schedulers(given: Any, optimizer: Optimizer) -> list[Any]:
    """One or several schedules, of this optimizer."""
    listed = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for s in listed:
        if isinstance(s, str):
            raise OptionError(
                f"Trainer: scheduler is the text {s!r}; write a schedule of optim.lr_scheduler,"
                " such as CosineAnnealingLR(optimizer, T_max=epochs)"
            )
        if isinstance(s, type) or not hasattr(s, "step"):
            raise OptionError(
                f"Trainer: scheduler must be a schedule of optim.lr_scheduler, got {_kind(s)}"
            )
        if getattr(s, "optimizer", optimizer) is not optimizer:
            raise OptionError(f"Trainer: the {type(s).__name__} was made for another optimizer")
        if isinstance(s, ReduceLROnPlateau) and s.mode == "max":
            raise OptionError(
                'Trainer: ReduceLROnPlateau(mode="max") would watch the loss, of which less is '
                "better; for another measure give fit the callback "
                'train.ReduceLROnPlateau("val_accuracy")'
            )
    return listed


def _check_kinds(model: Any, optimizer: Any) -> Optimizer:
    if not isinstance(model, Module):
        raise OptionError(f"Trainer: model must be an nn.Module, got {_kind(model)}")
    if optimizer is None:
        raise OptionError(
            "Trainer: give an optimizer, such as optim.Adam(model.parameters(), lr=1e-3)"
        )
    if not isinstance(optimizer, Optimizer):
        raise OptionError(
            f"Trainer: optimizer must be an optimizer of optim, got {_kind(optimizer)}"
        )
    if isinstance(optimizer, LBFGS):
        raise OptionError(
            "Trainer: LBFGS computes the loss several times in a step and cannot be part of a "
            "compiled loop; call"
            " optimizer.step(closure) in a loop of your own"
        )
    return optimizer


def _kind(x: Any) -> str:
    return f"the class {x.__name__} (add parentheses)" if isinstance(x, type) else type(x).__name__
