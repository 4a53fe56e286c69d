"""Columns and targets that do not vary; a second fit that changes options, or is refused."""

from typing import Any

import numpy as np
import pytest

from chainrule.errors import DataError, OptionError
from chainrule.estimators import BackpropClassifier, BackpropRegressor, TableModel
from chainrule.estimators.sequence_model import _moments

pytestmark = pytest.mark.usefixtures("interpreted")
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = X @ [1.0, 2.0, -1.0] + 5


def test_a_column_that_is_the_same_in_all_rows_has_no_deviation() -> None:
    table = {"x": X[:, 0], "k": np.full(60, 0.1), "y": Y}  # the mean of 0.1s is not 0.1
    model = TableModel.fit(table, "y", hidden=(4,), epochs=2)
    assert [c.std for c in model.preprocessor.columns][1] == 1
    near, far = model.predict({"x": [1.0, 1.0], "k": [0.1, 0.2]})["y"]
    assert abs(near - far) < 1


def test_a_first_batch_of_equal_targets_does_not_blow_up_the_next() -> None:
    model = BackpropRegressor((4,), random_state=0).partial_fit(X, np.full(60, 0.1))
    model.partial_fit(X, Y)
    assert np.isfinite(model.loss_) and model.loss_ < 100


def test_a_channel_that_does_not_vary() -> None:
    x = [np.stack([rng.normal(size=4), np.full(4, 0.1)], 1) for _ in range(20)]
    assert _moments(x)[1][1] == 1


@pytest.mark.parametrize(
    "options", [{"hidden_layer_sizes": (3,)}, {"activation": "tanh"}, {"dropout": 0.5}]
)
def test_a_warm_start_has_the_net_of_the_first_fit(options: dict[str, Any]) -> None:
    model = BackpropRegressor((4,), max_iter=1, warm_start=True, random_state=0).fit(X, Y)
    model.set_params(max_iter=2).fit(X, Y)
    with pytest.raises(OptionError, match="go on with the net of the first fit"):
        model.set_params(**options).fit(X, Y)


def test_a_loss_that_is_set_after_the_fit_changes_no_prediction() -> None:
    model = BackpropRegressor((4,), max_iter=1, warm_start=True, random_state=0).fit(X, Y)
    expected = model.predict(X)
    np.testing.assert_array_equal(model.set_params(loss="poisson").predict(X), expected)
    with pytest.raises(OptionError, match="makes other predictions of the same net"):
        model.fit(X, np.abs(Y))


def test_a_fit_that_is_refused_leaves_the_estimator_as_it_was() -> None:
    model = BackpropRegressor((4,), max_iter=1, random_state=0).fit(X, Y)
    expected = model.predict(X)
    model.set_params(early_stopping=True, validation_fraction=0.02)
    with pytest.raises(DataError, match="early_stopping"):
        model.fit(X, 1000 * Y)
    np.testing.assert_array_equal(model.predict(X), expected)
    classifier = BackpropClassifier((4,), max_iter=1, random_state=0).fit(
        X, np.where(Y > 5, "b", "a")
    )
    with pytest.raises(ValueError, match="weights"):
        classifier.fit(X, np.arange(60) % 2, sample_weight=np.zeros(60))
    assert classifier.classes_.tolist() == ["a", "b"]


def test_a_table_model_that_is_refused_keeps_its_classes() -> None:
    model = TableModel(hidden=(4,), epochs=1).fit(X, Y > 5)
    with pytest.raises(DataError):
        model.fit(X, np.zeros(60, bool))
    assert model.predict(X).dtype == bool
