"""Epochs: whole epochs of a fit in one native run, measured and recorded without Python.

An epoch is a list of parts: the meter begins anew, the cursor takes the order of the epoch, the
training steps run, the meter's numbers go into the record's row of the epoch; then the same for
validation. What Python has to do between epochs it does afterwards, from the records.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...tensor.compiling.rounds import Copy, Rounds, Turn
from ...tensor.value import Value
from ..kept import write_array
from ..measure.meter import Meter
from ..rows.dataset import Dataset
from .cursor import Cursor
from .steps import Steps

MOST = 1 << 10
"""Epochs in one native run, at most."""
RECORD_BYTES = 1 << 24
"""What the records of one run may take."""

Columns = dict[str, Array]
"""Measures by name, (epochs,) float64 each."""


class Epochs:
    """The epochs of a `fit`, and of later ones that are made of the same.

    ``weights``: keep the model as it is after each epoch.
    """

    @classmethod
    def of(cls, steps: Steps, data: Dataset, validation: Dataset | None, weights: bool) -> Epochs:
        """Those that an earlier fit has left, with other data, if they fit; otherwise new ones."""
        found: Epochs | None = steps.epochs
        steps.epochs = None
        turns = cls._turns(steps, data, validation)
        parts = cls._made_of(steps, data, [turn for part in turns for turn in part], weights)
        if found is None or not found._is_of(parts):
            return cls(steps, data, validation, weights, turns, parts)
        found.data, found.validation = data, validation
        found._rounds.give([turn for part in turns for turn in part])
        return found

    def __init__(
        self,
        steps: Steps,
        data: Dataset,
        validation: Dataset | None,
        weights: bool,
        turns: tuple[list[Turn], list[Turn]],
        made_of: list[Any],
    ) -> None:
        """See `of`."""
        task = steps.task
        self.steps, self.data, self.validation = steps, data, validation
        self._made = made_of
        model = task.model_tensors() if weights else {}
        kept = sum(t.numel() * t.dtype.itemsize for t in model.values())
        kept += data.rows * 4 if data.by_length is not None else 0
        self.most = int(max(1, min(MOST, RECORD_BYTES // max(kept, 1))))
        self._weights = {k: self._rows(t) for k, t in model.items()}
        self._orders = np.zeros((self.most, 2), np.uint32)
        groups, scheduled = task.optimizer.param_groups, task.schedulers
        self._stepped = steps.schedules.listed
        rates = [t for g in groups for t in g._tensors.values()] if self._stepped else []
        self._rates = [(t, self._rows(t)) for t in rates]
        self._first = 0
        self._before: list[Any] = []  # the schedules before the last run
        self._lr = {"lr": (groups[0]._tensors["lr"], np.empty(self.most))} if scheduled else {}
        self._trained = self._record(steps.meter)
        self._validated = {} if validation is None else self._record(steps.eval_meter)
        parts: list[Turn | Copy] = [Copy(rows, t) for t, rows in self._rates]
        parts += self._pass(steps.meter, steps.cursor, turns[0], self._trained)
        if data.keyed:
            parts.insert(0, Copy(self._orders, steps.cursor.order))
        if data.by_length is not None:
            self._row_orders = self._rows(data.by_length.rows)
            parts.insert(0, Copy(self._row_orders, data.by_length.rows))
        if validation is not None:
            parts += self._pass(steps.eval_meter, steps.eval_cursor, turns[1], self._validated)
        parts += [Copy(t, self._weights[k]) for k, t in model.items()]
        parts += [Copy(*pair) for pair in self._lr.values()]
        self._rounds = Rounds(parts)

    @staticmethod
    def _turns(
        steps: Steps, data: Dataset, validation: Dataset | None
    ) -> tuple[list[Turn], list[Turn]]:
        """The steps of an epoch, and those of its validation."""
        train = [steps.training_turn(data, *turn) for turn in data.turns(steps.task.accumulate)]
        if validation is None:
            return train, []
        with steps.task._mode(False):
            return train, [steps.evaluation_turn(validation, *t) for t in validation.turns()]

    @staticmethod
    def _made_of(steps: Steps, data: Dataset, turns: list[Turn], weights: bool) -> list[Any]:
        """All that an epoch is made of, besides arguments of its steps."""
        task = steps.task
        tensors = [t for group in task.optimizer.param_groups for t in group._tensors.values()]
        scheduled = [*task.schedulers, *tensors] if task.schedulers else []
        model = task.model_tensors() if weights else {}
        meters = [steps.meter.states, steps.eval_meter.states]
        counts = tuple(turn.steps for turn in turns), len(scheduled)
        plain = *counts, tuple(model), data.keyed, task.epochly
        traces = [turn.trace for turn in turns]
        return [plain, data.by_length, *meters, *traces, *scheduled, *model.values()]

    def _is_of(self, parts: list[Any]) -> bool:
        same = len(parts) == len(self._made) and self._made[0] == parts[0]
        return same and all(map(operator.is_, self._made[1:], parts[1:]))

    def leave(self) -> None:
        """The fit is over: let the next one have them, without the data."""
        self._rounds.forget()
        del self.data, self.validation
        self.steps.epochs = self

    def _rows(self, tensor: Value) -> Array:
        return np.empty((self.most, *tensor.shape), tensor.dtype)

    def _record(self, meter: Meter) -> Columns:
        return {k: self._rows(t) for k, t in meter.tensors().items()}

    @staticmethod
    def _pass(
        meter: Meter, cursor: Cursor, turns: Sequence[Turn], record: Columns
    ) -> list[Turn | Copy]:
        """From nothing to the numbers of one pass over a data set."""
        return [
            *(Copy(zeros, t) for t, zeros in meter.beginning()),
            Copy(np.zeros((), np.uint32), cursor.position),
            *turns,
            *(Copy(t, record[k]) for k, t in meter.tensors().items()),
        ]

    # -- running -----------------------------------------------------------------------------------
    def run(self, count: int, first: int) -> tuple[Array, Columns]:
        """Run ``count`` epochs from number ``first`` on; returns sums of losses, and measures."""
        steps, task = self.steps, self.steps.task
        self._first = first
        if self.data.keyed:
            self._orders[:count] = steps.cursor.orders(task.seed, task.epoch, count)
        if self.data.by_length is not None:
            for i in range(count):
                self._row_orders[i] = self.data.by_length.order(task.seed, task.epoch + i)
        self._foresee(count)
        self._rounds.run(count)
        steps.meter.rows = self.data.taken
        measures = steps.meter.columns({k: v[:count] for k, v in self._trained.items()})
        if self.validation is not None:
            steps.eval_meter.rows = self.validation.rows
            numbers = {k: v[:count] for k, v in self._validated.items()}
            measures |= steps.eval_meter.columns(numbers, "val_")
        measures |= {name: rows[:count] for name, (_, rows) in self._lr.items()}
        return self._trained["loss"][:count], measures

    def weights(self, epoch: int) -> dict[str, Array]:
        """A copy of the weights after an epoch of the last run, counted from 0."""
        return {k: rows[epoch].copy() for k, rows in self._weights.items()}

    # -- schedules ---------------------------------------------------------------------------------
    def _foresee(self, count: int) -> None:
        """Step the schedules to the last of the epochs, and note the rates of each."""
        self._before = [s.state_dict() for s in self._stepped]
        step = self.steps.schedules.stepper(count)
        for i in range(count if self._stepped else 0):
            if i:
                step()
            for tensor, rows in self._rates:
                rows[i] = tensor._read()

    def unsee(self, epoch: int) -> None:
        """Go back to the schedules of an epoch of the last run."""
        for schedule, state in zip(self._stepped, self._before, strict=True):
            schedule.load_state_dict(state)
        for _ in range(epoch):
            for schedule in self._stepped:
                schedule.step()

    def set_rates(self, epoch: int) -> None:
        """The rates of an epoch of the last run, by its number in the fit."""
        for tensor, rows in self._rates:
            write_array(tensor, rows[epoch - self._first])
