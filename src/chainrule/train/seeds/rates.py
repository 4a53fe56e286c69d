"""Schedules that are stepped after each epoch, for nets of many seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...optim import lr_scheduler as lr
from ...tensor.tensor import Tensor
from ..step.schedules import epochs_foreseen, wants_metric
from ..trainer import Trainer
from .plateaus import Plateaus
from .stack import Stack
from .vary import Vary

_RATES = ("base_lrs", "initial_lrs")


class Rates:
    """The learning rates of all seeds, by the schedules of one trainer.

    Seeds that begin with one rate go through one schedule together; where a schedule looks at what
    is measured, each seed has its own. A `ReduceLROnPlateau` is asked only where a rate falls.
    """

    def __init__(self, one: Trainer, stack: Stack, varied: Vary) -> None:
        self.one, self.stack, self.schedules = one, stack, one.schedulers
        self.measured = [wants_metric(s) for s in self.schedules]
        own = varied.values.get("lr")
        if own is not None and any(s.sets_rate for s in self.schedules):
            raise OptionError(
                "Trainer: vary['lr']: the schedule brings its rate with it; vary the rate of a "
                "schedule that multiplies it, such as CosineAnnealingLR"
            )
        rates = np.zeros(stack.seeds) if own is None else own
        self.of = np.arange(stack.seeds)
        if not any(self.measured):
            _, self.of = np.unique(rates, return_inverse=True)
        start = [s.state_dict() for s in self.schedules]
        states = [start] * (int(self.of.max()) + 1)
        if own is not None:
            for number in range(len(states)):
                states[number] = _with_rate(start, float(rates[self.of == number][0]))
        self.load(states)

    @property
    def states(self) -> list[list[Any]]:
        """Those of the schedules, for each rate that seeds began with, or each seed."""
        if self._plateaus is not None:
            for seed, [state] in enumerate(self._states):
                self._plateaus.write(state, seed)
        return self._states

    def _load(self, number: int) -> None:
        for schedule, state in zip(self.schedules, self._states[number], strict=True):
            schedule.load_state_dict(state)

    def _note(self, number: int) -> None:
        """The options of the groups as they are now, for the seeds of this number."""
        seeds = self.of == number
        for group in self.one.optimizer.param_groups:
            for tensor in group._tensors.values():
                self.stack.add(tensor)
                self.stack.rows(tensor)[seeds] = tensor._read()

    def foreseen(self) -> float:
        """For how many epochs from now on the rates are known."""
        if self._plateaus is not None:
            return self._plateaus.foreseen()
        return 1 if any(self.measured) else min(map(epochs_foreseen, self.schedules))

    def foresee(self, count: int, note: Callable[[int], object]) -> None:
        """Step to the last of the next ``count`` epochs; ``note`` is called in each, when its rates
        are in the stack."""
        self._before, self._seen = list(self._states), count
        one = len(self._states) == 1
        step = self.one._steps.schedules.stepper(count) if one else self._step
        for epoch in range(count):
            if epoch and self._plateaus is None:
                step()
                if one:
                    self._keep(0) if epoch == count - 1 else self._note(0)
            note(epoch)

    def close(self, measures: Array) -> None:
        """After some of the epochs foreseen, in which each seed measured (n, R)."""
        if self._plateaus is not None:
            for values in measures:
                self._look(self._plateaus, values)
            return
        if len(measures) < self._seen:
            self.load(self._before)
            for _ in range(len(measures) - 1):
                self._step()
        self._step(measures[-1])

    def _look(self, plateaus: Plateaus, values: Array) -> None:
        before, [schedule] = plateaus.copy(), self.schedules
        for seed in np.flatnonzero(plateaus.look(values)).tolist():
            before.write(self._states[seed][0], seed)
            self._load(seed)
            schedule.step(float(values[seed]))
            self._keep(seed)

    def _step(self, measure: Array | None = None) -> None:
        for number in range(len(self._states)):
            if len(self._states) > 1:
                self._load(number)
            for schedule, measured in zip(self.schedules, self.measured, strict=True):
                if measured:
                    assert measure is not None
                    schedule.step(float(measure[number]))
                else:
                    schedule.step()
            self._keep(number)

    def _keep(self, number: int) -> None:
        self._states[number] = [s.state_dict() for s in self.schedules]
        self._note(number)

    @property
    def tensors(self) -> list[Tensor]:
        """What the schedules set: first the rate."""
        groups = self.one.optimizer.param_groups
        found = [group._tensors["lr"] for group in groups[:1]]
        return found + [t for g in groups for t in g._tensors.values() if t is not found[0]]

    def load(self, states: Sequence[Any]) -> None:
        """Go on from `states`."""
        self._states = [[dict(s) for s in own] for own in states]
        for number in range(len(states)):
            self._load(number)
            self._note(number)
        self._plateaus: Plateaus | None = None
        if [*map(type, self.schedules)] == [lr.ReduceLROnPlateau]:
            self._plateaus = Plateaus(self.schedules[0], [own[0] for own in self._states])


def _with_rate(state: Any, rate: float) -> Any:
    """The state of schedules that had begun with another rate."""
    if isinstance(state, list):
        return [_with_rate(s, rate) for s in state]
    if not isinstance(state, Mapping):
        return state
    return {k: [rate] * len(v) if k in _RATES else _with_rate(v, rate) for k, v in state.items()}
