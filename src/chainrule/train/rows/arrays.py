"""Arrays: the user's data as NumPy arrays that a program can read, checked before any work.

A data set is one array, a tuple of arrays or a dict of arrays, rows first. Arrays are not copied
where their dtype and memory layout allow; integers (uint8 images, token numbers) stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.dtypes import DType
from ...core.host.plain import is_missing, is_real, numbers, plain, short
from ...core.node import Array
from ...errors import DataError, DTypeError, ShapeError
from ...tensor.value import Value
from .sequences import StepTargets

_CHECK_ROWS = 1 << 16  # rows looked at in one piece, so that a check needs little memory
_NUMBER = (int, float, np.integer, np.floating)
_WIDER: dict[tuple[str, int], DType] = {  # by kind and bytes, in any byte order
    ("i", 1): dt.int32,
    ("i", 2): dt.int32,
    ("u", 2): dt.int32,
    ("u", 8): dt.int64,
    ("f", 2): dt.float32,
    ("f", np.dtype("longdouble").itemsize): dt.float64,
}


@dataclass(frozen=True)
class Arrays:
    """Some arrays with equal numbers of rows; ``names`` are how the user would write them."""

    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    keys: tuple[str, ...] | None = None  # of a dict
    single: bool = True  # one array, not a tuple of them
    lengths: Array | None = None  # of padded targets: how many steps of each row are no padding

    @property
    def rows(self) -> int:
        """The number of examples."""
        return int(self.arrays[0].shape[0])

    @property
    def padded(self) -> bool:
        """Whether these are targets of steps, some of which are padding."""
        return self.lengths is not None

    def build(self, items: Any) -> Any:
        """``items``, one for each array, in the structure that the user gave."""
        items = tuple(items)
        if self.keys is not None:
            return dict(zip(self.keys, items, strict=True))
        return items[0] if self.single else items

    def slice(self, start: int, stop: int) -> Arrays:
        """Rows from ``start`` to ``stop``, not copied."""
        return self._rows(lambda a: a[start:stop])

    def take(self, index: Array) -> Arrays:
        """The rows at ``index``."""
        return self._rows(lambda a: np.ascontiguousarray(a[index]))

    def _rows(self, f: Callable[[Array], Array]) -> Arrays:
        lengths = None if self.lengths is None else f(self.lengths)
        return replace(self.map(f), lengths=lengths)

    def map(self, f: Callable[[Array], Array]) -> Arrays:
        """Each array through ``f``."""
        return replace(self, arrays=tuple(f(a) for a in self.arrays))


def arrays_of(
    where: str, name: str, data: Any, float_dtype: DType, allow_nan: bool = False
) -> Arrays:
    """``data`` (an array-like, a tuple or a dict of them) as arrays, floats in ``float_dtype``.

    Raises DataError (empty, NaN, infinite, unequal lengths), DTypeError (no numbers), ShapeError.
    """
    if data is None:
        raise DataError(
            f"{where}: {name} is None; give an array, a tensor, a table, or a tuple or dict of them"
        )
    lengths = None
    if isinstance(data, StepTargets):
        data, lengths = data.array, data.lengths
    if isinstance(data, Mapping):
        if not data:
            raise DataError(f"{where}: {name} is an empty dict; give at least one array")
        keys: tuple[str, ...] | None = tuple(str(k) for k in data)
        names = tuple(f"{name}[{k!r}]" for k in data)
        parts = list(data.values())
        single = False
    elif (
        isinstance(data, tuple)
        and data
        and all(hasattr(p, "shape") or isinstance(p, list) for p in data)
    ):
        keys, single = None, False
        names = tuple(f"{name}[{i}]" for i in range(len(data)))
        parts = list(data)
    else:
        keys, single, names, parts = None, True, (name,), [data]
    arrays = [_array(where, n, p, float_dtype) for n, p in zip(names, parts, strict=True)]
    for n, a in zip(names, arrays, strict=True):
        if len(a) != len(arrays[0]):
            raise DataError(
                f"{where}: {names[0]} has {len(arrays[0])} rows, {n} has {len(a)}; they must be "
                "equal"
            )
        if not allow_nan:
            check_finite(where, n, a)
    return Arrays(names, tuple(arrays), keys, single, lengths)


def _array(where: str, name: str, data: Any, float_dtype: DType) -> Array:
    """Rows of numbers, contiguous, of a dtype that programs read."""
    array = _rows_of_numbers(where, name, data)
    if array.shape[0] == 0:
        raise DataError(
            f"{where}: {name} has no rows (shape {array.shape}); give at least one example"
        )
    if array.size == 0:
        raise DataError(
            f"{where}: {name} has shape {array.shape}, so no numbers; every axis needs a length of "
            "at least 1"
        )
    return _converted(where, name, array, float_dtype)


def _rows_of_numbers(where: str, name: str, data: Any) -> Array:
    """What the user gave as an array of numbers with an axis of rows, of its own dtype."""
    array = _read(where, name, data)
    if array.ndim == 0 and array.dtype.kind == "O":
        raise DTypeError(
            f"{where}: {name} is a {type(data).__name__}; give all rows as one array, tensor or "
            "table"
        )
    if array.ndim == 0:
        raise ShapeError(
            f"{where}: {name} is a single number ({array}); rows of examples are expected"
        )
    if array.dtype.kind == "O" and all(is_missing(v) or is_real(v) for v in array.flat):
        array = numbers(array, f"{where}: {name}", np.nan)
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            f"{where}: {name} has dtype {array.dtype}{_first_odd(array)}; numbers are expected."
            " Encode categories as integers or one-hot columns"
        )
    return array


def _read(where: str, name: str, data: Any) -> Array:
    """An array of whatever the user gave."""
    if hasattr(data, "toarray"):
        raise DTypeError(
            f"{where}: {name} is a sparse matrix ({type(data).__name__}); pass {name}.toarray(), "
            "or train on blocks of rows"
        )
    if isinstance(data, Value):
        return data._read()
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return _table(where, name, data)
    if isinstance(data, Iterator) or callable(data):
        raise DTypeError(
            f"{where}: {name} is a {type(data).__name__}; give all rows as one array, tensor or "
            "table"
        )
    try:
        return plain(data, f"{where}: {name}")
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ShapeError(
            f"{where}: the rows of {name} have unequal lengths; pad them to one length, or let "
            "the model's forward take lengths= (then a list of sequences is padded here)"
        ) from None


def _converted(where: str, name: str, array: Array, float_dtype: DType) -> Array:
    """The numbers in a dtype that programs read; floats in that of the model."""
    kind = array.dtype.kind, array.dtype.itemsize
    dtype = _WIDER.get(kind, array.dtype)
    if dtype.kind == "f":
        dtype = float_dtype
    if kind == ("u", 8) and array.max() > np.iinfo(np.int64).max:
        raise DTypeError(
            f"{where}: {name} has integers larger than int64 holds (up to {array.max()})"
        )
    overflows = array.dtype.itemsize > dtype.itemsize and dtype.kind == "f"
    if not overflows:
        return np.ascontiguousarray(array, dtype)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype)
    if not _finite(converted) and _finite(array):
        at = np.argwhere(np.isinf(converted) & np.isfinite(array))[0]
        raise DataError(
            f"{where}: {name} has {array[tuple(at)]} at {_place(at)}, more than {dtype} holds "
            "(3.4e38); scale the column, or use model.double()"
        )
    return converted


def _table(where: str, name: str, data: Any) -> Array:
    """A DataFrame of pandas, polars or others, column by column; missing values are NaN."""
    columns = []
    for key in data.columns:
        what = f"{where}: the column {key!r} of {name}"
        column = plain(data[key], what)
        if column.ndim != 1:
            raise DataError(f"{where}: {name} has several columns that are called {key!r}")
        if column.dtype.kind == "O":
            column = _numbers(where, f"the column {key!r} of {name}", column)
        elif column.dtype.kind not in "biuf":
            raise DTypeError(
                f"{where}: the column {key!r} of {name} has dtype {column.dtype}; numbers are "
                "expected. Encode categories as integers or one-hot columns"
            )
        columns.append(column)
    if not columns:
        raise DataError(f"{where}: {name} is a table without columns")
    return columns[0][:, None] if len(columns) == 1 else np.column_stack(columns)


def _numbers(where: str, name: str, column: Array) -> Array:
    """A column of Python objects as numbers; None and NA as NaN."""
    for row, value in enumerate(column):
        if not (is_real(value) or is_missing(value)):
            raise DTypeError(
                f"{where}: {name} has {short(value)} at row {row}; numbers are expected. Encode "
                "categories as integers or one-hot columns"
            )
    return numbers(column, f"{where}: {name}", np.nan)


def _first_odd(array: Array) -> str:
    """`` (row 0, column 2 is 'red')``: the first element that is not a number."""
    for at in np.ndindex(array.shape):
        if not isinstance(array[at], int | float | np.number):
            return f" ({_place(at)} is {short(array[at])})"
    return ""


def _place(at: Any) -> str:
    words = ("row", "column") if len(at) <= 2 else ("row",)
    named = [f"{w} {int(i)}" for w, i in zip(words, at, strict=False)]
    rest = [str(int(i)) for i in at[len(named) :]]
    return ", ".join(named) + (f", position ({', '.join(rest)})" if rest else "")


def _finite(array: Array) -> bool:
    """Whether all is finite; mostly one pass that only adds."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):  # NaN and inf stay in a sum; a finite sum can still overflow
            return True
    return all(
        bool(np.isfinite(array[i : i + _CHECK_ROWS]).all())
        for i in range(0, len(array), _CHECK_ROWS)
    )


