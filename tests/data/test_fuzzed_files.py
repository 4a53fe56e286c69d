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
    found = [read_or_refused(tmp_path / name, c) for c in damaged(VALID[name], 0, 150)]
    assert not all(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", VALID)
def test_many_damaged_files_are_read_or_refused(name, seed, tmp_path):
    for content in damaged(VALID[name], 1 + seed, 3000):
        read_or_refused(tmp_path / name, content)
