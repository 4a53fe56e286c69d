"""Ctrl-C and errors in the midst of an estimator's training: what was learned is kept."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.errors import CheckpointError
from chainrule.estimators import BackpropClassifier, BackpropRegressor, TableModel
from chainrule.train import Callback

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype(int)
TABLE = {"a": X[:, 0], "b": X[:, 1], "y": X[:, 0] * 2 + X[:, 1]}


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def at(epoch: int, act: Callable[[], object]) -> Any:
    return lambda trainer, now, logs: act() if now == epoch else None


def press(times: int = 1) -> Callable[[], None]:
    def act() -> None:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)

    return act


def fail() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("kind", [BackpropClassifier, BackpropRegressor])
@pytest.mark.parametrize("epoch", [0, 4, 19])  # the last one too
def test_an_estimator_keeps_what_it_has_learned_and_says_so(kind: Any, epoch: int) -> None:
    options: dict[str, Any] = {"n_iter_no_change": 100, "random_state": 0}
    est = kind((8,), max_iter=20, callbacks=at(epoch, press()), **options)
    with pytest.warns(UserWarning) as warned:
        assert est.fit(X, Y) is est
    assert str(warned[0].message) == (
        f"Training interrupted by user, after {epoch + 1} of 20 epochs: the {kind.__name__} keeps "
        "what it has learned"
    )
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as many epochs as were wanted
        straight = kind((8,), max_iter=epoch + 1, callbacks=at(99, press()), **options).fit(X, Y)
    assert est.n_iter_ == len(est.loss_curve_) == epoch + 1
    assert (est.predict(X) == straight.predict(X)).all()
    for a, b in zip(est.coefs_, straight.coefs_, strict=True):
        assert (a == b).all()


def test_early_stopping_keeps_the_best_epoch() -> None:
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.1, 0.1])
    seen: list[Any] = []

    def score(estimator: Any, x: Any, y: Any) -> float:
        seen.append(estimator.coefs_[0].copy())
        return next(scores)

    est = BackpropClassifier(
        (8,), max_iter=6, early_stopping=True, scoring=score, callbacks=at(3, press())
    )
    with pytest.warns(UserWarning, match="4 of 6 epochs.*as it was after the best epoch"):
        est.fit(X, Y)
    assert est.best_validation_score_ == 0.9 and len(est.validation_scores_) == 4
    assert (est.coefs_[0] == seen[1]).all() and (est.coefs_[0] != seen[3]).any()


def test_within_the_first_epoch_and_in_partial_fit() -> None:
    class Early(Callback):
        every = 1

        def on_steps(self, trainer: Any, step: int, logs: Any) -> None:
            if step == 2:
                press()()

    est = BackpropClassifier((8,), batch_size=20, callbacks=Early())
    with pytest.warns(UserWarning, match="after 0 of 200 epochs"):
        est.fit(X, Y)
    assert est.n_iter_ == 0 and est.loss_curve_ == [] and np.isnan(est.loss_)
    assert est.predict(X).shape == (300,)
    est = BackpropClassifier((8,), batch_size=20, callbacks=at(0, press()))
    with pytest.warns(UserWarning, match="after 1 of 1 epochs"):
        est.partial_fit(X, Y, classes=[0, 1])
    est.callbacks = None
    est.partial_fit(X, Y)
    assert est.n_iter_ == 2 and est._progress.epoch == 2


def test_a_second_press_and_one_before_the_first_step_raise() -> None:
    class Before(Callback):
        def on_fit_begin(self, trainer: Any) -> None:
            raise KeyboardInterrupt

    for callback in (at(1, press(2)), Before()):
        est = BackpropClassifier((8,), callbacks=callback)
        with pytest.raises(KeyboardInterrupt):
            est.fit(X, Y)
        assert not hasattr(est, "coefs_")
    est.callbacks = None
    est.max_iter = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert est.fit(X, Y).n_iter_ == 2


def test_after_an_error_of_a_callback_the_estimator_has_what_was_learned() -> None:
    est = BackpropRegressor((8,), callbacks=at(3, fail), random_state=0)
    with pytest.raises(ZeroDivisionError):
        est.fit(X, Y)
    assert est.n_iter_ == 4 and est.predict(X).shape == (300,)
    est = BackpropRegressor((8,), callbacks=at(0, fail), early_stopping=True, random_state=0)
    with pytest.raises(ZeroDivisionError):
        est.fit(X, Y)
    assert np.isfinite(est.best_validation_score_)


def table_model(epochs: int = 30, patience: int | None = 20, **options: Any) -> TableModel:
    training = {"epochs": epochs, "lr": 0.01}
    return TableModel.fit(TABLE, "y", hidden=(8,), training=training, patience=patience, **options)


def same(a: TableModel, b: TableModel) -> bool:
    return all((v == b.weights[k]).all() for k, v in a.weights.items())


def test_a_table_model_is_what_was_learned_until_then(tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as warned:
        model = table_model(callbacks=at(4, press()), patience=None)
    assert str(warned[0].message) == (
        "Training interrupted by user, after 5 of 30 epochs: the model is as it was then"
    )
    assert warned[0].filename == __file__
    assert model.interrupted and model.history.stopped == "interrupted"
    assert model.training["epochs_run"] == 5 and set(model.metrics) == {"rmse", "mae", "r2"}
    straight = table_model(5, None, callbacks=Callback())
    assert same(model, straight) and not straight.interrupted
    with pytest.warns(UserWarning, match="the model is that of the best of them"):
        table_model(callbacks=at(4, press()))
    with pytest.raises(KeyboardInterrupt):
        table_model(callbacks=at(4, press(2)))
    with pytest.raises(ZeroDivisionError):
        table_model(callbacks=at(4, fail))


def test_a_table_model_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    straight = table_model(callbacks=Callback(), schedule="cosine")
    options: dict[str, Any] = {"checkpoint": tmp_path, "schedule": "cosine"}
    with pytest.warns(UserWarning, match="interrupted"):
        assert not same(table_model(callbacks=at(7, press()), **options), straight)
    resumed = table_model(callbacks=Callback(), **options)
    assert same(resumed, straight)
    assert resumed.history.history == straight.history.history
    assert same(table_model(callbacks=Callback(), **options), straight)  # it is over
    with pytest.raises(CheckpointError, match=r"model.activations\[0\] differ: ReLU there, Tanh"):
        table_model(callbacks=Callback(), activation="tanh", **options)
