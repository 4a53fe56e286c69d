"""Tasks with few labels: languages of pieces of captions, first names among words; and trigrams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.node import Array
from ..data import (
    TextCorpus,
    load_multi30k,
    load_names,
    load_tiny_shakespeare,
)

TESTED = 1000


@dataclass(frozen=True)
class Task:
    """Rows of ``size`` characters with a class, and text without labels."""

    name: str
    corpus: TextCorpus
    x: Array
    y: Array
    x_test: Array
    y_test: Array

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.y.max()) + 1


def languages(rng: np.random.Generator, size: int = 12) -> Task:
    """Pieces of captions in English, German and French."""
    parts = []
    for part in ("train", "val"):
        english, german = load_multi30k(part)
        french = load_multi30k(part, ("en", "fr"))[1]
        parts.append([english, german, french])
    half = len(parts[0][0]) // 2  # the first half is read, the second has the labels

    def pieces(texts: list[str], count: int) -> list[str]:
        long = [t for t in texts if len(t) > size]
        chosen = [long[i] for i in rng.integers(0, len(long), count)]
        return [t[(i := int(rng.integers(0, len(t) - size))) : i + size] for t in chosen]

    read = [line for texts in parts[0] for line in texts[:half]]
    rng.shuffle(read)
    train = [pieces(texts[half:], 2000) for texts in parts[0]]
    return task("language", "\n".join(read), train, [pieces(t, TESTED // 3) for t in parts[1]])


def names_or_words(rng: np.random.Generator) -> Task:
    """First names, and words of Shakespeare's that are none, both in small letters."""
    names = sorted(set(load_names()))
    text = str(load_tiny_shakespeare().decode(load_tiny_shakespeare().tokens)).lower()
    words = sorted({w for w in text.split() if w.isascii() and w.isalpha()} - set(names))
    both = [[w for w in kind if 3 <= len(w) <= 12] for kind in (names, words)]
    for kind in both:
        rng.shuffle(kind)
    count = TESTED // 2
    test, train = ([k[a:b] for k in both] for a, b in ((0, count), (count, count + 2000)))
    read = [w for kind in both for w in kind[count + 2000 :]]
    rng.shuffle(read)
    return task("name or word", "\n".join(read), train, test)


def task(name: str, text: str, train: list[list[str]], test: list[list[str]]) -> Task:
    """Rows of equal length, filled up with line ends; a character not read before is one, too."""
    corpus = TextCorpus(text + "\n")
    size = max(len(row) for rows in train for row in rows)
    known = set(corpus.vocabulary)

    def coded(classes: list[list[str]]) -> tuple[Array, Array]:
        rows = ["".join(c if c in known else "\n" for c in r).ljust(size, "\n")
                for kind in classes for r in kind]  # fmt: skip
        y = np.repeat(np.arange(len(classes)), [len(kind) for kind in classes])
        return corpus.encode("".join(rows)).reshape(-1, size).astype(np.int64), y

    return Task(name, corpus, *coded(train), *coded(test))


def trigrams(what: Task, rows: Array, smoothing: float = 0.1) -> float:
    """The test accuracy of the class whose trigrams make the row likeliest."""
    size = len(what.corpus.vocabulary)

    def codes(x: Array) -> Array:
        return np.asarray((x[:, :-2] * size + x[:, 1:-1]) * size + x[:, 2:])

    found = []
    for c in range(what.classes):
        own = codes(what.x[rows[what.y[rows] == c]])
        counts = np.bincount(own.ravel(), minlength=size**3) + smoothing
        before = counts.reshape(-1, size).sum(1)
        tested = codes(what.x_test)
        found.append(np.log(counts[tested] / before[tested // size]).sum(1))
    return float((np.argmax(found, 0) == what.y_test).mean())
