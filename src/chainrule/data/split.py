"""Rows for training and rows to test with: at random, by class, by group, by time.

Names and meaning are those of ``sklearn.model_selection``; the rows chosen are others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from ..tensor.value import Value


def split_rows(
    rows: int, fraction: float, seed: int, classes: Array | None = None
) -> tuple[Array, Array]:
    """Sorted row numbers (kept, held); ``fraction`` of every class is held, one row at least kept.

    >>> import numpy as np
    >>> from chainrule.data.split import split_rows
    >>> kept, held = split_rows(10, 0.2, seed=0, classes=np.array([0] * 5 + [1] * 5))
    >>> len(kept), len(held)
    (8, 2)
    """
    rng = np.random.default_rng(seed)
    if classes is None:
        order = rng.permutation(rows)
        cut = min(max(round(rows * fraction), 1), rows - 1)
    else:
        # Rows of a class are spread evenly over [0, 1); those below the fraction are held.
        place = np.empty(rows)
        for c in np.unique(classes):
            own = np.flatnonzero(classes == c)
            place[rng.permutation(own)] = (np.arange(len(own)) + rng.random()) / len(own)
        order = np.argsort(place, kind="stable")
        cut = min(max(round(rows * fraction), 1), rows - 1)
    if rows < 2:
        raise DataError(f"{rows} row cannot be split into training and validation; give more data")
    return np.sort(order[cut:]), np.sort(order[:cut])


Fold = tuple[Array, Array]


def train_test_split(
    *arrays: Any,
    test_size: float | int | None = None,
    train_size: float | int | None = None,
    random_state: int | None = 0,
    shuffle: bool = True,
    stratify: Any = None,
    groups: Any = None,
) -> list[Any]:
    """Each array (rows first) in two parts: ``x_train, x_test, y_train, y_test``, of the same rows.

    ``test_size``, ``train_size``: a fraction of the rows or their number; a quarter is for the test
    if neither is given. ``stratify``: one label a row, of which both parts have equal shares.
    ``groups``: one name a row; all rows of a group are in one part. ``shuffle=False``: the last
    rows are the test, for rows in order of time. ``random_state``: a seed; None: another split each
    time. Raises DataError for arrays of unequal length, classes of one row, parts without rows.

    >>> import numpy as np
    >>> from chainrule.data import train_test_split
    >>> x = np.arange(8)
    >>> train, test = train_test_split(x, shuffle=False)
    >>> train, test
    (array([0, 1, 2, 3, 4, 5]), array([6, 7]))
    >>> _, test = train_test_split(x, test_size=0.5, stratify=x < 4)
    >>> int((test < 4).sum())
    2
    """
    rows = _rows(arrays)
    if shuffle is False and (stratify is not None or groups is not None):
        raise OptionError(
            "train_test_split: shuffle=False leaves the order; give no stratify, groups"
        )
    if stratify is not None and groups is not None:
        raise OptionError("train_test_split: give stratify or groups, not both")
    rng = np.random.default_rng(random_state)
    if groups is not None:
        names, number = _classes("groups", groups, rows)
        train, test = _sizes(len(names), test_size, train_size, "groups")
        chosen = rng.permutation(len(names))
        test_rows = np.flatnonzero(np.isin(number, chosen[:test]))
        train_rows = np.flatnonzero(np.isin(number, chosen[test : test + train]))
    else:
        train, test = _sizes(rows, test_size, train_size, "rows")
        if not shuffle:
            order = np.arange(rows)
            train_rows, test_rows = order[:train], order[train : train + test]
        else:
            order = rng.permutation(rows)
            if stratify is not None:
                order = _stratified(stratify, rows, test, train, rng)
            test_rows, train_rows = order[:test], rng.permutation(order[test : test + train])
    return [part for a in arrays for part in (_take(a, train_rows), _take(a, test_rows))]


def _rows(arrays: tuple[Any, ...]) -> int:
    if not arrays:
        raise OptionError("train_test_split: give at least one array")
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) > 1:
        shown = ", ".join(map(str, lengths))
        raise DataError(f"train_test_split: the arrays have {shown} rows; they must be equal")
    return lengths[0]


def _sizes(
    n: int, test: float | int | None, train: float | int | None, what: str
) -> tuple[int, int]:
    """How many are for training and for testing: a test is rounded up, the training down."""
    wanted = []
    for name, size, up in (("test_size", test, True), ("train_size", train, False)):
        if isinstance(size, float | np.floating):
            if not 0 < size < 1:
                raise OptionError(f"train_test_split: {name} is between 0 and 1, got {size}")
            size = math.ceil(size * n) if up else math.floor(size * n)
        wanted.append(size)
    test, train = wanted
    if test is None:
        test = math.ceil(0.25 * n) if train is None else n - train
    train = n - test if train is None else train
    if test < 1 or train < 1 or test + train > n:
        raise DataError(
            f"train_test_split: {n} {what} cannot be split into {train} for training and {test} "
            "for testing"
        )
    return int(train), int(test)


def _classes(name: str, labels: Any, rows: int) -> tuple[Array, Array]:
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != rows:
        raise DataError(f"{name} is one label a row, ({rows},), got the shape {array.shape}")
    names, number = np.unique(array, return_inverse=True)
    return names, number


def _stratified(labels: Any, rows: int, test: int, train: int, rng: Any) -> Array:
    """An order of the rows whose first ``test``, and those after, have equal shares of classes.

    Rows of a class are spread evenly over [0, 1); so any piece of the order has its share.
    """
    names, number = _classes("stratify", labels, rows)
    counts = np.bincount(number)
    if counts.min() < 2:
        name = names[int(counts.argmin())]
        raise DataError(
            f"train_test_split: class {name} has one row, which cannot be in both parts; leave it "
            "out, or do not stratify"
        )
    if min(test, train) < len(names):
        raise DataError(
            f"train_test_split: {min(test, train)} rows cannot have all of the {len(names)} classes"
        )
    place = np.empty(rows)
    for c, count in enumerate(counts):
        place[rng.permutation(np.flatnonzero(number == c))] = (
            np.arange(count) + rng.random()
        ) / count
    return _with_each_class(np.argsort(place, kind="stable"), number, test)


def _with_each_class(order: Array, number: Array, test: int) -> Array:
    """``order`` with rows exchanged so that each class is on both sides of place ``test``."""
    order = order.copy()
    for c in np.unique(number):
        for own, other in (
            (slice(0, test), slice(test, None)),
            (slice(test, None), slice(0, test)),
        ):
            if not (number[order[own]] == c).any():
                inside = np.bincount(number[order[own]], minlength=number.max() + 1)
                gives = own.indices(len(order))[0] + int(
                    np.flatnonzero(number[order[own]] == inside.argmax())[-1]
                )
                takes = other.indices(len(order))[0] + int(
                    np.flatnonzero(number[order[other]] == c)[0]
                )
                order[[gives, takes]] = order[[takes, gives]]
    return order


def _take(array: Any, rows: Array) -> Any:
    if isinstance(array, Value | np.ndarray):
        return array[rows]  # type: ignore[index]
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if isinstance(array, list | tuple):
        return type(array)([array[i] for i in rows])
    return array[rows]


class KFold:
    """``n_splits`` splits in which each row is for testing once.

    ``for train, test in KFold(5).split(x):`` gives sorted row numbers.

    The folds are pieces of the rows in their order, or of a random one if ``shuffle``. With
    ``stratify`` each has equal shares of the classes ``y``, with ``groups`` a group is in one fold.

    >>> from chainrule.data import KFold
    >>> [test.tolist() for _, test in KFold(2).split([1, 2, 3, 4])]
    [[0, 1], [2, 3]]
    """

    def __init__(
        self, n_splits: int = 5, *, shuffle: bool = False, random_state: int | None = 0
    ) -> None:
        if n_splits < 2:
            raise OptionError(f"KFold: n_splits is at least 2, got {n_splits}")
        self.n_splits, self.shuffle, self.random_state = n_splits, shuffle, random_state

    def split(self, x: Any, stratify: Any = None, groups: Any = None) -> Iterator[Fold]:
        """Row numbers for training and for testing, ``n_splits`` times."""
        n = len(x)
        rng = np.random.default_rng(self.random_state)
        if stratify is not None and groups is not None:
            raise OptionError("KFold: give stratify or groups, not both")
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        if groups is not None:
            fold = self._of_groups(groups, n)
        elif stratify is not None:
            names, number = _classes("stratify", stratify, n)
            few = np.bincount(number)
            if few.min() < self.n_splits:
                raise DataError(
                    f"KFold: class {names[int(few.argmin())]} has {few.min()} rows, fewer than "
                    f"the {self.n_splits} folds"
                )
            fold = np.empty(n, np.int64)
            by_class = order[np.argsort(number[order], kind="stable")]
            fold[by_class] = np.arange(n) % self.n_splits
        else:
            if n < self.n_splits:
                raise DataError(f"KFold: {n} rows are fewer than the {self.n_splits} folds")
            fold = np.empty(n, np.int64)
            fold[order] = np.repeat(np.arange(self.n_splits), self._lengths(n))
        for i in range(self.n_splits):
            yield np.flatnonzero(fold != i), np.flatnonzero(fold == i)

    def _lengths(self, n: int) -> Array:
        return n // self.n_splits + (np.arange(self.n_splits) < n % self.n_splits)

    def _of_groups(self, groups: Any, n: int) -> Array:
        """Largest groups first, each to the fold that is smallest so far."""
        names, number = _classes("groups", groups, n)
        if len(names) < self.n_splits:
            raise DataError(f"KFold: {len(names)} groups are fewer than the {self.n_splits} folds")
        counts, sizes = np.bincount(number), np.zeros(self.n_splits, np.int64)
        of_group = np.empty(len(names), np.int64)
        for group in np.argsort(-counts, kind="stable"):
            of_group[group] = sizes.argmin()
            sizes[of_group[group]] += counts[group]
        return np.asarray(of_group[number])


class TimeSeriesSplit:
    """``n_splits`` splits of rows in the order of time.

    Each tests with the ``test_size`` rows that follow the training rows, ``gap`` rows left out
    between.

    ``max_train_size``: how many rows before are used at most.

    >>> from chainrule.data import TimeSeriesSplit
    >>> [(a.tolist(), b.tolist()) for a, b in TimeSeriesSplit(2).split(range(6))]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        test_size: int | None = None,
        gap: int = 0,
        max_train_size: int | None = None,
    ) -> None:
        if n_splits < 1 or gap < 0 or (test_size is not None and test_size < 1):
            raise OptionError(
                f"TimeSeriesSplit: n_splits={n_splits}, test_size={test_size}, gap={gap}: at least "
                "1, 1 and 0 are expected"
            )
        self.n_splits, self.test_size, self.gap = n_splits, test_size, gap
        self.max_train_size = max_train_size

    def split(self, x: Any) -> Iterator[Fold]:
        """Row numbers for training and for testing, ``n_splits`` times."""
        n = len(x)
        size = n // (self.n_splits + 1) if self.test_size is None else self.test_size
        first = n - self.n_splits * size
        if size < 1 or first - self.gap < 1:
            raise DataError(
                f"TimeSeriesSplit: {n} rows are too few for {self.n_splits} tests of {max(size, 1)}"
                f" rows, a gap of {self.gap}, and rows to train with before them"
            )
        for start in range(first, n, size):
            end = start - self.gap
            low = 0 if self.max_train_size is None else max(0, end - self.max_train_size)
            yield np.arange(low, end), np.arange(start, start + size)
