"""Epochs that run together in one native call do what epochs run one at a time do, to the bit."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.optim import lr_scheduler as lr
from chainrule.train import Callback, Checkpoint, CSVLogger, EarlyStopping, NonFiniteLossError
from chainrule.train.listeners.callbacks import waiting
from chainrule.train.state.snapshot import state_of
from chainrule.train.step.epochs import Epochs
from chainrule.train.step.schedules import Schedules, epochs_foreseen

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype("float32")
Y = RNG.integers(0, 3, 50)
EPOCHS = 17


class OneAtATime(Callback):
    """Asks for each epoch, and so keeps them apart."""

    def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
        pass


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many epochs each native run had; however slow the machine, there is time for many."""
    monkeypatch.setattr("chainrule.train.loop.CHUNK_SECONDS", 1e3)
    found: list[int] = []
    run = Epochs.run

    def counted(self: Epochs, count: int, first: int) -> Any:
        found.append(count)
        return run(self, count, first)

    monkeypatch.setattr(Epochs, "run", counted)
    return found


def make(
    schedule: Callable[[Any], Any] | None = None,
    layers: Callable[[], list[nn.Module]] | None = None,
    rate: float = 0.03,
    rule: Any = optim.Adam,
    **options: Any,
) -> cr.Trainer:
    cr.manual_seed(5)
    inner = [nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3)] if layers is None else layers()
    model = nn.Sequential(nn.Linear(6, 8), *inner, nn.Linear(8, 3))
    optimizer = rule(model.parameters(), lr=rate)
    scheduler = None if schedule is None else schedule(optimizer)
    return cr.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler, **options)


