"""Loop: one run of `Trainer.fit`: native epochs, between which listeners are told."""

from __future__ import annotations

import functools
import math
import threading
import time
from dataclasses import replace

import numpy as np

from ..errors import OutOfRangeError
from ..tensor.compiling.trace import Trace
from .inspect.sentinel import Sentinel
from .listeners.callbacks import Callback, Pause, waiting
from .listeners.checkpoints import Checkpoints
from .listeners.early_stopping import EarlyStopping
from .listeners.progress import Progress
from .listeners.recording import Recorder
from .listeners.watch import Watch
from .measure.meter import RECORD
from .rows.dataset import Kind
from .run import CHUNK_SECONDS, Plan, Run
from .step.epochs import Columns, Epochs
from .step.schedules import epochs_foreseen, wants_metric
from .step.steps import Steps

MOST_STEPS = 1 << 30
"""A native run is no longer, where nobody asks for a look."""


class Loop(Run):
    """Runs a plan: a task's steps, and those who are told of them."""

    def __init__(self, steps: Steps, plan: Plan) -> None:
        super().__init__(steps.task, plan)
        self.task, self.steps = steps.task, steps
        self.per_step = steps.per_step.get(plan.data.batch, 0.0)  # seconds, measured
        self.sentinel = Sentinel(steps, plan.data, self._set_rates)
        self.recorder = Recorder(plan.epochs, plan.data.steps)
        self.watch = Watch(steps, plan.data, plan.diagnose)
        self.folder: Checkpoints | None = None
        self._rest: threading.Thread | None = None
        self._rest_error: BaseException | None = None
        self._epochs: Epochs | None = None
        self.quick = self._is_quick()
        # Callbacks and schedules may change anything between epochs.
        self._waits = [waiting(c) for c in plan.callbacks]
        listening = zip(plan.callbacks, self._waits, strict=True)
        self._replayable = not self.task.epochly and all(
            isinstance(c, EarlyStopping) or may_wait(0) == math.inf for c, may_wait in listening
        )

    def _is_quick(self) -> bool:
        """Whether many epochs run without Python: of one step each, asked only for the loss."""
        task, plan, meter = self.task, self.plan, self.steps.meter
        nothing = not (plan.callbacks or plan.validation or meter.metrics or meter.parts)
        return nothing and not self.data.keyed and not task.schedulers and task.accumulate == 1

    # -- the run -----------------------------------------------------------------------------------
    def _prepare(self) -> None:
        task, plan = self.task, self.plan
        if plan.checkpoint is not None:
            data = (self.data, plan.validation)
            self.folder = Checkpoints(
                self.steps, data, plan.callbacks, plan.checkpoint, self._all_traces
            )
            self.folder.look()
        task._stop, task._best = "", None
        for p in task.model.parameters():
            p.grad = None
        self.steps.prepare(self.data)
        self._compile()

    def _listening(self, display: Progress) -> list[Callback]:
        folder = [] if self.folder is None else [self.folder]
        return [self.recorder, self.watch, *self.plan.callbacks, display, *self.limit, *folder]

    def _train(self) -> None:
        task, plan = self.task, self.plan
        resumed = self._resume()
        self._over = resumed and (bool(task._stop) or self.epoch >= plan.epochs)
        if not resumed:
            self._start_epoch()
        while self.epoch < plan.epochs and not task._stop:
            task.back_to_training()
            together = self._how_many_together()
            if together > 1:
                self._run_together(together)
                continue
            self._run_epoch()
            if self.batch >= self.data.steps:
                self._end_epoch()
        self.steps.per_step[self.data.batch] = self.per_step
        self.sentinel.leave()
        if self._epochs is not None:
            self._epochs.leave()
        self._mark(task._stop)

    def _mark(self, stopped: str) -> None:
        self.task.history.stopped = stopped

    def _compile(self) -> None:
        """The step of a full batch now; that of the last, smaller batch beside the first epoch."""
        data, k = self.data, self.task.accumulate
        if data.by_length is not None:
            self._all_traces()  # an epoch has all of them
            return
        self.steps.train_trace(data, self._kind(0))
        apart = data.rest and data.full > 1 and k == 1
        if apart and not self.steps.is_compiled(data, Kind(data.rest)):
            self._rest = threading.Thread(target=self._compile_rest, name="compile the last batch")
            self._rest.start()

    def _all_traces(self) -> list[Trace]:
        """Every kind of step, compiled: only then are all tensors known that training changes."""
        self._wait_for_rest()
        data, k = self.data, self.task.accumulate
        if data.by_length is None:
            batches = [i for i in range(data.steps) if i < k or i >= data.full - 1]
            kinds = [self._kind(batch) for batch in batches]
        else:
            lengths, updates = data.by_length.edges.tolist(), sorted({True, k == 1})
            kinds = [Kind(data.batch, u, length) for length in lengths for u in updates]
            kinds += [self._kind(data.full)] if data.rest else []
        return [self.steps.train_trace(data, kind) for kind in kinds]

    def _kind(self, batch: int) -> Kind:
        """Of a batch of an epoch."""
        kind = self.data.kind(batch, self.task.accumulate)
        return replace(kind, noted=True) if self.quick else kind

    def _compile_rest(self) -> None:
        try:
            self.steps.train_trace(self.data, Kind(self.data.rest))
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
        if self.data.keyed:
            self.steps.cursor.start(self.task.seed, self.task.epoch)
        if not self._replayable:
            self.sentinel.forget()
        self._whole = True
        for begin in self._epoch_begun:
            begin(self.task, self.epoch)

    def _run_epoch(self) -> None:
        """Run to the end of the epoch, or until something stops the training."""
        task, data = self.task, self.data
        while self.batch < data.steps and not task._stop:
            task.back_to_training()
            self.sentinel.keep(self.epoch * data.steps + self.batch)
            try:
                if self.quick:
                    self._run_many_epochs()
                else:
                    self._run(*self._next_chunk())
            except OutOfRangeError as error:
                last = RECORD if self.quick else data.steps
                raise self._located(error, last) from None
            self._after_chunk()

    def _run(self, n: int, kind: Kind) -> None:
        data = self.data
        if kind.rows == data.rest and data.full:
            self._wait_for_rest()
        self._whole = False
        seconds = self.steps.run_training(data, kind, n)
        self.batch += n
        self.task.step += n
        self._whole = True
        self.per_step = (
            seconds / n if n > 1 or not self.per_step else 0.5 * (self.per_step + seconds)
        )

    def _run_many_epochs(self) -> None:
        """Epochs of one step each, whose losses the program notes; `_end_epoch` does the last."""
        task, left = self.task, self.plan.epochs - self.epoch
        limit = int(CHUNK_SECONDS / self.per_step) if self.per_step else 1
        n = min(left, max(limit, 1), RECORD, self._steps_until_called())
        self._whole = False
        self.per_step = self.steps.run_training(self.data, self._kind(0), n) / n
        losses = self.steps.meter.noted(n)
        finite = np.isfinite(losses)
        done = n - 1 if finite.all() else int(finite.argmin())
        task.history.extend({"loss": losses[:done]})
        task.step += n
        task.epoch += done
        if done < n - 1 or not finite[-1]:
            self._report_nonfinite(n)
        self.epoch += done
        self.batch = 1
        self._whole = True

    # -- several epochs at once --------------------------------------------------------------------
    def _how_many_together(self) -> int:
        """How many epochs, from here on, may run without Python between them."""
        task, plan, steps = self.task, self.plan, self.data.steps
        if self.quick or self.batch or not self.per_step or self._rest is not None:
            return 1  # the first epoch compiles, and is timed
        if any(c.every > 0 for c in plan.callbacks):
            return 1
        more = 1.0 if plan.validation is None else 1 + plan.validation.rows / self.data.rows
        per_epoch = self.per_epoch or self.per_step * steps * more
        n = min(plan.epochs - self.epoch, int(CHUNK_SECONDS / per_epoch))
        n = int(min([n, *(may_wait(self.epoch) for may_wait in self._waits)]))
        if self.task.epochly:
            n = int(min([n, *map(epochs_foreseen, task.schedulers)]))
        n = min(n, self._steps_until_called() // steps)
        if n > 1 and self._epochs is None:
            best = any(c.restore_best for c in plan.callbacks)
            self._epochs = Epochs.of(self.steps, self.data, plan.validation, best)
        if self._epochs is None:
            return 1
        return min(n, self._epochs.most)

    def _run_together(self, n: int) -> None:
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
        self._note(columns, good)
        if good < n:
            self.steps.meter.set_total(sums[good])
            epochs.unsee(good)
            self.task.step += steps
            self._report_nonfinite(steps)
        self._whole = True
        self.batch = steps
        self._look(self.epoch)
        self._next_epoch()

    def _note(self, columns: Columns, n: int) -> None:
        """Count ``n`` epochs that have run, and tell who wants to know of each."""
        task, epochs, steps = self.task, self._epochs, self.data.steps
        assert epochs is not None
        lists = {name: column[:n].tolist() for name, column in columns.items()}
        last = self.epoch + n
        wanted = self._epoch_begun or len(self._epoch_ended) > 1 or task.epochly
        try:
            while wanted and self.epoch < last:
                i = self.epoch + n - last
                for begin in self._epoch_begun if i else ():
                    begin(task, self.epoch)
                task.step += steps
                task.weights_of_epoch = functools.partial(epochs.weights, i)
                self._close_epoch({k: v[i] for k, v in lists.items()}, i == n - 1)
        finally:  # what has run has run
            task.weights_of_epoch = None
            left = last - self.epoch
            if left:
                task.history.extend({k: v[n - left :] for k, v in lists.items()})
                task.epoch += left
                task.step += left * steps
                self.epoch = last

    def _advance(self) -> None:
        """One training step, of those that are compiled already; the watch puts all state back."""
        for p in self.task.model.parameters():
            p.grad = None  # as where the steps were compiled
        if self.data.keyed:
            self.steps.cursor.start(self.task.seed, self.task.epoch)
        kind = replace(self._kind(0), update=True)
        self.steps.run_training(self.data, kind, 1)

    def _steps_until_called(self) -> int:
        """How many steps may run before one that a listener wants to be told of."""
        step, every = self.task.step, [c.every for c in self.listeners if c.every > 0]
        return min([MOST_STEPS, *(n - step % n for n in every)])

    def _next_chunk(self) -> tuple[int, Kind]:
        """How many steps to run natively, and of which kind."""
        data, k, kind = self.data, self.task.accumulate, self._kind(self.batch)
        limit = max(int(CHUNK_SECONDS / self.per_step), 1) if self.per_step else 1
        n = min(data.alike(self.batch), limit, self._steps_until_called())
        if k == 1:
            return n, kind
        if kind.update:
            return 1, kind
        return min(n, k - 1 - self.batch % k, max(data.steps - 1 - self.batch, 1)), kind

    def _after_chunk(self) -> None:
        if not math.isfinite(self.steps.meter.total):
            self._report_nonfinite(self.batch)
        self._look(self.epoch + self.batch / self.data.steps)
        if self.batch < self.data.steps:  # at the end of an epoch that is done after it
            self._settle()
            self._answer_interrupt()

    def _look(self, done: float) -> None:
        """Let all who want to look; ``done``: epochs so far."""
        advance = self._advance if self._rest is None else None
        logs, share = self.steps.meter.logs, done / self.plan.epochs
        self._pause(Pause(self.epoch, share, self.per_step, logs, advance))

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
        self.steps.run_training(self.data, self._kind(batch), n)

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

    def _end_epoch(self) -> None:
        task, plan = self.task, self.plan
        self._wait_for_rest()
        self._whole = False
        logs = self.steps.meter.logs()
        if plan.validation is not None:
            logs |= self.steps.measure(plan.validation, "val_")
        if task.schedulers:
            logs["lr"] = float(task.optimizer.param_groups[0]["lr"])
        self._close_epoch(logs)
        self._next_epoch()

    def _close_epoch(self, logs: dict[str, float], last: bool = True) -> None:
        """Count an epoch and tell of it; ``last``: no later one has run yet."""
        task = self.task
        if self.task.epochly:
            self._step_schedulers(logs, last)
        task.epoch += 1
        self.epoch += 1
        self._whole = last
        for ended in self._epoch_ended:
            ended(task, self.epoch - 1, logs)

    def _next_epoch(self) -> None:
        if self.epoch < self.plan.epochs and not self.task._stop:
            self._start_epoch()
            self._settle()
            self._answer_interrupt()

    def _step_schedulers(self, logs: dict[str, float], last: bool) -> None:
        for scheduler in self.task.schedulers:
            if wants_metric(scheduler):  # plateau: by what is measured
                scheduler.step(logs.get("val_loss", logs["loss"]))
            elif last:  # of epochs that ran together it was stepped before
                scheduler.step()

    def _resume(self) -> bool:
        """Go on where the folder says that this run was; whether there is such a place."""
        fit = None if self.folder is None else self.folder.restore()
        if fit is None:
            return False
        task = self.task
        self.sentinel.first_epoch = task.epoch - fit.epoch
        self.epoch, self.batch = fit.epoch, fit.batch
        self.steps.cursor.arrange(task.seed, task.epoch)
        stopped = task.history.stopped
        task._stop = "" if "seconds are over" in stopped else stopped
        task.history.stopped = task._stop
        ended = self.batch >= self.data.steps
        if ended and self.epoch < self.plan.epochs and not task._stop:
            self._start_epoch()  # it had ended with fewer epochs, or between epochs
        return True
