"""train: Ctrl-C keeps the model, runs go on from checkpoints, places are looked at first."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.errors import WriteError
from chainrule.train import Callback


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    lines = [f"{a:.4f},{b:.4f},{2 * a + b:.4f}" for a, b in x]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


TRAIN = ["train", "t.csv", "--target", "y", "--hidden", "8", "--epochs", "30", "--no-figure"]


def press_in(monkeypatch: pytest.MonkeyPatch, epoch: int, times: int = 1) -> None:
    class Press(Callback):
        def on_epoch_end(self, trainer: Any, now: int, logs: Any) -> None:
            for _ in range(times if now == epoch else 0):
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("chainrule.cli.training.Callback", Press)


def run(capsys: Any, *more: str) -> tuple[int, str, list[str]]:
    code = main([*TRAIN, *more])
    out, err = capsys.readouterr()
    return code, out, [line for line in err.splitlines() if not line.startswith("epoch ")]


def test_ctrl_c_writes_the_model_and_says_which(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_in(monkeypatch, 4)
    code, out, err = run(capsys, "--patience", "0", "--figure")
    assert (code, err) == (130, ["interrupted after 5 of 30 epochs: what was learned is kept"])
    assert out.splitlines()[-2:] == ["model t.safetensors", "figure t.png"]
    assert main(["predict", "t.safetensors", "t.csv"]) == 0
    capsys.readouterr()
    code, out, err = run(capsys, "--json")
    found = json.loads(out)
    assert (code, found["stopped"], found["epochs_run"]) == (130, "interrupted", 5)
    assert err == ["interrupted after 5 of 30 epochs: the best, epoch 5, is kept"]


def test_a_second_ctrl_c_leaves_the_folder_as_it_was(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "t.safetensors").write_text("the model before")
    press_in(monkeypatch, 4, times=2)
    code, out, err = run(capsys)
    assert (code, out, err[-1]) == (130, "", "interrupted")
    assert (here / "t.safetensors").read_text() == "the model before"
    assert sorted(p.name for p in here.iterdir()) == ["t.csv", "t.safetensors"]


def test_a_run_is_gone_on_with_to_the_same_file(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "--out", "whole.safetensors")[0] == 0
    with monkeypatch.context() as patch:
        press_in(patch, 11)
        code, _, err = run(capsys, "--checkpoint", "run")
    assert code == 130 and err[-1].endswith("is kept; --resume goes on")
    code, out, err = run(capsys, "--checkpoint", "run")
    assert (code, out) == (1, "") and err == [
        "error: --checkpoint run: there is a run in it; go on with it by --resume, or name another "
        "folder"
    ]
    for _ in range(2):  # the second time it is over
        assert run(capsys, "--checkpoint", "run", "--resume")[0] == 0
        assert Path("t.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    code, _, err = run(capsys, "--checkpoint", "run", "--resume", "--lr", "0.5")
    assert code == 1 and "the checkpoint in run is of another run (" in err[0]
    assert "lr differ: [0.001, 0.001] there, [0.5, 0.5] here" in err[0]


def test_resume_needs_a_folder_and_says_if_it_is_new(here: Path, capsys: Any) -> None:
    code, _, err = run(capsys, "--resume")
    assert code == 2 and err[-1] == "Error: --resume: name the folder too: --checkpoint DIR"
    code, _, err = run(capsys, "--resume", "--checkpoint", "new")
    assert code == 0 and err[0] == "note: no run in new yet: this is a new one"


def test_places_are_looked_at_before_the_table_is_read(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr("chainrule.cli.train_table.TableModel.fit", refuse)
    (here / "t.png").mkdir()
    (here / "file").touch()
    for more, said in (
        (["--out", "no/m"], "--out no/m: the folder 'no' does not exist"),
        (["--figure"], "t.png cannot be written: it is a folder"),
        (["--checkpoint", "file/run"], "checkpoint: cannot make the folder file/run: "),
    ):
        code, _, err = run(capsys, *more)
        assert code == 1 and err[0].startswith(f"error: {said}")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", full)
    code, _, err = run(capsys)
    assert (code, err) == (1, ["error: t.safetensors cannot be written: Read-only file system"])


def test_a_figure_that_cannot_be_written_takes_nothing_with_it(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plot(*_: Any) -> None:
        raise WriteError("t.png cannot be written: No space left on device")

    monkeypatch.setattr("chainrule.estimators.TableModel.draw", plot)
    code, out, err = run(capsys, "--figure")
    assert code == 0 and out.splitlines()[-1] == "model t.safetensors"
    note = "note: no figure: t.png cannot be written: No space left on device"
    assert note in err
