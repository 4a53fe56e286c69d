"""Training on sequences of unequal length: a padded step counts in no loss and no metric."""

from __future__ import annotations

import copy
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError, OptionError, ShapeError
from chainrule.nn import functional as F
from chainrule.train import Metric

pytestmark = pytest.mark.usefixtures("interpreted")

RNG = np.random.default_rng(0)


class Scores(nn.Module):
    """Its input times a weight, as scores (N, C, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter([1.0])

    def forward(self, x: Any, lengths: Any) -> Any:
        return (x * self.weight).movedim(-1, 1)


class Net(nn.Module):
    """A GRU with one output for each step, or for each sequence."""

    def __init__(self, each: bool = True) -> None:
        super().__init__()
        self.rnn, self.out, self.each = nn.GRU(2, 6, batch_first=True), nn.Linear(6, 1), each

    def forward(self, x: Any, lengths: Any) -> Any:
        out, h_n = self.rnn(x, lengths=lengths)
        return self.out(out if self.each else h_n[0])


def trainer(model: nn.Module, loss: Any, lr: float = 0.0, **options: Any) -> cr.Trainer:
    return cr.Trainer(model, loss, optim.Adam(model.parameters(), lr=lr), **options)


def flat(p: Any, y: Any) -> Any:
    return F.cross_entropy(p.movedim(1, -1).reshape(-1, 2), y.reshape(-1))


LOSSES = {
    "module": nn.CrossEntropyLoss(),
    "ignore 0": nn.CrossEntropyLoss(ignore_index=0),
    "function": F.cross_entropy,
    "partial": functools.partial(F.cross_entropy, ignore_index=-7),
    "own": flat,
}


@pytest.mark.parametrize("name", LOSSES)
def test_padding_counts_neither_in_the_loss_nor_in_metrics(name: str) -> None:
    right = 20 * np.eye(2, dtype="f")
    xs = [right[[0, 0, 1]], right[[0]]]
    ys = [np.array([0, 0, 1]), np.array([0])]
    if name == "ignore 0":  # the label of padding is one that does not count anywhere
        xs, ys = [right[[1, 1, 1]], right[[1]]], [np.array([1, 1, 1]), np.array([1])]
    model = trainer(Scores(), LOSSES[name], metrics=["accuracy", "precision"])
    for batch in (1, 2):
        found = model.evaluate(xs, ys, batch_size=batch)
        assert found["loss"] < 1e-6 and found["accuracy"] == 1.0 and found["precision"] == 1.0
        history = model.fit(xs, ys, epochs=1, batch_size=batch, progress=False, diagnose=False)
        assert history["loss"][-1] < 1e-6 and history["accuracy"][-1] == 1.0


XS = [RNG.normal(size=(n, 2)).astype("f") for n in (3, 7, 2, 5, 1, 4)]
YS = [x.cumsum(0)[:, :1] for x in XS]


def errors(model: nn.Module) -> Any:
    parts = [(model(x[None], np.array([len(x)])) - y).numpy() for x, y in zip(XS, YS, strict=True)]
    return np.concatenate([p.ravel() for p in parts])


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_the_mean_is_over_the_steps_there_are(batch: int) -> None:
    model = Net()
    found = trainer(model, nn.MSELoss(), metrics=["mae"]).evaluate(XS, YS, batch_size=batch)
    assert found["loss"] == pytest.approx((errors(model) ** 2).mean(), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(errors(model)).mean(), rel=1e-5)


def test_weights_of_sequences_weigh_their_steps() -> None:
    model = Net()
    weights = np.arange(1.0, 7.0)
    per_step = np.repeat(weights, [len(x) for x in XS])
    expected = np.average(errors(model) ** 2, weights=per_step)
    for batch in (1, 4, 6):
        found = trainer(model, nn.MSELoss()).evaluate(
            XS, YS, sample_weight=weights, batch_size=batch
        )
        assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_on_a_list_of_sequences() -> None:
    cr.manual_seed(0)
    model = trainer(Net(), nn.MSELoss(), lr=1e-2)
    options: dict[str, Any] = {"batch_size": 2, "progress": False, "diagnose": False}
    history = model.fit(XS, YS, epochs=40, validation_data=(XS[:2], YS[:2]), **options)
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["val_loss"][-1] < 0.1 * history["val_loss"][0]
    assert model.predict(XS).shape == (6, 7, 1)


def test_one_target_for_each_sequence() -> None:
    cr.manual_seed(0)
    model = trainer(Net(each=False), nn.MSELoss(), lr=1e-2, metrics=["mae", "r2"])
    y = np.array([x.sum() for x in XS], "f")
    options: dict[str, Any] = {"batch_size": 3, "progress": False, "diagnose": False}
    history = model.fit(XS, y, epochs=60, **options)
    assert history["loss"][-1] < 0.1 * history["loss"][0]


def test_sequences_of_whole_numbers_become_floats_and_lengths_do_not() -> None:
    model = Net()
    xs = [np.arange(2 * n).reshape(n, 2) for n in (3, 1)]
    found = trainer(model, nn.MSELoss()).predict(xs)
    padded = np.zeros((2, 3, 2), "f")
    padded[0], padded[1, :1] = xs
    wanted = model(padded, np.array([3, 1])).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


CLASS_WEIGHTS = cr.tensor([1.0, 3.0, 0.5])
EVERYTHING = {
    "ignored": nn.CrossEntropyLoss(CLASS_WEIGHTS),
    "bound": functools.partial(F.cross_entropy, weight=CLASS_WEIGHTS, ignore_index=-7),
    "every label counts": nn.CrossEntropyLoss(CLASS_WEIGHTS, ignore_index=None),
    "sum": nn.CrossEntropyLoss(CLASS_WEIGHTS, reduction="sum"),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "sample weights"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_padding_ignored_labels_and_weights_together(name: str, weighted: bool) -> None:
    rng, loss = np.random.default_rng(1), EVERYTHING[name]
    xs = [rng.normal(size=(n, 3)).astype("f") for n in (3, 7, 2, 5, 1, 4)]
    ys = [rng.integers(0, 3, len(x)) for x in xs]
    if name != "every label counts":
        ys[1][2:5] = ys[3][:] = -7 if name == "bound" else -100  # whole sequences of them too
    s = rng.uniform(0.5, 2, 6) if weighted else np.ones(6)
    x, y = np.concatenate(xs), np.concatenate(ys)
    kept = y >= 0
    s_all = np.repeat(s, [len(x) for x in xs])[kept]
    s_all = s_all / s_all.mean()
    w = CLASS_WEIGHTS.numpy()[y[kept]]
    each = F.cross_entropy(x[kept], y[kept], CLASS_WEIGHTS, reduction="none").numpy()
    total = (s_all * each).sum() / (1.0 if name == "sum" else (s_all * w).sum())
    right = (x.argmax(1) == y)[kept].mean()
    t = trainer(Scores(), loss, metrics=["accuracy", lambda p, y: p.argmax(axis=1) == y])
    options: dict[str, Any] = {"sample_weight": s} if weighted else {}
    for batch in (2, 4):
        found = list(t.evaluate(xs, ys, batch_size=batch, **options).values())
        assert found == pytest.approx([total, right, right], rel=1e-5)
        history = t.fit(
            xs, ys, epochs=1, batch_size=batch, progress=False, diagnose=False, **options
        )
        assert history["loss"][-1] == pytest.approx(total, rel=1e-5)


def test_gradients_are_those_of_the_steps_there_are() -> None:
    losses = {"scores": (nn.CrossEntropyLoss(), (Scores, 3)), "values": (nn.MSELoss(), (Net, 2))}
    for loss, (kind, width) in losses.values():
        cr.manual_seed(0)
        one, two = kind(), kind()
        two.load_state_dict(one.state_dict())
        xs = [RNG.normal(size=(n, width)).astype("f") for n in (2, 5)]
        ys = [x.argmax(1) if width == 3 else x[:, :1] for x in xs]
        s = np.array([1.0, 3.0])
        options: dict[str, Any] = {"epochs": 1, "batch_size": 2, "progress": False}
        a = cr.Trainer(one, loss, optim.SGD(one.parameters(), lr=0.1))
        a.fit(xs, ys, sample_weight=s, diagnose=False, **options)
        # The same by hand: each sequence alone, its steps weighed.
        each = copy.copy(loss)
        each.reduction = "sum"
        rows = [
            each(two(x[None], np.array([len(x)])), y[None]) for x, y in zip(xs, ys, strict=True)
        ]
        ((rows[0] + 3 * rows[1]) / (1.0 * 2 + 3.0 * 5)).backward()
        for p, q in zip(one.parameters(), two.parameters(), strict=True):
            assert q.grad is not None
            np.testing.assert_allclose(p.numpy(), (q - 0.1 * q.grad).numpy(), atol=1e-5)


def test_whole_numbers_as_targets_of_a_regression() -> None:
    model = Net()
    ys = [np.round(3 * y).astype(int) for y in YS]
    found = trainer(model, nn.MSELoss(), metrics=["mae"]).evaluate(XS, ys, batch_size=4)
    d = np.concatenate(
        [(model(x[None], np.array([len(x)]))[0] - y).numpy() for x, y in zip(XS, ys, strict=True)]
    )
    assert found["loss"] == pytest.approx((d**2).mean(), rel=1e-5)
    assert found["mae"] == pytest.approx(np.abs(d).mean(), rel=1e-5)


def test_padded_arrays_with_lengths_and_ignored_labels() -> None:
    right = 20 * np.eye(2, dtype="f")
    x = np.stack([right[[0, 0, 1]], right[[0, 1, 1]]])
    y = np.array([[0, 0, 1], [0, -100, -100]])
    model = trainer(Scores(), nn.CrossEntropyLoss(), metrics=["accuracy"])
    found = model.evaluate({"x": x, "lengths": np.array([3, 1])}, y)
    assert found["loss"] < 1e-6 and found["accuracy"] == 1.0


def test_ignored_rows_do_not_count_in_metrics() -> None:
    net = nn.Linear(2, 2, bias=False)
    net.weight.assign(np.eye(2, dtype="f"))
    model = trainer(net, nn.CrossEntropyLoss(), metrics=["accuracy"])
    x = np.array([[20, 0], [0, 20], [0, 20]], "f")
    found = model.evaluate(x, np.array([0, 1, -100]))
    assert found["accuracy"] == 1.0 and found["loss"] < 1e-6


class Own(Metric):
    name = "own"

    def update(self, state: Any, prediction: Any, target: Any) -> Any:
        return {"sum": state["sum"] + 1.0, "count": state["count"] + 1.0}


MISTAKES = {
    "empty": (
        lambda: trainer(Net(), nn.MSELoss()).fit([*XS[:5], XS[5][:0]], YS),
        DataError,
        "fit: sequence 5 of x is empty; leave it out, with its target",
    ),
    "steps of y": (
        lambda: trainer(Net(), nn.MSELoss()).fit(XS, [*YS[:5], YS[0]]),
        DataError,
        "fit: sequence 5 of y has 3 steps, that of x 4; give one target for each step, or one for "
        "each sequence",
    ),
    "widths": (
        lambda: trainer(Net(), nn.MSELoss()).fit([*XS[:5], XS[5][:, :1]], YS),
        ShapeError,
        "fit: sequence 5 of x has steps of shape (1,), sequence 0 (2,); only the number of steps "
        "may differ",
    ),
    "without lengths": (
        lambda: trainer(nn.Linear(2, 1), nn.MSELoss()).fit(XS, YS),
        ShapeError,
        "fit: the rows of x have unequal lengths; pad them to one length, or let the model's "
        "forward take lengths= (then a list of sequences is padded here)",
    ),
    "metric": (
        lambda: trainer(Net(), nn.MSELoss(), metrics=[Own()]).evaluate(XS, YS),
        OptionError,
        "metric own would count targets that are padding: let its update leave them out by "
        "self.counted(target); a function gives one number for each target",
    ),
    "loss": (
        lambda: trainer(Net(), lambda p, y: ((p - y) ** 2).mean()).evaluate(XS, YS),
        OptionError,
        "sequences of unequal length need the loss of each step: <lambda> gives shape (); let it "
        'take reduction="none" and return shape (6, 7)',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, kind, text = MISTAKES[name]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


class Memory(nn.Module):
    """Truncated back-propagation: the state of the last batch is where the next one starts."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 1)
        self.h = nn.Buffer(np.zeros((1, rows, 8), "f"), persistent=False)

    def forward(self, x: Any) -> Any:
        out, h_n = self.rnn(x, self.h)
        self.h.assign(h_n.detach())
        return self.out(out)


