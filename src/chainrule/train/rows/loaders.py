"""Loaders: the rows of a `DataLoader`, ours or PyTorch's, or another source of batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ...data.batches import Augmentation, Batches, TextBatches
from ...errors import DataError, DTypeError, OptionError
from ...habits import user_level
from ...tensor.pytree import flatten, unflatten
from ...tensor.value import Value
from ...utils.data import Subset, _rows_at_once


class Rows(NamedTuple):
    """What a loader reads: inputs, targets (None if it has none), and how it makes batches."""

    x: Any
    y: Any
    batch: int | None
    shuffle: bool
    augment: Augmentation | None = None
    drop_last: bool = False


def gives_batches(data: Any) -> bool:
    """Whether ``data`` is a loader, or a data set of another library: rows, but not an array."""
    arrays = ("__array__", "__array_interface__", "__buffer__", "shape", "dtype")
    if isinstance(data, Batches):
        return True
    if isinstance(data, list | tuple | Mapping | Iterator) or any(hasattr(data, n) for n in arrays):
        return False
    loads = hasattr(data, "batch_size") or hasattr(data, "dataset") or hasattr(data, "take")
    return loads and (hasattr(data, "__iter__") or hasattr(data, "__getitem__"))


def rows_of(where: str, loader: Any, training: bool = False) -> Rows:
    """All rows of a loader, read once.

    With ``training``, a UserWarning where each pass over it may give other rows; otherwise
    ``drop_last`` leaves out those behind its last full batch.
    """
    rows = _all_rows(where, loader, training)
    return rows if training or not rows.drop_last else _full_batches(where, rows)


def _full_batches(where: str, rows: Rows) -> Rows:
    """What a pass in order gives of these rows where a smaller last batch is left out."""
    leaves, structure = flatten((rows.x, rows.y))
    count, size = len(leaves[0]), rows.batch or 1
    if count < size:
        raise DataError(
            f"{where}: {count} rows do not fill one batch of batch_size={size}, and drop_last=True"
            f" leaves out what does not: choose batch_size up to {count}, or drop_last=False"
        )
    x, y = unflatten(structure, [leaf[: count - count % size] for leaf in leaves])
    return rows._replace(x=x, y=y)


def _all_rows(where: str, loader: Any, training: bool) -> Rows:
    kind = type(loader).__name__
    if isinstance(loader, Batches):
        return _of_batches(where, loader)
    parts = _at_once(loader)
    if parts is None:
        parts = _joined(where, kind, loader)
        if training:
            warnings.warn(
                f"{where}: the rows of the {kind} were read once, and minibatches are drawn from"
                " these: if its data set changes rows at random, they stay as they were read. Give"
                " the arrays, fit(x, y), to start at once",
                UserWarning,
                stacklevel=user_level(),
            )
    x, y = parts if len(parts) == 2 else (parts[0], None)
    sampler = type(getattr(loader, "sampler", None)).__name__
    shuffle = bool(getattr(loader, "shuffle", sampler != "SequentialSampler"))
    batch = getattr(loader, "batch_size", None)
    drop_last = bool(getattr(loader, "drop_last", False))
    return Rows(x, y, batch if isinstance(batch, int) else None, shuffle, None, drop_last)


def training_rows(loader: Any, y: Any, batch_size: int, default: int, shuffle: bool) -> Rows:
    """`rows_of` a loader that was given to `fit`, with the options that `fit` got."""
    if y is not None:
        raise OptionError(
            f"fit: x is a {type(loader).__name__}, which has the targets as well; leave y out"
        )
    found = rows_of("fit", loader, training=True)
    if found.y is None:
        raise DataError(f"fit: the batches of the {type(loader).__name__} are no pairs (x, y)")
    batch = found.batch or batch_size
    if batch_size not in (default, batch):
        raise OptionError(
            f"fit: batch_size={batch_size}, but the {type(loader).__name__} has batch_size {batch};"
            " leave one of them out"
        )
    return found._replace(batch=batch, shuffle=found.shuffle and shuffle)


def _of_batches(where: str, batches: Batches) -> Rows:
    """The arrays of `data.Batches`, not copied, and what it does to each example."""
    kind = type(batches).__name__
    if isinstance(batches, TextBatches):
        raise OptionError(f"{where}: give the windows of a text as arrays, not as {kind}")
    if batches.of > 1:
        raise OptionError(
            f"{where}: of={batches.of} of the {kind} is not for the Trainer, which takes every row"
            " of an epoch"
        )
    how = batches.augmentation
    x, y = ([t._read() for t in part] for part in (batches.x, batches.y))
    found = x[0] if how.single_x else tuple(x), y[0] if y and how.single_y else tuple(y)
    augment = how if how.functions else None
    targets = found[1] if y else None
    shuffle, drop_last = batches.shuffle, batches.drop_last
    return Rows(found[0], targets, batches.batch_size, shuffle, augment, drop_last)


def _at_once(loader: Any) -> list[Any] | None:
    """The tensors of a data set that is nothing else, if batches are of its rows as they are."""
    dataset = getattr(loader, "dataset", None)
    collate = getattr(loader, "collate_fn", None)
    if collate is not None and getattr(collate, "__name__", "") != "default_collate":
        return None
    if type(dataset).__name__ == "TensorDataset" and 0 < len(dataset.tensors) <= 2:  # type: ignore[union-attr]
        return [_array(t) for t in dataset.tensors]  # type: ignore[union-attr]
    if isinstance(dataset, Subset) and _rows_at_once(dataset):
        parts = dataset[list(range(len(dataset)))]
        return [_array(t) for t in parts] if len(parts) <= 2 else None
    return None


@contextmanager
def _whole(loader: Any) -> Iterator[None]:
    """A loader that leaves out nothing, for a while: what is left out, the reader says."""
    chooses = getattr(loader, "batch_sampler", None) or loader
    if not getattr(chooses, "drop_last", False):
        yield
        return
    chooses.drop_last = False
    try:
        yield
    finally:
        chooses.drop_last = True


def _joined(where: str, kind: str, loader: Any) -> list[Any]:
    with _whole(loader):
        batches = [list(b) if isinstance(b, tuple | list) else [b] for b in loader]
    if not batches:
        raise DataError(f"{where}: the {kind} gives no batch: it has no rows")
    if len({len(b) for b in batches}) > 1 or len(batches[0]) > 2:
        raise DTypeError(
            f"{where}: a batch of the {kind} has {len(batches[0])} parts; (x, y) is expected, where"
            " x and y may be tuples or dicts"
        )
    return [_concatenated(list(part)) for part in zip(*batches, strict=True)]


def _concatenated(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Mapping):
        return {k: _concatenated([p[k] for p in parts]) for k in first}
    if isinstance(first, tuple | list) and first and hasattr(first[0], "shape"):
        return tuple(_concatenated(list(p)) for p in zip(*parts, strict=True))
    return np.concatenate([_array(p) for p in parts])


def _array(part: Any) -> Any:
    if isinstance(part, Value):
        return part._read()
    return np.asarray(part)
