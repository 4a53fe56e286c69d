"""Questions about dtypes, by the names of the Array API standard (2024.12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.dtypes import DType
from ...errors import DTypeError, OptionError
from ..value import Tensor, Value, as_tensor
from .create import check_device
from .operands import is_number

# fmt: off
__all__ = [  # what `chainrule` offers
    "astype", "can_cast", "finfo", "iinfo", "is_tensor", "isdtype", "result_type",
]
# fmt: on


_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "",
    "numeric": "iuf",
}


@dataclass(frozen=True)
class FloatInfo:
    """What a float dtype can hold."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


@dataclass(frozen=True)
class IntegerInfo:
    """What an integer dtype can hold."""

    bits: int
    max: int
    min: int
    dtype: DType


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a tensor.

    >>> import chainrule as cr
    >>> cr.is_tensor(cr.zeros(3)), cr.is_tensor([0.0])
    (True, False)
    """
    return isinstance(x, Value)


def _dtype_in(x: Any) -> DType:
    return x.dtype if isinstance(x, Value | np.ndarray) else dt.dtype_of(x)


def finfo(type: Any) -> FloatInfo:
    """The limits of a float dtype, or of a tensor's.

    >>> import chainrule as cr
    >>> cr.finfo(cr.float32).eps, cr.finfo("float64").bits
    (1.1920928955078125e-07, 64)
    """
    dtype = _dtype_in(type)
    if not dt.is_float(dtype):
        raise DTypeError(f"finfo is about float dtypes, got {dtype}; use iinfo")
    i = np.finfo(dtype)
    eps, most, least, normal = map(float, (i.eps, i.max, i.min, i.smallest_normal))
    return FloatInfo(8 * dtype.itemsize, eps, most, least, normal, dtype)


def iinfo(type: Any) -> IntegerInfo:
    """The limits of an integer dtype, or of a tensor's.

    >>> import chainrule as cr
    >>> cr.iinfo(cr.uint8).max
    255
    """
    dtype = _dtype_in(type)
    if not dt.is_integer(dtype):
        raise DTypeError(f"iinfo is about integer dtypes, got {dtype}; use finfo")
    i = np.iinfo(dtype)
    return IntegerInfo(8 * dtype.itemsize, int(i.max), int(i.min), dtype)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that an operation between the arguments has: tensors, arrays, dtypes and numbers.

    >>> import chainrule as cr
    >>> cr.result_type(cr.int32, cr.float32), cr.result_type(cr.ones(2), 2.5)
    (dtype('float32'), dtype('float32'))
    """
    if not arrays_and_dtypes:
        raise DTypeError("result_type needs an argument")
    numbers = [x for x in arrays_and_dtypes if is_number(x)]
    others = [_dtype_in(x) for x in arrays_and_dtypes if not is_number(x)]
    if not others:
        return dt.promote(*(as_tensor(x).dtype for x in numbers))
    result = dt.promote(*others)
    for x in numbers:
        result = dt.weak(1.0 if isinstance(x, Value) else np.asarray(x).item(), result)
    return result


def can_cast(from_: Any, to: Any) -> bool:
    """Whether operations with ``to`` may convert ``from_`` (a dtype or a tensor) to it.

    >>> import chainrule as cr
    >>> cr.can_cast(cr.int32, cr.int64), cr.can_cast(cr.float32, cr.int64)
    (True, False)
    """
    wanted = dt.dtype_of(to)
    try:
        return dt.promote(_dtype_in(from_), wanted) == wanted
    except DTypeError:  # they have no dtype in common
        return False


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind: a dtype, "bool", "signed integer", "unsigned integer",
    "integral", "real floating", "complex floating", "numeric", or a tuple of them.

    >>> import chainrule as cr
    >>> cr.isdtype(cr.int32, "integral"), cr.isdtype(cr.bool_, ("bool", cr.float32))
    (True, True)
    """
    found = dt.dtype_of(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(found, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            known = ", ".join(map(repr, _KINDS))
            raise OptionError(f"isdtype: kind is a dtype or one of {known}, got {kind!r}")
        return found.kind in _KINDS[kind]
    return found == dt.dtype_of(kind)


def astype(x: Any, dtype: Any, copy: bool = True, device: Any = None) -> Tensor:
    """``x`` converted to ``dtype``; without ``copy``, x itself where it has that dtype.

    >>> import chainrule as cr
    >>> cr.astype(cr.tensor([1.7, -1.7]), cr.int32)
    tensor([ 1, -1], dtype=int32)
    """
    check_device(device)
    tensor = as_tensor(x)
    result = tensor.astype(dtype)
    return tensor.clone() if copy and result is tensor else result


class NamespaceInfo:
    """What `__array_namespace_info__` returns: the standard's questions about this library."""

    def capabilities(self) -> dict[str, Any]:
        """What the standard leaves open."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where new tensors are."""
        return "cpu"

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The dtypes of tensors made of Python numbers."""
        check_device(device)
        return {
            "real floating": dt.default_float,
            "integral": dt.default_int,
            "indexing": dt.default_int,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """All dtypes (of a kind) by name."""
        check_device(device)
        return {d.name: d for d in dt.ALL if kind is None or isdtype(d, kind)}


def array_namespace_info() -> NamespaceInfo:
    """The library's answers to the standard's questions: its dtypes, devices, capabilities."""
    return NamespaceInfo()
