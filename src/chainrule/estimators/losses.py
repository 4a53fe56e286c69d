"""The losses the estimators train with, as functions (prediction, target) of a batch.

Each has ``reduction``: "mean" over the rows, or "none" for one number per row, which is what row
weights need. A row's loss is the sum over its outputs, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..nn import functional as F
from ..tensor.tensor import Tensor


def _by_row(each: Tensor, reduction: str) -> Tensor:
    """(rows, outputs) to (rows,), or to their mean."""
    rows: Tensor = each.sum(axis=1)
    return rows if reduction == "none" else rows.mean()


def logistic(prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σₒ -t log σ(z) - (1 - t) log(1 - σ(z)): yes-or-no outputs."""
    each = F.binary_cross_entropy_with_logits(prediction, target, reduction="none")
    return _by_row(each, reduction)


def squared_error(prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σₒ (z - t)² / 2."""
    return _by_row(F.mse_loss(prediction, target, reduction="none") * 0.5, reduction)


def absolute_error(prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σₒ |z - t|."""
    return _by_row(F.l1_loss(prediction, target, reduction="none"), reduction)


def huber(prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σₒ (z - t)² / 2 where |z - t| ≤ 1, else |z - t| - 1/2."""
    return _by_row(F.huber_loss(prediction, target, reduction="none"), reduction)


def poisson(prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Σₒ exp(z) - t z: the prediction is exp(z)."""
    return _by_row(F.poisson_nll_loss(prediction, target, reduction="none"), reduction)


REGRESSION: dict[str, Callable[..., Tensor]] = {
    "squared_error": squared_error,
    "absolute_error": absolute_error,
    "huber": huber,
    "poisson": poisson,
}


@dataclass(frozen=True)
class Grouped:
    """Σⱼ cross entropy of target j, whose classes are the next ``sizes[j]`` outputs."""

    sizes: tuple[int, ...]

    def __call__(self, prediction: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        """Logits (rows, Σ sizes) and labels (rows, len(sizes))."""
        total: Any = 0.0
        start = 0
        for j, size in enumerate(self.sizes):
            part = prediction[:, start : start + size]
            total = total + F.cross_entropy(part, target[:, j], reduction="none")
            start += size
        rows: Tensor = total
        return rows if reduction == "none" else rows.mean()
