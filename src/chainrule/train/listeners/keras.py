"""Callbacks with Keras's names and arguments, and classes that were written for Keras."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ...errors import OptionError
from ...optim import lr_scheduler
from .callbacks import Callback, Logs
from .early_stopping import EarlyStopping

METHODS: dict[str, tuple[str, ...]] = {
    "on_train_begin": ("logs",),
    "on_train_end": ("logs",),
    "on_epoch_begin": ("epoch", "logs"),
    "on_epoch_end": ("epoch", "logs"),
    "on_batch_end": ("batch", "logs"),
    "on_train_batch_end": ("batch", "logs"),
}
"""Keras's methods that are understood, and what they are called with."""


def takes(function: Callable[..., object], *arguments: str) -> bool:
    """Whether a function can be called with so many arguments (True where nobody knows)."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def is_of_keras(name: str, method: Callable[..., object]) -> bool:
    """Whether a method of a callback has a name or arguments of Keras's."""
    if name not in METHODS or not takes(method, *METHODS[name]):
        return False
    try:
        first = next(iter(inspect.signature(method).parameters), "")
    except (TypeError, ValueError):
        return False
    if not hasattr(Callback, name):
        return True
    wanted = [*inspect.signature(getattr(Callback, name)).parameters][1:]
    return first == "epoch" or not takes(method, *wanted)


class Translated(Callback):
    """A callback some of whose methods have Keras's names or arguments.

    Its attribute ``trainer`` is the trainer, which Keras's arguments do not name.
    """

    def __init__(self, callback: Any) -> None:
        """Call the methods of ``callback`` as they expect it."""
        self.callback = callback
        self.of_batch: Any = None
        for name in ("on_batch_end", "on_train_batch_end"):
            self.of_batch = getattr(callback, name, self.of_batch)
        self.every = 1 if self.of_batch is not None else callback.every
        self.restore_best = callback.restore_best
        self.batch = 0
        self.logs: dict[str, float] = {}

    def on_fit_begin(self, trainer: Any) -> None:
        """And ``on_train_begin(logs)``."""
        self.callback.trainer = trainer
        self.callback.on_fit_begin(trainer)
        if hasattr(self.callback, "on_train_begin"):
            self.callback.on_train_begin({})

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Or ``on_epoch_begin(epoch, logs)``."""
        self.batch = 0
        method = self.callback.on_epoch_begin
        if is_of_keras("on_epoch_begin", method):
            method(epoch, {})
        else:
            method(trainer, epoch)

    def on_steps(self, trainer: Any, step: int, logs: Logs) -> None:
        """Or ``on_train_batch_end(batch, logs)``."""
        if self.of_batch is None:
            self.callback.on_steps(trainer, step, logs)
        else:
            self.of_batch(self.batch, dict(logs))
            self.batch += 1

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Or ``on_epoch_end(epoch, logs)``."""
        self.logs = dict(logs)
        method = self.callback.on_epoch_end
        if is_of_keras("on_epoch_end", method):
            method(epoch, self.logs)
        else:
            method(trainer, epoch, logs)

    def on_fit_end(self, trainer: Any) -> None:
        """And ``on_train_end(logs)``."""
        self.callback.on_fit_end(trainer)
        if hasattr(self.callback, "on_train_end"):
            self.callback.on_train_end(self.logs)

    def _as_settings(self, trainer: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.callback._as_settings(trainer)
        return found

    def state_dict(self) -> dict[str, Any]:
        """That of the callback."""
        found: dict[str, Any] = self.callback.state_dict()
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Give it to the callback."""
        self.callback.load_state_dict(state)


class LambdaCallback(Callback):
    """Functions with Keras's arguments as a callback.

    ``on_train_begin(logs)``, ``on_train_end(logs)``, ``on_epoch_begin(epoch, logs)``,
    ``on_epoch_end(epoch, logs)``, ``on_train_batch_end(batch, logs)``. The last one is called after
    each step, for which the native loop has to return to Python.

    Raises OptionError for another name.

    >>> from chainrule.train import LambdaCallback
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(self, **functions: Callable[..., object]) -> None:
        """Keep the functions as methods."""
        for name, function in functions.items():
            if name not in METHODS:
                raise OptionError(
                    f"LambdaCallback: there is no {name}; there are {', '.join(METHODS)}"
                )
            if not callable(function):
                raise OptionError(f"LambdaCallback: {name} is a function, got {function!r}")
            setattr(self, name, function)


class LearningRateScheduler(Callback):
    """Sets the learning rate of all groups before each epoch.

    To ``schedule(epoch, rate)``, or ``schedule(epoch)``. Schedules that run inside the native loop
    are in `optim.lr_scheduler`.

    Raises OptionError where it gives no number.

    >>> from chainrule.train import LearningRateScheduler
    >>> callback = LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    """

    def __init__(self, schedule: Callable[..., float]) -> None:
        """Take the function."""
        if not callable(schedule) or not (takes(schedule, "0", "1") or takes(schedule, "0")):
            raise OptionError(
                "LearningRateScheduler: schedule is a function of the epoch and the rate, got "
                f"{schedule!r}"
            )
        self.schedule = schedule
        self._with_rate = takes(schedule, "0", "1")

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Set the rates."""
        for group in trainer.optimizer.param_groups:
            rate = group["lr"]
            group["lr"] = self.schedule(epoch, rate) if self._with_rate else self.schedule(epoch)


class ReduceLROnPlateau(Callback):
    """Multiplies the learning rate by ``factor`` where a measure stays on a plateau.

    That is, ``monitor`` has not improved for ``patience`` epochs, by the rule of
    `optim.lr_scheduler.ReduceLROnPlateau`, with Keras's names.

    ``monitor`` and ``mode`` as in `EarlyStopping`. ``min_delta``: how much counts as better;
    ``cooldown``: epochs of rest after a reduction; ``min_lr``: the least rate.

    >>> from chainrule.train import ReduceLROnPlateau
    >>> ReduceLROnPlateau("val_accuracy", patience=3).mode
    'max'
    """

    _made: ClassVar[Any] = lr_scheduler.ReduceLROnPlateau

    def __init__(
        self,
        monitor: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        verbose: int = 0,
    ) -> None:
        """``verbose`` is taken and does nothing: the rates are in ``history["lr"]``."""
        self._watched = EarlyStopping(monitor, mode=mode, restore_best=False)
        self._options: dict[str, Any] = {
            "factor": factor,
            "patience": max(int(patience) - 1, 0),  # PyTorch's waits one epoch more
            "threshold": min_delta,
            "threshold_mode": "abs",
            "cooldown": cooldown,
            "min_lr": min_lr,
        }
        self._schedule: Any = None
        self._kept: Mapping[str, Any] = {}

    @property
    def mode(self) -> str:
        """ "min" or "max": which way is better."""
        return self._watched.mode

    def on_fit_begin(self, trainer: Any) -> None:
        """Choose what to watch."""
        self._watched.on_fit_begin(trainer)
        self._schedule = self._made(trainer.optimizer, self.mode, **self._options)

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Compare, and lower the rate."""
        value = float(logs[str(self._watched.monitor)])
        worst = math.inf if self.mode == "min" else -math.inf
        self._schedule.step(value if math.isfinite(value) else worst)

    def state_dict(self) -> dict[str, Any]:
        """That of the schedule."""
        return {} if self._schedule is None else dict(self._schedule.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as if there had been no interruption."""
        self._schedule.load_state_dict(dict(state))
