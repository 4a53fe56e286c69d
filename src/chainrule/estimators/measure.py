"""Measures of predictions, gathered piece by piece (`add`), exact: each AUC is that of all pairs.

What a program sums up while it trains is in `train.measure`.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.node import Array


class ClassScores:
    """Accuracy, log loss and F1 (of class 1, or the mean over classes); AUC of two classes.

    ``y`` int (rows,) class numbers, ``prediction`` (rows, classes) probabilities.
    """

    def __init__(self, classes: int) -> None:
        self.rows, self.classes = 0, classes
        self._right = np.zeros(classes, np.int64)  # of each class
        self._total = np.zeros(classes, np.int64)  # true ones + predicted ones
        self._log_loss = 0.0
        self._scores: list[Array] = []
        self._truth: list[Array] = []

    def add(self, y: Array, prediction: Array) -> None:
        """Truth and probabilities of some rows."""
        chosen = prediction.argmax(axis=1)
        self.rows += len(y)
        self._right += np.bincount(y[chosen == y], minlength=self.classes)
        for c in (y, chosen):
            self._total += np.bincount(c, minlength=self.classes)
        own = np.clip(prediction[np.arange(len(y)), y], 1e-15, 1)
        self._log_loss -= float(np.log(own).sum())
        if self.classes == 2:
            self._scores.append(np.array(prediction[:, 1]))
            self._truth.append(y.astype(np.int8))

    def result(self) -> dict[str, float]:
        """The measures by name."""
        f1 = 2 * self._right / np.maximum(self._total, 1)
        found = {
            "accuracy": float(self._right.sum() / self.rows),
            "log_loss": self._log_loss / self.rows,
        }
        if self.classes == 2:
            score, truth = np.concatenate(self._scores), np.concatenate(self._truth)
            return found | {"f1": float(f1[1]), "auc": auc(truth, score)}
        return found | {"macro_f1": float(f1[self._total > 0].mean())}


class NumberScores:
    """RMSE, MAE and R² over all targets, in their unit; both arrays (rows, targets)."""

    def __init__(self) -> None:
        self.rows = 0
        self._squares = self._absolute = self._spread = 0.0
        self._mean: Array = np.zeros(1)

    def add(self, y: Array, prediction: Array) -> None:
        """Truth and prediction of some rows."""
        error = prediction - y
        self._squares += float((error**2).sum())
        self._absolute += float(np.abs(error).sum())
        total = self.rows + len(y)
        mean, self._targets = y.mean(0), y.shape[1]
        delta = mean - self._mean  # Chan, Golub & LeVeque (1983)
        between = float((delta**2).sum()) * self.rows * len(y) / total
        self._spread += float(((y - mean) ** 2).sum()) + between
        self._mean = self._mean + delta * (len(y) / total)
        self.rows = total

    def result(self) -> dict[str, float]:
        """The measures by name."""
        numbers = self.rows * self._targets
        return {
            "rmse": math.sqrt(self._squares / numbers),
            "mae": self._absolute / numbers,
            "r2": 1 - self._squares / self._spread if self._spread else 0.0,
        }


def scores_of(classes: int) -> ClassScores | NumberScores:
    """Those of so many classes, or (0) of numbers."""
    return ClassScores(classes) if classes else NumberScores()


def auc(y: Array, score: Array) -> float:
    """P(score of a positive > score of a negative) + P(equal)/2; 0.5 where one class is absent.

    >>> import numpy as np
    >>> from chainrule.estimators.measure import auc
    >>> auc(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.1]))
    0.75
    """
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[index]
    positive = int(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        return 0.5
    return float((rank[y == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))
