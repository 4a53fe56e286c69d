"""Data types: which exist, and what two of them make together.

A dtype is a NumPy dtype. Promotion is NumPy's within a kind; an integer or bool array with a float
array takes the float array's dtype (as PyTorch and JAX do), and a Python number never widens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError

DType = np.dtype[Any]

bool_ = np.dtype(np.bool_)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)

ALL = (bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float32, float64)
default_float = float32
default_int = int64
_BY_NAME: dict[str, DType] = {d.name: d for d in ALL} | {
    "float": float32,
    "double": float64,
    "int": int64,
}


def dtype_of(spec: Any) -> DType:
    """The dtype a user means: a NumPy dtype or type, a name, or ``float``, ``int``, ``bool``.

    >>> dtype_of("float64"), dtype_of(float), dtype_of(bool)
    (dtype('float64'), dtype('float32'), dtype('bool'))
    """
    if spec is float:
        return default_float
    if spec is int:
        return default_int
    if isinstance(spec, str) and spec in _BY_NAME:
        return _BY_NAME[spec]
    try:
        found: DType = np.dtype(spec)
    except TypeError:
        raise DTypeError(
            f"not a dtype: {spec!r}; use one of {', '.join(d.name for d in ALL)}"
        ) from None
    found = found.newbyteorder("=")
    if found.kind == "c":
        raise DTypeError(
            f"complex numbers ({found}) are not supported: keep real and imaginary parts as two"
            " tensors"
        )
    if found not in ALL:
        raise DTypeError(
            f"dtype {found} is not supported; use one of {', '.join(d.name for d in ALL)}"
        )
    return found


def is_float(dtype: DType) -> bool:
    return dtype.kind == "f"


def is_integer(dtype: DType) -> bool:
    return dtype.kind in "iu"


def promote(*dtypes: DType) -> DType:
    """The dtype of an operation between arrays.

    >>> promote(int32, float32), promote(float32, float64), promote(bool_, int32)
    (dtype('float32'), dtype('float64'), dtype('int32'))
    """
    floats = [d for d in dtypes if is_float(d)]
    kinds = floats or [d for d in dtypes if is_integer(d)] or list(dtypes)
    result: DType = kinds[0]
    for d in kinds[1:]:
        both = np.dtype(np.promote_types(result, d))
        if is_float(both) and not floats:
            raise DTypeError(
                f"{result} and {d} have no integer dtype in common; convert one of them, with .to()"
            )
        result = both
    return result


def weak(number: bool | int | float, other: DType) -> DType:
    """The dtype of a Python number met by an array of dtype ``other``: never wider than needed."""
    if isinstance(number, bool):
        return other
    if isinstance(number, int):
        return other if other.kind != "b" else default_int
    return other if is_float(other) else default_float
