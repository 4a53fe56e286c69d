"""Fit: one run of `Trainer.fit`: epochs of native chunks, with Python in between for everything
else."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutOfRangeError
from ..tensor.compiling.trace import Trace
from .callbacks import EarlyStopping, waiting
from .epochs import Columns, Epochs
from .history import History
from .interrupt import INTERRUPTED, Interrupts, interrupts
from .meter import RECORD
from .plan import Plan
from .progress import Progress, progress_display
from .run_folder import RunFolder
from .schedules import epochs_foreseen, wants_metric
from .sentinel import Sentinel
from .steps import Steps
from .watch import Watch

if TYPE_CHECKING:
    from .trainer import Trainer

CHUNK_SECONDS = 0.05


class Fit:
    """Runs a plan."""

    def __init__(self, trainer: Trainer, steps: Steps, plan: Plan) -> None:
        self.trainer, self.steps, self.plan, self.data = trainer, steps, plan, plan.data
        self.batch = 0  # the next batch of this epoch
        self.epoch = 0  # of this fit
        self.per_step = steps.per_step.get(plan.data.batch, 0.0)  # seconds, measured
        self.interrupts = Interrupts()
        self._whole = True  # whether the counters say what the state is
        self.folder: RunFolder | None = None
        self.started = time.perf_counter()
        self.sentinel = Sentinel(trainer, steps, plan.data, trainer.epoch, self._set_rates)
        self.watch = Watch(trainer, steps, plan.data, plan.diagnose)
        self._rest: threading.Thread | None = None
        self._rest_error: BaseException | None = None
        self.quick = self._is_quick()
        self._epochs: Epochs | None = None
        self.per_epoch = 0.0  # seconds, measured where epochs run together
        # Callbacks and schedules may change anything between epochs.
        self._waits = [waiting(c) for c in plan.callbacks]
        listening = zip(plan.callbacks, self._waits, strict=True)
        self._replayable = not self._scheduled and all(
            isinstance(c, EarlyStopping) or may_wait(0) == math.inf for c, may_wait in listening
        )

    @property
    def _scheduled(self) -> bool:
        """Whether schedules are stepped after each epoch."""
        return bool(self.trainer.schedulers) and self.trainer.schedule == "epoch"

    def _is_quick(self) -> bool:
        """Whether many epochs can be run without Python: of one step each, and only the loss is
        asked for."""
        trainer, plan = self.trainer, self.plan
        nothing = not (
            plan.callbacks or plan.validation or trainer._used_metrics or self.steps.meter.parts
        )
        return (
            nothing and self.data.steps == 1 and not trainer.schedulers and trainer.accumulate == 1
        )

    # -- the run -----------------------------------------------------------------------------------
    def run(self) -> History:
        """Train; returns the history."""
        checkpoint = self.plan.checkpoint
        with contextlib.nullcontext() if checkpoint is None else checkpoint.held():
            self._prepare()
            with (
                progress_display(self.plan.progress, self.plan.epochs) as display,
                interrupts() as self.interrupts,
            ):
                self.interrupts.deferred = True
                self._train(display)
                if self.interrupts.waiting:  # pressed since the last look
                    self.trainer.history.stopped = INTERRUPTED
                    self.interrupts.answer()
        return self.trainer.history

    def _prepare(self) -> None:
        """Look at the checkpoint, if there is one, and compile; no more than that."""
        trainer, checkpoint = self.trainer, self.plan.checkpoint
        if checkpoint is not None:
            self.folder = RunFolder(trainer, self.steps, self.plan, checkpoint, self._all_traces)
            self.folder.look()
        trainer._stop, trainer._best = "", None
        for p in trainer.model.parameters():
            p.grad = None
        self.steps.prepare(self.data)
        self._compile()
        trainer.history = trainer.history.copy()
        trainer.history.params = {"epochs": self.plan.epochs, "steps": self.data.steps}

    def _train(self, display: Progress) -> None:
        """All epochs, and what is to be done before and after them."""
        trainer, plan = self.trainer, self.plan
        for callback in plan.callbacks:
            callback.on_fit_begin(trainer)
        resumed = self.folder is not None and self._resume(self.folder)
        over = resumed and (trainer._stop or self.epoch >= plan.epochs)
        try:
            if not resumed:
                self._start_epoch()
            while self.epoch < plan.epochs and not trainer._stop:
                together = self._how_many_together()
                if together > 1:
                    self._run_together(together, display)
                    continue
                self._run_epoch(display)
                if self.batch >= self.data.steps:
                    self._end_epoch(display)
        except KeyboardInterrupt:
            if self.interrupts.at_once:
                raise
            if self._whole:
                self._write(force=True)
            for callback in plan.callbacks:
                callback.on_fit_end(trainer)
            trainer.history.stopped = INTERRUPTED
            raise
        self.steps.per_step[self.data.batch] = self.per_step
        trainer.history.stopped = trainer._stop
        if not over:
            self._write(force=True)  # before weights are exchanged for the best: it may go on
        for callback in plan.callbacks:
            callback.on_fit_end(trainer)
        self.sentinel.leave()

    def _compile(self) -> None:
        """The step of a full batch now; that of the last, smaller batch beside the first epoch."""
        data, k = self.data, self.trainer.accumulate
        if data.by_length is not None:
            self._all_traces()  # an epoch has all of them
            return
        self.steps.train_trace(data, data.batch, k == 1 or data.steps == 1, self.quick)
        if data.rest and data.full > 1 and k == 1 and not self.steps.is_compiled(data, data.rest):
            self._rest = threading.Thread(target=self._compile_rest, name="compile the last batch")
            self._rest.start()

    def _all_traces(self) -> list[Trace]:
        """Every kind of step, compiled: only then are all tensors known that training changes."""
        self._wait_for_rest()
        data, steps = self.data, self.steps
        kinds: list[tuple[int, bool, int | None]]
        if data.by_length is None:
            kinds = [
                (data.batch_rows(batch), data.updates(batch, self.trainer.accumulate), None)
                for batch in range(data.steps)
                if batch < self.trainer.accumulate or batch >= data.full - 1
            ]
        else:
            kinds = [
                (data.batch, update, length)
                for length in data.by_length.edges.tolist()
                for update in sorted({True, self.trainer.accumulate == 1})
            ]
            if data.rest:
                kinds.append((data.rest, True, data.batch_length(data.full)))
        return [steps.train_trace(data, *kind[:2], self.quick, kind[2]) for kind in kinds]

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

    # -- epochs ------------------------------------------------------------------------------------
    def _start_epoch(self) -> None:
        self._whole = False
        self.batch = 0
        self.steps.meter.reset()
        if self.data.steps > 1:
            self.steps.cursor.start(self.trainer.seed, self.trainer.epoch)
        if not self._replayable:
            self.sentinel.forget()
        self._whole = True
        for callback in self.plan.callbacks:
            callback.on_epoch_begin(self.trainer, self.epoch)

    def _run_epoch(self, display: Progress) -> None:
        """Run to the end of the epoch, or until something stops the training."""
        trainer, data = self.trainer, self.data
        while self.batch < data.steps and not trainer._stop:
            self.sentinel.keep(self.epoch * data.steps + self.batch)
            try:
                if self.quick:
                    self._run_many_epochs()
                else:
                    self._run(*self._next_chunk())
            except OutOfRangeError as error:
                last = RECORD if self.quick else data.steps
                raise self._located(error, last) from None
            self._after_chunk(display)

    def _run(self, n: int, rows: int, update: bool) -> None:
        data = self.data
        if rows == data.rest and data.full:
            self._wait_for_rest()
        self._whole = False
        length = data.batch_length(self.batch)
        seconds = self.steps.run_training(data, rows, update, n, length=length)
        self.batch += n
        self.trainer.step += n
        self._whole = True
        self.per_step = (
            seconds / n if n > 1 or not self.per_step else 0.5 * (self.per_step + seconds)
        )

    def _run_many_epochs(self) -> None:
        """Epochs of one step each: the program notes their losses. The last one is left to
        `_end_epoch`."""
        trainer, left = self.trainer, self.plan.epochs - self.epoch
        limit = int(CHUNK_SECONDS / self.per_step) if self.per_step else 1
        n = min(left, max(limit, 1), RECORD)
        if self.plan.checkpoint is not None and self.plan.checkpoint.every_steps is not None:
            n = min(
                n,
                self.plan.checkpoint.every_steps - trainer.step % self.plan.checkpoint.every_steps,
            )
        self._whole = False
        self.per_step = self.steps.run_training(self.data, self.data.batch, True, n, True) / n
        losses = self.steps.meter.noted(n)
        finite = np.isfinite(losses)
        done = n - 1 if finite.all() else int(finite.argmin())
        trainer.history.extend({"loss": losses[:done]})
        trainer.step += n
        trainer.epoch += done
        if done < n - 1 or not finite[-1]:
            self._report_nonfinite(n)
        self.epoch += done
        self.batch = 1
        self._whole = True

    # -- several epochs at once --------------------------------------------------------------------
    def _how_many_together(self) -> int:
        """How many epochs, from here on, may run without Python between them."""
        trainer, plan, steps = self.trainer, self.plan, self.data.steps
        if self.quick or self.batch or not self.per_step or self._rest is not None:
            return 1  # the first epoch compiles, and is timed
        if any(c.every > 0 for c in plan.callbacks):
            return 1
        more = 1.0 if plan.validation is None else 1 + plan.validation.rows / self.data.rows
        per_epoch = self.per_epoch or self.per_step * steps * more
        n = min(plan.epochs - self.epoch, int(CHUNK_SECONDS / per_epoch))
        n = int(min([n, *(may_wait(self.epoch) for may_wait in self._waits)]))
        if self._scheduled:
            n = int(min([n, *map(epochs_foreseen, trainer.schedulers)]))
        if plan.checkpoint is not None and plan.checkpoint.every_steps is not None:
            every = plan.checkpoint.every_steps
            n = min(n, (every - trainer.step % every) // steps)
        if n > 1 and self._epochs is None:
            best = any(c.restore_best for c in plan.callbacks)
            self._epochs = Epochs(trainer, self.steps, self.data, plan.validation, best)
        if self._epochs is None:
            return 1
        return min(n, self._epochs.most)

    def _run_together(self, n: int, display: Progress) -> None:
        """``n`` epochs in one native run, and then what is to be done after each of them."""
        epochs, steps = self._epochs, self.data.steps
        assert epochs is not None
        self.sentinel.keep(self.epoch * steps)
        self._whole = False
        start = time.perf_counter()
        try:
            sums, columns = epochs.run(n, self.epoch)
        except OutOfRangeError as error:
            epochs.unsee(0)
            raise self._located(error, n * steps) from None
        self.per_epoch = (time.perf_counter() - start) / n
        self.per_step = self.per_epoch / steps
        finite = np.isfinite(sums)
        good = n if finite.all() else int(finite.argmin())
        self._note(columns, good, display)
        if good < n:
            self.steps.meter.set_total(sums[good])
            epochs.unsee(good)
            self.trainer.step += steps
            self._report_nonfinite(steps)
        self._whole = True
        self.batch = steps
        self._pause(display, self.epoch)
        self._next_epoch()

    def _note(self, columns: Columns, n: int, display: Progress) -> None:
        """Count ``n`` epochs that have run, and tell who wants to know of each."""
        trainer, plan, epochs, steps = self.trainer, self.plan, self._epochs, self.data.steps
        assert epochs is not None
        lists = {name: column[:n].tolist() for name, column in columns.items()}
        last = self.epoch + n
        wanted = bool(plan.callbacks) or self._scheduled or not display.silent
        try:
            while wanted and self.epoch < last:
                i = self.epoch + n - last
                for callback in plan.callbacks if i else ():
                    callback.on_epoch_begin(trainer, self.epoch)
                trainer.step += steps
                trainer.weights_of_epoch = functools.partial(epochs.weights, i)
                self._close_epoch({k: v[i] for k, v in lists.items()}, display, i == n - 1)
        finally:  # what has run has run
            trainer.weights_of_epoch = None
            left = last - self.epoch
            if left:
                trainer.history.extend({k: v[n - left :] for k, v in lists.items()})
                trainer.epoch += left
                trainer.step += left * steps
                self.epoch = last

    def _advance(self) -> None:
        """One training step, of those that are compiled already; the watch puts all state back."""
        for p in self.trainer.model.parameters():
            p.grad = None  # as where the steps were compiled
        if self.data.steps > 1:
            self.steps.cursor.start(self.trainer.seed, self.trainer.epoch)
        length = self.data.batch_length(0)
        self.steps.run_training(self.data, self.data.batch, True, 1, self.quick, length)

    def _next_chunk(self) -> tuple[int, int, bool]:
        """How many steps to run natively, of how many rows, and whether they update."""
        data = self.data
        rows = data.batch_rows(self.batch)
        n = data.alike(self.batch)
        limit = max(int(CHUNK_SECONDS / self.per_step), 1) if self.per_step else 1
        n = min(n, limit, 1 << 30)
        stops = [c.every for c in self.plan.callbacks]
        if self.plan.checkpoint is not None:
            stops.append(self.plan.checkpoint.every_steps or 0)
        for every in stops:
            if every > 0:
                n = min(n, every - self.trainer.step % every)
        k = self.trainer.accumulate
        if k == 1:
            return n, rows, True
        if data.updates(self.batch, k):
            return 1, rows, True
        return min(n, k - 1 - self.batch % k, max(data.steps - 1 - self.batch, 1)), rows, False

    def _after_chunk(self, display: Progress) -> None:
        if not math.isfinite(self.steps.meter.total):
            self._report_nonfinite(self.batch)
        self._pause(display, self.epoch + self.batch / self.data.steps)
        if self.batch < self.data.steps:  # at the end of an epoch that is done after it
            self._write()
            self._answer_interrupt()

    def _pause(self, display: Progress, done: float) -> None:
        """Between two native runs; ``done``: epochs so far."""
        trainer, limit = self.trainer, self.plan.max_seconds
        if self._rest is None:
            self.watch.look(self.per_step, self._advance)
        for callback in self.plan.callbacks:
            if callback.every > 0 and trainer.step % callback.every == 0:
                callback.on_steps(trainer, trainer.step, self.steps.meter.logs())
        if display.shown:
            logs = self.steps.meter.logs()
            display.update(self.epoch, done / self.plan.epochs, logs, self.per_step)
        if limit is not None and time.perf_counter() - self.started > limit:
            trainer.stop(f"{limit:g} seconds are over")

    def _answer_interrupt(self) -> None:
        if self.interrupts.waiting:
            self._wait_for_rest()
            self.interrupts.answer()

    def _set_rates(self, epoch: int) -> None:
        """As they were in an epoch of those that ran together, for the sentinel."""
        if self._epochs is not None:
            self._epochs.set_rates(epoch)

    def _run_again(self, batch: int, n: int = 1) -> None:
        """One batch of an epoch, or ``n`` epochs of one batch, for the sentinel."""
        data = self.data
        rows, update = data.batch_rows(batch), data.updates(batch, self.trainer.accumulate)
        self.steps.run_training(data, rows, update, n, self.quick, data.batch_length(batch))

    def _located(self, error: OutOfRangeError, last: int) -> OutOfRangeError:
        """An index was outside among the next ``last`` batches from this epoch on."""
        self._wait_for_rest()
        if not error.after_run:
            return error
        last += self.epoch * self.data.steps
        return self.sentinel.locate(error, last, self._run_again)

    def _report_nonfinite(self, last: int) -> None:
        self._wait_for_rest()
        last += self.epoch * self.data.steps
        raise self.sentinel.explain(last, self._run_again)

    def _end_epoch(self, display: Progress) -> None:
        trainer, plan = self.trainer, self.plan
        self._wait_for_rest()
        self._whole = False
        logs = self.steps.meter.logs()
        if plan.validation is not None:
            logs |= trainer._evaluate(plan.validation, "val_")
        if trainer.schedulers:
            logs["lr"] = float(trainer.optimizer.param_groups[0]["lr"])
        self._close_epoch(logs, display)
        self._next_epoch()

    def _close_epoch(self, logs: dict[str, float], display: Progress, last: bool = True) -> None:
        """Count an epoch and tell of it; ``last``: no later one has run yet."""
        trainer = self.trainer
        if self._scheduled:
            self._step_schedulers(logs, last)
        trainer.history.append(logs)
        trainer.epoch += 1
        self.epoch += 1
        self._whole = last
        for callback in self.plan.callbacks:
            callback.on_epoch_end(trainer, self.epoch - 1, logs)
        display.end_epoch(self.epoch - 1, logs)

    def _next_epoch(self) -> None:
        if self.epoch < self.plan.epochs and not self.trainer._stop:
            self._start_epoch()
            self._write()
            self._answer_interrupt()

    def _step_schedulers(self, logs: dict[str, float], last: bool) -> None:
        for scheduler in self.trainer.schedulers:
            if wants_metric(scheduler):  # plateau: by what is measured
                scheduler.step(logs.get("val_loss", logs["loss"]))
            elif last:  # of epochs that ran together it was stepped before
                scheduler.step()

    # -- checkpoints -------------------------------------------------------------------------------
    def _write(self, force: bool = False) -> None:
        """A checkpoint, if it is time."""
        if self.folder is not None and (force or self.folder.is_due()):
            self.folder.write(self.epoch, self.batch, force)

    def _resume(self, folder: RunFolder) -> bool:
        """Go on where the folder says that this run was; whether there is such a place."""
        fit = folder.restore()
        if fit is None:
            return False
        trainer = self.trainer
        self.sentinel.first_epoch = trainer.epoch - fit.epoch
        self.epoch, self.batch = fit.epoch, fit.batch
        self.steps.cursor.arrange(trainer.seed, trainer.epoch)
        stopped = trainer.history.stopped
        trainer._stop = "" if "seconds are over" in stopped else stopped
        trainer.history.stopped = trainer._stop
        ended = self.batch >= self.data.steps
        if ended and self.epoch < self.plan.epochs and not trainer._stop:
            self._start_epoch()  # it had ended with fewer epochs, or between epochs
        return True
