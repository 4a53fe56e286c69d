"""Attention layers."""

from __future__ import annotations

from typing import Any

from ..core import dtypes as dt
from ..core.dtypes import DType
from ..core.node import Shape
from ..errors import DTypeError, OptionError, ShapeError
from ..tensor.ops.create import zeros
from ..tensor.ops.elementwise import logical_not
from ..tensor.ops.joining import concatenate, split
from ..tensor.ops.shape import broadcast_to
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import init
from .functional.attention import additive, attention
from .linear import Linear, empty_parameter
from .module import Module
from .options import check, integer, number
from .parameter import Parameter

_OPTIONS = {
    "embed_dim": integer(1),
    "num_heads": integer(1),
    "dropout": number(0, 1),
    "kdim": integer(1),
    "vdim": integer(1),
}


class MultiheadAttention(Module):
    """Several attentions side by side, each on its own projection (Vaswani et al., 2017, §3.2.2).

    head_i = softmax(Q_i K_iᵀ / √d) V_i with Q_i = query W_iᵠ and so on, d = embed_dim / num_heads;
    the result is [head_1 … head_h] Wᵒ. Sequences are (length, batch, features), with
    ``batch_first`` (batch, length, features), or (length, features) for one.

    in_proj_weight (3 embed_dim, embed_dim) starts Glorot-uniform and in_proj_bias at 0; with
    ``kdim`` or ``vdim`` there are q_proj_weight, k_proj_weight and v_proj_weight instead.
    ``add_bias_kv`` appends a learned key and value to the sequence, ``add_zero_attn`` zeros.

    Raises OptionError if embed_dim is no multiple of num_heads, ShapeError if arrays do not fit.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> attend = nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = cr.zeros(4, 5, 8)
    >>> y, weights = attend(x, x, x)
    >>> y.shape, weights.shape
    ((4, 5, 8), (4, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        kdim = embed_dim if kdim is None else kdim
        vdim = embed_dim if vdim is None else vdim
        values = (embed_dim, num_heads, dropout, kdim, vdim)
        check("MultiheadAttention", _OPTIONS, dict(zip(_OPTIONS, values, strict=True)))
        if embed_dim % num_heads:
            raise OptionError(
                f"MultiheadAttention: embed_dim={embed_dim} is no multiple of num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads, self.dropout = int(embed_dim), int(num_heads), dropout
        self.kdim, self.vdim = int(kdim), int(vdim)
        self.head_dim = self.embed_dim // self.num_heads
        self.batch_first, self.add_zero_attn = bool(batch_first), bool(add_zero_attn)
        e = self.embed_dim
        same = self.kdim == self.vdim == e

        def parameter(name: str, wanted: bool, *shape: int) -> None:
            new = empty_parameter(shape, device, dtype) if wanted else None
            self.register_parameter(name, new)

        parameter("q_proj_weight", not same, e, e)
        parameter("k_proj_weight", not same, e, self.kdim)
        parameter("v_proj_weight", not same, e, self.vdim)
        parameter("in_proj_weight", same, 3 * e, e)
        parameter("in_proj_bias", bias, 3 * e)
        self.out_proj = Linear(e, e, bias, device, dtype)
        parameter("bias_k", add_bias_kv, 1, 1, e)
        parameter("bias_v", add_bias_kv, 1, 1, e)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        for p in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if p is not None:
                init.xavier_uniform_(p)
        self.out_proj.reset_parameters()
        for p in (self.in_proj_bias, self.out_proj.bias):
            if p is not None:
                init.zeros_(p)
        for p in (self.bias_k, self.bias_v):
            if p is not None:
                init.xavier_normal_(p)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, shaped like the query, and with ``need_weights`` the weights (batch, L, S):
        the mean over the heads, or (batch, heads, L, S).

        ``attn_mask`` (L, S) or (batch · heads, L, S) and ``key_padding_mask`` (batch, S): bools,
        True where a query must *not* look, or numbers that are added. ``is_causal`` only says that
        the ``attn_mask`` given is the causal one.
        """
        if is_causal and attn_mask is None:
            raise OptionError(
                "MultiheadAttention: is_causal is a hint about attn_mask; give the mask too"
            )
        sequences = [as_tensor(x) for x in (query, key, value)]
        single = sequences[0].ndim == 2
        self._check(sequences)
        q, k, v = (self._batched(x, single) for x in self._projected(sequences, query, key, value))
        if self.bias_k is not None and self.bias_v is not None:
            one = (k.shape[0], 1, self.embed_dim)
            k = concatenate([k, broadcast_to(self.bias_k, one)], axis=1)
            v = concatenate([v, broadcast_to(self.bias_v, one)], axis=1)
        if self.add_zero_attn:
            empty = zeros(k.shape[0], 1, self.embed_dim, dtype=k.dtype)
            k, v = (concatenate([x, empty], axis=1) for x in (k, v))
        q, k, v = map(self._heads, (q, k, v))
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        y, weights = attention(q, k, v, mask, self.dropout if self.training else 0.0)
        y = self.out_proj(y.permute(0, 2, 1, 3).reshape(y.shape[0], -1, self.embed_dim))
        y = y[0] if single else y if self.batch_first else y.permute(1, 0, 2)
        if not need_weights:
            return y, None
        weights = weights.mean(axis=1) if average_attn_weights else weights
        return y, weights[0] if single else weights

    def _check(self, sequences: list[Tensor]) -> None:
        widths = (self.embed_dim, self.kdim, self.vdim)
        for name, x, width in zip(("query", "key", "value"), sequences, widths, strict=True):
            if x.ndim not in (2, 3) or x.ndim != sequences[0].ndim or x.shape[-1] != width:
                order = "batch, length" if self.batch_first else "length, batch"
                raise ShapeError(
                    f"MultiheadAttention expects the {name} as ({order}, {width}) or "
                    f"(length, {width}), all three alike, got {x.shape}"
                )
        _, key, value = (x.shape[:-1] for x in sequences)
        batches = {x.shape[0 if self.batch_first else 1] for x in sequences if x.ndim == 3}
        if key != value or len(batches) > 1:
            shapes = ", ".join(str(x.shape) for x in sequences)
            raise ShapeError(
                "MultiheadAttention: key and value have one length and all three one batch size, "
                f"got {shapes}"
            )

    def _projected(self, sequences: list[Tensor], query: Any, key: Any, value: Any) -> list[Tensor]:
        """Queries, keys and values; of one and the same sequence in a single multiplication."""
        if self.in_proj_weight is not None and query is key and key is value:
            return split(F.linear(sequences[0], self.in_proj_weight, self.in_proj_bias), 3, axis=-1)
        weights: list[Any] = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        if self.in_proj_weight is not None:
            weights = split(self.in_proj_weight, 3)
        biases: list[Any] = [None] * 3
        if self.in_proj_bias is not None:
            biases = split(self.in_proj_bias, 3)
        return [F.linear(x, w, b) for x, w, b in zip(sequences, weights, biases, strict=True)]

    def _batched(self, x: Tensor, single: bool) -> Tensor:
        """As (batch, length, features)."""
        if single:
            return x.reshape(1, *x.shape)
        return x if self.batch_first else x.permute(1, 0, 2)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, features) -> (batch, heads, length, features of a head)"""
        batch, length, _ = x.shape
        return x.reshape(batch, length, self.num_heads, self.head_dim).permute(0, 2, 1, 3)

    def _mask(self, attn_mask: Any, padding: Any, q: Tensor, k: Tensor) -> Tensor | None:
        """The sum of both masks, to be added to (batch, heads, L, S)."""
        added = int(self.bias_k is not None) + int(self.add_zero_attn)
        batch, heads, queries, _ = q.shape
        keys = k.shape[2] - added
        scores = (batch, heads, queries, keys)
        total: Tensor | None = None
        if attn_mask is not None:
            shapes: dict[Shape, Shape] = {(queries, keys): (1, 1, queries, keys)}
            shapes |= {(batch * heads, queries, keys): scores}
            total = _hidden("attn_mask", attn_mask, shapes, scores, q.dtype)
        if padding is not None:
            shapes = {(batch, keys): (batch, 1, 1, keys)}
            if batch == 1:
                shapes |= {(keys,): (1, 1, 1, keys)}
            hidden = _hidden("key_padding_mask", padding, shapes, scores, q.dtype)
            total = hidden if total is None else total + hidden
        if total is not None and added:
            seen = zeros(*total.shape[:-1], added, dtype=total.dtype)
            total = concatenate([total, seen], axis=-1)
        return total

    def extra_repr(self) -> str:
        """The arguments."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _hidden(
    name: str, mask: Any, shapes: dict[Shape, Shape], scores: Shape, dtype: DType
) -> Tensor:
    """A mask in which True hides, as numbers to be added to scores.

    ``shapes``: what it may have, and how each is meant.
    """
    mask = as_tensor(mask)
    if mask.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ShapeError(f"MultiheadAttention: {name} has the shape {allowed}, got {mask.shape}")
    if mask.dtype != dt.bool_ and not dt.is_float(mask.dtype):
        raise DTypeError(f"MultiheadAttention: {name} has bools or floats, got {mask.dtype}")
    mask = mask.reshape(*shapes[mask.shape])
    return additive(logical_not(mask) if mask.dtype == dt.bool_ else mask, scores, dtype)
