"""Byte pairs: a vocabulary of frequent pieces of words, over bytes, so that no text is unknown.

Source: Sennrich, Haddow & Birch (2016); Radford et al. (2019).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from ..errors import OptionError

BYTES = tuple(bytes([i]) for i in range(256))
_PIECE = re.compile(r" ?\w+| ?[^\w\s]+|\s+(?!\S)|\s+")
Pair = tuple[bytes, bytes]
SIZE = 1024
"""Entries of a vocabulary, if nothing is said."""


def pieces_of(text: str) -> list[bytes]:
    """Words with the space before them, runs of punctuation and of spaces: no pair crosses them."""
    return [p.encode() for p in _PIECE.findall(text)]


def learn_byte_pairs(text: str, size: int = SIZE) -> tuple[bytes, ...]:
    """A vocabulary of ``size`` entries: the 256 bytes, then the most frequent pairs.

    Each time the most frequent pair of neighbours becomes an entry of its own, of equally frequent
    ones the first by their bytes.

    There are fewer entries where no pair is left that occurs twice.

    >>> from chainrule.data.byte_pairs import learn_byte_pairs
    >>> learn_byte_pairs("low lower lowest", 259)[256:]
    (b'lo', b'low', b' low')
    """
    if size < 256:
        raise OptionError(f"byte pairs: a vocabulary has at least the 256 bytes, got size={size}")
    counts = Counter(pieces_of(text))
    words = [([bytes([b]) for b in word], count) for word, count in counts.items()]
    pairs: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)
    for i, (parts, count) in enumerate(words):
        for pair in zip(parts, parts[1:], strict=False):
            pairs[pair] += count
            where[pair].add(i)
    found = list(BYTES)
    known = set(found)
    heap = [_ranked(pair, count) for pair, count in pairs.items()]
    heapify(heap)
    while len(found) < size and heap:
        count, _, best = heappop(heap)
        if -count != pairs[best]:  # counted anew since then
            continue
        if -count < 2:
            break
        changed = set()
        for i in sorted(where.pop(best)):
            parts, count = words[i]
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] -= count
                where[pair].discard(i)
                changed.add(pair)
            parts[:] = _joined(parts, best)
            for pair in zip(parts, parts[1:], strict=False):
                pairs[pair] += count
                where[pair].add(i)
                changed.add(pair)
        del pairs[best]
        for pair in changed - {best}:
            heappush(heap, _ranked(pair, pairs[pair]))
        joined = best[0] + best[1]
        if joined not in known:  # the same bytes may come together in two ways
            known.add(joined)
            found.append(joined)
    return tuple(found)


def _ranked(pair: Pair, count: int) -> tuple[int, tuple[int, ...], Pair]:
    """Least for the most frequent pair, of equally frequent ones for the first by its bytes.

    Of bytes a longer text comes before its beginning.
    """
    return -count, (*pair[0], *pair[1], 256), pair


class BytePairs:
    """Splits text into entries of a vocabulary, joining pairs in the order of their entries."""

    def __init__(self, vocabulary: Sequence[bytes]) -> None:
        self.number = {entry: i for i, entry in enumerate(vocabulary)}
        if any(b not in self.number for b in BYTES):
            raise OptionError("byte pairs: the vocabulary must have the 256 bytes")
        self._known: dict[bytes, list[bytes]] = {}

    def split(self, text: str) -> list[bytes]:
        """The entries that the text is made of, in order."""
        return [entry for piece in pieces_of(text) for entry in self._entries(piece)]

    def _entries(self, piece: bytes) -> list[bytes]:
        if piece not in self._known:
            parts = [bytes([b]) for b in piece]
            while len(parts) > 1:
                pairs = zip(parts, parts[1:], strict=False)
                first = min(pairs, key=lambda p: self.number.get(p[0] + p[1], 1 << 40))
                if first[0] + first[1] not in self.number:
                    break
                parts = _joined(parts, first)
            self._known[piece] = parts
        return self._known[piece]


def _joined(parts: list[bytes], pair: Pair) -> list[bytes]:
    found: list[bytes] = []
    i = 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            found.append(parts[i] + parts[i + 1])
            i += 2
        else:
            found.append(parts[i])
            i += 1
    return found
