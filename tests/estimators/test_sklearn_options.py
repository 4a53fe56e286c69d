"""Options of the estimators: what each does to training."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.metrics import log_loss, make_scorer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from chainrule import nn
from chainrule.estimators import BackpropClassifier, BackpropRegressor
from chainrule.estimators.network import Spec
from chainrule.nn import functional as F
from chainrule.train import Callback, TopKAccuracy

pytestmark = pytest.mark.usefixtures("interpreted")

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_iter": 40,
    "learning_rate_init": 0.02,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


@pytest.fixture(scope="module")
def two_classes():
    return make_classification(200, 6, n_informative=4, random_state=0)


# -- the same as scikit-learn's ------------------------------------------------------------------


def _take_over(theirs, ours):
    """Let their net start from the weights ours started from."""
    weights = ours._network.new_weights(ours._seed, np.float64)
    theirs.coefs_ = [v.T.copy() for k, v in weights.items() if k.endswith("weight")]
    theirs.intercepts_ = [v.copy() for k, v in weights.items() if k.endswith("bias")]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_training_is_scikit_learns(solver, classes, weighted):
    """Loss, penalty, weights of rows, partial batch, momentum: epoch by epoch the same numbers."""
    x, y = make_classification(
        50, 5, n_informative=4, n_redundant=0, n_classes=classes, random_state=0
    )
    w = np.random.default_rng(0).random(50) + 0.1 if weighted else None
    same = {
        "hidden_layer_sizes": (7, 4),
        "activation": "tanh",
        "solver": solver,
        "alpha": 0.5,
        "batch_size": 50 if weighted else 16,  # their weighted mean is of each batch
        "learning_rate_init": 0.01,
        "shuffle": False,
        "random_state": 0,
        "epsilon": 1e-14,  # ours is added to the corrected moment, theirs to the raw one
    }
    ours = BackpropClassifier(**same, max_iter=8).fit(x, y, w)
    theirs = MLPClassifier(**same).partial_fit(x, y, classes=np.unique(y), sample_weight=w)
    _take_over(theirs, ours)
    del theirs._optimizer
    theirs.loss_curve_.clear()
    for _ in range(8):
        theirs.partial_fit(x, y, sample_weight=w)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-5)
    assert ours.out_activation_ == theirs.out_activation_
    assert (ours.n_layers_, ours.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)


def test_labels_train_as_scikit_learns():
    x = np.random.default_rng(0).normal(size=(40, 5))
    y = (x[:, :3] > 0).astype(int)
    same = {"hidden_layer_sizes": (6,), "batch_size": 16, "shuffle": False, "random_state": 0}
    ours = BackpropClassifier(**same, max_iter=5).fit(x, y)
    theirs = MLPClassifier(**same).partial_fit(x, y, classes=[0, 1, 2])
    _take_over(theirs, ours)
    del theirs._optimizer
    theirs.loss_curve_.clear()
    for _ in range(5):
        theirs.partial_fit(x, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-5)


def test_regression_trains_as_scikit_learns_on_a_standardised_target():
    x, y = make_regression(40, 5, n_targets=2, random_state=0)
    y = (y - y.mean(0)) / y.std(0)
    same = {"hidden_layer_sizes": (6,), "batch_size": 16, "shuffle": False, "random_state": 0}
    ours = BackpropRegressor(**same, max_iter=5).fit(x, y)
    theirs = MLPRegressor(**same).partial_fit(x, y)
    _take_over(theirs, ours)
    del theirs._optimizer
    for _ in range(5):
        theirs.partial_fit(x, y)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-5)


@pytest.mark.parametrize("early", [False, True])
def test_stopping_is_scikit_learns_rule(early, two_classes):
    """More than n_iter_no_change epochs in a row below best + tol."""
    model = BackpropClassifier(
        (8,),
        max_iter=300,
        tol=1e-3,
        n_iter_no_change=4,
        learning_rate_init=0.02,
        early_stopping=early,
        random_state=0,
    ).fit(*two_classes)
    scores = model.validation_scores_ if early else [-v for v in model.loss_curve_]
    best, waited, end = -np.inf, 0, None
    for i, score in enumerate(scores):
        waited = waited + 1 if score < best + 1e-3 else 0
        best = max(best, score)
        if waited > 4:
            end = i + 1
            break
    assert end == model.n_iter_ == len(scores) < 300


def test_warm_start_continues_the_curve_and_starts_a_new_optimizer(iris):
    model = BackpropClassifier(**(QUICK | {"max_iter": 5}), warm_start=True).fit(*iris)
    seen = model.loss_curve_
    model.fit(*iris)
    assert model.loss_curve_[:5] == seen and len(model.loss_curve_) == 10
    assert (model.n_iter_, model.t_) == (5, 10 * 150)
    assert model._progress.step == 5  # of this call


# -- nets ----------------------------------------------------------------------------------------


def test_each_layer_has_its_activation_and_dropout(iris):
    x, y = iris
    options = {**QUICK, "hidden_layer_sizes": [12, 8]}
    model = BackpropClassifier(**options, activation=["tanh", "relu"], dropout=[0.0, 0.1])
    model.fit(x, y)
    assert model.score(x, y) > 0.9
    (w0, w1, w2), (b0, b1, b2) = model.coefs_, model.intercepts_
    z = np.maximum(np.tanh(x @ w0 + b0) @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(model.decision_function(x), z, rtol=1e-12)


def test_dropout_of_one_layer_only(iris):
    options = {**QUICK, "hidden_layer_sizes": (6, 6), "max_iter": 3}
    none, first, second = (
        BackpropClassifier(**options, dropout=p).fit(*iris).loss_curve_
        for p in ([0.0, 0.0], [0.4, 0.0], [0.0, 0.4])
    )
    assert none[0] != first[0] != second[0] != none[0]


def test_a_spec_with_layers_of_their_own_survives_json():
    spec = Spec(3, (4, 5), 2, ("relu", "tanh"), (0.1, 0.0))
    assert Spec.from_json(spec.to_json()) == spec


def test_no_hidden_layer_is_a_linear_model(iris):
    x, y = iris
    model = BackpropClassifier((), learning_rate_init=0.05, max_iter=100, random_state=0)
    assert model.fit(x, y).score(x, y) > 0.9
    assert [c.shape for c in model.coefs_] == [(4, 3)]


# -- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_losses_of_regression(loss):
    x, y = make_regression(200, 4, noise=1.0, random_state=0)
    model = BackpropRegressor(**QUICK, loss=loss).fit(x, 100 * y + 5000)
    assert model.score(x, 100 * y + 5000) > 0.9


def test_absolute_error_shrugs_at_outliers():
    x = np.linspace(-1, 1, 200)[:, None]
    y = 2 * x[:, 0]
    y[::10] += 50
    errors = {}
    for loss in ("squared_error", "absolute_error"):
        model = BackpropRegressor((16,), loss=loss, learning_rate_init=0.01, random_state=0)
        errors[loss] = np.abs(model.fit(x, y).predict(x) - 2 * x[:, 0]).mean()
    assert errors["absolute_error"] < 0.2 * errors["squared_error"]


def test_counts():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    rate = np.exp(1 + x[:, 0])
    model = BackpropRegressor(**QUICK, loss="poisson").fit(x, rng.poisson(rate))
    assert model.out_activation_ == "exp"
    assert (model.predict(x) > 0).all()
    assert np.corrcoef(model.predict(x), rate)[0, 1] > 0.95


@pytest.mark.parametrize("weighted", [False, True])
def test_a_loss_of_nn_sees_the_unit_of_the_target(weighted):
    """Huber's delta of 1 is 1 of the target's unit: far below its spread, so nearly |error|."""
    x, y = make_regression(200, 4, noise=1.0, random_state=0)
    w = np.ones(200) if weighted else None
    own = BackpropRegressor(**QUICK, loss=nn.HuberLoss(delta=1e-3)).fit(x, y, w)
    assert own.score(x, y) > 0.9
    assert own.loss_ < 1e-3 * np.abs(y).mean()


def quantile(prediction, target):
    """0.9 of the rows shall lie below."""
    d = target - prediction
    return (0.9 * d.clip(0, None) + 0.1 * (-d).clip(0, None)).mean(axis=1).mean()


def test_a_function_as_loss():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), 10 * rng.normal(size=400) + 100
    options = {**QUICK, "hidden_layer_sizes": (4,), "learning_rate_init": 0.01}
    model = BackpropRegressor(**options, loss=quantile).fit(x, y)
    assert 0.85 < (y < model.predict(x)).mean() < 0.95


def focal(prediction, target, reduction="mean"):
    """Cross entropy that cares less for what is nearly right."""
    ce = F.cross_entropy(prediction, target, reduction="none")
    each = (1 - (-ce).exp()) ** 2 * ce
    return each if reduction == "none" else each.mean()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=0.1), focal])
@pytest.mark.parametrize("classes", [2, 3])
def test_own_losses_of_classes(loss, classes, iris):
    x, y = iris
    x, y = (x[:100], y[:100]) if classes == 2 else (x, y)
    for weights in (None, np.ones(len(y))):
        model = BackpropClassifier(**QUICK, loss=loss).fit(x, y, weights)
        assert model.score(x, y) > 0.9
        assert model.coefs_[-1].shape[1] == classes
        assert np.allclose(model.predict_proba(x).sum(1), 1)
        chosen = model.decision_function(x)
        chosen = (chosen > 0).astype(int) if classes == 2 else chosen.argmax(1)
        assert (chosen == model.predict(x)).all()


def test_elementwise_loss_of_two_classes_and_of_labels(two_classes):
    x, y = two_classes
    rare = nn.BCEWithLogitsLoss(pos_weight=np.array([20.0]))
    plain, eager = (BackpropClassifier(**QUICK, loss=loss).fit(x, y) for loss in ("log_loss", rare))
    assert eager.coefs_[-1].shape[1] == 1
    assert eager.predict(x).mean() > plain.predict(x).mean()
    labels = np.stack([y, 1 - y], 1)
    assert (
        BackpropClassifier(**QUICK, loss=nn.BCEWithLogitsLoss()).fit(x, labels).score(x, labels)
        > 0.7
    )


# -- targets -------------------------------------------------------------------------------------


def test_several_targets_of_classes(iris):
    x, y = iris
    names = np.array(["a", "b", "c"], object)
    both = np.stack([names[y], names[(x[:, 0] > 0).astype(int)]], axis=1)
    model = BackpropClassifier(**QUICK).fit(x, both)
    assert [c.tolist() for c in model.classes_] == [["a", "b", "c"], ["a", "b"]]
    assert model.predict(x).shape == (150, 2)
    assert (model.predict(x) == both).mean() > 0.95
    first, second = model.predict_proba(x)
    assert first.shape == (150, 3) and second.shape == (150, 2)
    assert np.allclose(first.sum(1), 1) and np.allclose(
        np.exp(model.predict_log_proba(x)[1]), second
    )
    assert model.score(x, both) == (model.predict(x) == both).all(axis=1).mean()
    assert model.out_activation_ == "softmax"
    parts = BackpropClassifier(**QUICK)
    for _ in range(20):
        parts.partial_fit(x, both, classes=model.classes_)
    assert parts.score(x, both) > 0.8


def test_probabilities_of_labels(two_classes):
    x, y = two_classes
    labels = np.stack([y, 1 - y, y], 1)
    model = BackpropClassifier(**QUICK).fit(x, labels)
    p = model.predict_proba(x)
    assert p.shape == (200, 3)
    np.testing.assert_array_equal(p > 0.5, model.predict(x))
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-model.decision_function(x))))
    parts = BackpropClassifier(**QUICK).partial_fit(x, labels).partial_fit(x, labels)
    assert parts.predict(x).shape == (200, 3)


def test_class_weight_of_labels_and_balanced(two_classes):
    x, y = two_classes
    rare = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]]
    plain, fair = (
        BackpropClassifier(**QUICK, class_weight=w).fit(x[rare], y[rare])
        for w in (None, "balanced")
    )
    assert fair.predict(x).sum() > plain.predict(x).sum()
    labels = np.stack([y, 1 - y], 1)
    model = BackpropClassifier(**QUICK, class_weight=[{0: 1, 1: 9}, {0: 1, 1: 1}])
    assert model.fit(x, labels).predict(x)[:, 0].sum() > y.sum()


# -- scoring -------------------------------------------------------------------------------------


def wrong(estimator, x, y):
    """A scorer of the user's."""
    return -float((estimator.predict(x) != y).mean())


