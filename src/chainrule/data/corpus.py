"""Text as numbers: bytes, characters or words, and windows of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .byte_pairs import SIZE, BytePairs, learn_byte_pairs
from .known_files import KnownSet, files_of
from .unpacking import unpacked

UNITS = ("bytes", "characters", "words", "pairs")
UNKNOWN = "<unk>"
LIMIT = 1 << 31
"""Bytes that a text may be unpacked to."""
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]|\n")
_BOM = b"\xef\xbb\xbf"

_SHAKESPEARE = KnownSet(
    "Tiny Shakespeare",
    ("tinyshakespeare",),
    files_of("input.txt 1115394 86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
    "https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt",
    "the text is in the public domain; the repository is MIT",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",),
)
_NAMES = KnownSet(
    "first names (makemore)",
    ("names",),
    files_of("names.txt 228145 0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"),
    "https://github.com/karpathy/makemore, names.txt",
    "MIT; the names are from public lists of the US Social Security Administration",
    ("https://raw.githubusercontent.com/karpathy/makemore/master/",),
)


class Windows(NamedTuple):
    """Pieces of a text: ``x`` (N, n) and, one token later, ``y`` (N, n)."""

    x: Array
    y: Array


class TextCorpus:
    """A text as numbers of its ``vocabulary``: ``tokens`` (N,), in the smallest unsigned type.

    ``unit``: "characters" (the default; the vocabulary is sorted), "bytes" (0 ... 255), "words"
    (words, punctuation marks and line ends, the most frequent first, after ``<unk>`` for what is
    not among them; ``size``: how many are kept, of them all if None), or "pairs" (byte pairs: the
    bytes, then pieces of words up to ``size``, 1024 if None). ``vocabulary``: that of another
    corpus, for a text in the same numbers. Raises DataError for an empty text (but with a
    vocabulary), and for characters that the given vocabulary does not have.

    >>> from chainrule.data import TextCorpus
    >>> corpus = TextCorpus("hello")
    >>> corpus.vocabulary, corpus.tokens
    (('e', 'h', 'l', 'o'), array([1, 0, 2, 2, 3], dtype=uint8))
    >>> corpus.decode(corpus.tokens[:2]), corpus.encode("hole")
    ('he', array([1, 3, 2, 0], dtype=uint8))
    >>> corpus.windows(4)
    Windows(x=array([[1, 0, 2, 2]], dtype=uint8), y=array([[0, 2, 2, 3]], dtype=uint8))
    """

    def __init__(
        self,
        text: str | bytes,
        unit: str = "characters",
        *,
        size: int | None = None,
        vocabulary: Sequence[Any] | None = None,
        name: str = "the text",
    ) -> None:
        if unit not in UNITS:
            raise OptionError(f"TextCorpus: unit is one of {', '.join(UNITS)}, got {unit!r}")
        if size is not None and (unit not in ("words", "pairs") or size < 2):
            raise OptionError("TextCorpus: size is for words and pairs, and at least 2")
        if not text and vocabulary is None:
            raise DataError(f"{name} is empty")
        self.unit, self.name = unit, name
        if unit == "pairs":
            if vocabulary is None:
                vocabulary = learn_byte_pairs(self._text(text), SIZE if size is None else size)
            self._pairs = BytePairs(vocabulary)
        parts = self._parts(text)
        if vocabulary is None:
            vocabulary = self._vocabulary(parts, size)
        self.vocabulary: tuple[Any, ...] = tuple(vocabulary)
        self._number = {part: i for i, part in enumerate(self.vocabulary)}
        if len(self._number) < len(self.vocabulary):
            raise DataError("TextCorpus: the vocabulary has an entry twice")
        self.tokens = self._numbers(parts)

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"TextCorpus({self.name!r}, {self.unit}: {len(self):,} tokens, "
            f"{len(self.vocabulary):,} different)"
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds the vocabulary's numbers."""
        return np.min_scalar_type(max(len(self.vocabulary) - 1, 0))

    def encode(self, text: str | bytes) -> Array:
        """The numbers of a text; an unknown word is ``<unk>``.

        Raises DataError for a character that the vocabulary does not have.
        """
        return self._numbers(self._parts(text))

    def decode(self, tokens: Any) -> Any:
        """The text of numbers: a string, or bytes; words are put together with spaces."""
        numbers = np.asarray(tokens).ravel()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self.vocabulary):
            raise DataError(
                f"decode: {numbers.max()} or {numbers.min()} is outside the vocabulary of "
                f"{len(self.vocabulary)}"
            )
        if self.unit == "bytes":
            return numbers.astype(np.uint8).tobytes()
        words = [self.vocabulary[int(i)] for i in numbers]
        if self.unit == "pairs":
            return b"".join(words).decode("utf-8", "replace")
        if self.unit == "characters":
            return "".join(words)
        joined = " ".join(words)
        return re.sub(r" ?\n ?", "\n", re.sub(r" (?=[.,;:!?)\]])", "", joined))

    def windows(self, length: int, stride: int = 1) -> Windows:
        """All pieces of ``length`` tokens, ``stride`` apart, each with the tokens that follow.

        x = tokens[i : i + n], y = tokens[i + 1 : i + n + 1]. They share the corpus' memory.

        The last token is a target too. Raises DataError where the text is too short.
        """
        return windows_of(self.tokens, length, stride, self.name)

    def split(self, fraction: float = 0.9) -> tuple[TextCorpus, TextCorpus]:
        """The first part of the text and the rest, with one vocabulary."""
        if not 0 < fraction < 1:
            raise OptionError(f"split: a fraction between 0 and 1 is expected, got {fraction}")
        cut = int(len(self) * fraction)
        if not 0 < cut < len(self):
            raise DataError(f"{self.name} has {len(self)} tokens, too few for two parts")
        return self._with(self.tokens[:cut]), self._with(self.tokens[cut:])

    def _with(self, tokens: Array) -> TextCorpus:
        other = object.__new__(TextCorpus)
        other.__dict__.update(self.__dict__, tokens=tokens)
        return other

    def _parts(self, text: str | bytes) -> Sequence[Any]:
        if self.unit == "bytes":
            return text.encode() if isinstance(text, str) else bytes(text)
        text = self._text(text)
        if self.unit == "pairs":
            return self._pairs.split(text)
        return text if self.unit == "characters" else _WORD.findall(text)

    def _text(self, text: str | bytes) -> str:
        return text if isinstance(text, str) else text_of(bytes(text), self.name)

    def _vocabulary(self, parts: Sequence[Any], size: int | None) -> Sequence[Any]:
        if self.unit == "bytes":
            return range(256)
        if self.unit == "characters":
            return sorted(set(parts))
        counts = Counter(parts)
        common = sorted(counts, key=lambda word: (-counts[word], word))
        return [UNKNOWN, *common[: None if size is None else size - 1]]

    def _numbers(self, parts: Sequence[Any]) -> Array:
        if self.unit == "bytes":
            return np.frombuffer(bytes(parts), np.uint8)
        get, unknown = self._number.get, self._number.get(UNKNOWN, -1)
        found = np.fromiter((get(p, unknown) for p in parts), np.int64, len(parts))
        if len(found) and found.min() < 0:
            at = int(np.argmax(found < 0))
            raise DataError(
                f"{self.name}: {parts[at]!r} at {at} is not in the vocabulary of "
                f"{len(self.vocabulary)} {self.unit}"
            )
        return found.astype(self.dtype)


