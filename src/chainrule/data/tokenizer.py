"""Byte pairs: texts as numbers of pieces that are frequent, from single bytes to whole words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError

_WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s+(?!\S)|\s+")
Pair = tuple[int, int]


class BytePairTokenizer:
    """Texts as numbers of pieces, and back: byte-pair encoding (Gage, 1994; Sennrich, Haddow &
    Birch, 2016), from bytes up, so that every text has numbers.

    At first the pieces are the 256 bytes; ``merges`` says which two neighbours make a new piece, in
    the order in which they are put together. Pieces never go across words (a space belongs to the
    word after it). Numbers below ``first`` are left for the special tokens of a model: a byte b is
    ``first`` + b, then come the merges. `learn` finds the merges.

    >>> from chainrule.data import BytePairTokenizer
    >>> tokenizer = BytePairTokenizer.learn(["low lower lowest", "new newer"], size=265)
    >>> [tokenizer.decode([n]) for n in tokenizer.encode("lower newest")]
    ['lo', 'wer', ' ', 'ne', 'we', 's', 't']
    >>> tokenizer.decode(tokenizer.encode("Grüße, 世界"))
    'Grüße, 世界'
    """

    def __init__(self, merges: Sequence[Pair] = (), first: int = 3) -> None:
        """Raises DataError for a merge of pieces that are not there yet."""
        if first < 0:
            raise OptionError(f"BytePairTokenizer: first is at least 0, got {first}")
        self.first = int(first)
        self.pieces: list[bytes] = [bytes([b]) for b in range(256)]
        """What each number from ``first`` on stands for."""
        self.merges: tuple[Pair, ...] = tuple((int(a), int(b)) for a, b in merges)
        for a, b in self.merges:
            if not 0 <= min(a, b) <= max(a, b) < len(self.pieces):
                raise DataError(
                    f"BytePairTokenizer: merge {len(self.pieces) - 256} is of pieces {a} and {b}, "
                    f"and there are {len(self.pieces)} before it"
                )
            self.pieces.append(self.pieces[a] + self.pieces[b])
        self._rank = {pair: i for i, pair in enumerate(self.merges)}
        self._word = lru_cache(1 << 16)(self._pieces_of)

    def __len__(self) -> int:
        """How many numbers there are, special ones too: the ``vocabulary`` of a model."""
        return self.first + len(self.pieces)

    def __repr__(self) -> str:
        return f"BytePairTokenizer({len(self.merges):,} merges, first={self.first})"

    @classmethod
    def learn(cls, texts: Iterable[str], size: int, first: int = 3) -> BytePairTokenizer:
        """The tokenizer of ``size`` numbers in all whose merges are the most frequent pairs of
        ``texts``, again and again (of equally frequent ones the smallest numbers).

        It has fewer where no pair is there twice. Raises OptionError for a size below ``first`` +
        256, DataError for texts that are no strings.
        """
        if size < first + 256:
            raise OptionError(
                f"BytePairTokenizer: size is at least first + 256 bytes = {first + 256}, got {size}"
            )
        counted: Counter[str] = Counter()
        for i, text in enumerate(texts):
            _check_text(f"learn: text {i}", text)
            counted.update(_WORD.findall(text))
        words = [list(word.encode()) for word in counted]
        often = list(counted.values())
        count: Counter[Pair] = Counter()
        where: defaultdict[Pair, set[int]] = defaultdict(set)
        for i, word in enumerate(words):
            for pair in zip(word, word[1:], strict=False):
                count[pair] += often[i]
                where[pair].add(i)
        heap = [(-n, pair) for pair, n in count.items()]
        heapify(heap)
        merges: list[Pair] = []
        while heap and len(merges) < size - first - 256:
            n, best = heappop(heap)
            if -n != count[best]:  # counted anew since
                continue
            if -n < 2:
                break
            changed: set[Pair] = set()
            for i in where.pop(best):
                before = words[i]
                words[i] = after = _joined(before, best, 256 + len(merges))
                for pair in zip(before, before[1:], strict=False):
                    count[pair] -= often[i]
                    changed.add(pair)
                for pair in zip(after, after[1:], strict=False):
                    count[pair] += often[i]
                    where[pair].add(i)
                    changed.add(pair)
            merges.append(best)
            for pair in changed:
                heappush(heap, (-count[pair], pair))
        return cls(merges, first)

    def encode(self, text: str) -> Array:
        """The numbers of a text, int64 (T,)."""
        _check_text("encode", text)
        found = [n for word in _WORD.findall(text) for n in self._word(word)]
        return np.array(found, np.int64) + self.first

    def decode(self, tokens: Any) -> str:
        """The text of numbers; special ones say nothing, and what is no UTF-8 is �. Raises
        DataError for numbers outside the vocabulary."""
        numbers = np.asarray(tokens, np.int64).ravel()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise DataError(
                f"decode: {numbers.min()} or {numbers.max()} is outside the vocabulary of "
                f"{len(self)}"
            )
        pieces = [self.pieces[n - self.first] for n in numbers.tolist() if n >= self.first]
        return b"".join(pieces).decode(errors="replace")

    def _pieces_of(self, word: str) -> tuple[int, ...]:
        """The pieces of a word: merges are applied in the order in which they were learned."""
        pieces = list(word.encode())
        while len(pieces) > 1:
            pairs = zip(pieces, pieces[1:], strict=False)
            best = min(pairs, key=lambda pair: self._rank.get(pair, len(self._rank)))
            if best not in self._rank:
                break
            pieces = _joined(pieces, best, 256 + self._rank[best])
        return tuple(pieces)


def _joined(pieces: list[int], pair: Pair, new: int) -> list[int]:
    """``pieces`` with every such pair, from the left, as one."""
    found: list[int] = []
    for piece in pieces:
        if found and found[-1] == pair[0] and piece == pair[1]:
            found[-1] = new
        else:
            found.append(piece)
    return found


def _check_text(where: str, text: Any) -> None:
    if not isinstance(text, str):
        raise DataError(f"BytePairTokenizer: {where} is a string, got {type(text).__name__}")
