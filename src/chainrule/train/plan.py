"""Plan: what one call of `fit` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from .callbacks import Callback
from .checkpoint import Checkpoint
from .dataset import Dataset


@dataclass
class Plan:
    """What one call of `fit` was asked to do."""

    data: Dataset
    validation: Dataset | None
    epochs: int
    max_seconds: float | None
    progress: bool | None
    callbacks: list[Callback]
    checkpoint: Checkpoint | None
    diagnose: bool
