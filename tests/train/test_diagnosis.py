"""Learning rate search and diagnosis: what they find, and that they leave no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype("float32")
T = (X @ RNG.normal(size=(6, 1))).astype("float32")


def trainer_of(*layers: nn.Module, lr: float = 0.01) -> cr.Trainer:
    model = nn.Sequential(*layers)
    return cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9))


def everything(trainer: cr.Trainer) -> list[bytes]:
    state = [t.numpy().tobytes() for t in trainer.model_tensors().values()]
    state += [
        t.numpy().tobytes() for entry in trainer.optimizer.state.values() for t in entry.values()
    ]
    counter = cr.default_generator.counter.numpy().tobytes()
    return [*state, counter, str(trainer.optimizer.param_groups[0]["lr"]).encode()]


def kinds(found: Any) -> set[str]:
    return {f.kind for f in found.findings}


def test_the_suggested_learning_rate_trains_and_nothing_is_changed(tmp_path: Path) -> None:
    cr.manual_seed(0)
    trainer = trainer_of(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1))
    before = everything(trainer)
    search = trainer.find_lr(X, T, batch_size=20, stop=100.0)
    assert everything(trainer) == before
    assert 1e-4 < search.suggestion < 1 and len(search.lrs) < 100  # it ends where the loss grows
    assert "<-" in search.table() and search.to_dict()["suggestion"] == search.suggestion
    trainer.optimizer.param_groups[0]["lr"] = search.suggestion
    losses = trainer.fit(X, T, epochs=10, batch_size=20)["loss"]
    assert losses[-1] < 0.2 * losses[0]
    pytest.importorskip("matplotlib")
    assert search.plot(tmp_path / "lr.png").stat().st_size > 1000
    with pytest.raises(OptionError, match="find_lr: start must be below stop, got 1 and 0.1"):
        trainer.find_lr(X, T, start=1.0, stop=0.1)


def test_a_healthy_net_has_no_findings_and_is_not_changed() -> None:
    cr.manual_seed(0)
    trainer = trainer_of(
        nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.1), nn.BatchNorm1d(16), nn.Linear(16, 1)
    )
    trainer.fit(X, T, epochs=1, batch_size=20)
    before = everything(trainer)
    found = trainer.diagnose(X, T)
    assert everything(trainer) == before and all(p.grad is None for p in trainer.model.parameters())
    assert not found.findings and found.rows == 200
    assert [x.name for x in found.layers][:2] == [
        "0.weight",
        "0.bias",
    ] and "nothing unusual" in str(found)


def test_dead_and_saturated_units_are_named() -> None:
    cr.manual_seed(0)
    trainer = trainer_of(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Sigmoid(), nn.Linear(8, 1)
    )
    first, second = trainer.model[0], trainer.model[2]
    first.bias.assign(np.where(np.arange(16) < 5, -100.0, 0.0).astype("float32"))
    second.bias.assign(np.full(8, 30.0, "float32"))
    found = trainer.diagnose(X, T)
    assert {"dead", "saturated"} <= kinds(found)
    dead = next(f for f in found.findings if f.kind == "dead")
    assert dead.where.startswith("ReLU") and "`model[1]` (test_diagnosis.py:" in dead.where
    assert dead.what == "5 of 16 units give 0 for every row, so they do not learn"
    saturated = next(f for f in found.findings if f.kind == "saturated")
    assert saturated.what == "8 of 8 units are at 0 or 1 for nearly every row"


def test_vanishing_and_exploding_gradients_and_updates_are_named() -> None:
    cr.manual_seed(0)
    deep = [m for _ in range(12) for m in (nn.Linear(6, 6), nn.Sigmoid())]
    trainer = trainer_of(*deep, nn.Linear(6, 1))
    found = trainer.diagnose(X, T)
    assert "vanishing" in kinds(found)
    assert next(f for f in found.findings if f.kind == "vanishing").where == "`0.weight`"
    wild = trainer_of(nn.Linear(6, 8), nn.Linear(8, 1), lr=1.0)
    assert {"exploding", "large update"} <= kinds(wild.diagnose(X * 1e3, T * 1e3))
    timid = trainer_of(nn.Linear(6, 1), lr=1e-9)
    assert kinds(timid.diagnose(X, T)) == {"small update"}
