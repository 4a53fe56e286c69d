"""Products and powers of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....errors import OptionError, ShapeError
from ...value import Tensor, as_tensor, make
from .. import diagonals, shape
from ..axes import normalize_axis
from ..contract import matmul
from ..create import eye
from ..elementwise import multiply, subtract
from ..operands import common
from ..reductions import reduce as r
from .solving import inv


def cross(a: Any, b: Any, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """The vector product of 3-vectors along ``axis``: (a₁b₂ - a₂b₁, a₂b₀ - a₀b₂, a₀b₁ - a₁b₀).

    >>> import chainrule as cr
    >>> cr.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    tensor([0., 0., 1.])
    """
    axis = axis if dim is None else dim
    for t in (as_tensor(a), as_tensor(b)):
        if t.shape[normalize_axis(axis, t.ndim, "cross")] != 3:
            raise ShapeError(f"cross: axis {axis} has length 3, got shape {t.shape}")
    nodes, tensors = common("cross", a, b)
    x, y = (make(n, *tensors) for n in nodes)

    def turned(t: Tensor, by: int) -> Tensor:
        return shape.roll(t, -by, axis)

    return subtract(multiply(turned(x, 1), turned(y, 2)), multiply(turned(x, 2), turned(y, 1)))


def diagonal(x: Any, offset: int = 0) -> Tensor:
    """The diagonal of each matrix in the last two axes.

    >>> import chainrule as cr
    >>> cr.linalg.diagonal([[1, 2], [3, 4]])
    tensor([1, 4])
    """
    return diagonals.diagonal(x, offset, -2, -1)


def trace(x: Any, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of the diagonal of each matrix in the last two axes.

    >>> import chainrule as cr
    >>> cr.linalg.trace([[1, 2], [3, 4]])
    tensor(5)
    """
    return r.sum(diagonal(x, offset), -1, dtype=dtype)


def matrix_power(x: Any, n: int) -> Tensor:
    """x x … x, n times, of each matrix in the last two axes; for n < 0 that of its inverse.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_power([[1, 1], [0, 1]], 5)
    tensor([[1, 5],
            [0, 1]])
    """
    tensor = as_tensor(x)
    if tensor.ndim < 2 or tensor.shape[-1] != tensor.shape[-2]:
        raise ShapeError(f"matrix_power needs square matrices, got shape {tensor.shape}")
    if n < 0:
        return matrix_power(inv(tensor), -n)
    result = shape.broadcast_to(eye(tensor.shape[-1], dtype=tensor.dtype), tensor.shape)
    square = tensor
    while n:
        result = matmul(result, square) if n & 1 else result
        n >>= 1
        square = matmul(square, square) if n else square
    return result


def multi_dot(tensors: Sequence[Any]) -> Tensor:
    """The product of several matrices; the first and the last may be vectors.

    >>> import chainrule as cr
    >>> cr.linalg.multi_dot([cr.ones(2, 3), cr.ones(3, 4), cr.ones(4)])
    tensor([12., 12.])
    """
    if len(tensors) < 2:
        raise OptionError(f"multi_dot takes two matrices or more, got {len(tensors)}")
    product = as_tensor(tensors[0])
    for factor in tensors[1:]:
        product = matmul(product, factor)
    return product
