"""Sequences with their labels, of any kind of file that is read here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .arrays_npz import read_npz
from .labels import class_numbers, labels_in
from .sequences import Sequences, read_ts


def load_sequences(
    path: str | Path,
    part: str = "train",
    *,
    classes: Sequence[str] | None = None,
    labels: bool = True,
) -> Sequences:
    """Sequences (T, channels) with a class or a value each, of a file.

    A ``.ts`` file (see `read_ts`, also with gzip), or an NPZ file.

    In an NPZ file ``x`` is (N, T) or (N, T, channels), ``lengths`` (N,) says how many steps of each
    are no padding (all, if there are none), and ``y`` (N,) are classes (words or whole numbers) or
    values to be predicted (floats). Arrays may be named ``x_train``, ``x_test`` and so on:
    ``part`` says which. ``classes``: names in the order of their numbers, as those of a model.
    ``labels``: whether they are asked for. Raises DataError for what is none of this.

    >>> import tempfile
    >>> import numpy as np
    >>> from chainrule.data import load_sequences
    >>> with tempfile.NamedTemporaryFile(suffix=".npz") as file:
    ...     np.savez(file, x=np.zeros((2, 5, 3)), lengths=[5, 2], y=["up", "down"])
    ...     file.flush()
    ...     found = load_sequences(file.name)
    >>> [x.shape for x in found.x], found.y, found.classes
    ([(5, 3), (2, 3)], array([1, 0]), ('down', 'up'))
    """
    if part not in ("train", "test"):
        raise OptionError(f'load_sequences: part is "train" or "test", got {part!r}')
    path = Path(path)
    if path.name.lower().removesuffix(".gz").endswith(".ts"):
        found = read_ts(path, classes if labels else None)
        if labels and not len(found.y):
            raise DataError(f"{path}: its sequences have neither a class nor a value")
        return found
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: sequences are read from .ts and .npz files")
    held = read_npz(path)
    arrays = {name: _named(held, name, part) for name in ("x", "y", "lengths")}
    if arrays["x"] is None or (labels and arrays["y"] is None):
        raise DataError(
            f"{path}: it holds {', '.join(held) or 'nothing'}; expected are x and y (or x_train, "
            "y_train)"
        )
    x = sequences_of(arrays["x"], arrays["lengths"], str(path))
    if not labels or arrays["y"] is None:
        return Sequences(x, np.zeros(0), tuple(classes or ()), path.name)
    y, named = labels_of(arrays["y"], len(x), classes, str(path))
    return Sequences(x, y, named, path.name)


def sequences_of(x: Any, lengths: Any = None, name: str = "x") -> list[Array]:
    """A list of arrays (T, channels) float32, of arrays of sequences.

    Of one array (N, T) or (N, T, channels), or a list of arrays (T,) or (T, channels). Raises
    DataError for anything else.
    """
    if isinstance(x, list | tuple):
        rows = [np.asarray(row) for row in x]
    else:
        array = np.asarray(x)
        if array.ndim not in (2, 3):
            raise DataError(
                f"{name}: sequences (N, T) or (N, T, channels) are expected, got the shape "
                f"{array.shape}"
            )
        ends = np.full(len(array), array.shape[1]) if lengths is None else np.asarray(lengths)
        if ends.shape != (len(array),) or ends.dtype.kind not in "iu":
            raise DataError(f"{name}: lengths are whole numbers ({len(array)},), got {ends.shape}")
        if len(array) and not 1 <= ends.min() <= ends.max() <= array.shape[1]:
            raise DataError(f"{name}: lengths are from 1 to {array.shape[1]}, got {ends.min()}")
        rows = [row[:n] for row, n in zip(array, ends, strict=True)]
    if not rows:
        raise DataError(f"{name}: no sequences")
    found: list[Array] = []
    for i, row in enumerate(rows):
        row = row[:, None] if row.ndim == 1 else row
        if row.ndim != 2 or not row.size or row.dtype.kind not in "biuf":
            raise DataError(
                f"{name}: sequence {i + 1} has the shape {row.shape} and the dtype {row.dtype}; "
                "numbers (T, channels) are expected"
            )
        if found and row.shape[1] != found[0].shape[1]:
            raise DataError(
                f"{name}: sequence {i + 1} has {row.shape[1]} channels, those before "
                f"{found[0].shape[1]}"
            )
        if np.isinf(row).any():
            raise DataError(f"{name}: sequence {i + 1} has infinite values")
        found.append(np.asarray(row, np.float32))
    return found


def labels_of(
    y: Any, rows: int, classes: Sequence[str] | None, name: str
) -> tuple[Array, tuple[str, ...]]:
    """Numbers of classes and their names; or values, float32 (N,), and no names."""
    labels = labels_in(y)
    if labels.dtype.kind != "f" or labels.shape != (rows,):
        return class_numbers(labels, rows, classes, name, "sequences")
    if classes:
        raise DataError(f"{name}: the labels are values, the model knows classes")
    if not np.isfinite(labels).all():
        raise DataError(f"{name}: label {int((~np.isfinite(labels)).argmax()) + 1} is no number")
    return labels.astype(np.float32), ()


def _named(held: dict[str, Array], name: str, part: str) -> Array | None:
    return next((held[k] for k in (f"{name}_{part}", f"{part}_{name}", name) if k in held), None)
