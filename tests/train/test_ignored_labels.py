"""Labels that do not count: no part of the loss, of its mean over batches, or of a metric."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import AUC, F1, Accuracy, Metric, TopKAccuracy

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("f")
Y = RNG.integers(0, 3, 60)
Y[:40] = -100  # whole batches of them
KEPT = np.flatnonzero(Y != -100)


class Table(nn.Module):
    """Gives its inputs: scores that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(cr.ones(()))

    def forward(self, x: Any) -> Any:
        return x * self.w


class Tokens(nn.Module):
    """Scores (N, C, L) of sequences (N, L, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return self.net(x).permute(0, 2, 1)


def trainer(loss: Any, kind: Any = None, **options: Any) -> cr.Trainer:
    cr.manual_seed(0)
    model = (kind or (lambda: nn.Linear(3, 3)))()
    return cr.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), **options)


W = cr.tensor([1.0, 3.0, 0.5])
LOSSES: dict[str, Any] = {
    "plain": nn.CrossEntropyLoss(),
    "a function": nn.functional.cross_entropy,
    "class weights": nn.CrossEntropyLoss(W),
    "smoothing": nn.CrossEntropyLoss(W, label_smoothing=0.2),
    "nll": nn.NLLLoss(W),
    "sum": nn.CrossEntropyLoss(W, reduction="sum"),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "sample weights"])
@pytest.mark.parametrize("name", list(LOSSES))
def test_evaluate_does_not_depend_on_the_batch_size(name: str, weighted: bool) -> None:
    t = trainer(LOSSES[name])
    s = RNG.uniform(0, 2, 60) if weighted else np.ones(60)
    options: Any = {"sample_weight": s} if weighted else {}
    found = [t.evaluate(X, Y, batch_size=b, **options)["loss"] for b in (60, 7)]
    each = copy.copy(LOSSES[name])
    if isinstance(each, nn.Module):
        each.reduction = "none"
        rows = each(t.model(X[KEPT]), cr.tensor(Y[KEPT])).numpy()
    else:
        rows = each(t.model(X[KEPT]), cr.tensor(Y[KEPT]), reduction="none").numpy()
    w = W.numpy()[Y[KEPT]] if "weight" in name or name in ("smoothing", "nll") else np.ones(20)
    s = s[KEPT] / (s[KEPT].mean())
    expected = (rows * s).sum() / (1.0 if name == "sum" else (w * s).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sequences_count_by_their_labels() -> None:
    x = RNG.normal(size=(12, 5, 3)).astype("f")
    y = RNG.integers(0, 3, (12, 5))
    y[np.arange(5) >= RNG.integers(1, 6, (12, 1))] = -100
    y[8:] = -100
    s = RNG.uniform(0, 2, 12)
    t = trainer(nn.CrossEntropyLoss(W), Tokens)
    rows = nn.functional.cross_entropy(t.model(x), cr.tensor(y), W, reduction="none").numpy()
    w = np.where(y == -100, 0, W.numpy()[np.maximum(y, 0)])
    for batch in (12, 5):
        plain = t.evaluate(x, y, batch_size=batch)["loss"]
        assert plain == pytest.approx(rows.sum() / w.sum(), rel=1e-5)
        weighted = t.evaluate(x, y, batch_size=batch, sample_weight=s)["loss"]
        expected = (rows * s[:, None]).sum() / (w * s[:, None]).sum()
        assert weighted == pytest.approx(expected, rel=1e-5)


def test_several_outputs_each_count_their_own_labels() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x: Any) -> Any:
            return {"a": self.a(x), "b": self.b(x)}

    losses = {"a": nn.CrossEntropyLoss(), "b": nn.MSELoss()}
    t = trainer(losses, Two, loss_weights={"a": 0.5, "b": 2.0})
    y = {"a": Y, "b": X[:, :1].copy()}
    whole = t.evaluate(X, y, batch_size=60)
    assert whole["loss"] == pytest.approx(0.5 * whole["a_loss"] + 2 * whole["b_loss"], rel=1e-6)
    for batch in (32, 7):
        assert t.evaluate(X, y, batch_size=batch) == pytest.approx(whole, rel=1e-5)


def test_training_on_batches_that_count_nothing_leaves_the_model_alone() -> None:
    one, two = trainer(nn.CrossEntropyLoss()), trainer(nn.CrossEntropyLoss())
    one.fit(X, Y, epochs=2, batch_size=20, shuffle=False, progress=False)
    two.fit(X[40:], Y[40:], epochs=2, batch_size=20, shuffle=False, progress=False)
    np.testing.assert_array_equal(one.model.weight.numpy(), two.model.weight.numpy())
    assert one.history["loss"] == pytest.approx(two.history["loss"], rel=1e-6)


def test_batches_that_count_nothing_in_accumulated_gradients() -> None:
    one = trainer(nn.CrossEntropyLoss(), accumulate=2)
    one.fit(X, Y, epochs=1, batch_size=10, shuffle=False, progress=False)
    two = trainer(nn.CrossEntropyLoss())
    two.fit(X[40:], Y[40:], epochs=1, batch_size=20, shuffle=False, progress=False)
    np.testing.assert_allclose(one.model.weight.numpy(), two.model.weight.numpy(), atol=1e-6)


def test_weights_of_rows_that_do_not_count_do_not_matter() -> None:
    s = np.where(Y == -100, 0.0, 1.0 + np.arange(60) % 3)
    one, two = trainer(nn.CrossEntropyLoss()), trainer(nn.CrossEntropyLoss())
    one.fit(X, Y, epochs=2, batch_size=60, sample_weight=s, progress=False)
    s = np.where(Y == -100, 50.0, s)
    two.fit(X, Y, epochs=2, batch_size=60, sample_weight=s, progress=False)
    np.testing.assert_allclose(one.model.weight.numpy(), two.model.weight.numpy(), rtol=1e-5)
    np.testing.assert_allclose(one.history["loss"], two.history["loss"], rtol=1e-5)


def test_class_weight_leaves_the_ignored_label_out() -> None:
    one, two = trainer(nn.CrossEntropyLoss()), trainer(nn.CrossEntropyLoss())
    one.fit(X, Y, epochs=2, batch_size=60, class_weight="balanced", progress=False)
    two.fit(X[40:], Y[40:], epochs=2, batch_size=20, class_weight="balanced", progress=False)
    np.testing.assert_allclose(one.model.weight.numpy(), two.model.weight.numpy(), rtol=1e-4)


@pytest.mark.parametrize("ignored", [-100, 0])
def test_metrics_are_those_of_scikit_learn_on_the_rows_that_count(ignored: int) -> None:
    scores = RNG.normal(size=(60, 4)).astype("f")
    y = RNG.integers(0, 4, 60)
    y[:35] = ignored
    kept = y != ignored
    p, true = scores[kept].argmax(1), y[kept]
    names = ["accuracy", "precision", "recall", "f1", "top3_accuracy"]
    expected = {
        "accuracy": sk.accuracy_score(true, p),
        "precision": sk.precision_score(true, p, average="macro", zero_division=0),
        "recall": sk.recall_score(true, p, average="macro", zero_division=0),
        "f1": sk.f1_score(true, p, average="macro"),
        "top3_accuracy": sk.top_k_accuracy_score(true, scores[kept], k=3, labels=range(4)),
    }
    t = trainer(nn.CrossEntropyLoss(ignore_index=ignored), Table)
    for batch in (60, 7):
        found = t.evaluate(scores, y, batch_size=batch, metrics=names)
        assert {k: found[k] for k in names} == pytest.approx(expected)
    alone = {
        "accuracy": Accuracy(ignore_index=ignored)(scores, y),
        "f1": F1(ignore_index=ignored)(scores, y),
        "top3_accuracy": TopKAccuracy(3, ignore_index=ignored)(scores, y),
    }
    assert alone == pytest.approx({k: expected[k] for k in alone})


def test_the_area_under_the_curve_leaves_ignored_rows_out() -> None:
    scores, y = RNG.normal(size=(60, 2)).astype("f"), RNG.integers(0, 2, 60)
    y[:30] = -100
    t = trainer(nn.CrossEntropyLoss(), Table)
    expected = sk.roc_auc_score(y[30:], scores[30:, 1] - scores[30:, 0])
    assert t.evaluate(scores, y, metrics=["auc"])["auc"] == pytest.approx(expected, abs=1e-3)


def test_scores_that_are_infinite_or_nan() -> None:
    assert AUC()(np.array([np.inf, -np.inf, 1.0], "f"), [1, 0, 0]) == 1.0
    assert np.isnan(AUC()(np.array([np.nan, 0.0], "f"), [1, 0]))
    assert TopKAccuracy(1)(np.array([[np.nan, 0.0]], "f"), [0]) == 0.0


def test_accuracy_of_padded_sequences() -> None:
    scores, y = RNG.normal(size=(6, 4, 5)).astype("f"), RNG.integers(0, 4, (6, 5))
    y[:, 3:] = -100
    t = trainer(nn.CrossEntropyLoss(), Table)
    right = (scores.argmax(1) == y)[:, :3].mean()
    for given in ("accuracy", lambda p, y: p.argmax(axis=1) == y):
        (found,) = list(t.evaluate(scores, y, batch_size=4, metrics=[given]).values())[1:]
        assert found == pytest.approx(right)


def test_a_metric_of_your_own_finds_the_rows_that_count() -> None:
    class Share(Metric):
        name = "share"

        def update(self, state: Any, prediction: Any, target: Any) -> Any:
            counted = self.counted(target)
            assert counted is not None
            return {
                "sum": state["sum"] + counted.double().sum(),
                "count": state["count"] + float(target.shape[0]),
            }

    mine = Share()
    found = trainer(nn.CrossEntropyLoss()).evaluate(X, Y, metrics=[mine])["share"]
    assert found == pytest.approx(1 / 3)
    assert mine.ignore_index is None  # the Trainer works on a copy
