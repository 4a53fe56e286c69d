"""train.sensitivity: a net of one's own from many first weights."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, nn, optim, train
from chainrule.errors import OptionError, ShapeError

X, Y = (a[:60] for a in data.load_digits())
X = X / 16


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))


def test_every_lane_is_the_training_of_one_net() -> None:
    """Gain 2, seed 1, by hand with the ordinary optimizer."""
    found = train.sensitivity(small, X, Y, "cross_entropy", gains=[1, 2], seeds=2, steps=5)
    cr.manual_seed(1)
    net = small()
    with cr.no_grad():
        for p in net.parameters():
            if p.ndim == 2:
                p.assign(p * 2)
    sgd = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(6):
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(net(cr.tensor(X)), cr.tensor(Y))
        loss.backward()
        if not losses:
            norms = {n: float((p.grad**2).sum().sqrt()) for n, p in net.named_parameters()}
        sgd.step()
        losses.append(float(loss))
    assert found.first[1, 1] == pytest.approx(losses[0], rel=1e-5)
    assert found.last[1, 1] == pytest.approx(losses[5], rel=1e-4)
    assert list(found.gradients) == ["0.weight", "2.weight"]
    for name, g in found.gradients.items():
        assert g[1, 1] == pytest.approx(norms[name], rel=1e-4)


def test_a_module_is_made_anew_for_every_seed_and_stays_as_it_is() -> None:
    net = small()
    before = net[0].weight.numpy().copy()
    cr.manual_seed(7)
    state = cr.rand(2).numpy()
    cr.manual_seed(7)
    found = train.sensitivity(net, X, Y, "cross_entropy", gains=[1], seeds=3, steps=1)
    np.testing.assert_array_equal(cr.rand(2).numpy(), state)  # the generator goes on as it was
    np.testing.assert_array_equal(net[0].weight.numpy(), before)
    assert len(set(found.first[0])) == 3
    made = train.sensitivity(small, X, Y, "cross_entropy", gains=[1], seeds=3, steps=1)
    np.testing.assert_allclose(made.first, found.first, rtol=1e-6)


def test_buffers_and_an_optimizer_of_ones_own() -> None:
    net = nn.Sequential(nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 10))
    found = train.sensitivity(
        net,
        X,
        Y,
        nn.CrossEntropyLoss(),
        gains=[0.1, 1],
        seeds=2,
        steps=30,
        optimizer=lambda p: optim.Adam(p, lr=0.02),
    )
    assert (found.last < 0.7 * found.first).all()
    assert float(net[1].num_batches_tracked) == 0


def test_the_best_gain_the_table_and_the_figure(tmp_path) -> None:
    found = train.Sensitivity(
        np.array([0.5, 1.0, 2.0]),
        np.full((3, 2), 2.0),
        np.array([[1.0, 1.2], [0.1, 0.2], [np.nan, 0.01]]),
        {"0.weight": np.ones((3, 2)), "1.weight": np.full((3, 2), 1e-9)},
    )
    assert found.best == 1.0
    assert repr(found) == "Sensitivity(3 gains, 2 seeds, best gain 1)"
    lines = found.table().splitlines()
    assert (
        lines[0].split()
        == "gain first loss last loss worst seed |grad 0.weight| |grad 1.weight|".split()
    )
    assert lines[2].endswith("<-") and "inf" in lines[3]
    assert found.to_dict()["gradients"]["1.weight"][0] == [1e-9, 1e-9]
    pytest.importorskip("matplotlib")
    assert found.plot(tmp_path / "gains.png").stat().st_size > 5000


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(cr.ones(10, 64))

    def forward(self, x):
        return x @ self.w.T


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gains": [1, 0]}, OptionError, r"sensitivity: gains are positive numbers, got \[1, 0\]"),
        ({"gains": []}, OptionError, r"sensitivity: gains are positive numbers, got \[\]"),
        ({"gains": [float("inf")]}, OptionError, r"sensitivity: gains are finite, got \[inf\]"),
        ({"seeds": 0}, OptionError, "seeds"),
        ({"y": Y[:5]}, ShapeError, r"a row for each case, got \(60, 64\) and \(5,\)"),
        (
            {"model": Own()},
            OptionError,
            r"sensitivity: the model \(Own\) has weights and no reset_parameters\(\) to draw them "
            r"anew; give a function that makes the net, sensitivity\(lambda: Net\(\), ...\)",
        ),
        ({"loss": "cros_entropy"}, OptionError, "sensitivity: no loss is called 'cros_entropy'"),
    ],
)
def test_mistakes(options: dict, error: type[Exception], message: str) -> None:
    given = {"model": small(), "x": X, "y": Y, "loss": "cross_entropy", "steps": 1} | options
    with pytest.raises(error, match=message):
        train.sensitivity(**given)
