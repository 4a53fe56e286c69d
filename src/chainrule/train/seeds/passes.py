"""Passes: the compiled steps of one net, run for the nets of all seeds over a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...tensor.compiling.trace import Trace
from ...tensor.pytree import unflatten
from ...tensor.tensor import Tensor
from ...tensor.value import Value, stored
from ..kept import write_array
from ..measure.meter import Meter
from ..rows.dataset import Dataset
from ..trainer import Trainer
from .mapped import Mapped, Noted, group_of
from .stack import Stack

Turn = tuple[Mapped, Sequence[Any], int]  # a step, the data, how often


class Passes:
    """Passes of all nets over data sets."""

    def __init__(self, one: Trainer, stack: Stack) -> None:
        self.one, self.stack = one, stack
        self._programs: dict[Trace, Mapped] = {}
        self._noted: Noted | None = None
        self._most: dict[Trace, int] = {}
        self.seconds: dict[Any, float] = {}
        """How long an epoch takes that is made of these steps, measured."""

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

    def noted(self, mapped: Mapped, meter: Meter, most: int) -> Noted:
        """Epochs of one step, so many in one run."""
        if self._noted is None or (self._noted.mapped, self._noted.most) != (mapped, most):
            self._noted = Noted(mapped, meter.beginning(), most)
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
        """The training steps of an epoch; the first call for a kind of data sizes the groups."""
        steps, k = self.one._steps, self.one.accumulate
        steps.prepare(data)
        self.stack.add(steps.cursor.order)
        found = [steps.training_turn(data, *turn) for turn in data.turns(k)]
        first = found[0].trace
        if first not in self._most:
            self._most[first] = group_of(first.signature)
        most = self._most[first]
        if self.stack.group != min(most, self.stack.seeds):
            self.stack.regroup(most)
        return [(self.mapped(turn.trace), turn.leaves, turn.steps) for turn in found]

    def evaluation(self, data: Dataset) -> list[Turn]:
        """The steps of a pass that measures."""
        found = [self.one._steps.evaluation_turn(data, *turn) for turn in data.turns()]
        return [(self.mapped(turn.trace), turn.leaves, turn.steps) for turn in found]

    def run(self, turns: Sequence[Turn], position: Value, number: int) -> None:
        """One pass of a group, from the first row on."""
        write_array(position, np.zeros((), np.uint32))
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

    def predict(self, data: Dataset, tensors: tuple[Tensor, ...]) -> Any:
        """What the nets of all seeds return for a batch, each array (N, R, …)."""
        trace, leaves, _, _ = self.one._steps.prediction_turn(data, tensors)
        mapped = self.mapped(trace)
        parts = [mapped.run(leaves, i, 1) for i in range(self.stack.groups)]
        join = np.stack if self.stack.group == 1 else np.concatenate
        joined = [join(part)[: self.stack.seeds] for part in zip(*parts, strict=True)]
        found = [
            r.value if r.output is None else stored(np.moveaxis(joined[r.output], 0, 1))
            for r in trace.results
        ]
        return unflatten(trace.structure, found)
