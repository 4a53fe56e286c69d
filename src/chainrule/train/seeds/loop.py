"""SeedLoop: one run of `SeedTrainer.fit`: native epochs, between which listeners are told."""

from __future__ import annotations

import contextlib
import functools
import math
import time
import warnings
from collections.abc import Iterator

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...habits import user_level
from ..inspect.sentinel import NonFiniteLossError
from ..listeners.callbacks import Callback, Pause, told, waiting
from ..listeners.early_stopping import EarlyStopping
from ..listeners.progress import Progress
from ..listeners.watch import TrainingWarning
from ..run import CHUNK_SECONDS, Plan, Run
from ..step.epochs import Columns
from .checkpoints import SeedFolder
from .epochs import Look, SeedEpochs
from .nets import Nets
from .rates import Rates
from .stopping import Stopping

COPIED_SECONDS = 5e-3
"""A longer epoch is not copied after each for early stopping: it is run by itself."""


class SeedLoop(Run):
    """Runs a plan for all seeds."""

    def __init__(self, nets: Nets, plan: Plan) -> None:
        super().__init__(nets, plan)
        self.nets, self.one, self.stack = nets, nets.one, nets.stack
        self.steps, self.passes = nets.one._steps, nets.passes
        self.stops: list[Stopping] = []
        self.callbacks: list[Callback] = []
        if plan.data.by_length is not None:
            raise OptionError(
                "fit: group_by_length has an order for one seed; leave it out with seeds"
            )
        for callback in plan.callbacks:
            if isinstance(callback, EarlyStopping):
                callback.on_fit_begin(self.one)
                assert callback.monitor is not None
                self.stops.append(Stopping(callback, self.stack.seeds, callback.monitor))
            elif callback.every > 0:
                raise OptionError(
                    f"fit: {type(callback).__name__} wants to be called every {callback.every} "
                    "steps; with seeds callbacks are called after each epoch: every = 0"
                )
            else:
                self.callbacks.append(callback)
        self._waits = [waiting(callback) for callback in self.callbacks]
        self.alive = ~nets.failed
        self.folder = None if plan.checkpoint is None else SeedFolder(self, plan.checkpoint)
        self.frozen: dict[str, Array] = {}
        self.rates: Rates | None = None
        self._epochly = self.one.schedulers if self.one.epochly else []
        self.ran = 0
        """Epochs of the last native run."""

    # -- the run -----------------------------------------------------------------------------------
    def _prepare(self) -> None:
        one, nets, stack = self.one, self.nets, self.stack
        if not self.alive.any():
            raise NonFiniteLossError("fit: the loss of every seed became NaN or infinite before")
        nets._stop = ""
        for p in one.model.parameters():
            p.grad = None
        self.turns = self.passes.training(self.data)
        nets.varied.check_read(mapped.trace for mapped, _, _ in self.turns)
        if one.schedulers:
            nets.rates = self.rates = nets.rates or Rates(one, stack, nets.varied)
        before, nets.history = nets.history, nets.history.copy()
        for i in np.flatnonzero(nets.failed):
            nets.history.stopped[i] = before.stopped[i]
        nets.best_row[...] = -1
        if self.folder is not None:
            self.folder.resume()
        updated = {id(t) for mapped, _, _ in self.turns for t in mapped.changed}
        changing = {k: t for k, t in nets.tensors().items() if id(t) in updated}
        self.changing = {k: t for k, t in changing.items() if t in stack}
        self.epochs = SeedEpochs(nets, self.plan, self.turns)
        self.per_epoch = self.passes.seconds.get(self.epochs.key, 0.0)

    def _listening(self, display: Progress) -> list[Callback]:
        self.display = display  # it shows medians
        self._shown = told([display], "on_epoch_end")
        return [*self.callbacks, *self.limit, *([] if self.folder is None else [self.folder])]

    def _train(self) -> None:
        nets = self.nets
        while self.epoch < self.plan.epochs and self.alive.any() and not nets._stop:
            self._run_epochs(self._how_many())
            self._settle()
            self.interrupts.answer()

    def _mark(self, stopped: str) -> None:
        history = self.nets.history
        history.stopped = [text or stopped for text in history.stopped]

    def _end(self, stopped: str) -> None:
        """Give the seeds that stopped what they had then, or their best weights."""
        nets, history = self.nets, self.nets.history
        for name, rows in self.frozen.items():
            done = ~self.alive & ~nets.failed
            self.stack.rows(self.changing[name])[done] = rows[done]
        for name, tensor in nets.one.model_tensors().items():
            if name in nets.best_weights:
                kept = nets.has_best & ~nets.failed
                self.stack.rows(tensor)[kept] = nets.best_weights[name][kept]
        nets.forget_best()
        super()._end(stopped)
        if nets.failed.any():
            which = [s for s, bad in zip(nets.seeds, nets.failed, strict=True) if bad]
            shown = ", ".join(map(str, which[:8])) + (", ..." if len(which) > 8 else "")
            text = f"{len(which)} of {len(nets.seeds)} seeds ({shown})"
            if nets.failed.all():
                raise NonFiniteLossError(
                    f"the loss of all {text[text.index('of') + 3 :]} became NaN or infinite: "
                    f"{history.stopped[0]}; a lower learning rate is the usual remedy"
                )
            warnings.warn(
                f"the loss of {text} became NaN or infinite; they are left out of ensembles, and "
                "history.stopped says when",
                TrainingWarning,
                stacklevel=user_level(),
            )

    # -- epochs ------------------------------------------------------------------------------------
    def _how_many(self) -> int:
        """How many epochs may run without Python between them."""
        nets, steps = self.nets, self.data.steps
        if not self.per_epoch:
            return 1
        n = int(CHUNK_SECONDS / self.per_epoch)
        if self.stops and n > 1 and not self.epochs.keeps:
            if self.per_epoch > COPIED_SECONDS:
                return 1
            kept = list(self.changing.values())
            self.epochs = SeedEpochs(nets, self.plan, self.turns, kept)
        n = min(n, self.plan.epochs - self.epoch, self.epochs.most)
        n = int(min([n, *(may_wait(self.epoch) for may_wait in self._waits)]))
        if self._epochly and self.rates is not None:
            n = int(min(n, self.rates.foreseen()))
        if self.folder is not None and self.folder.every:
            n = min(n, -(-(self.folder.every - nets.step % self.folder.every) // steps))
        return max(n, 1)

    def _run_epochs(self, n: int) -> None:
        """``n`` epochs of all groups, and then what is to be done after each of them."""
        nets = self.nets
        start = time.perf_counter()
        for begin in self._epoch_begun:
            begin(nets, self.epoch)
        with self._whole_epochs() as look:
            alive = self.alive.copy()
            alive.resize(self.stack.groups * self.stack.group)
            groups = np.flatnonzero(alive.reshape(self.stack.groups, -1).any(axis=1)).tolist()
            logs = self.epochs.run(n, groups, look)
        self.per_epoch = self.passes.seconds[self.epochs.key] = (time.perf_counter() - start) / n
        n = self._note(logs)
        share, each = self.epoch / self.plan.epochs, self.per_epoch / self.data.steps
        medians = functools.partial(_medians, {k: v[n - 1] for k, v in logs.items()})
        pause = Pause(self.epoch - 1, share, each, medians)
        self.display._at_pause(nets, pause)
        self._pause(pause)
        for ended in self._shown:
            ended(nets, self.epoch - 1, medians())

    @contextlib.contextmanager
    def _whole_epochs(self) -> Iterator[Look]:
        """Within it, long epochs may be left by Ctrl-C: then all seeds are as they were before."""
        if 0 < self.per_epoch < CHUNK_SECONDS:
            yield lambda share: None
            return
        before = self.nets.rows()
        kept = {k: rows.copy() for k, rows in before.items()}

        def look(share: float) -> None:
            self.interrupts.answer()
            done = (self.epoch + share) / self.plan.epochs
            self.display._at_pause(self.nets, Pause(self.epoch, done, 0.0, dict))

        try:
            yield look
        except KeyboardInterrupt:
            for name, rows in before.items():
                rows[...] = kept[name]
            raise

    def _note(self, logs: Columns) -> int:
        """Write epochs that have run into the history; returns how many they are.

        That is up to the one in which the last seed ended. Tells who fails, improves or stops.
        """
        nets, loss = self.nets, logs["loss"]
        n = len(loss)
        fine = np.isfinite(loss)
        failed = self.alive & ~(fine.all() or fine.all(axis=0))
        ends = np.where(self.alive, n, 0)  # how many of these epochs each seed has
        ends[failed] = fine[:, failed].argmin(axis=0) + 1
        stopped = self._look_at(logs, fine, ends)
        failed &= ~stopped
        for i in np.flatnonzero(failed).tolist():
            epoch = nets.epochs[i] + ends[i]
            nets.history.stopped[i] = f"the loss became {loss[ends[i] - 1, i]} in epoch {epoch}"
        nets.failed |= failed
        self.alive &= ~(failed | stopped)
        n = n if self.alive.any() else int(ends.max())
        if self._epochly and self.rates is not None:
            self.rates.close(logs.get("val_loss", loss)[:n])
        if (ends < n).any():
            there = np.arange(n)[:, None] < ends
            logs = {k: np.where(there, v[:n], math.nan) for k, v in logs.items()}
        self._tell(logs, n, ends)
        return n

    def _look_at(self, logs: Columns, fine: Array, ends: Array) -> Array:
        """Early stopping: which seeds stop in these epochs; ``ends`` says after how many. ``fine``:
        whose losses are finite."""
        nets = self.nets
        stopped, best = np.zeros(len(ends), bool), np.full(len(ends), -1)
        running = self.alive.copy()
        for i in range(len(fine) if self.stops else 0):
            running &= fine[i]
            for stop in self.stops:
                values, epochs = logs[stop.monitor][i], nets.epochs + i + 1
                improved, over = stop.look(values, running, epochs, self.epoch + i)
                if stop.rule.restore_best:
                    best[improved] = i
                if over.any():
                    for seed in np.flatnonzero(over).tolist():
                        nets.history.stopped[seed] = stop.reason(seed)
                    ends[over] = i + 1
                    stopped |= over
                    running &= ~over
        better = np.flatnonzero(best >= 0)
        if len(better):
            for name, tensor in nets.one.model_tensors().items():
                if tensor in self.stack:
                    kept = nets.best_weights.setdefault(name, self.stack.rows(tensor).copy())
                    kept[better] = self.epochs.state_at(tensor, best[better], better)
            nets.has_best[better] = True
            nets.best_row[better] = len(nets.history) + best[better]
        over = np.flatnonzero(stopped)
        if len(over):  # the program goes on with all of a group
            for name, tensor in self.changing.items():
                kept = self.frozen.setdefault(name, self.stack.rows(tensor).copy())
                kept[over] = self.epochs.state_at(tensor, ends[over] - 1, over)
        return stopped

    def _tell(self, logs: Columns, n: int, ends: Array) -> None:
        """Count ``n`` epochs, of which each seed has so many, and tell listeners of each."""
        nets, first, began, told = self.nets, self.epoch, self.nets.epochs.copy(), 0

        def count(epochs: int) -> None:
            nonlocal told
            nets.history.extend({k: v[told:epochs] for k, v in logs.items()})
            nets.epochs[...] = began + np.minimum(ends, epochs)
            nets.step += (epochs - told) * self.data.steps
            self.epoch = first + epochs
            told = epochs

        wanted = bool(self._epoch_begun or self._epoch_ended)
        try:
            while wanted and told < n:
                for begin in self._epoch_begun if told else ():
                    begin(nets, self.epoch)
                count(told + 1)
                line = {k: v[told - 1] for k, v in logs.items()}
                for ended in self._epoch_ended:
                    ended(nets, self.epoch - 1, line)
        finally:  # what has run has run
            if told < n:
                count(n)
        self.ran = n


def _medians(last: Columns) -> dict[str, float]:
    """Of what the seeds measured, those that ended included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN
        return {name: float(np.nanmedian(values)) for name, values in last.items()}
