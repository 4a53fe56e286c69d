"""Damaged files: every one is read, or refused with a DataError that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import VALID, damaged

from chainrule.data import open_table
from chainrule.errors import DataError


def read_or_refused(path: Path, content: bytes) -> bool:
    """Whether it was read."""
    path.write_bytes(content)
    try:
        source = open_table(path)
        table = source.table()
    except DataError as error:
        assert str(path) in str(error)
        return False
    assert table.rows == source.rows > 0
    assert list(table.columns) == source.columns
    return True


@pytest.mark.parametrize("name", VALID)
def test_the_files_that_are_damaged_are_valid(name, tmp_path):
    assert read_or_refused(tmp_path / name, VALID[name])


@pytest.mark.parametrize("name", VALID)
def test_a_damaged_file_is_read_or_refused(name, tmp_path):
    # A Parquet file is first read by another process, which takes its time.
    count = 15 if name == "t.parquet" else 150
    found = [read_or_refused(tmp_path / name, c) for c in damaged(VALID[name], 0, count)]
    assert not all(found)


def test_a_parquet_file_with_an_impossible_length(tmp_path, monkeypatch):
    """Such a file ends the process that reads it."""
    path = tmp_path / "t.parquet"
    path.write_bytes(VALID["t.parquet"])
    monkeypatch.setattr("chainrule.data.parquet._READ_THROUGH", "import os; os.abort()")
    with pytest.raises(DataError) as caught:
        open_table(path)
    assert str(caught.value) == (
        f"{path}: not a whole Parquet file (a length in it is impossible, or larger than memory)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", VALID)
def test_many_damaged_files_are_read_or_refused(name, seed, tmp_path):
    for content in damaged(VALID[name], 1 + seed, 200 if name == "t.parquet" else 3000):
        read_or_refused(tmp_path / name, content)
