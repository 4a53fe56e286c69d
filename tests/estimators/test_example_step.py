"""A model of a file can be explained: it makes a Trainer like its own, and rows of its shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.cli import main
from chainrule.estimators import ImageModel, SequenceModel, TableModel, TextModel

RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
TABLE = {"a": RNG.normal(size=40), "b": RNG.normal(size=40), "c": Y, "d": Y * 2.5 + 1.0}
CLASSES = np.array(["dark", "light"])[Y]
MODELS: dict[str, Callable[[], Any]] = {
    "table of classes": lambda: TableModel.fit(
        TABLE, "c", hidden=(4,), epochs=2, optimizer="sgd", lr=0.03, batch_size=8
    ),
    "table of numbers": lambda: TableModel.fit(TABLE, ["a", "d"], hidden=(4,), epochs=2),
    "counts": lambda: TableModel.fit(TABLE, "c", task="regression", loss="poisson", epochs=1),
    "images": lambda: ImageModel.fit(
        RNG.integers(0, 255, (40, 8, 8), np.uint8), CLASSES, model="linear", epochs=1
    ),
    "sequences of classes": lambda: SequenceModel.fit(
        [RNG.normal(size=(9, 2))] * 40, CLASSES, model="gru", width=4, epochs=1
    ),
    "sequences of values": lambda: SequenceModel.fit(
        [RNG.normal(size=9)] * 40, TABLE["d"], width=4, layers=1, epochs=1
    ),
    "text": lambda: TextModel.fit("the cat sat. " * 60, model="lstm", width=2, length=2, epochs=1),
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kind", MODELS)
def test_a_loaded_model_makes_a_step_like_those_it_was_trained_by(kind: str, tmp_path: Any) -> None:
    made = MODELS[kind]()
    model = type(made).load(made.save(tmp_path / "model"))
    trainer, x, y = model.example_step()
    assert len(y) == model.training["batch_size"]
    assert type(trainer.optimizer).__name__.lower() == model.training["optimizer"]
    found = trainer.evaluate(x, y)
    assert found.keys() & {"accuracy", "mae"} or kind == "text"
    assert np.isfinite(found["loss"])
    before = {k: np.array(v.numpy()) for k, v in trainer.model.named_parameters()}
    trainer.fit(x, y, epochs=1, batch_size=len(y), progress=False, diagnose=False)
    after = trainer.model.named_parameters()
    assert any((v.numpy() != before[k]).any() for k, v in after)


def test_explain_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = MODELS["table of classes"]().save(tmp_path / "model")
    capsys.readouterr()
    assert main(["explain", str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["name"] == str(path) and found["microseconds"] > 0
    assert any("_2" in k["loops"] or "contract" in k["loops"] for k in found["kernels"])
