"""State dicts: numbers of a module's tensors, taken and put back; and other dtypes for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..core import dtypes as dt
from ..errors import CheckpointError
from ..tensor.changes import changed
from ..tensor.tensor import Tensor
from ..tensor.value import array_of, snapshot, stored
from .uninitialized import Uninitialized

_SNAPSHOT = (
    "a state dict holds the numbers as they were, to change them would not change the module; "
    "write module.load_state_dict(changed), or change module.state_dict(keep_vars=True)[name] "
    "under `with cr.no_grad():`"
)


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` found amiss when it was not strict."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def as_it_is(tensor: Tensor) -> Tensor:
    """What a tensor is now; later changes of it are not seen, and nobody may change this."""
    return tensor if isinstance(tensor, Uninitialized) else snapshot(tensor, _SNAPSHOT)


def load(
    own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool, assign: bool, name: str
) -> IncompatibleKeys:
    """`Module.load_state_dict` for the tensors ``own`` of a module that is called ``name``."""
    missing = [k for k in own if k not in given]
    unexpected = [k for k in given if k not in own]
    lazy = {k for k, t in own.items() if isinstance(t, Uninitialized)}
    arrays = {
        k: array_of(given[k])
        for k in own
        if k in given and not (k in lazy and isinstance(given[k], Uninitialized))
    }
    shapes = [
        f"{k}: the model has {own[k].shape}, the state dict {a.shape}"
        for k, a in arrays.items()
        if k not in lazy and a.shape != own[k].shape
    ]
    problems = [
        f"{title}: {_listed(keys)}"
        for title, keys in (("missing keys", missing), ("unexpected keys", unexpected))
        if keys and strict
    ]
    problems += ["shapes differ:", *(f"  {s}" for s in shapes)] if shapes else []
    if problems:
        raise CheckpointError("\n    ".join([f"this state dict does not fit {name}:", *problems]))
    for k, array in arrays.items():
        if k in lazy:
            own[k].materialize(array)
        if assign and dt.is_float(array.dtype) and dt.is_float(own[k].dtype):
            convert(own[k], array.dtype)
        own[k].assign(stored(_read_only(array.astype(own[k].dtype))))
    return IncompatibleKeys(missing, unexpected)


def convert(tensor: Tensor, dtype: dt.DType) -> None:
    """Another float dtype for a tensor and its gradient, in place."""
    if isinstance(tensor, Uninitialized):
        tensor.convert(dtype)
        return
    array = tensor._read().astype(dtype)
    requires_grad, grad = tensor._requires_grad, tensor._grad
    tensor._separate()
    tensor._shared = None
    tensor._array, tensor._node, tensor._requires_grad = array, None, False
    tensor.requires_grad_(requires_grad)
    tensor._grad = None if grad is None else stored(_read_only(grad._read().astype(dtype)))
    changed()


def _read_only(array: Any) -> Any:
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def _listed(keys: list[str], limit: int = 8) -> str:
    shown = ", ".join(keys[:limit])
    return shown if len(keys) <= limit else f"{shown} and {len(keys) - limit} more"
