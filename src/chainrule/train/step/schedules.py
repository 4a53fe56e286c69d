"""Schedules stepped after epochs: how far ahead they are known, and many steps at a time."""

from __future__ import annotations

import inspect
import math
from typing import Any

from ...optim import lr_scheduler as lr
from ...runtime.program import interpreted
from ...tensor.compiling.compiled import Compiled
from ...tensor.compiling.follow import Part
from ..task import Task

FEW = 8
"""Steps that are sooner done than traced."""


def wants_metric(schedule: Any) -> bool:
    """Whether its steps depend on what is measured."""
    return "metrics" in inspect.signature(schedule.step).parameters


def epochs_foreseen(schedule: Any) -> float:
    """How many epochs from now on it is known what the schedule does."""
    if type(schedule) is lr.ReduceLROnPlateau:
        return max(schedule.patience + 1 - schedule.num_bad_epochs, 1)
    own = isinstance(schedule, lr.LRScheduler) and type(schedule).step is lr.LRScheduler.step
    return math.inf if own and "step" not in vars(schedule) else 1


def _is_formula(schedule: Any) -> bool:
    """Whether no function of the user's is part of it."""
    calls = isinstance(schedule, lr.LambdaLR | lr.MultiplicativeLR)
    ours = type(schedule).__module__.startswith(lr.__name__)
    return ours and not calls and all(map(_is_formula, getattr(schedule, "schedulers", ())))


class Schedules:
    """The schedules of a task that need nothing to be measured.

    Their formulas are traced once and evaluated by the interpreter, like the plain expressions they
    are: to the same bits, without making them anew for each epoch.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._traced = Compiled(self._step, "schedule", self._read, interpreted)

    @property
    def listed(self) -> list[Any]:
        """Those that are stepped after each epoch."""
        task = self.task
        return [s for s in task.schedulers if task.epochly and not wants_metric(s)]

    def _read(self) -> list[Any]:
        return [Part(self.task, "schedulers", "optimizer")]

    def _step(self) -> None:
        for schedule in self.listed:
            schedule.step()

    def stepper(self, count: int) -> Any:
        """What makes one step of all; ``count`` of them are wanted."""
        formulas = all(map(_is_formula, self.listed))
        wanted = formulas and (count > FEW or self._traced.known() is not None)
        return self._traced if wanted else self._step
