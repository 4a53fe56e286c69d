"""Nets that read a text token by token and say what follows, and what they write themselves."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import nn
from ..core import dtypes as dt
from ..core.node import Array
from ..errors import DataError, OptionError, ShapeError
from ..nn.modes import in_mode
from ..nn.options import check, integer, number, optional
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from ..tensor.ops.random import Generator, drawing_from, exponential, next_key
from ..tensor.tensor import Tensor
from ..tensor.transform.loops import scan
from ..tensor.value import array_of, make


class CharLSTM(nn.Module):
    """Embedding, LSTM layers, linear scores of the next token.

    Source: Sutskever, Martens & Hinton, 2011, with the cell of Hochreiter & Schmidhuber, 1997;
    Karpathy's char-rnn, 2015.

    Tokens (N, T), integers below ``vocabulary`` -> scores (N, T, vocabulary). ``width``: of the
    embedding and of each of the ``layers``; ``dropout``: between the layers and before the scores.
    `continued` goes on from the state of an earlier piece of the text.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> model = models.CharLSTM(vocabulary=65, width=32, layers=2)
    >>> model(cr.tensor([[1, 2, 3]])).shape
    (1, 3, 65)
    """

    def __init__(self, vocabulary: int, width: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        _check("CharLSTM", vocabulary=vocabulary, width=width, layers=layers, dropout=dropout)
        self.embedding = nn.Embedding(vocabulary, width)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Any) -> Tensor:
        """Scores (N, T, vocabulary) of the token after each, from a state of zeros."""
        return self.continued(tokens)[0]

    def continued(self, tokens: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The scores, and the state (h, c) behind the last token, for the piece that follows."""
        out, state = self.lstm(self.embedding(_tokens("CharLSTM", tokens)), state)
        scores: Tensor = self.head(self.dropout(out))
        return scores, state

    # -- one token at a time, for `generate` -------------------------------------------------------
    def begin(self, tokens: Any) -> Any:
        """The state behind tokens (N, T), of which there may be none."""
        rows, steps = tokens.shape
        if steps:
            return self.continued(tokens)[1]
        size = (self.lstm.num_layers, rows, self.lstm.hidden_size)
        return f.zeros(size), f.zeros(size)

    def advance(self, token: Any, state: Any) -> tuple[Tensor, Any]:
        """Scores (N, vocabulary) of what follows one more token (N,), and the state behind it."""
        scores, state = self.continued(token.unsqueeze(1), state)
        return scores[:, 0], state


class Block(nn.Module):
    """A layer of the `GPT`: y = x + attention(norm(x)), then y + W₂ gelu(W₁ norm(y)).

    Each place sees itself and what is before it.

    x (N, T, width) -> (N, T, width); W₁ is (4 width, width).
    """

    def __init__(self, length: int, width: int, heads: int, dropout: float, bias: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, bias=bias)
        self.attention = nn.MultiheadAttention(width, heads, dropout, bias, batch_first=True)
        self.norm2 = nn.LayerNorm(width, bias=bias)
        self.up = nn.Linear(width, 4 * width, bias)
        self.down = nn.Linear(4 * width, width, bias)
        self.dropout = nn.Dropout(dropout)
        hidden = np.triu(np.ones((length, length), bool), 1)
        self.hidden = nn.Buffer(f.tensor(hidden), persistent=False)

    def attended(self, x: Any, weights: bool = False) -> tuple[Tensor, Any]:
        """What attention adds to x; with ``weights`` also where places look, (N, heads, T, T)."""
        t, read = x.shape[1], self.norm1(x)
        found: tuple[Tensor, Any] = self.attention(
            read,
            read,
            read,
            need_weights=weights,
            attn_mask=self.hidden[:t, :t],
            average_attn_weights=False,
            is_causal=True,
        )
        return found

    def forward(self, x: Any) -> Tensor:
        """The same places, one layer on."""
        return self._on(x, self.attended(x)[0])

    def _on(self, x: Any, attended: Any) -> Tensor:
        x = x + self.dropout(attended)
        y: Tensor = x + self.dropout(self.down(nn.functional.gelu(self.up(self.norm2(x)))))
        return y

    # -- with keys and values that are kept --------------------------------------------------------
    def parts(self, x: Any) -> list[Tensor]:
        """Queries, keys and values (N, heads, T, width / heads) of the places x (N, T, width)."""
        attention = self.attention
        rows = nn.functional.linear(self.norm1(x), attention.in_proj_weight, attention.in_proj_bias)
        shape = (*x.shape[:2], 3, attention.num_heads, attention.head_dim)
        return list(rows.reshape(shape).permute(2, 0, 3, 1, 4))

    def over(self, x: Any, query: Any, keys: Any, values: Any, seen: Any) -> Tensor:
        """The places x one layer on, whose queries look at the keys that are ``seen`` (T, S)."""
        heads = nn.functional.scaled_dot_product_attention(query, keys, values, seen)
        return self._on(x, self.attention.out_proj(heads.transpose(1, 2).flatten(2)))


