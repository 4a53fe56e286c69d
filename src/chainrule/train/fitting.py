"""Fit: one run of `Trainer.fit`: epochs of native chunks, with Python in between for everything else."""

from __future__ import annotations

import inspect
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ChainruleError
from .callbacks import Callback
from .history import History
from .progress import Progress, progress_display
from .steps import Dataset, Steps

if TYPE_CHECKING:
    from .trainer import Trainer

CHUNK_SECONDS = 0.05


class NonFiniteLossError(ChainruleError, ArithmeticError):
    """The loss became NaN or infinite; the model is as it was before that step where that is known."""


@dataclass
class Plan:
    """What one call of `fit` was asked to do."""

    data: Dataset
    validation: Dataset | None
    epochs: int
    max_seconds: float | None
    progress: bool | None
    callbacks: list[Callback]
    checkpoint: Any


class Fit:
    """Runs a plan."""

    def __init__(self, trainer: Trainer, steps: Steps, plan: Plan) -> None:
        self.trainer, self.steps, self.plan = trainer, steps, plan
        self.data = plan.data
        self.batch = 0  # the next batch of this epoch
        self.epoch = 0  # of this fit
        self.per_step = 0.0  # seconds, measured
        self.interrupted = False
        self.started = time.perf_counter()
        self._rest: threading.Thread | None = None
        self._rest_error: BaseException | None = None

    # -- the run --------------------------------------------------------------------------------------
    def run(self) -> History:
        """Train; returns the history."""
        trainer, plan = self.trainer, self.plan
        trainer._stop, trainer._best = "", None
        trainer.history = History()
        for p in trainer.model.parameters():
            p.grad = None
        self.steps.prepare(self.data)
        self._compile()
        with progress_display(plan.progress, plan.epochs) as display, self._interruptible():
            for callback in plan.callbacks:
                callback.on_fit_begin(trainer)
            self._start_epoch()
            while self.epoch < plan.epochs and not trainer._stop:
                self._run_epoch(display)
                if self.batch >= self.data.steps:
                    self._end_epoch(display)
            for callback in plan.callbacks:
                callback.on_fit_end(trainer)
        trainer.history.stopped = trainer._stop
        return trainer.history

    def _compile(self) -> None:
        """The step of a full batch now; that of the last, smaller batch beside the first epoch."""
        data, last = self.data, self.trainer.accumulate == 1
        self.steps.train_trace(data, data.batch, last or data.steps == 1)
        if data.rest and data.full > 1:
            self._rest = threading.Thread(target=self._compile_rest, name="compile the last batch")
            self._rest.start()

    def _compile_rest(self) -> None:
        try:
            self.steps.train_trace(self.data, self.data.rest)
        except BaseException as error:  # raised where the result is needed
            self._rest_error = error

    def _wait_for_rest(self) -> None:
        if self._rest is not None:
            self._rest.join()
            self._rest = None
            if self._rest_error is not None:
                raise self._rest_error

    # -- epochs ---------------------------------------------------------------------------------------
    def _start_epoch(self) -> None:
        self.batch = 0
        self.steps.meter.reset()
        self.steps.cursor.start(self.trainer.seed, self.trainer.epoch)
        for callback in self.plan.callbacks:
            callback.on_epoch_begin(self.trainer, self.epoch)

    def _run_epoch(self, display: Progress) -> None:
        """Run to the end of the epoch, or until something stops the training."""
        trainer, data = self.trainer, self.data
        while self.batch < data.steps and not trainer._stop:
            n, rows, update = self._next_chunk()
            if rows == data.rest and data.full:
                self._wait_for_rest()
            seconds = self.steps.run_training(data, rows, update, n)
            self.per_step = seconds / n if n > 1 or not self.per_step else 0.5 * (self.per_step + seconds)
            self.batch += n
            trainer.step += n
            self._after_chunk(display)

    def _next_chunk(self) -> tuple[int, int, bool]:
        """How many steps to run natively, of how many rows, and whether they update."""
        data, k = self.data, self.trainer.accumulate
        rows = data.batch_rows(self.batch)
        n = 1 if self.batch >= data.full else data.full - self.batch
        limit = max(int(CHUNK_SECONDS / self.per_step), 1) if self.per_step else 1
        n = min(n, limit, 1 << 30)
        for callback in self.plan.callbacks:
            if callback.every > 0:
                n = min(n, callback.every - self.trainer.step % callback.every)
        if k == 1:
            return n, rows, True
        position = self.batch % k
        last = data.steps - 1
        if position == k - 1 or self.batch == last:
            return 1, rows, True
        return min(n, k - 1 - position, max(last - self.batch, 1)), rows, False

    def _after_chunk(self, display: Progress) -> None:
        trainer = self.trainer
        if not math.isfinite(self.steps.meter.total):
            self._report_nonfinite()
        for callback in self.plan.callbacks:
            if callback.every > 0 and trainer.step % callback.every == 0:
                callback.on_steps(trainer, trainer.step, self.steps.meter.logs())
        if display.shown:
            fraction = (self.epoch + self.batch / self.data.steps) / self.plan.epochs
            display.update(self.epoch, fraction, self.steps.meter.logs(), self.per_step)
        limit = self.plan.max_seconds
        if limit is not None and time.perf_counter() - self.started > limit:
            trainer.stop(f"{limit:g} seconds are over")
        if self.interrupted:
            self._wait_for_rest()
            raise KeyboardInterrupt

    def _report_nonfinite(self) -> None:
        self._wait_for_rest()
        raise NonFiniteLossError(f"the loss is {self.steps.meter.total} in step {self.trainer.step}")

    def _end_epoch(self, display: Progress) -> None:
        trainer, plan = self.trainer, self.plan
        self._wait_for_rest()
        logs = self.steps.meter.logs()
        if plan.validation is not None:
            logs |= trainer._evaluate(plan.validation, "val_")
        if trainer.scheduler is not None:
            logs["lr"] = float(trainer.optimizer.param_groups[0]["lr"])
            if trainer.schedule == "epoch":
                self._step_scheduler(logs)
        trainer.history.append(logs)
        trainer.epoch += 1
        for callback in plan.callbacks:
            callback.on_epoch_end(trainer, self.epoch, logs)
        display.end_epoch(self.epoch, logs)
        self.epoch += 1
        if self.epoch < plan.epochs and not trainer._stop:
            self._start_epoch()

    def _step_scheduler(self, logs: dict[str, float]) -> None:
        step = self.trainer.scheduler.step
        if "metrics" in inspect.signature(step).parameters:  # plateau: by what is measured
            step(logs.get("val_loss", logs["loss"]))
        else:
            step()

    # -- Ctrl-C ---------------------------------------------------------------------------------------
    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C is answered between chunks; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.default_int_handler:
            yield
            return

        def note(*_: object) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
