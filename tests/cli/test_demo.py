"""chainrule demo: learns both tasks, writes its figures and nets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from chainrule.cli.demo import digit_panels, train_xor
from chainrule.cli.main import main
from chainrule.data import load_digits


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["demo", "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["nets"]["xor"]["accuracy"] == 1.0
    assert found["nets"]["digits"]["accuracy"] > 0.94
    assert "epoch 40/40" in captured.err
    for name in found["files"]:
        assert (tmp_path / "out" / name).stat().st_size > 200
    assert {f[-4:] for f in found["files"]} == {".png", "sors"}
    held = load_file(tmp_path / "out" / "digits.safetensors")
    assert held["0.weight"].shape == (30, 64)
    x, y = load_digits()
    hidden = np.tanh(x / 16 @ held["0.weight"].T + held["0.bias"])
    assert ((hidden @ held["2.weight"].T + held["2.bias"]).argmax(1) == y).mean() > 0.94


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_demo_without_matplotlib_keeps_the_nets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["demo", "--out", str(tmp_path), "--epochs", "20"]) == 0
    captured = capsys.readouterr()
    said = "no figure: figures need matplotlib: pip install 'chainrule[figures]'"
    assert said in " ".join(captured.err.split())
    assert "digits.safetensors, xor.safetensors" in captured.out and ".png" not in captured.out
    assert sorted(f.name for f in tmp_path.iterdir()) == ["digits.safetensors", "xor.safetensors"]


def test_a_demo_that_did_not_learn_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["demo", "--out", str(tmp_path), "--epochs", "1"]) == 1
    assert "held-out digits" in capsys.readouterr().out


def test_xor_is_learned_from_other_seeds() -> None:
    for seed in (20, 40):
        assert train_xor(seed).accuracy == 1.0


def test_panels_hold_both_kinds_of_weights() -> None:
    class Layer:
        def __init__(self, weight: np.ndarray) -> None:
            self.weight = type("W", (), {"numpy": lambda self: weight})()

    incoming, outgoing = np.arange(128.0).reshape(2, 64), np.ones((10, 2))
    first, second = digit_panels([Layer(incoming), None, Layer(outgoing)])
    np.testing.assert_array_equal(second[:8, 1:9], incoming[1].reshape(8, 8))
    np.testing.assert_array_equal(first[9], 127.0)
    assert not first[8].any()
