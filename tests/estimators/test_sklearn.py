"""The estimators behave as scikit-learn expects, and as their documentation says."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from chainrule.errors import DataError
from chainrule.estimators import BackpropClassifier, BackpropRegressor

QUICK = {"hidden_layer_sizes": (16,), "max_iter": 60, "learning_rate_init": 0.01}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BackpropClassifier, BackpropRegressor])
def test_check_estimator_has_no_failure(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's checks provoke warnings
        results = check_estimator(kind(**QUICK), on_fail=None)
    assert len(results) > 50
    assert [
        (r["check_name"], r["exception"])
        for r in results
        if r["status"] not in ("passed", "skipped")
    ] == []


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kind", [BackpropClassifier, BackpropRegressor])
def test_some_checks_of_scikit_learn(kind):
    """One in five of those above."""
    checks = list(estimator_checks_generator(kind(**QUICK)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, check in checks[::5]:
            check(model)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def test_classes_may_be_words(iris):
    x, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = BackpropClassifier(**QUICK, random_state=0).fit(x, names)
    assert model.score(x, names) > 0.95
    assert set(model.predict(x)) == set(names)
    assert np.allclose(model.predict_proba(x).sum(1), 1)
    assert np.allclose(np.exp(model.predict_log_proba(x)), model.predict_proba(x))


def test_the_same_seed_is_the_same_model_and_another_is_not(iris):
    x, y = iris
    a, b, c = (
        BackpropClassifier(**QUICK, dropout=0.2, random_state=s).fit(x, y) for s in (0, 0, 1)
    )
    assert all(np.array_equal(p, q) for p, q in zip(a.coefs_, b.coefs_, strict=True))
    assert not np.array_equal(a.coefs_[0], c.coefs_[0])


def test_pickle_predicts_the_same_and_trains_on(iris):
    x, y = iris
    model = BackpropClassifier(**QUICK, random_state=0).fit(x, y)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(x), model.predict_proba(x))
    before = copy.coefs_[0].copy()
    copy.partial_fit(x, y)
    assert not np.array_equal(before, copy.coefs_[0])


def test_pipeline_grid_search_clone():
    x, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), BackpropClassifier(**QUICK, random_state=0))
    search = GridSearchCV(
        pipe, {"backpropclassifier__hidden_layer_sizes": [(4,), (16,)]}, cv=2
    ).fit(x, y)
    assert search.best_score_ > 0.85
    assert clone(search.best_estimator_).get_params().keys() == pipe.get_params().keys()


def test_partial_fit_learns_in_parts(iris):
    x, y = iris
    model = BackpropClassifier((16,), learning_rate_init=0.02, random_state=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        rows = rng.permutation(150)[:100]
        model.partial_fit(x[rows], y[rows], classes=[0, 1, 2])
    assert model.score(x, y) > 0.9
    assert model.n_iter_ == 30


def test_partial_fit_keeps_the_optimizer(iris):
    x, y = iris
    options = {**QUICK, "batch_size": 150, "random_state": 0, "tol": 0.0, "n_iter_no_change": 100}
    whole = BackpropClassifier(**{**options, "max_iter": 5}).fit(x, y)
    parts = BackpropClassifier(**options)
    for _ in range(5):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    for a, b in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_warm_start_goes_on(iris):
    x, y = iris
    model = BackpropClassifier((16,), max_iter=5, warm_start=True, random_state=0).fit(x, y)
    first = model.loss_
    assert model.fit(x, y).loss_ < first
    with pytest.raises(DataError, match="warm_start can only be used where y has the same classes"):
        model.fit(x, y + 1)


def test_weights_are_repetitions(iris):
    x, y = iris
    w = np.random.default_rng(0).integers(0, 4, len(x))
    options = {**QUICK, "batch_size": 1000, "random_state": 0}
    a = BackpropClassifier(**options).fit(x, y, w)
    b = BackpropClassifier(**options).fit(np.repeat(x, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(a.predict_proba(x), b.predict_proba(x), atol=1e-9)


def test_class_weight_is_sample_weight(iris):
    x, y = iris
    options = {**QUICK, "random_state": 0}
    a = BackpropClassifier(**options, class_weight={0: 1, 1: 5, 2: 1}).fit(x, y)
    b = BackpropClassifier(**options).fit(x, y, np.where(y == 1, 5.0, 1.0))
    np.testing.assert_array_equal(a.predict_proba(x), b.predict_proba(x))


def test_several_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = (x[:, :3] > 0).astype(int)
    model = BackpropClassifier(**QUICK, random_state=0).fit(x, y)
    assert model.predict(x).shape == (200, 3)
    assert (model.predict(x) == y).mean() > 0.9


def test_several_targets_in_their_units():
    x, y = make_regression(300, 5, n_informative=5, n_targets=3, random_state=0)
    model = BackpropRegressor(**QUICK, random_state=0).fit(x, 1e4 * y + 1e6)
    assert model.predict(x).shape == (300, 3)
    assert model.score(x, 1e4 * y + 1e6) > 0.95


def test_two_classes_in_minibatches():
    x, y = make_classification(300, 4, random_state=0)
    assert (
        BackpropClassifier((4,), max_iter=60, learning_rate_init=0.05, random_state=0)
        .fit(x, y)
        .score(x, y)
        > 0.8
    )


def test_early_stopping_holds_rows_out():
    x, y = make_classification(300, 8, n_informative=6, n_redundant=0, n_classes=3, random_state=0)
    model = BackpropClassifier(
        (32,),
        max_iter=300,
        learning_rate_init=0.02,
        early_stopping=True,
        n_iter_no_change=3,
        random_state=0,
    ).fit(x, y)
    assert model.n_iter_ < 300
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)


@pytest.mark.parametrize("solver", ["adamw", "sgd", "rmsprop", "nadam"])
def test_solvers(solver, iris):
    x, y = iris
    lr = 0.1 if solver == "sgd" else 0.01
    model = BackpropClassifier(
        (16,), solver=solver, learning_rate_init=lr, max_iter=60, random_state=0
    )
    assert model.fit(x, y).score(x, y) > 0.9


def test_float32_stays_float32(iris):
    x, y = iris
    assert BackpropClassifier(**QUICK).fit(x.astype(np.float32), y).coefs_[0].dtype == np.float32
    assert BackpropClassifier(**QUICK).fit(x, y).coefs_[0].dtype == np.float64
