"""The experiments on images: their rules against definitions, and small runs of each."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.experiments import (
    EXPERIMENTS,
    autoencoder,
    belief,
    dbn,
    feedback_alignment,
    reproduce,
)
from chainrule.experiments.base import Lab, run_experiment
from chainrule.experiments.images import Images, images, stack, start
from chainrule.train import unroll

NAMES = ("dbn", "autoencoder", "feedback-alignment")


# -- feedback alignment ----------------------------------------------------------------------------
def gradients(rule: str) -> tuple[feedback_alignment.Net, list[np.ndarray], dict[str, np.ndarray]]:
    """Weight gradients of a 5-4-3-2 net in float64, and everything a NumPy rule needs."""
    net = feedback_alignment.Net((5, 4, 3, 2), rule, 0).double()
    rng = np.random.default_rng(1)
    x, d = rng.normal(size=(6, 5)), rng.integers(0, 2, 6)
    nn.functional.cross_entropy(net(cr.tensor(x)), cr.tensor(d)).backward()
    w = [layer.weight.numpy() for layer in net.layers]
    h1 = np.tanh(x @ w[0].T)
    h2 = np.tanh(h1 @ w[1].T)
    y = np.exp(h2 @ w[2].T)
    e = (y / y.sum(1, keepdims=True) - np.eye(2)[d]) / 6
    known = {"x": x, "h1": h1, "h2": h2, "e": e}
    return net, [layer.weight.grad.numpy() for layer in net.layers], known


def by_hand(k: dict[str, np.ndarray], to_h2: np.ndarray, to_h1: np.ndarray) -> list[np.ndarray]:
    """The rule, for what comes down to the two hidden layers."""
    d2 = to_h2 * (1 - k["h2"] ** 2)
    d1 = to_h1(d2) * (1 - k["h1"] ** 2) if callable(to_h1) else to_h1 * (1 - k["h1"] ** 2)
    return [d1.T @ k["x"], d2.T @ k["h1"], k["e"].T @ k["h2"]]


@pytest.mark.parametrize("rule", feedback_alignment.RULES)
def test_each_rule_is_what_its_paper_says(rule: str) -> None:
    net, found, k = gradients(rule)
    w = [layer.weight.numpy() for layer in net.layers]
    back = [net.get_buffer(f"back{i}").numpy() for i in range(3)]
    direct = [net.get_buffer(f"direct{i}").numpy() for i in range(3)]
    e = k["e"]
    if rule == "direct feedback":
        wanted = by_hand(k, e @ direct[1], e @ direct[0])
    else:
        if rule == "back-propagation":
            b = w
        elif rule == "feedback alignment":
            b = back
        else:
            b = [np.sign(m) * np.abs(m).mean() for m in w]
        wanted = by_hand(k, e @ b[2], lambda d2: d2 @ b[1])
    for a, c in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-6, atol=1e-9)


def test_back_propagation_by_the_custom_rule_passes_the_gradient_check() -> None:
    net = feedback_alignment.Net((5, 4, 3, 2), "back-propagation", 0).double()
    cr.check_grads(lambda x: (net(x) ** 2).sum(), [cr.rand(3, 5)])


def test_angles() -> None:
    data = images(Lab())
    x, y = data.x[:100], data.y[:100]
    for rule in feedback_alignment.RULES:
        found = feedback_alignment.angles(feedback_alignment.Net((64, 50, 40, 10), rule, 0), x, y)
        assert found[-1] < 0.1  # the last layer's rule is the gradient in all of them
        if rule == "back-propagation":
            assert found.max() < 0.1
        elif rule == "sign-symmetric feedback":
            assert 5 < found[:-1].min() and found[:-1].max() < 60
        else:
            assert 60 < found[:-1].min() and found[:-1].max() < 120  # random at first


@pytest.mark.slow
def test_angles_fall_within_a_few_epochs() -> None:
    result = run_experiment(EXPERIMENTS["feedback-alignment"], 1, None, sweeps=4)
    fell = {m.system.split(",")[0]: m.numbers for m in result.measurements if "after" in m.numbers}
    for rule in ("feedback alignment", "direct feedback"):
        assert max(fell[rule]["after"]) < min(85, min(fell[rule]["before"]))


# -- belief nets and autoencoders ------------------------------------------------------------------
def test_starts() -> None:
    net = start(stack(400, 300, 200), "small", cr.Generator(0))
    assert net[0].weight.numpy().std() == pytest.approx(1 / 20, rel=0.02)
    start(net, "glorot", cr.Generator(0))
    assert np.abs(net[0].weight.numpy()).max() == pytest.approx(4 * np.sqrt(6 / 700), rel=0.01)
    start(net, "he", cr.Generator(0))
    assert net[0].weight.numpy().std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert not net[2].bias.numpy().any()


def test_parameter_counts_of_the_papers() -> None:
    def count(*sizes: int) -> int:
        net = stack(*(max(1, n // 10) for n in sizes))  # the same layers, a tenth as wide
        assert [m.out_features for m in net[::2]] == [max(1, n // 10) for n in sizes[1:]]
        return sum((n + 1) * m for n, m in itertools.pairwise(sizes))

    assert count(784, *dbn.FULL.layers, 10) == 1_665_010
    sizes = (784, *autoencoder.FULL.layers)
    assert count(*sizes) + count(*sizes[::-1]) == 2_837_314


def test_pretrained_weights_are_where_tuning_starts() -> None:
    machines = [nn.RBM(64, 5), nn.RBM(5, 3, hidden="gaussian")]
    data = images(Lab())
    plan = autoencoder.Plan((5, 3), 1, 1, 1, 1, 1, 1)
    net = autoencoder.autoencoder(data, plan, 3, "", machines)
    up = machines[1].hidden_mean(machines[0].hidden_mean(data.x[:4]))
    down = machines[0].visible_mean(machines[1].visible_mean(up))
    np.testing.assert_allclose(
        autoencoder.rebuilt(net, data.x[:4]), down.detach().numpy(), atol=1e-6
    )


def test_principal_components_and_neighbours() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6)) + 3
    assert autoencoder.squared(autoencoder.components(plane, plane, 2), plane) < 1e-20
    assert autoencoder.squared(autoencoder.components(plane, plane, 1), plane) > 0.1
    codes = np.array([[0.0], [1.0], [10.0], [10.5]])
    assert autoencoder.neighbours(codes, np.array([1, 1, 2, 2])) == 100
    assert autoencoder.neighbours(codes, np.array([1, 2, 2, 2])) == 50


def test_up_down_teaches_the_way_down_what_was_below() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 3)).astype("float32"), np.arange(6)
    up, down = stack(3, 2, last=True), unroll([nn.RBM(3, 2)])
    with cr.no_grad():
        up[0].weight.assign(cr.zeros(2, 3))
        up[0].bias.assign(cr.tensor([60.0, -60.0]))  # the first unit is on, the second off
    net = belief.BeliefNet(up, nn.RBM(12, 4, labels=10), down)
    weight, bias = (p.numpy().copy() for p in down.parameters())
    belief.up_down(Lab(), net, Images("six", 0, x, y, x, y), 1, 0.1, k=1)
    slope = 0.1 * (x - 1 / (1 + np.exp(-weight[:, 0] - bias))).mean(0)
    np.testing.assert_allclose(down[0].weight.numpy()[:, 0], weight[:, 0] + slope, rtol=1e-5)
    np.testing.assert_allclose(down[0].bias.numpy(), bias + slope, rtol=1e-5, atol=1e-7)
    assert (down[0].weight.numpy()[:, 1] == weight[:, 1]).all()


def test_pretraining_is_ahead_where_small_random_weights_stay_on_the_plateau() -> None:
    """One criterion of the belief net, in little: all but a tenth against a fifth."""
    lab, data = Lab(), images(Lab())
    plan = dbn.Plan((60, 60), 8, 0, 0, 5, 0, 0, 0, 0.1, 0, 0, 0, 0, 0, 0)
    machines = dbn.pretrain(stack(64, *plan.layers, last=True), data.x, epochs=8, batch_size=50)
    rows = np.arange(len(data.y))
    curves, _ = dbn.tuned(lab, plan, machines, data, rows, plan.tuned)
    assert curves[dbn.PRETRAINED][-1] < 20 < curves[dbn.SMALL][-1] - 20


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    "name",
    [n if n == "feedback-alignment" else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_small_runs_measure_everything_and_draw(name: str) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    told: list[str] = []
    result = run_experiment(EXPERIMENTS[name], 1, lambda *a: told.append(a[0]), sweeps=1)
    assert len(result.measurements) >= 6 and told
    for draw in result.drawings.values():
        canvas = figure.Figure(layout="constrained")
        draw(canvas)
        assert canvas.axes


def test_the_full_tier_says_what_it_needs(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cr.errors.DataError, match="MNIST"):
        reproduce("dbn", full=True)


@pytest.mark.slow
@pytest.mark.skipif("CHAINRULE_DATA" not in os.environ, reason="needs MNIST")
@pytest.mark.parametrize("name", NAMES)
def test_full_tier_on_mnist(name: str) -> None:
    result = reproduce(name, full=True)
    assert result.passed, str(result)
