"""Linear equations: solutions, inverses, determinants, least squares, rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ....autodiff import matrices as rules
from ....core import graph as g
from ....errors import OptionError, ShapeError
from ...value import Tensor, make, use
from .. import elementwise as e
from .. import shape
from ..create import eye
from ..operands import broadcast_shapes
from ..reductions import reduce as r
from .factors import svd, svdvals
from .matrices import answered, matrices

__all__ = ["det", "inverse", "logdet", "pinverse", "slogdet"]  # what `chainrule` offers

_SINGULAR = "{}: {{}} is singular; of least squares, lstsq and pinv have an answer"


class SlogDet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


class LeastSquares(NamedTuple):
    """What `lstsq` returns."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _solve(name: str, a: Any, b: Any, triangular: str | None = None) -> Tensor:
    left, right = matrices(name, a, b, square=True)
    vector = right.ndim == 1
    if right.ndim == 0:
        raise ShapeError(f"{name} needs a vector or matrices on the right, got shape ()")
    x, y = use(left), use(right)
    y = g.reshape(y, (*y.shape, 1)) if vector else y
    n = x.shape[-1]
    if y.shape[-2] != n:
        raise ShapeError(
            f"{name}: matrices of shape {left.shape} need {n} rows on the right, got shape"
            f" {right.shape}"
        )
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2], name=f"{name} (leading axes)")
    x, y = g.expand(x, (*batch, n, n)), g.expand(y, (*batch, n, y.shape[-1]))
    found = make(g.solve(x, y, triangular), left, right)
    answered(found, _SINGULAR.format(name), make(x), make(y))
    return found[..., 0] if vector else found


def solve(a: Any, b: Any) -> Tensor:
    """x with a x = b: a (..., n, n), b a vector (n,) or matrices (..., n, k); leading axes
    broadcast.

    Gradients: b̄ = a⁻ᵀ x̄, ā = -b̄ xᵀ. Raises LinAlgError where a is singular; in a compiled function
    such a matrix gives infinities or NaN.

    >>> import chainrule as cr
    >>> cr.linalg.solve([[2.0, 0.0], [1.0, 1.0]], [2.0, 3.0])
    tensor([1., 2.])
    """
    return _solve("solve", a, b)


