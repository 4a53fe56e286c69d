"""Mistakes with tables, model files and their commands: the whole message of each, and the exit
code."""

from __future__ import annotations

import gzip

import pytest

from chainrule.cli import main

GOOD = "a,b,y\n" + "".join(f"{i},{i % 3},{'pq'[i % 2]}\n" for i in range(20))


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
        "a,y\ncaf\xe9,1\n".encode("latin-1"),
        "t.csv, line 2: not UTF-8 text (byte 0xe9); save the table in UTF-8 encoding",
    ),
    "duplicate columns": (
        "t.csv",
        b"a,b,a,y\n1,2,3,4\n",
        "t.csv: several columns are named 'a'; names must differ",
    ),
    "nameless column": (
        "t.csv",
        b"a,,y\n1,2,3\n",
        "t.csv: column 2 has no name in the first line; name it, or say that there is no header",
    ),
    "open quote": ("t.csv", b'a,y\n"1,2\n3,4\n', "t.csv, after line 1: unexpected end of data"),
    "all missing": (
        "t.csv",
        b"a,b,y\n,1,p\n,2,q\n?,3,p\n,1,p\n,2,q\n?,3,p\n",
        "t.csv: column 'a' has no values in any row; drop it",
    ),
    "infinite": (
        "t.csv",
        b"a,y\n1,p\ninf,q\n2,p\n3,q\n4,p\n",
        "t.csv: column 'a' is infinite in row 1; drop or change it",
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
    "no target column": ("t.csv", b"a,b\n1,2\n3,4\n", "t.csv: no column 'y'; there are 'a', 'b'"),
    "nothing but the target": (
        "t.csv",
        b"y\np\nq\np\nq\np\n",
        "t.csv: no column to predict 'y' from",
    ),
    "few rows": ("t.csv", b"a,y\n1,p\n2,q\n", "t.csv: 2 rows are too few; give at least 5"),
    "not gzip": (
        "t.csv.gz",
        b"a,y\n1,2\n",
        "t.csv.gz: damaged or not gzip (Not a gzipped file (b'a,'))",
    ),
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
    "unknown ending": (
        "t.xlsx",
        b"x",
        "t.xlsx: unknown kind of file '.xlsx'; known are .csv, .tsv, .txt (also .gz), .parquet, "
        ".npz",
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
        "error: t.csv: column 'y' is 'p' in row 0; a number is expected",
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
        "Error: c.toml: unknown option 'epoch'; known are activation, as_json, batch_size, "
        "categorical, drop, dropout, epochs, figure, header, hidden, lr, optimizer, out, patience, "
        "schedule, seed, target, task, threads, validation, weight_decay",
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
        "error: u.csv: column 'a' is 'red' in row 1; a number is expected"
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
