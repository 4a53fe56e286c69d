"""Between the epochs of an estimator's fit: when to stop, rates, and scikit-learn's callbacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..train import Callback, EarlyStopping

if TYPE_CHECKING:
    from ..train import Trainer

Logs = Mapping[str, float]
SMALLEST_RATE = 1e-6
"""An adaptive learning rate that is no larger is not divided any more."""


class Monitor(EarlyStopping):
    """Stops by scikit-learn's rule.

    That is after more than ``patience`` epochs in a row in which the score was below best +
    ``tol``. Larger scores are better; the best may creep up by less than ``tol``.
    """

    def __init__(
        self,
        score: Callable[[Logs], float],
        patience: float,
        tol: float,
        restore_best: bool,
        stops: bool = True,
        reads_logs: bool = True,
    ) -> None:
        """``stops``: False where `Rates` decides. ``reads_logs``: the score is of nothing else."""
        super().__init__("loss", 1, tol, "max", restore_best)
        self.score, self.limit, self.stops = score, patience, stops
        self.reads_logs = reads_logs
        self.scores: list[float] = []
        self.best = -math.inf

    @property
    def exhausted(self) -> bool:
        """Whether it has waited longer than the limit."""
        return self.waited > self.limit

    @property
    def reason(self) -> str:
        """Why training ends here."""
        what = "validation score" if self.restore_best else "training loss"
        return f"{what} did not improve by tol={self.min_delta:g} for {self.waited} epochs"

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        self.best, self.best_epoch, self.waited, self.scores = -math.inf, -1, 0, []

    def may_wait(self, epoch: int) -> float:
        """Until it would be exhausted, if nothing improves."""
        if not self.reads_logs:
            return 1
        return max(self.limit + 1 - self.waited, 1)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Compare, remember the weights of the best epoch, stop."""
        assert self.best is not None
        score = self.score(logs)
        self.scores.append(score)
        self.waited = 0 if score >= self.best + self.min_delta else self.waited + 1
        if score > self.best:
            self.best, self.best_epoch = score, epoch
            if self.restore_best:
                trainer.remember_best()
        if self.stops and self.exhausted:
            trainer.stop(self.reason)


class Rates(Callback):
    """The learning rate after each epoch.

    "invscaling": η₀ / (t + 1)^power, where t rows were trained on. "adaptive": η / 5 whenever the
    monitor is exhausted, until it is tiny. "cosine": η₀ (1 + cos(π · epoch / epochs)) / 2.
    """

    def __init__(
        self, kind: str, monitor: Monitor | None, start: float, power: float, seen: int, epochs: int
    ) -> None:
        """``seen``: rows trained on before."""
        self.kind, self.monitor, self.start = kind, monitor, start
        self.power, self.seen, self.epochs = power, seen, epochs
        self.rows = 0

    def may_wait(self, epoch: int) -> float:
        """An adaptive rate: as long as the monitor."""
        if self.kind != "adaptive":
            return 1
        return math.inf if self.monitor is None else self.monitor.may_wait(epoch)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """Set the rate of the next epoch."""
        groups = trainer.optimizer.param_groups
        rate = float(groups[0]["lr"])
        if self.kind == "invscaling":
            rate = self.start / (self.seen + self.rows * (epoch + 1) + 1) ** self.power
        elif self.kind == "cosine":
            rate = self.start * 0.5 * (1 + math.cos(math.pi * (epoch + 1) / self.epochs))
        elif self.monitor is not None and self.monitor.exhausted:
            if rate <= SMALLEST_RATE:
                trainer.stop(self.monitor.reason)
            rate, self.monitor.waited = rate / 5, 0
        for group in groups:
            group["lr"] = rate


class Tasks(Callback):
    """Reports each epoch as a task of scikit-learn's callback protocol."""

    def __init__(
        self,
        estimator: Any,
        context: Any,
        data: Mapping[str, Any],
        attributes: Callable[[int], dict[str, Any]],
    ) -> None:
        """``data``: X, y, metadata; ``attributes(epoch)``: those of an estimator fitted so far."""
        self.estimator, self.context = estimator, context
        self.data, self.attributes = data, attributes
        self.task: Any = None

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """The task begins."""
        self.task = self.context.subcontext(task_name="epoch")
        self.task.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        """The task ends; a callback may ask to stop."""
        if self.task.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data,
            reconstruction_attributes=lambda: self.attributes(epoch),
        ):
            trainer.stop("a callback asked to stop")
