"""Mistakes with tables, model files and their commands: the whole message of each, and the exit
code."""

from __future__ import annotations

import gzip
import io
import os

import numpy as np
import polars as pl
import pytest

from chainrule.cli import main

GOOD = "a,b,y\n" + "".join(f"{i},{i % 3},{'pq'[i % 2]}\n" for i in range(20))


def npz(**arrays):
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


def parquet(**columns):
    held = io.BytesIO()
    pl.DataFrame(columns).write_parquet(held)
    return held.getvalue()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def message(capsys, code, *arguments):
    assert main(list(arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip()


FILES = {
    "empty": ("t.csv", b"", "t.csv: the file is empty"),
    "only blank lines": ("t.csv", b"\n \n", "t.csv: the file is empty"),
    "only a header": (
        "t.csv",
        b"a,b,y\n",
        "t.csv: a header and no rows; give at least one example",
    ),
    "ragged, long": (
        "t.csv",
        b"a,y\n1,2\n1,2,3\n",
        "t.csv, line 3: 3 values, the first line has 2; every line needs one value per column "
        "(separator ',')",
    ),
    "ragged, short": (
        "t.csv",
        b"a,y\n1,2\n1\n",
        "t.csv, line 3: 1 value, the first line has 2; every line needs one value per column "
        "(separator ',')",
    ),
    "encoding": (
        "t.csv",
        b"a,y\ncaf\xe9,\x01\n",
        "t.csv, line 2: not UTF-8 text (byte 0xe9); save the table in UTF-8 encoding, or name its "
        "own: --encoding (encoding=...)",
    ),
    "duplicate columns": (
        "t.csv",
        b"a,b,a,y\n1,2,3,4\n",
        "t.csv: several columns are named 'a'; names must differ",
    ),
    "open quote": ("t.csv", b'a,y\n"1,2\n3,4\n', "t.csv, after line 1: unexpected end of data"),
    "a remark first": (
        "t.csv",
        b"# of 2024\na,y\n1,2\n",
        "t.csv, line 2: 2 values, the first line has 1; every line needs one value per column "
        "(separator ','); is the first one a remark? Delete it",
    ),
    "one row": ("t.csv", b"a,y\n1,2.5\n", "t.csv: 1 row is too few; give at least 5"),
    "all missing": (
        "t.csv",
        b"a,b,y\n,1,p\n,2,q\n?,3,p\n,1,p\n,2,q\n?,3,p\n",
        "t.csv: column 'a' has no values in any row; drop it",
    ),
    "infinite": (
        "t.csv",
        b"a,y\n1,p\ninf,q\n2,p\n3,q\n4,p\n",
        "t.csv: column 'a' is infinite in line 3; drop or change it",
    ),
    "one class": (
        "t.csv",
        b"a,y\n1,p\n2,p\n3,p\n",
        "t.csv: the target 'y' has one class only ('p'); at least 2 are needed",
    ),
    "no target values": (
        "t.csv",
        b"a,y\n1,\n2,?\n",
        "t.csv: the target 'y' has no values in any row",
    ),
    "no header": (
        "t.csv",
        b"a,2.5\nb,3\n",
        "t.csv: no column 'y'; there are 'a', '2.5'; one name is a number: if the first line is "
        "data, add --no-header (header=False)",
    ),
    "no target column": ("t.csv", b"a,b\n1,2\n3,4\n", "t.csv: no column 'y'; there are 'a', 'b'"),
    "nothing but the target": (
        "t.csv",
        b"y\np\nq\np\nq\np\n",
        "t.csv: no column to predict 'y' from",
    ),
    "few rows": ("t.csv", b"a,y\n1,p\n2,q\n", "t.csv: 2 rows are too few; give at least 5"),
    "truncated gzip": (
        "t.csv.gz",
        gzip.compress(GOOD.encode() * 9)[:-20],
        "t.csv.gz: damaged or not gzip (Compressed file ended before the end-of-stream marker was "
        "reached)",
    ),
    "not npz": (
        "t.npz",
        b"PK\x03\x04 nothing",
        "t.npz: not a whole NPZ file (File is not a zip file)",
    ),
    "not an archive": (
        "t.npz",
        b"\x80\x04]\x94.",
        "t.npz: not a whole NPZ file (File is not a zip file)",
    ),
    "UTF-16, damaged": (
        "t.csv",
        "a,y\n1,2\n".encode("utf-16") + b"\x00",
        "t.csv, after line 3: not text in utf-16 (truncated data)",
    ),
    "zero byte": (
        "t.csv",
        b"a,y\n1,2\n1\x00,2\n",
        "t.csv, line 3: a zero byte; this is not a text file",
    ),
    "text after a quote": (
        "t.csv",
        b'a,y\n"1"x,2\n',
        "t.csv, after line 1: ',' expected after '\"'",
    ),
    "ragged with quotes": (
        "t.csv",
        b'a,y\n"1",2\n"1",2,"3"\n',
        "t.csv, line 3: 3 values, the first line has 2; every line needs one value per column "
        "(separator ',')",
    ),
    "quoted header only": (
        "t.csv",
        b'"a","y"\n',
        "t.csv: a header and no rows; give at least one example",
    ),
    "infinite target": (
        "t.csv",
        b"a,y\n1,1\n2,inf\n3,3.5\n4,4\n5,5\n",
        "t.csv: the target 'y' is infinite in line 3; drop it",
    ),
    "one value": (
        "t.csv",
        b"a,y\n1,1.5\n2,1.5\n3,1.5\n4,1.5\n5,1.5\n",
        "t.csv: the target 'y' has the same value in all rows; nothing can be learned",
    ),
    "too large": (
        "t.csv",
        b"a,y\n1e300,p\n-1e300,q\n3,p\n4,q\n5,p\n",
        "t.csv: column 'a' has numbers too large to square; scale it",
    ),
    "target too large": (
        "t.csv",
        b"a,y\n1,1e300\n2,-1e300\n3,1.5\n4,1.5\n5,1.5\n",
        "t.csv: the target 'y' has numbers too large to square; scale it",
    ),
    "many classes": (
        "t.csv",
        b"a,y\n" + b"".join(b"%d,w%d\n" % (i, i) for i in range(300)),
        "t.csv: the target 'y' has 300 classes in 300 rows; use task regression, or another target",
    ),
    "only row names": (
        "t.csv",
        b"a,y\n" + b"".join(b"w%d,%d\n" % (i, i % 2) for i in range(30)),
        "t.csv: no column to predict 'y' from (ignored 'a': a different word in every row)",
    ),
    "objects": (
        "t.npz",
        npz(x=np.array([1, "a"], object), y=np.arange(2)),
        "t.npz: 'x' holds Python objects; save numbers or words (dtype float64 or str)",
    ),
    "unequal lengths": (
        "t.npz",
        npz(x=np.arange(3), y=np.arange(2)),
        "t.npz: columns have unequal lengths: x 3, y 2",
    ),
    "three axes": (
        "t.npz",
        npz(x=np.zeros((3, 2, 2)), y=np.arange(3)),
        "t.npz: 'x' has shape (3, 2, 2) and dtype float64; columns of numbers or words, (rows,) or "
        "(rows, columns), are expected",
    ),
    "complex numbers": (
        "t.npz",
        npz(x=np.zeros(3, complex), y=np.arange(3)),
        "t.npz: 'x' has shape (3,) and dtype complex128; columns of numbers or words, (rows,) or "
        "(rows, columns), are expected",
    ),
    "one name for two": (
        "t.npz",
        npz(x=np.zeros((3, 1)), x_0=np.arange(3)),
        "t.npz: several columns are named 'x_0'; names must differ",
    ),
    "no arrays": ("t.npz", npz(), "t.npz: the table has no columns"),
    "no rows": ("t.npz", npz(x=np.zeros(0), y=np.zeros(0)), "t.npz: the table has no rows"),
    "truncated npz": (
        "t.npz",
        npz(x=np.zeros(300))[:-40],
        "t.npz: not a whole NPZ file (File is not a zip file)",
    ),
    "truncated Parquet": (
        "t.parquet",
        parquet(a=[1, 2], y=[1, 2])[:-10],
        "t.parquet: not a whole Parquet file (it must begin and end with PAR1)",
    ),
    "lists": (
        "t.parquet",
        parquet(a=[[1], [2], [3], [4], [5]], y=[1, 2, 1, 2, 1]),
        "t.parquet: column 'a' has type List(Int64); numbers, words, booleans or dates are "
        "expected",
    ),
    "Parquet without rows": ("t.parquet", parquet(a=[], y=[]), "t.parquet: the table has no rows"),
    "gzip twice": (
        "t.csv.gz",
        gzip.compress(gzip.compress(b"a,y\n1,2\n")),
        "t.csv.gz, line 1: not UTF-8 text (byte 0x8b); save the table in UTF-8 encoding, or name "
        "its own: --encoding (encoding=...)",
    ),
    "gzip of nothing": ("t.csv.gz", gzip.compress(b""), "t.csv.gz: the file is empty"),
    "unknown ending": (
        "t.json",
        b"x",
        "t.json: unknown kind of file '.json'; known are .csv, .tsv, .txt (also .gz), .parquet, "
        ".npz, .xlsx",
    ),
}


@pytest.mark.parametrize(("name", "content", "text"), FILES.values(), ids=FILES.keys())
def test_files(name, content, text, here, capsys):
    (here / name).write_bytes(content)
    found = message(capsys, 1, "train", name, "--target", "y", "--no-figure")
    assert found == f"error: {text}"
    assert [p.name for p in here.iterdir()] == [name]


OPTIONS = {
    "no file": (1, ["nope.csv", "--target", "y"], "error: nope.csv: no such file"),
    "a folder": (1, [".", "--target", "y"], "error: .: a folder; a table file is expected"),
    "dates in another order": (
        1,
        ["days.csv", "--target", "y", "--dates", "day:dmy"],
        "error: days.csv: no row of column 'day' has a date; drop it, or say how its dates are "
        "written: --dates day:dmy (:mdy, :ymd)",
    ),
    "drop": (
        1,
        ["t.csv", "--target", "y", "--drop", "zz"],
        "error: t.csv: no column 'zz'; there are 'a', 'b', 'y'",
    ),
    "out folder": (
        1,
        ["t.csv", "--target", "y", "--out", "no/m.safetensors"],
        "error: --out no/m.safetensors: the folder 'no' does not exist",
    ),
    "out is the table": (
        1,
        ["t.csv", "--target", "y", "--out", "t.csv"],
        "error: --out t.csv: this is the table itself",
    ),
    "task": (
        1,
        ["t.csv", "--target", "b", "--task", "binary"],
        "error: t.csv: task \"binary\" needs 2 classes, the target 'b' has 3",
    ),
    "words as numbers": (
        1,
        ["t.csv", "--target", "y", "--task", "regression"],
        "error: t.csv: column 'y' is 'p' in line 2; a number is expected",
    ),
    "hidden": (
        2,
        ["t.csv", "--target", "y", "--hidden", "8,x"],
        "Error: Invalid value for '--hidden': '8,x' is not a list of layer sizes such as 64,64",
    ),
    "lr": (
        2,
        ["t.csv", "--target", "y", "--lr", "0"],
        "Error: Invalid value for '--lr': 0.0 is not in the range x>0.",
    ),
    "epochs": (
        2,
        ["t.csv", "--target", "y", "--epochs", "0"],
        "Error: Invalid value for '--epochs': 0 is not in the range x>=1.",
    ),
    "validation": (
        2,
        ["t.csv", "--target", "y", "--validation", "1"],
        "Error: Invalid value for '--validation': 1.0 is not in the range 0<x<1.",
    ),
    "no target": (2, ["t.csv"], "Error: Missing option '--target'."),
    "config key": (
        2,
        ["t.csv", "--target", "y", "--config", "c.toml"],
        "Error: c.toml: unknown option 'epoch'; did you mean 'epochs'? known are activation, "
        "batch_size, categorical, checkpoint, class_weight, dates, decimal, drop, dropout, "
        "encoding, epochs, figure, header, hidden, json, log_target, loss, lr, missing, optimizer, "
        "out, patience, resume, schedule, seed, seeds, split, target, task, test, text, thousands, "
        "threads, validation, weight_decay",
    ),
    "config value": (
        2,
        ["t.csv", "--target", "y", "--config", "many.toml"],
        "Error: Invalid value for '--epochs': 'many' is not a valid integer range.",
    ),
    "target twice": (
        1,
        ["t.csv", "--target", "y,y"],
        "error: t.csv: the target 'y' is named twice, or dropped",
    ),
    "target dropped": (
        1,
        ["t.csv", "--target", "y", "--drop", "y"],
        "error: t.csv: the target 'y' is named twice, or dropped",
    ),
    "categorical": (
        1,
        ["t.csv", "--target", "y", "--categorical", "zz"],
        "error: t.csv: no column 'zz'; there are 'a', 'b', 'y'",
    ),
    "empty target": (2, ["t.csv", "--target", ","], "Error: --target: name a column"),
    "activation": (
        2,
        ["t.csv", "--target", "y", "--activation", "step"],
        "Error: Invalid value for '--activation': 'step' is not one of relu, tanh, logistic, "
        "sigmoid, identity, gelu, silu, elu, selu, leaky_relu, softplus, mish",
    ),
    "activations": (
        1,
        ["t.csv", "--target", "y", "--activation", "relu,tanh,relu"],
        "error: activation has 3 entries for 2 hidden layers; give one for all, or one for each",
    ),
    "dropout": (
        2,
        ["t.csv", "--target", "y", "--dropout", "1"],
        "Error: Invalid value for '--dropout': '1' is not a probability from 0 to below 1, or a "
        "list",
    ),
    "threads": (
        2,
        ["t.csv", "--target", "y", "--threads", "0"],
        "Error: Invalid value for '--threads': 0 is not in the range 1<=x<=256.",
    ),
    "seed": (
        2,
        ["t.csv", "--target", "y", "--seed", "-1"],
        "Error: Invalid value for '--seed': -1 is not in the range 0<=x<=9223372036854775807.",
    ),
    "schedule": (
        2,
        ["t.csv", "--target", "y", "--schedule", "wave"],
        "Error: Invalid value for '--schedule': 'wave' is not one of 'constant', 'cosine', "
        "'linear', 'exponential', 'step', 'plateau'.",
    ),
    "classes of several targets": (
        1,
        ["t.csv", "--target", "a,b", "--task", "multiclass"],
        "error: several targets are predicted by regression, not task 'multiclass'",
    ),
    "huge layer": (
        1,
        ["t.csv", "--target", "y", "--hidden", "9999999999"],
        "error: hidden: layer sizes are whole numbers from 1 to 1048576, got 9999999999",
    ),
    "out is a folder": (
        2,
        ["t.csv", "--target", "y", "--out", "."],
        "Error: Invalid value for '--out' / '--model': File '.' is a directory.",
    ),
    "config syntax": (
        2,
        ["t.csv", "--target", "y", "--config", "bad.toml"],
        "Error: bad.toml: not TOML: Invalid value (at line 1, column 5)",
    ),
}


@pytest.mark.parametrize(("code", "arguments", "text"), OPTIONS.values(), ids=OPTIONS.keys())
def test_options(code, arguments, text, here, capsys):
    (here / "t.csv").write_text(GOOD)
    (here / "c.toml").write_text("epoch = 3\n")
    (here / "bad.toml").write_text("a = \n")
    (here / "days.csv").write_text("day,y\n" + "2024-01-31,p\n2024-02-28,q\n" * 9)
    (here / "many.toml").write_text('epochs = "many"\n')
    assert message(capsys, code, "train", *arguments).splitlines()[-1] == text


@pytest.fixture
def model(here, capsys):
    (here / "t.csv").write_text(GOOD)
    assert (
        main(["train", "t.csv", "--target", "y", "--epochs", "2", "--hidden", "4", "--no-figure"])
        == 0
    )
    capsys.readouterr()
    return "t.safetensors"


def test_a_missing_column(here, model, capsys):
    (here / "u.csv").write_text("b\n1\n2\n")
    assert message(capsys, 1, "predict", model, "u.csv") == (
        "error: u.csv: column 'a' is missing; the model needs 'a', 'b'"
    )


def test_words_where_numbers_were(here, model, capsys):
    (here / "u.csv").write_text("a,b\n1,2\nred,3\n")
    assert message(capsys, 1, "predict", model, "u.csv") == (
        "error: u.csv: column 'a' is 'red' in line 3; a number is expected"
    )


def test_unknown_class(here, model, capsys):
    (here / "u.csv").write_text("a,b,y\n1,2,p\n1,3,z\n")
    assert message(capsys, 1, "evaluate", model, "u.csv") == (
        "error: u.csv: 'y' has the classes 'z', unknown to the model; it knows 'p', 'q'"
    )


def test_evaluate_without_the_target(here, model, capsys):
    (here / "u.csv").write_text("a,b\n1,2\n")
    assert (
        message(capsys, 1, "evaluate", model, "u.csv") == "error: u.csv: the target 'y' is missing"
    )


def test_evaluate_without_any_target_value(here, model, capsys):
    (here / "u.csv").write_text("a,b,y\n1,2,\n")
    assert message(capsys, 1, "evaluate", model, "u.csv") == (
        "error: u.csv: the target 'y' has no values in any row"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("inf", "column 'a' is infinite in line 3; drop or change it"),
        (
            "1e200",
            "column 'a' is 1e+200 in line 3; the training table has a mean of 10.125 and a "
            "standard deviation of 6.06089",
        ),
    ],
)
def test_a_number_out_of_reach(here, model, capsys, value, text):
    (here / "u.csv").write_text(f"a,b\n1,2\n{value},3\n")
    found = message(capsys, 1, "predict", model, "u.csv", "--out", "answers.csv")
    assert found == f"error: u.csv: {text}"
    assert sorted(p.name for p in here.iterdir()) == ["t.csv", model, "u.csv"]


def test_the_folder_of_the_answers(model, capsys):
    assert message(capsys, 1, "predict", model, "t.csv", "--out", "no/x.csv") == (
        "error: --out no/x.csv: the folder 'no' does not exist"
    )


def test_a_pipe(here, capsys):
    os.mkfifo(here / "t.csv")
    assert message(capsys, 1, "train", "t.csv", "--target", "y") == (
        "error: t.csv: not a file that can be read several times; save the table first"
    )


def test_a_table_as_the_model(here, capsys):
    (here / "t.csv").write_text(GOOD)
    for command in (["predict", "t.csv", "t.csv"], ["inspect", "t.csv"]):
        assert message(capsys, 1, *command) == (
            "error: t.csv: a table, and this reads models; tables are read by chainrule train "
            "t.csv --target COLUMN, which writes a model, and by chainrule.data.open_table in "
            "Python"
        )


def test_out_is_an_input(here, model, capsys):
    assert (
        message(capsys, 1, "predict", model, "t.csv", "--out", "t.csv")
        == "error: --out t.csv: this file is read"
    )


def test_no_model(capsys):
    assert message(capsys, 1, "inspect", "no.safetensors") == "error: no.safetensors: no such file"


def test_not_a_model(here, capsys):
    (here / "m.safetensors").write_bytes(b"hello, this is text")
    found = message(capsys, 1, "inspect", "m.safetensors")
    assert found.startswith("error: m.safetensors: damaged, or not a model file (")


def test_probabilities_of_numbers(here, model, capsys):
    main(
        [
            "train",
            "t.csv",
            "--target",
            "a",
            "--task",
            "regression",
            "--epochs",
            "2",
            "--hidden",
            "4",
            "--no-figure",
        ]
    )
    capsys.readouterr()
    assert message(capsys, 1, "predict", model, "t.csv", "--proba") == (
        "error: probabilities need classes; this model predicts numbers"
    )
