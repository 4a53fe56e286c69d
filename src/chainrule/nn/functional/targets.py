"""Checks of targets: what is wrong with them is said before any training."""

from __future__ import annotations

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.interval import interval
from ...core.node import Node
from ...errors import DataError, DTypeError, OutOfRangeError, ShapeError
from ...tensor.ranges import check_later
from ...tensor.tensor import Tensor
from .known import known_values


def same_shape(name: str, x: Tensor, target: Tensor, what: str = "target") -> None:
    """Raise ShapeError unless the shapes are equal; nothing is broadcast silently."""
    if x.shape == target.shape:
        return
    hint = ""
    if sorted(n for n in x.shape if n != 1) == sorted(n for n in target.shape if n != 1):
        hint = f"; write {what}.reshape{x.shape}, or reshape the input"
    raise ShapeError(f"{name}: the input has shape {x.shape}, the {what} {target.shape}{hint}")


def check_finite(name: str, target: Tensor, what: str = "target") -> None:
    """Raise DataError if a known target is NaN or infinite."""
    known = known_values(target)
    if known is not None and known.dtype.kind == "f" and not np.isfinite(known).all():
        wrong = ~np.isfinite(known)
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}: the {what} is {known[at]} at position {at}"
            f" ({int(wrong.sum())} of {known.size} elements are not finite); clean the data first"
        )


def check_range(name: str, x: Tensor, low: float, high: float, what: str, hint: str) -> None:
    """Raise DataError if a known tensor leaves [low, high]."""
    known = known_values(x)
    if known is None or not known.size:
        return
    wrong = (known < low) | (known > high)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{name}: the {what} must be in [{low:g}, {high:g}], got {known[at]:g} at position "
            f"{at}; {hint}"
        )


def label_numbers(target: Node) -> Node:
    """Integer labels as int32, for quick comparisons with the numbers of classes.

    What int32 does not hold becomes its end, which is no class: bits are never cut off.
    """
    least, most = interval(target)
    low, high = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    if most > high:
        target = g.min(target, g.full(target.shape, high, target.dtype))
    if least < low:
        target = g.max(target, g.full(target.shape, low, target.dtype))
    return g.cast(target, dt.int32)


def check_labels(name: str, x: Tensor, labels: Tensor, ignore_index: int | None) -> None:
    """Raise unless ``labels`` are integers, one for each row of ``x`` (N, C, ...), below C."""
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    wanted = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if not dt.is_integer(labels.dtype):
        hint = f"convert them with .long(), or give probabilities of the input's shape {x.shape}"
        raise DTypeError(
            f"{name}: class labels are integers of shape {wanted}, got "
            f"{labels.dtype}{list(labels.shape)};"
            f" {hint}"
        )
    if labels.shape != wanted:
        if labels.shape == x.shape:
            hint = "; for one-hot or probability targets convert them with .float()"
        elif labels.shape == (*wanted, 1):
            hint = "; remove the last axis with .squeeze(-1)"
        else:
            hint = ""
        raise ShapeError(
            f"{name}: for an input of shape {x.shape} the labels have shape {wanted},"
            f" got {labels.shape}{hint}"
        )
    known = known_values(labels)
    if known is None:
        text = f"{name}: label {{}}, but the input has {classes} classes (0 … {classes - 1})"
        check_later(labels.node, 0, classes, text, ignore_index)
        return
    wrong = (known < 0) | (known >= classes)
    if ignore_index is not None:
        wrong &= known != ignore_index
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        label = int(known[at])
        hint = ""
        if label == classes and int(known.min()) >= 1:
            hint = "; labels count from 0: subtract 1"
        elif classes == 1:
            hint = "; with one output use binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss)"
        raise OutOfRangeError(
            f"{name}: label {label} at position {at}, but the input has {classes} classes"
            f" (0 … {classes - 1}){hint}"
        )
