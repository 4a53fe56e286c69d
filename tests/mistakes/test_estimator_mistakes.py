"""What the scikit-learn estimators say to mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import nn
from chainrule.errors import DataError, OptionError
from chainrule.estimators import BackpropClassifier, BackpropRegressor

X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
Y = np.arange(30) % 3
C, R = "BackpropClassifier: ", "BackpropRegressor: "

OPTIONS = [
    (
        {"activation": "rleu"},
        "activation 'rleu' is unknown; there are relu, tanh, logistic, sigmoid, identity, gelu, "
        "silu, elu, selu, leaky_relu, softplus, mish",
    ),
    (
        {"activation": ["relu", "tanh"]},
        "activation has 2 entries for 1 hidden layers; give one for all, or one for each",
    ),
    (
        {"solver": "lbfgs"},
        C + "solver must be 'adam', 'adamw', 'sgd', 'rmsprop', 'adagrad', 'adadelta', 'adamax', "
        "'nadam', 'radam' or 'lion', got 'lbfgs'",
    ),
    (
        {"hidden_layer_sizes": (4, 0)},
        "hidden_layer_sizes: layer sizes are whole numbers from 1 to 1048576, got 0",
    ),
    (
        {"hidden_layer_sizes": 2.5},
        "hidden_layer_sizes: layer sizes are whole numbers from 1 to 1048576, got 2.5",
    ),
    ({"dropout": 1.0}, "dropout is a probability below 1, got 1.0"),
    (
        {"dropout": [0.1, 0.2]},
        "dropout has 2 entries for 1 hidden layers; give one for all, or one for each",
    ),
    ({"alpha": -1.0}, C + "alpha must be a number ≥ 0, got -1.0"),
    ({"batch_size": 0}, C + "batch_size must be 'auto' or an integer ≥ 1, got 0"),
    ({"batch_size": "all"}, C + "batch_size must be 'auto' or an integer ≥ 1, got 'all'"),
    (
        {"learning_rate": 0.1},
        C + "learning_rate must be 'constant', 'invscaling', 'adaptive' or 'cosine', got 0.1",
    ),
    ({"learning_rate_init": 0}, C + "learning_rate_init must be a number > 0, got 0"),
    ({"power_t": "half"}, C + "power_t must be a number ≥ 0, got 'half'"),
    ({"max_iter": 0}, C + "max_iter must be an integer ≥ 1, got 0"),
    ({"shuffle": "yes"}, C + "shuffle must be True or False, got 'yes'"),
    ({"tol": -1e-4}, C + "tol must be a number ≥ 0, got -0.0001"),
    ({"verbose": "loud"}, C + "verbose must be True or False, got 'loud'"),
    ({"warm_start": 1}, C + "warm_start must be True or False, got 1"),
    ({"momentum": 1.5}, C + "momentum must be a number in [0, 1], got 1.5"),
    ({"nesterovs_momentum": None}, C + "nesterovs_momentum must be True or False, got None"),
    ({"early_stopping": 3}, C + "early_stopping must be True or False, got 3"),
    ({"validation_fraction": 1.5}, C + "validation_fraction must be a number in (0, 1), got 1.5"),
    ({"beta_1": 1}, C + "beta_1 must be a number in [0, 1), got 1"),
    ({"beta_2": -0.1}, C + "beta_2 must be a number in [0, 1), got -0.1"),
    ({"epsilon": 0}, C + "epsilon must be a number > 0, got 0"),
    (
        {"n_iter_no_change": 2.5},
        C + "n_iter_no_change must be an integer ≥ 1, or infinity, got 2.5",
    ),
    (
        {"loss": "hinge"},
        C + "loss must be 'log_loss', a loss of nn, or a function (prediction, target),"
        " got 'hinge'",
    ),
    (
        {"loss": nn.MSELoss},
        C + "loss must be 'log_loss', a loss of nn, or a function (prediction, target), got "
        "<class 'chainrule.nn.loss.MSELoss'>; add parentheses: MSELoss()",
    ),
    (
        {"loss": nn.BCELoss()},
        C + "the net's outputs are logits, and BCELoss takes probabilities; use "
        "nn.BCEWithLogitsLoss()",
    ),
    (
        {"loss": nn.NLLLoss()},
        C + "the net's outputs are logits, and NLLLoss takes log-probabilities; use "
        "nn.CrossEntropyLoss()",
    ),
    (
        {"loss": nn.MSELoss()},
        C + "MSELoss compares numbers, y has classes; use a loss of logits and class numbers, such "
        "as nn.CrossEntropyLoss()",
    ),
    (
        {"class_weight": "even"},
        C + "class_weight must be None, 'balanced', or a dict class -> weight (for several targets "
        "a list of them), got 'even'",
    ),
    (
        {"callbacks": ["stop"]},
        "callbacks: expected Callback objects or functions f(trainer, epoch, logs), got 'stop'",
    ),
    (
        {"early_stopping": True, "scoring": "acuracy"},
        C + "scoring='acuracy' is unknown; there are 'loss', accuracy, acc, precision, recall, f1, "
        "auc, mae, mse, rmse, r2, top_k_accuracy, top5_accuracy, top3_accuracy, and the names of "
        "sklearn.metrics.get_scorer_names()",
    ),
    (
        {"early_stopping": True, "scoring": 3},
        C + "scoring must be None, a name, a metric, or a function (estimator, X, y), got 3",
    ),
    (
        {"early_stopping": True, "validation_fraction": 0.01},
        "early_stopping: validation_fraction=0.01 of 30 rows is 1 row; give more data, or a larger "
        "fraction",
    ),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS)
def test_options(options, text):
    model = BackpropClassifier(**options)
    with pytest.raises((OptionError, DataError)) as caught:
        model.fit(X, Y)
    assert str(caught.value) == text
    assert not model.__sklearn_is_fitted__()


def test_options_are_checked_by_partial_fit_too():
    with pytest.raises(OptionError) as caught:
        BackpropRegressor(max_iter=-1).partial_fit(X, Y)
    assert str(caught.value) == R + "max_iter must be an integer ≥ 1, got -1"


REGRESSION = [
    (
        {"loss": "log_loss"},
        Y,
        R + "loss must be 'squared_error', 'absolute_error', 'huber', 'poisson', a loss of nn, or "
        "a function (prediction, target), got 'log_loss'",
    ),
    (
        {"loss": "poisson"},
        Y - 1,
        "loss='poisson' is for counts: y is -1 in row 0; give numbers that are not negative",
    ),
]


@pytest.mark.parametrize(("options", "y", "text"), REGRESSION)
def test_regression(options, y, text):
    with pytest.raises((OptionError, DataError)) as caught:
        BackpropRegressor(**options).fit(X, y)
    assert str(caught.value) == text


def test_one_class():
    with pytest.raises(DataError) as caught:
        BackpropClassifier().fit(X, np.zeros(30))
    assert (
        str(caught.value)
        == "y has one class only (np.float64(0.0)); a classifier needs at least 2 classes"
    )


def test_weights_that_are_all_zero():
    with pytest.raises(DataError) as caught:
        BackpropClassifier(class_weight={0: 0.0, 1: 0.0, 2: 0.0}).fit(X, Y)
    assert str(caught.value) == "the weights of all rows are 0; at least one must count"


def test_class_weight_of_a_class_that_is_not_there():
    with pytest.raises(OptionError) as caught:
        BackpropClassifier(class_weight={7: 2.0, 0: 1.0}).fit(X, Y)
    assert str(caught.value).startswith(
        C + "class_weight: The classes, [1, 2], are not in class_weight"
    )


PARTS = [
    ({}, Y, {}, "partial_fit: the first call needs all classes, partial_fit(X, y, classes=...)"),
    (
        {},
        np.stack([Y, Y], 1),
        {},
        "partial_fit: y has several targets, so the first call needs the classes of each, "
        "partial_fit(X, y, classes=[[...], [...]])",
    ),
    ({}, Y, {"classes": [0]}, "partial_fit: a classifier needs at least 2 classes, got [0]"),
    (
        {},
        Y,
        {"classes": [0, 1]},
        "partial_fit: y has the classes [2], which are not in [0 1]",
    ),
    (
        {},
        np.stack([Y, Y], 1),
        {"classes": [[0, 1, 2]]},
        "partial_fit: y has 2 columns, in the first call it had 1",
    ),
    (
        {"class_weight": "balanced"},
        Y,
        {"classes": [0, 1, 2]},
        "partial_fit: class_weight='balanced' needs the rows of all calls; give a dict, from "
        "sklearn.utils.compute_class_weight",
    ),
    (
        {"early_stopping": True},
        Y,
        {"classes": [0, 1, 2]},
        "partial_fit does not support early_stopping=True",
    ),
]


@pytest.mark.parametrize(("options", "y", "more", "text"), PARTS)
def test_parts(options, y, more, text):
    with pytest.raises((OptionError, DataError)) as caught:
        BackpropClassifier(**options).partial_fit(X, y, **more)
    assert str(caught.value) == text


def test_parts_with_other_classes_than_at_first():
    model = BackpropClassifier((4,)).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(DataError) as caught:
        model.partial_fit(X, Y, classes=[0, 1])
    assert str(caught.value) == "partial_fit: classes is [0 1], in the first call it was [0 1 2]"


def test_regression_with_other_targets_than_at_first():
    model = BackpropRegressor((4,)).partial_fit(X, Y)
    with pytest.raises(DataError) as caught:
        model.partial_fit(X, np.stack([Y, Y], 1))
    assert str(caught.value) == "y has 2 targets, in the first call it had 1"


def test_scoring_of_several_labels():
    model = BackpropClassifier(early_stopping=True, scoring="auc")
    with pytest.raises(OptionError) as caught:
        model.fit(X, (X > 0).astype(int))
    assert str(caught.value) == (
        C + "scoring='auc' is unknown for several targets; there are 'loss' and the names of "
        "sklearn.metrics.get_scorer_names()"
    )
