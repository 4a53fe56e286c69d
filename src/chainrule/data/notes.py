"""Notes: what a pass over a table replaced, and how much of it is remembered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError

MAX_WORDS = 1 << 16
"""So many different words of a column are counted; beyond, the rare ones are forgotten."""
MAX_CHARACTERS = 1 << 26
"""The words that are counted have no more characters together."""


@dataclass
class Notes:
    """What one pass over a table replaced, by column."""

    replaced: Counter[str] = field(default_factory=Counter)
    unseen: dict[str, Counter[str]] = field(default_factory=dict)


def forget_rare(counts: Counter[Any]) -> bool:
    """Keep the more frequent half of too many words; whether there were too many."""
    if len(counts) <= MAX_WORDS and sum(map(len, counts)) <= MAX_CHARACTERS:
        return False
    kept = counts.most_common(min(len(counts), MAX_WORDS) // 2)
    counts.clear()
    counts.update(dict(kept))
    return True


def no_values(source: str, name: str) -> DataError:
    return DataError(f"{source}: column {name!r} has no values in any row; drop it")
