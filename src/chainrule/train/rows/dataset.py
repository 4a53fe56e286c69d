"""Data sets as the compiled steps take them, and the division into training and validation rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from ...core.dtypes import DType
from ...core.node import Array
from ...data.batches import Augmentation
from ...errors import DataError, OptionError
from ...tensor.ops.create import asarray
from ...tensor.value import Value
from .arrays import Arrays, arrays_of, check_same_rows, labels_that_count, mean_one, row_weights
from .by_length import ByLength
from .sequences import Padded, StepTargets

EVALUATION_BATCH = 1024
"""Rows of a batch of `evaluate` and `predict`: what is measured does not depend on it."""
MOST_ROWS = 2**32 - 1  # row numbers are 32 bits


@dataclass(frozen=True)
class Kind:
    """What batches of one compiled step have in common."""

    rows: int
    update: bool = True
    """Whether parameters change after it: it is the last of its group, or of the epoch."""
    length: int | None = None
    """That sequences are cut to; None: they stay as they are."""
    noted: bool = False
    """Whether the loss is noted and not added up: each step is an epoch."""


@dataclass
class Dataset:
    """Inputs, targets and row weights as tensors; rows are taken in batches of ``batch`` rows."""

    x: Arrays
    y: Arrays | None
    weights: Array | None
    batch: int
    shuffle: bool
    to_float: tuple[bool, ...] = ()  # which inputs are integers that the model wants as floats
    where: str = "fit"  # who was given them, for messages
    augment: Augmentation | None = None  # what is done to each example in training
    by_length: ByLength | None = None  # batches of sequences of similar length
    drop_last: bool = False  # leave out the rows of an epoch that do not fill a batch
    checked: set[Any] = field(default_factory=set)  # which indices among them have been looked at

    def __post_init__(self) -> None:
        self.probed: Any = (
            None  # a prediction without numbers and its target, once it was asked for
        )
        self.rows = self.x.rows
        self.batch = min(self.batch, self.rows)
        self.full, self.rest = divmod(self.rows, self.batch)
        self.rest = 0 if self.drop_last else self.rest
        self.taken = self.full * self.batch + self.rest  # rows of an epoch
        self.steps = self.full + (self.rest > 0)
        tensors = [tuple(asarray(a) for a in self.x.arrays)]
        tensors.append(tuple(asarray(a) for a in self.y.arrays) if self.y is not None else ())
        tensors.append((asarray(self.weights),) if self.weights is not None else ())
        self.tensors = tuple(tensors)

    @property
    def order(self) -> bool | Value:
        """How rows follow each other: as they are, shuffled, or as this tensor says."""
        return self.shuffle if self.by_length is None else self.by_length.rows

    @property
    def keyed(self) -> bool:
        """Whether steps read the key of the epoch: for its order, or what is done to examples."""
        return self.batch < self.rows or self.augment is not None

    def group_by_length(self) -> None:
        """Take sequences of similar length in one batch, if there are several batches."""
        if self.steps > 1 and self.x.keys is not None and "lengths" in self.x.keys:
            lengths = self.x.arrays[self.x.keys.index("lengths")]
            self.by_length = ByLength(lengths, self.batch)

    def kind(self, index: int, accumulate: int = 1) -> Kind:
        """Of batch ``index``."""
        rows = self.batch if index < self.full else self.rest
        last = index == self.steps - 1
        update = accumulate == 1 or index % accumulate == accumulate - 1 or last
        length = None if self.by_length is None else int(self.by_length.lengths[index])
        return Kind(rows, update, length)

    def alike(self, index: int) -> int:
        """How many batches from ``index`` on are of one program."""
        if index >= self.full:
            return 1
        left = self.full - index
        return left if self.by_length is None else min(left, self.by_length.alike(index))

    def turns(self, accumulate: int = 1) -> list[tuple[Kind, int]]:
        """An epoch as runs of equal steps, and how many each has."""
        if accumulate == 1 and self.by_length is None:
            return [(Kind(self.batch), self.full), *[(Kind(self.rest), 1)] * (self.rest > 0)]
        kinds = [self.kind(i, accumulate) for i in range(self.steps)]
        return [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]


def evaluation_data(
    where: str,
    dtype: DType,
    x: Any,
    y: Any,
    sample_weight: Any,
    batch: int,
    ignore_index: int | None = None,
) -> Dataset:
    """A data set to be measured, its rows in order."""
    xs, ys = arrays_of(where, "x", x, dtype), arrays_of(where, "y", y, dtype)
    check_same_rows(where, xs, ys)
    weights = row_weights(where, sample_weight, None, ys, dtype, ignore_index)
    return Dataset(xs, ys, weights, batch, False, where=where)


def training_data(
    dtype: DType,
    x: Any,
    y: Any,
    batch: int,
    shuffle: bool,
    validation_data: Any = None,
    validation_split: float = 0.0,
    sample_weight: Any = None,
    class_weight: Any = None,
    ignore_index: int | None = None,
    group_by_length: bool = False,
    augment: Augmentation | None = None,
    drop_last: bool = False,
) -> tuple[Dataset, Dataset | None]:
    """The data sets for training and for validation that `Trainer.fit` is asked for."""
    if group_by_length and not (isinstance(x, Padded) and shuffle):
        wanted = "x as a list of sequences, and a model whose forward takes lengths="
        raise OptionError(
            "fit: group_by_length needs " + (wanted if shuffle else "shuffle=True: it is an order")
        )
    xs, ys = arrays_of("fit", "x", x, dtype), arrays_of("fit", "y", y, dtype)
    check_same_rows("fit", xs, ys)
    if xs.rows > MOST_ROWS:
        raise DataError(f"fit: x has {xs.rows} rows; at most 2**32 - 1 are supported")
    weights = row_weights("fit", sample_weight, class_weight, ys, dtype, ignore_index)
    if validation_data is not None and validation_split:
        raise OptionError("fit: give validation_data or validation_split, not both")
    measured = max(batch, EVALUATION_BATCH)
    validation: Dataset | None = None
    if validation_split:
        cut = _cut(xs.rows, validation_split)
        xv, yv = xs.slice(cut, xs.rows), ys.slice(cut, xs.rows)
        own = row_weights("fit", sample_weight, None, ys, dtype, ignore_index)
        wv = None if own is None else _mean_one(own[cut:], yv, ignore_index)
        xs, ys = xs.slice(0, cut), ys.slice(0, cut)
        weights = None if weights is None else _mean_one(weights[:cut], ys, ignore_index)
        validation = Dataset(xv, yv, wv, measured, False)
    if drop_last and xs.rows < batch:
        raise DataError(
            f"fit: {xs.rows} training rows do not fill one batch of batch_size={batch}, and "
            f"drop_last=True leaves out what does not: choose batch_size up to {xs.rows}, or "
            "drop_last=False"
        )
    data = Dataset(xs, ys, weights, batch, bool(shuffle), augment=augment, drop_last=drop_last)
    if group_by_length:
        data.group_by_length()
    if validation_data is not None:
        padded = isinstance(x, Padded), isinstance(y, StepTargets)
        validation = _validation_data(dtype, validation_data, data, measured, ignore_index, padded)
    if group_by_length and validation is not None:
        validation.group_by_length()
    return data, validation


def _cut(rows: int, share: float) -> int:
    """The first row of the last ``share`` of them."""
    held = int(rows * share + 1e-9)  # 29 of 100 rows are 0.29 of them
    if held == 0:
        raise DataError(
            f"fit: validation_split={share:g} of {rows} rows is no row; give more data or a larger "
            "share"
        )
    return rows - held


def _validation_data(
    dtype: DType,
    given: Any,
    data: Dataset,
    batch: int,
    ignore_index: int | None,
    padded: tuple[bool, bool],
) -> Dataset:
    """The user's own validation data, of the same kind as the training data.

    ``padded``: whether x and y are lists of sequences, the longest of which may have another length
    here.
    """
    parts = tuple(given) if isinstance(given, tuple | list) else (given,)
    if len(parts) not in (2, 3):
        kind = type(given).__name__
        raise OptionError(f"fit: validation_data is (x, y) or (x, y, sample_weight), got {kind}")
    where = "fit: validation_data"
    xv, yv, weights = (*parts, None)[:3]
    found = evaluation_data(where, dtype, xv, yv, weights, batch, ignore_index)
    assert data.y is not None and found.y is not None
    pairs = ((data.x, found.x, "x", padded[0]), (data.y, found.y, "y", padded[1]))
    for own, other, name, steps in pairs:
        for a, b, label in zip(own.arrays, other.arrays, other.names, strict=False):
            same = a.shape[1 + steps :] == b.shape[1 + steps :] and a.ndim == b.ndim
            if not same and data.augment is None:
                raise DataError(
                    f"{where}: {label} has rows of shape {b.shape[1:]}, the training {name} "
                    f"{a.shape[1:]}"
                )
    return found


def _mean_one(weights: Array, y: Arrays, ignore_index: int | None) -> Array:
    """Weights of some rows, scaled to the mean 1."""
    if not (weights * labels_that_count(y, ignore_index)).any():
        raise DataError(
            "fit: validation_split leaves only rows of weight 0 on one side; shuffle the rows"
        )
    return mean_one(weights, y, ignore_index).astype(weights.dtype)
