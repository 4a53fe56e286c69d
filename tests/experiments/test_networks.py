"""Nets of the experiments: sizes, gradients, what a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.experiments import (
    family_trees,
    iterative_nets,
    sequence_completion,
    symmetry,
    t_c,
    xor,
)
from chainrule.experiments.networks import (
    Net,
    hidden_activities,
    initial_weights,
    layered,
    random_numbers,
    random_orders,
)
from chainrule.experiments.replicas import outputs, squared_error
from chainrule.experiments.shift_register import register

PARAMETERS = [
    (xor.ONE_HIDDEN, 7),
    (xor.TWO_HIDDEN, 9),
    (symmetry.NET, 17),
    (family_trees.NET, 630),
    (t_c.NET, 12),
    (layered(4, 4, 1), 25),
    (layered(8, 3, 8), 59),
    (layered(2, 1, 4, 4), 31),
    (layered(4, 3, 3, shortcuts=True), 39),
    (layered(4, 3, 3, shortcuts=True, cascade=True), 42),
    (register(3), 12),
    (register(5), 30),
    (sequence_completion.NET, 1173),
    (iterative_nets.REMEMBER, 24),
]


@pytest.mark.parametrize(("net", "count"), PARAMETERS, ids=str)
def test_parameter_counts(net: Net, count: int) -> None:
    assert net.parameters == count
    assert sum(w[0].size for w in initial_weights(net, 2, 0.5).values()) == count


def cases_of(net: Net) -> tuple[np.ndarray, np.ndarray]:
    if net is family_trees.NET:
        x, d = family_trees.cases()
        return x[::13], d[::13]
    if net is t_c.NET:
        return t_c.centred(7), t_c.TARGETS
    if net is sequence_completion.NET:
        x, d = sequence_completion.cases(sequence_completion.TRAIN)
        return x[::5], d[::5]
    rng = np.random.default_rng(0)
    first = next(iter(net.shapes.values()))
    inputs = iterative_nets.STEPS if net is iterative_nets.REMEMBER else first[0]
    x = rng.integers(0, 2, (5, inputs)).astype(float)
    y = outputs(net, initial_weights(net, 1, 1.0, "float64"), x)[0]
    return x, rng.integers(0, 2, y.shape).astype(float)


@pytest.mark.parametrize("net", [net for net, _ in PARAMETERS], ids=str)
def test_gradients_at_three_random_points(net: Net) -> None:
    """Every weight, shared ones too: 1e-6 against central differences in float64."""
    x, d = (cr.tensor(a) for a in cases_of(net))
    points = initial_weights(net, 3, 1.0, "float64")
    large = net.parameters > 200
    for k in range(1 if large else 3):
        weights = {name: cr.tensor(w[k]) for name, w in points.items()}
        cr.check_grads(
            lambda w: squared_error(net.forward(w, x), d),
            [weights],
            rtol=1e-6,
            **({"directions": 6} if large else {}),
        )


def test_layers_compute_what_they_should() -> None:
    """Shortcuts and cascade against loops over single units."""
    net = layered(3, 2, 2, shortcuts=True, cascade=True)
    w = {k: v[0] for k, v in initial_weights(net, 1, 2.0, "float64").items()}
    x = np.array([[0.0, 1.0, 1.0], [1.0, 0.5, 0.0]])

    def logistic(v):
        return 1 / (1 + np.exp(-v))

    for case, y in zip(x, outputs(net, {k: v[None] for k, v in w.items()}, x)[0], strict=True):
        h1 = logistic(case @ w["W1"][:, 0] + w["b1"][0])
        h2 = logistic(case @ w["W1"][:, 1] + w["b1"][1] + w["C"][0] * h1)
        wanted = logistic(np.array([h1, h2]) @ w["W2"] + case @ w["S"] + w["b2"])
        np.testing.assert_allclose(y, wanted, rtol=1e-12)


def test_hidden_activities_are_those_of_the_forward_pass() -> None:
    net = layered(3, 2, 1)
    weights = initial_weights(net, 4, 1.0, "float64")
    x = np.eye(3)
    h = hidden_activities(weights, x)
    y = 1 / (1 + np.exp(-(np.einsum("rph,rhm->rpm", h, weights["W2"]) + weights["b2"][:, None])))
    np.testing.assert_allclose(y, outputs(net, weights, x), rtol=1e-12)


def test_a_seed_gives_the_same_net_however_many_there_are() -> None:
    net = layered(4, 3, 2)
    few, many = initial_weights(net, 3, 0.3), initial_weights(net, 50, 0.3)
    for name in net.shapes:
        np.testing.assert_array_equal(few[name], many[name][:3])
    every = np.concatenate([w.reshape(50, -1) for w in many.values()], axis=1)
    assert np.abs(every).max() < 0.3 and np.abs(every).max() > 0.29
    assert abs(every.mean()) < 0.01
    assert len({tuple(row) for row in every}) == 50


def test_random_numbers_and_orders() -> None:
    u = random_numbers(20, 100, stream=3)
    assert 0 < u.min() and u.max() < 1 and abs(u.mean() - 0.5) < 0.02
    assert (random_numbers(20, 100, stream=4) != u).all(1).any()
    orders = random_orders(20, 10, stream=1)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(10), (20, 1)))
    np.testing.assert_array_equal(random_orders(5, 10, stream=1), orders[:5])
    assert len({tuple(o) for o in orders}) == 20
