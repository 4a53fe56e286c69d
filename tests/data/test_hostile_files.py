"""Files made to cost much time or memory, or to break the reader: read within bounds, or refused
with a DataError that says why."""

from __future__ import annotations

import gzip
import io
import resource
import time
import zipfile

import numpy as np
import polars as pl
import pytest

from chainrule.data import Preprocessor, open_table, table_of
from chainrule.data import npz as npz_module
from chainrule.data.tables import LONGEST_WORD, MAX_COLUMNS
from chainrule.errors import DataError


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        open_table(path).table()
    return str(caught.value).removeprefix(f"{path}: ")


def archive(path, header: str, data: bytes = b"", packing=zipfile.ZIP_DEFLATED, times: int = 1):
    """An NPZ file with an array of this header."""
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data
    with zipfile.ZipFile(path, "w", packing) as held:
        for _ in range(times):
            held.writestr("x.npy", content)
    return path


def header(descr: str = "<f8", shape: str = "(2,)", fortran: bool = False) -> str:
    return f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


# -- columns ---------------------------------------------------------------------------------------
def test_many_columns_take_time_in_proportion(tmp_path):
    path = tmp_path / "t.csv"
    seconds = []
    for n in (250, 2000):
        rows = [",".join(map(str, (np.arange(n) + 1) * k % 17)) for k in range(3)]
        path.write_text("\n".join([",".join(f"c{i}" for i in range(n)), *rows]))
        start = time.process_time()
        source = open_table(path)
        assert Preprocessor.fit(source, "c0").width == n - 1
        seconds.append(time.process_time() - start)
    assert source.table().columns["c5"].tolist() == [0, 6, 12]
    assert seconds[1] < 8 * 3 * seconds[0] + 1  # 8 times the columns


def test_one_long_column_of_many_has_the_values_of_each(tmp_path):
    path = tmp_path / "t.csv"
    names = [f"c{i}" for i in range(100)]
    rows = [[f" {i * k} " if i % 2 else ["a", "?", "b"][k] for i in range(100)] for k in range(3)]
    path.write_text("\n".join(",".join(r) for r in [names, *rows]))
    table = open_table(path).table()
    for i, name in enumerate(names):
        want = [0, i, 2 * i] if i % 2 else ["a", None, "b"]
        assert table.columns[name].tolist() == want


def test_too_many_columns_are_refused(tmp_path):
    n = MAX_COLUMNS + 1
    want = f"{n} columns; at most {MAX_COLUMNS} are read"
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros((1, n), np.int8))
    assert refusal(tmp_path / "t.npz") == want
    (tmp_path / "t.csv").write_text(",".join(["1"] * n) + "\n")
    with pytest.raises(DataError, match=want):
        open_table(tmp_path / "t.csv", header=False)
    (tmp_path / "u.csv").write_text("," * 3 * n + "\n")
    assert refusal(tmp_path / "u.csv") == f"{3 * n + 1} columns; at most {MAX_COLUMNS} are read"


# -- size ------------------------------------------------------------------------------------------
def test_a_long_word_that_many_rows_share_is_held_once(tmp_path):
    path = tmp_path / "t.parquet"
    word = "x" * LONGEST_WORD
    pl.DataFrame({"a": [word] * 2000, "b": range(2000)}).write_parquet(path)
    assert path.stat().st_size < 100_000
    column = open_table(path).table().columns["a"]
    assert column[0] == word and len({id(v) for v in column}) == 1


def test_longer_words_are_refused(tmp_path):
    words = ["x", "x" * (LONGEST_WORD + 1)]
    frame = pl.DataFrame({"a": words})
    want = (
        f"column 'a' has a word of {LONGEST_WORD + 1} characters{{}}; at most {LONGEST_WORD} are "
        "read; drop the column"
    )
    frame.write_parquet(tmp_path / "t.parquet")
    assert refusal(tmp_path / "t.parquet") == want.format(" in row 1")
    frame.write_csv(tmp_path / "t.csv")
    assert refusal(tmp_path / "t.csv") == want.format(" in row 1")
    np.savez_compressed(tmp_path / "t.npz", a=np.array(words))
    assert refusal(tmp_path / "t.npz") == want.format("")


