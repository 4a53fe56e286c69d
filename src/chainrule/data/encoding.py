"""Encodings of text files: what the first bytes tell, and the bytes as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import DataError, OptionError

GZIP = b"\x1f\x8b"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WESTERN = "cp1252"
"""What is no UTF-8 is taken for this: Latin-1 with the signs that Windows adds (such as the €)."""


def check_encoding(name: str | None) -> str | None:
    """The encoding called so; OptionError if Python knows none."""
    if name is None:
        return None
    try:
        known = codecs.lookup(name)
        "".encode(known.name)
    except (LookupError, TypeError, ValueError):
        raise OptionError(
            f"encoding {name!r} is unknown; known are utf-8, utf-16, latin-1, cp1252, ..."
        ) from None
    if not getattr(known, "_is_text_encoding", True):
        raise OptionError(f"encoding {name!r} is none of text")
    return known.name


def is_gzip(path: Path) -> bool:
    """Whether a file is packed by gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked."""
    found: Any = gzip.open(path) if is_gzip(path) else path.open("rb")
    return found  # type: ignore[no-any-return]


def told_encoding(start: bytes) -> str:
    """The encoding that the first bytes of a file tell; UTF-8 where they tell nothing."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    # Without a mark, text in UTF-16 still has a zero in every other byte, from the first on.
    pairs = start[: len(start) // 2 * 2]
    if len(pairs) >= 4 and pairs[:4].count(0) == 2:
        for zeros, letters, name in ((1, 0, "utf-16-le"), (0, 1, "utf-16-be")):
            odd = pairs[zeros::2].count(0)
            if odd > 0.9 * len(pairs) // 2 and not pairs[letters::2].count(0):
                return name
    return "utf-8"


class NotText(DataError):
    """The bytes are no text in an encoding."""


_CONTROLS = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f]")


def as_utf8(
    chunks: Iterator[bytes], encoding: str, name: str, guessed: bool = False
) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark.

    NotText names the line of bytes that are none. ``guessed``: nothing but text may be in it.
    """
    if encoding in ("utf-8", "utf-8-sig"):  # checked where its lines are known
        yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
        yield from (c for c in chunks if c)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            if guessed and _CONTROLS.search(text):
                raise NotText(f"{name}: control characters; this is not a text file")
            line += text.count("\n")
            yield text.encode("utf-8").removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(b"", True).encode("utf-8")
    except UnicodeError as error:
        reason = getattr(error, "reason", str(error))
        raise NotText(f"{name}, after line {line}: not text in {encoding} ({reason})") from None
