"""Model files by somebody who means harm: each is used, or refused with one line; nothing in it
gives orders to the terminal."""

from __future__ import annotations

import copy
import json
import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from chainrule.cli import main
from chainrule.cli.output import data
from chainrule.cli.printable import printable
from chainrule.estimators import TableModel

FORMAT = "chainrule_table_model"
ESCAPE = "\x1b]0;title\x07"
TABLE = {"a": np.arange(20.0), "w": ["x", "y"] * 10, "t": ["no", "yes"] * 10, "n": np.arange(20.0)}
TABLE["d"] = np.datetime64("2024-01-30") + np.arange(20)


@pytest.fixture(scope="module")
def files():
    """(description, weights) of a classifier and of a regression."""
    found = []
    for target, drop in (("t", ["n"]), ("n", ["t"])):
        model = TableModel.fit(TABLE, target, drop=drop, hidden=(3,), training={"epochs": 1})
        held = json.loads(json.dumps(model.describe(), default=float))
        found.append((held, model.weights))
    return found


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,w,d\n1,x,2024-02-01\n2,y,\n")
    return tmp_path


def write(held, weights):
    content = save_tensors(weights, {FORMAT: json.dumps(held)})
    Path("m.safetensors").write_bytes(content)


COMMANDS = [["inspect"], ["inspect", "--json"], ["predict"]]


def used_or_refused(capsys) -> list[str]:
    """What every command says of the file, "" where it used it."""
    said = []
    for name, *options in COMMANDS:
        files = ["m.safetensors", "t.csv"] if name == "predict" else ["m.safetensors"]
        code = main([name, *files, *options])
        out, err = capsys.readouterr()
        assert code in (0, 1)
        assert (code == 1) == err.startswith("error: ")
        assert not code or (not out and err.count("\n") == 1)
        if "--json" in options and not code:
            json.loads(out, parse_constant=pytest.fail)
        said.append(err.strip().removeprefix("error: m.safetensors: ") if code else "")
    return said


def change(held, path, value):
    held = copy.deepcopy(held)
    *way, last = path
    at = held
    for key in way:
        at = at[key]
    at[last] = value
    return held


DAMAGE = "the description of the model is damaged ("
CHANGES = {
    "a huge whole number": (["network", "dropout"], 10**400, DAMAGE),
    "a huge mean": (["preprocessor", "columns", 0, "mean"], 10**400, DAMAGE),
    "an option that is a list of lists": (["training", "lr"], [[1]], DAMAGE),
    "a measure in words": (
        ["metrics", "accuracy"],
        "good",
        DAMAGE + "'accuracy' of the metrics is 'good'; a number is expected)",
    ),
    "a baseline that is a list": (["baseline"], [1, 2], DAMAGE),
    "half of a character": (["preprocessor", "classes", 0], "\ud800", DAMAGE),
    "a class twice": (
        ["preprocessor", "classes"],
        ["yes", "yes"],
        DAMAGE + "this preprocessor has the class 'yes' twice)",
    ),
    "a column twice": (
        ["preprocessor", "columns", 1, "name"],
        "a",
        DAMAGE + "this preprocessor has the column 'a' twice)",
    ),
    "a column that is the target": (
        ["preprocessor", "columns", 0, "name"],
        "t",
        DAMAGE + "this preprocessor has the column 't' twice)",
    ),
    "a category twice": (
        ["preprocessor", "columns", 1, "categories"],
        ["x", "x"],
        DAMAGE + "this preprocessor has the category of 'w' 'x' twice)",
    ),
    "a decimal sign that is none": (
        ["preprocessor", "columns", 0, "decimal"],
        ";",
        DAMAGE
        + "this is no description of a preprocessor (ValueError(\"column 'a' has decimal ';', "
        "thousands ''\")))",
    ),
    "a list as the thousands": (["preprocessor", "columns", 0, "thousands"], [","], DAMAGE),
    "words for missing": (["preprocessor", "missing"], "NA", DAMAGE),
    "a date of the far future": (["preprocessor", "columns", 2, "first"], 1e300, DAMAGE),
    "a part of no calendar": (["preprocessor", "columns", 2, "parts"], ["month", "moon"], DAMAGE),
    "an order of no dates": (["preprocessor", "columns", 2, "order"], "ydm", DAMAGE),
    "no object": (["preprocessor"], None, DAMAGE),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_description_is_refused(files, capsys, kind):
    path, value, want = CHANGES[kind]
    held, weights = files[0]
    write(change(held, path, value), weights)
    assert all(said.startswith(want) for said in used_or_refused(capsys))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**300])
