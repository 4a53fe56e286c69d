"""The rules of solutions and decompositions, for the matrices in the last two axes.

Giles 2008, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation"; QR: Walter, Lehmann & Lamour 2012; SVD: Townsend 2016. ``cholesky`` and ``eigh``
read the lower triangle, and get the gradient of a symmetric matrix.

Where two eigenvalues (or singular values) are equal, the vectors are not functions of the matrix:
any basis of their space will do. The share of such a pair, 0/0, counts as 0. So the gradient of the
values is right, and that of the vectors has no part that turns them within that space.
"""

from __future__ import annotations

from ..core import dtypes as dt
from ..core import graph as op
from ..core.node import Node
from ..errors import GradientError


# -- small words -----------------------------------------------------------------------------------
def t(x: Node) -> Node:
    """The transpose of each matrix."""
    return op.permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


def _rows(x: Node, start: int, stop: int) -> Node:
    """Some rows of each matrix."""
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[-2], stops[-2] = start, stop
    return op.slice(x, starts, stops, [1] * x.ndim)


def _numbers(x: Node) -> tuple[Node, Node]:
    """The row's and the column's number of each element."""
    return op.iota(x.shape, x.ndim - 2, dt.int64), op.iota(x.shape, x.ndim - 1, dt.int64)


def _lower(x: Node, of_diagonal: float = 1.0) -> Node:
    """The lower triangle; the diagonal times a factor."""
    row, column = _numbers(x)
    diagonal = op.mul(x, op.full(x.shape, of_diagonal, x.dtype))
    below = op.where(op.lt(column, row), x, op.zeros_like(x))
    return op.where(op.eq(row, column), diagonal, below)


def _diagonal(row: Node) -> Node:
    """The matrices with (..., 1, n) on their diagonals."""
    n = row.shape[-1]
    full = op.broadcast(row, (*row.shape[:-2], n, n))
    return op.where(op.eq(*_numbers(full)), full, op.zeros_like(full))


def _by_column(x: Node, row: Node) -> Node:
    """x with each column times its element of ``row`` (..., 1, n)."""
    return op.mul(x, op.broadcast(row, x.shape))


def _symmetric(x: Node) -> Node:
    return op.mul(op.add(x, t(x)), op.full(x.shape, 0.5, x.dtype))


def _skew(x: Node) -> Node:
    return op.sub(x, t(x))


def _inverse_or_zero(x: Node) -> Node:
    """1/x, and 0 where x = 0, with slopes to match."""
    is_zero = op.eq(x, op.zeros_like(x))
    inverse = op.div(op.ones_like(x), op.where(is_zero, op.ones_like(x), x))
    return op.where(is_zero, op.zeros_like(x), inverse)


def _gaps(row: Node) -> Node:
    """F[i, j] = 1 / (row[j] - row[i]), 0 where they are equal."""
    n = row.shape[-1]
    shape = (*row.shape[:-2], n, n)
    return _inverse_or_zero(op.sub(op.broadcast(row, shape), op.broadcast(t(row), shape)))


def _solve(a: Node, b: Node, triangular: str | None = None) -> Node:
    return op.solve(a, b, triangular)


# -- the rules -------------------------------------------------------------------------------------
_TRANSPOSED = {None: None, "lower": "upper", "upper": "lower"}


def _solve_right(g: Node, y: Node, a: Node, b: Node) -> Node:
    """b̄ = a⁻ᵀ g"""
    return _solve(t(a), g, _TRANSPOSED[y.params["triangular"]])


def _solve_matrix(g: Node, y: Node, a: Node, b: Node) -> Node:
    """ā = -b̄ yᵀ, of a triangular matrix its triangle"""
    slope = op.neg(op.dot(_solve_right(g, y, a, b), t(y)))
    match y.params["triangular"]:
        case "lower":
            return _lower(slope)
        case "upper":
            return t(_lower(t(slope)))
    return slope


def slogdet(g: Node, y: Node, a: Node) -> Node:
    """ā = ḡ a⁻ᵀ, with the cotangent ḡ of log |det|; the sign has slope 0"""
    n, batch = a.shape[-1], a.shape[:-2]
    eye = op.broadcast(_diagonal(op.full((*batch, 1, n), 1.0, a.dtype)), a.shape)
    slope = op.slice(g, [0] * len(batch) + [1], [*batch, 2], [1] * g.ndim)
    scale = op.broadcast(op.reshape(slope, (*batch, 1, 1)), a.shape)
    return op.mul(scale, _solve(t(a), eye))


