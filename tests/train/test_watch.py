"""Warnings during training: what is not well is named, once; what is well is left alone."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import TrainingWarning
from chainrule.train.listeners import watch

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype("float32")
T = (X @ RNG.normal(size=(6, 1))).astype("float32")


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look whenever Python has its turn: tests should not wait for the budget."""
    monkeypatch.setattr(watch, "COST", 1e9)


@pytest.fixture
def eager(often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after every step."""
    monkeypatch.setattr("chainrule.train.loop.CHUNK_SECONDS", 1e-9)


def trainer_of(*layers: nn.Module, lr: float = 0.01, seed: int = 0, **options: Any) -> cr.Trainer:
    model = nn.Sequential(*layers)
    for module in model.modules():
        object.__setattr__(module, "_made_at", "net.py:3")
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return cr.Trainer(model, nn.MSELoss(), optimizer, **options)


def warned(trainer: cr.Trainer, x: Any, y: Any, **options: Any) -> list[str]:
    options = {"epochs": 12, "batch_size": 20, "progress": False} | options
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(x, y, **options)
    assert all(w.category is TrainingWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def dead_relu(**options: Any) -> cr.Trainer:
    cr.manual_seed(0)
    trainer = trainer_of(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), **options)
    trainer.model[0].bias.assign(np.full(16, -100.0, "float32"))
    return trainer


@pytest.mark.usefixtures("eager")
def test_dead_units_are_named_once() -> None:
    (text,) = warned(dead_relu(), X, T)
    assert re.sub(r"was [\d.]+, is [\d.]+[.]", "was A, is B.", text) == (
        "dead: ReLU `model[1]` (net.py:3): 16 of 16 units give 0 for every row, so they do not "
        "learn. A lower learning rate, LeakyReLU or GELU, Kaiming initialization.\n"
        "    Step 51; the loss was A, is B. trainer.diagnose(x, y) tells more; "
        "fit(..., diagnose=False) is silent"
    )


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("layer", [nn.Tanh, nn.Sigmoid])
def test_saturated_units_are_named(layer: Any) -> None:
    cr.manual_seed(0)
    trainer = trainer_of(nn.Linear(6, 16), layer(), nn.Linear(16, 1), lr=1e-5)
    (text,) = warned(trainer, X * 1e4, T)
    assert text.startswith(f"saturated: {layer.__name__} `model[1]` (net.py:3): 16 of 16 units")


@pytest.mark.usefixtures("eager")
def test_vanishing_gradients_of_a_deep_sigmoid_net_are_named() -> None:
    cr.manual_seed(0)
    deep = [m for _ in range(12) for m in (nn.Linear(6, 6), nn.Sigmoid())]
    (text,) = warned(trainer_of(*deep, nn.Linear(6, 1)), X, T)
    assert text.startswith("vanishing: `0.weight`: its gradient is ")
    assert "more layers likewise" in text


@pytest.mark.usefixtures("eager")
def test_a_learning_rate_that_is_too_large_is_named() -> None:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    trainer = cr.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=30.0))
    (text,) = warned(trainer, X, T, epochs=8)
    assert re.sub(r"\d+([.]\d+)?(e[+]\d+)?", "N", text).startswith(
        "diverging: the training: the loss has grown from N to N. Lower the learning rate (it is "
        "N), or bound the gradients: clip_norm=N.\n    Step N; the loss was N, is N. "
    )
    assert "(it is 30)" in text and text.count("diverging") == 1


@pytest.mark.usefixtures("eager")
def test_exploding_gradients_are_named() -> None:
    cr.manual_seed(0)
    deep = [m for _ in range(6) for m in (nn.Linear(6, 6), nn.Tanhshrink())]
    model = nn.Sequential(*deep, nn.Linear(6, 1))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=8.0)
    trainer = cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-30))
    texts = warned(trainer, X, T, epochs=8)
    assert texts and all(t.startswith("exploding: ") for t in texts), texts


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("batch", [20, 64, 200])  # with a smaller last batch; many epochs at once
def test_the_weights_are_the_same_with_looks_and_without(batch: int) -> None:
    def train(diagnose: bool) -> tuple[bytes, ...]:
        cr.manual_seed(0)
        layers = nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1)
        trainer = trainer_of(*layers, clip_norm=1.0, accumulate=1 if batch == 200 else 2)
        if batch == 20:  # its steps are state of the program that no optimizer has
            trainer.scheduler = optim.lr_scheduler.ExponentialLR(trainer.optimizer, 0.99)
            trainer.scheduler_interval = "step"
        history = trainer.fit(
            X, T, epochs=100 if batch == 200 else 8, batch_size=batch, diagnose=diagnose
        )
        state = [t.numpy().tobytes() for t in trainer.model_tensors().values()]
        return (*state, str(history.to_dict()).encode())

    assert train(True) == train(False)


@pytest.mark.usefixtures("eager")
def test_it_can_be_switched_off_or_filtered() -> None:
    assert not warned(dead_relu(), X, T, diagnose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", TrainingWarning)
        dead_relu().fit(X, T, epochs=12, batch_size=20, progress=False)


@pytest.mark.usefixtures("eager")
def test_own_steps_and_hooks_are_not_run_for_a_look() -> None:
    calls: list[int] = []

    class Own(cr.Trainer):
        def training_step(self, batch: Any) -> Any:
            calls.append(1)
            return super().training_step(batch)

    model = dead_relu().model
    own = Own(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    assert not warned(own, X, T) and len(calls) == 1
    hooked = dead_relu()
    hooked.model[0].register_forward_hook(lambda m, a, out: calls.append(1))
    seen = len(calls)
    assert not warned(hooked, X, T) and len(calls) - seen <= 3  # probes and the compiled step


# -- what is well ----------------------------------------------------------------------------------
def xor(seed: int) -> tuple[cr.Trainer, Any, Any]:
    cr.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    adam = optim.Adam(net.parameters(), lr=0.05)
    return cr.Trainer(net, nn.BCEWithLogitsLoss(), adam), x, np.array([0.0, 1, 1, 0], "float32")


def classes(load: Any, *between: nn.Module, lr: float = 1e-3) -> tuple[cr.Trainer, Any, Any]:
    cr.manual_seed(0)
    x, y = load(return_X_y=True)
    x = ((x - x.mean(0)) / (x.std(0) + 1e-9)).astype("float32")
    net = nn.Sequential(nn.Linear(x.shape[1], 64), *between, nn.Linear(64, int(y.max()) + 1))
    return cr.Trainer(net, nn.CrossEntropyLoss(), optim.Adam(net.parameters(), lr=lr)), x, y


def numbers(scaled: bool, *between: nn.Module) -> tuple[cr.Trainer, Any, Any]:
    cr.manual_seed(0)
    x, y = load_diabetes(return_X_y=True)
    x = x / x.std(0)
    y = (y - y.mean()) / y.std() if scaled else y
    net = nn.Sequential(nn.Linear(x.shape[1], 32), *between, nn.Linear(32, 1))
    return cr.Trainer(net, nn.MSELoss(), optim.Adam(net.parameters(), lr=3e-3)), x, y


def noise() -> tuple[cr.Trainer, Any, Any]:
    """Nothing to be learned: no progress, and yet nothing is wrong with the net."""
    cr.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    sgd = optim.SGD(net.parameters(), lr=0.05)
    return cr.Trainer(net, nn.CrossEntropyLoss(), sgd), X, np.arange(200) % 3


HEALTHY: dict[str, Any] = {
    "xor, seed 0": lambda: xor(0),
    "xor, seed 1": lambda: xor(1),
    "xor, seed 2": lambda: xor(2),
    "digits, relu": lambda: classes(load_digits, nn.ReLU()),
    "digits, tanh": lambda: classes(load_digits, nn.Tanh(), lr=1e-2),
    "digits, deep": lambda: classes(
        load_digits, nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5)
    ),
    "wine": lambda: classes(load_wine, nn.ReLU()),
    "cancer, sigmoid": lambda: classes(load_breast_cancer, nn.Sigmoid()),
    "diabetes": lambda: numbers(True, nn.ReLU()),
    "diabetes, target not scaled": lambda: numbers(False, nn.Tanh()),
    "noise": noise,
}


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("name", HEALTHY)
def test_no_false_alarm(name: str) -> None:
    trainer, x, y = HEALTHY[name]()
    epochs = 10_000 if len(x) == 4 else 15
    assert not warned(trainer, x, y, epochs=epochs, batch_size=32)
    assert not warned(trainer, x, y, epochs=epochs, batch_size=32)  # trained already


def test_looks_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = 0.0, 0
    real = watch.diagnose

    def slow(*args: Any) -> Any:
        nonlocal now, looks
        now, looks = now + 0.25, looks + 1
        return real(*args)

    def after_an_epoch(trainer: cr.Trainer, epoch: int, logs: Any) -> None:
        nonlocal now
        now += 0.5

    monkeypatch.setattr(watch, "diagnose", slow)
    monkeypatch.setattr(watch, "time", SimpleNamespace(perf_counter=lambda: now))
    trainer = trainer_of(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
    trainer.fit(X, T, epochs=500, batch_size=20, callbacks=after_an_epoch, progress=False)
    # 250 s: one look at 1 s, with another at the first weights; then 25 s for each of 0.25
    assert now == 250 + 0.25 * looks and 0.008 < 0.25 * looks / now < 0.011
