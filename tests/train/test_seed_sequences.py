"""Recurrent nets of many seeds on sequences of unequal length: each is the net of its seed
alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError

RNG = np.random.default_rng(0)
X = [RNG.normal(size=(n, 2)).astype("float32") for n in [5, 1, 3, 7, 2, 7, 4, 1]]
CLASSES = np.array([int(x[0, 0] > 0) for x in X])
EACH = [x[:, :1] * 0.5 for x in X]


class Reader(nn.Module):
    """Two layers in both directions; an answer for each step, or by both last states."""

    def __init__(self, each: bool) -> None:
        super().__init__()
        kind, self.each = nn.LSTM if each else nn.GRU, each
        self.rnn = kind(2, 4, num_layers=2, bidirectional=True, dropout=0.3, batch_first=True)
        self.out = nn.Linear(8, 1 if each else 2)

    def forward(self, x: Any, lengths: Any) -> Any:
        out, last = self.rnn(x, lengths=lengths)
        return self.out(out if self.each else cr.cat([last[2], last[3]], -1))


@pytest.mark.parametrize("each", [True, False])
def test_a_recurrent_net_among_many_is_the_one_alone(each: bool) -> None:
    def make() -> nn.Module:
        return Reader(each)

    def adam(weights: Any) -> optim.Optimizer:
        return optim.Adam(weights, lr=0.02)

    loss, y = ("mse", EACH) if each else ("cross_entropy", CLASSES)
    how: dict[str, Any] = {"epochs": 2, "batch_size": 4, "progress": False, "diagnose": False}
    many = cr.Trainer(make, loss, adam, seeds=[2, 5])
    history = many.fit(X, y, **how)
    cr.manual_seed(5)
    net = make()
    own = cr.Trainer(net, loss, adam(list(net.parameters())), seed=5).fit(X, y, **how)
    np.testing.assert_allclose(history.of(5).numpy("loss"), own.numpy("loss"), rtol=1e-5)
    found = many.model_of(5).state_dict()
    for name, w in net.state_dict().items():
        np.testing.assert_allclose(found[name], w, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("each", "count"), [(True, 3), (False, 8)])
def test_the_longest_sequence_to_validate_may_have_another_length(each: bool, count: int) -> None:
    """What is measured is what `evaluate` says, shorter and longer than what is learned."""
    y = EACH if each else CLASSES
    cr.manual_seed(0)
    net = Reader(each)
    trainer = cr.Trainer(net, "mse" if each else "cross_entropy", optim.SGD(net.parameters(), 0.01))
    learned = slice(3, 8) if count == 3 else slice(0, 3)
    history = trainer.fit(
        X[learned], y[learned], epochs=1, batch_size=4, progress=False,
        validation_data=(X[:count], y[:count]),
    )  # fmt: skip
    wanted = trainer.evaluate(X[:count], y[:count])["loss"]
    assert history["val_loss"][0] == pytest.approx(wanted, rel=1e-5)


def test_validation_sequences_of_other_features_are_refused() -> None:
    net = Reader(False)
    trainer = cr.Trainer(net, "cross_entropy", optim.SGD(net.parameters(), 0.01))
    with pytest.raises(DataError, match=r"validation_data: x\['x'\] has rows of shape \(7, 1\)"):
        trainer.fit(X, CLASSES, validation_data=([x[:, :1] for x in X], CLASSES), progress=False)