def windows_of(tokens: Any, length: int, stride: int = 1, name: str = "the text") -> Windows:
    """As `TextCorpus.windows`, of any array of tokens (N,)."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 1:
        raise DataError(f"windows: tokens (N,) are expected, got the shape {tokens.shape}")
    if length < 1 or stride < 1:
        raise OptionError(f"windows: length and stride are at least 1, got {length}, {stride}")
    if len(tokens) < length + 1:
        raise DataError(
            f"{name} has {len(tokens)} tokens, a window of {length} and the token after it need "
            f"{length + 1}; use a shorter window or a longer text"
        )
    pieces = np.lib.stride_tricks.sliding_window_view(tokens, length + 1)[::stride]
    return Windows(pieces[:, :-1], pieces[:, 1:])


def text_of(data: bytes, name: str, encoding: str = "utf-8") -> str:
    r"""``data`` as text; a byte order mark is dropped, ``\r\n`` and ``\r`` are ``\n``.

    Raises DataError with the byte at which it is not in that encoding.
    """
    for mark, kind in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark) and encoding == "utf-8":
            raise DataError(
                f"{name}: byte 0 is {data[0]:#04x}: the mark of UTF-16, not UTF-8; say "
                f'--encoding {kind} (encoding="{kind}")'
            )
    try:
        text = data.removeprefix(_BOM).decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start + (len(_BOM) if data.startswith(_BOM) else 0)
        raise DataError(
            f"{name}: byte {at} is {data[at]:#04x}, which is not {encoding} ({error.reason}); say "
            'which encoding it is, as in --encoding latin-1 (encoding="latin-1"), or take bytes '
            'for tokens: --tokens bytes (unit="bytes")'
        ) from None
    except LookupError:
        raise OptionError(f"unknown encoding {encoding!r}") from None
    if "\0" in text:
        at = data.index(b"\0")
        raise DataError(
            f"{name}: byte {at} is 0, which no text has; it may be UTF-16 (say "
            '--encoding utf-16-le; encoding="utf-16-le"), or no text (take bytes for tokens: '
            '--tokens bytes; unit="bytes")'
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def load_text(
    path: str | Path,
    unit: str = "characters",
    *,
    encoding: str = "utf-8",
    size: int | None = None,
    vocabulary: Sequence[Any] | None = None,
) -> TextCorpus:
    r"""A text file (also with gzip) as a `TextCorpus`.

    As characters and words: a byte order mark is no character, ``\r\n`` is ``\n``, and what is not
    in ``encoding`` is an error that names the byte. As bytes the file is what it is.

    >>> import tempfile
    >>> from chainrule.data import load_text
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"\xef\xbb\xbfab\r\nab\n"); file.flush()
    ...     load_text(file.name).vocabulary
    ('\n', 'a', 'b')
    """
    path = Path(path)
    data = unpacked(path, LIMIT)
    text = data if unit == "bytes" else text_of(data, str(path), encoding)
    return TextCorpus(text, unit, size=size, vocabulary=vocabulary, name=str(path))


def load_tiny_shakespeare(
    folder: str | Path | None = None, unit: str = "characters", *, download: bool = False
) -> TextCorpus:
    """1,115,394 characters of Shakespeare, 65 different ones (Karpathy, 2015).

    `load_mnist` says where the file is looked for.
    """
    return TextCorpus(_text(_SHAKESPEARE, folder, download), unit, name="Tiny Shakespeare")


def load_names(folder: str | Path | None = None, *, download: bool = False) -> list[str]:
    """32,033 first names in lower case, 2 to 15 letters (Karpathy's makemore).

    `load_mnist` says where the file is looked for. Some repeat: split them by distinct name.
    """
    return _text(_NAMES, folder, download).split()


def _text(known: KnownSet, folder: str | Path | None, download: bool) -> str:
    [file] = known.files
    return known.read(file, folder, download).decode()
