"""Early stopping of each seed by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import CheckpointError, OptionError
from ..listeners.early_stopping import EarlyStopping


class Stopping:
    """What an `EarlyStopping` does for one net, for R nets: arrays (R,) in place of its numbers."""

    def __init__(self, rule: EarlyStopping, seeds: int, monitor: str) -> None:
        """``monitor``: the measure that is watched."""
        if type(rule) is not EarlyStopping:
            raise OptionError(
                f"fit: early_stopping is a {type(rule).__name__}, whose methods are about one net; "
                "with seeds it is an EarlyStopping, or its patience"
            )
        self.rule, self.monitor = rule, monitor
        self.best = np.full(seeds, np.nan)
        self.best_epoch = np.full(seeds, -1)
        self.waited = np.zeros(seeds, np.int64)

    def look(self, values: Array, alive: Array, epochs: Array, epoch: int) -> tuple[Array, Array]:
        """After an epoch: which of the seeds ``alive`` are better than before, and which stop."""
        improved = (self.rule._better(values, self.best) | np.isnan(self.best)) & ~np.isnan(values)
        improved &= alive
        self.best[improved] = values[improved]
        self.best_epoch[improved] = epochs[improved] - 1
        base = self.rule.baseline
        start = improved if base is None else improved & self.rule._better(values, base)
        self.waited[start] = 0
        if epoch < self.rule.start_from:
            return improved, np.zeros_like(alive)
        self.waited[alive & ~start] += 1
        return improved, alive & ~start & (self.waited >= self.rule.patience)

    def reason(self, seed: int) -> str:
        """Why a seed stopped, in the words of one net's."""
        best = None if np.isnan(self.best[seed]) else float(self.best[seed])
        return self.rule._reason(int(self.waited[seed]), best, int(self.best_epoch[seed]))

    def state(self) -> dict[str, Array]:
        """The arrays, by name."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load(self, state: Mapping[str, Any], where: str) -> None:
        """Go on from what `state` gave."""
        for name, own in self.state().items():
            held = state.get(name)
            if held is None or held.shape != own.shape or held.dtype != own.dtype:
                raise CheckpointError(f"{where} is damaged: early stopping has no {name} of seeds")
            own[...] = held
