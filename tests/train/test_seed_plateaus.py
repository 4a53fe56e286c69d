"""`ReduceLROnPlateau` for many seeds: each as its own schedule would be, in runs of many epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim.lr_scheduler import ReduceLROnPlateau
from chainrule.train.seeds import epochs as native
from chainrule.train.seeds.plateaus import Plateaus

SEEDS = 12


def schedule(**options: Any) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(optim.SGD([nn.Parameter(cr.ones(1))], lr=1.0), **options)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("patience, cooldown, threshold", [(0, 0, 0.0), (2, 3, 0.1)])
def test_counts_are_those_of_each_alone(
    mode: str, threshold_mode: str, patience: int, cooldown: int, threshold: float
) -> None:
    how = {"mode": mode, "threshold_mode": threshold_mode, "threshold": threshold}
    how |= {"patience": patience, "cooldown": cooldown, "factor": 0.9, "eps": 0.0}
    alone = [schedule(**how) for _ in range(SEEDS)]
    together = Plateaus(schedule(**how), [s.state_dict() for s in alone])
    rng = np.random.default_rng(patience)
    metrics = rng.normal(size=(40, SEEDS)).round(1)
    metrics[rng.random(metrics.shape) < 0.1] = rng.choice([np.inf, -np.inf, np.nan])
    for values in metrics:
        quiet = together.foreseen() > 1
        before = [s.get_last_lr() for s in alone]
        falls = together.look(values)
        for own, value in zip(alone, values, strict=True):
            own.step(value)
        after = [s.get_last_lr() for s in alone]
        assert [a != b for a, b in zip(before, after, strict=True)] == falls.tolist()
        assert not (quiet and falls.any())
        for seed, own in enumerate(alone):
            state = own.state_dict()
            held = dict.fromkeys(state)
            together.write(held, seed)
            assert {k: v for k, v in held.items() if v is not None} == {
                k: state[k] for k in ("best", "last_epoch", "num_bad_epochs", "cooldown_counter")
            }


def test_epochs_without_a_change_run_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a rate falls in the epoch in which it does for one net."""
    counts: list[int] = []
    run = native.SeedEpochs.run

    def counted(self: Any, count: int, *rest: Any) -> Any:
        counts.append(count)
        return run(self, count, *rest)

    monkeypatch.setattr(native.SeedEpochs, "run", counted)
    x, y = np.split(np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32), [3], 1)

    def made(**options: Any) -> Any:
        return cr.Trainer(
            lambda: nn.Linear(3, 1),
            "mse",
            lambda p: optim.SGD(p, lr=0.1),
            lambda o: ReduceLROnPlateau(o, patience=4, threshold=0.3, factor=0.5),
            **options,
        )

    trainer = made(seeds=3)
    for _ in range(2):
        trainer.fit(x, y, epochs=30, batch_size=20, progress=False)
    assert max(counts) == 5
    for seed in range(3):
        cr.manual_seed(seed)
        net = nn.Linear(3, 1)
        sgd = optim.SGD(net.parameters(), lr=0.1)
        plateau = ReduceLROnPlateau(sgd, patience=4, threshold=0.3, factor=0.5)
        lone = cr.Trainer(net, "mse", sgd, plateau, seed=seed)
        for _ in range(2):
            lone.fit(x, y, epochs=30, batch_size=20, progress=False)
        own = trainer.history.of(seed)
        assert own["lr"] == lone.history["lr"] and len(set(own["lr"])) > 2
        np.testing.assert_allclose(own["loss"], lone.history["loss"], rtol=1e-5)
