"""Habits from other libraries that cannot work here, and what to write instead."""

from __future__ import annotations

import difflib
import dis
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def knows(habits: Mapping[str, str]) -> Callable[[F], F]:
    """Let a function answer keywords that it does not have: TypeError with what to write instead.

    >>> @knows({"verbose": "progress=False"})
    ... def fit(epochs=1, progress=None): ...
    >>> fit(verbose=0)
    Traceback (most recent call last):
    TypeError: fit has no argument 'verbose'; write progress=False
    """

    def wrap(function: F) -> F:
        known = [n for n in inspect.signature(function).parameters if n != "self"]

        @functools.wraps(function)
        def answering(*args: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    raise TypeError(_answer(function, name, known, habits))
            return function(*args, **options)

        return answering  # type: ignore[return-value]

    return wrap


def _answer(function: Any, name: str, known: list[str], habits: Mapping[str, str]) -> str:
    where = function.__qualname__.removesuffix(".__init__").rsplit(".", 1)[-1]
    close = difflib.get_close_matches(name, known, 1, 0.7)
    if name in habits:
        hint = f"write {habits[name]}"
    elif close:
        hint = f"is it {close[0]!r}?"
    else:
        hint = f"there are {', '.join(known)}"
    return f"{where} has no argument {name!r}; {hint}"


FIT = {
    "verbose": "progress=False for no display, progress=True for one",
    "restore_best_weights": "early_stopping=EarlyStopping(restore_best=True)",
    "patience": "early_stopping=PATIENCE",
    "lr": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "learning_rate": "the rate where the optimizer is made: optim.Adam(model.parameters(), lr=...)",
    "optimizer": "Trainer(model, loss, optimizer)",
    "loss": "Trainer(model, loss, optimizer)",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "nb_epoch": "epochs",
    "initial_epoch": "a checkpoint folder, checkpoint=..., whose run is continued",
    "steps_per_epoch": "the rows wanted: fit(x[:n], y[:n]); an epoch is one pass over them",
    "validation_batch_size": "batch_size; validation takes large batches of its own",
    "validation_freq": "nothing: validation follows each epoch",
    "train_dataloaders": "the arrays: fit(x, y, batch_size=...)",
}
EVALUATE = {
    "verbose": "evaluate(x, y): nothing is displayed",
    "return_dict": "evaluate(x, y): the result is a dict",
    "steps": "the rows wanted: evaluate(x[:n], y[:n])",
    "callbacks": "evaluate(x, y): callbacks are for fit",
    "class_weight": "sample_weight, one number per row",
}
PREDICT = {
    "verbose": "predict(x): nothing is displayed",
    "steps": "the rows wanted: predict(x[:n])",
    "callbacks": "predict(x): callbacks are for fit",
}
STOPPING = {
    "restore_best_weights": "restore_best",
    "start_from_epoch": "start_from",
    "verbose": "nothing: why training stopped is in history.stopped",
    "baseline": "a callback that calls trainer.stop(...)",
}

_UNPACKING = {dis.opmap[n] for n in ("UNPACK_SEQUENCE", "UNPACK_EX")}


class Measures(dict[str, float]):
    """Loss and metrics by name: a dict that cannot be unpacked by mistake.

    ``loss, accuracy = result`` would give a dict's names, and not its numbers: it is a TypeError.

    >>> result = Measures(loss=0.5, accuracy=0.75)
    >>> result["loss"], list(result)
    (0.5, ['loss', 'accuracy'])
    >>> loss, accuracy = result.values()
    """

    def __iter__(self) -> Any:
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti] in _UNPACKING:
            names = ", ".join(self)
            raise TypeError(
                f"evaluate gives a dict, and unpacking it would give the names {names}; write"
                f" {names}{',' if len(self) == 1 else ''} = trainer.evaluate(x, y).values(), or"
                f" result[{next(dict.__iter__(self))!r}]"
            )
        return super().__iter__()
