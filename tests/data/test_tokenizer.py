"""Byte pairs against a slow search for the most frequent pair; pairs of sentences and series."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import (
    BytePairTokenizer,
    load_multi30k,
    load_series,
    load_ucr,
    make_sums,
)
from chainrule.data.tokenizer import _WORD
from chainrule.errors import DataError, OptionError

TEXTS = [
    "a banana, aaaa bandana",
    "bananas and bands",
    "aaa ana anna",
    "eine Grüße und süße Füße",
] * 2
LEARNED = BytePairTokenizer.learn(TEXTS, 3 + 256 + 25)


def test_merges_are_the_most_frequent_pairs_one_after_the_other() -> None:
    words = [list(word.encode()) for text in TEXTS for word in _WORD.findall(text)]
    for new, merge in enumerate(LEARNED.merges, 256):
        count = Counter(pair for word in words for pair in zip(word, word[1:], strict=False))
        assert merge == min(count, key=lambda pair: (-count[pair], pair))
        for word in words:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == merge:
                    word[i : i + 2] = [new]
                i += 1
    assert len(LEARNED.merges) == 25
    texts = [LEARNED.encode(text).tolist() for text in TEXTS]
    assert [n - 3 for text in texts for n in text] == [n for word in words for n in word]


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    numbers = LEARNED.encode(text)
    assert LEARNED.decode(numbers) == text
    assert LEARNED.decode(np.r_[1, numbers, 2, 0]) == text  # special ones say nothing
    assert numbers.dtype == np.int64 and (numbers >= 3).all() and (numbers < len(LEARNED)).all()


def test_it_ends_where_no_pair_is_there_twice() -> None:
    found = BytePairTokenizer.learn(["ab", "ab"], 1000, first=0)
    assert found.merges == ((97, 98),) and len(found) == 257
    assert BytePairTokenizer(found.merges, first=0).encode("abab").tolist() == [256 for _ in "ab"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: BytePairTokenizer.learn(["a"], 258),
            OptionError,
            "at least first + 256 bytes = 259, got 258",
        ),
        (
            lambda: BytePairTokenizer.learn(["a", 1], 300),
            DataError,
            "learn: text 1 is a string, got int",
        ),
        (lambda: BytePairTokenizer([(1, 256)]), DataError, "merge 0 is of pieces 1 and 256"),
        (lambda: LEARNED.encode(b"a"), DataError, "encode is a string, got bytes"),
        (lambda: LEARNED.decode([284]), DataError, "outside the vocabulary of 284"),
        (
            lambda: load_multi30k("dev"),
            OptionError,
            "one of train, val, test_2016_flickr, got 'dev'",
        ),
        (lambda: load_multi30k("val", ("en", "cs")), OptionError, "two of en, de, fr"),
        (lambda: load_ucr("Gun"), OptionError, "not 'Gun'"),
        (lambda: load_series("air"), OptionError, "airline, sunspots, temperatures, not 'air'"),
    ],
)
def test_mistakes(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_sums_are_right_and_never_both_trained_and_tested() -> None:
    train, test = (make_sums(2000, 2, held_out, 1) for held_out in (False, True))
    for asked, said in zip(*(a + b for a, b in zip(train, test, strict=True)), strict=True):
        a, b = asked.rstrip("=").split("+")
        assert int(said[::-1]) == int(a) + int(b)
    assert not set(train[0]) & set(test[0])
    assert 200 < len(set(test[0])) <= 600


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for load, name in (
        (load_multi30k, "train.en.gz"),
        (load_series, "monthly"),
        (load_ucr, "GunPoint_TRAIN"),
    ):
        given_name = {"load_series": ["airline"], "load_ucr": ["GunPoint"]}.get(load.__name__, [])
        with pytest.raises(DataError, match=re.escape(name)):
            load(*given_name, folder=tmp_path)


@pytest.mark.skipif("CHAINRULE_DATA" not in os.environ, reason="needs the data sets")
def test_the_sets_are_whole() -> None:
    assert [len(part) for part in load_multi30k("val", ("de", "fr"))] == [1014, 1014]
    english, german = load_multi30k("test_2016_flickr")
    assert english[1].startswith("A Boston Terrier") and german[1].startswith("Ein Boston Terrier")
    train, test = load_ucr("JapaneseVowels")
    assert (len(train), len(test)) == (270, 370) and len(train.classes) == 9
    for name, count, first in (
        ("airline", 144, 112),
        ("sunspots", 2820, 58),
        ("temperatures", 3650, 20.7),
    ):
        dates, values = load_series(name)
        assert len(dates) == len(values) == count and values[0] == first
