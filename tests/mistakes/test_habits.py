"""Habits of users of Keras, PyTorch and Lightning, and the full text of what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError, DTypeError, OptionError, ShapeError, WriteError
from chainrule.train import Callback, EarlyStopping

X, Y = np.ones((8, 3), "f"), np.arange(8) % 2


def trainer() -> Any:
    model = nn.Linear(3, 2)
    object.__setattr__(model, "_made_at", "train.py:7")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return cr.Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])


class DataLoader:
    batch_size, dataset = 4, None

    def __iter__(self) -> Any:
        return iter([])


class OfKeras(Callback):
    def on_train_begin(self, logs: Any = None) -> None: ...


class Misspelled(Callback):
    def on_epoch_ended(self, trainer: Any, epoch: int, logs: Any) -> None: ...


class OtherArguments(Callback):
    def on_epoch_end(self, epoch, logs=None): ...  # type: ignore[no-untyped-def, override]


class NeverCalled(Callback):
    def on_steps(self, trainer: Any, step: int, logs: Any) -> None: ...


class EachBatch(Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None: ...


def unpack() -> None:
    _loss, _accuracy = trainer().evaluate(X, Y)


def attend() -> object:
    q, k = cr.ones(1, 2, 4), cr.ones(1, 0, 4)
    return nn.functional.scaled_dot_product_attention(q, k, k)


_METHODS = (
    ". There are on_fit_begin, on_epoch_begin, on_steps, on_epoch_end, on_fit_end; give helpers "
    "another name"
)
MISTAKES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "fit verbose": (
        lambda: trainer().fit(X, Y, verbose=0), TypeError,
        "fit has no argument 'verbose'; write progress=False for no display, progress=True for one",
    ),
    "fit misspelled": (
        lambda: trainer().fit(X, Y, epoch=3), TypeError,
        "fit has no argument 'epoch'; is it 'epochs'?",
    ),
    "evaluate verbose": (
        lambda: trainer().evaluate(X, Y, verbose=0), TypeError,
        "evaluate has no argument 'verbose'; write evaluate(x, y): nothing is displayed",
    ),
    "predict unknown": (
        lambda: trainer().predict(X, foo=0), TypeError,
        "predict has no argument 'foo'; there are x, batch_size",
    ),
    "restore_best_weights": (
        lambda: EarlyStopping(restore_best_weights=True), TypeError,  # type: ignore[call-arg]
        "EarlyStopping has no argument 'restore_best_weights'; write restore_best",
    ),
    "a loader": (
        lambda: trainer().fit(DataLoader()), DTypeError,
        "fit: x is a DataLoader; the Trainer draws batches by itself, in native code: give the "
        "arrays that it reads, as in fit(x, y, batch_size=32)",
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
        "callbacks: OfKeras has a method on_train_begin, which is never called; write on_fit_begin"
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
        "callbacks: OtherArguments.on_epoch_end(epoch, logs=None) cannot be called as it is; write "
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


def test_a_model_that_takes_single_numbers_predicts_a_vector() -> None:
    model = nn.Embedding(5, 2)
    t = cr.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    assert t.predict(np.array([0, 1, 4])).shape == (3, 2)
