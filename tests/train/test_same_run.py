"""A checkpoint of another run is refused with what differs; folders belong to one fit at a time;
what cannot be written, or is made up, does no harm."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CheckpointError, WriteError
from chainrule.train import Callback, Checkpoint, EarlyStopping
from chainrule.train.rows.dataset import Dataset, training_data
from chainrule.train.state.checkpoint import read_file, to_bytes
from chainrule.train.state.identity import checksum
from chainrule.train.state.lock import NAME, locked

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6)).astype("float32")
Y = RNG.integers(0, 3, 600)


def activated(tensor: Any) -> Any:
    return cr.tanh(tensor)


class Net(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.function = options.get("function", activated)
        self.activation = options.get("activation", nn.ReLU)()
        self.drop = nn.Dropout(options.get("dropout", 0.1))
        self.made_at = time.perf_counter()  # no part of what is computed

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(self.activation(self.function(self.first(x)))))


def fitted(folder: Path, epochs: int = 2, **o: Any) -> cr.Trainer:
    cr.manual_seed(0)
    model = Net(**o)
    optimizer = o.get("optimizer", optim.Adam)(model.parameters(), lr=o.get("lr", 0.01))
    trainer = o.get("kind", cr.Trainer)(
        model,
        nn.CrossEntropyLoss(
            weight=o.get("classes", np.ones(3, "f")), label_smoothing=o.get("smoothing", 0.1)
        ),
        optimizer,
        scheduler=o.get("scheduler", lambda opt: optim.lr_scheduler.StepLR(opt, 3, 0.5))(optimizer),
        metrics=o.get("metrics"),
        clip_norm=o.get("clip_norm"),
        scheduler_interval=o.get("scheduler_interval", "epoch"),
    )
    trainer.fit(
        o.get("x", X),
        o.get("y", Y),
        epochs=epochs,
        sample_weight=o.get("weight"),
        validation_data=o.get("validation", (X[:90], Y[:90])),
        early_stopping=o.get("stopping") or EarlyStopping(patience=50),
        checkpoint=folder,
        progress=False,
        diagnose=False,
    )
    return trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "run"
    fitted(folder)
    return folder


def changed(array: np.ndarray[Any, Any], row: int) -> np.ndarray[Any, Any]:
    found = array.copy()
    found[row] += 1
    return found % 3 if found.dtype.kind == "i" else found


class Another(cr.Trainer):
    def training_step(self, batch: Any) -> Any:
        return self.compute_loss(self.forward(batch.x), batch) * 2


SCHEDULES = optim.lr_scheduler


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation": nn.Tanh}, "model.activation differ: ReLU there, Tanh here"),
        ({"dropout": 0.2}, "model.drop.p differ: 0.1 there, 0.2 here"),
        (
            {"function": lambda t: cr.tanh(t) * 0.5},
            "model.function differ: activated there, <lambda> with [0.5] here",
        ),
        ({"smoothing": 0.2}, "loss.label_smoothing differ: 0.1 there, 0.2 here"),
        ({"classes": np.array([1, 2, 1], "f")}, "loss.weight differ: numbers of crc "),
        ({"optimizer": optim.AdamW}, "optimizer differ: Adam there, AdamW here"),
        ({"lr": 0.02}, "scheduler.base_lrs differ: [0.01] there, [0.02] here"),
        (
            {"scheduler": lambda o: SCHEDULES.StepLR(o, 3, 0.6)},
            "scheduler.gamma differ: 0.5 there, 0.6 here",
        ),
        (
            {"scheduler": lambda o: SCHEDULES.ExponentialLR(o, 0.5)},
            "scheduler differ: StepLR there, ExponentialLR here",
        ),
        ({"scheduler_interval": "step"}, "scheduler_interval differ: epoch there, step here"),
        ({"clip_norm": 1.0}, "clip_norm differ: None there, 1.0 here"),
        ({"metrics": ["accuracy"]}, "metrics differ: [] there, ['accuracy'] here"),
        (
            {"stopping": EarlyStopping(patience=5)},
            "early_stopping.patience differ: 50 there, 5 here",
        ),
        ({"x": changed(X, 67)}, "the training data differ"),
        ({"y": changed(Y, 599)}, "the training data differ"),
        ({"weight": np.arange(1.0, 601)}, "the training data differ"),
        ({"validation": (changed(X[:90], 1), Y[:90])}, "the validation data differ"),
        ({"kind": Another}, "trainer differ: Trainer there, Another here"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(
    options: dict[str, Any], said: str, run: Path
) -> None:
    with pytest.raises(CheckpointError) as error:
        fitted(run, 4, **options)
    head = f"the checkpoint in {run} is of another run ("
    assert str(error.value).startswith(head) and said in str(error.value)
    assert str(error.value).endswith("); remove the folder, or choose another one")
    if "data" in said:
        assert str(error.value) == f"{head}{said}); remove the folder, or choose another one"


def test_what_only_the_graph_knows_is_refused_too(tmp_path: Path) -> None:
    class Scaled(nn.Linear):
        scale = 1.0

        def forward(self, x: Any) -> Any:
            return super().forward(x) * self.scale

    def fit() -> None:
        model = Scaled(6, 3)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        cr.Trainer(model, nn.CrossEntropyLoss(), optimizer).fit(X, Y, 1, checkpoint=tmp_path)

    fit()
    fit()
    Scaled.scale = 2.0
    with pytest.raises(CheckpointError, match=r"\(what a training step computes differs\)"):
        fit()


def test_the_same_trainer_goes_on_in_its_folder_whatever_it_made_of_its_rate(
    tmp_path: Path,
) -> None:
    def halve(t: cr.Trainer, epoch: int, logs: Any) -> None:
        t.optimizer.param_groups[0]["lr"] *= 0.5

    model = nn.Linear(6, 3)
    t = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    t.fit(X, Y, 2, checkpoint=tmp_path, callbacks=halve)
    t.fit(X, Y, 4, checkpoint=tmp_path, callbacks=halve)
    assert t.epoch == 4 and t.optimizer.param_groups[0]["lr"] == 0.1 / 16


def test_a_run_that_is_made_longer_is_the_long_run(tmp_path: Path) -> None:
    fitted(tmp_path / "a", 2)
    longer = fitted(tmp_path / "a", 9)
    straight = fitted(tmp_path / "b", 9)
    for k, t in straight.model_tensors().items():
        assert t.numpy().tobytes() == longer.model_tensors()[k].numpy().tobytes()
    assert longer.history.history == straight.history.history


def test_every_row_is_in_the_checksum_however_it_lies_in_memory() -> None:
    def of(x: Any, y: Any = Y) -> int:
        data, _ = training_data(np.dtype("float32"), x, y, 32, True)
        assert isinstance(data, Dataset)
        return checksum(data)

    wide = RNG.normal(size=(600, 12)).astype("float32")
    found = of(wide[:, ::2])
    assert found == of(np.ascontiguousarray(wide[:, ::2])) == of(np.asfortranarray(wide[:, ::2]))
    for row in (0, 1, 300, 599):
        assert of(changed(wide, row)[:, ::2]) != found
        assert of(wide[:, ::2], changed(Y, row)) != found
    assert of(wide[::-1, ::2]) != found != of(-wide[:, ::2])


# -- locks -----------------------------------------------------------------------------------------
def test_a_folder_is_of_one_fit_at_a_time(tmp_path: Path) -> None:
    errors: list[str] = []

    def other(t: cr.Trainer, epoch: int, logs: Any) -> None:
        with pytest.raises(CheckpointError) as error:
            fitted(tmp_path)
        errors.append(str(error.value))

    model = nn.Linear(6, 3)
    t = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    t.fit(X, Y, 1, callbacks=other, checkpoint=tmp_path)
    assert errors == [
        f"checkpoint: the folder {tmp_path} is in use by another fit of this process; wait for it "
        "or end it, or choose another folder"
    ]
    assert not (tmp_path / NAME).exists()


HOLDER = """
    import sys, pathlib
    from chainrule.train.state.lock import locked
    with locked(pathlib.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_the_lock_of_another_process_is_named_and_ends_with_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    half = tmp_path / ".writing-checkpoint-1"
    half.write_bytes(b"of the other process")
    with pytest.raises(CheckpointError, match=f"is in use by process {process.pid};"):
        fitted(tmp_path)
    assert half.exists()
    process.kill()
    process.communicate()
    assert (tmp_path / NAME).exists()  # what it left does not matter
    fitted(tmp_path)
    assert not half.exists() and not (tmp_path / NAME).exists()


def test_many_who_want_the_lock_have_it_one_after_another(tmp_path: Path) -> None:
    inside, most, had = [0], [0], [0]

    def want() -> None:
        for _ in range(60):
            try:
                with locked(tmp_path):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    had[0] += 1
                    inside[0] -= 1
            except CheckpointError:
                pass

    threads = [threading.Thread(target=want) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert most[0] == 1 and had[0] > 0 and not (tmp_path / NAME).exists()


# -- places that cannot be written -----------------------------------------------------------------
def test_a_missing_folder_and_a_folder_as_a_name_are_refused_with_the_path(tmp_path: Path) -> None:
    model = nn.Linear(6, 3)
    t = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    path = tmp_path / "no" / "m.safetensors"
    with pytest.raises(WriteError) as error:
        t.save(path)
    assert (
        str(error.value)
        == f"{path} cannot be written: the folder {str(path.parent)!r} does not exist"
    )
    with pytest.raises(WriteError, match="cannot be written: it is a folder"):
        t.save(tmp_path)
    history = cr.train.History({"loss": [2.0, 1.0]})
    for write in (history.plot, history.to_csv):
        with pytest.raises(WriteError, match="no' does not exist"):
            write(tmp_path / "no" / "curve.png")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file' is no folder"):
        t.save(tmp_path / "file" / "m.safetensors")
    with pytest.raises(CheckpointError, match=f"checkpoint: {tmp_path / 'file'} is a file"):
        fitted(tmp_path / "file")


def test_figures_are_of_the_kind_their_names_say(tmp_path: Path) -> None:
    history = cr.train.History({"loss": [2.0, 1.0]})
    for name, start in (
        ("a.png", b"\x89PNG"),
        ("a.svg", b"<?xml"),
        ("a.pdf", b"%PDF"),
        ("a", b"\x89PNG"),
    ):
        assert history.plot(tmp_path / name).read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 4


def refuse(error: OSError) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> None:
        raise error

    return call


def test_a_folder_that_is_read_only_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkstemp", refuse(OSError(30, "Read-only file system")))
    seen = Callback()
    model = nn.Linear(6, 3)
    t = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(CheckpointError) as error:
        t.fit(X, Y, 1, callbacks=seen, checkpoint=tmp_path)
    assert str(error.value) == (
        f"checkpoint: no file can be made in the folder {tmp_path}: Read-only file system"
    )
    assert t.step == 0
    with pytest.raises(WriteError, match=f"{tmp_path}/m cannot be written: Read-only file system"):
        t.save(tmp_path / "m")


def test_a_full_disk_ends_no_training_and_is_told_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = refuse(OSError(28, "No space left on device"))
    model = nn.Linear(6, 3)
    t = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    checkpoint = Checkpoint(tmp_path, every_steps=5)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.warns(RuntimeWarning) as warned:
            history = t.fit(X, Y, 3, checkpoint=checkpoint)
        path = tmp_path / "m"
        with pytest.raises(WriteError) as error:
            t.save(path)
    assert str(error.value) == f"{path} cannot be written: No space left on device"
    assert error.value.errno == 28
    assert len(history) == 3 and len(warned) == 2  # the first, and the last of the run
    assert str(warned[0].message) == (
        f"checkpoint: {tmp_path / 'checkpoint-000000000005.safetensors'} cannot be written: No "
        "space left on device. Training goes on; what it learns is not kept"
    )
    assert list(tmp_path.iterdir()) == []


# -- what a file says ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("epoch",), -3, "epoch is -3, expected is a whole number from 0 to 38"),
        (("epoch",), 10**30, "epoch is 1000000000"),
        (("epoch",), 39, "epoch is 39, expected is a whole number from 0 to 38"),
        (("epoch",), 1, "its history has 2 epochs, its counter says 1"),
        (("step",), -1, "step is -1, expected is a whole number from 0 to 999999999999"),
        (("step",), "5", "step is '5', expected is a whole number"),
        (("step",), True, "step is True"),
        (("history",), {"loss": ["x", "y"]}, "expected is a list of numbers for each measure"),
        (("history",), {"loss": [1.0], "b": []}, "expected is as many numbers of each measure"),
        (("history",), 5, "history is 5"),
        (("history",), ["loss"], "expected is the names of the measures, each with an array"),
        (("history",), [3], "history is [3]"),
        (("arrays", "history.loss"), np.zeros(2, "f"), "a list of numbers for each measure"),
        (("arrays", "history.loss"), np.zeros(1), "as many numbers of each measure"),
        (("stopped",), None, "stopped is None, expected is a text"),
        (("groups",), 3, "groups is 3, expected is a list of objects"),
        (("groups",), [], "its optimizer has 0 parameter groups, here are 1"),
        (("schedulers",), [None], "schedulers is [None], expected is a list of objects"),
        (("schedulers",), [{}], "its state of the schedule StepLR is refused: KeyError"),
        (
            ("schedulers",),
            [{"base_lrs": [0.5], "last_epoch": 10**40, "factors": [1.0]}],
            "its state of the schedule StepLR is refused: OverflowError",
        ),
        (("model",), ["Net"], "model is ['Net'], expected is a text"),
        (("fit", "epoch"), -1, "epoch is -1, expected is a whole number from 0 to 2"),
        (("fit", "epoch"), 3, "epoch is 3, expected is a whole number from 0 to 2"),
        (("fit", "batch"), -1, "batch is -1"),
        (("fit", "batch"), 20, "its next batch is 20, an epoch has 19"),
        (("fit", "batch"), 3, "its next row is 600, batch 3 begins with row 96"),
        (("fit", "rows"), float("nan"), "rows is nan, expected is a number of rows"),
        (("fit", "callbacks"), [7], "callbacks is [7], expected is a list of objects"),
        (
            ("fit", "callbacks"),
            [{"best": "low", "best_epoch": 1, "waited": 0}],
            "its state of the callback EarlyStopping is refused: CheckpointError",
        ),
        (("fit", "settings"), [], "was not written by fit"),
        (("fit",), None, "was not written by fit"),
        (("arrays", "cursor.position"), np.uint32(4 * 10**9), "its next row is 4000000000"),
        (("arrays", "best.first.bias"), np.zeros(2, "f"), "best: first.bias is float32[2] there"),
        (("arrays", "best.odd"), np.zeros(2, "f"), "best: it has odd, which is not here"),
    ],
)
def test_made_up_metadata_are_one_error_before_anything_changes(
    place: tuple[str, ...], value: Any, said: str, run: Path, tmp_path: Path
) -> None:
    path = Checkpoint(run).files()[0]
    state = read_file(path)
    held: Any = state.arrays if place[0] == "arrays" else state.meta
    for name in place[:-1] if place[0] != "arrays" else ():
        held = held[name]
    held[place[-1]] = np.asarray(value) if place[0] == "arrays" else value
    (tmp_path / path.name).write_bytes(to_bytes(state))
    made: list[cr.Trainer] = []

    class Kept(cr.Trainer):
        def __init__(self, *args: Any, **kw: Any) -> None:
            super().__init__(*args, **kw)
            made.append(self)
            self.before = image(self)

    Kept.__qualname__ = "Trainer"
    with pytest.raises(CheckpointError) as error:
        fitted(tmp_path, 5, kind=Kept)
    assert said in str(error.value) and str(tmp_path) in str(error.value)
    assert image(made[0]) == made[0].before  # type: ignore[attr-defined]


def image(t: cr.Trainer) -> Any:
    """All that a checkpoint brings."""
    arrays = [v.numpy().tobytes() for v in t.model_tensors().values()]
    groups = [dict(g) for g in t.optimizer.param_groups]
    state = t.optimizer.state_dict()["state"]
    moments = [np.asarray(v).tobytes() for p in state.values() for v in p.values()]
    rates = [{k: v for k, v in g.items() if k != "params"} for g in groups]
    return arrays, rates, moments, [s.state_dict() for s in t.schedulers], t.epoch, t.step


def test_the_lock_can_be_asked_for_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainrule.train.state.lock._take", refuse(OSError(95, "not supported")))
    with locked(tmp_path):
        assert (tmp_path / NAME).read_text().startswith(str(os.getpid()))
