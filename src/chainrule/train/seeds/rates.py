"""Schedules that are stepped after each epoch, for nets of many seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...tensor.tensor import Tensor
from ..step.schedules import wants_metric
from ..task import Task
from .stack import Stack
from .vary import Vary

_RATES = ("base_lrs", "initial_lrs")


class Rates:
    """The learning rates of all seeds, by the schedules of one trainer.

    Seeds that begin with one rate go through one schedule together; where a schedule looks at what
    is measured, each seed has its own.
    """

    def __init__(self, one: Task, stack: Stack, varied: Vary) -> None:
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
        self.states: list[list[Any]] = [start] * (int(self.of.max()) + 1)
        if own is not None:
            for number in range(len(self.states)):
                self.states[number] = _with_rate(start, float(rates[self.of == number][0]))
        for number in range(len(self.states)):
            self._load(number)
            self._note(number)

    def _load(self, number: int) -> None:
        for schedule, state in zip(self.schedules, self.states[number], strict=True):
            schedule.load_state_dict(state)

    def _note(self, number: int) -> None:
        """The options of the groups as they are now, for the seeds of this number."""
        seeds = self.of == number
        for group in self.one.optimizer.param_groups:
            for tensor in group._tensors.values():
                self.stack.add(tensor)
                self.stack.rows(tensor)[seeds] = tensor._read()

    def foresee(self, count: int, note: Callable[[int], object]) -> None:
        """Step to the last of ``count`` epochs; ``note`` is called with the rates of each set."""
        self._before, self._seen = list(self.states), count
        for epoch in range(count):
            if epoch:
                self._step()
            note(epoch)

    def close(self, count: int, measure: Array) -> None:
        """After ``count`` of the epochs foreseen; in the last each seed measured (R,)."""
        if count < self._seen:
            self.load(self._before)
            for _ in range(count - 1):
                self._step()
        self._step(measure)

    def _step(self, measure: Array | None = None) -> None:
        for number in range(len(self.states)):
            if len(self.states) > 1:
                self._load(number)
            for schedule, measured in zip(self.schedules, self.measured, strict=True):
                if measured:
                    assert measure is not None
                    schedule.step(float(measure[number]))
                else:
                    schedule.step()
            self.states[number] = [s.state_dict() for s in self.schedules]
            self._note(number)

    @property
    def tensors(self) -> list[Tensor]:
        """What the schedules set: first the rate."""
        groups = self.one.optimizer.param_groups
        found = [group._tensors["lr"] for group in groups[:1]]
        return found + [t for g in groups for t in g._tensors.values() if t is not found[0]]

    def load(self, states: Sequence[Any]) -> None:
        """Go on from `states`."""
        self.states = [list(s) for s in states]
        for number in range(len(self.states)):
            self._load(number)
            self._note(number)


def _with_rate(state: Any, rate: float) -> Any:
    """The state of schedules that had begun with another rate."""
    if isinstance(state, list):
        return [_with_rate(s, rate) for s in state]
    if not isinstance(state, Mapping):
        return state
    return {k: [rate] * len(v) if k in _RATES else _with_rate(v, rate) for k, v in state.items()}
