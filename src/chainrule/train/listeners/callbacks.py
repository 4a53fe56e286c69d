"""Callbacks: what a training tells those who listen, such as its history and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Logs = Mapping[str, float]


@dataclass(frozen=True)
class Pause:
    """Where a training is while Python looks at it, between two native runs."""

    epoch: int
    """Of this call of `fit`, from 0."""
    done: float
    """The share of all its epochs."""
    per_step: float
    """Seconds."""
    logs: Callable[[], dict[str, float]]
    """The means over the epoch so far."""
    advance: Callable[[], object] | None = None
    """Runs one training step (for who puts all state back); None while one is being compiled."""


class Callback:
    """Base of callbacks; a subclass overrides what it needs.

    ``trainer.stop("why")`` ends the training after the method returns. With ``every`` = n,
    `on_steps` is called after every n steps; the native loop returns to Python, so let n be large.

    >>> from chainrule.train import Callback
    >>> class Print(Callback):
    ...     def on_epoch_end(self, trainer, epoch, logs):
    ...         print(epoch, logs["loss"])
    """

    every: int = 0
    restore_best: bool = False
    """Whether `on_epoch_end` calls `Trainer.remember_best`."""

    def may_wait(self, epoch: int) -> float:
        """How many epochs may run before this callback must be told of them.

        ``epoch``: the number of the first in this call of `fit`. `on_epoch_begin` and
        `on_epoch_end` are then called for all, one after the other: it changes nothing in them
        and stops nothing, unless in the last.

        Several epochs together run without Python between them. Here 1: each is reported at once.
        A callback that only reads ``logs`` may return ``math.inf``. A subclass that overrides
        `on_epoch_begin` or `on_epoch_end` again says this again.
        """
        return 1

    def on_fit_begin(self, trainer: Any) -> None:
        """Before the first step."""

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Before an epoch of this call of `fit` (from 0; `trainer.epoch` counts over all calls)."""

    def on_steps(self, trainer: Any, step: int, logs: Logs) -> None:
        """After every ``every`` steps; ``logs``: the means over the epoch so far."""

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_fit_end(self, trainer: Any) -> None:
        """After the last step, also where training was stopped, or interrupted by Ctrl-C."""

    def _at_pause(self, trainer: Any, pause: Pause) -> None:
        """Between two native runs, some 20 times a second."""
        if self.every > 0 and trainer.step % self.every == 0:
            self.on_steps(trainer, trainer.step, pause.logs())

    def _at_rest(self, trainer: Any, epoch: int, batch: int, last: bool) -> None:
        """Before a batch: the tensors alone say what follows; ``last``: nothing, unless resumed."""

    def _as_settings(self, trainer: Any) -> dict[str, Any]:
        """Options by which a run is another run, as JSON values."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What must survive a resume, as JSON values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""


def waiting(callback: Callback) -> Callable[[int], float]:
    """What the callback says it `may_wait`, if that was said of its methods as they are."""

    def owner(name: str) -> int:
        """How far up the class is that defines it."""
        if name in vars(callback):
            return -1
        return next(i for i, kind in enumerate(type(callback).__mro__) if name in vars(kind))

    base = type(callback).__mro__.index(Callback)
    first = min(owner("on_epoch_begin"), owner("on_epoch_end"))
    if first == base:
        return lambda epoch: math.inf
    return callback.may_wait if owner("may_wait") <= first else lambda epoch: 1


def told(listeners: Sequence[Callback], method: str) -> list[Any]:
    """A method of each listener that has one of its own."""
    own = [getattr(listener, method) for listener in listeners]
    return [m for m in own if getattr(m, "__func__", m) is not getattr(Callback, method)]


class EpochFunction(Callback):
    """A plain function as a callback: called as ``f(trainer, epoch, logs)`` after each epoch."""

    def __init__(self, function: Callable[..., object]) -> None:
        """Wrap ``function``."""
        self.function = function

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Call the function."""
        self.function(trainer, epoch, logs)