def test_a_state_that_is_carried_from_batch_to_batch() -> None:
    cr.manual_seed(0)
    x = RNG.normal(size=(4, 3, 5, 1)).astype("f")  # 4 pieces of 3 long sequences, 5 steps each
    whole = x.transpose(1, 0, 2, 3).reshape(3, 20, 1)
    model = Memory(3)
    wanted = model.out(model.rnn(whole)[0]).numpy().reshape(3, 4, 5, 1).transpose(1, 0, 2, 3)
    error = (wanted - x) ** 2
    t = trainer(model, nn.MSELoss())
    rows = x.reshape(12, 5, 1)
    history = t.fit(rows, rows, epochs=1, batch_size=3, shuffle=False, progress=False)
    assert history["loss"][0] == pytest.approx(error.mean(), rel=1e-5)


class Characters(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(size, 64), nn.Linear(256, size)
        self.rnn = nn.LSTM(64, 256, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.out(self.rnn(self.embedding(x))[0]).movedim(-1, 1)


@pytest.mark.slow
def test_a_character_lstm_learns_shakespeare() -> None:
    folder = Path(os.environ.get("CHAINRULE_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not (folder / "tinyshakespeare").exists():
        pytest.skip(f"no tinyshakespeare in {folder}")
    text = (folder / "tinyshakespeare" / "input.txt").read_text("utf-8")
    letters = sorted(set(text))
    code = np.array([letters.index(c) for c in text], np.int32)
    count = (len(code) - 1) // 64
    x, y = code[: count * 64].reshape(count, 64), code[1 : count * 64 + 1].reshape(count, 64)
    cut = count * 9 // 10
    cr.manual_seed(0)
    model = trainer(Characters(len(letters)), nn.CrossEntropyLoss(), lr=3e-3)
    options: dict[str, Any] = {"batch_size": 32, "progress": False}
    history = model.fit(x[:cut], y[:cut], epochs=1, validation_data=(x[cut:], y[cut:]), **options)
    assert history["val_loss"][-1] < 2.0
