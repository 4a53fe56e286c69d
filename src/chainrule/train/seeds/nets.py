"""Nets: the nets of many seeds side by side, and how far each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...optim.lr_scheduler.base import schedulers
from ..state.snapshot import tensors_of
from ..trainer import Trainer
from .history import SeedHistory
from .passes import Passes
from .rates import Rates
from .stack import Stack
from .vary import Vary


class Nets:
    """What training changes of many seeds; the `SeedTrainer` is one with `fit`."""

    def __init__(self, one: Trainer, seeds: Sequence[int], vary: Mapping[str, Array]) -> None:
        """``one``: the trainer of one net that says what a step is."""
        self.one, self.seeds, self.vary = one, list(seeds), vary
        self.history = SeedHistory(self.seeds)
        self.step = 0
        """Batches used by each seed that did not stop, over all calls of `fit`."""
        self.epochs = np.zeros(len(self.seeds), np.int64)
        """Epochs finished, of each seed."""
        self.failed = np.zeros(len(self.seeds), bool)
        """Which seeds had a loss that was NaN or infinite: they are trained no more."""
        self.has_best = np.zeros(len(self.seeds), bool)
        self.best_weights: dict[str, Array] = {}
        self.best_row = np.full(len(self.seeds), -1)
        """The epoch in the history that each seed went back to; -1: none."""
        self.rates: Rates | None = None
        self._stop = ""
        self.stack = Stack(len(self.seeds))
        self.varied = Vary(one, self.stack, vary)
        self.passes = Passes(one, self.stack)

    def tensors(self) -> dict[str, Any]:
        """Every tensor that training changes, by name, but the sums of an epoch."""
        found = tensors_of(self.one, self.one._steps)
        if self.one.scheduler_interval == "step":
            for i, schedule in enumerate(schedulers(self.one.optimizer)):
                held = [schedule._count, *schedule._factors, *schedule._since]
                found |= {f"schedule.{i}.{k}": t for k, t in enumerate(held)}
        known = {id(t) for k, t in found.items() if not k.startswith("other.")}
        return {
            k: t
            for k, t in found.items()
            if not k.startswith(("meter.", "cursor."))
            and not (k.startswith("other.") and id(t) in known)
        }

    def rows(self) -> dict[str, Array]:
        """The numbers of all seeds, (R, …) by name: views."""
        return {k: self.stack.rows(t) for k, t in self.tensors().items() if t in self.stack}

    def forget_best(self) -> None:
        """No weights are kept."""
        self.best_weights, self.has_best[...] = {}, False

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the training of all seeds after this epoch."""
        self._stop = reason
