"""train, predict, evaluate, inspect, sample for images, texts and sequences."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.cli.registry import COMMANDS
from chainrule.cli.train import _asked, _kind
from chainrule.errors import DataError

DATA = Path(os.environ.get("CHAINRULE_DATA", Path(__file__).parents[2] / "../shared/data"))
TEXT = "the cat sat on the mat. " * 40


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    signal.signal(signal.SIGINT, before)


def run(capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def write_images(folder: Path, count: int = 40, side: int = 8) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = (rng.random((side, side)) * 90 + 80 * (i % 2)).astype(np.uint8)
        place = folder / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels).save(place / f"{i}.png")


# -- which kind ------------------------------------------------------------------------------------
def test_what_there_is_to_learn_from_says_the_kind(here: Path) -> None:
    (here / "folder").mkdir()
    np.savez(here / "i.npz", x=np.zeros((2, 4, 4), np.uint8))
    np.savez(here / "s.npz", x=np.zeros((2, 4, 3)))
    np.savez(here / "l.npz", x=np.zeros((2, 4)), lengths=[1, 2])
    np.savez(here / "t.npz", x=np.zeros((2, 4)))
    for file, kind in (
        ("folder", "images"), ("missing/", "images"), ("a.zip", "images"), ("i.npz", "images"),
        ("data_batch_1.bin", "images"), ("train-images-idx3-ubyte.gz", "images"),
        ("a_TRAIN.ts.gz", "sequences"), ("s.npz", "sequences"), ("l.npz", "sequences"),
        ("a.txt", "text"), ("a.txt.gz", "text"), ("README", "text"),
        ("a.csv", "table"), ("a.parquet", "table"), ("-", "table"), ("t.npz", "table"),
        ("missing.npz", "table"),
    ):  # fmt: skip
        assert _kind(file, []) == kind, file
    for file in ("a.txt", "i.npz", "folder"):
        assert _kind(file, ["--target=price"]) == _kind(file, ["--target", "p"]) == "table"


def test_options_may_stand_before_the_file() -> None:
    assert _asked(["--out", "m", "--resume", "--lr=1", "a.txt", "--as", "text"]) == (
        "text", ["--out", "m", "--resume", "--lr=1", "a.txt"], "a.txt",
    )  # fmt: skip
    assert _asked(["--as=table", "-"]) == ("table", ["-"], "-")


def test_help_tells_of_all_kinds_and_of_each(capsys: Any) -> None:
    code, out, _ = run(capsys, "train", "--help")
    assert code == 0 and "images" in out and "--as [table|images|text|sequences]" in out
    assert run(capsys, "train")[1] == out
    for kind, option in (
        ("table", "--target"), ("images", "--augment"), ("text", "--tokens"),
        ("sequences", "--layers"),
    ):  # fmt: skip
        code, out, _ = run(capsys, "train", "--as", kind, "--help")
        assert code == 0 and option in out and out.startswith("Usage: chainrule train [OPTIONS]")
    assert run(capsys, "train", "--as", "music", "x")[0] == 2
    assert run(capsys, "train", "--epochs", "3")[0] == 2  # no FILE


# -- one command each ------------------------------------------------------------------------------
def test_images(here: Path, capsys: Any) -> None:
    write_images(here / "pictures")
    train = ["train", "pictures", "--model", "linear", "--epochs", 4, "--lr", 0.01]
    code, out, err = run(capsys, *train, "--augment", "rotate,mixup,flip", "--batch-size", 18)
    assert code == 0 and "epoch 4/4" in err
    assert out.splitlines()[0].split() == ["validation", "model", "baseline"]
    assert out.splitlines()[-2:] == ["model pictures.safetensors", "figure pictures.png"]
    code, out, _ = run(capsys, "predict", "pictures.safetensors", "pictures/dark", "--proba")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 20 and list(rows[0])[:2] == ["file", "class"]
    assert rows[0]["file"] == "pictures/dark/0.png"
    assert np.mean([float(r["probability of dark"]) for r in rows]) > 0.6
    code, out, _ = run(capsys, "evaluate", "pictures.safetensors", "pictures", "--json")
    assert json.loads(out)["metrics"]["accuracy"] > 0.9
    assert run(capsys, "evaluate", "pictures.safetensors", "pictures", "--figure", "e.png")[0] == 0
    assert Path("e.png").read_bytes()[:4] == b"\x89PNG"
    code, out, _ = run(capsys, "inspect", "pictures.safetensors")
    assert out.splitlines()[:3] == [
        "kind      ImageModel", "net       linear", "shape     1 x 8 x 8 (channels, height, width)",
    ]  # fmt: skip
    assert "classes   2: dark, light" in out and "validated accuracy" in out


def test_text_and_sample(here: Path, capsys: Any) -> None:
    Path("cat.txt").write_text(TEXT)
    small = ["--model", "lstm", "--width", 8, "--length", 8, "--batch-size", 4]
    code, out, err = run(capsys, "train", "cat.txt", *small, "--epochs", 3, "--lr", 0.02)
    assert code == 0 and "after epoch 3 (" in err and " bits a token): “" in err
    assert [line.split()[0] for line in out.splitlines()] == [
        "validation", "loss", "bits_per_character", "perplexity", "model", "figure",
    ]  # fmt: skip
    sample = ["sample", "cat.safetensors", "--prompt", "the ", "--length", 20]
    code, out, _ = run(capsys, *sample, "--temperature", 0)
    assert code == 0 and out.startswith("the ") and len(out) == 4 + 20 + 1
    texts = [
        run(capsys, *sample, "--temperature", 3, "--top-p", 0.99, *s)[1]
        for s in (("--seed", 1),) * 2 + ((),)
    ]
    assert texts[0] == texts[1] != texts[2]
    code, out, _ = run(capsys, "evaluate", "cat.safetensors", "cat.txt")
    assert code == 0 and out.splitlines()[1].startswith("bits_per_character  ")
    assert "vocabulary 11: ' ', ., a, " in run(capsys, "inspect", "cat.safetensors")[1]
    for arguments, said in (
        (("predict", "cat.safetensors", "cat.txt"), "predicts no rows; chainrule sample MODEL"),
        (("sample", "cat.safetensors", "--prompt", "Z"), "'Z' at 0 is not in the vocabulary"),
        (("sample", "cat.txt"), "damaged, or not a model file"),
        (("evaluate", "cat.safetensors", "cat.txt", "--figure", "x.png"), "only `chainrule train`"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (1, "") and said in err


def test_sequences(here: Path, capsys: Any) -> None:
    lines = [
        ",".join(f"{(i % 2 - 0.5) * t:g}" for t in range(8 + i % 3)) + f":{'ab'[i % 2]}"
        for i in range(24)
    ]
    Path("s.ts").write_text("\n".join(["@classLabel true a b", "@data", *lines]))
    small = ["--width", 4, "--layers", 1, "--epochs", 5, "--lr", 0.05]
    code, out, _ = run(capsys, "train", "s.ts", *small, "--json")
    found = json.loads(out)
    assert code == 0 and found["metrics"]["accuracy"] == 1 and found["figure"] == "s.png"
    code, out, _ = run(capsys, "predict", "s.safetensors", "s.ts")
    assert out.split() == ["class", *"ab" * 12]
    assert run(capsys, "evaluate", "s.safetensors", "s.ts")[1].startswith("accuracy   1\n")
    code, _, err = run(capsys, "predict", "s.safetensors", "s.ts", "--decimal", ",")
    assert code == 2 and "--decimal means nothing for a SequenceModel" in err
    code, _, err = run(capsys, "predict", "s.safetensors", "s.ts", "s.ts")
    assert code == 2 and "a SequenceModel reads one file at a time" in err


def test_a_run_of_a_text_goes_on(here: Path, capsys: Any, monkeypatch: Any) -> None:
    from chainrule.cli.train_text import Samples

    Path("cat.txt").write_text(TEXT)
    small = ["--width", 8, "--model", "lstm", "--length", 8, "--batch-size", 4, "--epochs", 3]
    train = ["train", "cat.txt", *small, "--no-figure", "--out"]
    assert run(capsys, *train, "whole")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "on_epoch_end", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        code, out, err = run(capsys, *train, "part", "--checkpoint", "run")
    assert code == 130 and out.endswith("model part\n")
    assert "interrupted after 1 of 3 epochs: the best, epoch 1, is kept; --resume goes on" in err
    code, _, err = run(capsys, *train, "part", "--checkpoint", "run")
    assert code == 1 and "there is a run in it; go on with it by --resume" in err
    assert run(capsys, *train, "part", "--checkpoint", "run", "--resume")[0] == 0
    assert Path("part").read_bytes() == Path("whole").read_bytes()


def test_bad_input_is_an_error_in_one_line(here: Path, capsys: Any) -> None:
    write_images(here / "one", 8)
    for file in (here / "one" / "light").iterdir():
        file.unlink()
    (here / "one" / "light").rmdir()
    write_images(here / "broken", 8)
    (here / "broken" / "dark" / "0.png").write_text("no image")
    (here / "empty").mkdir()
    Path("short.txt").write_text("hi")
    Path("binary.txt").write_bytes(b"ab\0")
    Path("a.ts").write_text("no header")
    for arguments, said in (
        (["empty"], "empty: no folders of classes in it"),
        (["missing/"], "missing: no such file or folder"),
        (["one"], "one: all examples are of one class; "),
        (["broken"], "broken/dark/0.png: not a whole image (none of the formats that are read)"),
        (
            ["broken", "--augment", "spin"],
            "augment: 'spin' is unknown; there are shift, rotate",
        ),
        (["short.txt"], "short.txt has 2 tokens; a net that reads 64 at once needs at least 130"),
        (["binary.txt"], "binary.txt: byte 2 is 0, which no text has"),
        (["missing.txt"], "missing.txt: no such file"),
        (["a.ts"], "a.ts, line 1: a line of the header begins with @ or #"),
        (["short.txt", "--out", "no/m"], "--out no/m: the folder 'no' does not exist"),
        (["short.txt", "--out", "short.txt"], "--out short.txt: this is the file itself"),
    ):
        code, out, err = run(capsys, "train", *arguments)
        assert (code, out) == (1, "") and err.startswith(f"error: {said}"), (arguments, err)
        assert err.count("\n") == 1


def test_the_readme_lists_commands_that_there_are() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    listed = re.findall(r"^chainrule (\w+)", readme, re.MULTILINE)
    assert {"train", "sample"} <= set(listed) <= set(COMMANDS)
    for line in re.findall(r"^chainrule train (.*?)  ", readme, re.MULTILINE):
        kind, rest, file = _asked(line.split())
        command = importlib.import_module(f"chainrule.cli.train_{_kind(file or '', rest)}").command
        known = {name for option in command.params for name in option.opts}
        assert {word for word in rest if word.startswith("--")} <= known


def test_options_of_a_file(here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def fit(path: Path, **options: Any) -> None:
        given.update(options)
        raise DataError("enough is known")

    monkeypatch.setattr("chainrule.estimators.TextModel.fit", fit)
    Path("o.toml").write_text('model = "lstm"\nwidth = 4\npatience = 0\n')
    assert run(capsys, "train", "cat.txt", "--config", "o.toml", "--width", 5)[0] == 1
    assert (given["model"], given["width"], given["patience"]) == ("lstm", 5, None)
    Path("o.toml").write_text("wide = 4\n")
    code, _, err = run(capsys, "train", "cat.txt", "--config", "o.toml")
    assert code == 2 and "unknown option 'wide'" in err


# -- slow: real data, and a process that is killed -------------------------------------------------
@pytest.mark.slow
def test_trained_on_real_data(tmp_path: Path, capsys: Any) -> None:
    sets = DATA / "sequence_classification"
    if not sets.exists():
        pytest.skip(f"sequence_classification is not in {DATA}")
    model = tmp_path / "m"
    train = ["train", sets / "GunPoint_TRAIN.ts.gz", "--out", model, "--no-figure", "--epochs", 60]
    assert run(capsys, *train)[0] == 0
    out = run(capsys, "evaluate", model, sets / "GunPoint_TEST.ts.gz", "--json")[1]
    assert json.loads(out)["metrics"]["accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt", "lstm", "images"])
def test_a_run_that_is_killed_goes_on_to_the_same_file(kind: str, here: Path) -> None:
    """SIGKILL at three moments, then to the end: the file of a run that nobody disturbed."""
    command = [sys.executable, "-m", "chainrule", "train"]
    if kind == "images":
        write_images(here / "data", 400, 16)
        command += ["data", "--augment", "shift:2,flip,noise", "--epochs", "6"]
    else:
        source = DATA / "tinyshakespeare" / "input.txt"
        if not source.exists():
            pytest.skip(f"tinyshakespeare is not in {DATA}")
        Path("data").write_text(source.read_text()[:60_000])
        command += ["data", "--model", kind, "--width", "32", "--dropout", "0.1", "--epochs", "4"]
        command += ["--layers", "2", "--length", "32"]
    subprocess.run([*command, "--out", "whole"], check=True, capture_output=True)
    command += ["--out", "part", "--checkpoint", "run", "--resume"]
    kills = 0
    for wanted in (1, 2, 3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        seen: set[str] = set()
        while process.poll() is None and len(seen) < wanted:  # so many checkpoints of this process
            seen |= {p.name for p in Path("run").glob("checkpoint-*") if p.stat().st_size}
            time.sleep(0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills
    subprocess.run(command, check=True, capture_output=True)
    assert Path("part").read_bytes() == Path("whole").read_bytes()


@pytest.mark.slow
def test_digits_in_folders(here: Path, capsys: Any) -> None:
    """MNIST, written as pictures: a net of its own, and LeNet-5."""
    image = pytest.importorskip("PIL.Image")
    if not (DATA / "mnist").exists():
        pytest.skip(f"mnist is not in {DATA}")
    from chainrule.data import load_mnist

    for name, (x, y), count in zip(("train", "test"), load_mnist(DATA / "mnist"), (6000, 1000),
                                   strict=True):  # fmt: skip
        for i in range(count):
            (here / name / str(y[i])).mkdir(parents=True, exist_ok=True)
            image.fromarray(x[i]).save(here / name / str(y[i]) / f"{i}.png")
    for net, more, least in (
        ("conv", ["--augment", "shift"], 0.96), ("lenet5", ["--lr", 2e-3], 0.9),
    ):  # fmt: skip
        train = ["train", "train", "--model", net, "--epochs", 5, "--out", net, *more]
        assert run(capsys, *train)[0] == 0
        out = run(capsys, "evaluate", net, "test", "--json")[1]
        assert json.loads(out)["metrics"]["accuracy"] > least
