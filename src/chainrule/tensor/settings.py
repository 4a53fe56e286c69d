"""Switches for the whole process: how tensors are shown; PyTorch's with one position here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.node import Array
from ..errors import OptionError

# fmt: off
__all__ = [  # what `chainrule` offers
    "get_default_dtype", "set_default_dtype", "set_printoptions", "use_deterministic_algorithms",
]
# fmt: on


_DEFAULT: dict[str, Any] = {
    "precision": 4, "threshold": None, "edgeitems": None, "linewidth": None, "sci_mode": None
}  # fmt: skip
_PROFILES: dict[str, dict[str, Any]] = {
    "default": _DEFAULT,
    "short": _DEFAULT | {"precision": 2, "threshold": 1000, "edgeitems": 2},
    "full": _DEFAULT | {"threshold": math.inf},
}
_shown = dict(_DEFAULT)


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are shown: digits, from how many elements on to shorten, how many to show at an
    edge, and the length of a line (where None, NumPy's). ``profile``: "default", "short" or "full".
    ``sci_mode=False``: no exponents.

    >>> import chainrule as cr
    >>> cr.set_printoptions(precision=2)
    >>> cr.tensor([0.12345])
    tensor([0.12])
    >>> cr.set_printoptions(profile="default")
    """
    if profile is not None and profile not in _PROFILES:
        raise OptionError(
            f"set_printoptions: profile is one of {', '.join(_PROFILES)}, got {profile!r}"
        )
    _shown.update({} if profile is None else _PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
        "sci_mode": sci_mode,
    }
    for name, value in given.items():
        if value is not None:
            if name != "sci_mode" and (isinstance(value, bool) or value < 0):
                raise OptionError(f"set_printoptions: {name} is not negative, got {value!r}")
            _shown[name] = value


def text_of(array: Array, prefix: str) -> str:
    """The numbers as text."""
    long = _shown["threshold"]
    return np.array2string(
        array,
        separator=", ",
        prefix=prefix,
        precision=_shown["precision"],
        suppress_small=_shown["sci_mode"] is False,
        threshold=None if long is None else array.size + 1 if long == math.inf else int(long),
        edgeitems=_shown["edgeitems"],
        max_line_width=_shown["linewidth"],
    )


def get_default_dtype() -> dt.DType:
    """float32, the dtype of what is made from Python's floats.

    >>> import chainrule as cr
    >>> cr.get_default_dtype()
    dtype('float32')
    """
    return dt.default_float


def set_default_dtype(dtype: Any) -> None:
    """Accepts float32, the only default. For float64 say ``dtype=cr.float64`` where a tensor is
    made, and ``model.double()``: another raises OptionError.

    >>> import chainrule as cr
    >>> cr.set_default_dtype(cr.float32)
    """
    if dt.dtype_of(dtype) != dt.default_float:
        raise OptionError(
            f"set_default_dtype({dt.dtype_of(dtype)}): the default is float32; write"
            " model.double(), and dtype=cr.float64 where a tensor is made"
        )


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: results are always the same bits, with any number of threads.

    >>> import chainrule as cr
    >>> cr.use_deterministic_algorithms(True)
    """
