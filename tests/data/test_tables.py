"""Reading tables: every kind of file gives the same table."""

from __future__ import annotations

import datetime
import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import open_table, read_table, source_of, table_of
from chainrule.errors import DataError, MissingExtraError

TEXT = "size,colour\n1.5,red\n , blue \n3,?\n"


def same(table):
    np.testing.assert_array_equal(table.columns["size"], [1.5, np.nan, 3.0])
    assert table.columns["colour"].tolist() == ["red", "blue", None]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_with_any_separator(tmp_path, separator):
    path = tmp_path / "t.csv"
    path.write_text(TEXT.replace(",", separator))
    same(read_table(path))


def test_tsv_gzip_bom_and_blank_lines(tmp_path):
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(
        gzip.compress(b"\xef\xbb\xbf" + TEXT.replace(",", "\t").replace("1.5", "\n1.5").encode())
    )
    same(read_table(path))


def test_quotes_hold_separators_and_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"x, y",1\n"two\nlines",2\n')
    assert read_table(path).columns["a"].tolist() == ["x, y", "two\nlines"]


def test_without_a_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1,a\n2,b\n")
    table = read_table(path, header=False)
    assert list(table.columns) == ["column_1", "column_2"]
    assert table.columns["column_1"].tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "lazy frame"])
def test_names_are_no_patterns(tmp_path, kind):
    frame = pl.DataFrame({"*": [1.0, 2.0], "^a.*$": [3.0, 4.0], "ab": [5.0, 6.0]})
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "parquet":
        frame.write_parquet(path)
    source = {"frame": frame, "lazy frame": frame.lazy()}.get(kind)
    source = open_table(path) if source is None else source_of(source)
    assert {n: c.tolist() for n, c in source.table().columns.items()} == {
        "*": [1.0, 2.0],
        "^a.*$": [3.0, 4.0],
        "ab": [5.0, 6.0],
    }
    (part,) = source.batches(["*"])
    assert list(part.columns) == ["*"]


class Arrow:
    """Something of which only the Arrow interface is known."""

    def __init__(self, frame):
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


def test_frames_of_other_kinds():
    frame = pl.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", "blue", None]})
    pandas = pd.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", "blue", None]})
    for data in (pandas, frame.lazy(), Arrow(frame)):
        same(table_of(data))
    pandas["colour"] = pandas["colour"].astype("category")
    same(table_of(pandas))


def test_text_in_many_blocks_is_the_same_table(tmp_path, monkeypatch):
    """Blocks end anywhere: in a quoted value, before a line feed, in a character."""
    words = ["red", 'a "quoted" word', "two\nlines", "grün", "", "a,b", "\u4e2d\u6587"]
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "n": rng.normal(size=300).round(3),
            "w": rng.choice(np.array(words, object), 300).astype(str),
            "m": [None if i % 7 == 0 else i for i in range(300)],
        }
    )
    for name, content in {
        "quoted.csv": frame.write_csv(),
        "plain.csv": frame.with_columns(w=pl.lit("x")).write_csv(),
        "dos.csv": frame.with_columns(w=pl.lit("x")).write_csv(line_terminator="\r\n"),
        "blank.csv": frame.with_columns(w=pl.lit("x")).write_csv().replace("\n", "\n\n \n"),
    }.items():
        (tmp_path / name).write_bytes(content.encode())
        monkeypatch.setattr("chainrule.data.text.BLOCK", 1 << 20)
        whole = read_table(tmp_path / name)
        monkeypatch.setattr("chainrule.data.text.BLOCK", 97)
        source = open_table(tmp_path / name)
        assert (source.rows, len(list(source.batches()))) == (300, pytest.approx(80, abs=79))
        for n, column in source.table().columns.items():
            np.testing.assert_array_equal(column, whole.columns[n])
        np.testing.assert_array_equal(whole.columns["n"], frame["n"])


def test_columns_asked_for_as_words_keep_their_writing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,n\n01,1\n02,2\n")
    (part,) = open_table(path).batches(["zip"], words=["zip"])
    assert part.columns["zip"].tolist() == ["01", "02"]


def test_a_matrix_by_columns_in_npz(tmp_path):
    x = np.arange(12.0).reshape(4, 3)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "t.npz", x=np.asfortranarray(x), y=np.arange(4))
        table = read_table(tmp_path / "t.npz")
        np.testing.assert_array_equal(np.stack([table.columns[f"x_{i}"] for i in range(3)], 1), x)


def test_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", "blue", None]}).write_parquet(path)
    same(read_table(path))


def test_npz(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=np.arange(6).reshape(3, 2), y=np.array(["a", "b", "a"]))
    table = read_table(path)
    assert list(table.columns) == ["x_0", "x_1", "y"]
    assert table.columns["x_1"].tolist() == [1, 3, 5]


def test_data_frames_and_dicts():
    frame = pl.DataFrame({"size": [1.5, None, 3.0], "colour": ["red", "blue", None]})
    same(table_of(frame))
    same(table_of({"size": [1.5, None, 3.0], "colour": ["red", "blue", None]}))
    flags = table_of(pl.DataFrame({"b": [True, None], "d": [datetime.date(1970, 1, 2), None]}))
    assert flags.columns["b"].tolist() == ["True", None]
    np.testing.assert_array_equal(
        flags.columns["d"], np.array(["1970-01-02", "NaT"], "datetime64[us]")
    )


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(MissingExtraError) as caught:
        read_table(path)
    assert str(caught.value) == "reading t.csv needs polars: pip install 'chainrule[data]'"


@settings(max_examples=150)
@given(
    st.binary(max_size=80), st.sampled_from(["t.csv", "t.tsv", "t.csv.gz", "t.npz", "t.parquet"])
)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(content)
    try:
        table = read_table(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(len(c) == table.rows for c in table.columns.values())
