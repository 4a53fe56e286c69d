"""Reading tables: every kind of file gives the same table."""

from __future__ import annotations

import datetime
import gzip

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import read_table, table_of
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
    np.testing.assert_array_equal(flags.columns["d"], [1, np.nan])


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
