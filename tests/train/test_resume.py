"""Checkpoints: a run that is cut off anywhere and continued ends with the same bits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CheckpointError
from chainrule.train import Checkpoint, EarlyStopping
from chainrule.train.state.checkpoint import State, read_file, to_bytes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = RNG.integers(0, 3, 60)


class Cut(Exception):
    """Stands for the death of the process."""


def trainer_with(dropout: float = 0.3, seed: int = 5, **options: Any) -> cr.Trainer:
    cr.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)
    )
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    return cr.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], **options)


def weights(trainer: cr.Trainer) -> bytes:
    return b"".join(t.numpy().tobytes() for t in trainer.model_tensors().values())


FIT: dict[str, Any] = {"epochs": 6, "batch_size": 16, "validation_data": (X[:20], Y[:20])}


def cut_off_at(step: int, folder: Path, make: Any = trainer_with, **options: Any) -> None:
    """Train until ``step``, then drop everything without a last checkpoint."""
    trainer = make()

    class Dying(cr.train.Callback):
        every = 1

        def on_steps(self, trainer: cr.Trainer, now: int, logs: Any) -> None:
            if now == step:
                raise Cut

    with pytest.raises(Cut):
        trainer.fit(
            X, Y, **FIT | options, checkpoint=Checkpoint(folder, every_steps=3), callbacks=[Dying()]
        )


@pytest.mark.parametrize("step", [1, 3, 4, 5, 8, 11, 16, 23])
def test_a_run_that_is_cut_off_ends_with_the_same_bits(step: int, tmp_path: Path) -> None:
    straight = trainer_with()
    expected = straight.fit(X, Y, **FIT, callbacks=[cr.train.Callback()], early_stopping=50)
    options: dict[str, Any] = {"early_stopping": 50}
    cut_off_at(step, tmp_path, **options)
    # Other weights, other random numbers: all comes from the checkpoint.
    resumed = trainer_with(seed=99)
    if step <= 3:  # nothing was written yet
        resumed = trainer_with()
    history = resumed.fit(
        X, Y, **FIT, **options, checkpoint=tmp_path, callbacks=[cr.train.Callback()]
    )
    assert weights(resumed) == weights(straight)
    assert history.history == expected.history
    assert resumed.step == straight.step == 24


def test_schedules_accumulation_and_stopping_continue(tmp_path: Path) -> None:
    def make(seed: int = 5) -> cr.Trainer:
        trainer = trainer_with(seed=seed, accumulate=2, clip_norm=1.0)
        trainer.schedulers = [optim.lr_scheduler.StepLR(trainer.optimizer, 3, 0.5)]
        trainer.scheduler_interval = "step"
        return trainer

    options: dict[str, Any] = {"early_stopping": EarlyStopping(patience=1), "epochs": 40}
    straight = make()
    expected = straight.fit(X, Y, **FIT | options, callbacks=[cr.train.Callback()])
    assert expected.stopped
    options["early_stopping"] = EarlyStopping(patience=1)
    cut_off_at(7, tmp_path, make, **options)
    options["early_stopping"] = EarlyStopping(patience=1)
    resumed = make(seed=8)
    history = resumed.fit(
        X, Y, **FIT | options, checkpoint=tmp_path, callbacks=[cr.train.Callback()]
    )
    assert weights(resumed) == weights(straight)
    assert history.history == expected.history and history.stopped == expected.stopped
    # A run that is over is only read.
    again = make(seed=9)
    options["early_stopping"] = EarlyStopping(patience=1)
    over = again.fit(X, Y, **FIT | options, checkpoint=tmp_path, callbacks=[cr.train.Callback()])
    assert weights(again) == weights(straight) and over.history == expected.history


def test_epochs_of_one_step_are_continued_too(tmp_path: Path) -> None:
    def run(epochs: int, **options: Any) -> cr.Trainer:
        trainer = trainer_with()
        trainer.metrics = None
        trainer.fit(X, Y, epochs=epochs, batch_size=60, **options)
        return trainer

    straight = run(300)
    run(130, checkpoint=Checkpoint(tmp_path, every_steps=50))
    resumed = run(300, checkpoint=tmp_path)
    assert weights(resumed) == weights(straight)
    assert resumed.history.history == straight.history.history and len(resumed.history) == 300


@pytest.fixture
def ctrl_c() -> Any:
    """Python's own answer to Ctrl-C, also where the tests run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_a_checkpoint_and_a_model_that_goes_on(tmp_path: Path, ctrl_c: None) -> None:
    straight = trainer_with()
    straight.fit(X, Y, **FIT | {"epochs": 400})
    trainer = trainer_with()

    class Press(cr.train.Callback):
        every = 1

        def on_steps(self, trainer: cr.Trainer, now: int, logs: Any) -> None:
            if now == 101:
                os.kill(os.getpid(), signal.SIGINT)

    press = Press()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, **FIT | {"epochs": 400}, checkpoint=tmp_path, callbacks=[press])
    assert 101 <= trainer.step <= 102
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = trainer_with(seed=1)
    resumed.fit(X, Y, **FIT | {"epochs": 400}, checkpoint=tmp_path, callbacks=[cr.train.Callback()])
    assert weights(resumed) == weights(straight)


