"""train, predict, evaluate, inspect: from a file to a model and back."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from chainrule.cli import main


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
    assert out.split()[:4] == ["held-out", "rows", "model", "baseline"]
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
    assert (found["rows"], found["held_out_rows"], found["figure"]) == (120, 30, None)
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