SCORINGS = [
    None,
    "loss",
    "accuracy",
    "auc",
    "f1",
    "roc_auc",
    "neg_log_loss",
    wrong,
    make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
]


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_on_any_measure(scoring, weighted, two_classes):
    x, y = two_classes
    w = np.random.default_rng(0).random(200) if weighted else None
    model = BackpropClassifier(
        **(QUICK | {"max_iter": 60}),
        early_stopping=True,
        scoring=scoring,
        validation_fraction=0.3,
        n_iter_no_change=3,
        tol=0.03,
    ).fit(x, y, w)
    assert model.n_iter_ < 60
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    smaller_is_better = scoring in ("loss", "neg_log_loss", wrong) or scoring is SCORINGS[-1]
    assert all((v <= 0) == smaller_is_better for v in model.validation_scores_ if v)


def test_the_best_epoch_is_kept_and_scored_right(two_classes):
    """What the native metrics and scikit-learn's scorers say of the same epochs is the same."""
    x, y = two_classes
    curves = [
        BackpropClassifier(**QUICK, early_stopping=True, scoring=s, tol=0.0, n_iter_no_change=40)
        .fit(x, y)
        .validation_scores_
        for s in (None, "accuracy", lambda m, x, y: m.score(x, y), "loss", "neg_log_loss")
    ]
    np.testing.assert_allclose(curves[0], curves[1])
    np.testing.assert_allclose(curves[0], curves[2], rtol=1e-6)
    np.testing.assert_allclose(curves[3], curves[4], rtol=1e-5)