def check_finite(where: str, name: str, array: Array) -> None:
    """Raise DataError with the place of the first NaN or infinity, and how many there are."""
    if _finite(array):
        return
    bad = ~np.isfinite(array)
    nan, inf = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    at = np.argwhere(bad)[0]
    rows = int(bad.reshape(len(array), -1).any(1).sum())
    counts = " and ".join(f"{n} {kind}" for n, kind in ((nan, "NaN"), (inf, "infinite")) if n)
    noun = "value" if nan + inf == 1 else "values"
    advice = (
        "impute or drop these rows"
        if name.startswith("x")
        else "drop these rows: a target must be known"
    )
    raise DataError(
        f"{where}: {name} has {counts} {noun} in {rows} of {len(array)} rows, the first at "
        f"{_place(at)}; {advice}"
    )


def check_same_rows(where: str, x: Arrays, y: Arrays) -> None:
    """Raise DataError unless both have as many rows."""
    if x.rows != y.rows:
        raise DataError(
            f"{where}: {x.names[0]} has {x.rows} rows, {y.names[0]} has {y.rows}; every example "
            "needs one target"
        )


def row_weights(
    where: str,
    sample_weight: Any,
    class_weight: Any,
    y: Arrays,
    dtype: DType = dt.float32,
    ignore_index: int | None = None,
) -> Array | None:
    """One weight per row, from weights per row and per class; None if neither is given.

    Their mean is 1 over the labels that are not ignored.
    """
    rows = y.rows
    weights: Array | None = None
    if sample_weight is not None:
        weights = np.array(
            arrays_of(where, "sample_weight", sample_weight, dt.float64).arrays[0], np.float64
        )
        if weights.shape != (rows,):
            raise ShapeError(
                f"{where}: sample_weight has shape {weights.shape}; one weight per row, ({rows},), "
                "is expected"
            )
    if class_weight is not None:
        per_row = _class_weights(where, class_weight, y, ignore_index)
        weights = per_row if weights is None else weights * per_row
    if weights is None:
        return None
    if not (weights >= 0).all():
        row = int((weights >= 0).argmin())
        raise DataError(
            f"{where}: the weight of row {row} is {weights[row]:g}; weights are numbers from 0 on"
        )
    if not (weights * labels_that_count(y, ignore_index)).any():
        raise DataError(f"{where}: all weights are 0; at least one row must count")
    return mean_one(weights, y, ignore_index).astype(dtype)


