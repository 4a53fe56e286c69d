"""chainrule reproduce."""

from __future__ import annotations

import json

import pytest

from chainrule.cli import main
from chainrule.experiments import EXPERIMENTS


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list", "--json"]) == 0
    names = [e["name"] for e in json.loads(capsys.readouterr().out)]
    wanted = "perceptron xor parity encoder symmetry addition negation t-c family-trees".split()
    assert set(wanted) <= set(names)
    assert main(["reproduce", "--list"]) == 0
    assert "Mirror symmetry" in capsys.readouterr().out


def test_one_experiment(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "figures"
    assert main(["reproduce", "intermediate-values", "--seeds", "4", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "pass   2-1-4-4, ε 0.25, α 0.9: 4 of 4 seeds" in captured.out
    assert "reported: 0, 0.2, 0.6, 1" in captured.out
    assert "wrote" in captured.err and (out / "intermediate-values.png").exists()


def test_all_leaves_out_what_has_no_data(
    capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {n: EXPERIMENTS[n] for n in ("lenet", "intermediate-values")}
    monkeypatch.setattr("chainrule.cli.reproduce.EXPERIMENTS", there)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "all", "--seeds", "4"]) == 0
    captured = capsys.readouterr()
    assert "lenet is left out: no MNIST; `chainrule reproduce lenet` says more" in captured.err
    assert "pass   2-1-4-4" in captured.out
    assert main(["reproduce", "lenet"]) != 0
    assert "MNIST: train-images-idx3-ubyte.gz is in none of" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "intermediate-values", "--seeds", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["passed"] and result["measurements"][0]["numbers"]["seeds"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce"], "which experiment?"),
        (["reproduce", "zor"], "no experiment 'zor'"),
        (["reproduce", "xor", "--seeds", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