class GPT(nn.Module):
    """A decoder-only transformer (Radford, Narasimhan, Salimans & Sutskever, 2018).

    With the norms before each part and the initial numbers of Radford et al., 2019, as in
    Karpathy's nanoGPT.

    x = table[token] + position; ``layers`` times x = x + attention(norm(x)), x = x + W₂ gelu(W₁
    norm(x)); scores = W norm(x). Tokens (N, T), T ≤ ``length`` -> scores (N, T, vocabulary) of the
    token after each. ``bias``: in norms and linear maps. ``tie``: W is the table.

    Weights start normal with deviation 0.02, the two maps of a layer that end in a sum with
    0.02 / √(2 layers), biases at 0. Raises ShapeError for more than ``length`` tokens.

    >>> import chainrule as cr
    >>> from chainrule import models, nn
    >>> model = models.GPT(vocabulary=65, length=64, width=128, heads=4, layers=4, tie=True)
    >>> sum(p.numel() for p in model.parameters())
    804096
    >>> x, y = cr.tensor([[1, 2, 3]]), cr.tensor([[2, 3, 4]])
    >>> loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
    >>> loss.shape
    ()
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float = 0.0,
        *,
        bias: bool = False,
        tie: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"vocabulary": vocabulary, "length": length, "width": width, "heads": heads}
        _check("GPT", **sizes, layers=layers, dropout=dropout)
        if width % heads:
            raise OptionError(f"GPT: width={width} is no multiple of heads={heads}")
        self.length = int(length)
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            [Block(length, width, heads, dropout, bias) for _ in range(layers)]
        )
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tie:
            self.head.weight = self.embedding.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        to_sum = 0.02 / math.sqrt(2 * len(self.blocks))
        for name, p in self.named_parameters():
            if "norm" in name:
                (nn.init.zeros_ if name.endswith("bias") else nn.init.ones_)(p)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
            else:
                ends = name.endswith(("out_proj.weight", "down.weight"))
                nn.init.normal_(p, 0.0, to_sum if ends else 0.02)

    def forward(self, tokens: Any) -> Tensor:
        """Scores (N, T, vocabulary) of the token after each."""
        scores: Tensor = self.head(self.features(tokens))
        return scores

    def features(self, tokens: Any) -> Tensor:
        """What the scores are made of, (N, T, width): what is known behind each token."""
        x = self._embedded(tokens)
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.norm(x)
        return found

    def attention(self, tokens: Any) -> list[Tensor]:
        """How much each place looks at each, layer by layer: (N, heads, T, T), rows sum to 1."""
        x, found = self._embedded(tokens), []
        for block in self.blocks:
            found.append(block.attended(x, weights=True)[1])
            x = block(x)
        return found

    def _embedded(self, tokens: Any) -> Tensor:
        tokens = _tokens("GPT", tokens)
        steps = tokens.shape[1]
        if steps > self.length:
            raise ShapeError(
                f"GPT reads at most length={self.length} tokens at once, got {steps}; give it the "
                f"last ones: tokens[:, -{self.length}:]"
            )
        places = f.arange(steps)
        x: Tensor = self.dropout(self.embedding(tokens) + self.position(places))
        return x

    # -- one token at a time, for `generate` -------------------------------------------------------
    def begin(self, tokens: Any, taken: Any = None) -> Any:
        """The state behind tokens (N, T), T ≤ ``length``.

        Keys and values of each layer, (layers, N, heads, length, width / heads), and how many
        places are taken: T, or ``taken``.
        """
        tokens = f.asarray(tokens)
        rows, steps = tokens.shape
        taken = f.tensor(steps) if taken is None else taken
        rest = f.zeros((rows, self.length - steps), dtype=tokens.dtype)
        x, seen = self._embedded(f.cat([tokens, rest], 1)), ~self.blocks[0].hidden
        kept = []
        for block in self.blocks:
            query, *pair = block.parts(x)
            kept.append(pair)
            x = block.over(x, query, *pair, seen)
        keys, values = (f.stack(list(part)) for part in zip(*kept, strict=True))
        return keys, values, taken

    def advance(self, token: Any, state: Any) -> tuple[Tensor, Any]:
        """Scores (N, vocabulary) of what follows one more token (N,), and the state behind it.

        Only what is new is computed: its query looks at the keys that are kept. There must be a
        place left: at most ``length`` tokens in all.
        """
        keys, values, taken = state
        places = f.arange(self.length)
        here = (places == taken).unsqueeze(-1)
        x = (self.embedding(token) + self.position(taken)).unsqueeze(1)
        kept = []
        for block, *pair in zip(self.blocks, keys, values, strict=True):
            query, *new = block.parts(x)
            pair = [f.where(here, n, old) for n, old in zip(new, pair, strict=True)]
            kept.append(pair)
            x = block.over(x, query, *pair, places <= taken)
        scores: Tensor = self.head(self.norm(x))[:, 0]
        found = [f.stack(list(part)) for part in zip(*kept, strict=True)]
        return scores, (*found, taken + 1)


class Writer:
    """Writes token by token with a model: `generate`, but each token is there when it is drawn.

    ``for token in writer(prompt, count): ...`` gives int64 (N,) each time. Other options are those
    of `generate`; what is compiled is compiled once for a writer and a shape of the prompt.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> write = models.Writer(models.CharLSTM(5, 8), temperature=0)
    >>> [token.shape for token in write([[1, 2]], 3)]
    [(1,), (1,), (1,)]
    """

    def __init__(
        self,
        model: Any,
        temperature: float = 1.0,
        top_k: int | None = None,
        generator: Generator | None = None,
        top_p: float | None = None,
    ) -> None:
        limits = {"top_k": optional(integer(1)), "top_p": optional(number(0, 1, "(]"))}
        check("generate", limits, {"top_k": top_k, "top_p": top_p})
        if not (hasattr(model, "begin") and hasattr(model, "advance")):
            raise OptionError(
                "generate: the model is a CharLSTM, a GPT, or a module with their methods "
                f"begin(tokens) and advance(token, state); got {type(model).__name__}"
            )
        self.model, self.top_k, self.top_p = model, top_k, top_p
        self._say(temperature, generator)
        self._write = compiled(self._draw)
        self._begin = compiled(lambda tokens, taken: model.begin(tokens, taken))

    def _say(self, temperature: float, generator: Generator | None) -> None:
        check("generate", {"temperature": number(0)}, {"temperature": temperature})
        self.temperature, self.generator = float(temperature), generator

    def like(self, temperature: float = 1.0, generator: Generator | None = None) -> Writer:
        """Another one with the same programs, which may write side by side with this one."""
        other = copy.copy(self)
        other._say(temperature, generator)
        return other

    def __call__(self, prompt: Any, count: int) -> Iterator[Array]:
        """``count`` tokens, one after the other, int64 (N,), behind the prompt (T,) or (N, T)."""
        check("generate", {"count": integer(0)}, {"count": count})
        given = array_of(prompt)
        tokens = np.atleast_2d(given)
        if tokens.ndim != 2 or not tokens.shape[1] or tokens.dtype.kind not in "iu":
            raise DataError(
                "generate: the prompt is at least one token, integers (T,) or (N, T); got "
                f"{given.dtype} of the shape {given.shape}"
            )
        return self._tokens(tokens.astype(np.int64), count)

    def _tokens(self, tokens: Array, count: int) -> Iterator[Array]:
        """A full window goes on with the last half of its tokens."""
        length = getattr(self.model, "length", None)
        window = tokens if length is None else tokens[:, -length:]
        state: Any = None
        for _ in range(count):
            if state is None:
                state = self._quietly(self._start, window[:, :-1])
            draw = (self.temperature, make(next_key(self.generator))) if self.temperature else ()
            token, state = self._quietly(self._write, f.tensor(window[:, -1]), state, *draw)
            new = array_of(token)
            if length is not None:
                if window.shape[1] == length:
                    window, state = window[:, length - max(length // 2, 1) + 1 :], None
                window = np.concatenate([window, new[:, None]], 1)
            else:
                window = new[:, None]
            yield new

    def _start(self, tokens: Array) -> Any:
        if not hasattr(self.model, "length"):
            return self.model.begin(f.tensor(tokens))
        wide = np.zeros((len(tokens), self.model.length), np.int64)
        wide[:, : tokens.shape[1]] = tokens
        return self._begin(f.tensor(wide), f.tensor(tokens.shape[1]))

    def _quietly(self, run: Any, *arguments: Any) -> Any:
        """Run in evaluation mode, without gradients."""
        with in_mode(self.model, False), no_grad():
            return run(*arguments)

    def _draw(self, token: Any, state: Any, warmth: Any = None, key: Any = None) -> Any:
        """The next token, by random numbers that are a function of ``key``; without it the best."""
        scores, state = self.model.advance(token, state)
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            scores = _best(scores, self.top_k)
        if key is not None:  # the largest of scores / t - ln(-ln u) is a draw from their softmax
            warmth = f.maximum(warmth, f.finfo("float32").smallest_normal)
            scores = (scores - scores.max(-1, keepdim=True)) / warmth
            if self.top_p is not None and self.top_p < 1:
                scores = _nucleus(scores, self.top_p)
            with drawing_from(key):
                noise = exponential(1.0, scores.shape, scores.dtype)
            scores = scores - f.log(noise)
        return scores.argmax(-1), state


def generate(
    model: Any,
    prompt: Any,
    count: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: Generator | None = None,
    top_p: float | None = None,
) -> Tensor:
    """``count`` tokens that the model writes behind the prompt.

    (T,) -> (T + count,), or each of (N, T) -> (N, T + count), int64.

    A token is drawn with probability softmax(scores / temperature), after ``top_k`` only among the
    k best, after ``top_p`` only among the fewest of the most probable that together have this
    probability (the nucleus: Holtzman et al. 2020; looked for among the k best);
    temperature 0 takes the best one always. ``generator``: where random numbers come from
    (None: `cr.manual_seed`). The model is a `CharLSTM`, a `GPT`, or another module with their
    methods ``begin`` and ``advance``; it runs as in ``eval()``. One token is one call of a program
    that is compiled once, and computes what is new: keys and values of a GPT are kept. A window of
    ``model.length`` tokens that is full goes on with the last half of them, for all places are new
    then. Raises DataError for an empty prompt or tokens outside the vocabulary. See `Writer`.

    >>> import chainrule as cr
    >>> from chainrule import models
    >>> model = models.GPT(vocabulary=5, length=8, width=8, heads=2, layers=1)
    >>> models.generate(model, [1, 2], count=10, generator=cr.Generator(0)).shape
    (12,)
    """
    given = array_of(prompt)
    write = Writer(model, temperature, top_k, generator, top_p)
    tokens = [np.atleast_2d(given).astype(np.int64)] if given.dtype.kind in "iu" else []
    tokens += [token[:, None] for token in write(given, count)]
    whole = f.tensor(np.concatenate(tokens, axis=1))
    one: Tensor = whole[0]
    return one if given.ndim == 1 else whole


def _best(scores: Tensor, k: int) -> Tensor:
    """Scores (N, V) with -∞ for all but the k largest of each row (of equal ones the first)."""
    places = f.arange(scores.shape[1])

    def without_best(left: Any, _: Any) -> Any:
        return f.where(places == left.argmax(-1).unsqueeze(1), -math.inf, left), None

    others, _ = scan(without_best, scores, length=k)
    best: Tensor = f.where(others == -math.inf, scores, -math.inf)
    return best


HALVINGS = 40  # of the interval in which the least probability of a nucleus lies


def _nucleus(scores: Tensor, p: float) -> Tensor:
    """Scores (N, V) with -∞ for all but the fewest whose probabilities sum to p at least.

    These are the most probable (of equal ones the first): those before which less than p lies.
    """
    share = f.softmax(scores, -1)

    def halved(bounds: Any, _: Any) -> Any:
        low, high = bounds
        middle = (low + high) / 2
        enough = f.where(share > middle, share, 0.0).sum(-1, keepdims=True) >= p
        return (f.where(enough, middle, low), f.where(enough, high, middle)), None

    column = f.zeros((scores.shape[0], 1), dtype=scores.dtype)
    (low, high), _ = scan(halved, (column, column + 1), length=HALVINGS)
    sure = share > high
    near = f.where((share > low) & ~sure, share, 0.0)
    before = f.where(sure, share, 0.0).sum(-1, keepdims=True) + near.cumsum(-1) - near
    kept: Tensor = f.where(sure | ((near > 0) & (before < p)), scores, -math.inf)
    return kept


def _tokens(where: str, tokens: Any) -> Tensor:
    """Checked: (N, T), integers."""
    found = f.asarray(tokens)
    if found.ndim != 2 or not dt.is_integer(found.dtype):
        raise ShapeError(
            f"{where} reads tokens (N, T), integers; got {found.dtype} of the shape {found.shape}"
        )
    return found


def _check(where: str, dropout: float, **sizes: int) -> None:
    limits = dict.fromkeys(sizes, integer(1)) | {"dropout": number(0, 1, "[)")}
    check(where, limits, {**sizes, "dropout": dropout})


__all__ = ["GPT", "CharLSTM", "Writer", "generate"]
