"""What Keras calls by another name and is here as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.callbacks import (
    Callback,
    CSVLogger,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from chainrule.errors import CheckpointError, DataError, OptionError, WriteError

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def trainer(loss: Any = "cross_entropy", outputs: int = 2, **options: Any) -> Any:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))
    return cr.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), **options)


def fitted(t: Any, *callbacks: Any, epochs: int = 3) -> Any:
    return t.fit(X, Y, epochs=epochs, batch_size=8, progress=False, callbacks=[*callbacks])


# -- callbacks -------------------------------------------------------------------------------------
def test_methods_of_a_class_that_was_written_for_keras() -> None:
    class Kept(Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.seen.append(("begin", self.trainer.epoch))  # type: ignore[attr-defined]

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # type: ignore[override]
            self.seen.append(("epoch", epoch))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append((batch, sorted(logs)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # type: ignore[override]
            self.seen.append((epoch, round(logs["loss"], 6)))

        def on_train_end(self, logs: Any = None) -> None:
            self.seen.append(("end", round(logs["loss"], 6)))

    kept = Kept()
    losses = [round(x, 6) for x in fitted(trainer(), kept, epochs=2)["loss"]]
    batches = [(i, ["loss"]) for i in range(3)]
    first = [("begin", 0), ("epoch", 0), *batches, (0, losses[0])]
    assert kept.seen == [*first, ("epoch", 1), *batches, (1, losses[1]), ("end", losses[1])]


def test_functions_of_epoch_and_logs() -> None:
    seen: list[Any] = []
    found = fitted(
        trainer(),
        lambda epoch, logs: seen.append((epoch, logs["loss"])),
        LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"])),
        lambda trainer, epoch, logs: seen.append(trainer.epoch),
        epochs=1,
    )
    assert seen == [(0, found["loss"][0]), found["loss"][0], 1]
    with pytest.raises(OptionError, match="there is no on_test_end; there are on_train_begin"):
        LambdaCallback(on_test_end=print)


def test_a_method_of_both_worlds_is_called_as_it_is_written() -> None:
    class Mixed(Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.began = True

        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            self.ended = (type(trainer).__name__, epoch)

    mixed = Mixed()
    fitted(trainer(), mixed, epochs=1)
    assert mixed.began and mixed.ended == ("Trainer", 0)


def test_rates_by_epoch() -> None:
    rates: list[float] = []

    def note(trainer: Any, epoch: int, logs: Any) -> None:
        rates.append(trainer.optimizer.param_groups[0]["lr"])

    t = trainer()
    fitted(t, LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch else rate), note)
    assert rates == [0.1, 0.05, 0.025]
    by_hand = trainer()
    for rate in (0.1, 0.05, 0.025):
        by_hand.optimizer.param_groups[0]["lr"] = rate
        fitted(by_hand, epochs=1)
    assert all(map(np.array_equal, t.model.get_weights(), by_hand.model.get_weights()))
    fitted(trainer(), LearningRateScheduler(lambda epoch: 0.3), note, epochs=1)
    assert rates[3:] == [0.3]
    with pytest.raises(OptionError, match="a function of the epoch and the rate"):
        LearningRateScheduler(0.1)  # type: ignore[arg-type]


def test_rates_on_a_plateau_fall_when_keras_lowers_them() -> None:
    rates: list[float] = []
    callback = ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=1e9)

    def note(trainer: Any, epoch: int, logs: Any) -> None:
        rates.append(trainer.optimizer.param_groups[0]["lr"])

    fitted(trainer(), callback, note, epochs=6)  # the first is the best, then 2 that are not
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


# -- models and trainers ---------------------------------------------------------------------------
def test_probabilities_are_what_the_loss_understands() -> None:
    outputs = trainer().predict(X)
    np.testing.assert_allclose(trainer().predict_proba(X), cr.softmax(outputs, 1).numpy(), 1e-6)
    assert (trainer("nll").predict_proba(X) == np.exp(outputs)).all()
    single = trainer("bce_with_logits", 1)
    np.testing.assert_allclose(
        single.predict_proba(X), 1 / (1 + np.exp(-single.predict(X))), rtol=1e-6
    )
    several = trainer(nn.MultiLabelSoftMarginLoss(), 2)
    said, answers = several.predict_proba(X), np.stack([Y, 1 - Y], 1).astype("float32")
    np.testing.assert_allclose(said, 1 / (1 + np.exp(-several.predict(X))), rtol=1e-6)
    accuracy = several.evaluate(X, answers, metrics=["accuracy"])["accuracy"]
    assert accuracy == pytest.approx(((said > 0.5) == answers).mean())
    with pytest.raises(OptionError, match="predict_proba: MSELoss does not say what is probable"):
        trainer("mse").predict_proba(X)


def test_a_batch_is_an_epoch_of_one_step() -> None:
    t, whole = trainer(metrics=["accuracy"]), trainer(metrics=["accuracy"])
    found = t.train_on_batch(X, Y)
    history = whole.fit(X, Y, epochs=1, batch_size=24, shuffle=False, progress=False)
    assert found == {name: values[-1] for name, values in history.items()}
    assert (t.step, t.epoch, sorted(found)) == (1, 1, ["accuracy", "loss"])
    assert all(map(np.array_equal, t.model.get_weights(), whole.model.get_weights()))


def test_words_of_a_model(capsys: Any) -> None:
    model = trainer().model
    assert model.count_params() == 26 and model.layers == list(model)
    model.summary()
    assert capsys.readouterr().out.strip() == str(nn.summary(model, (1, 3)))
    weights = [w + 1 for w in model.get_weights()]
    model.set_weights(weights)
    assert all(map(np.array_equal, model.get_weights(), weights))
    with pytest.raises(CheckpointError, match="Sequential has 4 arrays, got 3"):
        model.set_weights(weights[:3])
    with pytest.raises(OptionError, match="summary: Conv2d, the first layer, does not say"):
        nn.Sequential(nn.Conv2d(1, 2, 3)).summary()


def test_dense_is_a_layer_and_its_activation() -> None:
    model = nn.Sequential(nn.Dense(4, activation="relu"), nn.Dense(2, use_bias=False))
    cr.Trainer(model, "cross_entropy", "adam").fit(X, Y, epochs=1, progress=False)
    assert model.count_params() == 3 * 4 + 4 + 4 * 2 and isinstance(model[0][1], nn.ReLU)
    assert len(nn.Dense(3, "linear")) == 1 and isinstance(nn.Dense(3, nn.Tanh())[1], nn.Tanh)
    assert np.allclose(nn.Dense(3, "softmax")(X).sum(1).numpy(), 1)
    with pytest.raises(OptionError, match="no activation is called 'relo'; there are relu"):
        nn.Dense(3, "relo")


def test_labels_as_rows() -> None:
    assert cr.utils.to_categorical(Y, 3).tolist() == np.eye(3)[Y].tolist()
    with pytest.raises(DataError, match="label 1, but num_classes is 1"):
        cr.data.to_categorical(Y, 1)
    with pytest.raises(DataError, match="labels are integers"):
        cr.data.to_categorical(X)


def test_a_table_of_measures_that_cannot_be_written_is_named(tmp_path: Any) -> None:
    (tmp_path / "log.csv").mkdir()
    log = CSVLogger(tmp_path / "elsewhere.csv")
    log.path = str(tmp_path / "log.csv")
    with pytest.raises(WriteError, match=r"log\.csv cannot be written: "):
        fitted(trainer(), log, epochs=1)
