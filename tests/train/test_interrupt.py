"""Ctrl-C: it is never lost, tears nothing apart, and leaves what was learned."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import Callback, Checkpoint, EarlyStopping
from chainrule.train.interrupt import INTERRUPTED, interrupts

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = RNG.integers(0, 3, 60)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Press(Callback):
    """Ctrl-C in a method, at its n-th call."""

    def __init__(self, method: str, at: int, times: int = 1) -> None:
        self.every = 1 if method == "on_steps" else 0
        self.calls = 0

        def called(*_: Any) -> None:
            self.calls += 1
            if self.calls == at:
                for _ in range(times):
                    press()

        setattr(self, method, called)


def trainer() -> cr.Trainer:
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))


def weights(t: cr.Trainer) -> bytes:
    return b"".join(p.numpy().tobytes() for p in t.model_tensors().values())


@pytest.mark.parametrize(
    ("method", "at"),
    [
        ("on_fit_begin", 1),
        ("on_epoch_begin", 3),
        ("on_steps", 12),  # the last one
        ("on_epoch_end", 1),
        ("on_epoch_end", 3),  # the last one
        ("on_fit_end", 1),
    ],
)
def test_a_press_is_never_lost(method: str, at: int, tmp_path: Path) -> None:
    t = trainer()
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, Y, epochs=3, batch_size=16, callbacks=Press(method, at), checkpoint=tmp_path)
    assert t.history.stopped == INTERRUPTED
    assert len(t.history) == t.epoch
    straight = trainer()
    straight.fit(X, Y, epochs=3, batch_size=16, callbacks=Callback())
    resumed = trainer()
    resumed.fit(X, Y, epochs=3, batch_size=16, callbacks=Callback(), checkpoint=tmp_path)
    assert weights(resumed) == weights(straight)
    assert resumed.history.history == straight.history.history


def test_epochs_of_one_step_are_interrupted_between_two_and_continued(tmp_path: Path) -> None:
    t = trainer()
    threading.Timer(0.05, press).start()
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, Y, epochs=10**8, batch_size=60, checkpoint=tmp_path, diagnose=False)
    assert len(t.history) == t.epoch
    epochs = t.step + 5
    straight, resumed = trainer(), trainer()
    straight.fit(X, Y, epochs=epochs, batch_size=60)
    resumed.fit(X, Y, epochs=epochs, batch_size=60, checkpoint=tmp_path)
    assert weights(resumed) == weights(straight)


class Dying:
    """Ctrl-C in a finalizer, where Python swallows exceptions."""

    def __del__(self) -> None:
        press()


def test_a_press_while_something_is_finalized_is_not_lost(tmp_path: Path) -> None:
    def drop(t: cr.Trainer, epoch: int, logs: Any) -> None:
        if epoch == 1:
            Dying()

    t = trainer()
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, Y, epochs=5, callbacks=drop, checkpoint=tmp_path)
    assert t.epoch == 2 and t.history.stopped == INTERRUPTED
    with pytest.raises(KeyboardInterrupt), interrupts() as presses:
        Dying()
        assert presses.waiting  # noted, though nothing was deferred


def test_a_press_while_the_data_are_looked_at_ends_the_fit() -> None:
    class Rows:
        shape, dtype = X.shape, X.dtype

        def __array__(self, *_: Any, **__: Any) -> Any:
            Dying()
            return X

        def __len__(self) -> int:
            return len(X)

    t = trainer()
    with pytest.raises(KeyboardInterrupt):
        t.fit(Rows(), Y, epochs=2)
    assert t.epoch == 0 and t.history.stopped == INTERRUPTED


def test_early_stopping_leaves_the_best_weights_and_the_checkpoint_the_latest(
    tmp_path: Path,
) -> None:
    seen: list[bytes] = []

    def watch(t: cr.Trainer, epoch: int, logs: Any) -> None:
        seen.append(weights(t))
        if epoch == 30:
            press()

    options: dict[str, Any] = {"validation_data": (X[:20], (Y[:20] + 1) % 3), "epochs": 40}
    t, stopping = trainer(), EarlyStopping(patience=1000)
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, Y, **options, callbacks=watch, early_stopping=stopping, checkpoint=tmp_path)
    assert stopping.best_epoch < 30
    assert weights(t) == seen[stopping.best_epoch] != seen[-1]
    straight, resumed = trainer(), trainer()
    for one, more in ((straight, {}), (resumed, {"checkpoint": tmp_path})):
        one.fit(X, Y, **options, **more, callbacks=Callback(), early_stopping=1000)
    assert weights(resumed) == weights(straight)


def test_a_second_press_ends_at_once_and_writes_nothing(tmp_path: Path) -> None:
    t, ends = trainer(), Press("on_fit_end", 10**9)
    with pytest.raises(KeyboardInterrupt):
        t.fit(
            X, Y, epochs=3, callbacks=[Press("on_epoch_end", 2, times=2), ends], checkpoint=tmp_path
        )
    assert ends.calls == 0 and not Checkpoint(tmp_path).files()
    assert t.history.stopped == "" and list(tmp_path.iterdir()) == []


def test_a_callback_that_raises_keyboard_interrupt_is_taken_for_ctrl_c(tmp_path: Path) -> None:
    def stop(t: cr.Trainer, epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    t = trainer()
    with pytest.raises(KeyboardInterrupt):
        t.fit(X, Y, epochs=5, callbacks=stop, checkpoint=tmp_path)
    straight, resumed = trainer(), trainer()
    straight.fit(X, Y, epochs=5, callbacks=Callback())
    resumed.fit(X, Y, epochs=5, callbacks=Callback(), checkpoint=tmp_path)
    assert weights(resumed) == weights(straight) and resumed.epoch == 5


def test_an_error_of_a_callback_leaves_what_was_learned_and_the_best_on_call() -> None:
    seen: list[bytes] = []

    def fail(t: cr.Trainer, epoch: int, logs: Any) -> None:
        seen.append(weights(t))
        if epoch == 30:
            raise ZeroDivisionError

    t, stopping = trainer(), EarlyStopping(patience=1000)
    with pytest.raises(ZeroDivisionError):
        t.fit(
            X,
            Y,
            epochs=40,
            validation_data=(X[:20], (Y[:20] + 1) % 3),
            callbacks=[stopping, fail],
        )
    assert weights(t) == seen[-1] and len(t.history) == t.epoch == 31
    t.restore_best()
    assert weights(t) == seen[stopping.best_epoch] != seen[-1]


def test_blocks_inside_one_another_are_one_and_a_program_with_a_handler_keeps_it() -> None:
    with pytest.raises(KeyboardInterrupt), interrupts() as outer:
        with interrupts() as inner:
            assert inner is outer
            inner.deferred = True
            press()
            assert outer.waiting
        went_on = True
    assert went_on
    with interrupts() as answered:
        answered.deferred = True
        press()
        answered.answered = True
    own: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: own.append(1))
    with interrupts() as none:
        press()
    signal.signal(signal.SIGINT, before)
    assert own == [1] and none.count == 0


def test_failing_writes_do_not_stand_in_for_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    t = trainer()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("error")
        t.fit(X, Y, epochs=3, callbacks=Press("on_epoch_end", 2), checkpoint=tmp_path)
    assert list(tmp_path.iterdir()) == []