def solve_triangular(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """`solve` for a triangular matrix: what lies on the other side of its diagonal is not read.

    ``left=False``: x with x a = b. ``unitriangular``: the diagonal is not read, it counts as ones.

    >>> import chainrule as cr
    >>> cr.linalg.solve_triangular([[2.0, 9.0], [1.0, 1.0]], [[2.0], [3.0]], upper=False)
    tensor([[1.],
            [2.]])
    """
    matrix, right = matrices("solve_triangular", a, b, square=True)
    if not left:
        flipped = solve_triangular(
            shape.matrix_transpose(matrix),
            shape.matrix_transpose(right),
            upper=not upper,
            unitriangular=unitriangular,
        )
        return shape.matrix_transpose(flipped)
    if unitriangular:
        one = eye(matrix.shape[-1], dtype=matrix.dtype)
        matrix = matrix * (1 - one) + one
    return _solve("solve_triangular", matrix, right, "upper" if upper else "lower")


def inv(x: Any) -> Tensor:
    """The inverse of each matrix in the last two axes. To solve x y = b, `solve` is quicker and
    more precise.

    Raises LinAlgError where x is singular; in a compiled function such a matrix gives infinities
    or NaN.

    >>> import chainrule as cr
    >>> cr.linalg.inv([[2.0, 0.0], [0.0, 4.0]])
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    (tensor,) = matrices("inv", x, square=True)
    return _solve("inv", tensor, eye(tensor.shape[-1], dtype=tensor.dtype))


inverse = inv


def slogdet(x: Any) -> SlogDet:
    """The sign of the determinant of each matrix, and the logarithm of its absolute value (0 and
    -inf where the matrix is singular).

    The gradient of log |det x| is x⁻ᵀ (NaN where x is singular).

    >>> import chainrule as cr
    >>> cr.linalg.slogdet([[0.0, 1.0], [1.0, 0.0]])
    SlogDet(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    (tensor,) = matrices("slogdet", x, square=True)
    both = make(g.slogdet(use(tensor)), tensor)
    return SlogDet(both[..., 0], both[..., 1])


def det(x: Any) -> Tensor:
    """The determinant of each matrix in the last two axes.

    Its gradient is det(x) x⁻ᵀ (NaN where x is singular).

    >>> import chainrule as cr
    >>> cr.linalg.det([[2.0, 0.0], [0.0, 4.0]])
    tensor(8.)
    """
    sign, logarithm = slogdet(matrices("det", x, square=True)[0])
    return e.multiply(sign, e.exp(logarithm))


def logdet(x: Any) -> Tensor:
    """log det x of each matrix; NaN where the determinant is negative.

    >>> import chainrule as cr
    >>> cr.logdet([[1.0, 0.0], [0.0, 4.0]])
    tensor(1.3863)
    """
    sign, logarithm = slogdet(matrices("logdet", x, square=True)[0])
    found: Tensor = e.where(sign < 0, np.nan, logarithm)
    return found


def _least(tensor: Tensor, rtol: Any) -> Any:
    """Singular values up to this share of the greatest one count as 0."""
    if rtol is None:
        return max(tensor.shape[-2:]) * float(np.finfo(tensor.dtype).eps)
    return rtol[..., None] if isinstance(rtol, Tensor) and rtol.ndim else rtol


def pinv(x: Any, rtol: Any = None) -> Tensor:
    """The pseudo-inverse (Moore and Penrose) of each matrix (..., m, n): (..., n, m).

    Singular values up to ``rtol`` · the greatest count as 0; by default max(m, n) · eps of the
    dtype. The gradient (Golub & Pereyra 1973) holds where the rank does not change.

    >>> import chainrule as cr
    >>> cr.linalg.pinv([[2.0, 0.0], [0.0, 0.0]]).round(4)
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    (tensor,) = matrices("pinv", x)
    u, s, vh = svd(tensor, full_matrices=False)
    if s.shape[-1] == 0:
        return shape.matrix_transpose(tensor)
    counts = s > _least(tensor, rtol) * r.amax(s, -1, keepdims=True)
    inverses = e.where(counts, 1 / e.where(counts, s, 1.0), 0.0)
    found = shape.matrix_transpose(vh) @ (inverses[..., None] * shape.matrix_transpose(u))
    return make(g.custom_vjp(use(found), [use(tensor)], rules.pinv), tensor)


def pinverse(x: Any, rcond: Any = None) -> Tensor:
    """`pinv`, by another name of PyTorch's."""
    return pinv(x, rcond)


def matrix_rank(x: Any, rtol: Any = None) -> Tensor:
    """How many singular values of each matrix are above ``rtol`` · the greatest; by default
    max(m, n) · eps of the dtype. int64.

    >>> import chainrule as cr
    >>> cr.linalg.matrix_rank([[1.0, 2.0], [2.0, 4.0]])
    tensor(1)
    """
    (tensor,) = matrices("matrix_rank", x)
    s = svdvals(tensor)
    if s.shape[-1] == 0:
        return r.sum(s, -1).long()
    return r.count_nonzero(s > _least(tensor, rtol) * r.amax(s, -1, keepdims=True), -1)


def lstsq(a: Any, b: Any, rcond: Any = None) -> LeastSquares:
    """The x of least |a x - b|, and of least |x| among several: a (..., m, n), b a vector (m,) or
    matrices (..., m, k).

    Solved by the singular values of a, `pinv(a, rcond) @ b`. ``residuals`` are the sums of squares
    of a x - b, one for each column.

    >>> import chainrule as cr
    >>> cr.linalg.lstsq([[1.0], [1.0]], [1.0, 3.0]).solution.round(4)
    tensor([2.])
    """
    left, right = matrices("lstsq", a, b)
    rows = right.shape[max(right.ndim - 2, 0)] if right.ndim else None
    if rows != left.shape[-2]:
        raise ShapeError(
            f"lstsq: matrices of shape {left.shape} need {left.shape[-2]} rows on the right, got"
            f" shape {right.shape}"
        )
    if isinstance(rcond, str):
        raise OptionError(f"lstsq: rcond is a number, got {rcond!r}; the driver is LAPACK's SVD")
    solution = pinv(left, rcond) @ right
    axis = -1 if right.ndim == 1 else -2
    residuals = r.sum(e.square(left @ solution - right), axis)
    return LeastSquares(solution, residuals, matrix_rank(left, rcond), svdvals(left))
