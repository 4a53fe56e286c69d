"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import Any

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node, Shape
from ...errors import ShapeError
from ..value import Tensor, as_tensor, constant, make, use, view_of
from ..view import Diagonal
from .elementwise import select
from .reductions.reduce import sum
from .shape import broadcast_to, fresh, moveaxis, pad

__all__ = ["diag", "diagonal", "trace", "tril", "triu"]  # what `chainrule` offers


def _below(shape: Shape, k: int) -> Node:
    """Whether column - row ≤ k, in the last two axes."""
    rows, columns = g.iota(shape[-2:], 0, dt.int64), g.iota(shape[-2:], 1, dt.int64)
    return g.le(g.sub(columns, rows), g.full(shape[-2:], k, dt.int64))


def tril(x: Any, k: int = 0, *, diagonal: int | None = None) -> Tensor:
    """The lower triangle, zero above the k-th diagonal, of the last two axes.

    >>> import chainrule as cr
    >>> cr.tril([[1, 2], [3, 4]])
    tensor([[1, 0],
            [3, 4]])
    """
    return _triangle("tril", x, k if diagonal is None else diagonal, lower=True)


def triu(x: Any, k: int = 0, *, diagonal: int | None = None) -> Tensor:
    """The upper triangle, zero below the k-th diagonal, of the last two axes.

    >>> import chainrule as cr
    >>> cr.triu([[1, 2], [3, 4]])
    tensor([[1, 2],
            [0, 4]])
    """
    return _triangle("triu", x, k if diagonal is None else diagonal, lower=False)


def _triangle(name: str, x: Any, k: int, lower: bool) -> Tensor:
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(f"{name} needs a matrix, got shape {tensor.shape}")
    node = use(tensor)
    inside = _below(node.shape, k) if lower else g.not_(_below(node.shape, k - 1))
    return make(g.where(g.expand(inside, node.shape), node, g.zeros_like(node)), tensor)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """x[i, i + offset], with the diagonal as the last axis.

    >>> import chainrule as cr
    >>> cr.diagonal([[1, 2], [3, 4]])
    tensor([1, 4])
    """
    tensor = as_tensor(x)
    if tensor.ndim < 2:
        raise ShapeError(f"diagonal needs a matrix, got shape {tensor.shape}")
    moved = moveaxis(tensor, (axis1, axis2), (-2, -1))
    rows, columns = moved.shape[-2:]
    first, second = max(-offset, 0), max(offset, 0)
    n = max(min(rows - first, columns - second), 0)
    if n == 0:
        return make(g.full((*moved.shape[:-2], 0), 0, moved.dtype), tensor)
    return view_of(moved, Diagonal(first, second, n))


_diagonal = diagonal  # `diag` has an argument of this name


def diag(x: Any, k: int = 0, *, diagonal: int | None = None) -> Tensor:
    """The k-th diagonal of a matrix; or the matrix with a vector as its k-th diagonal.

    >>> import chainrule as cr
    >>> cr.diag([1, 2])
    tensor([[1, 0],
            [0, 2]])
    """
    tensor = as_tensor(x)
    k = k if diagonal is None else diagonal
    if tensor.ndim == 2:
        return fresh(_diagonal(tensor, k))
    if tensor.ndim != 1:
        raise ShapeError(f"diag takes a vector or a matrix, got shape {tensor.shape}")
    n = tensor.shape[0] + abs(k)
    placed = pad(tensor, (max(k, 0), max(-k, 0)))
    rows, columns = g.iota((n, n), 0, dt.int64), g.iota((n, n), 1, dt.int64)
    on = make(g.eq(g.sub(columns, rows), g.full((n, n), k, dt.int64)))
    return select(on, broadcast_to(placed, (n, n)), make(constant(0, tensor.dtype)))


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Σ x[i, i + offset].

    >>> import chainrule as cr
    >>> cr.trace([[1, 2], [3, 4]])
    tensor(5)
    """
    return sum(diagonal(x, offset, axis1, axis2), -1)
