"""Decompositions: Cholesky, QR, eigenvalues of symmetric matrices, singular values."""

from __future__ import annotations

from typing import Any, NamedTuple

from ....core import graph as g
from ....errors import OptionError
from ...value import Tensor, make, use
from .. import shape
from ..diagonals import triu
from ..joining import concatenate
from .matrices import answered, matrices, rows, turned


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Tensor
    R: Tensor


class Eigen(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """What `svd` returns."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Any, *, upper: bool = False) -> Tensor:
    """The lower triangular L with L Lᵀ = x, of each symmetric positive definite matrix in the last
    two axes; with ``upper`` Lᵀ.

    Reads the lower triangle of x; its gradient is that of a symmetric matrix. Raises LinAlgError
    where x is not positive definite; in a compiled function such a matrix gives NaN.

    >>> import chainrule as cr
    >>> cr.linalg.cholesky([[4.0, 2.0], [2.0, 5.0]])
    tensor([[2., 0.],
            [1., 2.]])
    """
    (tensor,) = matrices("cholesky", x, square=True)
    found = make(g.cholesky(use(tensor)), tensor)
    why = "cholesky: {} is not positive definite; if by rounding, add a little to its diagonal"
    answered(found, why, tensor)
    return shape.matrix_transpose(found) if upper else found


def qr(x: Any, mode: str = "reduced") -> QR:
    """Q and R with Q R = x and Qᵀ Q = 1, R upper triangular, of each matrix (..., m, n).

    ``mode``: "reduced" (Q: (..., m, k), R: (..., k, n), k = min(m, n)), "complete" (Q: (..., m, m),
    R: (..., m, n); no gradient where m > n) or "r" (Q is empty). Gradients need that the first k
    columns are independent.

    >>> import chainrule as cr
    >>> Q, R = cr.linalg.qr([[3.0, 1.0], [4.0, 2.0]])
    >>> abs(R).round(4)
    tensor([[5. , 2.2],
            [0. , 0.4]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise OptionError(f'qr: mode is "reduced", "complete" or "r", got {mode!r}')
    (tensor,) = matrices("qr", x)
    m, n = tensor.shape[-2:]
    left = tensor[..., : min(m, n)]
    q = make(g.qr(use(left), mode == "complete" and m > n), left)
    r = triu(shape.matrix_transpose(q) @ tensor)
    return QR(q[..., :0, :0] if mode == "r" else q, r)


def _side(name: str, uplo: str) -> bool:
    if uplo not in ("L", "U"):
        raise OptionError(f'{name}: UPLO, the triangle that is read, is "L" or "U", got {uplo!r}')
    return uplo == "U"


def eigh(x: Any, UPLO: str = "L") -> Eigen:
    """Eigenvalues w, from the least, and eigenvectors V (columns) of each symmetric matrix:
    x V = V diag(w), Vᵀ V = 1.

    Reads the lower triangle (``UPLO``: "L") or the upper one ("U"); the gradient is that of a
    symmetric matrix. The sign of a vector may be either, and what is computed from V should not
    depend on it. Where eigenvalues are equal, their vectors are any basis of one space: the
    gradient of w is right, that of V has no part that turns them within that space (PyTorch's is
    NaN or infinite).

    >>> import chainrule as cr
    >>> cr.linalg.eigh([[2.0, 1.0], [1.0, 2.0]]).eigenvalues
    tensor([1., 3.])
    """
    (tensor,) = matrices("eigh", x, square=True)
    node = turned(use(tensor)) if _side("eigh", UPLO) else use(tensor)
    both = make(g.eigh(node), tensor)
    answered(both, "eigh: LAPACK found no eigenvalues of {}", tensor)
    return Eigen(both[..., 0, :], rows(both, 1, tensor.shape[-1] + 1))


def eigvalsh(x: Any, UPLO: str = "L") -> Tensor:
    """The eigenvalues of `eigh`.

    >>> import chainrule as cr
    >>> cr.linalg.eigvalsh([[2.0, 1.0], [1.0, 2.0]])
    tensor([1., 3.])
    """
    return eigh(x, UPLO).eigenvalues


def _thin(name: str, x: Any) -> tuple[Tensor, Tensor]:
    (tensor,) = matrices(name, x)
    every = make(g.svd(use(tensor)), tensor)
    answered(every, f"{name}: LAPACK found no singular values of {{}}", tensor)
    return tensor, every


def svd(x: Any, full_matrices: bool = True) -> SVD:
    """U, S and Vᵀ with U diag(S) Vᵀ = x, of each matrix (..., m, n); S ≥ 0, from the greatest.

    ``full_matrices``: U is (..., m, m) and Vᵀ (..., n, n); otherwise only the first k = min(m, n)
    columns and rows. Gradients flow through those k; what completes them is any basis of the rest,
    and has none. A column of U and its row of Vᵀ may have their signs exchanged. For equal or zero
    singular values see `eigh`: the gradient of S is right, the share of such a pair in that of U
    and V counts as 0.

    >>> import chainrule as cr
    >>> U, S, Vh = cr.linalg.svd([[3.0, 0.0], [0.0, 4.0]])
    >>> S, abs(U @ cr.diag(S) @ Vh)
    (tensor([4., 3.]), tensor([[3., 0.],
            [0., 4.]]))
    """
    tensor, every = _thin("svd", x)
    m, n = tensor.shape[-2:]
    u, v = rows(every, 1, m + 1), rows(every, m + 1, m + n + 1)
    if full_matrices:
        u, v = _completed(u), _completed(v)
    return SVD(u, every[..., 0, :], shape.matrix_transpose(v))


def _completed(u: Tensor) -> Tensor:
    """Orthonormal columns, and more of them, until they are a basis."""
    m, k = u.shape[-2:]
    if m == k:
        return u
    more = make(g.stop_gradient(g.qr(use(u), True)))[..., k:]
    return concatenate([u, more], -1)


def svdvals(x: Any) -> Tensor:
    """The singular values of `svd`.

    >>> import chainrule as cr
    >>> cr.linalg.svdvals([[3.0, 0.0], [0.0, 4.0]])
    tensor([4., 3.])
    """
    return _thin("svdvals", x)[1][..., 0, :]
