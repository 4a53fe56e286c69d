"""What `fit` reads: frames and arrays of every kind, as they are meant."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.dtypes import float32
from chainrule.errors import DataError, DTypeError, ShapeError
from chainrule.train.rows.arrays import arrays_of


def read(data: Any) -> np.ndarray:
    return arrays_of("fit", "x", data, float32, allow_nan=True).arrays[0]


def test_arrays_of_any_order_of_bytes() -> None:
    for kind, expected in (
        (">f8", "float32"),
        (">i8", "int64"),
        (">i4", "int32"),
        (">u2", "int32"),
    ):
        found = read(np.arange(6).reshape(3, 2).astype(kind))
        assert found.dtype == expected and found.dtype.isnative
        assert found.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_nullable_columns_numbered_columns_and_objects() -> None:
    frame = pd.DataFrame({0: pd.Series([1, 2], dtype="Int64"), 1: [Decimal("0.5"), Decimal(1)]})
    assert read(frame).tolist() == [[1.0, 0.5], [2.0, 1.0]]
    whole = pd.DataFrame({0: pd.Series([1, 2], dtype="Int64"), 1: np.array([3, 4], object)})
    assert read(whole).dtype == np.int64
    assert read(pd.Series([True, False], dtype="boolean")).dtype == bool
    assert read(pd.Series([2**60 + 1], dtype="Int64")).tolist() == [2**60 + 1]


REFUSED = {
    "masked": (
        np.ma.masked_equal(np.ones((2, 2)), 1),
        DataError,
        "fit: x is a masked array, and 4 of 4 elements are masked, the first at position (0, 0); "
        "fill them with x.filled(value), or drop these rows",
    ),
    "NA": (
        pd.Series([1, pd.NA], dtype="Int64"),
        DataError,
        "fit: x has 1 NaN value in 1 of 2 rows, the first at row 1; impute or drop these rows",
    ),
    "NA in a table": (
        pd.DataFrame({"a": [1, 2], "b": pd.Series([True, pd.NA], dtype="boolean")}),
        DataError,
        "fit: x has 1 NaN value in 1 of 2 rows, the first at row 1, column 1; impute or drop these "
        "rows",
    ),
    "equal names": (
        pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]),
        DataError,
        "fit: x has several columns that are called 'a'",
    ),
    "words": (
        pd.DataFrame({"a": ["red", "blue"]}),
        DTypeError,
        "fit: the column 'a' of x has 'red' at row 0; numbers are expected. Encode categories as "
        "integers or one-hot columns",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    data, kind, text = REFUSED[name]
    with pytest.raises(kind) as caught:
        arrays_of("fit", "x", data, float32)
    assert str(caught.value) == text


def trainer_of(model: nn.Module, loss: Any) -> cr.Trainer:
    return cr.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_one_row_without_the_axis_of_rows_is_named(n: int) -> None:
    trainer, x = trainer_of(nn.Linear(3, 2), nn.CrossEntropyLoss()), np.ones(n, "f")
    text = (
        f"x has shape ({n},), {n} rows of one number each, which the model does not take; for one "
        f"row of {n} features write x[None], for {n} rows of one feature x[:, None]"
    )
    for where, run in (
        ("predict", lambda: trainer.predict(x)),
        ("evaluate", lambda: trainer.evaluate(x, np.zeros(n, int))),
        ("fit", lambda: trainer.fit(x, np.zeros(n, int), progress=False)),
    ):
        with pytest.raises(ShapeError) as caught:
            run()
        assert str(caught.value).startswith(f"{where}: {text}")


def test_predictions_that_are_not_one_for_each_row_are_refused() -> None:
    trainer = trainer_of(nn.Sequential(nn.Linear(3, 2), nn.Flatten(0, 1)), nn.MSELoss())
    with pytest.raises(ShapeError) as caught:
        trainer.predict(np.ones((5, 2, 3), "f"))
    assert str(caught.value) == (
        "predict: the model returns shape (10, 2) for 5 rows; the first axis must count the rows"
    )