def test_early_stopping_on_a_metric_object(iris):
    options = {**QUICK, "early_stopping": True, "scoring": TopKAccuracy(2), "n_iter_no_change": 2}
    model = BackpropClassifier(**options).fit(*iris)
    assert model.n_iter_ < 40 and model.best_validation_score_ > 0.9


@pytest.mark.parametrize("scoring", [None, "r2", "mae", "rmse", "loss", "neg_mean_absolute_error"])
def test_early_stopping_of_regression(scoring):
    x, y = make_regression(200, 4, noise=20.0, random_state=0)
    model = BackpropRegressor(
        **QUICK, early_stopping=True, scoring=scoring, tol=0.01, n_iter_no_change=2
    ).fit(x, y)
    assert model.n_iter_ < 40 and model.score(x, y) > 0.5


# -- rates and callbacks -------------------------------------------------------------------------


class Watch(Callback):
    """Notes the learning rate of each epoch."""

    def __init__(self):
        self.rates = []

    def __deepcopy__(self, memo):
        return self

    def on_epoch_begin(self, trainer, epoch):
        self.rates.append(trainer.optimizer.param_groups[0]["lr"])


def test_learning_rates(iris):
    found = {}
    for rate in ("constant", "invscaling", "cosine", "adaptive"):
        watch = Watch()
        options = {**QUICK, "max_iter": 6, "solver": "sgd", "n_iter_no_change": 1, "tol": 10.0}
        BackpropClassifier(**options, learning_rate=rate, callbacks=[watch]).fit(*iris)
        found[rate] = watch.rates
    t = 150 * np.arange(6)
    np.testing.assert_allclose(found["constant"], [0.02] * 3)  # and stops
    np.testing.assert_allclose(found["invscaling"], 0.02 / np.sqrt(t[:3] + 1))
    np.testing.assert_allclose(found["cosine"], 0.01 * (1 + np.cos(np.pi * np.arange(3) / 6)))
    np.testing.assert_allclose(found["adaptive"], [0.02] * 3 + [0.004] * 2 + [0.0008])


def test_an_adaptive_rate_ends_when_it_is_tiny(iris):
    options = {**QUICK, "max_iter": 60, "n_iter_no_change": 1, "tol": 10.0}
    model = BackpropClassifier(**(options | {"learning_rate_init": 1e-5}), learning_rate="adaptive")
    assert model.fit(*iris).n_iter_ == 7  # 1e-5, 2e-6, then 4e-7 is too small


def test_callbacks_of_the_trainer(iris):
    losses = []
    model = BackpropClassifier(
        **QUICK, callbacks=lambda trainer, epoch, logs: losses.append(logs["loss"])
    ).fit(*iris)
    assert losses == model.loss_curve_ == model.history_["loss"]


def test_verbose_shows_progress(iris, capsys):
    BackpropClassifier(**(QUICK | {"max_iter": 2}), verbose=True).fit(*iris)
    assert "loss" in capsys.readouterr().err
