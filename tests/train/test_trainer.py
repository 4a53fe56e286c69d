"""Trainer.fit, evaluate, predict against the same training written as a plain loop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.core.counter_random import philox, swap_or_not
from chainrule.errors import OptionError
from chainrule.train import (
    AUC,
    Callback,
    EarlyStopping,
    History,
    Metric,
    NonFiniteLossError,
    TopKAccuracy,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = RNG.integers(0, 3, 50)
T = RNG.normal(size=(50, 2)).astype("float32")


def net(outputs: int = 3, inputs: int = 6, dropout: float = 0.0) -> nn.Module:
    cr.manual_seed(1)
    layers = [nn.Linear(inputs, 8), nn.Tanh()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*layers, nn.Linear(8, outputs))


def classifier(**options: Any) -> cr.Trainer:
    model = net()
    options = {
        "loss": nn.CrossEntropyLoss(),
        "optimizer": optim.Adam(model.parameters(), lr=0.01),
    } | options
    return cr.Trainer(model, **options)


def weights(model: nn.Module) -> np.ndarray:
    return np.concatenate([p.numpy().ravel() for p in model.parameters()])


def order_of(seed: int, epoch: int, n: int) -> np.ndarray:
    key = philox(np.uint32(epoch), np.uint32(seed), np.uint32(0))
    return swap_or_not(np.arange(n, dtype=np.uint32), *key, n)


def eager_loop(
    model: nn.Module, optimizer: Any, epochs: int, batch: int, loss: Any, x: Any, y: Any
) -> list[float]:
    """What fit does, step by step in Python; returns the mean loss of each epoch."""
    means = []
    for epoch in range(epochs):
        order, total = order_of(0, epoch, len(x)), 0.0
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad()
            value = loss(model(cr.tensor(x[rows])), cr.tensor(y[rows]))
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        means.append(total / len(x))
    return means


@pytest.mark.parametrize("batch", [16, 25, 50, 64, 49])
def test_fit_is_the_plain_loop_with_a_right_last_batch(batch: int) -> None:
    trainer = classifier()
    history = trainer.fit(X, Y, epochs=3, batch_size=batch)
    model = net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    # A full batch keeps the rows in their order; so does the loop below up to rounding.
    means = eager_loop(model, optimizer, 3, batch, nn.CrossEntropyLoss(), X, Y)
    np.testing.assert_allclose(history["loss"], means, rtol=1e-5)
    np.testing.assert_allclose(weights(trainer.model), weights(model), rtol=1e-4, atol=1e-6)
    assert trainer.step == 3 * -(-50 // batch) and trainer.epoch == 3


def test_every_row_is_used_once_per_epoch_in_an_order_that_changes() -> None:
    orders = [order_of(0, e, 50) for e in range(2)]
    assert all(sorted(o) == list(range(50)) for o in orders) and (orders[0] != orders[1]).any()


@pytest.mark.usefixtures("interpreted")
def test_without_shuffle_the_rows_keep_their_order() -> None:
    trainer = classifier()
    history = trainer.fit(X, Y, epochs=1, batch_size=20, shuffle=False)
    model = net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for start in (0, 20, 40):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(
            model(cr.tensor(X[start : start + 20])), cr.tensor(Y[start : start + 20])
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item() * len(X[start : start + 20]))
    np.testing.assert_allclose(history["loss"], [sum(losses) / 50], rtol=1e-5)


@pytest.mark.usefixtures("interpreted")
def test_evaluate_and_predict_in_batches_are_the_whole() -> None:
    trainer = classifier()
    logits = trainer.model(cr.tensor(X))
    loss = nn.CrossEntropyLoss()(logits, cr.tensor(Y)).item()
    accuracy = (logits.numpy().argmax(1) == Y).mean()
    for batch in (7, 25, 50, 1000):
        found = trainer.evaluate(X, Y, batch_size=batch, metrics=["accuracy"])
        np.testing.assert_allclose([found["loss"], found["accuracy"]], [loss, accuracy], rtol=1e-5)
        np.testing.assert_allclose(
            trainer.predict(X, batch_size=batch), logits.numpy(), rtol=1e-4, atol=1e-5
        )
    assert trainer.predict(X[:1]).shape == (1, 3)


def test_metrics_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    trainer = classifier()
    names = ["accuracy", "precision", "recall", "f1", TopKAccuracy(2)]
    found = trainer.evaluate(X, Y, batch_size=16, metrics=names)
    scores = trainer.predict(X)
    chosen = scores.argmax(1)
    options = {"average": "macro", "zero_division": 0.0}
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(Y, chosen))
    assert found["precision"] == pytest.approx(sklearn.precision_score(Y, chosen, **options))
    assert found["recall"] == pytest.approx(sklearn.recall_score(Y, chosen, **options))
    assert found["f1"] == pytest.approx(sklearn.f1_score(Y, chosen, **options))
    assert found["top2_accuracy"] == pytest.approx(sklearn.top_k_accuracy_score(Y, scores, k=2))


def test_targets_of_another_shape_do_not_disturb_metrics() -> None:
    trainer = classifier(metrics=["accuracy", "f1"])
    labels = trainer.evaluate(X, Y)
    one_hot = trainer.evaluate(X, np.eye(3, dtype="float32")[Y])
    assert one_hot["accuracy"] == labels["accuracy"] and one_hot["f1"] == labels["f1"]
    assert trainer.evaluate(X, Y) == labels


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    model = net(2)
    trainer = cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    target = T + 100
    found = trainer.evaluate(X, target, batch_size=16, metrics=["mse", "rmse", "mae", "r2"])
    p = trainer.predict(X)
    assert (
        found["mse"]
        == pytest.approx(sklearn.mean_squared_error(target, p), rel=1e-5)
        == found["loss"]
    )
    assert found["rmse"] == pytest.approx(sklearn.mean_squared_error(target, p) ** 0.5, rel=1e-5)
    assert found["mae"] == pytest.approx(sklearn.mean_absolute_error(target, p), rel=1e-5)
    assert found["r2"] == pytest.approx(sklearn.r2_score(target, p), rel=1e-5)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(50,), (50, 1)])
@pytest.mark.parametrize("kind", ["float32", "int64", "bool"])
def test_binary_targets_of_any_shape_and_dtype(shape: tuple[int, ...], kind: str) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    truth = X[:, 0] + RNG.normal(size=50) > 0
    model = net(1)
    trainer = cr.Trainer(model, nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05))
    trainer.fit(X, truth.astype(kind).reshape(shape), epochs=20, batch_size=16)
    found = trainer.evaluate(
        X, truth.astype(kind).reshape(shape), metrics=["accuracy", "f1", AUC()]
    )
    logits = trainer.predict(X)[:, 0]
    assert found["accuracy"] == pytest.approx(((logits > 0) == truth).mean())
    assert found["f1"] == pytest.approx(sklearn.f1_score(truth, logits > 0))
    assert found["auc"] == pytest.approx(sklearn.roc_auc_score(truth, logits), abs=2e-3)


@pytest.mark.usefixtures("interpreted")
def test_a_probability_output_has_its_threshold_at_one_half() -> None:
    truth = X[:, 0] > 0
    model = nn.Sequential(net(1), nn.Sigmoid())
    trainer = cr.Trainer(model, nn.BCELoss(), optim.Adam(model.parameters(), lr=0.05))
    trainer.fit(X, truth, epochs=10, batch_size=16)
    found = trainer.evaluate(X, truth, metrics=["accuracy", "auc"])
    p = trainer.predict(X)[:, 0]
    assert 0.5 < found["accuracy"] == pytest.approx(((p > 0.5) == truth).mean())
    assert found["auc"] > 0.9


def test_several_labels_per_row_each_count() -> None:
    truth = (T > 0).astype("float32")
    model = net(2)
    trainer = cr.Trainer(model, nn.BCEWithLogitsLoss(), optim.Adam(model.parameters(), lr=0.05))
    found = trainer.evaluate(X, truth, metrics=["accuracy"])
    assert found["accuracy"] == pytest.approx(((trainer.predict(X) > 0) == (truth > 0.5)).mean())


def test_own_metrics_as_function_and_class() -> None:
    def mean_error(prediction: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
        return (prediction - target).mean()

    def row_error(prediction: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
        return (prediction - target).sum(axis=1)

    class Worst(Metric):
        name = "worst"

        def init(self, prediction: Any, target: Any) -> dict[str, np.ndarray]:
            return {"worst": np.zeros(())}

        def update(
            self, state: Any, prediction: cr.Tensor, target: cr.Tensor
        ) -> dict[str, cr.Tensor]:
            return {"worst": cr.maximum(state["worst"], cr.abs(prediction - target).max().double())}

        def compute(self, state: Any) -> float:
            return float(state["worst"])

    model = net(2)
    trainer = cr.Trainer(
        model, nn.MSELoss(), optim.SGD(model.parameters()), metrics=[mean_error, row_error, Worst()]
    )
    found = trainer.evaluate(X, T, batch_size=16)
    d = trainer.predict(X) - T
    assert found["mean_error"] == pytest.approx(d.mean(), rel=1e-4)
    assert found["row_error"] == pytest.approx(d.sum(1).mean(), rel=1e-4)
    assert found["worst"] == pytest.approx(abs(d).max(), rel=1e-5)


# -- weights and accumulation ----------------------------------------------------------------------
@pytest.mark.usefixtures("interpreted")
def test_integer_weights_are_repeated_rows() -> None:
    counts = RNG.integers(0, 4, 50)
    weighted, repeated = classifier(), classifier()
    weighted.fit(X, Y, epochs=5, batch_size=50, sample_weight=counts)
    repeated.fit(np.repeat(X, counts, 0), np.repeat(Y, counts), epochs=5, batch_size=1000)
    np.testing.assert_allclose(
        weights(weighted.model), weights(repeated.model), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(weighted.history["loss"], repeated.history["loss"], rtol=1e-4)


@pytest.mark.usefixtures("interpreted")
def test_class_weights_are_sample_weights_by_class() -> None:
    by_class, by_row = classifier(), classifier()
    by_class.fit(X, Y, epochs=3, batch_size=16, class_weight={0: 1.0, 1: 2.0, 2: 5.0})
    by_row.fit(X, Y, epochs=3, batch_size=16, sample_weight=np.array([1.0, 2.0, 5.0])[Y])
    assert weights(by_class.model).tobytes() == weights(by_row.model).tobytes()
    balanced = classifier()
    balanced.fit(X, Y, epochs=1, batch_size=16, class_weight="balanced")


def test_weights_in_the_loss_give_a_right_mean_over_batches() -> None:
    w = np.array([1.0, 2.0, 5.0], "float32")
    trainer = classifier(loss=nn.CrossEntropyLoss(weight=w))
    whole = nn.CrossEntropyLoss(weight=w)(trainer.model(cr.tensor(X)), cr.tensor(Y)).item()
    assert trainer.evaluate(X, Y, batch_size=16)["loss"] == pytest.approx(whole, rel=1e-5)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 5.0]])
def test_accumulated_batches_are_one_large_batch(weight: list[float] | None) -> None:
    loss = nn.CrossEntropyLoss(weight=None if weight is None else np.array(weight, "float32"))
    small = classifier(loss=loss, accumulate=4)
    large = classifier(loss=loss)
    small.fit(X, Y, epochs=3, batch_size=5)  # groups of 20, 20 and 10 rows
    large.fit(X, Y, epochs=3, batch_size=20)
    np.testing.assert_allclose(weights(small.model), weights(large.model), rtol=1e-4, atol=1e-6)
    odd = classifier(loss=loss, accumulate=3)
    odd.fit(X, Y, epochs=2, batch_size=8)  # the last group: one batch of 2 rows
    assert odd.step == 14


def test_a_summed_loss_is_summed_over_the_epoch() -> None:
    model = net(2)
    trainer = cr.Trainer(model, nn.MSELoss(reduction="sum"), optim.SGD(model.parameters(), lr=1e-4))
    whole = float(((model(cr.tensor(X)).numpy() - T) ** 2).sum())
    assert trainer.evaluate(X, T, batch_size=16)["loss"] == pytest.approx(whole, rel=1e-5)


# -- inputs and outputs ----------------------------------------------------------------------------
@pytest.mark.usefixtures("interpreted")
def test_small_integers_stay_small_and_are_cast_in_the_step() -> None:
    pixels = RNG.integers(0, 256, (50, 6), dtype=np.uint8)
    trainer = classifier()
    trainer.fit(pixels, Y, epochs=2, batch_size=16)
    model = net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    eager_loop(model, optimizer, 2, 16, nn.CrossEntropyLoss(), pixels.astype("float32"), Y)
    np.testing.assert_allclose(weights(trainer.model), weights(model), rtol=1e-3, atol=1e-5)
    (argument, *_), *_ = trainer._steps.train.traces
    assert any(
        k[2] == np.uint8 for k in next(iter(trainer._steps.train.traces))[1] if k[0] == "tensor"
    )


@pytest.mark.usefixtures("interpreted")
def test_token_numbers_stay_integers() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 3))
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    history = trainer.fit(RNG.integers(0, 10, (50, 3)), Y, epochs=3, batch_size=16)
    assert history["loss"][-1] < history["loss"][0]


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(2, 2)

    def forward(self, left: Any, right: Any) -> dict[str, Any]:
        return {"label": self.a(left), "size": self.b(right)}


@pytest.mark.parametrize("as_dict", [False, True])
def test_several_inputs_outputs_and_losses(as_dict: bool) -> None:
    cr.manual_seed(0)
    model = Two()
    x: Any = {"left": X, "right": T} if as_dict else (X, T)
    trainer = cr.Trainer(
        model,
        loss={"label": nn.CrossEntropyLoss(), "size": nn.MSELoss()},
        loss_weights={"label": 1.0, "size": 0.5},
        optimizer=optim.SGD(model.parameters(), lr=0.1),
        metrics={"label": ["accuracy"], "size": "mae"},
    )
    history = trainer.fit(x, {"label": Y, "size": T}, epochs=2, batch_size=16)
    assert set(history) == {"loss", "label_loss", "size_loss", "label_accuracy", "size_mae"}
    np.testing.assert_allclose(
        history["loss"],
        np.array(history["label_loss"]) + 0.5 * np.array(history["size_loss"]),
        rtol=1e-5,
    )
    found = trainer.predict(x)
    assert found["label"].shape == (50, 3) and found["size"].shape == (50, 2)


@pytest.mark.usefixtures("interpreted")
def test_a_training_step_of_ones_own() -> None:
    class Penalized(cr.Trainer):
        def training_step(self, batch: Any) -> Any:
            x, _ = batch
            prediction = self.forward(x)
            return self.compute_loss(prediction, batch) + 0.1 * sum(
                (p * p).sum() for p in self.trained
            ), prediction

    model = net()
    trainer = Penalized(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), metrics=["accuracy"]
    )
    plain = classifier().evaluate(X, Y)["loss"]
    penalty = 0.1 * float((weights(model) ** 2).sum())
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(plain + penalty, rel=1e-4)
    trainer.fit(X, Y, epochs=2, batch_size=16)


@pytest.mark.usefixtures("interpreted")
def test_float64_models_get_float64_data() -> None:
    model = net().double()
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
    trainer.fit(X.astype("float64"), Y, epochs=1, batch_size=16)
    assert trainer.predict(X).dtype == np.float64


@pytest.mark.usefixtures("interpreted")
def test_dropout_only_in_training_and_modes_are_put_back() -> None:
    model = net(dropout=0.5)
    model.eval()
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
    trainer.fit(X, Y, epochs=1, batch_size=16, validation_data=(X, Y))
    assert not model.training
    assert (trainer.predict(X) == trainer.predict(X)).all()
    draws = int(cr.default_generator.counter)
    trainer.fit(X, Y, epochs=1, batch_size=16)
    assert int(cr.default_generator.counter) == draws + 4


# -- validation, stopping, callbacks ---------------------------------------------------------------
@pytest.mark.usefixtures("interpreted")
def test_validation_measures_and_split_takes_the_last_rows() -> None:
    a, b = classifier(metrics=["accuracy"]), classifier(metrics=["accuracy"])
    one = a.fit(X, Y, epochs=2, batch_size=16, validation_split=0.2)
    two = b.fit(X[:40], Y[:40], epochs=2, batch_size=16, validation_data=(X[40:], Y[40:]))
    assert one.history == two.history and "val_accuracy" in one
    assert a.evaluate(X[40:], Y[40:])["accuracy"] == one["val_accuracy"][-1]


def test_early_stopping_goes_back_to_the_best_weights() -> None:
    trainer = classifier()
    trainer.optimizer.param_groups[0]["lr"] = 0.3
    random_labels = RNG.permutation(Y)
    history = trainer.fit(
        X,
        Y,
        epochs=200,
        batch_size=16,
        validation_data=(X, random_labels),
        early_stopping=EarlyStopping(patience=4),
    )
    epoch, best = history.best("val_loss")
    assert len(history) == epoch + 1 + 4 < 200
    assert history.stopped.startswith("val_loss has not improved for 4 epochs")
    assert trainer.evaluate(X, random_labels)["loss"] == pytest.approx(best, rel=1e-6)


def test_callbacks_see_epochs_and_steps_and_can_stop() -> None:
    seen: list[Any] = []

    class Watch(Callback):
        every = 3

        def on_fit_begin(self, trainer: Any) -> None:
            seen.append("begin")

        def on_steps(self, trainer: Any, step: int, logs: Any) -> None:
            seen.append(step)
            assert logs["loss"] > 0

        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            seen.append(f"epoch {epoch}")
            if epoch == 1:
                trainer.stop("enough")

        def on_fit_end(self, trainer: Any) -> None:
            seen.append("end")

    trainer = classifier()
    history = trainer.fit(
        X, Y, epochs=9, batch_size=16, callbacks=[Watch(), lambda t, e, logs: seen.append(e)]
    )
    assert seen == ["begin", 3, "epoch 0", 0, 6, "epoch 1", 1, "end"]
    assert history.stopped == "enough" and len(history) == 2


def test_max_seconds_stops_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = (k / 16 for k in range(10**6))
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr("chainrule.train.listeners.progress.time", clock)
    trainer = classifier()
    # A function is called after each epoch, so each is looked at.
    options = {"max_seconds": 0.3, "callbacks": lambda t, e, logs: None}
    history = trainer.fit(X, Y, epochs=10**6, batch_size=16, **options)
    assert 0 < len(history) <= 5 and history.stopped == "0.3 seconds are over"


def test_fit_again_goes_on() -> None:
    once, twice = classifier(), classifier()
    once.fit(X, Y, epochs=4, batch_size=16)
    first = twice.fit(X, Y, epochs=2, batch_size=16)
    second = twice.fit(X, Y, epochs=2, batch_size=16)
    assert weights(once.model).tobytes() == weights(twice.model).tobytes()
    assert len(first) == 2 and second is twice.history
    assert len(second) == twice.epoch == 4 and second.history == once.history.history


@pytest.mark.usefixtures("interpreted")
def test_the_history_goes_on_over_all_calls_and_after_load(tmp_path: Any) -> None:
    trainer = classifier()
    trainer.fit(X, Y, epochs=3, batch_size=len(X))  # noted by the program itself
    stopping = EarlyStopping(patience=100)
    seen: list[int] = []
    options: dict[str, Any] = {"epochs": 4, "batch_size": 16, "validation_split": 0.2}
    history = trainer.fit(
        X,
        Y,
        **options,
        early_stopping=stopping,
        callbacks=lambda t, epoch, logs: seen.append(epoch),
    )
    assert seen == [0, 1, 2, 3]  # of this call
    assert len(history) == trainer.epoch == 7
    assert stopping.best_epoch == history.best("val_loss")[0] >= 3
    assert np.isnan(history["val_loss"][:3]).all() and not np.isnan(history["val_loss"][3:]).any()
    other = classifier()
    other.load(trainer.save(tmp_path / "m.safetensors"))
    assert other.history.history["loss"] == history["loss"]
    more = other.fit(X, Y, epochs=2, batch_size=16)
    assert more["loss"][:7] == history["loss"] and len(more) == other.epoch == 9
    assert len(more.table().splitlines()) == 10 and more.stopped == ""


def test_history_as_table_figure_and_dict(tmp_path: Any) -> None:
    history = classifier(metrics=["accuracy"]).fit(
        X, Y, epochs=3, batch_size=16, validation_split=0.2
    )
    lines = history.table().splitlines()
    assert (
        lines[0].split() == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
        and len(lines) == 4
    )
    assert history.to_dict() == history.history and history.to_dict() is not history.history
    pytest.importorskip("matplotlib")
    assert history.plot(tmp_path / "curve.png").stat().st_size > 1000
    with pytest.raises(
        OptionError, match="no measure 'acc' in this history; it has loss, accuracy"
    ):
        history["acc"]


def test_clipping_bounds_the_change() -> None:
    for option in ({"clip_norm": 1e-3}, {"clip_value": 1e-4}):
        model = net()
        before = weights(model)
        trainer = cr.Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0), **option
        )
        trainer.fit(X, Y, epochs=1, batch_size=50)
        change = weights(model) - before
        assert 0 < np.linalg.norm(change) <= 1.01e-3 or abs(change).max() <= 1.01e-4


@pytest.mark.usefixtures("interpreted")
def test_progress_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    classifier(metrics=["accuracy"]).fit(X, Y, epochs=2, batch_size=16, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("epoch 2/2  loss ") and "accuracy" in lines[-1]
    classifier().fit(X, Y, epochs=1, batch_size=16)
    assert capsys.readouterr().err == ""


def test_an_average_of_the_weights_is_kept_inside_the_step() -> None:
    class Averaging(cr.Trainer):
        def after_update(self) -> None:
            self.average.update_parameters(self.model)

    model = net()
    average = optim.swa_utils.AveragedModel(model, avg_fn=optim.swa_utils.get_ema_avg_fn(0.5))
    trainer = Averaging(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.average = average
    start = weights(model)
    history = []

    class Watch(Callback):
        every = 1

        def on_steps(self, trainer: Any, step: int, logs: Any) -> None:
            history.append(weights(trainer.model))

    trainer.fit(X, Y, epochs=1, batch_size=16, callbacks=[Watch()])
    expected = history[0]
    for w in history[1:]:
        expected = 0.5 * expected + 0.5 * w
    np.testing.assert_allclose(weights(average.module), expected, rtol=1e-5, atol=1e-7)
    assert not np.allclose(start, expected)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_are_arrays(library: str, tmp_path: Path) -> None:
    frames = pytest.importorskip(library)
    columns = {"a": X[:, 0], "b": Y, "c": X[:, 1] > 0}  # float, integer, bool
    array = np.column_stack(list(columns.values()))

    def train(x: Any, y: Any, weight: Any) -> cr.Trainer:
        model = net(inputs=3)
        trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        trainer.fit(x, y, epochs=2, batch_size=16, sample_weight=weight, validation_data=(x, y))
        return trainer

    weight = np.linspace(0.5, 2, 50)
    plain = train(array, Y, weight)
    table = frames.DataFrame(columns)
    framed = train(table, frames.DataFrame({"y": Y}), frames.Series(weight))
    assert weights(plain.model).tobytes() == weights(framed.model).tobytes()
    np.testing.assert_array_equal(plain.predict(array), framed.predict(table))
    one = train(table, frames.Series(Y), frames.Series(weight))
    assert weights(one.model).tobytes() == weights(plain.model).tobytes()
    written = frames.read_csv(one.history.to_csv(tmp_path / "history.csv"))
    assert list(written.columns) == ["epoch", "loss", "val_loss"]
    assert written["loss"].to_list() == one.history["loss"]
    assert written["epoch"].to_list() == [1, 2]


@pytest.mark.usefixtures("interpreted")
def test_metrics_of_two_outputs_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    model = net(2)
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.02))
    truth = (X[:, 0] + RNG.normal(size=50) > 0).astype(int)
    trainer.fit(X, truth, epochs=10, batch_size=16)
    names = ["accuracy", "precision", "recall", "f1", "auc"]
    found = trainer.evaluate(X, truth, batch_size=16, metrics=names)
    scores = trainer.predict(X)
    chosen = scores.argmax(1)
    for name in names[:4]:
        score = getattr(sklearn, f"{name}_score")
        assert found[name] == pytest.approx(score(truth, chosen)), name
    area = sklearn.roc_auc_score(truth, scores[:, 1] - scores[:, 0])
    assert found["auc"] == pytest.approx(area, abs=2e-3)


def test_a_history_grows_by_columns() -> None:
    one, many = History({"loss": [3.0]}), History({"loss": [3.0]})
    early = one["loss"]
    one.append({"loss": 2.0, "lr": 0.5})
    one.append({"lr": 0.25})
    many.extend({"loss": np.array([2.0, np.nan]), "lr": [0.5, 0.25]})
    assert repr(one.history) == repr(many.history) == repr(many.to_dict())
    assert repr(one.history) == "{'loss': [3.0, 2.0, nan], 'lr': [nan, 0.5, 0.25]}"
    assert one["loss"] is early and one.numpy("lr").dtype == np.float64
    assert one.best("lr") == (2, 0.25) and len(one) == 3
    with pytest.raises(OptionError) as error:
        one.extend({"loss": [1.0, 2.0], "lr": [1.0]})
    assert str(error.value) == (
        "History.extend: as many numbers of each measure are needed, got {'loss': 2, 'lr': 1}"
    )


@pytest.mark.parametrize("hidden", [2, 300])  # noted in registers, and by a kernel
def test_epochs_of_one_step_note_every_loss(hidden: int) -> None:
    def trainer() -> cr.Trainer:
        cr.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 2))
        return cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))

    quick, plain, epochs = trainer(), trainer(), 700
    found = quick.fit(X[:4], T[:4], epochs=epochs, batch_size=4)
    wanted = plain.fit(X[:4], T[:4], epochs=epochs, batch_size=4, callbacks=Callback())
    assert found.history == wanted.history and len(found) == epochs == quick.epoch == quick.step
    assert weights(quick.model).tobytes() == weights(plain.model).tobytes()


def test_a_loss_goes_wrong_among_many_epochs_of_one_step() -> None:
    class Count(nn.Module):
        """Its weight grows by one a step."""

        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(cr.zeros(1, dtype="float64"))

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return (50_000.5 - self.w) * x

    def loss(prediction: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
        return (prediction + prediction.detach().log()).mean()

    model, x = Count(), np.ones((1, 1))
    trainer = cr.Trainer(model, loss, optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(NonFiniteLossError, match=r"NaN in step 50002 \(epoch 50002, batch 1 of 1"):
        trainer.fit(x, x, epochs=200_000, batch_size=1)
    assert trainer.step == trainer.epoch == len(trainer.history) == model.w.item() == 50_001
    assert np.isfinite(trainer.history.numpy("loss")).all()
