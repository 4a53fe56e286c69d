"""Many epochs of nets of many seeds in one native run: the same as one epoch at a time; and each
net, of any layers, as it is alone."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR
from chainrule.train import EarlyStopping
from chainrule.train.seeds import epochs as native
from chainrule.train.seeds import loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 3))).argmax(1)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled, which takes longest; so epochs are longer than they ever are."""
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 100.0)
    monkeypatch.setattr(native, "CHUNK_SECONDS", 100.0)
    monkeypatch.setattr(loop, "COPIED_SECONDS", 10.0)


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 40, bias=False), nn.BatchNorm1d(40), nn.Dropout(0.3), nn.Linear(40, 3)
    )


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def state(trainer: Any) -> dict[str, Any]:
    """All that training changes, and what it found."""
    found = {k: a.copy() for k, a in trainer.rows().items()}
    found |= {f"history.{k}": trainer.history[k].copy() for k in trainer.history}
    found |= {"epochs": trainer.epochs, "best": trainer.best_row, "failed": trainer.failed}
    return found | {"stopped": trainer.history.stopped, "step": trainer.step}


RATES = {"lr": [0.01, 0.02, 0.03, 0.01]}
STOPS = EarlyStopping("loss", patience=2, restore_best=False, min_delta=0.03)
PLATEAU = {"scheduler": lambda o: ReduceLROnPlateau(o, patience=1, threshold=0.1)}
CASES = {  # the net, options of the trainer, of fit
    "best weights": (
        dropping,
        {"metrics": ["accuracy"]},
        {"validation_split": 0.3, "early_stopping": 2},
    ),
    "last weights": (dropping, {}, {"early_stopping": STOPS}),
    "cosine": (dense, {"scheduler": lambda o: CosineAnnealingLR(o, 12), "vary": RATES}, {}),
    "inside": (dense, {"scheduler": lambda o: StepLR(o, 5, 0.5), "scheduler_interval": "step"}, {}),
    "plateau": (dense, PLATEAU, {"validation_split": 0.3}),
    "one step": (dense, {"metrics": ["accuracy"]}, {"batch_size": 64}),
    "one that fails": (dense, {"vary": {"lr": [0.01, 1e30, 0.01, 0.02]}}, {}),
    "accumulated": (dense, {"accumulate": 2}, {}),
}


@pytest.mark.filterwarnings("ignore::chainrule.train.TrainingWarning")
@pytest.mark.parametrize("name", CASES)
def test_epochs_together_are_epochs_one_by_one(name: str, interpreted: None) -> None:
    net, options, fit = CASES[name]
    found = []
    for callbacks in (None, lambda trainer, epoch, logs: None):
        adam = lambda p: optim.AdamW(p, lr=0.01)  # noqa: E731
        trainer: Any = cr.Trainer(net, "cross_entropy", adam, seeds=4, **options)
        how = {"batch_size": 16, "progress": False, "callbacks": callbacks, **fit}
        for _ in range(2):  # the second goes on
            trainer.fit(X, Y, epochs=7, **how)
        found.append(state(trainer))
    together, alone = found
    assert together.keys() == alone.keys()
    for key, value in together.items():
        np.testing.assert_array_equal(value, alone[key], err_msg=key)
    if "weights" in name:
        assert any(together["stopped"])


def test_callbacks_that_read_hear_of_each_epoch_in_its_order(interpreted: None) -> None:
    heard = []

    class Reads(cr.train.Callback):
        def may_wait(self, epoch: int) -> float:
            return float("inf")

        def on_epoch_end(self, trainer: Any, epoch: int, logs: Any) -> None:
            heard.append((epoch, len(trainer.history), trainer.step, logs["loss"].tolist()))

    trainer: Any = cr.Trainer(dense, "cross_entropy", "adam", seeds=2)
    history = trainer.fit(X, Y, 6, 16, progress=False, callbacks=Reads())
    assert [h[:3] for h in heard] == [(i, i + 1, 3 * (i + 1)) for i in range(6)]
    np.testing.assert_array_equal([h[3] for h in heard], history["loss"])


