"""Targets of a whole data set, checked against what the model makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import DataError, DTypeError, ShapeError
from ...tensor.tensor import Tensor
from ..rows.arrays import Arrays
from .objective import Objective, ignored_label, loss_name, pick, target_of


def prepare_targets(where: str, objective: Objective, y: Arrays, prediction: Any) -> Arrays:
    """Targets checked against the predictions' shapes; whole floats become int64 labels."""
    if objective.single:
        if not y.single or not isinstance(prediction, Tensor):
            return y
        part = objective.parts[0]
        return y.map(lambda a: _prepared(where, part.loss, y.names[0], a, prediction))
    arrays = dict(zip(y.keys or range(len(y.arrays)), y.arrays, strict=True))
    names = dict(zip(arrays, y.names, strict=True))
    for part in objective.parts:
        p = pick("prediction", prediction, part.key)
        key = part.key if y.keys is None else str(part.key)
        if key in arrays and isinstance(p, Tensor):
            arrays[key] = _prepared(where, part.loss, names[key], arrays[key], p)
    return replace(y, arrays=tuple(arrays.values()))


def _prepared(where: str, loss: Any, name: str, y: Array, prediction: Tensor) -> Array:
    target = target_of(loss)
    if target in ("values", "probabilities"):
        _check_rows(where, name, y, prediction)
    if target == "probabilities":
        _check_interval(where, loss, name, y)
    if target != "labels":
        return y
    if y.dtype.kind == "f" and y.shape[1:] == prediction.shape[1:] and prediction.ndim > 1:
        return y  # probabilities
    if y.dtype.kind == "b":
        y = y.view(np.uint8)
    if y.dtype.kind == "f":
        whole = y == np.floor(y)
        if not whole.all():
            at = np.argwhere(~whole)[0]
            raise DTypeError(
                f"{where}: {name} holds {y[tuple(at)]:g} at row {at[0]}, not a class number; class "
                "labels are integers"
                " (for regression use nn.MSELoss())"
            )
        y = y.astype(np.int64)
    classes = prediction.shape[1] if prediction.ndim > 1 else 1
    ignore = ignored_label(loss)
    low, high = int(y.min()), int(y.max())
    if ignore is not None and low == high == ignore:
        raise DataError(
            f"{where}: every label in {name} is {ignore}, which stands for rows that do not count "
            "(ignore_index); at least one row must count"
        )
    if low >= 0 and high < classes:
        return y
    wrong = (y < 0) | (y >= classes)
    if ignore is not None:
        wrong &= y != ignore
    if not wrong.any():
        return y
    at = np.argwhere(wrong)[0]
    label = int(y[tuple(at)])
    hint = f"; set the outputs of the last layer to {high + 1}" if label >= classes else ""
    if label < 0:
        hint = f"; rows to leave out have the label {ignore} (ignore_index)"
    if low == 1 and high == classes:
        hint = "; classes count from 0: subtract 1"
    if classes == 1:
        hint = "; with one output use nn.BCEWithLogitsLoss()"
    raise DataError(
        f"{where}: {name} has the label {label} at row {at[0]} ({int(wrong.sum())} of {y.size} "
        "labels are outside),"
        f" the model has {classes} {'output' if classes == 1 else 'outputs'}: labels are 0 to "
        f"{classes - 1}{hint}"
    )


def _check_rows(where: str, name: str, y: Array, prediction: Tensor) -> None:
    """The rows of target and prediction have the same shape, but for axes of length 1."""
    wanted, got = prediction.shape[1:], y.shape[1:]
    if [n for n in wanted if n != 1] == [n for n in got if n != 1]:
        return
    hint = (
        f"; set the outputs of the last layer to {got[0] if got else 1}"
        if len(wanted) == 1 and len(got) <= 1
        else ""
    )
    raise ShapeError(
        f"{where}: {name} has rows of shape {got}, the model's predictions {wanted}{hint}"
    )


def _check_interval(where: str, loss: Any, name: str, y: Array) -> None:
    low, high = y.min(), y.max()
    if low >= 0 and high <= 1:
        return
    wrong = (y < 0) | (y > 1)
    at = np.argwhere(wrong)[0]
    hint = (
        "; for classes numbered 0, 1, 2, ... use nn.CrossEntropyLoss()"
        if y.dtype.kind in "iu" or y.ndim == 1
        else ""
    )
    if set(np.unique(y[:1000]).tolist()) <= {-1, 1}:
        hint = "; for labels -1 and 1 use nn.SoftMarginLoss(), or (y + 1) / 2"
    raise DataError(
        f"{where}: {name} is {y[tuple(at)]:g} at row {at[0]}; {loss_name(loss)} needs targets "
        f"between 0 and 1{hint}"
    )
