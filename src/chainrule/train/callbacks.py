"""Callbacks: what a user lets happen during training; early stopping is one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, OptionError
from ..habits import STOPPING, STOPPING_SYNONYMS, knows

if TYPE_CHECKING:
    from .trainer import Trainer

Logs = Mapping[str, float]


class Callback:
    """Base of callbacks; a subclass overrides what it needs.

    ``trainer.stop("why")`` ends the training after the method returns. With ``every`` = n,
    `on_steps` is called after every n steps; the native loop returns to Python there, so let n be
    large.

    >>> from chainrule.train import Callback
    >>> class Print(Callback):
    ...     def on_epoch_end(self, trainer, epoch, logs):
    ...         print(epoch, logs["loss"])
    """

    every: int = 0
    restore_best: bool = False
    """Whether `on_epoch_end` calls `Trainer.remember_best`."""

    def may_wait(self, epoch: int) -> float:
        """How many epochs, from number ``epoch`` of this call of `fit` on, may run before
        `on_epoch_begin` and `on_epoch_end` are called for them, one after the other: epochs in
        which this callback changes nothing and stops nothing, unless in the last.

        Several epochs together run without Python between them. Here 1: each is reported at once.
        A callback that only reads ``logs`` may return ``math.inf``. A subclass that overrides
        `on_epoch_begin` or `on_epoch_end` again says this again.
        """
        return 1

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first step."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before an epoch of this call of `fit` (counted from 0; `trainer.epoch` counts over all
        calls)."""

    def on_steps(self, trainer: Trainer, step: int, logs: Logs) -> None:
        """After every ``every`` steps; ``logs``: the means over the epoch so far."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """After an epoch and its validation."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last step, also where training was stopped, or interrupted by Ctrl-C."""

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


class EpochFunction(Callback):
    """A plain function as a callback: called as ``f(trainer, epoch, logs)`` after each epoch."""

    def __init__(self, function: Callable[..., object]) -> None:
        """Wrap ``function``."""
        self.function = function

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Call the function."""
        self.function(trainer, epoch, logs)


class EarlyStopping(Callback):
    """Stop when a measure has not improved by more than ``min_delta`` for ``patience`` epochs.

    ``monitor``: a measure's name; by default "val_loss" where there is validation, otherwise
    "loss".
    ``mode``: "min", "max", or "auto" (by the name). ``restore_best``: end with the best epoch's
    weights. ``start_from``: epochs before that do not count as waited. ``baseline``: an epoch that
    is not better than this number counts as waited, be it the best so far.

    >>> from chainrule.train import EarlyStopping
    >>> EarlyStopping("val_accuracy", patience=5).mode
    'max'
    """

    MAXIMIZED = ("accuracy", "acc", "precision", "recall", "f1", "auc", "r2", "top")

    @knows(STOPPING, STOPPING_SYNONYMS)
    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
        start_from: int = 0,
        baseline: float | None = None,
    ) -> None:
        """Set what to watch; raises OptionError for values that make no sense."""
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise OptionError(
                f"EarlyStopping: patience is a number of epochs, at least 1; got {patience!r}"
            )
        if not math.isfinite(min_delta) or min_delta < 0:
            raise OptionError(f"EarlyStopping: min_delta is not negative, got {min_delta!r}")
        if mode not in ("auto", "min", "max"):
            raise OptionError(f'EarlyStopping: mode is "min", "max" or "auto", got {mode!r}')
        if baseline is not None and not math.isfinite(baseline):
            raise OptionError(f"EarlyStopping: baseline is a finite number, got {baseline!r}")
        self.monitor, self.patience, self.min_delta = monitor, patience, float(min_delta)
        self.restore_best, self.start_from, self._mode = restore_best, start_from, mode
        self.baseline = baseline
        self.best: float | None = None
        self.best_epoch = -1
        self.waited = 0

    @property
    def mode(self) -> str:
        """ "min" or "max": which way is better."""
        if self._mode != "auto":
            return self._mode
        name = (self.monitor or "loss").removeprefix("val_")
        return "max" if name.startswith(self.MAXIMIZED) else "min"

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Choose what to watch; forget an earlier run (a resume puts its state back after this)."""
        if self.monitor is None:
            self.monitor = "val_loss" if trainer.has_validation else "loss"
        self.best, self.best_epoch, self.waited = None, -1, 0
        measured = trainer.measures
        if self.monitor not in measured:
            needs = self.monitor.startswith("val_") and not trainer.has_validation
            raise OptionError(
                f"EarlyStopping: monitor={self.monitor!r} is not measured; measured are "
                f"{', '.join(measured)}"
                + (". Give validation_data or validation_split" if needs else "")
            )

    def may_wait(self, epoch: int) -> float:
        """Until it has waited long enough, if nothing improves."""
        return max(self.start_from - epoch, 0) + max(self.patience - self.waited, 1)

    def improved(self, value: float) -> bool:
        """Whether ``value`` is better than the best so far."""
        return value == value and self._is_better(value, self.best)

    def _is_better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        if self.mode == "min":
            return value < than - self.min_delta
        return value > than + self.min_delta

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Compare, remember the weights of the best epoch, stop."""
        assert self.monitor is not None
        value = float(logs[self.monitor])
        if self.improved(value):
            self.best, self.best_epoch = value, trainer.epoch - 1
            if self.restore_best:
                trainer.remember_best()
            if self._is_better(value, self.baseline):
                self.waited = 0
                return
        if epoch < self.start_from:
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop(
                f"{self.monitor} has not improved for {self.waited} epochs"
                f" (best: {'none' if self.best is None else f'{self.best:.5g}'} in epoch "
                f"{self.best_epoch + 1})"
            )

    def on_fit_end(self, trainer: Trainer) -> None:
        """Go back to the best weights."""
        if self.restore_best:
            trainer.restore_best()

    def state_dict(self) -> dict[str, Any]:
        """Best number, its epoch (in `trainer.history`), epochs waited."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as if there had been no interruption. Raises CheckpointError, and changes
        nothing, for what `state_dict` cannot have given."""
        best, epoch, waited = (state.get(k) for k in ("best", "best_epoch", "waited"))
        counts = all(isinstance(n, int) and -1 <= n < 2**32 for n in (epoch, waited))
        if not counts or not (best is None or isinstance(best, int | float)):
            raise CheckpointError(
                f"EarlyStopping: best {best!r}, best_epoch {epoch!r}, waited {waited!r} are not a "
                "number and two counts"
            )
        self.best = None if best is None else float(best)
        self.best_epoch, self.waited = int(epoch), int(waited)  # type: ignore[arg-type]
