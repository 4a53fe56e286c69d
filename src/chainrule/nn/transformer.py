"""Transformers (Vaswani et al., 2017): layers of attention and two linear maps, and stacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..tensor.ops.create import asarray, check_device
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm
from .options import check, integer

_ACTIVATIONS: dict[str, Callable[[Any], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerLayer(Module):
    """What encoder and decoder layers have in common: parts that are added to what they read.

    x + part(norm(x)) with ``norm_first``, else norm(x + part(x)).
    """

    reads_memory = False

    self_attn: MultiheadAttention
    multihead_attn: MultiheadAttention  # where memory is read
    norm1: LayerNorm
    norm2: LayerNorm
    norm3: LayerNorm  # where memory is read
    dropout1: Dropout
    dropout2: Dropout
    dropout3: Dropout

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if not callable(activation) and activation not in tuple(_ACTIVATIONS):
            raise OptionError(
                f"{type(self).__name__}: activation is 'relu', 'gelu' or a function, got "
                f"{activation!r}"
            )
        self.activation = activation if callable(activation) else _ACTIVATIONS[activation]
        self.norm_first = bool(norm_first)
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        for name in ("self_attn", "multihead_attn")[: 1 + self.reads_memory]:
            attention = MultiheadAttention(
                d_model, nhead, dropout, bias, batch_first=batch_first, **made
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **made)
        for part in range(1, 3 + self.reads_memory):
            self.add_module(f"norm{part}", LayerNorm(d_model, layer_norm_eps, bias=bias, **made))
            self.add_module(f"dropout{part}", Dropout(dropout))

    def _added(
        self, x: Tensor, norm: Module, part: Callable[[Tensor], Tensor], dropout: Module
    ) -> Tensor:
        result: Tensor = x + dropout(part(norm(x) if self.norm_first else x))
        return result if self.norm_first else norm(result)

    @staticmethod
    def _attended(
        attention: MultiheadAttention, x: Tensor, read: Any, mask: Any, padding: Any, causal: bool
    ) -> Tensor:
        y: Tensor
        y, _ = attention(x, read, read, padding, False, mask, is_causal=causal)
        return y

    def _feed_forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


class TransformerEncoderLayer(TransformerLayer):
    """Self-attention, then linear2(activation(linear1(x))); each is added to what it reads.

    y = norm1(x + attention(x)), norm2(y + linear2(activation(linear1(y)))); with ``norm_first``
    y = x + attention(norm1(x)), y + linear2(activation(linear1(norm2(y)))). Sequences are (length,
    batch, d_model), or (batch, length, d_model) with ``batch_first``. Masks are as in
    `MultiheadAttention`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(cr.zeros(3, 5, 8)).shape
    (3, 5, 8)
    """

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The sequence, transformed; same shape."""

        def attend(x: Tensor) -> Tensor:
            return self._attended(self.self_attn, x, x, src_mask, src_key_padding_mask, is_causal)

        x = self._added(as_tensor(src), self.norm1, attend, self.dropout1)
        return self._added(x, self.norm2, self._feed_forward, self.dropout2)


class TransformerDecoderLayer(TransformerLayer):
    """Self-attention, attention to ``memory``, then two linear maps, each added to what it reads.

    ``memory``: what an encoder made.

    tgt (T, batch, d_model), memory (S, batch, d_model) -> (T, batch, d_model), or the batch first.
    y = norm1(x + attention(x)), z = norm2(y + attention(y, memory)), norm3(z + linear2(…(z)));
    with ``norm_first`` as in `TransformerEncoderLayer`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> layer(cr.zeros(3, 5, 8), cr.zeros(3, 7, 8)).shape
    (3, 5, 8)
    """

    reads_memory = True

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence ``tgt``, transformed; same shape."""

        def attend(x: Tensor) -> Tensor:
            masks = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
            return self._attended(self.self_attn, x, x, *masks)

        def remember(x: Tensor) -> Tensor:
            masks = (memory_mask, memory_key_padding_mask, memory_is_causal)
            return self._attended(self.multihead_attn, x, memory, *masks)

        x = self._added(as_tensor(tgt), self.norm1, attend, self.dropout1)
        x = self._added(x, self.norm2, remember, self.dropout2)
        return self._added(x, self.norm3, self._feed_forward, self.dropout3)


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer one after the other, then ``norm``:
    y = norm(layerₙ(… layer₁(src))), shaped like src (length, batch, d_model).

    Copies: all layers start with the same numbers, as in PyTorch; ``reset_parameters`` of their
    parts draws others. ``enable_nested_tensor`` and ``mask_check`` choose among shortcuts of
    PyTorch that change no result; there are none here.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)
    >>> nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8))(cr.zeros(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers, self.norm = int(num_layers), norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The sequence, transformed; same shape."""
        x = as_tensor(src)
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer one after the other, then ``norm``:
    y = norm(layerₙ(… layer₁(tgt, memory) …, memory)), shaped like tgt (length, batch, d_model).

    Copies: all layers start with the same numbers; see `TransformerEncoder`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)
    >>> nn.TransformerDecoder(layer, 2)(cr.zeros(5, 3, 8), cr.zeros(7, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers, self.norm = int(num_layers), norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence ``tgt``, transformed; same shape."""
        x = as_tensor(tgt)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            x = layer(x, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder that reads ``src`` and a decoder that makes of it and of ``tgt`` the next ``tgt``.

    y = decoder(tgt, encoder(src)): src (S, batch, d_model), tgt (T, batch, d_model) -> (T, batch,
    d_model), or the batch first.
    Matrices start Glorot-uniform. Both stacks end with a `LayerNorm`; ``custom_encoder`` and
    ``custom_decoder`` take their places.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> model = nn.Transformer(8, 2, 1, 1, dim_feedforward=16, batch_first=True)
    >>> mask = nn.Transformer.generate_square_subsequent_mask(5)
    >>> model(cr.zeros(3, 7, 8), cr.zeros(3, 5, 8), tgt_mask=mask).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        options: list[Any] = [dim_feedforward, dropout, activation, layer_norm_eps]
        options += [batch_first, norm_first, bias, device, dtype]

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **made)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(d_model, nhead, *options), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(d_model, nhead, *options), num_decoder_layers, norm()
        )
        self.d_model, self.nhead, self.batch_first = int(d_model), int(nhead), bool(batch_first)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers of all matrices again."""
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """What the decoder makes of ``tgt``; its shape."""
        src, tgt = as_tensor(src), as_tensor(tgt)
        for name, x in (("src", src), ("tgt", tgt)):
            if x.ndim not in (2, 3) or x.ndim != src.ndim or x.shape[-1] != self.d_model:
                raise ShapeError(
                    f"Transformer expects {name} with {self.d_model} features, as one sequence or "
                    f"a batch of them, got {x.shape}"
                )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        made: Tensor = self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)
        return made

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """The causal mask (sz, sz): 0 where a place may look, -inf at the places after it.

        >>> from chainrule import nn
        >>> nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[  0., -inf],
                [  0.,   0.]])
        """
        check_device(device)
        check("generate_square_subsequent_mask", {"sz": integer(1)}, {"sz": sz})
        kind = dt.default_float if dtype is None else dt.dtype_of(dtype)
        return asarray(np.triu(np.full((sz, sz), -np.inf), 1), dtype=kind)


def _copies(name: str, layer: Module, count: int) -> ModuleList:
    check(name, {"num_layers": integer(1)}, {"num_layers": count})
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])
