"""What functions of matrices have in common: their operands, and the error for one without an
answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import DTypeError, LinAlgError, ShapeError
from ....runtime import realize as rt
from ...capture import active
from ...value import Tensor, as_tensor


def matrices(name: str, *xs: Any, square: bool = False) -> list[Tensor]:
    """The operands in one float dtype, the first with matrices in its last two axes."""
    tensors = [as_tensor(x) for x in xs]
    dtype = dt.promote(*(t.dtype for t in tensors))
    if dtype.kind != "f":
        raise DTypeError(
            f"{name} takes float32 or float64, got {dtype}; convert with .float() or .double()"
        )
    first = tensors[0]
    if first.ndim < 2:
        raise ShapeError(f"{name} needs a matrix, got shape {first.shape}")
    if square and first.shape[-1] != first.shape[-2]:
        raise ShapeError(f"{name} needs square matrices, got shape {first.shape}")
    return [t.astype(dtype) for t in tensors]


def turned(x: Node) -> Node:
    """The transpose of each matrix."""
    return g.permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


def rows(x: Tensor, start: int, stop: int) -> Tensor:
    """Some rows of each matrix."""
    return x[..., start:stop, :]


def answered(result: Tensor, why: str, *operands: Tensor) -> Tensor:
    """The result. Where numbers are known, a matrix without an answer (NaN, where all operands
    are numbers) is a LinAlgError that says which."""
    if active.capture is not None or not rt.has_value([result.node]):
        return result
    no_answer = _with_nan(result)
    for x in operands:
        if no_answer.any():
            no_answer = no_answer & ~_with_nan(x)
    if no_answer.any():
        at = tuple(int(i) for i in np.argwhere(no_answer)[0])
        which = f"matrix {list(at)} of shape {operands[0].shape}" if at else "the matrix"
        raise LinAlgError(why.format(which))
    return result


def _with_nan(x: Tensor) -> Any:
    return np.isnan(x._read()).any((-2, -1))