def test_ctrl_c_in_a_long_epoch_leaves_the_last_whole_one(
    monkeypatch: pytest.MonkeyPatch, interpreted: None, tmp_path: Any
) -> None:
    for module in (loop, native):
        monkeypatch.setattr(module, "CHUNK_SECONDS", 1e-9)  # so that every epoch is long
    whole: Any = cr.Trainer(dropping, "cross_entropy", "adam", seeds=3)
    whole.fit(X, Y, 5, 16, progress=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    runs, really = [], native.SeedEpochs._run_parts

    def press(self: Any, parts: Any, look: Any) -> None:
        runs.append(1)
        if len(runs) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        really(self, parts, look)

    monkeypatch.setattr(native.SeedEpochs, "_run_parts", press)
    trainer: Any = cr.Trainer(dropping, "cross_entropy", "adam", seeds=3)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, 5, 16, progress=False, checkpoint=tmp_path)
    signal.signal(signal.SIGINT, before)
    assert trainer.epochs.tolist() == [2, 2, 2] and len(trainer.history) == 2
    assert trainer.history.stopped == ["interrupted"] * 3
    kept = state(trainer)
    short: Any = cr.Trainer(dropping, "cross_entropy", "adam", seeds=3)
    short.fit(X, Y, 2, 16, progress=False)
    for key, value in short.rows().items():
        np.testing.assert_array_equal(value, kept[key], err_msg=key)
    again: Any = cr.Trainer(dropping, "cross_entropy", "adam", seeds=3)
    again.fit(X, Y, 5, 16, progress=False, checkpoint=tmp_path)
    for key, value in state(whole).items():
        if key != "stopped":
            np.testing.assert_array_equal(value, state(again)[key], err_msg=key)


# -- layers ----------------------------------------------------------------------------------------
IMAGES = RNG.normal(size=(24, 1, 8, 8)).astype("float32")
SERIES = RNG.normal(size=(24, 7, 4)).astype("float32")
LABELS = RNG.integers(3, size=24)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(36, 3),
    )  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.lstm(x)[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.out(self.layer(x).mean(1))


LAYERS = {
    "dense": (dropping, X[:24]),
    "convolutions": (convolutional, IMAGES),
    "recurrence": (Recurrent, SERIES),
    "attention": (Attending, SERIES),
}


def seeds_and_lone(name: str) -> tuple[Any, Any]:
    """Weights of a seed, among four and alone, by name."""
    make, x = LAYERS[name]
    how = {"epochs": 3, "batch_size": 10, "progress": False, "diagnose": False}
    sgd = lambda p: optim.SGD(p, lr=0.1, momentum=0.9)  # noqa: E731
    together: Any = cr.Trainer(make, "cross_entropy", sgd, seeds=4)
    together.fit(x, LABELS, **how)
    cr.manual_seed(2)
    net = make()
    alone = cr.Trainer(net, "cross_entropy", sgd(net.parameters()), seed=2)
    alone.fit(x, LABELS, **how)
    assert together.stack.group == 4
    there, here = together.model_of(2).state_dict(), alone.model.state_dict()
    return ({k: np.array(v) for k, v in held.items()} for held in (there, here))


@pytest.mark.parametrize("name", LAYERS)
def test_a_net_among_many_is_the_net_alone(name: str, interpreted: None) -> None:
    there, here = seeds_and_lone(name)
    for key, value in here.items():
        if name == "convolutions":  # whose sums go in another order
            np.testing.assert_allclose(there[key], value, rtol=2e-5, atol=1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(there[key], value, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_compiled_net_among_many_is_the_net_alone(name: str) -> None:
    there, here = seeds_and_lone(name)
    for key, value in here.items():
        np.testing.assert_allclose(there[key], value, rtol=2e-5, atol=2e-6, err_msg=key)
