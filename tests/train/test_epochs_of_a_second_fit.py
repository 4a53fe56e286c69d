"""A second fit takes the native epochs of the first: to the bits of epochs that are made anew."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all rows at once": {"batch_size": 40},
    "measured": {"metrics": ["accuracy"], "validation_split": 0.25},
    "stopped": {"validation_split": 0.25, "early_stopping": 4},
    "as they are": {"shuffle": False, "sample_weight": np.linspace(0.5, 2, 40)},
}


def data(seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    return x, (x.sum(1) > 0).astype(np.int64)


def trainer(**options: Any) -> cr.Trainer:
    cr.manual_seed(3)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.1), nn.Linear(5, 2))
    adam = optim.Adam(net.parameters(), lr=0.05)
    if options.pop("scheduled", False):
        options["scheduler"] = optim.lr_scheduler.ExponentialLR(adam, 0.9)
    return cr.Trainer(net, "cross_entropy", adam, **options)


def fit(own: cr.Trainer, seed: int = 0, **options: Any) -> None:
    x, y = data(seed)
    own.fit(x, y, **({"epochs": 30, "batch_size": 8, "progress": False} | options))


def numbers(own: cr.Trainer) -> list[np.ndarray]:
    found = [np.array(own.history[name]) for name in own.history]
    return found + [p.numpy().copy() for p in own.model.parameters()]


def assert_same(one: cr.Trainer, other: cr.Trainer) -> None:
    assert one.history.keys() == other.history.keys()
    for a, b in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_as_epochs_made_anew(way: str) -> None:
    scheduled = way == "measured"

    def run(keep: bool) -> cr.Trainer:
        own, seen = trainer(scheduled=scheduled), set()
        for seed in range(3):
            fit(own, seed, **WAYS[way])
            seen.add(own._steps.epochs)
            own._steps.epochs = own._steps.epochs if keep else None
        assert len(seen) == (1 if keep or seen == {None} else 3)
        return own

    assert_same(run(True), run(False))


def test_another_kind_of_fit_makes_its_own() -> None:
    def run(keep: bool) -> cr.Trainer:
        own, kinds = trainer(), ({}, {"validation_split": 0.25}, {"early_stopping": 9}, {})
        for options in kinds:
            fit(own, **options)
            own._steps.epochs = own._steps.epochs if keep else None
        own.scheduler = optim.lr_scheduler.StepLR(own.optimizer, 2)
        fit(own)
        own.model[0].weight.assign(cr.ones(5, 3))
        own.scheduler = None
        own.optimizer.param_groups[0]["lr"] = 0.01
        fit(own)
        return own

    assert_same(run(True), run(False))


def test_an_old_expression_keeps_its_numbers() -> None:
    own = trainer()
    fit(own)
    bias = own.model[0].bias
    before, twice = bias.numpy().copy(), 2 * bias
    fit(own, 1)
    np.testing.assert_array_equal(twice.numpy(), 2 * before)
    assert (bias.numpy() != before).any()


def test_the_data_are_not_kept_alive() -> None:
    def fits(own: cr.Trainer) -> Any:
        x, y = data(0)
        for _ in range(2):
            own.fit(x, y, 30, 8, progress=False, validation_data=(x, y))
        return weakref.ref(x)

    own = trainer()
    seen = fits(own)
    assert own._steps.epochs is not None
    gc.collect()
    assert seen() is None


def test_after_a_fit_that_failed() -> None:
    def fail(trainer: Any, epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise ZeroDivisionError

    def run(keep: bool) -> cr.Trainer:
        own = trainer()
        fit(own)
        with pytest.raises(ZeroDivisionError):
            fit(own, callbacks=[fail])
        own._steps.epochs = own._steps.epochs if keep else None
        fit(own, 1)
        return own

    assert_same(run(True), run(False))