def test_the_previous_checkpoint_is_used_where_the_newest_is_damaged(tmp_path: Path) -> None:
    straight = trainer_with()
    straight.fit(X, Y, **FIT)
    cut_off_at(11, tmp_path)
    newest, previous = sorted(tmp_path.iterdir(), reverse=True)
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])
    (tmp_path / ".writing-1-checkpoint").write_bytes(b"half")
    resumed = trainer_with(seed=2)
    with pytest.warns(RuntimeWarning, match=f"is damaged.*{previous.name}"):
        resumed.fit(X, Y, **FIT, checkpoint=tmp_path, callbacks=[cr.train.Callback()])
    assert weights(resumed) == weights(straight)
    assert not list(tmp_path.glob(".writing*"))


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "text", "foreign", "future"])
def test_a_file_that_is_no_whole_checkpoint_is_refused_and_nothing_changes(
    how: str, tmp_path: Path
) -> None:
    trainer = trainer_with()
    path = trainer.save(tmp_path / "state.safetensors")
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[-5] ^= 1
        message = "is damaged: its checksum does not match its contents"
    elif how == "cut":
        content, message = content[:-7], "is damaged or not a checkpoint"
    elif how == "empty":
        content, message = bytearray(), r"\(0 bytes\) is damaged or not a checkpoint"
    elif how == "text":
        content, message = (
            bytearray(b"hello, world, this is not it"),
            "is damaged or not a checkpoint",
        )
    elif how == "foreign":
        from safetensors.numpy import save

        content = bytearray(save({"a": np.zeros(3)}))
        message = "is a safetensors file, but not a checkpoint of Chainrule's Trainer"
    else:
        state = read_file(path)
        state.meta["format"] = 3
        content = bytearray(to_bytes(State(state.arrays, state.meta)))
        content = content.replace(b'\\"format\\": 2, ', b"")
        message = "has format 3, this version of Chainrule reads formats up to 2"
    path.write_bytes(bytes(content))
    before = weights(trainer)
    with pytest.raises(CheckpointError, match=message):
        trainer.load(path)
    assert weights(trainer) == before


def test_random_damage_never_goes_unnoticed(tmp_path: Path) -> None:
    trainer = trainer_with()
    path = trainer.save(tmp_path / "state.safetensors")
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(150):
        content = bytearray(whole)
        at = int(rng.integers(len(content)))
        if rng.random() < 0.3:
            content = content[:at]
        else:
            content[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(content))
        with pytest.raises(CheckpointError):
            read_file(path)


def test_save_and_load_carry_on_exactly(tmp_path: Path) -> None:
    straight = trainer_with()
    straight.fit(X, Y, epochs=2, batch_size=16)
    path = straight.save(tmp_path / "state.safetensors")
    straight.fit(X, Y, epochs=2, batch_size=16)
    other = trainer_with(seed=3)
    other.load(path)
    assert len(other.history) == 2 and other.epoch == 2
    other.fit(X, Y, epochs=2, batch_size=16)
    assert weights(other) == weights(straight)


def test_another_model_optimizer_data_or_options_are_refused(tmp_path: Path) -> None:
    cut_off_at(5, tmp_path)
    callbacks = [cr.train.Callback()]
    with pytest.raises(CheckpointError) as error:
        trainer_with().fit(
            X + 1, Y, **FIT | {"batch_size": 8}, checkpoint=tmp_path, callbacks=callbacks
        )
    assert str(error.value) == (
        f"the checkpoint in {tmp_path} is of another run (batch_size differ: 16 there, 8 here; the "
        "training data differ); remove the folder, or choose another one"
    )
    other = trainer_with()
    other.optimizer.param_groups[0]["weight_decay"] = 0.1
    other.model[0] = nn.Linear(6, 9)
    with pytest.raises(CheckpointError) as error:
        cr.Trainer(other.model[0], nn.MSELoss(), optim.SGD(other.model[0].parameters())).load(
            next(tmp_path.iterdir())
        )
    assert (
        "does not fit this trainer:\n    it is of the model Sequential, here it is Linear"
        in str(error.value)
    )
    assert "it is of the optimizer Adam, here it is SGD" in str(error.value)


def test_the_default_interval_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("chainrule.train.state.checkpoint.time", clock)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.prepare()
    assert not checkpoint.due(1)
    checkpoint.every_seconds = 0.0
    checkpoint.write(1, State({"a": np.zeros(1000)}, {}))
    checkpoint._cost = 0.001
    now += 0.001 / 0.02  # less than 2 %, because collecting the state takes time as well
    assert not checkpoint.due(2)
    now += 0.05
    assert checkpoint.due(2)


SCRIPT = """
    import sys, numpy as np, chainrule as cr
    sys.path.insert(0, {tests!r})
    from test_resume import trainer_with, weights, X, Y, FIT
    from chainrule.train import Checkpoint
    trainer = trainer_with()
    print("ready", flush=True)
    checkpoint = Checkpoint({folder!r}, every_steps=7)
    options = FIT | {{"epochs": {epochs}}}
    trainer.fit(X, Y, **options, checkpoint=checkpoint, early_stopping=10**6)
    open({out!r}, "wb").write(weights(trainer))
"""


