"""Columns of nullable types, objects and masks, and frames whose columns are numbered."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from chainrule.data import Preprocessor, table_of
from chainrule.errors import DataError

Y = ["a", "b", "a", "b"]


@pytest.mark.parametrize("dtype", ["string", "boolean", object])
def test_na_is_a_missing_word(dtype) -> None:
    value = True if dtype == "boolean" else "red"
    frame = pd.DataFrame({"c": pd.Series([value, pd.NA] * 2, dtype=dtype)})
    assert table_of(frame).columns["c"].tolist() == [str(value), None] * 2


@pytest.mark.parametrize(
    "column",
    [
        [Decimal("1.5"), Decimal(2), Decimal("NaN")],
        [1.5, 2, None],
        [1.5, 2, pd.NA],
    ],
)
def test_objects_that_are_numbers_are_numbers(column) -> None:
    column = np.array(column, object)
    for data in ({"x": column}, pd.DataFrame({"x": pd.Series(column, dtype=object)})):
        np.testing.assert_array_equal(table_of(data).columns["x"], [1.5, 2.0, np.nan])


def test_objects_are_numbers_in_all_pieces_or_in_none(monkeypatch) -> None:
    monkeypatch.setattr("chainrule.data.source.BATCH", 2)
    frame = pd.DataFrame({"x": pd.Series([1, 2, 3, "four"], dtype=object)})
    assert table_of(frame).columns["x"].tolist() == ["1", "2", "3", "four"]


def test_masked_elements_are_missing() -> None:
    table = table_of({"x": np.ma.masked_less([-1.0, 2.0], 0), "y": np.ma.array([1, 2])})
    np.testing.assert_array_equal(table.columns["x"], [np.nan, 2.0])
    assert table.columns["y"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("target", [2, "2", [2]])
def test_numbered_columns(target) -> None:
    frame = pd.DataFrame({0: [1.0, 2.0, 3.0, 4.0], 1: [0.5, 1.0, 0.0, 2.0], 2: Y})
    for data in (frame, {k: list(frame[k]) for k in frame}):
        p = Preprocessor.fit(data, target, drop=[1])
        assert p.feature_names == ["0"] and p.target_names == ["2"]
        assert p.features(data).shape == (4, 1)


def test_columns_of_one_name_are_refused() -> None:
    frame = pd.DataFrame(np.ones((2, 3)), columns=["1", 1, "b"])
    with pytest.raises(DataError) as caught:
        table_of(frame)
    assert str(caught.value) == "the table: 2 columns are called '1'; rename them"
    with pytest.raises(DataError) as caught:
        table_of({"1": [1], 1: [2]})
    assert str(caught.value) == "the table: two columns are called '1'"


def test_large_numbers_are_no_classes() -> None:
    with pytest.raises(DataError) as caught:
        Preprocessor.fit({"x": [1.0, 2.0], "y": np.array([2**60, 2**60 + 1])}, "y")
    assert str(caught.value) == (
        f"the table: column 'y' has {2**60}: numbers of 2**53 and more are not told apart; make "
        "them words (str) to use them as categories"
    )
