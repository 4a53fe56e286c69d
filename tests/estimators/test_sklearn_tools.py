"""The estimators among scikit-learn's tools: pipelines, searches, calibration, pickles."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.ensemble import BaggingClassifier, StackingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chainrule.backends.cpu.threads import pool as threads
from chainrule.estimators import BackpropClassifier, BackpropRegressor
from chainrule.estimators import session as sessions

pytestmark = pytest.mark.usefixtures("interpreted")

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate_init": 0.03, "random_state": 0}
CLASSIFIER = BackpropClassifier(**QUICK)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


@pytest.fixture(scope="module")
def two_classes():
    return make_classification(120, 6, n_informative=4, random_state=0)


# -- compiled programs are shared ----------------------------------------------------------------


def test_an_equal_fit_traces_nothing(iris, monkeypatch):
    """Other seeds, rates, penalties and numbers are data of the program."""
    x, y = iris
    first = BackpropClassifier(**QUICK).fit(x, y)
    traced = []
    original = sessions.Trainer.training_step
    monkeypatch.setattr(
        sessions._Regularized,
        "training_step",
        lambda self, *a: traced.append(1) or original(self, *a),
    )
    options = QUICK | {"random_state": 1, "learning_rate_init": 0.01, "alpha": 0.3, "max_iter": 5}
    second = BackpropClassifier(**options).fit(x[::-1], y[::-1])
    assert not traced
    assert not np.array_equal(first.coefs_[0], second.coefs_[0])
    BackpropClassifier(**(options | {"hidden_layer_sizes": (9,)})).fit(x, y)
    assert traced


def test_a_shared_program_keeps_nothing_of_the_last_fit(iris):
    """Whatever was trained in between: the same bits."""
    x, y = iris
    options = {**QUICK, "dropout": 0.3, "max_iter": 5}
    a = BackpropClassifier(**options).fit(x, y)
    BackpropClassifier(**(options | {"random_state": 5})).partial_fit(x, y, [0, 1, 2])
    b = BackpropClassifier(**options).fit(x, y)
    sessions._idle.clear()
    c = BackpropClassifier(**options).fit(x, y)
    for other in (b, c):
        assert a.loss_curve_ == other.loss_curve_
        assert all(np.array_equal(p, q) for p, q in zip(a.coefs_, other.coefs_, strict=True))


def test_parts_of_two_models_in_turn(iris):
    """partial_fit continues its own optimizer, dropout and order of rows."""
    x, y = iris
    options = {**QUICK, "dropout": 0.3, "batch_size": 32}
    alone = BackpropClassifier(**options)
    for _ in range(4):
        alone.partial_fit(x, y, [0, 1, 2])
    pair = [BackpropClassifier(**(options | {"random_state": s})) for s in (0, 1)]
    for _ in range(4):
        for model in pair:
            model.partial_fit(x, y, [0, 1, 2])
            pickle.loads(pickle.dumps(model))
    assert all(np.array_equal(p, q) for p, q in zip(alone.coefs_, pair[0].coefs_, strict=True))


def test_few_sessions_are_kept(iris, monkeypatch):
    monkeypatch.setattr(sessions, "KEPT", 2)
    sizes = [1, 2, 3]
    for n in sizes:
        BackpropClassifier((n,), max_iter=1).fit(*iris)
    assert [s.spec.hidden[0] for _, s in sessions._idle] == sizes[-2:]


# -- searches and processes ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_search_in_parallel_is_the_search_alone(backend, iris):
    pipe = make_pipeline(StandardScaler(), CLASSIFIER)
    grid = {"backpropclassifier__alpha": [1e-4, 10.0], "backpropclassifier__activation": ["tanh"]}
    alone = GridSearchCV(pipe, grid, cv=2).fit(*iris)
    inner = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with parallel_config(backend, **inner):
        both = GridSearchCV(pipe, grid, cv=2, n_jobs=2).fit(*iris)
    assert alone.best_score_ > 0.85
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], both.cv_results_["mean_test_score"]
    )


def _threads_of_a_worker():
    return threads.get_num_threads()


@pytest.fixture
def five_cpus(monkeypatch):
    monkeypatch.delenv("CHAINRULE_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "available_cpus", lambda: 5)
    monkeypatch.setattr(threads, "_chosen", None)
    threads._default_threads.cache_clear()
    yield monkeypatch
    threads._default_threads.cache_clear()


def test_workers_of_joblib_share_the_cores(monkeypatch):
    monkeypatch.delenv("CHAINRULE_NUM_THREADS", raising=False)
    with parallel_config("loky", inner_max_num_threads=1):
        found = Parallel(n_jobs=2)(delayed(_threads_of_a_worker)() for _ in range(2))
    assert found == [1, 1]


def test_omp_num_threads_counts_and_chainrules_own_counts_more(five_cpus):
    for omp, own, expected in (
        ("3", "", 3),
        ("2,4", "", 2),
        ("64", "", 5),
        ("nonsense", "", 5),
        ("3", "4", 4),
    ):
        five_cpus.setenv("OMP_NUM_THREADS", omp)
        five_cpus.setenv("CHAINRULE_NUM_THREADS", own)
        threads._default_threads.cache_clear()
        assert threads.get_num_threads() == expected


def test_fits_in_threads_divide_the_cores(five_cpus, iris):
    """Two fits at once on five cores: two threads each; afterwards all five again."""
    seen, meet = [], threading.Barrier(2)

    def note(trainer, epoch, logs):
        if epoch == 0:
            meet.wait(60)
            seen.append(threads.get_num_threads())
            meet.wait(60)

    models = [BackpropClassifier(**QUICK, callbacks=note) for _ in range(2)]
    working = [threading.Thread(target=m.fit, args=iris) for m in models]
    for t in working:
        t.start()
    for t in working:
        t.join()
    assert seen == [2, 2]
    assert threads.get_num_threads() == 5
    assert all(np.array_equal(*pair) for pair in zip(*(m.coefs_ for m in models), strict=True))


# -- tools ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_a_table(frame):
    rng = np.random.default_rng(0)
    table = frame({"size": rng.normal(size=80), "kind": rng.choice(["a", "b", "c"], 80)})
    y = np.asarray(table["size"]) + (np.asarray(table["kind"]) == "a") > 0.3
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["size"]),
            ("words", OneHotEncoder(sparse_output=False), ["kind"]),
        ]
    ).set_output(transform="pandas" if frame is pd.DataFrame else "polars")
    model = make_pipeline(columns, BackpropClassifier(**QUICK)).fit(table, y)
    assert model.score(table, y) > 0.85
    names = ["numbers__size", "words__kind_a", "words__kind_b", "words__kind_c"]
    assert model[-1].feature_names_in_.tolist() == names
    assert model[-1].n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names"):
        model[-1].predict(columns.transform(table)[names[::-1]])


def test_predictions_across_folds(iris):
    x, y = iris
    assert (cross_val_predict(CLASSIFIER, x, y, cv=3) == y).mean() > 0.9
    p = cross_val_predict(CLASSIFIER, x, y, cv=3, method="predict_proba")
    assert p.shape == (150, 3)
    found = cross_validate(CLASSIFIER, x, y, cv=3, scoring=["roc_auc_ovr", "neg_log_loss"])
    assert found["test_roc_auc_ovr"].mean() > 0.97


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(method, two_classes):
    model = CalibratedClassifierCV(CLASSIFIER, method=method, cv=3).fit(*two_classes)
    assert model.score(*two_classes) > 0.8


def test_importance_by_permutation(two_classes):
    x, y = two_classes
    x = np.hstack([x, np.zeros((len(x), 1))])
    found = permutation_importance(CLASSIFIER.fit(x, y), x, y, n_repeats=3, random_state=0)
    assert found.importances_mean[-1] == 0 < found.importances_mean.max()


def test_ensembles_and_wrappers(two_classes):
    x, y = two_classes
    assert BaggingClassifier(CLASSIFIER, 3, random_state=0).fit(x, y).score(x, y) > 0.8
    both = MultiOutputClassifier(CLASSIFIER).fit(x, np.stack([y, 1 - y], 1))
    assert both.predict(x).shape == (120, 2)
    x, y = make_regression(80, 4, random_state=0)
    stack = StackingRegressor([("net", BackpropRegressor(**QUICK)), ("line", LinearRegression())])
    assert stack.fit(x, y).score(x, y) > 0.9


def test_row_weights_are_routed(two_classes):
    x, y = two_classes
    w = np.where(y == 1, 0.0, 1.0) + 1e-9
    with sklearn.config_context(enable_metadata_routing=True):
        asked = BackpropClassifier(**QUICK).set_fit_request(sample_weight=True)
        scores = cross_val_score(make_pipeline(StandardScaler(), asked), x, y, cv=2)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        weighted = cross_validate(
            make_pipeline(scaler, asked),
            x,
            y,
            cv=2,
            scoring=make_scorer(accuracy_score).set_score_request(sample_weight=False),
            params={"sample_weight": w},
            return_estimator=True,
        )
    assert scores.mean() > 0.7
    assert all((m.predict(x) == 0).all() for m in weighted["estimator"])


@pytest.mark.parametrize("tool", ["pickle", "cloudpickle"])
@pytest.mark.parametrize("kind", [BackpropClassifier, BackpropRegressor])
def test_pickles_predict_the_same_and_train_on_the_same(tool, kind, iris):
    x, y = iris
    tool = pytest.importorskip(tool)
    model = kind(**QUICK, dropout=0.1).fit(x, y)
    again = tool.loads(tool.dumps(model))
    assert np.array_equal(again.predict(x), model.predict(x))
    assert again.loss_curve_ == model.loss_curve_ and again.get_params() == model.get_params()
    model.partial_fit(x, y)
    again.partial_fit(x, y)
    assert all(np.array_equal(p, q) for p, q in zip(model.coefs_, again.coefs_, strict=True))
    assert not hasattr(clone(again), "coefs_")
