"""Weights of rows and classes together, as people have them, and the rows held out."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

pytestmark = pytest.mark.usefixtures("interpreted")
rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))
Y = rng.integers(0, 3, 100)
OF_CLASS = {0: 1.0, 1: 3.0, 2: 0.5}


def _trainer() -> cr.Trainer:
    cr.manual_seed(1)
    model = nn.Linear(3, 3).double()
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


def _fitted(**options: Any) -> tuple[cr.Trainer, Any]:
    trainer = _trainer()
    return trainer, trainer.fit(X, Y, epochs=1, progress=False, **options)


def test_a_series_of_pandas_is_by_its_index() -> None:
    pd = pytest.importorskip("pandas")
    expected = _fitted(class_weight=OF_CLASS)[1]["loss"]
    assert _fitted(class_weight=pd.Series({2: 0.5, 0: 1.0, 1: 3.0}))[1]["loss"] == expected


def test_a_class_weight_that_is_no_number() -> None:
    with pytest.raises(cr.errors.DataError, match="is nan; weights are numbers from 0 on"):
        _fitted(class_weight={**OF_CLASS, 1: float("nan")})


def test_row_weights_count_in_the_validation_also_beside_class_weights() -> None:
    weights = rng.random(100)
    trainer, history = _fitted(sample_weight=weights, class_weight=OF_CLASS, validation_split=0.2)
    expected = trainer.evaluate(X[80:], Y[80:], sample_weight=weights[80:])["loss"]
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-12)
    assert abs(expected - trainer.evaluate(X[80:], Y[80:])["loss"]) > 1e-3


@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
def test_weights_of_one_change_no_loss(reduction: str) -> None:
    shares = np.abs(rng.normal(size=(100, 3)))
    shares /= shares.sum(1, keepdims=True)
    trainer = _trainer()
    trainer.loss = nn.KLDivLoss(reduction=reduction)
    expected = trainer.evaluate(X, shares)["loss"]
    found = trainer.evaluate(X, shares, sample_weight=np.ones(100))["loss"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_share_is_not_a_row_short() -> None:
    trainer, history = _fitted(validation_split=0.29)  # 100 · 0.29 is 28.999999999999996
    expected = trainer.evaluate(X[71:], Y[71:])["loss"]
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-12)
