"""Steps: what a training or evaluation step computes, as compiled functions.

A step draws its minibatch itself (`cursor`). Everything it changes is a tensor, so a step is a
function of that state, and can be run again from a copy of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Array
from ...errors import GradientError, OptionError
from ...nn.utils import clip_grad_norm_, clip_grad_value_
from ...optim.optimizer import zeros
from ...tensor.capture import Capture, active, capturing
from ...tensor.compiling.compiled import Compiled
from ...tensor.compiling.follow import Part, follow
from ...tensor.compiling.rounds import Turn
from ...tensor.compiling.trace import Trace
from ...tensor.compiling.watch import Watch
from ...tensor.grad_mode import no_grad
from ...tensor.ops import elementwise as e
from ...tensor.ops.create import zeros_like
from ...tensor.pytree import flatten
from ...tensor.ranges import GivenCheck
from ...tensor.tensor import Tensor
from ...tensor.value import Value, make, register_leaf, stored, use
from ..measure.batch import Batch, BatchLoss
from ..measure.meter import Measured, Meter
from ..rows.arrays import Arrays
from ..rows.dataset import Dataset, Kind
from ..rows.sequences import first_steps, steps_there
from ..task import Task
from .cursor import Cursor
from .schedules import Schedules


class Steps:
    """The compiled functions of one `Task`, and what they measure."""

    def __init__(self, task: Task, metrics: Sequence[Measured] = (), key: Any = None) -> None:
        """``metrics``: as `named_metrics` gives them; ``key``: see `metric_key`."""
        self.key = key
        self.task, self.objective = task, task.objective
        self.meter, self.eval_meter = (Meter(task.objective, metrics) for _ in range(2))
        self.cursor, self.eval_cursor = Cursor(), Cursor()
        train = self._traced(self._train_step)
        evaluate = self._traced(self._evaluation_step)
        predict = self._traced(self._prediction_step)
        self.train = Compiled(train, "training step", self._read_in_training)
        self.evaluate = Compiled(evaluate, "evaluation step", self._read_in_evaluation)
        self.predict = Compiled(predict, "prediction", self._read_in_prediction)
        self.sums: dict[int, Tensor] = {}  # gradients summed over batches, by parameter
        self.sum_count = stored(np.zeros((), np.float64))
        self.per_step: dict[int, float] = {}  # seconds, by the rows of a batch
        self.schedules = Schedules(task)
        self.memory: dict[int, Array] = {}  # of the sentinel's copies, by tensor
        self.epochs: Any = None  # `Epochs` of the last fit
        self._probes: dict[Any, Probe] = {}

    # -- what the steps read -----------------------------------------------------------------------
    def _read_in_training(self) -> list[Any]:
        task = self.task
        options = ("clip_norm", "clip_value", "accumulate", "scheduler_interval")
        schedulers = ("schedulers",) if task.scheduler_interval == "step" else ()
        own = Part(task, "model", "objective", "optimizer", *options, *schedulers)
        return [own, Part(self.meter, "metrics")]

    def _read_in_evaluation(self) -> list[Any]:
        return [Part(self.task, "model", "objective"), Part(self.eval_meter, "metrics")]

    def _read_in_prediction(self) -> list[Any]:
        return [Part(self.task, "model")]

    def _traced(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            with self.task.while_traced():
                return step(*arguments)

        return run

    # -- what is traced ----------------------------------------------------------------------------
    def _batch(self, cursor: Cursor, parts: Any, order: bool | Tensor, how: Static) -> Batch:
        """The next batch that the cursor draws."""
        _given(*parts[:2])
        total, rows, length = parts[0][0].shape[0], how.kind.rows, how.kind.length
        index = g.iota((rows,), 0, dt.uint32)
        if rows < total:
            index = cursor.rows(rows, total, order)
            parts = [tuple(make(g.gather(use(t), index)) for t in group) for group in parts]
        x, y, w = parts
        if how.augment is not None:
            x, y = (tuple(part) for part in how.augment(cursor.order.node, index, x, y))
        if length is not None:
            x = first_steps(x, length)
            y = first_steps(y, length) if how.y.padded else y
        return self._as_given((how.x, how.y), x, y, w, rows, how.to_float)

    def _as_given(self, build: Any, x: Any, y: Any, w: Any, rows: int, to_float: Any) -> Batch:
        """A batch in the structures that the user gave."""
        inputs, targets = build[0].build(self._floats(x, to_float)), build[1].build(y)
        there = steps_there(targets, inputs["lengths"]) if build[1].padded else None
        return Batch(inputs, targets, rows, w[0] if w else None, there)

    def given(self, data: Dataset, rows: Array | slice = slice(None), weigh: bool = False) -> Batch:
        """Some rows of the data as a batch, outside of compiled steps; ``weigh``: with weights."""
        assert data.y is not None
        arrays = (data.x.arrays, data.y.arrays)
        x, y = (tuple(stored(np.ascontiguousarray(a[rows])) for a in part) for part in arrays)
        if data.augment is not None:
            taken = g.constant(np.arange(data.rows, dtype=np.uint32)[rows])
            x, y = (tuple(part) for part in data.augment(self.cursor.order.node, taken, x, y))
        weights = data.weights if weigh else None
        w = () if weights is None else (stored(np.ascontiguousarray(weights[rows])),)
        return self._as_given((data.x, data.y), x, y, w, len(x[0]), data.to_float)

    @staticmethod
    def _floats(x: Any, to_float: tuple[bool, ...]) -> tuple[Tensor, ...]:
        return tuple(t.float() if wanted else t for t, wanted in zip(x, to_float, strict=True))

    def _train_step(self, x: Any, y: Any, w: Any, order: bool | Tensor, how: Static) -> None:
        task = self.task
        batch = self._batch(self.cursor, [x, y, w], order, how)
        loss, prediction = self._loss_of(batch)
        if not loss.total.requires_grad:
            raise GradientError(
                "the loss does not depend on any parameter that requires a gradient; was the "
                "prediction detached,"
                " computed under no_grad, or are all parameters frozen?"
            )
        params = task.trained
        loss.total.backward()
        self._check_reached(params)
        if how.kind.noted:
            self.meter.note(loss)
        else:
            self.meter.add(loss, prediction, batch.y)
        if task.accumulate > 1:
            self._accumulate(params, loss.count, how.kind.update)
        if how.kind.update:
            if task.clip_value is not None:
                clip_grad_value_(params, task.clip_value)
            if task.clip_norm is not None:
                clip_grad_norm_(params, task.clip_norm)
            task.optimizer.step()
            if task.scheduler_interval == "step":
                for scheduler in task.schedulers:
                    scheduler.step()
            task.after_update()
        for p in task.model.parameters():
            if p.requires_grad:
                p.grad = None

    def _check_reached(self, params: list[Any]) -> None:
        missing = [self.task.name_of(p) for p in params if p.grad is None]
        if missing:
            one = len(missing) == 1
            raise GradientError(
                f"the loss does not depend on {'parameter' if one else 'parameters'} "
                f"{', '.join(missing)}: "
                f"{'it' if one else 'they'} would never change. Use {'it' if one else 'them'} in "
                "forward, or leave"
                f" {'it' if one else 'them'} out of the optimizer (p.requires_grad_(False))"
            )

    def _accumulate(self, params: list[Any], count: Any, update: bool) -> None:
        """Sum gradients times what their batch counts; with ``update``, to a mean in ``.grad``."""
        sums = self.task.objective.sums
        factor: Any = 1.0 if sums else count
        with no_grad():
            if not sums:
                total = self.sum_count + factor
                self.sum_count.assign(zeros_like(total) if update else total)
                divisor = e.where(total == 0, 1.0, total)  # of batches that count nothing
            for p in params:
                held = self.sums[id(p)]
                by = factor.to(p.dtype) if isinstance(factor, Tensor) else factor
                new = held + p.grad * by
                held.assign(zeros_like(new) if update else new)
                p.grad = (new if sums else new / divisor.to(p.dtype)) if update else None

    def _evaluation_step(self, x: Any, y: Any, w: Any, order: bool | Tensor, how: Static) -> None:
        batch = self._batch(self.eval_cursor, [x, y, w], order, how)
        loss, prediction = self._loss_of(batch)
        self.eval_meter.add(loss, prediction, batch.y)

    def _loss_of(self, batch: Batch) -> tuple[BatchLoss, Any]:
        loss, prediction = self.task.loss_of(batch)
        if prediction is None and self.meter.metrics:
            raise OptionError(
                "metrics need the prediction: let training_step return (loss, prediction)"
            )
        return loss, prediction

    def _prediction_step(self, x: Any, how: Static) -> Any:
        _given(x)
        return self.task.forward(how.x.build(self._floats(x, how.to_float)))

    # -- running -----------------------------------------------------------------------------------
    def prepare(self, data: Dataset) -> None:
        """Tensors for accumulated gradients, and the order of the rows."""
        self.cursor.by_length = data.by_length
        if self.task.accumulate > 1:
            for p in self.task.trained:
                if id(p) not in self.sums:
                    self.sums[id(p)] = zeros(p)

    def prepare_meters(self, data: Dataset, training: bool = True) -> None:
        """Tensors for the metrics of a batch, in evaluation and in ``training``."""
        if self.meter.metrics:
            if data.probed is None:
                with self.task._mode(False):
                    self.probe(data)
            prediction, target = data.probed
            for meter in (self.meter, self.eval_meter) if training else (self.eval_meter,):
                meter.prepare(prediction, target)

    @staticmethod
    def arguments(data: Dataset, kind: Kind) -> tuple[Any, ...]:
        """Arguments of `train` and `evaluate` for a kind of batch."""
        return (*data.tensors, data.order, Static(data, kind))

    def train_trace(self, data: Dataset, kind: Kind) -> Trace:
        """The compiled training step for a kind of batch."""
        return self.train.program(*self.arguments(data, kind))

    def is_compiled(self, data: Dataset, kind: Kind) -> bool:
        """Whether the training step for a kind of batch is there."""
        return self.train.known(*self.arguments(data, kind)) is not None

    def training_traces(self) -> list[Trace]:
        """The compiled training steps of the model, the optimizer and the loss there are now."""
        listed = [t for traces in self.train.traces.values() for t in traces]
        return [t for t in listed if not t.watch.outdated()]

    @staticmethod
    def _turn(compiled: Compiled, data: Dataset, n: int, arguments: tuple[Any, ...]) -> Turn:
        """``n`` steps, after a look at the indices that are among the data."""
        trace, leaves = compiled._find(arguments, {})
        _look(data, trace.extremes.given)
        return Turn(trace, leaves, n)

    def training_turn(self, data: Dataset, kind: Kind, n: int) -> Turn:
        """``n`` training steps, compiled."""
        return self._turn(self.train, data, n, self.arguments(data, kind))

    def evaluation_turn(self, data: Dataset, kind: Kind, n: int) -> Turn:
        """``n`` evaluation steps, compiled."""
        with no_grad():
            return self._turn(self.evaluate, data, n, self.arguments(data, kind))

    def prediction_turn(self, data: Dataset, tensors: tuple[Tensor, ...]) -> Turn:
        """The prediction for one batch, compiled."""
        with no_grad():
            arguments = (tensors, Static(data, Kind(len(tensors[0]))))
            return self._turn(self.predict, data, 1, arguments)

    def run_training(self, data: Dataset, kind: Kind, n: int) -> float:
        """``n`` training steps in one native run; returns the seconds they took.

        Of a kind that is noted the meter has noted each loss (n ≤ `RECORD`).
        """
        start = time.perf_counter()
        if kind.noted:
            self.meter.start_record()
        self.training_turn(data, kind, n).run()
        if kind.noted:
            self.meter.say_noted(n, kind.rows)
        else:
            self.meter.rows += n * kind.rows
        return time.perf_counter() - start

    def run_evaluation(self, data: Dataset, kind: Kind, n: int) -> None:
        """``n`` evaluation steps in one native run."""
        turn = self.evaluation_turn(data, kind, n)
        with no_grad():
            turn.run()
        self.eval_meter.rows += n * kind.rows

    def measure(self, data: Dataset, prefix: str = "") -> dict[str, float]:
        """Loss and metrics over a data set, in evaluation mode."""
        self.eval_meter.reset()
        self.eval_cursor.start()
        with self.task._mode(False):
            for turn in data.turns():
                self.run_evaluation(data, *turn)
        return self.eval_meter.logs(prefix)

    def run_prediction(self, data: Dataset, tensors: tuple[Tensor, ...]) -> Any:
        """The outputs for one batch."""
        turn = self.prediction_turn(data, tensors)
        with no_grad():
            return turn.run()

    def probe(self, data: Dataset, more: int = 0) -> Any:
        """The prediction for a batch (of ``more`` rows more), without numbers.

        For shapes, and to find mistakes in the model.

        Where the model does not take integers, ``data.to_float`` is set.
        """
        count = min(data.batch, data.rows) + more
        keys = data.x.keys or ("",) * len(data.x.arrays)
        whole = tuple(
            a.dtype.kind in "biu" and key != "lengths"
            for a, key in zip(data.x.arrays, keys, strict=True)
        )
        data.to_float = tuple(False for _ in whole)
        try:
            found = self._probe(data, count)
        except (TypeError, GradientError):  # DTypeError is a TypeError
            if not any(whole):
                raise
            data.to_float = whole
            found = self._probe(data, count)
        data.probed = data.probed if more else found
        return found

    def _probe(self, data: Dataset, count: int) -> tuple[Any, Any]:
        arrays = (*data.x.arrays, *(data.y.arrays if data.y is not None else ()))
        shapes = tuple((a.shape[1:], a.dtype) for a in arrays)
        key = (shapes, Static(data, Kind(count)))
        known = self._probes.get(key)
        if known is None or not known.watch.unchanged():
            known = self._new_probe(data, count)
            self._probes[key] = known
        _look(data, known.checks)
        return known.prediction, known.target

    def _new_probe(self, data: Dataset, count: int) -> Probe:
        watch = follow(self._read_in_prediction)
        capture = Capture("Trainer", make, register_leaf)
        with capturing(capture), no_grad():
            x = [make(_placeholder(a, count)) for a in data.x.arrays]
            y = [make(_placeholder(a, count)) for a in data.y.arrays] if data.y is not None else []
            _given(x, y)
            seen = x
            if data.augment is not None:
                order, rows = g.input((2,), dt.uint32), g.iota((count,), 0, dt.uint32)
                seen = list(data.augment(order, rows, x, y)[0])
            with self.task.while_traced():
                prediction = self.task.forward(data.x.build(self._floats(seen, data.to_float)))
            found = (GivenCheck.of(c, capture.given) for c in capture.checks)
            checks = [c for c in found if c is not None]
            target = data.y.build(y) if data.y is not None else None
        return Probe(prediction, target, checks, watch.also(capture.guards))


@dataclass
class Probe:
    """A prediction without numbers, its target, the data to look at, and what the model was."""

    prediction: Any
    target: Any
    checks: list[GivenCheck]
    watch: Watch


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors that a model returned, alone or in tuples and dicts."""
    return [t for t in flatten(output)[0] if isinstance(t, Tensor)]


