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
from weakref import WeakKeyDictionary

import numpy as np

from ...core.node import Array
from ...errors import DataError, ShapeError
from ...nn.module import Module
from ...tensor.ops.create import arange
from ...tensor.tensor import Tensor
from ...tensor.value import array_of


class Padded(dict[str, Array]):
    """What a list of sequences becomes: the array (N, T, *) by its name, and ``lengths`` (N,)."""


@dataclass(frozen=True)
class StepTargets:
    """Targets of each step (N, T, *), padded, and how many steps there are (N,)."""

    array: Array
    lengths: Array


_TAKE_LENGTHS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Of the functions behind methods: to ask for a signature takes a tenth of a short `fit`."""


def takes_lengths(model: Module) -> bool:
    """Whether the model's forward has an argument ``lengths``."""
    forward = model.forward
    function = getattr(forward, "__func__", None)
    if function is None:
        return "lengths" in inspect.signature(forward).parameters
    if function not in _TAKE_LENGTHS:
        _TAKE_LENGTHS[function] = "lengths" in inspect.signature(function).parameters
    return _TAKE_LENGTHS[function]


def padded_data(where: str, model: Module, label: int | None, x: Any, y: Any) -> tuple[Any, Any]:
    """``x`` and ``y`` with lists of sequences padded, if the model takes lengths; else as they are.

    ``label``: of padded steps; None: ``y`` is no list of targets.
    """
    if not takes_lengths(model):
        return x, y
    if _is_list(x):
        rows = _sequences(where, "x", x)
        lengths = np.array([len(r) for r in rows], np.int64)
        first = next(iter(inspect.signature(model.forward).parameters))
        x = Padded({first: _padded(rows, 0), "lengths": lengths})
    elif isinstance(x, Mapping) and "lengths" in x:
        lengths = array_of(x["lengths"])
    else:
        return x, y
    if label is None or not _is_list(y):
        return x, y
    return x, _targets(where, label, y, lengths)


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


def _targets(where: str, label: int, y: list[Any], lengths: Array) -> Any:
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
        return StepTargets(_padded([r.astype(np.int64) for r in rows], label), lengths)
    return StepTargets(_padded(rows, 0), lengths)


def steps_there(y: Tensor, lengths: Tensor) -> Tensor:
    """(N, T): which steps of padded targets (N, T, *) are no padding."""
    found: Tensor = arange(y.shape[1]) < lengths.unsqueeze(1)
    return found


def first_steps(parts: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Sequences (N, T, *), and what else there is, with the first ``count`` steps only."""
    return tuple(t[:, :count] if t.ndim > 1 else t for t in parts)


def spread(steps: Tensor, values: Tensor) -> Tensor | None:
    """``steps`` (N, T) for each of ``values`` (N, T, *), axes of length 1 aside; or None."""
    lead, axes = ([n for n in t.shape if n != 1] for t in (steps, values))
    if axes[: len(lead)] != lead:
        return None
    rows = steps.node.size
    wide = steps.reshape((rows, 1)).broadcast_to((rows, values.node.size // rows))
    return wide.reshape(values.shape)
