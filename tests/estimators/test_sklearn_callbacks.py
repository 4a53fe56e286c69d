"""scikit-learn's callback protocol: each epoch is a task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from chainrule.estimators import BackpropClassifier, BackpropRegressor

callback = pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate_init": 0.03, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


class Record:
    """Notes what it is told."""

    def __init__(self, stop_after=None):
        self.calls, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name, context.max_subtasks))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append(("begin", context.task_name, context.task_id, X, y, metadata))

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        name, number = context.task_name, context.task_id
        first_weight = fitted_estimator.coefs_[0][0, 0]
        self.calls.append(("end", name, number, first_weight, fitted_estimator.predict(X)))
        return self.stop_after is not None and context.task_id + 1 == self.stop_after

    def teardown(self, estimator, context):
        self.calls.append(("teardown",))


@pytest.mark.parametrize("kind", [BackpropClassifier, BackpropRegressor])
def test_tasks_are_epochs(kind, iris):
    x, y = iris
    w = np.ones(150)
    record = Record()
    model = kind(**(QUICK | {"max_iter": 3})).set_callbacks(record)
    model.fit(x, y, sample_weight=w)
    kinds = [c[:3] for c in record.calls]
    assert kinds[0] == ("setup", "fit", 3) and kinds[-1] == ("teardown",)
    assert kinds[1] == ("begin", "fit", 0) and kinds[-2][:2] == ("end", "fit")
    assert kinds[2:-2] == [(k, "epoch", i) for i in range(3) for k in ("begin", "end")]
    _, _, _, given_x, given_y, metadata = record.calls[1]
    assert given_x is x and given_y is y and metadata["sample_weight"] is w
    ends = [c[3:] for c in record.calls if c[0] == "end"]
    weights = [w for w, _ in ends]
    assert len(set(weights[:3])) == 3 and weights[2] == weights[3]  # the net of each epoch
    assert np.array_equal(ends[-1][1], model.predict(x))


def test_a_callback_stops_the_fit(iris):
    model = BackpropClassifier(**QUICK).set_callbacks(Record(stop_after=4)).fit(*iris)
    assert model.n_iter_ == 4
    assert "_callback_fit_ctx" not in model.__dict__


def test_teardown_comes_after_a_mistake(iris):
    record = Record()
    with pytest.raises(ValueError):
        BackpropClassifier(solver="no").set_callbacks(record).fit(*iris)
    with pytest.raises(ValueError):
        BackpropClassifier(activation="no").set_callbacks(record).fit(*iris)
    names = [c[0] for c in record.calls]
    assert names.count("setup") == names.count("teardown")


def test_only_scikit_learns_callbacks_are_set(iris):
    with pytest.raises(TypeError, match="FitCallback protocol"):
        BackpropClassifier().set_callbacks(lambda *a: None)


def test_scoring_monitor(iris):
    x, y = iris
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = BackpropClassifier(**(QUICK | {"max_iter": 5})).set_callbacks(monitor)
    model.fit(pd.DataFrame(x, columns=list("abcd")), y)
    rows = monitor.get_logs().data
    scores = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    assert len(scores) == 5 and scores[-1] > scores[0]


def test_progress_bar_through_a_search(iris, capsys):
    search = GridSearchCV(
        BackpropClassifier(**(QUICK | {"max_iter": 2})), {"alpha": [0.1, 1.0]}, cv=2
    ).set_callbacks(callback.ProgressBar(max_propagation_depth=None))
    search.fit(*iris)
    assert "BackpropClassifier" in capsys.readouterr().out
