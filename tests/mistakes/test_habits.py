"""Habits of users of Keras, PyTorch and Lightning, and the full text of what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import (
    CheckpointError,
    DataError,
    DTypeError,
    GradientError,
    OptionError,
    ShapeError,
    WriteError,
)
from chainrule.habits import NAMES
from chainrule.train import Callback, Checkpoint, CSVLogger, EarlyStopping, ModelCheckpoint
from chainrule.utils import data

X, Y = np.ones((8, 3), "f"), np.arange(8) % 2


def trainer(**options: Any) -> Any:
    model = nn.Linear(3, 2)
    object.__setattr__(model, "_made_at", "train.py:7")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return cr.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], **options)


class DataLoader:
    batch_size, dataset = 4, None

    def __iter__(self) -> Any:
        return iter([])


class OfKeras(Callback):
    def on_test_begin(self, logs: Any = None) -> None: ...


class Misspelled(Callback):
    def on_epoch_ended(self, trainer: Any, epoch: int, logs: Any) -> None: ...


class OtherArguments(Callback):
    def on_epoch_end(self, logs): ...  # type: ignore[no-untyped-def, override]


class NeverCalled(Callback):
    def on_steps(self, trainer: Any, step: int, logs: Any) -> None: ...


class EachBatch(Callback):
    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any) -> None: ...


def of_rows(batch: int) -> data.DataLoader:
    return data.DataLoader(data.TensorDataset(X, Y), batch)


def unpack() -> None:
    _loss, _accuracy = trainer().evaluate(X, Y)


def sgd() -> Any:
    return optim.SGD([nn.Parameter(cr.ones(2))], lr=0.1)


def attend() -> object:
    q, k = cr.ones(1, 2, 4), cr.ones(1, 0, 4)
    return nn.functional.scaled_dot_product_attention(q, k, k)


_METHODS = (
    ". There are on_fit_begin, on_epoch_begin, on_steps, on_epoch_end, on_fit_end; give helpers "
    "another name"
)
MISTAKES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "fit verbose twice": (
        lambda: trainer().fit(X, Y, verbose=0, progress=False), TypeError,
        "fit got 'verbose' and 'progress', which mean the same; leave 'verbose' out",
    ),
    "the interval of a scheduler by its old name": (
        lambda: trainer(schedule="step"), TypeError,
        'Trainer has no argument \'schedule\'; write scheduler_interval="step" or "epoch", which '
        "says when the scheduler is stepped",
    ),
    "the interval of a scheduler as an attribute": (
        lambda: setattr(trainer(), "schedule", "step"), AttributeError,
        "a Trainer has no attribute 'schedule'; write trainer.scheduler_interval",
    ),
    "fit lr": (
        lambda: trainer().fit(X, Y, lr=0.1), TypeError,
        "fit has no argument 'lr'; write the rate where the optimizer is made: "
        "optim.Adam(model.parameters(), lr=...)",
    ),
    "fit misspelled": (
        lambda: trainer().fit(X, Y, epoch=3), TypeError,
        "fit has no argument 'epoch'; is it 'epochs'?",
    ),
    "evaluate as a list": (
        lambda: trainer().evaluate(X, Y, return_dict=False), TypeError,
        "evaluate gives a dict; for a list write list(trainer.evaluate(x, y).values())",
    ),
    "predict unknown": (
        lambda: trainer().predict(X, foo=0), TypeError,
        "predict has no argument 'foo'; there are x, batch_size",
    ),
    "an empty loader": (
        lambda: trainer().fit(DataLoader()), DataError,
        "fit: the DataLoader gives no batch: it has no rows",
    ),
    "a loader and targets": (
        lambda: trainer().fit(DataLoader(), Y), OptionError,
        "fit: x is a DataLoader, which has the targets as well; leave y out",
    ),
    "a loader of other batches": (
        lambda: trainer().fit(of_rows(4), batch_size=8), OptionError,
        "fit: batch_size=8, but the DataLoader has batch_size 4; leave one of them out",
    ),
    "a loader without targets": (
        lambda: trainer().fit(data.DataLoader(data.TensorDataset(X))), DataError,
        "fit: the batches of the DataLoader are no pairs (x, y)",
    ),
    "a function of one argument": (
        lambda: trainer().fit(X, Y, callbacks=[lambda logs: None]), OptionError,
        "callbacks: <lambda>(logs) cannot be called as it is; write f(trainer, epoch, logs),"
        " a function of three arguments",
    ),
    "save_best_only of a folder": (
        lambda: Checkpoint("run/", save_best_only=True), TypeError,  # type: ignore[call-arg]
        "Checkpoint has no argument 'save_best_only'; write "
        "callbacks=[ModelCheckpoint(path)], which writes the best weights",
    ),
    "activation of a layer": (
        lambda: nn.Linear(3, 2, activation="relu"), TypeError,  # type: ignore[call-arg]
        "Linear has no argument 'activation'; write the activation as the next layer: "
        "nn.Sequential(nn.Linear(...), nn.ReLU())",
    ),
    "a layer of Keras": (
        lambda: nn.Activation, AttributeError,
        "module 'chainrule.nn' has no attribute 'Activation'; write the activation itself, as "
        "nn.ReLU()",
    ),
    "a method of Keras' models": (
        lambda: nn.Linear(3, 2).fit(X, Y), AttributeError,
        "Linear has no attribute 'fit'; write cr.Trainer(model, loss, optimizer).fit(x, y)",
    ),
    "a batch at a time": (
        lambda: trainer().test_on_batch(X, Y), AttributeError,
        "a Trainer has no attribute 'test_on_batch'; write trainer.evaluate(x, y)",
    ),
    "a GPU": (
        lambda: cr.zeros(3).cuda(), AttributeError,
        "a Tensor has no attribute 'cuda'; leave it out: there is the CPU only",
    ),
    "a device": (
        lambda: cr.device("cuda:1"), OptionError,
        "device 'cuda:1': Chainrule runs on the CPU; leave the argument out",
    ),
    "to a device by keyword": (
        lambda: cr.zeros(3).to(device="cuda"), OptionError,
        "device 'cuda': Chainrule runs on the CPU; leave the argument out",
    ),
    "a part of cuda": (
        lambda: cr.cuda.amp, AttributeError,
        "cuda.amp: Chainrule runs on the CPU, in float32 or float64; leave it out",
    ),
    "another default dtype": (
        lambda: cr.set_default_dtype(cr.float64), OptionError,
        "set_default_dtype(float64): the default is float32; write model.double(), and "
        "dtype=cr.float64 where a tensor is made",
    ),
    "a gradient of what needs none": (
        lambda: cr.autograd.grad(cr.ones(2, requires_grad=True).sum(), cr.ones(2)), GradientError,
        "autograd.grad: input 0 does not require a gradient; make it with requires_grad=True, or "
        "call x.requires_grad_() before it is used",
    ),
    "a gradient of what was not used": (
        lambda: cr.autograd.grad(
            cr.ones(2, requires_grad=True).sum(), cr.ones(2, requires_grad=True)
        ), GradientError,
        "autograd.grad: the outputs do not depend on input 0; leave it out, or say "
        "allow_unused=True and get None for it",
    ),
    "a model in a file": (
        lambda: cr.save({"net": [nn.Linear(3, 2)]}, "net.pt"), DTypeError,
        "save: net.0 is a Linear, which is no tensor, number, text, dict or list; write "
        "cr.save(model.state_dict(), path)",
    ),
    "an object": (
        lambda: trainer().fit(object(), Y), DTypeError,
        "fit: x is a object; give all rows as one array, tensor or table",
    ),
    "no folder": (
        lambda: trainer().save("nodir/n.safetensors"), WriteError,
        "nodir/n.safetensors cannot be written: the folder 'nodir' does not exist",
    ),
    "one row": (
        lambda: trainer().predict(X[0]), ShapeError,
        "predict: x has shape (3,), 3 rows of one number each, which the model does not take; for "
        "one row of 3 features write x[None], for 3 rows of one feature x[:, None]",
    ),
    "one column": (
        lambda: trainer().fit(X[:, 0], Y), ShapeError,
        "fit: x has shape (8,), 8 rows of one number each, which the model does not take; for one "
        "row of 8 features write x[None], for 8 rows of one feature x[:, None]: Linear(3, 2) "
        "(train.py:7) expects 3 features, got 8",
    ),
    "unpacking": (
        unpack, TypeError,
        "evaluate gives a dict, and unpacking it would give the names loss, accuracy; write loss, "
        "accuracy = trainer.evaluate(x, y).values(), or result['loss']",
    ),
    "a method of Keras": (
        lambda: trainer().fit(X, Y, callbacks=OfKeras()), OptionError,
        "callbacks: OfKeras has a method on_test_begin, which is never called; write on_epoch_begin"
        + _METHODS,
    ),
    "a method of Lightning": (
        lambda: trainer().fit(X, Y, callbacks=[EachBatch()]), OptionError,
        "callbacks: EachBatch has a method on_train_batch_end, which is never called; write "
        "on_steps, with every = 1" + _METHODS,
    ),
    "a misspelled method": (
        lambda: trainer().fit(X, Y, callbacks=[Misspelled()]), OptionError,
        "callbacks: Misspelled has a method on_epoch_ended, which is never called; write "
        "on_epoch_end" + _METHODS,
    ),
    "arguments of Keras": (
        lambda: trainer().fit(X, Y, callbacks=[OtherArguments()]), OptionError,
        "callbacks: OtherArguments.on_epoch_end(logs) cannot be called as it is; write "
        "def on_epoch_end(self, trainer, epoch, logs)",
    ),
    "steps without every": (
        lambda: trainer().fit(X, Y, callbacks=[NeverCalled()]), OptionError,
        "callbacks: NeverCalled.on_steps is never called, because every is 0; set every = n for a "
        "call after every n steps",
    ),
    "no keys": (
        attend, ShapeError,
        "attention: there are no keys to look at: query (1, 2, 4), key (1, 0, 4), value (1, 0, 4);"
        " (..., S, E) needs S of at least 1",
    ),
    "an optimizer of nothing": (
        lambda: optim.SGD(lr=0.1), TypeError,  # type: ignore[call-arg]
        "SGD needs the parameters it changes; write optim.SGD(model.parameters(), lr=0.1), or "
        'Trainer(model, loss, "sgd")',
    ),
    "rate as an attribute": (
        lambda: setattr(sgd(), "lr", 0.5), OptionError,
        "SGD: lr is an option of the parameter groups; write for group in optimizer.param_groups: "
        "group['lr'] = 0.5",
    ),
    "rate as Keras calls it": (
        lambda: setattr(sgd(), "learning_rate", 0.5), OptionError,
        "SGD: learning_rate is an option of the parameter groups; write for group in "
        "optimizer.param_groups: group['lr'] = 0.5",
    ),
    "rate read as an attribute": (
        lambda: sgd().lr, AttributeError,
        """SGD has no attribute 'lr'; write optimizer.param_groups[0]["lr"]""",
    ),
    "key of a group": (
        lambda: sgd().param_groups[0].update(weigth_decay=0.1), OptionError,
        "SGD: a parameter group has the key 'weigth_decay'; is it 'weight_decay'?",
    ),
    "array as a buffer": (
        lambda: setattr(nn.BatchNorm1d(2), "running_mean", np.zeros(2)), TypeError,
        "BatchNorm1d.running_mean is a buffer: assign a tensor or None, got ndarray; write "
        "cr.tensor(value)",
    ),
    "no label counts": (
        lambda: trainer().fit(X, Y * 0 - 100), DataError,
        "fit: every label in y is -100, which stands for rows that do not count (ignore_index); at "
        "least one row must count",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_habit_is_answered(name: str) -> None:
    make, kind, message = MISTAKES[name]
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == message


def test_what_evaluate_gives_is_a_dict_otherwise() -> None:
    result = trainer().evaluate(X, Y)
    assert isinstance(result, dict) and list(result) == ["loss", "accuracy"]
    assert dict(result) == {**result} == result and [k for k in result] == sorted(result)[::-1]
    loss, accuracy = result.values()
    assert (loss, accuracy) == (result["loss"], 0.5)


def test_keys_of_ones_own_in_a_group() -> None:
    group = sgd().param_groups[0]
    group["name"], group["max_momentum"] = "head", 0.9
    assert group["name"] == "head" and group["lr"] == 0.1


def test_a_model_that_takes_single_numbers_predicts_a_vector() -> None:
    model = nn.Embedding(5, 2)
    t = cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    assert t.predict(np.array([0, 1, 4])).shape == (3, 2)


MODULES = {
    "chainrule": cr,
    "Tensor": cr.Tensor,
    "Module": nn.Module,
    "Trainer": cr.Trainer,
    "Optimizer": optim.Optimizer,
}


@pytest.mark.parametrize("table", list(NAMES))
def test_names_that_are_answered_do_not_exist(table: str) -> None:
    owner = MODULES.get(table)
    for part in table.split(".") if owner is None else []:
        owner = getattr(owner or cr, part)
    there = [name for name in NAMES[table] if hasattr(owner, name)]
    assert not there, "take them out of chainrule.habits.NAMES"


def test_an_import_of_a_missing_name_is_answered() -> None:
    with pytest.raises(ImportError) as error:
        from chainrule import layers  # type: ignore[attr-defined]  # noqa: F401
    assert str(error.value) == (
        "module 'chainrule' has no attribute 'layers'; write from chainrule import nn: nn.Linear, "
        "nn.Dropout, nn.Embedding, …"
    )
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'chainrule'"):
        from chainrule import nothing  # type: ignore[attr-defined]  # noqa: F401
    assert not hasattr(cr, "layers")


def test_keywords_of_keras_mean_what_they_mean_there(capfd: Any) -> None:
    t = trainer()
    stop = EarlyStopping("val_loss", restore_best_weights=False, start_from_epoch=2)  # type: ignore[call-arg]
    assert (stop.restore_best, stop.start_from) == (False, 2)
    history = t.fit(X, Y, n_epochs=2, verbose=0, validation_split=0.5, validation_batch_size=2)
    assert len(history) == 2 and capfd.readouterr().err == ""
    assert (history.epoch, history.params) == ([0, 1], {"epochs": 2, "steps": 1})
    assert dict(history) == history.history == dict(history.items())
    assert t.evaluate(X, Y, verbose=0, return_dict=True) == t.evaluate(X, Y)
    assert (t.predict(X, verbose=0) == t.predict(X)).all()


@pytest.mark.parametrize("optimizer", ["SGD", optim.SGD])
def test_losses_and_optimizers_by_name_have_their_defaults(optimizer: Any) -> None:
    t = cr.Trainer(nn.Linear(3, 2), "cross_entropy", optimizer, metrics=["acc"])
    assert isinstance(t.objective.parts[0].loss, nn.CrossEntropyLoss)
    assert isinstance(t.optimizer, optim.SGD) and t.optimizer.param_groups[0]["lr"] == 1e-3
    assert len(t.optimizer.param_groups[0]["params"]) == 2
    assert list(t.fit(X, Y, epochs=1, progress=False)) == ["loss", "accuracy"]


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_trains_as_its_arrays_do(shuffle: bool) -> None:
    found = []
    rows = data.DataLoader(data.TensorDataset(X, Y), 4, shuffle)
    for given in ((X, Y, 3, 4), (rows, None, 3)):
        cr.manual_seed(0)
        t = trainer()
        t.fit(*given, shuffle=shuffle, progress=False, validation_data=rows)
        found.append((t.predict(X), t.predict(rows), t.evaluate(*given[:2]), t.history["val_loss"]))
    assert (found[0][0] == found[1][0]).all() and (found[0][0] == found[0][1]).all()
    assert found[0][2:] == found[1][2:]


def test_a_loader_of_another_kind_is_read_once_and_says_so() -> None:
    class Noisy(data.Dataset):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, i: Any) -> Any:
            return X[i], int(Y[i])

    with pytest.warns(UserWarning, match="the rows of the DataLoader were read once") as said:
        trainer().fit(data.DataLoader(Noisy(), 4), epochs=2, progress=False)
    assert said[0].filename == __file__


def test_the_best_weights_and_the_measures_are_written(tmp_path: Any) -> None:
    best = ModelCheckpoint(tmp_path / "best.safetensors", "loss")
    each = ModelCheckpoint(tmp_path / "net-{epoch:02d}.safetensors", save_best_only=False)
    log = CSVLogger(tmp_path / "log.csv")
    t = trainer()
    history = t.fit(X, Y, epochs=3, progress=False, callbacks=[best, each, log])
    assert best.best == min(history["loss"])
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["best.safetensors", "log.csv", *(f"net-0{i}.safetensors" for i in (1, 2, 3))]
    last = cr.load(tmp_path / "net-03.safetensors")
    assert all(cr.array_equal(last[k], v) for k, v in t.model.state_dict().items())
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy" and lines[3].startswith(f"3,{history['loss'][2]!r},")
    with pytest.raises(WriteError, match="the folder 'nodir' does not exist"):
        t.fit(X, Y, callbacks=ModelCheckpoint("nodir/net.safetensors", "loss"), progress=False)
    with pytest.raises(OptionError, match="asks for what is not measured"):
        t.fit(X, Y, callbacks=ModelCheckpoint("{val_loss}.safetensors", "loss"), progress=False)


def test_training_stops_where_the_baseline_is_not_passed() -> None:
    t = trainer()
    stop = EarlyStopping("loss", patience=2, baseline=-1.0)
    assert len(t.fit(X, Y, epochs=9, progress=False, early_stopping=stop)) == 2


def test_a_pickle_is_not_read(tmp_path: Any) -> None:
    import pickle

    path = tmp_path / "net.pt"
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    with pytest.raises(CheckpointError) as error:
        cr.load(path)
    assert str(error.value) == (
        f"{path} is a pickle, which is a program and is not run; write the weights with "
        "safetensors.torch.save_file(model.state_dict(), path) in PyTorch"
    )
    for damaged in (b"", b"nothing"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged or no safetensors file"):
            cr.load(path)


def test_a_file_that_begins_as_a_pickle_does_is_read(tmp_path: Any) -> None:
    path, begins = tmp_path / "net.safetensors", set()
    for n in range(1, 260, 8):  # the length of the header, which the file begins with
        cr.save({"x" * n: cr.ones(2)}, path)
        begins.add(path.read_bytes()[:1])
        assert cr.load(path)["x" * n].shape == (2,)
    assert b"\x80" in begins


def test_a_training_is_saved_and_loaded_as_nested_dicts(tmp_path: Any) -> None:
    t = trainer()
    t.fit(X, Y, epochs=1, progress=False)
    whole = {"model": t.model.state_dict(), "optimizer": t.optimizer.state_dict(), "epoch": 1}
    read = cr.load(cr.save(whole, tmp_path / "run.safetensors"), map_location="cpu")
    assert read["epoch"] == 1 and list(read["optimizer"]) == list(whole["optimizer"])
    other = trainer()
    other.model.load_state_dict(read["model"])
    other.optimizer.load_state_dict(read["optimizer"])
    assert (other.predict(X) == t.predict(X)).all()
