"""Solutions and decompositions of matrices in the last two axes: shapes, and LAPACK's meanings.

A matrix that has no answer (a singular one in `solve`, one that is not positive definite in
`cholesky`) gives NaN for itself, and nothing else of its batch. What consists of several arrays is
packed into one:

    slogdet    (..., n, n) -> (..., 2)             sign, log |det|
    qr         (..., m, n) -> (..., m, n)          Q alone, as R = Qᵀ A; m >= n; (m, m) if complete
    eigh       (..., n, n) -> (..., 1 + n, n)      a row of eigenvalues, then the matrix of vectors
    svd        (..., m, n) -> (..., 1 + m + n, k)  a row of singular values, then U, then V
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import DTypeError, ShapeError
from ..dtypes import DType
from ..node import Node
from .primitive import Array, Params, Shape


# -- shapes ----------------------------------------------------------------------------------------
def _check(name: str, x: Node, square: bool = True) -> None:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name} does not take {x.dtype}; cast first")
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        shape = "(*batch, n, n)" if square else "(*batch, m, n)"
        raise ShapeError(f"{name} expects {shape}, got {x.shape}")


def solve_shape(params: Params, a: Node, b: Node) -> tuple[Shape, DType]:
    _check("solve", a)
    if a.dtype != b.dtype:
        raise DTypeError(f"solve expects equal dtypes, got {a.dtype} and {b.dtype}")
    if a.ndim != b.ndim or a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(
            f"solve expects (*batch, n, n) and (*batch, n, k), got {a.shape} and {b.shape}"
        )
    return b.shape, b.dtype


def slogdet_shape(params: Params, a: Node) -> tuple[Shape, DType]:
    _check("slogdet", a)
    return (*a.shape[:-2], 2), a.dtype


def cholesky_shape(params: Params, a: Node) -> tuple[Shape, DType]:
    _check("cholesky", a)
    return a.shape, a.dtype


def qr_shape(params: Params, a: Node) -> tuple[Shape, DType]:
    _check("qr", a, square=False)
    m, n = a.shape[-2:]
    if m < n:
        raise ShapeError(f"qr expects as many rows as columns at least, got {a.shape}")
    return (*a.shape[:-1], m if params["complete"] else n), a.dtype


def eigh_shape(params: Params, a: Node) -> tuple[Shape, DType]:
    _check("eigh", a)
    return (*a.shape[:-2], 1 + a.shape[-1], a.shape[-1]), a.dtype


def svd_shape(params: Params, a: Node) -> tuple[Shape, DType]:
    _check("svd", a, square=False)
    m, n = a.shape[-2:]
    return (*a.shape[:-2], 1 + m + n, min(m, n)), a.dtype


# -- meanings --------------------------------------------------------------------------------------
def _each(f: Callable[..., Array], shape: Shape, *batches: Array) -> Array:
    """``f`` of all matrices at once, or one by one where LAPACK refuses some: these are NaN."""
    try:
        return f(*batches)
    except np.linalg.LinAlgError:
        pass
    out = np.full((*batches[0].shape[:-2], *shape), np.nan, batches[0].dtype)
    for i in np.ndindex(batches[0].shape[:-2]):
        try:
            out[i] = f(*(x[i] for x in batches))
        except np.linalg.LinAlgError:
            continue
    return out


def solve(params: Params, a: Array, b: Array) -> Array:
    if params["triangular"] is not None:
        a = np.tril(a) if params["triangular"] == "lower" else np.triu(a)
    return _each(np.linalg.solve, b.shape[-2:], a, b)


def slogdet(params: Params, a: Array) -> Array:
    return np.stack(np.linalg.slogdet(a), -1)


def cholesky(params: Params, a: Array) -> Array:
    return _each(np.linalg.cholesky, a.shape[-2:], a)


def qr(params: Params, a: Array) -> Array:
    m, n = a.shape[-2:]
    if n == 0:
        k = m if params["complete"] else 0
        return np.broadcast_to(np.eye(m, k, dtype=a.dtype), (*a.shape[:-1], k))
    return np.linalg.qr(a, "complete" if params["complete"] else "reduced").Q


def eigh(params: Params, a: Array) -> Array:
    def packed(a: Array) -> Array:
        values, vectors = np.linalg.eigh(a)
        return np.concatenate([values[..., None, :], vectors], -2)

    n = a.shape[-1]
    return _each(packed, (1 + n, n), a)


def svd(params: Params, a: Array) -> Array:
    def packed(a: Array) -> Array:
        u, s, vh = np.linalg.svd(a, full_matrices=False)
        return np.concatenate([s[..., None, :], u, vh.swapaxes(-1, -2)], -2)

    m, n = a.shape[-2:]
    return _each(packed, (1 + m + n, min(m, n)), a)
