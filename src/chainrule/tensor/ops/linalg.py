"""`chainrule.linalg`: products, norms and transposes of the Array API's linear algebra.

Decompositions (``cholesky``, ``det``, ``eigh``, ``inv``, ``qr``, ``solve``, ``svd`` and what rests
on them) are not here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...errors import OptionError, ShapeError
from ...habits import answers_of as _answers_of
from ..value import Tensor, as_tensor, make
from . import reduce as r
from . import shape
from .contract import matmul as matmul
from .contract import outer as outer
from .contract import tensordot as tensordot
from .contract import vecdot as vecdot
from .create import eye
from .elementwise import absolute, common, multiply, subtract
from .reduce import Axis
from .shape import matrix_transpose as matrix_transpose

__all__ = [
    "cross",
    "diagonal",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


def cross(a: Any, b: Any, axis: int = -1) -> Tensor:
    """The vector product of 3-vectors along ``axis``: (a₁b₂ - a₂b₁, a₂b₀ - a₀b₂, a₀b₁ - a₁b₀).

    >>> import chainrule as cr
    >>> cr.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    tensor([0., 0., 1.])
    """
    for t in (as_tensor(a), as_tensor(b)):
        if t.shape[r.normalize_axis(axis, t.ndim, "cross")] != 3:
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
    return shape.diagonal(x, offset, -2, -1)


def trace(x: Any, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of the diagonal of each matrix in the last two axes.

    >>> import chainrule as cr
    >>> cr.linalg.trace([[1, 2], [3, 4]])
    tensor(5)
    """
    return r.sum(diagonal(x, offset), -1, dtype=dtype)


def vector_norm(
    x: Any,
    *,
    axis: Axis = None,
    keepdims: bool = False,
    ord: float = 2,  # noqa: A002
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over ``axis``; inf and -inf: the largest and smallest |x|; 0: how many
    are not 0.

    >>> import chainrule as cr
    >>> cr.linalg.vector_norm([3.0, -4.0]), cr.linalg.vector_norm([3.0, -4.0], ord=math.inf)
    (tensor(5.), tensor(4.))
    """
    if ord == -math.inf:
        return r.amin(absolute(x), axis, keepdims=keepdims)
    if ord == 0:
        tensor = as_tensor(x)
        return r.sum((tensor != 0).astype(tensor.dtype), axis, keepdims=keepdims)
    return r.norm(x, ord, axis, keepdims=keepdims)


def matrix_norm(
    x: Any,
    *,
    keepdims: bool = False,
    ord: float | str = "fro",  # noqa: A002
) -> Tensor:
    """The norm of each matrix in the last two axes: "fro" (√Σ x²), 1 and -1 (the largest and
    smallest sum of |x| of a column), inf and -inf (of a row).

    Raises OptionError for 2, -2 and "nuc", which need singular values.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_norm([[3.0, 0.0], [0.0, 4.0]])
    tensor(5.)
    """
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(f"matrix_norm needs a matrix, got shape {tensor.shape}")
    if ord == "fro":
        return r.norm(tensor, 2, (-2, -1), keepdims=keepdims)
    known = {1: (-2, r.amax), -1: (-2, r.amin), math.inf: (-1, r.amax), -math.inf: (-1, r.amin)}
    if ord not in known:
        raise OptionError(
            f'matrix_norm: ord is "fro", 1, -1, inf or -inf, got {ord!r}; norms by singular values'
            " are not there"
        )
    summed, extreme = known[ord]
    sums = r.sum(absolute(tensor), summed, keepdims=True)
    found = extreme(sums, (-2, -1), keepdims=True)
    return found if keepdims else shape.reshape(found, found.shape[:-2])


def norm(
    x: Any,
    ord: float | str | None = None,  # noqa: A002
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool = False,
) -> Tensor:
    """`vector_norm` of all elements (no ``ord``), of a vector, or along one axis; otherwise
    `matrix_norm`, as in NumPy and PyTorch.

    >>> import chainrule as cr
    >>> cr.linalg.norm([[3.0, 0.0], [0.0, 4.0]]), cr.linalg.norm([[3.0, 0.0], [0.0, 4.0]], 1)
    (tensor(5.), tensor(4.))
    """
    along, keep, tensor = axis if dim is None else dim, keepdims or keepdim, as_tensor(x)
    pair = along is not None and not isinstance(along, int) and len(tuple(along)) == 2
    if ord is None or not (pair or (along is None and tensor.ndim == 2)):
        if isinstance(ord, str):
            raise OptionError(f"norm: ord={ord!r} is a norm of matrices, got shape {tensor.shape}")
        order = 2 if ord is None else ord
        return vector_norm(tensor, axis=along, keepdims=keep, ord=order)
    if pair and sorted(a % tensor.ndim for a in along) != [tensor.ndim - 2, tensor.ndim - 1]:  # type: ignore[union-attr]
        raise OptionError(f"norm: a matrix is in the last two axes, got axis {along}")
    return matrix_norm(tensor, keepdims=keep, ord=ord)


def matrix_power(x: Any, n: int) -> Tensor:
    """x x … x, n times (n ≥ 0), of each matrix in the last two axes.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_power([[1, 1], [0, 1]], 5)
    tensor([[1, 5],
            [0, 1]])
    """
    tensor = as_tensor(x)
    if tensor.ndim < 2 or tensor.shape[-1] != tensor.shape[-2]:
        raise ShapeError(f"matrix_power needs square matrices, got shape {tensor.shape}")
    if n < 0:
        raise OptionError(f"matrix_power: n is not negative, got {n} (there is no inverse)")
    result = shape.broadcast_to(eye(tensor.shape[-1], dtype=tensor.dtype), tensor.shape)
    square = tensor
    while n:
        result = matmul(result, square) if n & 1 else result
        n >>= 1
        square = matmul(square, square) if n else square
    return result


if not TYPE_CHECKING:
    __getattr__ = _answers_of("chainrule.linalg")
