"""Steps: what one training or evaluation step computes, as compiled functions, and the tensors they
share.

A step draws its minibatch itself: row i of batch b is shuffle(b·B + i), a permutation of range(N)
that is a function of (seed, epoch) and needs no table. Everything a step changes is a tensor, so a
step is a function of that state, and can be run again from a copy of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.counter_random import philox
from ..core.node import Array
from ..errors import GradientError
from ..nn.utils import clip_grad_norm_, clip_grad_value_
from ..optim.optimizer import zeros
from ..tensor.capture import Capture, active, capturing
from ..tensor.compiling.compiled import Compiled
from ..tensor.compiling.follow import Part, follow
from ..tensor.compiling.rounds import Turn
from ..tensor.compiling.trace import Trace
from ..tensor.compiling.watch import Watch
from ..tensor.ops import elementwise as e
from ..tensor.ops.create import zeros_like
from ..tensor.pytree import flatten
from ..tensor.ranges import GivenCheck
from ..tensor.tensor import Tensor
from ..tensor.value import Value, make, no_grad, register_leaf, stored, use
from .arrays import Arrays
from .by_length import ByLength
from .dataset import Dataset
from .meter import Meter, _write
from .schedules import Schedules
from .sequences import first_steps

if TYPE_CHECKING:
    from .trainer import Trainer


ORDERS = 128
"""Epochs whose orders are computed at once, at least."""


class Cursor:
    """Where a pass over a data set is: the next row, and the key of the order."""

    def __init__(self) -> None:
        self.position = stored(np.zeros((), np.uint32))
        self.order = stored(np.zeros(2, np.uint32))
        self.by_length: ByLength | None = None
        self._known: tuple[int, int, Array] = 0, 0, np.zeros((0, 2), np.uint32)

    def start(self, seed: int = 0, epoch: int = 0) -> None:
        """Go to the first row, in the order of (seed, epoch)."""
        _write(self.position, np.zeros((), np.uint32))
        self.arrange(seed, epoch)

    def arrange(self, seed: int, epoch: int) -> None:
        """Take the order of (seed, epoch), at the row where it is."""
        _write(self.order, self.orders(seed, epoch, 1)[0])
        if self.by_length is not None:
            self.by_length.arrange(seed, epoch)

    def orders(self, seed: int, first: int, count: int) -> Array:
        """The keys of the orders of so many epochs, (count, 2). Many are computed at once."""
        of, begin, table = self._known
        if of != seed or not begin <= first <= first + count <= begin + len(table):
            epochs = np.arange(first, first + max(count, ORDERS)).astype(np.uint32)
            words = philox(epochs, np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32 & 0xFFFFFFFF))
            self._known = seed, first, np.stack(words, axis=-1)
            return self.orders(seed, first, count)
        return table[first - begin : first - begin + count]

    def rows(self, count: int, total: int, order: bool | Tensor) -> Any:
        """The row numbers of the next batch (a node), and the step to the batch after it.
        ``order``: see `Dataset.order`."""
        here = self.position.node
        index = g.add(g.expand(here, (count,)), g.iota((count,), 0, dt.uint32))
        self.position.assign(make(g.add(here, g.constant(count, dt.uint32))))
        if isinstance(order, Tensor):
            return g.gather(use(order), index)
        return g.shuffle(index, self.order.node, total) if order else index


class Steps:
    """The compiled functions of one `Trainer`."""

    def __init__(self, trainer: Trainer, meter: Meter, eval_meter: Meter) -> None:
        self.trainer, self.meter, self.eval_meter = trainer, meter, eval_meter
        self.cursor, self.eval_cursor = Cursor(), Cursor()
        self.train = Compiled(self._train_step, "training step", self._read_in_training)
        self.evaluate = Compiled(self._evaluation_step, "evaluation step", self._read_in_evaluation)
        self.predict = Compiled(self._prediction_step, "prediction", self._read_in_prediction)
        self.sums: dict[int, Tensor] = {}  # gradients summed over batches, by parameter
        self.sum_count = stored(np.zeros((), np.float64))
        self.per_step: dict[int, float] = {}  # seconds, by the rows of a batch
        self.memory: dict[int, Array] = {}  # of the sentinel, by tensor
        self.schedules = Schedules(trainer)
        self._probes: dict[Any, Probe] = {}

    # -- what the steps read -----------------------------------------------------------------------
    def _read_in_training(self) -> list[Any]:
        trainer = self.trainer
        options = ("clip_norm", "clip_value", "accumulate", "schedule")
        schedulers = ("schedulers",) if trainer.schedule == "step" else ()
        own = Part(trainer, "model", "objective", "optimizer", *options, *schedulers)
        return [own, Part(self.meter, "metrics")]

    def _read_in_evaluation(self) -> list[Any]:
        return [Part(self.trainer, "model", "objective"), Part(self.eval_meter, "metrics")]

    def _read_in_prediction(self) -> list[Any]:
        return [Part(self.trainer, "model")]

    # -- what is traced ----------------------------------------------------------------------------
    def _batch(
        self,
        cursor: Cursor,
        parts: Any,
        rows: int,
        order: bool | Tensor,
        to_float: tuple[bool, ...],
        length: int | None,
        padded: bool,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor | None]:
        _given(*parts[:2])
        total = parts[0][0].shape[0]
        if rows < total:
            index = cursor.rows(rows, total, order)
            parts = [tuple(make(g.gather(use(t), index)) for t in group) for group in parts]
        x, y, w = parts
        if length is not None:
            x, y = first_steps(x, length), first_steps(y, length) if padded else y
        return self._floats(x, to_float), y, w[0] if w else None

    @staticmethod
    def _floats(x: Any, to_float: tuple[bool, ...]) -> tuple[Tensor, ...]:
        return tuple(t.float() if wanted else t for t, wanted in zip(x, to_float, strict=True))

    def _train_step(
        self,
        x: Any,
        y: Any,
        w: Any,
        rows: int,
        order: bool | Tensor,
        to_float: Any,
        update: bool,
        record: bool,
        length: int | None,
        build: Any,
    ) -> None:
        trainer, padded = self.trainer, build.value[1].padded
        parts = [x, y, w]
        xs, ys, weight = self._batch(self.cursor, parts, rows, order, to_float, length, padded)
        inputs, targets = build.value[0].build(xs), build.value[1].build(ys)
        loss, prediction, batch = trainer._loss_of_step(inputs, targets, rows, weight, padded)
        if not loss.requires_grad:
            raise GradientError(
                "the loss does not depend on any parameter that requires a gradient; was the "
                "prediction detached,"
                " computed under no_grad, or are all parameters frozen?"
            )
        params = trainer.trained
        loss.backward()
        self._check_reached(params)
        if record:
            self.meter.note(batch)
        else:
            self.meter.add(batch, prediction, targets)
        if trainer.accumulate > 1:
            self._accumulate(params, batch.count, update)
        if update:
            if trainer.clip_value is not None:
                clip_grad_value_(params, trainer.clip_value)
            if trainer.clip_norm is not None:
                clip_grad_norm_(params, trainer.clip_norm)
            trainer.optimizer.step()
            if trainer.schedule == "step":
                for scheduler in trainer.schedulers:
                    scheduler.step()
            trainer.after_update()
        for p in trainer.model.parameters():
            if p.requires_grad:
                p.grad = None

    def _check_reached(self, params: list[Any]) -> None:
        missing = [self.trainer.name_of(p) for p in params if p.grad is None]
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
        """Sum gradients times what their batch counts; with ``update``, leave the weighted mean in
        ``.grad``."""
        sums = self.trainer.objective.sums
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

    def _evaluation_step(
        self,
        x: Any,
        y: Any,
        w: Any,
        rows: int,
        order: bool | Tensor,
        to_float: Any,
        length: int | None,
        build: Any,
    ) -> None:
        parts, padded = [x, y, w], build.value[1].padded
        xs, ys, weight = self._batch(self.eval_cursor, parts, rows, order, to_float, length, padded)
        inputs, targets = build.value[0].build(xs), build.value[1].build(ys)
        _, prediction, batch = self.trainer._loss_of_step(inputs, targets, rows, weight, padded)
        self.eval_meter.add(batch, prediction, targets)

    def _prediction_step(self, x: Any, to_float: Any, build: Any) -> Any:
        _given(x)
        return self.trainer.forward(build.value[0].build(self._floats(x, to_float)))

    # -- running -----------------------------------------------------------------------------------
    def prepare(self, data: Dataset) -> None:
        """Tensors for accumulated gradients, and the order of the rows."""
        self.cursor.by_length = data.by_length
        if self.trainer.accumulate > 1:
            for p in self.trainer.trained:
                if id(p) not in self.sums:
                    self.sums[id(p)] = zeros(p)

    def train_arguments(
        self,
        data: Dataset,
        rows: int,
        update: bool = True,
        record: bool = False,
        length: int | None = None,
    ) -> tuple[Any, ...]:
        """Arguments of `train` for a batch of ``rows`` rows; ``record``: the loss is noted, not
        added up; ``length``: see `Dataset.batch_length`."""
        how = (rows, data.order, data.to_float, update, record, length)
        return (*data.tensors, *how, Static.of(data))

    def train_trace(
        self,
        data: Dataset,
        rows: int,
        update: bool = True,
        record: bool = False,
        length: int | None = None,
    ) -> Trace:
        """The compiled training step for a batch of ``rows`` rows."""
        return self.train.program(*self.train_arguments(data, rows, update, record, length))

    def is_compiled(self, data: Dataset, rows: int) -> bool:
        """Whether the training step for a batch of ``rows`` rows is there."""
        return self.train.known(*self.train_arguments(data, rows)) is not None

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

    def training_turn(
        self, data: Dataset, rows: int, update: bool, n: int, length: int | None = None
    ) -> Turn:
        """``n`` training steps, compiled."""
        arguments = self.train_arguments(data, rows, update, length=length)
        return self._turn(self.train, data, n, arguments)

    def evaluation_turn(self, data: Dataset, rows: int, n: int, length: int | None = None) -> Turn:
        """``n`` evaluation steps, compiled."""
        with no_grad():
            how = (rows, data.order, data.to_float, length)
            return self._turn(self.evaluate, data, n, (*data.tensors, *how, Static.of(data)))

    def _run(self, compiled: Compiled, data: Dataset, n: int, arguments: tuple[Any, ...]) -> Any:
        """``n`` steps in one native run."""
        return self._turn(compiled, data, n, arguments).run()

    def run_training(
        self,
        data: Dataset,
        rows: int,
        update: bool,
        n: int,
        record: bool = False,
        length: int | None = None,
    ) -> float:
        """``n`` training steps in one native run; returns the seconds they took. With ``record``
        each is an epoch, and the meter has noted its loss (n ≤ `RECORD`)."""
        start = time.perf_counter()
        if record:
            self.meter.start_record()
        self._run(self.train, data, n, self.train_arguments(data, rows, update, record, length))
        if record:
            self.meter.say_noted(n, rows)
        else:
            self.meter.rows += n * rows
        return time.perf_counter() - start

    def run_evaluation(self, data: Dataset, rows: int, n: int, length: int | None = None) -> None:
        """``n`` evaluation steps in one native run."""
        turn = self.evaluation_turn(data, rows, n, length)
        with no_grad():
            turn.run()
        self.eval_meter.rows += n * rows

    def run_prediction(self, data: Dataset, tensors: tuple[Tensor, ...]) -> Any:
        """The outputs for one batch."""
        with no_grad():
            return self._run(self.predict, data, 1, (tensors, data.to_float, Static.of(data)))

    def probe(self, data: Dataset, more: int = 0) -> Any:
        """The prediction for a batch (of ``more`` rows more), without numbers: for shapes, and to
        find mistakes in the model.

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
            return self._probe(data, count)
        except (TypeError, GradientError):  # DTypeError is a TypeError
            if not any(whole):
                raise
        data.to_float = whole
        return self._probe(data, count)

    def _probe(self, data: Dataset, count: int) -> tuple[Any, Any]:
        arrays = (*data.x.arrays, *(data.y.arrays if data.y is not None else ()))
        shapes = tuple((a.shape[1:], a.dtype) for a in arrays)
        key = (count, data.to_float, shapes, Static.of(data))
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
            prediction = self.trainer.forward(data.x.build(self._floats(x, data.to_float)))
            found = (GivenCheck.of(c, capture.given) for c in capture.checks)
            checks = [c for c in found if c is not None]
            target = data.y.build(y) if data.y is not None else None
        return Probe(prediction, target, checks, watch.also(capture.guards))


@dataclass
class Probe:
    """A prediction without numbers and its target, what is to be looked at in the data, and what
    the model was."""

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
    """Plain values as one argument of a compiled function: equal structures are the same trace."""

    def __init__(self, value: Any, key: Any) -> None:
        self.value, self.key = value, key

    @staticmethod
    def of(data: Dataset) -> Static:
        """The structures in which the user gave inputs and targets."""
        x, y = data.x, data.y
        key = (x.keys, x.single, None if y is None else (y.keys, y.single, y.padded))
        return Static((_empty(x), None if y is None else _empty(y)), key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.key == other.key


def _empty(arrays: Arrays) -> Arrays:
    """The structure alone: a trace must not keep the user's data alive."""
    return replace(arrays, arrays=(), lengths=np.empty(0) if arrays.padded else None)


def updated_tensors(traces: list[Trace]) -> list[Value]:
    """Every tensor that one of the steps changes, in a fixed order."""
    found: dict[int, Value] = {}
    for trace in traces:
        for tensor, updated in zip(trace.state, trace.updated, strict=True):
            if updated:
                found.setdefault(id(tensor), tensor)
    return list(found.values())
