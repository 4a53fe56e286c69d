"""Workloads, and that every installed mode computes the same losses from the same weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.bench.modes.chainrule_mode import Compile, Trainer
from chainrule.bench.modes.named import WORKLOADS
from chainrule.bench.modes.numpy_mode import NumPy
from chainrule.bench.modes.worker import Worker, peak_memory
from chainrule.bench.modes.workload import Workload, custom

SMALL = [
    WORKLOADS["xor"],
    custom((7, 12, 5), 9),
    custom((6, 11, 8, 3), 4, "tanh", "momentum", "mse"),
    custom((5, 8, 1), 1, "relu", "sgd", "mse", "float64"),
]


@pytest.mark.parametrize("workload", SMALL, ids=lambda w: w.name)
def test_modes_agree(workload: Workload) -> None:
    want = NumPy(workload, 1).losses(6)
    assert want[-1] != want[0]
    tolerance = 2e-5 if workload.dtype == "float32" else 1e-10
    for kind in (Compile, Trainer):
        np.testing.assert_allclose(kind(workload, 1).losses(6), want, rtol=tolerance)


def test_numpy_gradients_are_those_of_finite_differences() -> None:
    workload = custom((3, 4, 2), 5, "tanh", "sgd", "ce", "float64")
    mode = NumPy(workload, 1)
    found: list[np.ndarray] = []
    mode.update = lambda gradients: found.extend(gradients)  # type: ignore[method-assign]
    x, y = mode.x[:5], mode.y[:5]
    mode.step(x, y)
    for p, g in zip(mode.p, list(found), strict=True):
        for at in np.ndindex(p.shape):
            before = p[at]
            p[at] = before + 1e-6
            high = mode.step(x, y)
            p[at] = before - 1e-6
            low = mode.step(x, y)
            p[at] = before
            assert abs((high - low) / 2e-6 - g[at]) < 1e-7


def test_arithmetic_of_a_step() -> None:
    assert WORKLOADS["mnist"].flops == 2 * 128 * (3 * (784 * 300 + 300 * 100 + 1000) - 784 * 300)
    assert custom((61, 203, 17), 37).rows == 37 * 221


def test_batches_cover_an_epoch_once_and_are_replayed_by_seed() -> None:
    w = custom((3, 2), 1000)
    order = w.epochs_of_batches(w.steps_an_epoch, 3)
    assert sorted(order.ravel()) == list(range(w.rows))
    np.testing.assert_array_equal(order, w.epochs_of_batches(w.steps_an_epoch, 3))
    assert (order != w.epochs_of_batches(w.steps_an_epoch, 4)).any()
    np.testing.assert_array_equal(w.batches_in_order(3)[1], np.arange(1000, 2000))


def test_a_worker_answers_requests() -> None:
    worker = Worker()
    workload = json.loads(json.dumps(vars(WORKLOADS["xor"])))
    assert (
        worker.answer({"do": "prepare", "mode": "numpy", "workload": workload, "threads": 1})[
            "granularity"
        ]
        == 1
    )
    first = worker.answer({"do": "first"})
    assert first["steps"] == 1 and first["seconds"] > 0 and first["loss"] > 0
    run = worker.answer({"do": "run", "seconds": 0.02})
    assert run["steps"] > 1 and run["seconds"] >= 0.02
    assert len(worker.answer({"do": "check", "steps": 3})["losses"]) == 3
    assert 1 << 20 < worker.answer({"do": "memory"})["peak_bytes"] == peak_memory()


def test_sklearn_trains_whole_epochs() -> None:
    pytest.importorskip("sklearn")
    from chainrule.bench.modes.sklearn_mode import ScikitLearn

    for workload in (custom((4, 5, 3), 256), custom((4, 5, 1), 256, loss="mse")):
        mode = ScikitLearn(workload, 1)
        first = mode.steps(mode.granularity)
        assert mode.steps(8 * mode.granularity) < first
