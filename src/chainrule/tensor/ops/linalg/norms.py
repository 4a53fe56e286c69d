"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from ....errors import OptionError, ShapeError
from ...value import Tensor, as_tensor
from .. import shape
from ..axes import Axis
from ..elementwise import absolute
from ..reductions import reduce as r
from ..reductions.norm import norm as p_norm
from .factors import svdvals
from .solving import inv


def vector_norm(
    x: Any,
    ord: float = 2,
    axis: Axis = None,
    keepdims: bool = False,
    *,
    dim: Axis = None,
    keepdim: bool = False,
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over ``axis``; inf and -inf: the largest and smallest |x|; 0: how many
    are not 0.

    >>> import chainrule as cr
    >>> cr.linalg.vector_norm([3.0, -4.0]), cr.linalg.vector_norm([3.0, -4.0], ord=math.inf)
    (tensor(5.), tensor(4.))
    """
    axis, keepdims = axis if dim is None else dim, keepdims or keepdim
    if ord == -math.inf:
        return r.amin(absolute(x), axis, keepdims=keepdims)
    if ord == 0:
        tensor = as_tensor(x)
        return r.sum((tensor != 0).astype(tensor.dtype), axis, keepdims=keepdims)
    return p_norm(x, ord, axis, keepdims=keepdims)


def _pair(name: str, axes: Axis, ndim: int) -> tuple[int, int]:
    """The two axes of a matrix, counted from the end."""
    pair = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    if len(pair) != 2 or any(not isinstance(a, int) or not -ndim <= a < ndim for a in pair):
        raise OptionError(f"{name}: a matrix has two axes, got axis {axes} of {ndim}")
    first, second = (int(a) % ndim - ndim for a in pair if a is not None)
    if first == second:
        raise OptionError(f"{name}: a matrix has two different axes, got axis {axes}")
    return first, second


def matrix_norm(
    x: Any,
    ord: float | str = "fro",
    dim: Axis = (-2, -1),
    keepdim: bool = False,
    *,
    keepdims: bool = False,
) -> Tensor:
    """The norm of each matrix in the last two axes, or in those of ``dim``: "fro" (√Σ x²), 1 and
    -1 (the largest and smallest sum of |x| of a column), inf and -inf (of a row); 2 and -2 (the
    greatest and least singular value), "nuc" (their sum).

    >>> import chainrule as cr
    >>> x = [[3.0, 0.0], [0.0, 4.0]]
    >>> cr.linalg.matrix_norm(x), cr.linalg.matrix_norm(x, 2), cr.linalg.matrix_norm(x, "nuc")
    (tensor(5.), tensor(4.), tensor(7.))
    """
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(f"matrix_norm needs a matrix, got shape {tensor.shape}")
    pair = _pair("matrix_norm", dim, tensor.ndim)
    last = shape.moveaxis(tensor, pair, (-2, -1))
    found = _of_last_axes(last, ord)
    if not (keepdims or keepdim):
        return found
    kept = [1 if i - tensor.ndim in pair else n for i, n in enumerate(tensor.shape)]
    return shape.reshape(found, kept)


def _of_last_axes(x: Tensor, order: float | str) -> Tensor:
    match order:
        case "fro":
            return p_norm(x, 2, (-2, -1))
        case "nuc":
            return r.sum(svdvals(x), -1)
        case 2:
            return r.amax(svdvals(x), -1)
        case -2:
            return r.amin(svdvals(x), -1)
    known = {1: (-2, r.amax), -1: (-2, r.amin), math.inf: (-1, r.amax), -math.inf: (-1, r.amin)}
    if order not in known:
        raise OptionError(
            f'matrix_norm: ord is "fro", "nuc", 1, -1, 2, -2, inf or -inf, got {order!r}'
        )
    summed, extreme = known[order]
    return extreme(r.sum(absolute(x), summed), -1)


def norm(
    x: Any,
    ord: float | str | None = None,
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
    pair = isinstance(along, tuple | list) and len(along) == 2
    if ord is None or not (pair or (along is None and tensor.ndim == 2)):
        if isinstance(ord, str):
            raise OptionError(f"norm: ord={ord!r} is a norm of matrices, got shape {tensor.shape}")
        return vector_norm(tensor, 2 if ord is None else ord, along, keep)
    return matrix_norm(tensor, ord, along if pair else (-2, -1), keep)


def cond(x: Any, p: float | str | None = None) -> Tensor:
    """The condition number of each matrix: the greatest singular value over the least, or |x| |x⁻¹|
    in the `matrix_norm` ``p``.

    >>> import chainrule as cr
    >>> cr.linalg.cond([[3.0, 0.0], [0.0, 4.0]])
    tensor(1.3333)
    """
    if p is None or p in (2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, p) * matrix_norm(inv(x), p)
