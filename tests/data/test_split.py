"""Splits: at random, by class, by group, by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.data import KFold, TimeSeriesSplit, train_test_split
from chainrule.errors import DataError, OptionError


@given(st.integers(2, 60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_every_row_is_in_one_part(n: int, size: float, seed: int) -> None:
    test = int(np.ceil(size * n))
    if test == n:
        return
    x = np.arange(n)
    parts = train_test_split(x, 2 * x, test_size=size, random_state=seed)
    assert len(parts[1]) == test and sorted(np.concatenate(parts[:2])) == list(x)
    np.testing.assert_array_equal(2 * parts[0], parts[2])
    np.testing.assert_array_equal(2 * parts[1], parts[3])


@given(st.lists(st.integers(2, 20), min_size=1, max_size=5), st.floats(0.1, 0.9), st.integers(0, 9))
def test_classes_keep_their_shares(counts: list[int], size: float, seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    n = len(y)
    test = int(np.ceil(size * n))
    if min(test, n - test) < len(counts):
        return
    _, found = train_test_split(y, test_size=size, stratify=y, random_state=seed)
    shares = np.bincount(found, minlength=len(counts))
    assert (shares >= 1).all() and (shares < counts).all()
    assert (np.abs(shares - np.array(counts) * test / n) < 2).all()


def test_sizes_order_and_kinds() -> None:
    x = np.arange(10)
    assert [len(a) for a in train_test_split(x)] == [7, 3]
    assert [len(a) for a in train_test_split(x, train_size=4)] == [4, 6]
    assert [len(a) for a in train_test_split(x, train_size=0.3, test_size=2)] == [3, 2]
    train, test = train_test_split(list("abcd"), shuffle=False)
    assert train == ["a", "b", "c"] and test == ["d"]
    same = [train_test_split(x, random_state=1)[1].tolist() for _ in range(2)]
    assert same[0] == same[1] != train_test_split(x, random_state=2)[1].tolist()
    train, _ = train_test_split(cr.arange(8))
    assert isinstance(train, cr.Tensor) and train.shape == (6,)


def test_groups_stay_together() -> None:
    groups = np.array(list("aabbbcddddee"))
    train, test = train_test_split(groups, groups=groups, test_size=2)
    assert not set(train) & set(test) and len(set(test)) == 2 and len(train) + len(test) == 12
    tested = [set(groups[b]) for _, b in KFold(3).split(groups, groups=groups)]
    assert sorted(g for s in tested for g in s) == list("abcde")


def test_folds() -> None:
    x = np.arange(11)
    for shuffle in (False, True):
        folds = list(KFold(4, shuffle=shuffle).split(x))
        assert [len(b) for _, b in folds] == [3, 3, 3, 2]
        assert sorted(np.concatenate([b for _, b in folds])) == list(x)
        assert all(not set(a) & set(b) and len(a) + len(b) == 11 for a, b in folds)
    y = np.repeat([0, 1], [8, 4])
    for a, b in KFold(4, shuffle=True).split(y, stratify=y):
        assert np.bincount(y[b]).tolist() == [2, 1] and np.bincount(y[a]).tolist() == [6, 3]


def test_time_is_never_turned_round() -> None:
    for train, test in TimeSeriesSplit(3, test_size=2, gap=1, max_train_size=4).split(range(12)):
        assert len(test) == 2 and train.max() + 2 == test.min() and len(train) <= 4
    with pytest.raises(
        DataError, match="TimeSeriesSplit: 4 rows are too few for 5 tests of 1 rows"
    ):
        list(TimeSeriesSplit(5).split(range(4)))


def test_mistakes_are_named() -> None:
    x = np.arange(4)
    with pytest.raises(DataError, match="the arrays have 4, 3 rows; they must be equal"):
        train_test_split(x, x[:3])
    with pytest.raises(DataError, match="4 rows cannot be split into 0 for training and 4 for tes"):
        train_test_split(x, test_size=4)
    with pytest.raises(OptionError, match="test_size is between 0 and 1, got 1.5"):
        train_test_split(x, test_size=1.5)
    with pytest.raises(DataError, match="class 3 has one row, which cannot be in both parts"):
        train_test_split(x, stratify=[1, 1, 1, 3])
    with pytest.raises(DataError, match="1 rows cannot have all of the 2 classes"):
        train_test_split(x, stratify=[1, 1, 2, 2], test_size=1)
    with pytest.raises(OptionError, match="shuffle=False leaves the order"):
        train_test_split(x, stratify=x, shuffle=False)
    with pytest.raises(DataError, match="class 0 has 2 rows, fewer than the 3 folds"):
        list(KFold(3).split(x, stratify=[0, 0, 1, 1]))
    with pytest.raises(DataError, match="2 groups are fewer than the 3 folds"):
        list(KFold(3).split(x, groups=[0, 0, 1, 1]))
