"""Array-likes of every kind as arrays of numbers in this machine's byte order, or refused by name.

Refused: masked elements, fields of records, objects that are no numbers, integers that no dtype
holds. Objects that are numbers (``Decimal``, integers, None) get the dtype that tells all apart.
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NoReturn

import numpy as np

from ...errors import DataError, DTypeError, ShapeError
from ..node import Array

_INT64 = np.iinfo(np.int64)


def is_missing(value: Any) -> bool:
    """Whether an object stands for no value: None, NaN, NaT, pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real | Decimal) and bool(value != value)


def is_number(value: Any) -> bool:
    """Whether an object is a real number (a bool is none)."""
    return isinstance(value, Real | Decimal) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Whether an object is a real number or a bool."""
    return isinstance(value, Real | Decimal | np.bool_)


def plain(data: Any, what: str) -> Array:
    """``data`` as an array of its own dtype, native and without a mask; objects stay objects.

    ``what`` names it in errors.
    """
    if type(data) is np.ndarray and data.dtype.isnative and data.dtype.names is None:
        return data
    refuse_masked(data, what)
    array = np.asarray(data, object if _has_missing(data) else None)
    if array.dtype.names is not None:
        raise DTypeError(
            f"{what} has records with the fields {', '.join(map(repr, array.dtype.names))}; give "
            "one array a field, or numpy.lib.recfunctions.structured_to_unstructured(x)"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def plain_numbers(data: Any, what: str) -> Array:
    """`plain`, and objects that are numbers as such; those without a value are refused."""
    array = plain(data, what)
    objects = array.dtype.kind == "O" and array.size > 0
    if objects and (is_real(array.flat[0]) or is_missing(array.flat[0])):
        return numbers(array, what)
    return array


def listed_numbers(data: Any) -> Array:
    """`plain_numbers` of a nested list; a ragged one is refused."""
    try:
        return plain_numbers(data, "the list")
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(
                "a tensor needs rows of equal length, got a ragged list; pad the rows to one length"
            ) from None
        raise


def refuse_kind(array: Array, data: Any) -> NoReturn:
    """Raise DTypeError for ``data`` whose array has no numbers or bools."""
    if array.dtype.kind == "c":
        raise DTypeError(
            f"complex numbers ({array.dtype}) are not supported: keep real and imaginary parts as"
            " two tensors"
        )
    raise DTypeError(
        f"cannot make a tensor of {type(data).__name__} with dtype {array.dtype}: numbers or bools "
        "expected"
    )


def is_nullable(dtype: Any) -> bool:
    """Whether it is a dtype of pandas with NA: Int64, boolean, Float64, or one of Arrow."""
    return hasattr(dtype, "na_value") and not hasattr(dtype, "categories")


def _has_missing(data: Any) -> bool:
    """Whether an array of a nullable dtype has missing elements (floats would lose integers)."""
    return is_nullable(getattr(data, "dtype", None)) and bool(np.any(data.isna()))


def refuse_masked(data: Any, what: str) -> None:
    """Raise DataError for a masked array (or a list of some) in which an element is masked."""
    listed = isinstance(data, list | tuple) and data and not isinstance(data[0], int | float)
    for part in data if listed else [data]:
        if not isinstance(part, np.ma.MaskedArray):
            continue
        mask = np.ma.getmaskarray(part)
        count = int(mask.sum())
        if count:
            at = tuple(int(i) for i in np.argwhere(mask)[0])
            raise DataError(
                f"{what} is a masked array, and {count} of {mask.size} elements are masked, the "
                f"first at position {at}; fill them with x.filled(value), or drop these rows"
            )


def numbers(array: Array, what: str, missing: float | None = None) -> Array:
    """An array of objects as bool (all are), int64 (all are integers) or float64.

    ``missing`` stands for what has no value (None: refused). Raises DTypeError for what is no
    number, and for integers that the result could not tell apart.
    """
    whole, truth, floats = True, True, np.empty(array.shape)
    for at in np.ndindex(array.shape):
        value = array[at]
        if is_missing(value):
            if missing is None and not (isinstance(value, Real | Decimal)):
                raise DTypeError(f"{what} has no value ({value!r}) at position {at}; give a number")
            floats[at] = math.nan if missing is None else missing
            whole = truth = False
        elif isinstance(value, bool | np.bool_):
            floats[at], whole = value, False
        elif isinstance(value, Real | Decimal):
            truth = False
            whole = whole and isinstance(value, Integral)
            floats[at] = value
        else:
            raise DTypeError(f"{what} has {short(value)} at position {at}; numbers are expected")
    if not array.size:
        return floats
    if truth:
        return floats.astype(np.bool_)
    for at in np.ndindex(array.shape):
        value = array[at]
        if not isinstance(value, Integral):
            continue
        if whole and not _INT64.min <= int(value) <= _INT64.max:
            raise DTypeError(f"{what} has {value} at position {at}, more than int64 holds")
        if not whole and int(floats[at]) != int(value):
            raise DTypeError(
                f"{what} has {value} at position {at} beside fractions or missing values: float64 "
                "does not tell it from its neighbours"
            )
    return array.astype(np.int64) if whole else floats


def short(value: object) -> str:
    """A value in an error: its repr, of at most 40 characters."""
    text = repr(str(value) if isinstance(value, np.str_) else value)
    return text if len(text) <= 40 else text[:37] + "..."