def labels_that_count(y: Arrays, ignore_index: int | None) -> Array:
    """How many targets of each row are not ignored and no padding: 1 for each if all."""
    if y.lengths is not None and (ignore_index is None or y.arrays[0].dtype.kind == "f"):
        return y.lengths.astype(np.float64)
    if ignore_index is None or not y.single:
        return np.ones(y.rows)
    counts = (y.arrays[0] != ignore_index).reshape(y.rows, -1).sum(1, dtype=np.float64)
    return counts if counts.any() else np.ones(y.rows)


def mean_one(weights: Array, y: Arrays, ignore_index: int | None) -> Array:
    """Weights scaled to the mean 1 over the labels that are not ignored; some must not be 0."""
    counts = labels_that_count(y, ignore_index)
    scaled: Array = weights / float(np.average(weights.astype(np.float64), weights=counts))
    return scaled


def _class_weights(where: str, class_weight: Any, y: Arrays, ignore_index: int | None) -> Array:
    labels = y.arrays[0]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not y.single:
        raise ShapeError(
            f"{where}: class_weight needs y with one label per row, y has shape {labels.shape}; "
            "use sample_weight"
        )
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        row = int(np.argmax(labels != np.floor(labels)))
        raise DTypeError(
            f"{where}: class_weight is for class labels, y is {labels[row]:g} at row {row}; use "
            "sample_weight"
        )
    counted = np.ones(len(labels), bool) if ignore_index is None else labels != ignore_index
    weights = np.zeros(len(labels))
    labels = labels[counted].astype(np.int64)
    present, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise DataError(
                f'{where}: class_weight is "balanced", a dict or a list, got {class_weight!r}'
            )
        table = len(labels) / (len(present) * counts)
        weights[counted] = table[index]
        return weights
    by_name = hasattr(class_weight, "items")  # a dict, or a Series of pandas
    given = dict(class_weight.items() if by_name else enumerate(class_weight))
    odd = [v for v in given.values() if isinstance(v, bool) or not isinstance(v, _NUMBER)]
    if odd:
        raise DTypeError(f"{where}: class_weight has the weight {odd[0]!r}; numbers are expected")
    missing = [int(c) for c in present if c not in given]
    if missing:
        raise DataError(
            f"{where}: class_weight has no weight for the classes {missing} that are in y"
        )
    weights[counted] = np.asarray([float(given[int(c)]) for c in present])[index]
    return weights
