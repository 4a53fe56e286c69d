"""Greedy pre-training: what it puts where, what it is told of, and that it can be continued."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, train
from chainrule.data import load_digits
from chainrule.errors import DataError, OptionError, ShapeError


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits()[0][:400] / np.float32(16)


def encoder(*sizes: int, linear: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, m in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(n, m), nn.Sigmoid()]
    return nn.Sequential(*(layers[:-1] if linear else layers))


def test_each_layer_learns_what_the_one_below_makes_of_the_data(digits: np.ndarray) -> None:
    seen: list[tuple[int, int]] = []
    errors: list[float] = []
    net = encoder(64, 40, 20)

    def watch(layer: int, epoch: int, error: float) -> None:
        seen.append((layer, epoch))
        errors.append(error)

    machines = train.pretrain(net, digits, epochs=8, batch_size=20, watch=watch)
    assert seen == [(k, e) for k in (1, 2) for e in range(1, 9)]
    assert errors[7] < 0.7 * errors[0] and errors[15] < errors[8]
    for layer, machine in zip((net[0], net[2]), machines, strict=True):
        np.testing.assert_array_equal(layer.weight.numpy(), machine.weight.numpy())
        np.testing.assert_array_equal(layer.bias.numpy(), machine.hidden_bias.numpy())
    below = cr.sigmoid(net[0](cr.tensor(digits)))
    error = ((machines[1].reconstruct(below) - below) ** 2).sum(1)[:200].mean()
    assert float(error) == pytest.approx(errors[15], rel=1e-4)
    # The two together are a way down and up again that keeps more than the mean does.
    back = train.unroll(machines)(net(cr.tensor(digits))).numpy()
    assert ((back - digits) ** 2).sum() < 0.5 * ((digits - digits.mean(0)) ** 2).sum()


def test_the_seed_decides_and_the_default_generator_is_left_alone(digits: np.ndarray) -> None:
    def run(seed: int) -> np.ndarray:
        net = encoder(64, 10)
        state = cr.default_generator.get_state()
        [machine] = train.pretrain(net, digits, epochs=1, seed=seed)
        assert state["counter"] == cr.default_generator.get_state()["counter"]
        return machine.weight.numpy()

    np.testing.assert_array_equal(run(3), run(3))
    assert (run(3) != run(4)).all()


@pytest.mark.parametrize("chains", [0, 30])
def test_a_run_that_was_ended_goes_on_to_the_same_bits(digits, tmp_path, chains: int) -> None:
    def run(folder, end: bool) -> nn.Sequential:
        def watch(layer: int, epoch: int, error: float) -> None:
            if end and (layer, epoch) == (2, 7):
                raise InterruptedError

        net = encoder(64, 12, 8)
        train.pretrain(net, digits, epochs=9, chains=chains, checkpoint=folder, watch=watch)
        return net

    whole = run(tmp_path / "whole", False)
    with pytest.raises(InterruptedError):
        run(tmp_path / "part", True)
    resumed = run(tmp_path / "part", False)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_momentum_rises_after_five_epochs(digits: np.ndarray) -> None:
    """The same as the rule written down, step by step."""
    x = digits[:20]
    net = encoder(64, 6)
    [machine] = train.pretrain(net, x, epochs=8, batch_size=20, lr=0.2, weight_decay=0.01, seed=7)
    ours = nn.RBM(64, 6, generator=cr.Generator(7))
    changes = [np.zeros(p.shape, np.float32) for p in ours.parameters()]
    for epoch in range(8):
        ours.zero_grad()
        ours.contrastive_divergence(cr.tensor(x)).backward()
        for i, p in enumerate(ours.parameters()):
            decay = 0.01 * p.numpy() if p is ours.weight else 0
            changes[i] = (0.5 if epoch < 5 else 0.9) * changes[i] + p.grad.numpy() + decay
            with cr.no_grad():
                p.assign(cr.tensor(p.numpy() - np.float32(0.2) * changes[i]))
    np.testing.assert_allclose(machine.weight.numpy(), ours.weight.numpy(), atol=2e-5)


def test_a_last_layer_without_sigmoid_is_a_linear_code(digits: np.ndarray) -> None:
    net = encoder(64, 20, 3, linear=True)
    machines = train.pretrain(net, digits, epochs=1)
    assert [m.hidden for m in machines] == ["bernoulli", "gaussian"]
    decoder = train.unroll(machines)
    assert [type(m).__name__ for m in decoder] == ["Linear", "Sigmoid", "Linear", "Sigmoid"]
    np.testing.assert_array_equal(decoder[0].weight.numpy(), machines[1].weight.numpy().T)
    np.testing.assert_array_equal(decoder[2].bias.numpy(), machines[0].visible_bias.numpy())
    decoder[0].weight.assign(cr.zeros_like(decoder[0].weight))  # untied
    assert machines[1].weight.numpy().any()


def test_standardized_data_have_gaussian_visible_units(digits: np.ndarray) -> None:
    x = (digits - digits.mean(0)) / (digits.std(0) + 0.1)
    errors: list[float] = []
    net = nn.Sequential(nn.Flatten(), encoder(64, 30))
    machines = train.pretrain(
        net, x.reshape(-1, 8, 8), visible="gaussian", lr=0.005, epochs=8, batch_size=20,
        watch=lambda layer, epoch, error: errors.append(error),
    )  # fmt: skip
    assert errors[-1] < 0.8 * errors[0]
    assert [type(m).__name__ for m in train.unroll(machines)] == ["Linear"]


STACK = (
    "pretrain: the model must be a Sequential of Linear (with bias) and Sigmoid, for restricted "
    "Boltzmann machines have logistic units; {}. Leave out what comes after: pretrain(net[:-1], x)"
)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (lambda: nn.Sequential(nn.Linear(64, 4), nn.ReLU()), "Linear is followed by ReLU"),
        (
            lambda: nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 4)),
            "Linear is followed by Linear",
        ),
        (lambda: nn.Sequential(nn.Conv1d(1, 1, 1)), "Conv1d is layer 0"),
        (lambda: nn.Sequential(nn.Linear(64, 4, bias=False)), "Linear has no bias"),
        (lambda: nn.Sequential(), "it has no layer"),
    ],
)
def test_other_models(model, what: str, digits: np.ndarray) -> None:
    with pytest.raises(OptionError) as caught:
        train.pretrain(model(), digits)
    assert str(caught.value) == STACK.format(what)


def test_other_data(digits: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        train.pretrain(encoder(64, 4), digits * 16)
    assert str(caught.value) == (
        "pretrain: x goes from 0 to 16; visible units are probabilities, from 0 to 1: scale x, or "
        'standardize it and say visible="gaussian"'
    )
    with pytest.raises(ShapeError, match="x has 64 features, the first layer expects 63"):
        train.pretrain(encoder(63, 4), digits)
    with pytest.raises(OptionError, match="pretrain: lr must be a number > 0, got -1"):
        train.pretrain(encoder(64, 4), digits, lr=-1)
    with pytest.raises(DataError):
        train.pretrain(encoder(64, 4), np.full((5, 64), np.nan, "float32"))
    with pytest.raises(OptionError, match="unroll: no machine"):
        train.unroll([])
    with pytest.raises(ShapeError, match=r"unroll: RBM\(4, 3\) does not fit the one above it"):
        train.unroll([nn.RBM(4, 3), nn.RBM(2, 2)])
