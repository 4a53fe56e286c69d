"""Sequences of unequal length as training data: padded once, their lengths beside them.

A list of sequences (L_n, *) becomes an array (N, T, *), T the longest, and lengths (N,), which the
model takes as ``lengths=``. Targets of each step are padded too; what is padding does not count in
losses and metrics.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.node import Array
from ..errors import DataError, ShapeError
from ..nn.module import Module
from ..tensor.create import arange
from ..tensor.tensor import Tensor
from ..tensor.value import array_of

IGNORED = -100
"""The label of padded steps, unless the loss has another ``ignore_index``."""


@dataclass(frozen=True)
class StepTargets:
    """Targets of each step (N, T, *), padded."""

    array: Array


@dataclass(frozen=True)
class Padding:
    """What a batch of padded targets knows of its padding: the lengths (N,), or None where the
    padding is labels that the loss ignores."""

    lengths: Tensor | None


def takes_lengths(model: Module) -> bool:
    """Whether the model's forward has an argument ``lengths``."""
    return "lengths" in inspect.signature(model.forward).parameters


def padded_data(where: str, model: Module, loss: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """``x`` and ``y`` with lists of sequences padded, if the model takes lengths; else as they
    are."""
    if not takes_lengths(model):
        return x, y
    if _is_list(x):
        rows = _sequences(where, "x", x)
        lengths = np.array([len(r) for r in rows], np.int64)
        first = next(iter(inspect.signature(model.forward).parameters))
        x = {first: _padded(rows, 0), "lengths": lengths}
    elif isinstance(x, Mapping) and "lengths" in x:
        lengths = array_of(x["lengths"])
    else:
        return x, y
    if not _is_list(y):
        return x, y
    return x, _targets(where, loss, y, lengths)


def _is_list(x: Any) -> bool:
    """A list of sequences, and not one of numbers."""
    return isinstance(x, list) and bool(x) and all(np.ndim(_first(i)) > 0 for i in x)


def _first(item: Any) -> Any:
    return item if hasattr(item, "ndim") else ([0] if isinstance(item, list | tuple) else 0)


def _sequences(where: str, name: str, items: list[Any]) -> list[Array]:
    rows = [array_of(i) for i in items]
    for n, row in enumerate(rows):
        if len(row) == 0:
            raise DataError(
                f"{where}: sequence {n} of {name} is empty; leave it out, with its target"
            )
        if row.shape[1:] != rows[0].shape[1:]:
            raise ShapeError(
                f"{where}: sequence {n} of {name} has steps of shape {row.shape[1:]}, sequence 0 "
                f"{rows[0].shape[1:]}; only the number of steps may differ"
            )
    return rows


def _padded(rows: list[Array], value: int) -> Array:
    longest = max(len(r) for r in rows)
    found = np.full((len(rows), longest, *rows[0].shape[1:]), value, np.result_type(*rows))
    for n, row in enumerate(rows):
        found[n, : len(row)] = row
    return found


def _targets(where: str, loss: Any, y: list[Any], lengths: Array) -> Any:
    """Targets of each step; or ``y`` as it is, one for each sequence."""
    counts = [len(array_of(i)) for i in y]
    if len(counts) != len(lengths):
        return y  # another number of rows: said where rows are counted
    wrong = [n for n, (a, b) in enumerate(zip(counts, lengths, strict=True)) if a != b]
    if wrong:
        if len(set(counts)) == 1:
            return y
        n = wrong[0]
        raise DataError(
            f"{where}: sequence {n} of y has {counts[n]} steps, that of x {lengths[n]}; give one "
            "target for each step, or one for each sequence"
        )
    rows = _sequences(where, "y", y)
    if rows[0].dtype.kind in "iu":
        ignored = ignored_label(loss)
        rows = [r.astype(np.int64) for r in rows]
        return StepTargets(_padded(rows, IGNORED if ignored is None else ignored))
    return StepTargets(_padded(rows, 0))


def ignored_label(loss: Any) -> int | None:
    """The label that the loss, a module or a function, leaves out; None if it knows none."""
    found = getattr(loss, "ignore_index", None)
    if found is None and inspect.isfunction(getattr(loss, "func", loss)):
        option = inspect.signature(loss).parameters.get("ignore_index")
        found = None if option is None else option.default
    return found if isinstance(found, int) else None


def counted(loss: Any, labels: bool, y: Any, padding: Padding | None) -> Tensor | None:
    """(N, T) or the shape of the labels: which targets count; None: all of them.

    ``labels``: the loss takes one label per element, and may ignore some.
    """
    if padding is None or not isinstance(y, Tensor):
        return None
    if labels and not dt.is_float(y.dtype):
        ignored = ignored_label(loss)
        found: Tensor = y != (IGNORED if ignored is None else ignored)
        return found
    if padding.lengths is None or y.ndim < 2:
        return None
    return arange(y.shape[1]) < padding.lengths.unsqueeze(1)