def _look(data: Dataset, checks: Sequence[GivenCheck]) -> None:
    """Raise OutOfRangeError for an index among the data that is outside; each is looked at once."""
    for check in checks:
        if check.what not in data.checked:
            part, i = check.key
            arrays = data.x if part == 0 else data.y
            assert arrays is not None
            check.look(f"{data.where}: {arrays.names[i]}", arrays.arrays[i])
            data.checked.add(check.what)


def _given(*parts: Sequence[Tensor]) -> None:
    """Inputs and targets whose values are looked at before a run and not in it."""
    capture = active.capture
    assert capture is not None
    for number, part in enumerate(parts):
        capture.given |= {t.node: (number, i) for i, t in enumerate(part)}


def _placeholder(array: Array, rows: int) -> Any:
    return g.input((rows, *array.shape[1:]), dt.dtype_of(array.dtype))


class Static:
    """All that is plain about a batch, as one argument of a compiled function.

    Its kind, and the structures of inputs and targets. What is equal is the same trace.
    """

    def __init__(self, data: Dataset, kind: Kind) -> None:
        x, y = data.x, data.y
        structure = (x.keys, x.single, None if y is None else (y.keys, y.single, y.padded))
        self.kind, self.to_float = kind, data.to_float
        self.x = _empty(x)
        self.y = self.x if y is None else _empty(y)
        self.augment = data.augment
        self.key = (kind, data.to_float, structure, data.augment)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.key == other.key


def _empty(arrays: Arrays) -> Arrays:
    """The structure alone: a trace must not keep the user's data alive."""
    lengths = np.empty(0) if arrays.padded else None
    return Arrays(arrays.names, (), arrays.keys, arrays.single, lengths)


def updated_tensors(traces: list[Trace]) -> list[Value]:
    """Every tensor that one of the steps changes, in a fixed order."""
    found: dict[int, Value] = {}
    for trace in traces:
        for tensor, updated in zip(trace.state, trace.updated, strict=True):
            if updated:
                found.setdefault(id(tensor), tensor)
    return list(found.values())
