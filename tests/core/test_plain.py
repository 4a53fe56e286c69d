"""Array-likes of every kind: read as they are meant, or refused by name."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

import chainrule as cr
from chainrule.core.host.plain import is_missing, numbers, plain
from chainrule.errors import ChainruleError, DataError, DTypeError


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">i8", ">u4"])
def test_the_order_of_bytes_does_not_matter(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    for tensor in (cr.tensor(array), cr.from_numpy(array), cr.ones(2, 3) * 0 + cr.asarray(array)):
        assert tensor.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert cr.tensor(array).dtype == np.dtype(dtype).newbyteorder("=")
    assert cr.tensor([1, 2], dtype=dtype).dtype.isnative


READ: dict[str, tuple[Any, np.dtype[Any], list[Any]]] = {
    "decimals": ([Decimal("1.5"), 2], np.dtype("float32"), [1.5, 2.0]),
    "fractions": ([Fraction(1, 2)], np.dtype("float32"), [0.5]),
    "objects": (np.array([1.5, 2], object), np.dtype("float64"), [1.5, 2.0]),
    "large integers": (np.array([2**60 + 1, 1], object), np.dtype("int64"), [2**60 + 1, 1]),
    "bools": (np.array([True, False], object), np.dtype("bool"), [True, False]),
    "nullable": (pd.Series([2**60 + 1, 2], dtype="Int64"), np.dtype("int64"), [2**60 + 1, 2]),
    "boolean": (pd.Series([True, False], dtype="boolean"), np.dtype("bool"), [True, False]),
    "no mask": (np.ma.array([1, 2]), np.dtype("int64"), [1, 2]),
}


@pytest.mark.parametrize("name", READ)
def test_numbers_of_any_kind(name: str) -> None:
    data, dtype, expected = READ[name]
    tensor = cr.tensor(data)
    assert tensor.dtype == dtype and tensor.tolist() == expected


MASKED = np.ma.masked_greater(np.arange(4.0).reshape(2, 2), 2)
MASK_TEXT = (
    " is a masked array, and 1 of 4 elements are masked, the first at position (1, 1); fill them "
    "with x.filled(value), or drop these rows"
)
BIG = f"the list has {2**70} at position (0,), more than int64 holds"
REFUSED: dict[str, tuple[Any, type[ChainruleError], str]] = {
    "masked": (MASKED, DataError, "the array" + MASK_TEXT),
    "a list of masked arrays": ([MASKED, MASKED], DataError, "the list" + MASK_TEXT),
    "NA": (
        pd.Series([1, pd.NA], dtype="Int64"),
        DTypeError,
        "the array has no value (<NA>) at position (1,); give a number",
    ),
    "None": ([1, None], DTypeError, "the list has no value (None) at position (1,); give a number"),
    "a word": (
        np.array([1, "a"], object),
        DTypeError,
        "the array has 'a' at position (1,); numbers are expected",
    ),
    "too large": ([2**70], DTypeError, BIG),
    "beside fractions": (
        np.array([0.5, 2**53 + 1], object),
        DTypeError,
        f"the array has {2**53 + 1} at position (1,) beside fractions or missing values: float64 "
        "does not tell it from its neighbours",
    ),
    "records": (
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
        DTypeError,
        "the array has records with the fields 'a', 'b'; give one array a field, or "
        "numpy.lib.recfunctions.structured_to_unstructured(x)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    data, kind, text = REFUSED[name]
    with pytest.raises(kind) as caught:
        cr.tensor(data)
    assert str(caught.value) == text


def test_missing_values() -> None:
    missing = [None, float("nan"), pd.NA, pd.NaT, np.float32("nan"), Decimal("NaN")]
    assert all(is_missing(v) for v in missing)
    assert not any(is_missing(v) for v in (0, "", "NA", False, np.zeros(2)))
    found = numbers(np.array([1, None, pd.NA], object), "x", np.nan)
    assert found[0] == 1 and np.isnan(found[1:]).all()
    assert plain([1, 2], "x").dtype == np.int64
