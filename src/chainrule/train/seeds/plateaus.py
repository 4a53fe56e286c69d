"""A `ReduceLROnPlateau` for each seed: what one remembers of its metric, as arrays."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...optim.lr_scheduler import ReduceLROnPlateau


class Plateaus:
    """The best number, the epochs without a better one and those of rest, (R,) each.

    It knows when a rate falls. By how much, the schedule itself says, in the state that `write`
    gives it.
    """

    def __init__(self, rule: ReduceLROnPlateau, states: Sequence[Mapping[str, Any]]) -> None:
        """``states``: the schedule's for each seed."""
        self.rule = rule
        self.best = np.array([s["best"] for s in states], np.float64)
        self.bad = np.array([s["num_bad_epochs"] for s in states], np.int64)
        self.cooling = np.array([s["cooldown_counter"] for s in states], np.int64)
        self.steps = np.array([s["last_epoch"] for s in states], np.int64)

    def copy(self) -> Plateaus:
        """What it is now."""
        found = copy.copy(self)
        for name in ("best", "bad", "cooling", "steps"):
            setattr(found, name, getattr(self, name).copy())
        return found

    def foreseen(self) -> int:
        """In how many epochs no rate falls, but in the last."""
        return max(self.rule.patience + 1 - int(self.bad.max()), 1)

    def look(self, values: Array) -> Array:
        """After an epoch: at the metric of each seed; whose rate falls."""
        rule, best = self.rule, self.best
        with np.errstate(invalid="ignore"):  # nothing is better than nothing by so much
            least = rule.threshold * (np.abs(best) if rule.threshold_mode == "rel" else 1.0)
            least = np.where(np.isfinite(best), least, 0.0)
        better = values < best - least if rule.mode == "min" else values > best + least
        self.best[better] = values[better]
        self.bad[better] = 0
        self.bad[~better] += 1
        resting = self.cooling > 0
        self.cooling[resting] -= 1
        self.bad[resting] = 0
        falls = self.bad > rule.patience
        self.cooling[falls], self.bad[falls] = rule.cooldown, 0
        self.steps += 1
        return falls

    def write(self, state: dict[str, Any], seed: int) -> None:
        """Into the schedule's state of a seed."""
        state["best"], state["last_epoch"] = float(self.best[seed]), int(self.steps[seed])
        state["num_bad_epochs"] = int(self.bad[seed])
        state["cooldown_counter"] = int(self.cooling[seed])
