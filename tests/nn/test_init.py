"""Initializers: the distributions they promise, and the same numbers for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import init

SHAPE = (200, 300)
STD = {
    "uniform_": (lambda t, g: init.uniform_(t, -1, 3, generator=g), 4 / math.sqrt(12), 1.0),
    "normal_": (lambda t, g: init.normal_(t, 2.0, 0.5, generator=g), 0.5, 2.0),
    "xavier_uniform_": (
        lambda t, g: init.xavier_uniform_(t, 2.0, generator=g),
        2 * math.sqrt(2 / 500),
        0.0,
    ),
    "xavier_normal_": (lambda t, g: init.xavier_normal_(t, generator=g), math.sqrt(2 / 500), 0.0),
    "kaiming_uniform_": (
        lambda t, g: init.kaiming_uniform_(t, nonlinearity="relu", generator=g),
        math.sqrt(2 / 300),
        0.0,
    ),
    "kaiming_normal_": (
        lambda t, g: init.kaiming_normal_(t, 0.5, "fan_out", generator=g),
        math.sqrt(2 / 1.25 / 200),
        0.0,
    ),
    "lecun_uniform_": (lambda t, g: init.lecun_uniform_(t, generator=g), math.sqrt(1 / 300), 0.0),
    "lecun_normal_": (lambda t, g: init.lecun_normal_(t, generator=g), math.sqrt(1 / 300), 0.0),
    "paper_": (lambda t, g: init.paper_(t, generator=g), 0.6 / math.sqrt(12), 0.0),
    "trunc_normal_": (lambda t, g: init.trunc_normal_(t, std=0.02, generator=g), 0.02, 0.0),
    "trunc_normal_ both sides": (lambda t, g: init.trunc_normal_(t, generator=g), 0.87963, 0.0),
    "trunc_normal_ tail": (
        lambda t, g: init.trunc_normal_(t, a=2.0, b=9.0, generator=g),
        0.33847,
        2.37322,
    ),
}


@pytest.mark.parametrize("name", list(STD))
def test_distribution(name: str) -> None:
    fill, std, mean = STD[name]
    shape = (50, 60) if name.endswith("tail") else SHAPE
    t = nn.Parameter(np.zeros(shape, np.float32))
    assert fill(t, cr.Generator(1)) is t and t.requires_grad
    numbers = t.numpy().astype(np.float64)
    assert abs(numbers.std() - std) < 0.01 * std and abs(numbers.mean() - mean) < 0.02 * std
    other = fill(nn.Parameter(np.zeros(shape, np.float32)), cr.Generator(1))
    assert np.array_equal(other.numpy(), t.numpy())
    assert not np.array_equal(fill(other, cr.Generator(2)).numpy(), t.numpy())


def test_truncated_normal_stays_inside() -> None:
    numbers = init.trunc_normal_(cr.zeros(5000), 1.0, 2.0, 0.5, 1.5).numpy()
    assert numbers.min() >= 0.5 and numbers.max() <= 1.5


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (3, 2, 5)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = init.orthogonal_(cr.zeros(shape, dtype="float64"), gain=2.0).numpy().reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_sparse_eye_constant() -> None:
    w = init.sparse_(cr.zeros(10, 5), 0.35).numpy()
    assert ((w == 0).sum(0) == 4).all()
    assert np.array_equal(init.eye_(cr.ones(2, 3)).numpy(), np.eye(2, 3))
    assert init.constant_(cr.zeros(2), 0.5).tolist() == [0.5, 0.5]
    assert init.ones_(cr.zeros(2)).tolist() == [1, 1] and init.zeros_(cr.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "param", "gain"),
    [
        ("linear", None, 1),
        ("tanh", None, 5 / 3),
        ("relu", None, 2**0.5),
        ("selu", None, 0.75),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 1.0, 1.0),
    ],
)
def test_gain(name: str, param: float | None, gain: float) -> None:
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-12)


def test_a_seed_makes_the_same_network() -> None:
    def network() -> list[np.ndarray]:
        cr.manual_seed(5)
        net = nn.Sequential(nn.Linear(3, 4), nn.Embedding(3, 2), nn.Bilinear(2, 3, 4))
        return [p.numpy() for p in net.parameters()]

    assert all(np.array_equal(a, b) for a, b in zip(network(), network(), strict=True))


def test_linear_starts_as_pytorchs() -> None:
    layer = nn.Linear(100, 400)
    for p in (layer.weight, layer.bias):
        assert abs(p.numpy()).max() <= 0.1 and abs(p.numpy().std() - 0.1 / math.sqrt(3)) < 0.004
