"""SeedLoop: one run of `SeedTrainer.fit`: epochs of all groups, with Python in between."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...habits import user_level
from ..inspect.sentinel import NonFiniteLossError
from ..listeners.callbacks import Callback, Pause
from ..listeners.early_stopping import EarlyStopping
from ..listeners.progress import Progress
from ..listeners.watch import TrainingWarning
from ..run import CHUNK_SECONDS, Plan, Run
from ..step.cursor import order_keys
from .checkpoints import SeedFolder
from .mapped import Noted
from .nets import Nets
from .rates import Rates
from .stopping import Stopping


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
        self.alive = ~nets.failed
        self.folder = None if plan.checkpoint is None else SeedFolder(self, plan.checkpoint)
        self.frozen: dict[str, Array] = {}
        self.rates: Rates | None = None

    # -- the run -----------------------------------------------------------------------------------
    def _prepare(self) -> None:
        one, nets, stack = self.one, self.nets, self.stack
        if not self.alive.any():
            raise NonFiniteLossError("fit: the loss of every seed became NaN or infinite before")
        nets._stop = ""
        for p in one.model.parameters():
            p.grad = None
        self.turns = self.passes.training(self.data)
        self.noted: Noted | None = None
        quick = not (self.stops or self.callbacks or self.plan.validation)
        epochly = one.epochly
        if quick and len(self.turns) == 1 and not self.data.keyed and not epochly:
            self.noted = self.passes.noted(self.turns[0][0], self.steps.meter)
        if one.schedulers:
            nets.rates = self.rates = nets.rates or Rates(one, stack, nets.vary)
        before, nets.history = nets.history, nets.history.copy()
        for i in np.flatnonzero(nets.failed):
            nets.history.stopped[i] = before.stopped[i]
        nets.best_row[...] = -1
        if self.folder is not None:
            self.folder.resume()

    def _listening(self, display: Progress) -> list[Callback]:
        self.display = display  # it shows medians
        return [*self.callbacks, *self.limit, *([] if self.folder is None else [self.folder])]

    def _train(self) -> None:
        nets = self.nets
        while self.epoch < self.plan.epochs and self.alive.any() and not nets._stop:
            self._run_epochs()
            self._settle()
            self.interrupts.answer()

    def _mark(self, stopped: str) -> None:
        history = self.nets.history
        history.stopped = [text or stopped for text in history.stopped]

    def _end(self, stopped: str) -> None:
        """Give the seeds that stopped what they had then, or their best weights."""
        nets, history = self.nets, self.nets.history
        for name, tensor in nets.tensors().items():
            if name in self.frozen and tensor in self.stack:
                done = ~self.alive & ~nets.failed
                self.stack.rows(tensor)[done] = self.frozen[name][done]
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
    def _run_epochs(self) -> None:
        """One epoch of all groups, or many of one step each."""
        nets = self.nets
        start = time.perf_counter()
        for begin in self._epoch_begun:
            begin(nets, self.epoch)
        logs = self._many() if self.noted is not None else self._one()
        n = len(next(iter(logs.values())))
        if self.rates is not None:
            logs["lr"] = np.repeat(self.rates.now()[None], n, axis=0)
            if self.one.schedule == "epoch":
                self.rates.step(logs.get("val_loss", logs["loss"])[-1])
        self.nets.epochs[self.alive] += n
        self.epoch += n
        self.nets.step += n * self.data.steps
        self._note(logs)
        self.per_epoch = (time.perf_counter() - start) / n
        last = {k: v[-1] for k, v in logs.items()}
        for ended in self._epoch_ended:
            ended(nets, self.epoch - 1, last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN
            medians = {k: float(np.nanmedian(v)) for k, v in last.items()}
        share, each = self.epoch / self.plan.epochs, self.per_epoch / self.data.steps
        pause = Pause(self.epoch - 1, share, each, lambda: medians)
        self.display._at_pause(nets, pause)
        self._pause(pause)
        self.display.on_epoch_end(nets, self.epoch - 1, medians)

    def _one(self) -> dict[str, Array]:
        """One epoch of all groups: what it measured, (1, R)."""
        steps, data, validation = self.steps, self.data, self.plan.validation
        self.passes.begin(steps.meter)
        if data.keyed:
            self.stack.put(steps.cursor.order, order_keys(self.nets.seeds, self.nets.epochs))
        for number in range(self.stack.groups):
            self.passes.run(self.turns, steps.cursor.position, number)
        logs = self.passes.logs(steps.meter, data.taken)
        if validation is not None:
            logs |= self.passes.evaluate(validation, "val_")
        return {k: v[None] for k, v in logs.items()}

    def _many(self) -> dict[str, Array]:
        """Epochs of one step each: what they measured, (n, R)."""
        assert self.noted is not None
        meter = self.steps.meter
        limit = int(CHUNK_SECONDS / self.per_epoch) if self.per_epoch else 1
        n = min(max(limit, 1), self.plan.epochs - self.epoch, self.noted.most)
        if self.folder is not None and self.folder.every:
            n = min(n, self.folder.every - self.nets.step % self.folder.every)
        parts = []
        for number in range(self.stack.groups):
            found = self.noted.run(self.turns[0][1], number, n)
            parts.append([a.copy() for a in found] if self.stack.groups > 1 else found)
        names = {id(t): k for k, t in meter.tensors().items()}
        seeds = self.stack.seeds
        numbers = {
            k: np.repeat(t._read()[None], n * seeds, axis=0) for k, t in meter.tensors().items()
        }
        for i, tensor in enumerate(self.noted.tensors):
            rows = np.concatenate([part[i] for part in parts], axis=1)[:, :seeds]
            numbers[names[id(tensor)]] = rows.reshape(n * seeds, *rows.shape[2:])
        meter.rows = float(self.data.rows)
        return {k: v.reshape(n, seeds) for k, v in meter.columns(numbers).items()}

    def _note(self, logs: dict[str, Array]) -> None:
        """Write epochs into the history, and see who fails, improves or stops."""
        nets = self.nets
        bad = ~np.isfinite(logs["loss"]) & self.alive
        failed = bad.any(axis=0)
        n = len(bad)
        shown = {k: np.where(self.alive, v, math.nan) for k, v in logs.items()}
        nets.history.extend(shown)
        for i in np.flatnonzero(failed).tolist():
            first = int(bad[:, i].argmax())
            epoch = nets.epochs[i] - n + first + 1
            nets.history.stopped[i] = f"the loss became {logs['loss'][first, i]} in epoch {epoch}"
        nets.failed |= failed
        self.alive &= ~failed
        for stop in self.stops:
            values = logs[stop.monitor][-1]
            improved, ends = stop.look(values, self.alive, nets.epochs, self.epoch - 1)
            if stop.rule.restore_best and improved.any():
                nets.remember_best(improved)
                nets.best_row[improved] = len(nets.history) - 1
            if ends.any():
                self._freeze(ends)
                for i in np.flatnonzero(ends).tolist():
                    nets.history.stopped[i] = stop.reason(i)
                self.alive &= ~ends

    def _freeze(self, ends: Array) -> None:
        """Keep what the seeds that end now have; the program goes on with all of a group."""
        for name, tensor in self.nets.tensors().items():
            if tensor in self.stack:
                rows = self.stack.rows(tensor)
                kept = self.frozen.setdefault(name, rows.copy())
                kept[ends] = rows[ends]
