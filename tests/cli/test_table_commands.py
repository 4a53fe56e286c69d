"""train, predict, evaluate, inspect: from a file to a model and back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from chainrule.backends.cpu.threads.pool import get_num_threads
from chainrule.cli import main
from chainrule.cli.live import LiveCurve


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    rows = [("size", "colour", "price", "label")]
    for _ in range(150):
        size, colour = rng.normal(), rng.choice(["red", "blue"])
        rows.append((f"{size:.4f}", colour, f"{50 + 9 * size:.3f}", "big" if size > 0 else "small"))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path


QUICK = ["--hidden", "8", "--epochs", "30", "--lr", "0.05"]


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_train_predict_evaluate_inspect(folder, capsys):
    table, model = folder / "t.csv", folder / "t.safetensors"
    code, out, err = run(capsys, "train", table, "--target", "label", "--drop", "price", *QUICK)
    assert code == 0
    assert out.split()[:4] == ["validation", "rows", "model", "baseline"]
    assert "epoch 30/30" in err or "stopped: val_loss has not improved" in err
    assert model.exists() and (folder / "t.png").read_bytes()[:4] == b"\x89PNG"

    code, out, err = run(capsys, "predict", model, table, "--proba")
    assert code == 0
    answers = list(csv.DictReader(io.StringIO(out)))
    assert list(answers[0]) == ["label", "probability of big", "probability of small"]
    truth = [r["label"] for r in csv.DictReader(table.read_text().splitlines())]
    assert np.mean([a["label"] == t for a, t in zip(answers, truth, strict=True)]) > 0.9
    assert err == "note: ignored 'price': not used by the model\n"

    code, out, _ = run(capsys, "predict", model, table, "--out", folder / "answers.csv")
    assert (code, out) == (0, "")
    assert (folder / "answers.csv").read_text().splitlines()[1:] == [a["label"] for a in answers]

    code, out, _ = run(capsys, "evaluate", model, table, "--json")
    assert code == 0 and json.loads(out)["metrics"]["accuracy"] > 0.9

    code, out, _ = run(capsys, "inspect", model)
    assert code == 0
    assert out.splitlines()[:3] == [
        "target    label",
        "task      binary: big, small",
        "network   3 - 8 - 2, relu, dropout 0; 50 weights",
    ]
    assert json.loads(run(capsys, "inspect", model, "--json")[1])["network"]["hidden"] == [8]


def test_train_prints_one_json_document(folder, capsys):
    code, out, _ = run(
        capsys,
        "train",
        folder / "t.csv",
        "--target",
        "price",
        "--drop",
        "label",
        "--json",
        "--out",
        folder / "m.safetensors",
        "--no-figure",
        *QUICK,
    )
    found = json.loads(out)
    assert code == 0
    assert (
        found["task"] == "regression"
        and found["metrics"]["r2"] > 0.9
        and found["baseline"]["r2"] <= 0
    )
    assert (found["rows"], found["validation_rows"], found["figure"]) == (120, 30, None)
    assert not (folder / "m.png").exists()


def test_the_same_seed_writes_the_same_file(folder, capsys):
    for name in ("a", "b"):
        run(
            capsys,
            "train",
            folder / "t.csv",
            "--target",
            "label",
            "--out",
            folder / f"{name}.safetensors",
            "--dropout",
            "0.2",
            "--no-figure",
            *QUICK,
        )
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


def test_options_from_a_file(folder, capsys):
    config = folder / "c.toml"
    config.write_text(
        'target = "label"\nhidden = [4, 3]\nepochs = 2\nbatch-size = 16\nfigure = false\n'
    )
    code, _, _ = run(capsys, "train", folder / "t.csv", "--config", config, "--epochs", "3")
    assert code == 0
    held = json.loads(run(capsys, "inspect", folder / "t.safetensors", "--json")[1])
    assert held["network"]["hidden"] == [4, 3]
    assert (held["training"]["epochs"], held["training"]["batch_size"]) == (3, 16)


def test_columns_in_another_order(folder, capsys):
    run(capsys, "train", folder / "t.csv", "--target", "label", "--no-figure", *QUICK)
    rows = list(csv.reader((folder / "t.csv").read_text().splitlines()))
    with (folder / "turned.csv").open("w", newline="") as file:
        csv.writer(file).writerows([r[::-1] for r in rows])
    model = folder / "t.safetensors"
    assert (
        run(capsys, "predict", model, folder / "t.csv")[1]
        == run(capsys, "predict", model, folder / "turned.csv")[1]
    )


def test_several_targets(folder, capsys):
    code, _, _ = run(
        capsys, "train", folder / "t.csv", "--target", "price,size", "--no-figure", *QUICK
    )
    assert code == 0
    out = run(capsys, "predict", folder / "t.safetensors", folder / "t.csv")[1]
    assert out.splitlines()[0] == "price,size"


def test_rows_without_a_target_are_left_out(folder, capsys):
    path = folder / "t.csv"
    path.write_text(path.read_text() + "1.0,red,1.0,?\n")
    _, _, err = run(capsys, "train", path, "--target", "label", "--no-figure", *QUICK)
    assert "note: 1 rows without a target are left out" in err


def test_all_options_reach_the_model(folder, capsys, monkeypatch):
    # As before, afterwards.
    monkeypatch.setattr("chainrule.backends.cpu.threads.pool._chosen", None)
    config = folder / "c.toml"
    config.write_text(
        'target = "label"\ncategorical = ["size"]\nhidden = [6, 5]\n'
        'activation = ["tanh", "relu"]\ndropout = [0.1, 0.2]\nschedule = "cosine"\nthreads = 1\n'
    )
    more = ["--optimizer", "adamw", "--lr", "0.01", "--weight-decay", "0.1", "--batch-size", "50"]
    code, _, err = run(
        capsys,
        *("train", folder / "t.csv", "--config", config, "--epochs", "3", "--seed", "7"),
        *("--validation", "0.4", "--patience", "2", "--no-figure", *more),
    )
    assert get_num_threads() == 1
    assert code == 0 and "lr 0.0025" in err  # of the last of three epochs, on a cosine
    held = json.loads(run(capsys, "inspect", folder / "t.safetensors", "--json")[1])
    network, training = held["network"], held["training"]
    assert (network["hidden"], network["activation"]) == ([6, 5], ["tanh", "relu"])
    assert network["dropout"] == [0.1, 0.2]
    expected = {
        "optimizer": "adamw",
        "lr": 0.01,
        "weight_decay": 0.1,
        "batch_size": 50,
        "epochs": 3,
        "seed": 7,
        "schedule": "cosine",
        "validation": 0.4,
        "patience": 2,
        "rows": 90,
    }
    assert {k: training[k] for k in expected} == expected
    assert held["preprocessor"]["columns"][0]["kind"] == "words"


@pytest.mark.parametrize("kind", ["csv.gz", "tsv", "parquet", "npz"])
def test_every_kind_of_file_gives_the_same_model(folder, capsys, kind):
    frame = pl.read_csv(folder / "t.csv")
    path = folder / f"u.{kind}"
    if kind == "csv.gz":
        path.write_bytes(gzip.compress((folder / "t.csv").read_bytes()))
    elif kind == "tsv":
        frame.write_csv(path, separator="\t")
    elif kind == "parquet":
        frame.write_parquet(path)
    else:
        np.savez(path, **{c: np.array(frame[c].to_list()) for c in frame.columns})
    for name in ("t.csv", f"u.{kind}"):
        options = ["--target", "label", "--no-figure", "--epochs", "2", "--hidden", "4"]
        assert run(capsys, "train", folder / name, *options)[0] == 0
    a, b = folder / "t.safetensors", folder / "u.safetensors"
    assert a.read_bytes() == b.read_bytes()
    answers = [run(capsys, "predict", a, folder / n)[1] for n in ("t.csv", f"u.{kind}")]
    assert answers[0] == answers[1]


def test_numbers_as_categories_in_any_writing(folder, capsys):
    path = folder / "z.csv"
    path.write_text("zip,y\n" + "01,p\n02,q\n" * 30)
    options = ["--categorical", "zip", "--epochs", "60", "--lr", "0.05", "--hidden", "4"]
    assert run(capsys, "train", path, "--target", "y", *options, "--no-figure")[0] == 0
    (folder / "new.csv").write_text("zip\n02\n01\n3\n")
    _, out, err = run(capsys, "predict", folder / "z.safetensors", folder / "new.csv")
    assert out.splitlines()[:3] == ["y", "q", "p"] and len(out.splitlines()) == 4
    assert err == "note: 'zip': 1 rows with categories that have no input ('3'): all zeros\n"


def test_a_name_with_a_comma_stands_in_quotes(folder, capsys):
    path = folder / "z.csv"
    path.write_text('"price, net",b,y\n' + "1,5,p\n2,6,q\n" * 30)
    options = ["--categorical", '"price, net",b', "--target", "y", "--epochs", "1", "--no-figure"]
    assert run(capsys, "train", path, *options)[0] == 0
    assert "price, net: 2 categories" in run(capsys, "inspect", folder / "z.safetensors")[1]
    (folder / "z.toml").write_text('target = "y"\ncategorical = ["price, net", "b"]\nepochs = 1\n')
    given = run(
        capsys,
        "train",
        path,
        "--config",
        folder / "z.toml",
        "--no-figure",
        "--out",
        path.with_suffix(".m"),
    )
    assert given[0] == 0


def test_a_row_without_values_has_its_answer(folder, capsys):
    """As many lines come out as went in, but for blank lines."""
    run(capsys, "train", folder / "t.csv", "--target", "label", "--no-figure", *QUICK)
    (folder / "new.csv").write_text("size,colour,price\n1,red,60\n,,\n\n-1,blue,40\n")
    out = run(capsys, "predict", folder / "t.safetensors", folder / "new.csv")[1]
    assert len(out.splitlines()) == 1 + 3


def test_an_interrupted_prediction_leaves_nothing(folder, capsys, monkeypatch):
    run(capsys, "train", folder / "t.csv", "--target", "label", "--no-figure", *QUICK)
    before = sorted(p.name for p in folder.iterdir())

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("chainrule.estimators.table_model.outputs", interrupted)
    answers = folder / "answers.csv"
    model = folder / "t.safetensors"
    code, _, err = run(capsys, "predict", model, folder / "t.csv", "--out", answers)
    assert (code, err.strip()) == (130, "interrupted")
    assert sorted(p.name for p in folder.iterdir()) == before


def test_the_live_picture():
    console = Console(file=io.StringIO(), force_terminal=True, width=90)
    live = LiveCurve(console)
    trainer = SimpleNamespace(history=SimpleNamespace(params={"epochs": 4, "steps": 10}))
    live.on_fit_begin(trainer)
    live.on_steps(trainer, 5, {"loss": 2.0})
    began, _ = live._first
    for epoch in range(3):
        live.on_epoch_end(trainer, epoch, {"loss": 1 / (epoch + 1), "val_loss": 1.5 / (epoch + 1)})
    text = live.picture(began + 25.0).plain.splitlines()
    live.on_fit_end(trainer)
    assert text[0] == "epoch 3/4  loss 0.3333  val_loss 0.5  at most 0:10 left"
    assert text[1].startswith("      1.5 ") and text[8].startswith("   0.3333 ")
    dots = [len([c for c in line[10:] if c != "\u2800"]) for line in text[1:9]]
    assert all(dots)  # both curves fall through all rows
    assert text[9].split() == ["loss", "val_loss"]


@pytest.mark.parametrize(
    ("name", "file", "target", "header", "worst"),
    [
        ("abalone", "abalone.csv", "column_9", False, 0.45),
        ("california_housing", "housing.csv.gz", "median_house_value", True, 0.6),
        ("adult", "adult-train.csv.gz", "column_15", False, 0.83),
    ],
)
def test_real_tables(name, file, target, header, worst, tmp_path, capsys):
    folder = Path(os.environ.get("CHAINRULE_DATA", Path(__file__).parents[2] / "../shared/data"))
    path = folder / name / file
    if not path.exists():
        pytest.skip(f"{name} is not in {folder}")
    options = ["--target", target, "--epochs", "4", "--out", tmp_path / "m.safetensors", "--json"]
    code, out, _ = run(capsys, "train", path, *options, *([] if header else ["--no-header"]))
    found = json.loads(out)
    score = "accuracy" if name == "adult" else "r2"
    assert code == 0
    assert found["metrics"][score] > max(worst, found["baseline"][score])
    assert found["task"] == ("binary" if name == "adult" else "regression")
    assert (tmp_path / "m.png").exists()


def test_columns_are_kept_beside_the_answers(folder, capsys):
    run(capsys, "train", folder / "t.csv", "--target", "price", "--no-figure", *QUICK)
    model = folder / "t.safetensors"
    _, out, err = run(capsys, "predict", model, folder / "t.csv", "--keep", "colour,price")
    rows = list(csv.DictReader(io.StringIO(out)))
    given = list(csv.DictReader((folder / "t.csv").read_text().splitlines()))
    assert list(rows[0]) == ["colour", "price (given)", "price"] and not err
    assert [r["colour"] for r in rows] == [g["colour"] for g in given]
    assert [float(r["price (given)"]) for r in rows] == [float(g["price"]) for g in given]
    code, _, err = run(capsys, "predict", model, folder / "t.csv", "--keep", "color")
    assert code == 1 and err.endswith("did you mean 'colour'?\n")


def test_test_rows_seeds_and_figures_on_the_command_line(folder, capsys):
    options = ["--target", "label", "--drop", "price", "--test", "0.2", "--seeds", "2"]
    code, out, _ = run(capsys, "train", folder / "t.csv", *options, "--json", *QUICK)
    found = json.loads(out)
    assert code == 0 and found["test"]["metrics"] == found["seeds"][0] != found["seeds"][1]
    code, out, _ = run(capsys, "train", folder / "t.csv", *options, "--no-figure", *QUICK)
    assert code == 0
    for line in ("validation rows", "test rows", "2 seeds"):
        assert sum(row.startswith(line) for row in out.splitlines()) == 1
    figure = folder / "e.png"
    model = folder / "t.safetensors"
    assert run(capsys, "evaluate", model, folder / "t.csv", "--figure", figure)[0] == 0
    assert figure.read_bytes()[:4] == b"\x89PNG"
    code, _, err = run(capsys, "train", folder / "t.csv", *options, "--class-weight", "big")
    assert code == 2 and "'big' is neither balanced nor a list of weights" in err
