"""The Transformer of 2017 from tokens to tokens, and how it writes: with beams, and caches."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..nn.functional import linear, log_softmax, scaled_dot_product_attention
from ..nn.modes import in_mode
from ..nn.options import check, integer, number
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from ..tensor.tensor import Tensor
from ..tensor.transform.loops import scan
from ..tensor.value import array_of

PAD, START, END = 0, 1, 2
"""The numbers of padding, of the token before the first and of the one behind the last."""


class Seq2SeqTransformer(nn.Module):
    """An encoder reads a sequence, a decoder writes another (Vaswani et al., 2017).

    Tokens ``source`` (N, S) and ``target`` (N, T), integers below ``vocabulary`` -> scores (N, T,
    vocabulary) of the target's token after each. Token 0 is padding: places of the source that have
    it are not looked at. ``target`` begins with token 1 (start), what is to be said ends with 2.

    x = √width · table[token] + position (sines), dropout; then `nn.Transformer` with ``layers``
    each for encoder and decoder, ``heads``, ReLU layers of ``feedforward``; scores = table x. One
    table serves source, target and scores. ``norm_first``: norms before the parts of a layer.
    Matrices start Glorot-uniform, the table normal with deviation 1/√width. Raises OptionError for
    a width that is no multiple of ``heads`` or odd, ShapeError for other than tokens (N, T).

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> model = models.Seq2SeqTransformer(13, width=16, heads=2, layers=1, feedforward=32)
    >>> model(cr.tensor([[3, 4, 5, 0]]), cr.tensor([[1, 5, 4]])).shape
    (1, 3, 13)
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 512,
        heads: int = 8,
        layers: int = 6,
        feedforward: int = 2048,
        dropout: float = 0.1,
        *,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"vocabulary": vocabulary, "width": width, "heads": heads, "layers": layers}
        limits = dict.fromkeys([*sizes, "feedforward"], integer(1))
        limits["dropout"] = number(0, 1, "[)")
        given = {**sizes, "feedforward": feedforward, "dropout": dropout}
        check("Seq2SeqTransformer", limits, given)
        if width % heads or width % 2:
            raise OptionError(
                f"Seq2SeqTransformer: width={width} is odd, or no multiple of heads={heads}"
            )
        self.embedding = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(
            width,
            heads,
            layers,
            layers,
            feedforward,
            dropout,
            batch_first=True,
            norm_first=norm_first,
        )
        nn.init.normal_(self.embedding.weight, 0.0, width**-0.5)

    def forward(self, source: Any, target: Any) -> Tensor:
        """Scores (N, T, vocabulary) of the token after each of ``target``."""
        source, target = _tokens("source", source), _tokens("target", target)
        hidden = source == PAD
        found = self.transformer(
            self._embedded(source),
            self._embedded(target),
            tgt_mask=~f.tensor(np.tri(target.shape[1], dtype=bool)),
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        return self._scores(found)

    def attention(self, source: Any, target: Any) -> list[Tensor]:
        """How much each place of ``target`` looks at each of ``source``, layer by layer.

        (N, heads, T, S); rows sum to 1.
        """
        asked: list[Any] = []
        layers = self.transformer.decoder.layers
        handles = [
            layer.multihead_attn.register_forward_pre_hook(lambda _, given: asked.append(given))
            for layer in layers
        ]
        try:
            self(source, target)
        finally:
            for handle in handles:
                handle.remove()
        return [
            layer.multihead_attn(*given[:4], need_weights=True, average_attn_weights=False)[1]
            for layer, given in zip(layers, asked, strict=True)
        ]

    def _embedded(self, tokens: Any, place: Any = None) -> Tensor:
        """Tokens (N, T) as they enter: at places 0 ... T - 1, or all at ``place``."""
        width, table = self.transformer.d_model, self.embedding.weight
        places = f.arange(tokens.shape[1]) if place is None else place
        rates = f.exp(f.arange(0, width, 2).to(table.dtype) * (-math.log(10000.0) / width))
        angles = places.to(table.dtype).reshape(-1, 1) * rates  # (T, width / 2)
        position = f.stack([f.sin(angles), f.cos(angles)], -1).reshape(-1, width)
        placed: Tensor = self.dropout(self.embedding(tokens) * math.sqrt(width) + position)
        return placed

    def _scores(self, x: Any) -> Tensor:
        return linear(x, self.embedding.weight)

    # -- one token at a time, for `beam_search` ----------------------------------------------------
    def read(self, source: Any) -> Reading:
        """What the decoder looks at while it writes, for sources (N, S)."""
        source = _tokens("source", source)
        seen = source != PAD
        memory = self.transformer.encoder(
            self._embedded(source), src_key_padding_mask=source == PAD
        )
        layers = self.transformer.decoder.layers
        parts = [layer.multihead_attn for layer in layers]
        keys = tuple(_heads(a, _projected(a, memory, 1)) for a in parts)
        values = tuple(_heads(a, _projected(a, memory, 2)) for a in parts)
        return Reading(keys, values, seen.reshape(len(seen), 1, 1, -1))

    def begin(self, rows: int, beams: int, length: int) -> State:
        """The state before the first of ``length`` tokens, for ``rows`` times ``beams`` targets."""
        a = self.transformer.decoder.layers[0].self_attn
        shape = (rows, beams, a.num_heads, length, a.head_dim)
        caches = tuple(
            f.zeros(shape, dtype=self.embedding.weight.dtype)
            for _ in range(2 * len(self.transformer.decoder.layers))
        )
        return State(caches, f.tensor(0))

    def advance(self, token: Any, state: State, reading: Reading) -> tuple[Tensor, State]:
        """Scores (N, beams, vocabulary) of what follows a token (N, beams), and the state."""
        rows, beams = token.shape
        place = state.place
        x = self._embedded(token.reshape(-1, 1), place).reshape(rows, beams, -1)
        length = state.caches[0].shape[3]
        places = f.arange(length)
        here, before = (places == place).reshape(-1, 1), places <= place
        caches: list[Tensor] = []
        for i, layer in enumerate(self.transformer.decoder.layers):

            def attend(x: Any, layer: Any = layer, i: int = i) -> Tensor:
                a = layer.self_attn
                q, k, v = (
                    _projected(a, x, part).reshape(rows, beams, a.num_heads, 1, a.head_dim)
                    for part in range(3)
                )
                keys = f.where(here, k, state.caches[2 * i])
                values = f.where(here, v, state.caches[2 * i + 1])
                caches.extend((keys, values))
                found = scaled_dot_product_attention(q, keys, values, attn_mask=before)
                y: Tensor = a.out_proj(found.reshape(rows, beams, -1))
                return y

            def remember(x: Any, layer: Any = layer, i: int = i) -> Tensor:
                a = layer.multihead_attn
                q = _heads(a, _projected(a, x, 0))
                keys, values = reading.keys[i], reading.values[i]
                found = scaled_dot_product_attention(q, keys, values, attn_mask=reading.seen)
                y: Tensor = a.out_proj(found.permute(0, 2, 1, 3).reshape(rows, beams, -1))
                return y

            x = layer._added(x, layer.norm1, attend, layer.dropout1)
            x = layer._added(x, layer.norm2, remember, layer.dropout2)
            x = layer._added(x, layer.norm3, layer._feed_forward, layer.dropout3)
        norm = self.transformer.decoder.norm
        x = x if norm is None else norm(x)
        return self._scores(x), State(tuple(caches), place + 1)


class Reading(NamedTuple):
    """What a decoder looks at: keys and values of each layer, (N, heads, S, features).

    And which places are no padding, (N, 1, 1, S).
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    seen: Tensor


class State(NamedTuple):
    """How far a decoder is: keys and values of each layer, and how many places are taken.

    Keys and values are (N, beams, heads, length, features).
    """

    caches: tuple[Tensor, ...]
    place: Tensor


def beam_search(
    model: Any, source: Any, length: int, beams: int = 4, length_penalty: float = 0.6
) -> Tensor:
    """What a `Seq2SeqTransformer` writes for each of ``source`` (N, S).

    Tokens (N, ``length``) without the start, 0 behind the end (token 2), int64.

    The ``beams`` most probable beginnings go on side by side; the one that is best in the end has
    the largest log P / ((5 + n) / 6)^``length_penalty``, n its tokens (Wu et al., 2016, equation
    14). One beam is the greedy choice of the most probable token. Keys and values of what is
    written are kept, so a token costs one row of each product; one token of all is one call of a
    compiled program. The model runs as in ``eval()``. It ends early where all have ended. Raises
    ShapeError for other than tokens (N, S), OptionError for a model that cannot write.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> model = models.Seq2SeqTransformer(13, width=16, heads=2, layers=1, feedforward=32)
    >>> models.beam_search(model, [[3, 4, 5], [6, 7, 0]], length=8).shape
    (2, 8)
    """
    limits = {"length": integer(1), "beams": integer(1), "length_penalty": number(0)}
    check(
        "beam_search",
        limits,
        {"length": length, "beams": beams, "length_penalty": length_penalty},
    )
    if not isinstance(model, Seq2SeqTransformer):
        raise OptionError(
            f"beam_search: the model is a Seq2SeqTransformer, got {type(model).__name__}"
        )
    source = _tokens("source", source)
    rows = source.shape[0]

    @compiled
    def write(token: Any, logs: Any, written: Any, state: Any, reading: Any) -> Any:
        scores, state = model.advance(token, State(*state), Reading(*reading))
        size = scores.shape[-1]
        over, numbers = (token == END) | (token == PAD), f.arange(size)
        after_end = f.where(numbers == PAD, 0.0, -math.inf)
        going_on = f.where(numbers < END, -math.inf, log_softmax(scores, -1))
        each = f.where(over.unsqueeze(-1), after_end, going_on)
        logs, best = _largest((logs.unsqueeze(-1) + each).reshape(rows, beams * size), beams)
        parent, token = best // size, best % size
        written = _of_beam(written, parent)
        written = f.where(f.arange(length) == state.place - 1, token.unsqueeze(-1), written)
        caches = tuple(_of_beam(c, parent) for c in state.caches) if beams > 1 else state.caches
        done = ((token == END) | (token == PAD)).all()
        return token, logs, written, State(caches, state.place), done

    with in_mode(model, False), no_grad():
        reading, state = compiled(model.read)(source), model.begin(rows, beams, length)
        token = f.tensor(np.full((rows, beams), START))
        first = np.full((rows, beams), -math.inf)
        first[:, 0] = 0
        logs = f.tensor(first, dtype=model.embedding.weight.dtype)
        written = f.tensor(np.full((rows, beams, length), PAD))
        for _ in range(length):
            token, logs, written, state, done = write(token, logs, written, state, reading)
            if done.item():
                break
    found = array_of(written)
    tokens = np.maximum((found != PAD).sum(-1), 1)
    value = array_of(logs) / ((5 + tokens) / 6) ** length_penalty
    return f.tensor(found[np.arange(rows), value.argmax(-1)])


def _largest(values: Any, count: int) -> tuple[Tensor, Tensor]:
    """The largest of each row (N, V), the first of equal ones, and where they are: (N, count)."""

    def without_best(left: Any, _: Any) -> Any:
        best = left.argmax(-1).unsqueeze(-1)
        return f.where(f.arange(left.shape[1]) == best, -math.inf, left), best[:, 0]

    _, at = scan(without_best, values, length=count)  # (count, N)
    where = at.permute(1, 0)
    return f.take_along_axis(values, where, -1), where


def _of_beam(values: Any, parent: Any) -> Tensor:
    """Those of the beams (N, beams, …) that ``parent`` (N, beams) names."""
    rows, beams = parent.shape
    flat = values.reshape(rows * beams, *values.shape[2:])
    index = (f.arange(rows).unsqueeze(-1) * beams + parent).reshape(-1)
    taken: Tensor = flat.take(index, 0).reshape(*values.shape)
    return taken


def _projected(a: Any, x: Any, part: int) -> Tensor:
    """Queries (part 0), keys (1) or values (2) of x."""
    rows = slice(part * a.embed_dim, (part + 1) * a.embed_dim)
    return linear(x, a.in_proj_weight[rows], a.in_proj_bias[rows])


def _heads(a: Any, x: Any) -> Tensor:
    """(N, L, width) -> (N, heads, L, features of a head)"""
    n, length, _ = x.shape
    apart: Tensor = x.reshape(n, length, a.num_heads, a.head_dim).permute(0, 2, 1, 3)
    return apart


def _tokens(name: str, tokens: Any) -> Tensor:
    """Checked: (N, L), integers."""
    found = f.asarray(tokens)
    if found.ndim != 2 or not dt.is_integer(found.dtype):
        raise ShapeError(
            f"Seq2SeqTransformer reads {name} as tokens (N, L), integers; got {found.dtype} of the "
            f"shape {found.shape}"
        )
    return found


__all__ = ["END", "PAD", "START", "Seq2SeqTransformer", "beam_search"]
