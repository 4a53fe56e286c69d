"""The experiments on first weights: errors by layer against definitions and theory, small runs."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.experiments import EXPERIMENTS, basins, initialization
from chainrule.experiments.base import Lab, Report
from chainrule.experiments.first_errors import (
    digits,
    edge,
    expected_errors,
    first_weights,
    measured_errors,
)

GAINS = np.array([0.5, 1.0, 2.0, 4.0])


def test_the_images_are_standardised_and_of_five_classes() -> None:
    x, y = digits()
    assert x.shape == (30, 16) and np.bincount(y).tolist() == [6] * 5
    assert x.mean() == pytest.approx(0, abs=1e-6) and x.std() == pytest.approx(1, abs=1e-5)


def test_a_seed_decides_its_weights_alone_and_gains_only_scale_them() -> None:
    many = first_weights(GAINS, range(5), 2, 8, "float64")
    one = first_weights(GAINS, range(3, 4), 2, 8, "float64")
    for name, w in one.items():
        np.testing.assert_array_equal(
            many[name].numpy().reshape(4, 5, *w.shape[1:])[:, 3], w.numpy()
        )
    hidden, last = one["W2"].numpy(), one["W3"].numpy()
    np.testing.assert_allclose(hidden / GAINS[:, None, None], hidden[[1]].repeat(4, 0))
    np.testing.assert_array_equal(last, last[[0]].repeat(4, 0))
    wide = first_weights(np.array([3.0]), range(1), 2, 300, "float64")["W2"].numpy()
    assert wide.std() == pytest.approx(3 / np.sqrt(300), rel=0.01)


def test_errors_are_those_of_back_propagation_by_hand() -> None:
    """|δ| of both hidden layers of one tanh net, in NumPy."""
    x, labels = digits()
    w = {k: t.numpy()[0] for k, t in first_weights(GAINS[2:3], range(1), 2, 64, "float64").items()}
    h1 = np.tanh(x @ w["W1"])
    h2 = np.tanh(h1 @ w["W2"])
    p = np.exp(h2 @ w["W3"])
    e = (p / p.sum(1, keepdims=True) - np.eye(5)[labels]) / 30
    d2 = e @ w["W3"].T * (1 - h2**2)
    d1 = d2 @ w["W2"].T * (1 - h1**2)
    found = measured_errors(GAINS[2:3], 1, "tanh", False, 1.0, 2)
    wanted = [[0.0, np.log10(np.linalg.norm(d1) / np.linalg.norm(d2))]]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_expected_errors_in_closed_form() -> None:
    """χ = gain²/2 for ReLU, gain² for tanh of very small sums; 1 with layer norm and ReLU."""
    layers = np.arange(6)
    relu = expected_errors(GAINS, "ReLU", False, 1.0, 6)
    np.testing.assert_allclose(relu, np.outer(np.log10(GAINS / 2**0.5), layers), atol=1e-3)
    tanh = expected_errors(GAINS[:2], "tanh", False, 1e-5, 6)
    np.testing.assert_allclose(tanh, np.outer(np.log10(GAINS[:2]), layers), atol=1e-6)
    normed = expected_errors(GAINS, "ReLU", True, 1.0, 6)
    np.testing.assert_allclose(normed, 0, atol=1e-9)


def test_edges() -> None:
    gains = np.array([1.0, 2.0, 4.0])
    assert edge(gains, np.array([-1.0, 1.0, 3.0])) == pytest.approx(2**0.5)
    assert np.isnan(edge(gains, np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize(("activation", "wanted"), initialization.EDGES.items())
def test_the_edge_is_where_theory_puts_it(activation: str, wanted: float) -> None:
    gains = 2.0 ** np.linspace(-1, 2, 7)
    found = measured_errors(gains, 3, activation, False, initialization.SMALL, 8)
    assert edge(gains, found[:, -1]) == pytest.approx(wanted, rel=0.1)


def test_layer_norm_makes_errors_independent_of_the_gain() -> None:
    for activation in ("tanh", "logistic"):
        found = measured_errors(GAINS, 2, activation, True, 1.0, 4)
        wanted = expected_errors(GAINS, activation, True, 1.0, 4)
        assert np.ptp(found[:, -1]) < 0.01
        np.testing.assert_allclose(found, wanted, atol=0.15)


def test_training_depends_on_the_gain() -> None:
    """Five layers of tanh learn at the edge and not far below it."""
    plan = initialization.Plan(1, (5,), 2, 300, 5)
    learned, loss = initialization.trained(plan, 2, 300, 5, "tanh", False)
    assert learned[2] == 1 and learned[0] == 0  # gains 1 and 1/4
    assert loss[2] < 0.2 and loss[0] == pytest.approx(np.log(5), abs=0.05)


def test_a_loss_that_is_not_finite_is_not_learning() -> None:
    plan = initialization.Plan(1, (30,), 1, 3, 5)
    learned, loss = initialization.trained(plan, 1, 3, 30, "ReLU", False)
    assert np.isinf(loss[-1]) and not learned[-1]


@pytest.mark.usefixtures("interpreted")
def test_small_runs_measure_everything_and_draw() -> None:
    figure = pytest.importorskip("matplotlib.figure")
    told: list[str] = []
    plan = initialization.Plan(1, (1,), 1, 2, 3)
    report = initialization.study(Lab(1, lambda *a: told.append(a[0])), plan)
    canvas = figure.Figure(layout="constrained")
    report.figures["initialization"](canvas)
    assert len(report.measurements) == 17 and told and len(canvas.axes) == 12 + 9


# -- exclusive or ----------------------------------------------------------------------------------
def small_basins() -> Report:
    return basins.study(Lab(), basins.Plan(20, 12, 2000))


def test_basins_of_exclusive_or() -> None:
    figure = pytest.importorskip("matplotlib.figure")
    report = small_basins()
    shares = np.array(report.measurements[0].numbers["shares"])
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares[2, 0] > 0.7 > 0.6 > shares[-1, 0]  # within 0.5, within 16
    parts = report.measurements[2].numbers["parts"]
    assert sum(parts) == pytest.approx(1) and min(parts[:2]) > 0.02
    canvas = figure.Figure(layout="constrained")
    report.figures["basins"](canvas)
    assert len(canvas.axes) == 4


def test_the_plane_varies_two_weights_and_no_other() -> None:
    weights = basins.plane(3)
    grid = weights["W1"].reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(grid[0, :, 0, 0], [-10, 0, 10])
    np.testing.assert_array_equal(grid[:, 0, 1, 1], [-10, 0, 10])
    assert np.ptp(grid[..., 0, 1]) == np.ptp(grid[..., 1, 0]) == 0
    assert all(np.ptp(weights[k], axis=0).max() == 0 for k in ("b1", "W2", "b2"))


@pytest.mark.parametrize("name", ["initialization", "basins"])
def test_they_are_in_the_catalogue(name: str) -> None:
    assert EXPERIMENTS[name].name == name