Moment = Callable[["subprocess.Popen[bytes]", Path], object]
"""Waits until it is time to kill a process that writes checkpoints into a folder."""


SEEDS = """
    import sys, numpy as np, chainrule as cr
    sys.path.insert(0, {tests!r})
    from test_resume import seeds_trained
    from chainrule.train import Checkpoint
    print("ready", flush=True)
    found = seeds_trained({epochs}, checkpoint=Checkpoint({folder!r}, every_steps=7))
    open({out!r}, "wb").write(found)
"""


def seeds_trained(epochs: int, **options: Any) -> bytes:
    """Everything that training has left of three seeds, of which some stop early."""
    net = lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.2), nn.Linear(8, 3))  # noqa: E731
    vary = {"lr": [0.001, 0.01, 0.1]}
    trainer: Any = cr.Trainer(net, "cross_entropy", "adam", seeds=3, vary=vary)
    stop = cr.train.EarlyStopping("val_loss", patience=epochs // 4)
    how = {"batch_size": 32, "progress": False, "validation_split": 0.2, "early_stopping": stop}
    history = trainer.fit(X, Y, epochs, **how, **options)
    arrays = {**trainer.rows(), **{k: history[k] for k in history}}
    return b"".join(np.ascontiguousarray(arrays[k]).tobytes() for k in sorted(arrays))


def killed_and_continued(
    folder: Path, moments: list[Moment], epochs: int, script: str = SCRIPT
) -> tuple[bytes, int]:
    """Start the script and kill it, at each moment, then let it finish; its weights, and the
    kills."""
    out, run = folder / "weights", folder / "run"
    text = script.format(
        tests=str(Path(__file__).parent), epochs=epochs, folder=str(run), out=str(out)
    )
    kills = 0
    for moment in [*moments, lambda process, _: process.wait()]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        moment(process, run)
        process.kill()
        code = process.wait()
        process.stdout.close()
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        if code == 0:
            break
    return out.read_bytes(), kills


def later(seconds: float) -> Moment:
    def wait(process: subprocess.Popen[bytes], _: Path) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    return wait


def written(process: subprocess.Popen[bytes], run: Path) -> None:
    """Until it has written something."""
    before = set(run.glob("*"))
    while process.poll() is None and set(run.glob("*")) <= before:
        time.sleep(0.001)


def expected_weights(epochs: int) -> bytes:
    trainer = trainer_with()
    trainer.fit(X, Y, **FIT | {"epochs": epochs}, early_stopping=10**6)
    return weights(trainer)


def test_killed_twice_and_continued(tmp_path: Path) -> None:
    expected = expected_weights(400)
    for attempt in range(10):  # it may be done before it can be killed
        folder = tmp_path / str(attempt)
        folder.mkdir()
        found, kills = killed_and_continued(folder, [written, written], 400)
        assert found == expected
        if kills == 2:
            return
    pytest.fail("it was always done before it could be killed")


@pytest.mark.slow
def test_killed_fifty_times_at_random(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kills = runs = 0
    expected = expected_weights(1500)
    while kills < 50:
        folder = tmp_path / str(runs)
        folder.mkdir()
        moments = [later(seconds) for seconds in rng.uniform(0.05, 1.5, 12)]
        found, count = killed_and_continued(folder, moments, 1500)
        assert found == expected
        kills += count
        runs += 1
    print(json.dumps({"kills": kills, "runs": runs}))


@pytest.mark.slow
def test_seeds_killed_at_random_and_continued(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kills = runs = 0
    expected = seeds_trained(1500)
    while kills < 20:
        folder = tmp_path / str(runs)
        folder.mkdir()
        moments = [later(seconds) for seconds in rng.uniform(0.05, 1.5, 12)]
        found, count = killed_and_continued(folder, moments, 1500, SEEDS)
        assert found == expected
        kills += count
        runs += 1


def test_a_history_of_millions_of_epochs_is_saved(tmp_path: Path) -> None:
    trainer = trainer_with()
    many = np.arange(6_000_000) / 7
    trainer.history.extend({"loss": many, "accuracy": many[::-1]})
    trainer.epoch = trainer.step = len(many)
    again = trainer_with()
    again.load(trainer.save(tmp_path / "long.safetensors"))
    assert again.history.keys() == ["loss", "accuracy"]
    assert np.array_equal(again.history.numpy("accuracy"), many[::-1])


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    trainer = trainer_with()
    trainer.history.append({"loss": 2.0})
    trainer.epoch = trainer.step = 1
    path = trainer.save(tmp_path / "state.safetensors")
    state = read_file(path)
    arrays = {k: v for k, v in state.arrays.items() if not k.startswith("history.")}
    old = to_bytes(State(arrays, {**state.meta, "history": {"loss": [2.0]}}))
    path.write_bytes(old)
    again = trainer_with()
    again.load(path)
    assert again.history.history == {"loss": [2.0]}
