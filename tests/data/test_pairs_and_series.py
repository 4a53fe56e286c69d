"""Sentences in two languages, sums, small sequences and series."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from chainrule.data import (
    load_multi30k,
    load_series,
    load_ucr,
    make_sums,
)
from chainrule.errors import DataError, OptionError


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
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
