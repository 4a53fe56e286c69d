"""Measures of several yes-or-no answers, which way a measure is better, and files over two fits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import F1, EarlyStopping, ModelCheckpoint, Precision, ReduceLROnPlateau

pytestmark = pytest.mark.usefixtures("interpreted")
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 4)).astype("f4")
LABELS = (rng.random((40, 3)) < 0.4).astype("f4")


def _trainer(outputs: int = 3, **options: Any) -> cr.Trainer:
    cr.manual_seed(1)
    model = nn.Linear(4, outputs)
    sgd = optim.SGD(model.parameters(), lr=0.1)
    return cr.Trainer(model, nn.BCEWithLogitsLoss(), sgd, **options)


def _counts(yes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (yes & truth).sum(0), yes.sum(0), truth.sum(0)


def test_each_label_has_its_own_precision_recall_and_f1() -> None:
    trainer, truth = _trainer(), LABELS > 0.5
    right, predicted, true = _counts(trainer.predict(X) > 0, truth)
    expected = {  # as sklearn.metrics with average="macro" has them
        "precision": (right / predicted).mean(),
        "recall": (right / true).mean(),
        "f1": (2 * right / (predicted + true)).mean(),
    }
    found = trainer.evaluate(X, LABELS, metrics=list(expected), batch_size=16)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    pooled = trainer.evaluate(X, LABELS, metrics=[Precision(average="binary"), F1()])
    assert pooled["precision"] == pytest.approx(right.sum() / predicted.sum())
    assert pooled["f1"] == pytest.approx(expected["f1"])
    with pytest.raises(cr.errors.OptionError, match="for one class a row"):
        trainer.evaluate(X, LABELS, metrics=["top3_accuracy"])


def test_two_labels_are_no_two_classes() -> None:
    trainer = _trainer(2)
    right, predicted, true = _counts(trainer.predict(X) > 0, LABELS[:, :2] > 0.5)
    found = trainer.evaluate(X, LABELS[:, :2], metrics=["f1"])["f1"]
    assert found == pytest.approx((2 * right / (predicted + true)).mean())


def test_each_output_is_measured_by_its_own_targets() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.several = nn.Linear(4, 1), nn.Linear(4, 3)

        def forward(self, x: cr.Tensor) -> dict[str, cr.Tensor]:
            return {"one": self.one(x), "several": self.several(x)}

    model, loss = Two(), nn.BCEWithLogitsLoss()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    trainer = cr.Trainer(model, {"one": loss, "several": loss}, sgd)
    y = {"one": LABELS[:, 0], "several": LABELS}
    found = trainer.evaluate(X, y, metrics={"several": ["accuracy"]})
    right = (trainer.predict(X)["several"] > 0) == (LABELS > 0.5)
    assert found["several_accuracy"] == pytest.approx(right.mean())


def test_steps_of_sequences_are_one_kind_of_answer() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(2, 1)

        def forward(self, x: cr.Tensor, lengths: cr.Tensor) -> cr.Tensor:
            return self.line(x).squeeze(-1)

    x = [rng.normal(size=(n, 2)).astype("f4") for n in (1, 5, 3, 4, 2, 6)]
    y = [(a.sum(1) > 0).astype("f4") for a in x]
    cr.manual_seed(0)
    model = Steps()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    trainer = cr.Trainer(model, nn.BCEWithLogitsLoss(), sgd)
    yes = np.concatenate([model.line(cr.tensor(a)).numpy()[:, 0] > 0 for a in x])
    right, predicted, true = _counts(yes, np.concatenate(y) > 0.5)
    found = trainer.evaluate(x, y, metrics=["f1", "recall"], batch_size=4)
    assert found["f1"] == pytest.approx(2 * right / (predicted + true))
    assert found["recall"] == pytest.approx(right / true)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("val_digit_accuracy", "max"),
        ("balanced_accuracy", "max"),
        ("top3_accuracy", "max"),
        ("val_accuracy_loss", "min"),
        ("val_loss", "min"),
        ("rmse", "min"),
    ],
)
def test_the_last_word_of_a_name_says_which_way_is_better(name: str, way: str) -> None:
    assert EarlyStopping(name).mode == way


def test_a_name_that_does_not_say_it_is_refused() -> None:
    def confidence(prediction: cr.Tensor, target: cr.Tensor) -> cr.Tensor:
        return abs(prediction).mean(axis=1)

    trainer = _trainer(metrics=[confidence])
    with pytest.raises(cr.errors.OptionError, match="'confidence' does not say which way"):
        trainer.fit(X, LABELS, early_stopping=EarlyStopping("confidence"), progress=False)
    stopping = EarlyStopping("confidence", mode="max")
    trainer.fit(X, LABELS, epochs=1, early_stopping=stopping, progress=False)


def test_a_plateau_of_what_is_to_grow() -> None:
    trainer = _trainer(metrics=["accuracy"])
    sgd = trainer.optimizer
    with pytest.raises(cr.errors.OptionError, match="would watch the loss"):
        cr.Trainer(
            trainer.model,
            nn.MSELoss(),
            sgd,
            scheduler=optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="max"),
        )
    plateau = ReduceLROnPlateau("accuracy", patience=2)
    plateau.on_fit_begin(type("Of", (), {"measures": ["accuracy"], "optimizer": sgd})())
    for value in (0.5, float("nan"), 0.6, 0.7, 0.8):  # NaN is the worst, and no record
        plateau.on_epoch_end(trainer, 0, {"accuracy": value})
    assert sgd.param_groups[0]["lr"] == 0.1


def test_the_best_weights_are_those_of_all_fits(tmp_path: Path) -> None:
    trainer, path = _trainer(), tmp_path / "best.safetensors"
    keep = ModelCheckpoint(path)
    trainer.fit(X, LABELS, epochs=3, callbacks=[keep], progress=False)
    best = path.read_bytes()
    trainer.optimizer.param_groups[0]["lr"] = 50.0
    trainer.fit(X, LABELS, epochs=2, callbacks=[keep], shuffle=False, progress=False)
    losses = trainer.history["loss"]
    assert min(losses[3:]) > min(losses[:3]) and path.read_bytes() == best


def test_a_log_that_goes_on_keeps_its_columns(tmp_path: Path) -> None:
    trainer, path = _trainer(), tmp_path / "log.csv"
    log = cr.train.CSVLogger(path, append=True)
    both = {"epochs": 1, "callbacks": [log], "progress": False}
    trainer.fit(X, LABELS, validation_data=(X, LABELS), metrics=["accuracy"], **both)
    trainer.fit(X, LABELS, metrics=["accuracy"], **both)
    head, first, second = (line.split(",") for line in path.read_text().splitlines())
    assert head == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert len(first) == len(second) == 5 and second[3:] == ["", ""]
    with pytest.raises(cr.errors.OptionError, match="has no column 'f1'"):
        trainer.fit(X, LABELS, metrics=["f1"], **both)