def cholesky(g: Node, y: Node, a: Node) -> Node:
    """ā = sym(L⁻ᵀ Φ(Lᵀ g) L⁻¹), where Φ takes the lower triangle with half of the diagonal"""
    phi = _lower(op.dot(t(y), _lower(g)), 0.5)
    left = _solve(t(y), phi, "upper")
    return _symmetric(t(_solve(t(y), t(left), "upper")))


def qr(g: Node, y: Node, a: Node) -> Node:
    """ā = (g - Q (T + strict(T)ᵀ)) R⁻ᵀ, where T is the lower triangle of gᵀ Q and R = Qᵀ a"""
    m, n = a.shape[-2:]
    if y.shape[-1] != n:
        raise GradientError(
            f'qr(mode="complete") of shape {a.shape} has no gradient: its last {m - n} columns are'
            ' any basis of what is left; write mode="reduced"'
        )
    product = op.dot(t(g), y)
    mirrored = op.add(_lower(product), t(_lower(product, 0.0)))
    slope = op.sub(g, op.dot(y, mirrored))
    return t(_solve(op.dot(t(y), a), t(slope), "upper"))


def eigh(g: Node, y: Node, a: Node) -> Node:
    """ā = sym(V (diag(w̄) + F ∘ Vᵀ V̄) Vᵀ), F[i, j] = 1 / (w[j] - w[i])"""
    n = a.shape[-1]
    w, v = _rows(y, 0, 1), _rows(y, 1, 1 + n)
    dw, dv = _rows(g, 0, 1), _rows(g, 1, 1 + n)
    inner = op.add(_diagonal(dw), op.mul(_gaps(w), op.dot(t(v), dv)))
    return _symmetric(op.dot(op.dot(v, inner), t(v)))


def svd(g: Node, y: Node, a: Node) -> Node:
    """ā = U (diag(s̄) + (F ∘ skew(Uᵀ Ū)) S + S (F ∘ skew(Vᵀ V̄))) Vᵀ + …

    … + (1 - U Uᵀ) Ū S⁻¹ Vᵀ + U S⁻¹ V̄ᵀ (1 - V Vᵀ), F[i, j] = 1 / (s[j]² - s[i]²)
    """
    m, n = a.shape[-2:]
    s, u, v = _rows(y, 0, 1), _rows(y, 1, 1 + m), _rows(y, 1 + m, 1 + m + n)
    ds, du, dv = _rows(g, 0, 1), _rows(g, 1, 1 + m), _rows(g, 1 + m, 1 + m + n)
    gaps, inverse = _gaps(op.mul(s, s)), _inverse_or_zero(s)
    of_u, of_v = op.dot(t(u), du), op.dot(t(v), dv)
    turned_u = _by_column(op.mul(gaps, _skew(of_u)), s)
    turned_v = t(_by_column(t(op.mul(gaps, _skew(of_v))), s))
    slope = op.dot(u, op.add(_diagonal(ds), op.add(turned_u, turned_v)))
    if m > n:
        slope = op.add(slope, _by_column(op.sub(du, op.dot(u, of_u)), inverse))
    slope = op.dot(slope, t(v))
    if n > m:
        outside = _by_column(op.sub(dv, op.dot(v, of_v)), inverse)
        slope = op.add(slope, op.dot(u, t(outside)))
    return slope


def pinv(g: Node, y: Node, a: Node) -> list[Node]:
    """ā = -yᵀ g yᵀ + (1 - a y) gᵀ y yᵀ + yᵀ y gᵀ (1 - y a), where the rank does not change.

    Source: Golub & Pereyra 1973.
    """
    turned = t(g)
    both = op.dot(t(y), op.dot(g, t(y)))
    left = op.dot(op.dot(turned, y), t(y))
    right = op.dot(t(y), op.dot(y, turned))
    left = op.sub(left, op.dot(a, op.dot(y, left)))
    right = op.sub(right, op.dot(op.dot(right, y), a))
    return [op.sub(op.add(left, right), both)]


solve = (_solve_matrix, _solve_right)
