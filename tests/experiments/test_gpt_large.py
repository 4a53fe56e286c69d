"""The GPT of ten million weights, in little: what it keeps, and what is said of it on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import TextCorpus
from chainrule.experiments import EXPERIMENTS, gpt_large, reproduce
from chainrule.experiments.base import Lab, Report, run_experiment
from chainrule.models import GPT

PLAY = TextCorpus("First Citizen:\nBefore we proceed any further, hear me speak. " * 40)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPT of 8 units that reads 16 characters, and losses of another library that are wrong."""
    for name, value in {"LENGTH": 16, "WIDTH": 8, "HEADS": 2, "LAYERS": 1, "BATCH": 4}.items():
        monkeypatch.setattr(gpt_large, name, value)
    monkeypatch.setattr(gpt_large, "UPDATES", 40)
    monkeypatch.setattr(gpt_large, "load_tiny_shakespeare", lambda: PLAY)
    theirs = {"torch": "0", "losses with dropout": [9.0] * 7, "losses without dropout": [9.0] * 7}
    monkeypatch.setattr(gpt_large, "THEIRS", tmp_path / "theirs.json")
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))


def weights(reader: gpt_large.Reader) -> list[np.ndarray]:
    return [p.numpy().copy() for p in reader.model.parameters()]


@pytest.mark.usefixtures("small")
def test_a_run_in_parts_has_the_same_bits(tmp_path: Path) -> None:
    straight = gpt_large.reader_of(0.2)
    course = gpt_large.learn(Lab(), "", straight, 15, 1, None)
    parts = []
    for minutes in (1e-9, 1e-9, None):
        cr.manual_seed(7)  # whatever was drawn before
        reader = gpt_large.reader_of(0.2)
        parts.append(gpt_large.learn(Lab(minutes=minutes), "", reader, 15, 1, tmp_path))
    assert [p.updates for p in parts] == [5, 10, 15]
    assert parts[-1].losses == course.losses
    assert all((a == b).all() for a, b in zip(weights(reader), weights(straight), strict=True))
    assert [n for n, _ in parts[-1].validated] == [0, 15]
    with pytest.raises(cr.errors.CheckpointError, match="no state of a training of 16 updates"):
        gpt_large.learn(Lab(), "", gpt_large.reader_of(0.2), 16, 1, tmp_path)


@pytest.mark.usefixtures("small")
def test_what_is_reached_is_said_only_of_what_was_run(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    told: list[int] = []
    result = run_experiment(
        EXPERIMENTS["gpt-large"], None, lambda *a: told.append(a[1]), None, True, tmp_path, 1e-9
    )
    start, beside, best, _ = result.measurements
    assert start.passed and beside.passed is False and told == [5]
    assert best.passed is None and "5 of 40 updates" in best.system and "12 %" in best.measured
    spent = json.loads((tmp_path / "gpt-large-full-time.json").read_text())
    again = run_experiment(EXPERIMENTS["gpt-large"], None, None, None, True, tmp_path)
    assert again.seconds > spent[0] and again.processor_seconds > spent[1]
    assert again.measurements[2].passed is False and len(told) == 1
    canvas = figure.Figure(layout="constrained")
    result.drawings["gpt-large"](canvas)
    assert len(canvas.axes) == 2


def test_a_criterion_is_met_where_it_is() -> None:
    report = Report()
    course = gpt_large.Course([2.0] * 25, [(0, 4.1), (20, 1.49)])
    net = GPT(3, 4, 4, heads=1, layers=1)
    reader = type("R", (), {"model": net, "sample": lambda self, n: "to be"})()
    gpt_large.reached(report, course, reader)
    assert report.measurements[0].passed and "after 20 updates" in report.measurements[0].measured


def test_minutes_are_positive() -> None:
    with pytest.raises(cr.errors.OptionError, match="minutes is a number above 0"):
        reproduce("xor", minutes=0)


@pytest.mark.slow
@pytest.mark.skipif("CHAINRULE_DATA" not in os.environ, reason="needs the text")
def test_the_first_losses_are_pytorchs() -> None:
    result = reproduce("gpt-large")
    assert result.passed, str(result)
