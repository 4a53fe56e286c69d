"""Meta: what a checkpoint says beside its arrays, checked before anything is done with it.

Whoever wrote the file, nothing in it is believed: each value must be of its kind and in its range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import CheckpointError
from ..measure.history import History
from .checkpoint import State

MOST_EPOCHS = 2**32 - 1
"""The order of the rows is a function of an epoch's number of 32 bits."""
MOST_STEPS = 10**12 - 1
"""As many as a file's name can say."""


@dataclass(frozen=True)
class Meta:
    """The counters, options and schedules of a saved trainer."""

    model: str
    optimizer: str
    groups: list[dict[str, Any]]
    schedulers: list[dict[str, Any]]
    epoch: int
    step: int
    history: History


@dataclass(frozen=True)
class FitMeta:
    """Where a saved fit was: its own epoch, the next batch of it, what the batches so far count."""

    epoch: int
    batch: int
    rows: float
    settings: dict[str, Any]
    callbacks: list[dict[str, Any]]


HISTORY = "history."
"""Begins the names of the arrays that hold a history: one for each measure."""


def read_meta(state: State, where: str) -> Meta:
    """What `state_of` wrote. Raises CheckpointError for anything else."""
    held = _Reader(state.meta, where)
    step = held.count("step", MOST_STEPS)
    epoch = held.count("epoch", min(MOST_EPOCHS, step))
    history = _history(held, state.arrays, epoch)
    history.stopped = held.text("stopped")
    return Meta(
        held.text("model"),
        held.text("optimizer"),
        held.objects("groups"),
        held.objects("schedulers"),
        epoch,
        step,
        history,
    )


def read_fit(meta: Mapping[str, Any], epochs: int, where: str) -> FitMeta:
    """What `Fit` added; ``epochs``: those of the trainer.

    Raises CheckpointError if there is nothing, or something else.
    """
    fit = meta.get("fit")
    if not isinstance(fit, dict) or not isinstance(fit.get("settings"), dict):
        raise CheckpointError(f"{where} was not written by fit")
    held = _Reader(fit, where)
    rows: Any = fit.get("rows")
    if not _number(rows) or not 0 <= rows < math.inf:
        raise held.refused("rows", "a number of rows")
    return FitMeta(
        held.count("epoch", epochs),
        held.count("batch", MOST_STEPS),
        float(rows),
        fit["settings"],
        held.objects("callbacks"),
    )


class _Reader:
    """Values of one JSON object."""

    def __init__(self, held: Mapping[str, Any], where: str) -> None:
        self.held, self.where = held, where

    def refused(self, name: str, expected: str) -> CheckpointError:
        shown = repr(self.held.get(name, "missing"))
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        return CheckpointError(
            f"{self.where} is damaged: {name} is {shown}, expected is {expected}"
        )

    def count(self, name: str, most: int) -> int:
        value = self.held.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise self.refused(name, f"a whole number from 0 to {most}")
        return value

    def text(self, name: str) -> str:
        value = self.held.get(name)
        if not isinstance(value, str):
            raise self.refused(name, "a text")
        return value

    def objects(self, name: str) -> list[dict[str, Any]]:
        value = self.held.get(name)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.refused(name, "a list of objects")
        return value


def _history(held: _Reader, arrays: Mapping[str, Array], epochs: int) -> History:
    """The numbers are arrays, the names in their order are meta; version 0.1.0 wrote lists."""
    value = held.held.get("history")
    if isinstance(value, list):
        if sorted(f"{HISTORY}{v}" for v in value) != sorted(
            k for k in arrays if k.startswith(HISTORY)
        ):
            raise held.refused("history", "the names of the measures, each with an array")
        lines: dict[str, Any] = {str(k): arrays[f"{HISTORY}{k}"] for k in value}
        good = all(a.dtype == np.float64 and a.ndim == 1 for a in lines.values())
    else:
        lines = value if isinstance(value, dict) else {"": None}
        good = all(isinstance(line, list) and all(map(_number, line)) for line in lines.values())
    if not good:
        raise held.refused("history", "a list of numbers for each measure")
    if len({len(line) for line in lines.values()}) > 1:
        raise held.refused("history", "as many numbers of each measure")
    history = History()
    history.extend(lines)
    if len(history) > epochs:
        raise CheckpointError(
            f"{held.where} is damaged: its history has {len(history)} epochs, its counter says "
            f"{epochs}"
        )
    return history


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= 2**1000
