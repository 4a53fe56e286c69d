"""Early stopping: the training ends where a measure does not improve any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...errors import CheckpointError, OptionError
from ...habits import STOPPING, STOPPING_SYNONYMS, knows
from .callbacks import Callback, Logs


class EarlyStopping(Callback):
    """Stop when a measure has not improved by more than ``min_delta`` for ``patience`` epochs.

    ``monitor``: a measure's name; by default "val_loss" where there is validation, otherwise
    "loss".
    ``mode``: "min", "max", or "auto": by the last word of the name that says it, as that of
    "val_digit_accuracy" does; a name without one is refused. ``restore_best``: end with the best
    epoch's weights. ``start_from``: epochs before that do not count as waited. ``baseline``: an
    epoch that is not better than this number counts as waited, be it the best so far.

    >>> from chainrule.train import EarlyStopping
    >>> EarlyStopping("val_accuracy", patience=5).mode
    'max'
    """

    MAXIMIZED = (
        *("accuracy", "acc", "precision", "recall", "f1", "auc", "r2", "score", "sensitivity"),
        *("specificity", "iou", "dice", "kappa", "mcc", "bleu", "correlation"),
    )
    MINIMIZED = (
        *("loss", "error", "mae", "mse", "rmse", "mape", "msle", "nll", "entropy", "perplexity"),
        *("cost", "distance", "divergence", "deviance"),
    )

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
        found = self.way_of(self.monitor or "loss")
        if found is None:
            raise OptionError(
                f"EarlyStopping: the name {self.monitor!r} does not say which way is better; say "
                'mode="min" or mode="max"'
            )
        return found

    @classmethod
    def way_of(cls, name: str) -> str | None:
        """Which way a measure of this name is better; None where its words do not say it."""
        words = [w for w in name.split("_") if w in cls.MAXIMIZED + cls.MINIMIZED]
        return None if not words else "max" if words[-1] in cls.MAXIMIZED else "min"

    def on_fit_begin(self, trainer: Any) -> None:
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
        _ = self.mode  # an error where the name does not say it

    def may_wait(self, epoch: int) -> float:
        """Until it has waited long enough, if nothing improves."""
        return max(self.start_from - epoch, 0) + max(self.patience - self.waited, 1)

    def improved(self, value: float) -> bool:
        """Whether ``value`` is better than the best so far."""
        return value == value and (self.best is None or bool(self._better(value, self.best)))

    def _better(self, value: Any, than: Any) -> Any:
        """Whether a number is better than another by more than ``min_delta``; or numbers, each."""
        if self.mode == "min":
            return value < than - self.min_delta
        return value > than + self.min_delta

    def _reason(self, waited: int, best: float | None, epoch: int) -> str:
        """Why training ends; ``best``: the best number, of an ``epoch`` from 0."""
        text = "none" if best is None else f"{best:.5g}"
        return (
            f"{self.monitor} has not improved for {waited} epochs (best: {text} in epoch "
            f"{epoch + 1})"
        )

    def on_epoch_end(self, trainer: Any, epoch: int, logs: Logs) -> None:
        """Compare, remember the weights of the best epoch, stop."""
        assert self.monitor is not None
        value = float(logs[self.monitor])
        if self.improved(value):
            self.best, self.best_epoch = value, trainer.epoch - 1
            if self.restore_best:
                trainer.remember_best()
            if self.baseline is None or self._better(value, self.baseline):
                self.waited = 0
                return
        if epoch < self.start_from:
            return
        self.waited += 1
        if self.waited >= self.patience:
            trainer.stop(self._reason(self.waited, self.best, self.best_epoch))

    def on_fit_end(self, trainer: Any) -> None:
        """Go back to the best weights."""
        if self.restore_best:
            trainer.restore_best()

    def _as_settings(self, trainer: Any) -> dict[str, Any]:
        """Its rule."""
        monitor = self.monitor or ("val_loss" if trainer.has_validation else "loss")
        named = ("patience", "min_delta", "restore_best", "start_from")
        found = {"monitor": monitor, "mode": self.mode, **{k: getattr(self, k) for k in named}}
        return found if self.baseline is None else {**found, "baseline": self.baseline}

    def state_dict(self) -> dict[str, Any]:
        """Best number, its epoch (in `trainer.history`), epochs waited."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as if there had been no interruption.

        Raises CheckpointError, and changes nothing, for what `state_dict` cannot have given.
        """
        best, epoch, waited = (state.get(k) for k in ("best", "best_epoch", "waited"))
        counts = all(isinstance(n, int) and -1 <= n < 2**32 for n in (epoch, waited))
        if not counts or not (best is None or isinstance(best, int | float)):
            raise CheckpointError(
                f"EarlyStopping: best {best!r}, best_epoch {epoch!r}, waited {waited!r} are not a "
                "number and two counts"
            )
        self.best = None if best is None else float(best)
        self.best_epoch, self.waited = int(epoch), int(waited)  # type: ignore[arg-type]


def early_stopping_of(given: Any) -> list[EarlyStopping]:
    """What `fit` got as ``early_stopping``, in a list that may be empty."""
    if given is None or given is False:
        return []
    if given is True:
        return [EarlyStopping()]
    if isinstance(given, int):
        return [EarlyStopping(patience=given)]
    if isinstance(given, EarlyStopping):
        return [given]
    kind = f"the class {given.__name__} (add parentheses)" if isinstance(given, type) else ""
    raise OptionError(
        "fit: early_stopping is an EarlyStopping or its patience, got "
        f"{kind or type(given).__name__}"
    )
