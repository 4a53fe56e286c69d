"""Sequences out of long tables, and out of files with one sequence a line."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data import read_sequences, sequences_of_table
from chainrule.errors import DataError, OptionError

LONG = "who,when,a,b,kind\nx,3,1,10,up\ny,1,2,20,down\nx,1,3,30,up\nx,2,4,40,up\ny,0,5,50,down\n"


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_a_long_table(tmp_path: Path) -> None:
    path = written(tmp_path, LONG)
    found = sequences_of_table(path, "who", order="when", target="kind")
    assert [x.tolist() for x in found.x] == [[[3, 30], [4, 40], [1, 10]], [[5, 50], [2, 20]]]
    assert found.x[0].dtype == np.float32 and found.lengths.tolist() == [3, 2]
    assert (found.y.tolist(), found.classes) == ([1, 0], ("down", "up"))
    as_they_are = sequences_of_table(path, "who", features="a")
    assert [x[:, 0].tolist() for x in as_they_are.x] == [[1, 3, 4], [2, 5]]
    each = sequences_of_table(path, "who", order="when", features="a", target="b", target_of="step")
    assert [y.tolist() for y in each.y] == [[30, 40, 10], [50, 20]]
    assert each.y[0].dtype == np.int64 and each.classes == ()


def test_order_by_dates_missing_values_and_numbered_sequences() -> None:
    table = {
        "n": [7, 7, 3],
        "day": np.array(["2024-02-01", "2024-01-31", "2024-01-01"], "datetime64[D]"),
        "v": [1.0, None, 3.0],
        "target": [0.5, 0.5, 1.5],
    }
    found = sequences_of_table(table, "n", order="day", target="target")
    np.testing.assert_array_equal(found.x[0][:, 0], [np.nan, 1])
    assert found.y.tolist() == [0.5, 1.5] and found.y.dtype == np.float32


def test_many_sequences_are_what_a_loop_makes() -> None:
    rng = np.random.default_rng(0)
    who, v = rng.integers(0, 50, 2000), rng.normal(size=(2000, 2)).astype("f")
    found = sequences_of_table({"who": who, "v": v[:, 0], "w": v[:, 1]}, "who")
    ids = list(dict.fromkeys(who.tolist()))
    assert len(found) == len(ids)
    for x, i in zip(found.x, ids, strict=True):
        np.testing.assert_array_equal(x, v[who == i])


def bad(text: str, **options: Any) -> Any:
    return lambda folder: sequences_of_table(written(folder, text), "who", **options)


LONG_MISTAKES = {
    "column": (
        bad(LONG, order="whn"),
        "no column 'whn'; there are 'who', 'when', 'a', 'b', 'kind'",
    ),
    "id": (bad("who,a\nx,1\n,2\n"), "column 'who' has no value in row 2"),
    "twice": (
        bad("who,when,a\nx,1,1\ny,1,5\nx,1,2\n", order="when"),
        "row 1 and row 3 are both of sequence 'x' at when 1",
    ),
    "changes": (
        bad("who,a,y\nx,1,p\ny,1,q\nx,2,q\n", target="y"),
        "column 'y' is 'p' in row 1 and 'q' in row 3, both of sequence 'x'; for a target of each "
        'step: target_of="step"',
    ),
    "no target": (bad("who,a,y\nx,1,p\ny,1,\n", target="y"), "'y' has no value in row 2; a target"),
    "words": (bad("who,a\nx,red\ny,blue\n"), "column 'a' is 'red' in row 1; a number is expected"),
    "nothing": (bad("who,y\nx,1\n", target="y"), "no columns of features beside 'who', 'y'"),
}


@pytest.mark.parametrize("name", LONG_MISTAKES)
def test_mistakes_in_long_tables(name: str, tmp_path: Path) -> None:
    call, text = LONG_MISTAKES[name]
    with pytest.raises(DataError) as caught:
        call(tmp_path)
    assert text in str(caught.value) and str(caught.value).startswith(str(tmp_path / "t.csv"))


@pytest.mark.parametrize("by", [",", ";", "\t"])
def test_lines_of_unequal_length(by: str, tmp_path: Path) -> None:
    text = "1,2.5,-3e2,a\r\n4,b,,\r\n5,,6,a\r\n\r\n".replace(",", by)
    found = read_sequences(written(tmp_path, text), label="last")
    x = [s[:, 0].tolist() for s in found.x]
    assert x[:2] == [[1, 2.5, -300], [4]] and np.isnan(x[2][1])
    assert (found.y.tolist(), found.classes) == ([0, 1, 0], ("a", "b"))


def test_channels_header_gzip_and_numbers_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfy,values\n3,1,10,2,20\n-1,3,30\n"))
    found = read_sequences(path, label="first", channels=2, header=True)
    assert [x.tolist() for x in found.x] == [[[1, 10], [2, 20]], [[3, 30]]]
    assert found.y.tolist() == [3, -1] and found.y.dtype == np.int64 and found.classes == ()
    assert read_sequences(written(tmp_path, "1 2\n3\n"), separator=" ").x[0][:, 0].tolist() == [
        1,
        2,
    ]


LINE_MISTAKES = {
    "empty": ("1,2\n\n3\n", {}, "line 2: an empty sequence; leave the line out"),
    "label only": ("a,1\nb\n", {"label": "first"}, "line 2: an empty sequence"),
    "no label": ("a,1\n,2\n", {"label": "first"}, "line 2: no label in the first cell"),
    "word": ("1,2\n3,x\n", {}, "line 2: 'x' is no number"),
    "channels": ("1,2\n3,4,5\n", {"channels": 2}, "line 2: 3 numbers, which 2 channels do not"),
    "nothing": ("\n \n", {}, "t.csv: no sequences"),
}


@pytest.mark.parametrize("name", LINE_MISTAKES)
def test_mistakes_in_lines(name: str, tmp_path: Path) -> None:
    text, options, message = LINE_MISTAKES[name]
    with pytest.raises(DataError) as caught:
        read_sequences(written(tmp_path, text), **options)
    assert message in str(caught.value)
    with pytest.raises(OptionError, match="label is None"):
        read_sequences(tmp_path / "t.csv", label="middle")
    with pytest.raises(OptionError, match="channels is an integer from 1 on"):
        read_sequences(tmp_path / "t.csv", channels=0)


class Score(nn.Module):
    """Scores of each step: its input, 20 times."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter([20.0])

    def forward(self, x: Any, lengths: Any) -> Any:
        return (x * self.weight).movedim(-1, 1)


def test_padding_counts_in_nothing_that_is_read_from_a_file(tmp_path: Path) -> None:
    """Two sequences of 3 steps and of 1; padding scores 0 for both classes."""
    text = "who,right,wrong,y\nx,1,0,0\nx,0,1,1\nz,1,0,0\nx,1,0,0\n"
    found = sequences_of_table(written(tmp_path, text), "who", target="y", target_of="step")
    model = Score()
    trainer = cr.Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), metrics=["accuracy"]
    )
    for batch in (1, 2):
        measured = trainer.evaluate(found.x, found.y, batch_size=batch)
        assert measured["loss"] < 1e-6 and measured["accuracy"] == 1.0
