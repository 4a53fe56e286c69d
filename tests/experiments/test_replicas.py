"""Training all seeds at once is training each of them by the rule of 1986."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.experiments.base import Lab, Report
from chainrule.experiments.networks import initial_weights, layered
from chainrule.experiments.replicas import Replicas, Runs, within

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])
NET = layered(2, 2, 1)


def by_hand(seed: int, sweeps: int, eps: float, alpha: float, shrink: float, d: np.ndarray) -> dict:
    """Back-propagation for one 2-2-1 net, written out."""
    w = {k: v[seed].copy() for k, v in initial_weights(NET, seed + 1, 0.5, "float64").items()}
    change = {k: np.zeros_like(v) for k, v in w.items()}
    for _ in range(sweeps):
        h = 1 / (1 + np.exp(-(INPUTS @ w["W1"] + w["b1"])))
        y = 1 / (1 + np.exp(-(h @ w["W2"] + w["b2"])))
        to_output = (y - d) * y * (1 - y)
        to_hidden = to_output @ w["W2"].T * h * (1 - h)
        gradient = {
            "W1": INPUTS.T @ to_hidden,
            "b1": to_hidden.sum(0),
            "W2": h.T @ to_output,
            "b2": to_output.sum(0),
        }
        for k in w:
            change[k] = -eps * gradient[k] + alpha * change[k]
            w[k] = (w[k] + change[k]) * (1 - shrink)
    return w


@pytest.mark.parametrize("shrink", [0.0, 0.01])
def test_the_rule_of_1986(shrink: float) -> None:
    nets = Replicas(NET, INPUTS, TARGETS, seeds=5, init=0.5, dtype="float64")
    nets.train(100, 0.5, 0.9, shrink=shrink)
    runs = nets.runs()
    assert not runs.solved.any() and (runs.sweeps == 100).all()
    for seed in range(5):
        wanted = by_hand(seed, 100, 0.5, 0.9, shrink, TARGETS)
        for k, w in wanted.items():
            np.testing.assert_allclose(runs.weights[k][seed], w, rtol=1e-9, atol=1e-12)


def test_every_seed_with_cases_of_its_own() -> None:
    inputs = np.stack([INPUTS] * 3)
    targets = np.stack([TARGETS, 1 - TARGETS, INPUTS[:, :1]])
    nets = Replicas(NET, inputs, targets, seeds=3, init=0.5, own_cases=True, dtype="float64")
    nets.train(30, 0.5, 0.9)
    for seed in range(3):
        wanted = by_hand(seed, 30, 0.5, 0.9, 0.0, targets[seed])
        np.testing.assert_allclose(nets.runs().weights["W1"][seed], wanted["W1"], rtol=1e-9)


def train(seeds: int = 12, sweeps: int = 1000, **options) -> Runs:
    nets = Replicas(NET, INPUTS, TARGETS, seeds=seeds, init=0.5, **options)
    nets.train(sweeps, 0.5, 0.9)
    return nets.runs()


def test_solved_at_the_first_sweep_within_0_4_and_frozen_there() -> None:
    runs = train()
    assert runs.solved.sum() >= 9
    distance = np.abs(runs.outputs() - TARGETS).max((1, 2))
    np.testing.assert_array_equal(distance < 0.4, runs.solved)
    seed = int(np.flatnonzero(runs.solved)[0])
    # One sweep fewer and it is not solved yet.
    before = train(sweeps=int(runs.sweeps[seed]) - 1)
    assert not before.solved[seed]
    after = train(sweeps=int(runs.sweeps[seed]))
    assert after.solved[seed] and after.sweeps[seed] == runs.sweeps[seed]
    np.testing.assert_array_equal(after.weights["W1"][seed], runs.weights["W1"][seed])


def test_without_freezing_training_goes_on() -> None:
    frozen, free = train(), train(freeze=False)
    solved = frozen.solved
    np.testing.assert_array_equal(frozen.sweeps[solved], free.sweeps[solved])
    assert np.abs(free.outputs() - TARGETS).max((1, 2))[solved].max() < 0.2


def test_the_same_bits_again() -> None:
    one, two = train(), train()
    for k in one.weights:
        np.testing.assert_array_equal(one.weights[k], two.weights[k])


def test_interpreted_and_compiled_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = train(seeds=4, sweeps=300, dtype="float64")
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    interpreted = train(seeds=4, sweeps=300, dtype="float64")
    np.testing.assert_array_equal(compiled.sweeps, interpreted.sweeps)
    for k in compiled.weights:
        np.testing.assert_allclose(compiled.weights[k], interpreted.weights[k], rtol=1e-6)


def test_another_criterion() -> None:
    near, nearer = train(), train(solved=within(0.1))
    both = near.solved & nearer.solved
    assert both.any() and (nearer.sweeps[both] > near.sweeps[both]).all()


def test_statistics_keep_failed_seeds() -> None:
    w = {"W1": np.zeros((4, 1))}
    runs = Runs(
        NET,
        INPUTS,
        TARGETS,
        False,
        w,
        np.array([True, True, False, True]),
        np.array([10, 30, 500, 400]),
        0.0,
    )
    s = runs.statistics()
    assert (s.seeds, s.solved, s.median) == (4, 3, 30)
    assert runs.statistics(limit=100).solved == 2
    assert str(runs.statistics(limit=5)) == "0 of 4 seeds"
    report = Report()
    report.add_solved("net", runs, 400, share=0.75)
    report.add_solved("net", runs, 399, share=0.75)
    assert [m.passed for m in report.measurements] == [True, False]
    assert report.measurements[0].criterion == "at least 3 of 4 in 400 sweeps"


def test_error_and_gradient() -> None:
    runs = train(seeds=3, sweeps=20, dtype="float64")
    error, norm = runs.error_and_gradient()
    np.testing.assert_allclose(
        error, 0.5 * ((runs.outputs() - TARGETS) ** 2).sum((1, 2)), rtol=1e-9
    )
    assert (norm > 0).all()


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int, int, int]] = []
    Lab(seeds=3, watch=lambda *a: told.append(a), sweeps=50).train(
        "xor", NET, INPUTS, TARGETS, seeds=100, eps=0.5, alpha=0.9, init=0.5, sweeps=5000
    )
    assert told[-1] == ("xor", 50, 50, 0, 3)
    assert [t[1] for t in told] == sorted({t[1] for t in told})
