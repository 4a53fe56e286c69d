"""Attention: each query takes a mean of the values, weighed by how well their keys fit it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.node import Shape
from ...errors import DTypeError, OptionError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.elementary import SoftmaxRule
from ...tensor.ops.joining import repeat
from ...tensor.ops.reductions import reduce as r
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, number, optional
from .dropout import dropout

_OPTIONS = {"dropout_p": number(0, 1), "scale": optional(number())}


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(Q Kᵀ · scale + mask) V (Vaswani et al., 2017, equation 1).

    query (..., L, E), key (..., S, E), value (..., S, Ev) -> (..., L, Ev); ``scale`` is 1/√E.
    ``attn_mask``, broadcast to (..., L, S): bools, True where a query may look, or numbers to add.
    ``is_causal``: query i sees keys 0..i. ``dropout_p`` drops weights, always. ``enable_gqa``:
    query heads (axis -3) share key and value heads. A query that may look nowhere gets zeros.

    Raises ShapeError if sizes do not fit, DTypeError, OptionError for a mask with ``is_causal``.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> q, k, v = cr.zeros(1, 4), cr.ones(3, 4), cr.tensor([[1.0], [2.0], [6.0]])
    >>> F.scaled_dot_product_attention(q, k, v)
    tensor([[3.]])
    """
    check("scaled_dot_product_attention", _OPTIONS, {"dropout_p": dropout_p, "scale": scale})
    q, k, v = map(as_tensor, (query, key, value))
    if enable_gqa:
        k, v = (_shared(name, x, q) for name, x in (("key", k), ("value", v)))
    _check_sizes(q, k, v)
    if is_causal:
        if attn_mask is not None:
            raise OptionError(
                "scaled_dot_product_attention: is_causal makes the mask; leave attn_mask out"
            )
        attn_mask = np.tri(q.shape[-2], k.shape[-2], dtype=bool)
    return attention(q, k, v, attn_mask, dropout_p, scale)[0]


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, dropout_p: float, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """The result and the weights (..., L, S)."""
    if k.shape[-2] == 0:
        raise ShapeError(
            f"attention: there are no keys to look at: query {q.shape}, key {k.shape}, value "
            f"{v.shape}; (..., S, E) needs S of at least 1"
        )
    # The queries are scaled before they are multiplied: they are fewer than the products.
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q * factor) @ k.mT
    if mask is not None:
        scores = scores + additive(mask, scores.shape, scores.dtype)
    weights = dropout(_softmax(scores), dropout_p)
    return weights @ v, weights


def additive(mask: Any, shape: Shape, dtype: DType) -> Tensor:
    """A mask as numbers to be added to scores: bools are True where a query may look."""
    given = as_tensor(mask)
    if given.dtype != dt.bool_ and not dt.is_float(given.dtype):
        raise DTypeError(f"an attention mask has bools or floats, got {given.dtype}")
    try:
        fits = np.broadcast_shapes(given.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"an attention mask is broadcast to (..., queries, keys) = {shape}, got {given.shape}"
        )
    if given.dtype != dt.bool_:
        return given.to(dtype)
    seen, hidden = (as_tensor(np.array(x, dtype)) for x in (0, -np.inf))
    numbers: Tensor = e.where(given, seen, hidden)
    return numbers


def _softmax(scores: Tensor) -> Tensor:
    """Softmax of the rows; zeros where every score is -inf."""
    largest = r.max(scores, axis=-1, keepdims=True).detach()
    exponentials = e.exp(scores - e.where(e.isfinite(largest), largest, 0.0))
    total = exponentials.sum(axis=-1, keepdims=True)
    weights: Tensor = exponentials / e.where(total == 0, 1.0, total)
    rule = SoftmaxRule((scores.ndim - 1,))
    return make(g.custom_vjp(use(weights), [use(scores)], rule), scores)


def _shared(name: str, x: Tensor, q: Tensor) -> Tensor:
    """Each head of x once for every query head that shares it."""
    if min(x.ndim, q.ndim) < 3 or x.shape[-3] == 0 or q.shape[-3] % x.shape[-3]:
        raise ShapeError(
            "scaled_dot_product_attention: with enable_gqa the query heads (axis -3) are a "
            f"multiple of those of the {name}, got {q.shape} and {x.shape}"
        )
    return repeat(x, q.shape[-3] // x.shape[-3], axis=-3)


def _check_sizes(q: Tensor, k: Tensor, v: Tensor) -> None:
    shapes = f"got {q.shape}, {k.shape} and {v.shape}"
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            "scaled_dot_product_attention expects query (..., L, E), key (..., S, E) and value "
            f"(..., S, Ev), {shapes}"
        )
    if not dt.is_float(q.dtype) or not q.dtype == k.dtype == v.dtype:
        raise DTypeError(
            "scaled_dot_product_attention expects three arrays of one float type, got "
            f"{q.dtype}, {k.dtype} and {v.dtype}"
        )