def state(trainer: cr.Trainer) -> Any:
    """All that training goes on with, and what it said."""
    found = state_of(trainer, trainer._steps)
    return {k: (a.dtype, a.tobytes()) for k, a in found.arrays.items()}, found.meta


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "no last short batch": ({}, {"batch_size": 25}),
    "one batch": ({}, {"batch_size": 50, "metrics": ["accuracy"]}),
    "metrics": ({}, {"metrics": ["accuracy", "f1", cr.train.TopKAccuracy(2)]}),
    "validation": ({}, {"validation_split": 0.3, "metrics": ["accuracy"]}),
    "class weights": ({}, {"class_weight": "balanced", "shuffle": False}),
    "accumulation": ({"accumulate": 3, "clip_norm": 0.5}, {"batch_size": 8}),
    "schedule": ({"schedule": lambda o: lr.CosineAnnealingLR(o, EPOCHS)}, {}),
    "two schedules": (
        {"schedule": lambda o: [lr.LinearLR(o, 0.1, total_iters=5), lr.StepLR(o, 4)]},
        {"validation_split": 0.3},
    ),
    "schedule of steps": ({"schedule": lambda o: lr.ExponentialLR(o, 0.99)}, {}),
    "schedule inside": (
        {"schedule": lambda o: lr.ExponentialLR(o, 0.99), "scheduled": "step"},
        {"validation_split": 0.3},
    ),
    "plateau": (
        {"schedule": lambda o: lr.ReduceLROnPlateau(o, patience=1), "rate": 1.0},
        {"validation_split": 0.3},
    ),
    "stopping": ({"rate": 0.3}, {"validation_split": 0.3, "early_stopping": 3, "epochs": 60}),
    "stopping, not the best": (
        {"rate": 0.3},
        {"early_stopping": EarlyStopping("loss", 2, restore_best=False), "epochs": 60},
    ),
    "stopping, late": (
        {"rate": 0.3, "schedule": lambda o: lr.StepLR(o, 4)},
        {
            "validation_split": 0.3,
            "metrics": ["accuracy"],
            "early_stopping": EarlyStopping("val_accuracy", 3, start_from=9),
            "epochs": 60,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_same_as_one_at_a_time(case: str, runs: list[int]) -> None:
    options, fit = CASES[case]
    options = {**options}
    interval = options.pop("scheduled", "epoch")
    found = []
    for callbacks in ([], [OneAtATime()]):
        build = options.pop("schedule", None) if not found else CASES[case][0].get("schedule")
        trainer = make(build, **options)
        trainer.scheduler_interval = interval
        for more in ({}, {"epochs": 5}):  # the second goes on where the first has ended
            asked = {"epochs": EPOCHS, "batch_size": 16, **fit, **more}
            trainer.fit(X, Y, **asked, callbacks=callbacks)
            found.append((state(trainer), trainer.history.stopped))
        if not callbacks:
            together = sum(runs)
            assert len(trainer.history) - 2 <= together + 2 and len(runs) < together
    assert sum(runs) == together  # the second was run one at a time
    assert found[:2] == found[2:]


def test_callbacks_that_read_are_told_of_each_epoch_in_order(
    runs: list[int], tmp_path: Path
) -> None:
    class Reads(Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def may_wait(self, epoch: int) -> float:
            return math.inf

        def on_epoch_begin(self, trainer: cr.Trainer, epoch: int) -> None:
            self.seen.append(("begin", epoch, trainer.epoch, trainer.step))

        def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
            self.seen.append(("end", epoch, trainer.epoch, trainer.step, dict(logs)))
            assert trainer.history["loss"][-1] == logs["loss"]
            assert len(trainer.history) == trainer.epoch

    told = []
    for extra in ([], [OneAtATime()]):
        reads, path = Reads(), tmp_path / f"{len(extra)}.csv"
        make().fit(X, Y, epochs=9, batch_size=16, callbacks=[reads, CSVLogger(path), *extra])
        told.append((reads.seen, path.read_text()))
    assert told[0] == told[1] and len(told[0][0]) == 18 and runs == [8]


def test_who_says_nothing_of_waiting_is_told_at_once() -> None:
    class Stops(EarlyStopping):
        def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
            trainer.stop()

    class Improves(EarlyStopping):
        def improved(self, value: float) -> bool:
            return True

    class Ends(Callback):
        def on_fit_end(self, trainer: cr.Trainer) -> None: ...

    changed = CSVLogger("x.csv")
    changed.on_epoch_end = lambda *_: None  # type: ignore[method-assign]
    waits = [waiting(c)(0) for c in (Stops(), OneAtATime(), changed)]
    assert waits == [1, 1, 1]
    stopping = EarlyStopping(patience=4, start_from=3)
    assert [waiting(c)(0) for c in (stopping, Improves(patience=3))] == [7, 3]
    assert waiting(stopping)(5) == 4
    assert waiting(Ends())(0) == waiting(CSVLogger("x.csv"))(0) == math.inf


def test_a_schedule_of_ones_own_is_not_stepped_ahead() -> None:
    class Looks(lr.ConstantLR):
        def step(self) -> None:
            super().step()

    class Own:
        def step(self) -> None: ...

    optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    assert epochs_foreseen(lr.StepLR(optimizer, 3)) == math.inf
    assert epochs_foreseen(Looks(optimizer)) == epochs_foreseen(Own()) == 1
    assert epochs_foreseen(lr.ReduceLROnPlateau(optimizer, patience=4)) == 5


SCHEDULES: list[Callable[[Any], Any]] = [
    lambda o: lr.MultiStepLR(o, [3, 9, 20]),
    lambda o: lr.PolynomialLR(o, 50, 2.0),
    lambda o: lr.CosineAnnealingWarmRestarts(o, 7, 2),
    lambda o: lr.OneCycleLR(o, 1.0, total_steps=70),
    lambda o: lr.CyclicLR(o, 0.01, 0.1, step_size_up=5, cycle_momentum=False),
    lambda o: lr.SequentialLR(o, [lr.LinearLR(o, total_iters=4), lr.ExponentialLR(o, 0.9)], [4]),
    lambda o: lr.ChainedScheduler([lr.ConstantLR(o, 0.5, 2), lr.CosineAnnealingLR(o, 9)]),
    lambda o: lr.LambdaLR(o, lambda t: 0.5 ** (t // 3)),  # a user's function: called each time
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_many_steps_of_schedules_are_single_steps(schedule: Callable[[Any], Any]) -> None:
    found = []
    for count in (1, 40):
        trainer = make(schedule)
        step = Schedules(trainer).stepper(count)
        rates = []
        for _ in range(40):
            step()
            rates.append(trainer.optimizer.param_groups[0]["lr"])
        found.append((rates, trainer.scheduler.state_dict()))
    assert found[0] == found[1] and len(set(found[0][0])) > 2


@pytest.mark.parametrize("every", [1, 4, 5, 8, 21])
def test_checkpoints_are_written_where_they_are_due(
    every: int, runs: list[int], tmp_path: Path
) -> None:
    """Four steps an epoch; the names of the files tell the step."""
    files: list[Any] = []
    write = Checkpoint.write
    for callbacks in ([], [OneAtATime()]):
        written = []

        class Watched(Checkpoint):
            def write(self, step: int, state: Any) -> Path:
                del state.meta["fit"]["callbacks"], state.meta["fit"]["settings"]
                numbers = {k: a.tobytes() for k, a in state.arrays.items()}
                written.append((step, numbers, str(state.meta)))  # noqa: B023
                return write(self, step, state)

        folder = Watched(tmp_path / str(len(callbacks)), every_steps=every)
        options: dict[str, Any] = {"validation_split": 0.2, "early_stopping": 6}
        make().fit(X, Y, 9, 10, **options, callbacks=callbacks, checkpoint=folder)
        files.append(written)
    assert files[0] == files[1] and files[0]
    assert bool(runs) == (every >= 8)


def test_a_run_that_is_cut_off_between_epochs_together_is_continued(
    runs: list[int], tmp_path: Path
) -> None:
    class Cut(Callback):
        def may_wait(self, epoch: int) -> int:
            return 3

        def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
            if epoch == 7:
                raise ValueError

    options: dict[str, Any] = {"validation_split": 0.2, "early_stopping": 9, "epochs": 20}
    options["batch_size"] = 10
    whole = make()
    whole.fit(X, Y, **options, callbacks=[Callback()])
    folder = Checkpoint(tmp_path, every_steps=8)
    with pytest.raises(ValueError):
        make().fit(X, Y, **options, callbacks=[Cut()], checkpoint=folder)
    resumed = make()
    resumed.fit(X, Y, **options, callbacks=[Callback()], checkpoint=folder)
    assert state(whole) == state(resumed) and max(runs) >= 2


GROWING = lambda o: lr.MultiplicativeLR(o, lambda t: 40.0)  # noqa: E731


# Copies are made before each native run, or one at first.
@pytest.mark.parametrize("schedule, cost", [(None, 1e9), (None, 1e-9), (GROWING, 1e9)])
def test_a_loss_that_is_not_finite_is_found_at_its_step(
    schedule: Any, cost: float, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights grow until all overflows, somewhere among epochs that run together."""
    errors = []
    for callbacks, share in (([], cost), ([OneAtATime()], 1e9)):
        monkeypatch.setattr("chainrule.train.inspect.sentinel.COST", share)
        rule = {"rate": 0.5, "rule": optim.SGD} if schedule is None else {"rate": 1.0}
        trainer = make(schedule, lambda: [Squares()], **rule)
        with pytest.raises(NonFiniteLossError) as caught:
            trainer.fit(X, Y, 40, 16, callbacks=callbacks, diagnose=False)
        numbers, meta = state(trainer)
        numbers = {k: v for k, v in numbers.items() if not k.startswith("meter.")}
        errors.append((str(caught.value), numbers, meta))
    assert runs == [39] and "The model is as it was before this step" in errors[0][0]
    assert errors[0] == errors[1]


class Squares(nn.Module):
    """Grows with what it is given, and fast."""

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        return x * x * x


def test_ctrl_c_ends_between_two_native_runs(runs: list[int], tmp_path: Path) -> None:
    class Presses(Callback):
        def may_wait(self, epoch: int) -> int:
            return 4

        def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
            if epoch == 6:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    options: dict[str, Any] = {"epochs": 12, "batch_size": 16, "callbacks": [Presses()]}
    trainer = make()
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(X, Y, **options, checkpoint=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(trainer.history) == trainer.epoch == 9 and trainer.step == 36 and runs == [4, 4]
    options["callbacks"] = [OneAtATime()]
    resumed = make()
    resumed.fit(X, Y, **options, checkpoint=tmp_path)
    whole = make()
    whole.fit(X, Y, **options)
    assert state(resumed) == state(whole)


def test_a_callback_that_fails_late_leaves_counters_that_are_right(runs: list[int]) -> None:
    class Fails(Callback):
        def may_wait(self, epoch: int) -> float:
            return math.inf

        def on_epoch_end(self, trainer: cr.Trainer, epoch: int, logs: Any) -> None:
            if epoch == 3:
                raise ValueError("full disk")

    trainer = make()
    with pytest.raises(ValueError, match="full disk"):
        trainer.fit(X, Y, 9, 16, callbacks=[Fails()])
    whole = make()
    whole.fit(X, Y, 9, 16, callbacks=[OneAtATime()])
    assert runs == [8] and (trainer.epoch, trainer.step) == (9, 36)
    assert trainer.history.to_dict() == whole.history.to_dict()
    assert state(trainer)[0]["model.0.weight"] == state(whole)[0]["model.0.weight"]


def test_weights_of_a_large_model_bound_how_many_run_together(
    runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainrule.train.step.epochs.RECORD_BYTES", 2000)  # of 5 × 388 bytes
    trainer = make()
    trainer.fit(X, Y, 12, 16, early_stopping=50)
    assert set(runs[:-1]) == {max(runs)} and 2 <= max(runs) <= 5