def test_measures_that_are_no_number_are_null_in_json(files, capsys, value):
    held, weights = files[0]
    write(change(held, ["metrics", "accuracy"], value), weights)
    assert used_or_refused(capsys) == ["", "", ""]


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "BF16", "I64", "BOOL"])
def test_weights_of_another_dtype_are_refused(files, capsys, kind):
    held, weights = files[0]
    write(held, weights)
    content = Path("m.safetensors").read_bytes()
    n = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + n])
    name = next(k for k in header if k != "__metadata__")
    begin, end = header[name]["data_offsets"]
    size = {"I64": 8, "BF16": 2}.get(kind, 1)
    header[name] |= {"dtype": kind, "shape": [(end - begin) // size]}
    text = json.dumps(header).encode()
    body = content[8 + n :]
    Path("m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    assert all("dtype" in s or "damaged" in s for s in used_or_refused(capsys))


def test_weights_that_overflow_end_with_an_error(files, capsys):
    for (held, weights), line in zip(files, (3, 3), strict=True):
        write(held, {k: np.full(v.shape, 1e308) for k, v in weights.items()})
        *inspected, predicted = used_or_refused(capsys)
        assert inspected == ["", ""]
        assert predicted == (
            f"error: t.csv: the model's output for line {line} is not a finite number: its weights "
            "are too large for this row"
        )


def test_names_give_no_orders_to_the_terminal(files, here, capsys, monkeypatch):
    held, weights = files[0]
    held = change(held, ["preprocessor", "columns", 0, "name"], "a" + ESCAPE)
    held = change(held, ["preprocessor", "columns", 1, "categories", 0], ESCAPE)
    held = change(held, ["preprocessor", "target", 0], ESCAPE + "\u202e")
    held = change(held, ["metrics"], {ESCAPE: 1.0})
    write(held, weights)
    (here / "t.csv").write_text(f"a{ESCAPE},w,d\n1,x,2024-02-01\n")
    main(["predict", "m.safetensors", "t.csv"])
    assert ESCAPE in capsys.readouterr().out  # a program reads what it is
    for name in ("inspect", "predict"):
        monkeypatch.setattr(sys.stdout, "isatty", lambda name=name: name == "predict")
        main([name, "m.safetensors", *(["t.csv"] if name == "predict" else [])])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err and "\u202e" not in out + err and "\x07" not in out + err
        assert "\\x1b]0;title" in out + err


def test_what_is_printable():
    assert printable("é 漢\n\t ok") == "é 漢\n\t ok"
    assert printable("\x1b\r\x00\x7f\x9b\u202e\u2066\ud800") == (
        "\\x1b\\x0d\\x00\\x7f\\x9b\\u202e\\u2066\\ud800"
    )


def test_colours_of_our_own_stay(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    data().print("[bold]x[/]")
    assert "\x1b[1m" in capsys.readouterr().out


def test_a_terminal_that_cannot_write_a_name(files, capsys, monkeypatch):
    def ascii_only(text):
        text.encode("ascii")

    monkeypatch.setattr("chainrule.cli.predict.write_text", ascii_only)
    held, weights = files[0]
    write(change(held, ["preprocessor", "classes"], ["é", "ü"]), weights)
    assert main(["predict", "m.safetensors", "t.csv"]) == 1
    assert capsys.readouterr().err == (
        "error: '\\xfc' cannot be written in the encoding ascii; set PYTHONIOENCODING=utf-8, or "
        "write to a file (--out)\n"
    )


# -- at random -------------------------------------------------------------------------------------
ODD = [
    None, True, -1, 0, 1e308, 10**400, float("nan"), float("-inf"), "", "\ud800", ESCAPE, "a", "t",
    [], {}, [[]], [None], {"a": 1}, 2**63, "1e999", "float32", ["x"] * 3, 1.5,
]  # fmt: skip


def places(held, way=()):
    """The way to every value in a JSON document."""
    items = held.items() if isinstance(held, dict) else enumerate(held)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))


def fuzz(files, capsys, seed, count):
    rng = random.Random(seed)
    outcomes = set()
    for _ in range(count):
        held, weights = rng.choice(files)
        for _ in range(rng.choice([1, 1, 2])):
            held = change(held, rng.choice(list(places(held))), rng.choice(ODD))
        write(held, weights)
        outcomes |= {bool(s) for s in used_or_refused(capsys)}
    assert outcomes == {True, False}


def test_any_value_anywhere_is_used_or_refused(files, capsys):
    fuzz(files, capsys, 0, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_values_anywhere_are_used_or_refused(files, capsys, seed):
    fuzz(files, capsys, seed, 1000)


def test_the_files_that_are_changed_are_valid(files, capsys):
    for held, weights in files:
        write(held, weights)
        assert used_or_refused(capsys) == ["", "", ""]
        assert load_tensors(Path("m.safetensors").read_bytes()).keys() == weights.keys()
