"""SeedFit: one run of `SeedTrainer.fit`: epochs of all groups, with Python in between."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.counter_random import philox
from ...core.node import Array
from ...errors import OptionError
from ...habits import user_level
from ...tensor.compiling.trace import Trace
from ...tensor.pytree import unflatten
from ...tensor.value import Value, no_grad, stored
from ..callbacks import Callback, EarlyStopping
from ..dataset import Dataset
from ..fitting import CHUNK_SECONDS
from ..interrupt import INTERRUPTED, Interrupts, interrupts
from ..meter import Meter
from ..plan import Plan
from ..progress import Progress, progress_display
from ..sentinel import NonFiniteLossError
from ..steps import Static, _look
from ..watch import TrainingWarning
from .history import SeedHistory
from .mapped import Mapped, Noted, group_of
from .rates import Rates
from .stopping import Stopping
from .writing import Writing

if TYPE_CHECKING:
    from .trainer import SeedTrainer

Turn = tuple[Mapped, Sequence[Any], int]  # a step, the data, how often


class Passes:
    """Passes of all nets over data sets."""

    def __init__(self, over: SeedTrainer) -> None:
        self.over, self.one, self.stack = over, over.one, over.stack
        self._programs: dict[Trace, Mapped] = {}
        self._noted: Noted | None = None

    def shared(self) -> list[Value]:
        """What has one value for all nets, though the steps change it: the next row."""
        steps = self.one._steps
        return [steps.cursor.position, steps.eval_cursor.position]

    def mapped(self, trace: Trace) -> Mapped:
        """A step for the groups there are."""
        found = self._programs.get(trace)
        if found is None or found.group != self.stack.group:
            found = self._programs[trace] = Mapped(trace, self.stack, self.shared())
        return found

    def noted(self, mapped: Mapped, meter: Meter) -> Noted:
        """Epochs of one step."""
        if self._noted is None or self._noted.mapped is not mapped:
            self._noted = Noted(mapped, meter.beginning())
        return self._noted

    def begin(self, meter: Meter) -> None:
        """Start the sums of all seeds from nothing."""
        for tensor, value in meter.beginning():
            self.stack.fill(tensor, value)

    def logs(self, meter: Meter, rows: int, prefix: str = "") -> dict[str, Array]:
        """What a pass over so many rows measured, (R,) by name."""
        meter.rows = float(rows)
        numbers = {k: self.stack.rows(t) for k, t in meter.tensors().items()}
        return meter.columns(numbers, prefix)

    def training(self, data: Dataset) -> list[Turn]:
        """The training steps of an epoch. The first call for a kind of data says how large the
        groups are."""
        steps, k = self.one._steps, self.one.accumulate
        steps.prepare(data)
        self.stack.add(steps.cursor.order)
        found = []
        for rows, update, n, _ in data.turns(k):
            trace, leaves = steps.train._find(steps.train_arguments(data, rows, update), {})
            _look(data, trace.extremes.given)
            found.append((trace, leaves, n))
        most = group_of(found[0][0].signature)
        if self.stack.group != min(most, self.stack.seeds):
            self.stack.regroup(most)
        return [(self.mapped(trace), leaves, n) for trace, leaves, n in found]

    def evaluation(self, data: Dataset) -> list[Turn]:
        """The steps of a pass that measures."""
        steps, found = self.one._steps, []
        for rows, _, n, length in data.turns(1):
            turn = steps.evaluation_turn(data, rows, n, length)
            found.append((self.mapped(turn.trace), turn.leaves, n))
        return found

    def run(self, turns: Sequence[Turn], position: Value, number: int) -> None:
        """One pass of a group, from the first row on."""
        np.copyto(position._storage_for_update(), 0)
        for mapped, leaves, n in turns:
            mapped.run(leaves, number, n)

    def evaluate(self, data: Dataset, prefix: str = "") -> dict[str, Array]:
        """Loss and metrics of all seeds, (R,) by name."""
        steps = self.one._steps
        with self.one._mode(False):
            turns = self.evaluation(data)
            self.begin(steps.eval_meter)
            for number in range(self.stack.groups):
                self.run(turns, steps.eval_cursor.position, number)
        return self.logs(steps.eval_meter, data.rows, prefix)

    def predict(self, data: Dataset, tensors: Sequence[Value]) -> Any:
        """What the nets of all seeds return for a batch, each array with the seeds as its second
        axis, (N, R, …)."""
        steps = self.one._steps
        with no_grad():
            arguments = (tuple(tensors), data.to_float, Static.of(data))
            trace, leaves = steps.predict._find(arguments, {})
        _look(data, trace.extremes.given)
        mapped = self.mapped(trace)
        parts = [mapped.run(leaves, i, 1) for i in range(self.stack.groups)]
        join = np.stack if self.stack.group == 1 else np.concatenate
        joined = [join(part)[: self.stack.seeds] for part in zip(*parts, strict=True)]
        found = [
            r.value if r.output is None else stored(np.moveaxis(joined[r.output], 0, 1))
            for r in trace.results
        ]
        return unflatten(trace.structure, found)


class SeedFit:
    """Runs a plan for all seeds."""

    def __init__(self, over: SeedTrainer, plan: Plan) -> None:
        self.over, self.one, self.stack, self.plan = over, over.one, over.stack, plan
        self.data, self.steps, self.passes = plan.data, over.one._steps, over.passes
        self.epoch = 0  # of this fit
        self.started = time.perf_counter()
        self.per_epoch = 0.0
        self.interrupts = Interrupts()
        self.stops: list[Stopping] = []
        self.listeners: list[Callback] = []
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
                self.listeners.append(callback)
        self.alive = ~over.failed
        self.writing = Writing(self, plan.checkpoint)
        self.frozen: dict[str, Array] = {}
        self.rates: Rates | None = None

    # -- the run -----------------------------------------------------------------------------------
    def run(self) -> SeedHistory:
        """Train; returns the history."""
        over, plan = self.over, self.plan
        if not self.alive.any():
            raise NonFiniteLossError("fit: the loss of every seed became NaN or infinite before")
        with self.writing.held():
            self._prepare()
            with progress_display(plan.progress, plan.epochs) as display, interrupts() as pressed:
                self.interrupts = pressed
                pressed.deferred = True
                for callback in self.listeners:
                    callback.on_fit_begin(over)  # type: ignore[arg-type]
                try:
                    while self.epoch < plan.epochs and self.alive.any() and not over._stop:
                        self._run_epochs(display)
                        self.writing.write()
                        pressed.answer()
                except KeyboardInterrupt:
                    if pressed.at_once:
                        raise
                    self.writing.write(force=True)
                    self._end(INTERRUPTED)
                    raise
                self.writing.write(force=True)
                self._end(over._stop)
        return over.history

    def _prepare(self) -> None:
        one, over, stack = self.one, self.over, self.stack
        over._stop = ""
        for p in one.model.parameters():
            p.grad = None
        self.turns = self.passes.training(self.data)
        self.noted: Noted | None = None
        quick = not (self.stops or self.listeners or self.plan.validation)
        epochly = one.schedulers and one.schedule == "epoch"
        if quick and len(self.turns) == 1 and self.data.steps == 1 and not epochly:
            self.noted = self.passes.noted(self.turns[0][0], self.steps.meter)
        if one.schedulers:
            over.rates = self.rates = over.rates or Rates(one, stack, over.vary)
        before, over.history = over.history, over.history.copy()
        for i in np.flatnonzero(over.failed):
            over.history.stopped[i] = before.stopped[i]
        over.best_row[...] = -1
        self.writing.resume()

    def _end(self, stopped: str) -> None:
        """Give the seeds that stopped what they had then, or their best weights."""
        over, history = self.over, self.over.history
        for name, tensor in over.tensors().items():
            if name in self.frozen and tensor in self.stack:
                done = ~self.alive & ~over.failed
                self.stack.rows(tensor)[done] = self.frozen[name][done]
        for name, tensor in over.one.model_tensors().items():
            if name in over.best_weights:
                kept = over.has_best & ~over.failed
                self.stack.rows(tensor)[kept] = over.best_weights[name][kept]
        over.forget_best()
        if stopped:
            history.stopped = [text or stopped for text in history.stopped]
        for callback in self.listeners:
            callback.on_fit_end(over)  # type: ignore[arg-type]
        if over.failed.any():
            which = [s for s, bad in zip(over.seeds, over.failed, strict=True) if bad]
            shown = ", ".join(map(str, which[:8])) + (", ..." if len(which) > 8 else "")
            text = f"{len(which)} of {len(over.seeds)} seeds ({shown})"
            if over.failed.all():
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
    def _run_epochs(self, display: Progress) -> None:
        """One epoch of all groups, or many of one step each."""
        start = time.perf_counter()
        for callback in self.listeners:
            callback.on_epoch_begin(self.over, self.epoch)  # type: ignore[arg-type]
        logs = self._many() if self.noted is not None else self._one()
        n = len(next(iter(logs.values())))
        if self.rates is not None:
            logs["lr"] = np.repeat(self.rates.now()[None], n, axis=0)
            if self.one.schedule == "epoch":
                self.rates.step(logs.get("val_loss", logs["loss"])[-1])
        self.over.epochs[self.alive] += n
        self.epoch += n
        self.over.step += n * self.data.steps
        self._note(logs)
        self.per_epoch = (time.perf_counter() - start) / n
        last = {k: v[-1] for k, v in logs.items()}
        for callback in self.listeners:
            callback.on_epoch_end(self.over, self.epoch - 1, last)  # type: ignore[arg-type]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of nothing but NaN
            medians = {k: float(np.nanmedian(v)) for k, v in last.items()}
        if display.shown:
            each = self.per_epoch / self.data.steps
            display.update(self.epoch - 1, self.epoch / self.plan.epochs, medians, each)
        display.end_epoch(self.epoch - 1, medians)
        limit = self.plan.max_seconds
        if limit is not None and time.perf_counter() - self.started > limit:
            self.over.stop(f"{limit:g} seconds are over")

    def _one(self) -> dict[str, Array]:
        """One epoch of all groups: what it measured, (1, R)."""
        steps, data, validation = self.steps, self.data, self.plan.validation
        self.passes.begin(steps.meter)
        if data.steps > 1:
            self.stack.put(steps.cursor.order, orders(self.over.seeds, self.over.epochs))
        for number in range(self.stack.groups):
            self.passes.run(self.turns, steps.cursor.position, number)
        logs = self.passes.logs(steps.meter, data.rows)
        if validation is not None:
            logs |= self.passes.evaluate(validation, "val_")
        return {k: v[None] for k, v in logs.items()}

    def _many(self) -> dict[str, Array]:
        """Epochs of one step each: what they measured, (n, R)."""
        assert self.noted is not None
        meter = self.steps.meter
        limit = int(CHUNK_SECONDS / self.per_epoch) if self.per_epoch else 1
        n = min(max(limit, 1), self.plan.epochs - self.epoch, self.noted.most)
        n = self.writing.until_due(n)
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
        over = self.over
        bad = ~np.isfinite(logs["loss"]) & self.alive
        failed = bad.any(axis=0)
        n = len(bad)
        shown = {k: np.where(self.alive, v, math.nan) for k, v in logs.items()}
        over.history.extend(shown)
        for i in np.flatnonzero(failed).tolist():
            first = int(bad[:, i].argmax())
            epoch = over.epochs[i] - n + first + 1
            over.history.stopped[i] = f"the loss became {logs['loss'][first, i]} in epoch {epoch}"
        over.failed |= failed
        self.alive &= ~failed
        for stop in self.stops:
            values = logs[stop.monitor][-1]
            improved, ends = stop.look(values, self.alive, over.epochs, self.epoch - 1)
            if stop.rule.restore_best and improved.any():
                over.remember_best(improved)
                over.best_row[improved] = len(over.history) - 1
            if ends.any():
                self._freeze(ends)
                for i in np.flatnonzero(ends).tolist():
                    over.history.stopped[i] = stop.reason(i)
                self.alive &= ~ends

    def _freeze(self, ends: Array) -> None:
        """Keep what the seeds that end now have; the program goes on with all of a group."""
        for name, tensor in self.over.tensors().items():
            if tensor in self.stack:
                rows = self.stack.rows(tensor)
                kept = self.frozen.setdefault(name, rows.copy())
                kept[ends] = rows[ends]


def orders(seeds: Sequence[int], epochs: Array) -> Array:
    """The key of the order of the rows in the next epoch of each seed, (R, 2)."""
    low = np.array([s & 0xFFFFFFFF for s in seeds], np.uint32)
    high = np.array([s >> 32 & 0xFFFFFFFF for s in seeds], np.uint32)
    return np.stack(philox(epochs.astype(np.uint32), low, high), axis=-1)