def test_blanks_that_unpack_to_much_are_passed_over(tmp_path):
    path = tmp_path / "t.csv.gz"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for blanks in (b"\n" * (1 << 23), (b" " * ((1 << 20) - 1) + b"\n") * 8):
        for where in (blanks + b"a,b\n1,2\n", b"a,b\n" + blanks + b"1,2\n" + blanks):
            path.write_bytes(gzip.compress(where, 1))
            assert open_table(path).table().columns["b"].tolist() == [2]
    del blanks, where
    path.write_bytes(gzip.compress(b" " * (1 << 25), 1))
    assert refusal(path) == "the file is empty"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KB


def test_lines_are_counted_with_blank_ones(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n\n \t\n1,2\n\n3,4,5\n")
    assert ", line 6: 3 values, the first line has 2" in refusal(path)


def test_rows_of_an_archive_are_read_as_memory_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_module, "AT_ONCE", 1000)
    for order in "CF":
        x = np.arange(600.0).reshape(20, 30).copy(order)
        np.savez(tmp_path / "t.npz", x=x, w=np.arange(20).astype("U5"))
        source = open_table(tmp_path / "t.npz")
        pieces = list(source.batches())
        assert [p.rows for p in pieces] == [3] * 6 + [2]
        assert [v for p in pieces for v in p.columns["x_7"]] == x[:, 7].tolist()
        assert [p.first_row for p in pieces] == list(range(0, 20, 3))


# -- archives --------------------------------------------------------------------------------------
ARCHIVES = {
    "an open bracket": (header(shape="((2,)"), bytes(16), "not a whole NPZ file ("),
    "no bytes in an item": (
        header("<U0", "(1000000000000,)"),
        b"",
        "not a whole NPZ file ('x' has 0 bytes for shape (1000000000000,))",
    ),
    "fewer rows than none": (
        header(shape="(-1,)"),
        b"",
        "not a whole NPZ file ('x' has 0 bytes for shape (-1,))",
    ),
    "more rows than bytes": (
        header(shape="(3,)"),
        bytes(16),
        "not a whole NPZ file ('x' has 16 bytes for shape (3,))",
    ),
    "a date of no unit": (
        header("M8", "(2,)"),
        bytes(16),
        "'x' has shape (2,) and dtype datetime64",
    ),
    "no character": (header("<U1", "(1,)"), b"\xff" * 4, "not a whole NPZ file ("),
    "half of a character": (
        header("<U1", "(2,)"),
        b"a\0\0\0\x00\xd8\0\0",
        "column 'x' has '\\ud800' in row 1, which is not Unicode text",
    ),
    "Python objects": (header("|O", "(2,)"), bytes(16), "'x' holds Python objects; save numbers"),
    "a very long header": (" " * 60_000 + header(), bytes(16), "not a whole NPZ file ("),
    "deep brackets": (header(shape="(" * 5000), bytes(16), "not a whole NPZ file ("),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_odd_archives_are_refused(tmp_path, kind):
    text, data, want = ARCHIVES[kind]
    assert refusal(archive(tmp_path / "t.npz", text, data)).startswith(want)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_an_archive(tmp_path):
    path = archive(tmp_path / "t.npz", header(), bytes(16), times=2)
    assert refusal(path) == "several columns are named 'x'; names must differ"


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_an_archive_damaged_where_it_is_packed(tmp_path, packing):
    path = archive(tmp_path / "t.npz", header(), bytes(16), packing)
    assert open_table(path).table().columns["x"].tolist() == [0, 0]
    content = bytearray(path.read_bytes())
    content[48:60] = b"\xff" * 12
    path.write_bytes(content)
    assert refusal(path).startswith("not a whole NPZ file (")


def test_a_matrix_stored_by_columns_is_not_larger_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_module, "WHOLE", 1 << 20)
    held = io.BytesIO()
    np.savez_compressed(held, x=np.zeros((1 << 17, 2), order="F"))
    (tmp_path / "t.npz").write_bytes(held.getvalue())
    assert refusal(tmp_path / "t.npz") == (
        "'x' has 2 MB stored by columns; save it by rows (numpy.ascontiguousarray)"
    )


def test_words_in_memory_with_half_a_character():
    with pytest.raises(DataError) as caught:
        table_of({"a": ["x", "y\ud800"]})
    assert str(caught.value) == (
        "the table: column 'a' has 'y\\ud800' in row 1, which is not Unicode text"
    )
