"""Linear maps, and distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...errors import DTypeError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops import shape as s
from ...tensor.ops.reductions import reduce as r
from ...tensor.ops.reductions.norm import norm
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """y = x Wᵀ + b for x (..., in), W (out, in), b (out,): y (..., out).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.linear(cr.tensor([1.0, 2.0]), cr.tensor([[3.0, 4.0]]), cr.tensor([0.5])).tolist()
    [11.5]
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear expects x (..., in) and weight (out, in), got {x.shape} and {weight.shape}"
        )
    w = use(weight)
    node = use(x, w.dtype) if not dt.is_float(x.dtype) else use(x)
    if node.dtype != w.dtype:
        raise DTypeError(
            f"linear: the input is {x.dtype}, the weight {weight.dtype}; convert one with .to(), "
            f"as in x.to('{weight.dtype}')"
        )
    rows = g.reshape(node, (math.prod(node.shape[:-1]), node.shape[-1]))
    y = g.dot(rows, g.permute(w, (1, 0)))
    tensors = [x, weight]
    if bias is not None:
        b = as_tensor(bias)
        if b.shape != (weight.shape[0],):
            raise ShapeError(f"linear expects bias ({weight.shape[0]},), got {b.shape}")
        tensors.append(b)
        y = g.add(y, g.expand(use(b, y.dtype), y.shape))
    return make(g.reshape(y, (*node.shape[:-1], w.shape[0])), *tensors)


def bilinear(x1: Any, x2: Any, weight: Any, bias: Any = None) -> Tensor:
    """y[..., k] = x1ᵀ W[k] x2 + b[k] for x1 (..., in1), x2 (..., in2), W (out, in1, in2).

    >>> from chainrule.nn import functional as F
    >>> F.bilinear([1.0, 2.0], [3.0], [[[1.0], [1.0]]])
    tensor([9.])
    """
    x1, x2, weight = as_tensor(x1), as_tensor(x2), as_tensor(weight)
    fits = weight.ndim == 3 and x1.ndim == x2.ndim >= 1 and x1.shape[:-1] == x2.shape[:-1]
    if not fits or weight.shape[1:] != (x1.shape[-1], x2.shape[-1]):
        raise ShapeError(
            "bilinear expects x1 (..., in1), x2 (..., in2) and weight (out, in1, in2),"
            f" got {x1.shape}, {x2.shape} and {weight.shape}"
        )
    out, in1, in2 = weight.shape
    pairs = (x1.reshape(-1, in1, 1) * x2.reshape(-1, 1, in2)).reshape(-1, in1 * in2)
    y = linear(pairs, weight.reshape(out, in1 * in2), bias)
    return s.reshape(y, (*x1.shape[:-1], out))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Σ x1 x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along ``dim``.

    >>> from chainrule.nn import functional as F
    >>> F.cosine_similarity([[1.0, 0.0]], [[3.0, 4.0]])
    tensor([0.6])
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    n1, n2 = (x.norm(axis=dim, keepdims=True) for x in (x1, x2))
    # eps bounds the values, not the gradients (PyTorch's choice).
    n1, n2 = (n + e.maximum(eps - n.detach(), 0.0) for n in (n1, n2))
    return r.sum((x1 / n1) * (x2 / n2), dim)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x1 - x2 + eps‖ₚ along the last axis.

    >>> from chainrule.nn import functional as F
    >>> F.pairwise_distance([[3.0, 4.0]], [[0.0, 0.0]], eps=0)
    tensor([5.])
    """
    return norm(as_tensor(x1) - as_tensor(x2) + eps, p, -1, keepdims=keepdim)


def pdist(x: Any, p: float = 2.0) -> Tensor:
    """‖x_i - x_j‖ₚ of all pairs i < j of the rows of x (N, D): a vector of N (N - 1) / 2.

    >>> from chainrule.nn import functional as F
    >>> F.pdist([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    tensor([5.    , 1.    , 4.2426])
    """
    x = as_tensor(x)
    if x.ndim != 2:
        raise ShapeError(f"pdist expects a matrix (rows, features), got {x.shape}")
    i, j = np.triu_indices(x.shape[0], 1)
    return norm(x[i] - x[j], p, -1)
