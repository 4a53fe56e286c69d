"""Texts as numbers: encodings, vocabularies, windows."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from chainrule import data
from chainrule.errors import DataError, OptionError


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "text"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_mark_and_line_ends_are_no_characters(tmp_path: Path, packed: bool) -> None:
    content = b"\xef\xbb\xbfab\r\nab\n\rb"
    corpus = data.load_text(file(tmp_path, gzip.compress(content) if packed else content))
    assert corpus.vocabulary == ("\n", "a", "b")
    assert corpus.decode(corpus.tokens) == "ab\nab\n\nb"
    raw = data.load_text(file(tmp_path, content), unit="bytes")
    assert raw.decode(raw.tokens) == content  # bytes are what they are
    assert len(raw.vocabulary) == 256


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "ab".encode("utf-16"),
            'byte 0 is 0xff: the mark of UTF-16, not UTF-8; say --encoding utf-16 .encoding="utf',
        ),
        (
            "ab".encode("utf-16-le"),
            'byte 1 is 0, .* UTF-16 .say --encoding utf-16-le; encoding="utf-16-le".',
        ),
        ("caf\xe9".encode("latin-1"), 'byte 3 is 0xe9, .*unexpected end of data.*encoding="latin'),
        (b"\xef\xbb\xbfa\xff", "byte 4 is 0xff, which is not utf-8"),
        (b"ab\0c", "byte 2 is 0, which no text has"),
        (b"", "is empty"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load_text(file(tmp_path, content))


def test_other_encodings_are_read_when_said(tmp_path: Path) -> None:
    latin = data.load_text(file(tmp_path, "caf\xe9".encode("latin-1")), encoding="latin-1")
    assert latin.vocabulary == ("a", "c", "f", "\xe9")
    wide = data.load_text(file(tmp_path, "ab".encode("utf-16")), encoding="utf-16")
    assert wide.vocabulary == ("a", "b")


def test_words() -> None:
    corpus = data.TextCorpus("The cat, the dog.\nThe cat isn't.", unit="words")
    assert corpus.vocabulary[:4] == ("<unk>", ".", "The", "cat")
    assert corpus.decode(corpus.tokens) == "The cat, the dog.\nThe cat isn't."
    assert corpus.encode("The cow").tolist() == [2, 0]
    small = data.TextCorpus("a a b b b c", unit="words", size=3)
    assert small.vocabulary == ("<unk>", "b", "a") and small.tokens.tolist() == [2, 2, 1, 1, 1, 0]


def test_a_second_text_in_the_same_numbers() -> None:
    first = data.TextCorpus("hello")
    second = data.TextCorpus("hole", vocabulary=first.vocabulary)
    assert second.tokens.tolist() == [1, 3, 2, 0]
    with pytest.raises(DataError, match="the text: 'x' at 1 is not in the vocabulary of 4 charac"):
        first.encode("hx")
    with pytest.raises(DataError, match="outside the vocabulary of 4"):
        first.decode([4])
    many = data.TextCorpus("".join(map(chr, range(32, 400))))
    assert many.tokens.dtype == np.uint16


def test_the_last_token_is_a_target() -> None:
    x, y = data.corpus.windows_of(np.arange(5), 4)
    assert x.tolist() == [[0, 1, 2, 3]] and y.tolist() == [[1, 2, 3, 4]]
    x, y = data.corpus.windows_of(np.arange(6), 4)
    assert len(x) == 2 and (y == 5).sum() == 1
    x, y = data.corpus.windows_of(np.arange(9), 2, stride=2)
    assert x[:, 0].tolist() == [0, 2, 4, 6] and (y == x + 1).all()
    with pytest.raises(DataError) as error:
        data.TextCorpus("abcd").windows(4)
    assert str(error.value) == (
        "the text has 4 tokens, a window of 4 and the token after it need 5; use a shorter window "
        "or a longer text"
    )
    with pytest.raises(OptionError):
        data.TextCorpus("abcd").windows(0)
    text = np.zeros(10**6, np.uint8)
    assert np.shares_memory(data.corpus.windows_of(text, 100).x, text)
