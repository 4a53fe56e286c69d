"""What `fit` is given as callbacks: objects and functions, looked at before training."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from ...errors import OptionError
from .callbacks import Callback, EpochFunction
from .keras import METHODS, LambdaCallback, Translated, is_of_keras, takes

_CALLED = ("on_fit_begin", "on_epoch_begin", "on_steps", "on_epoch_end", "on_fit_end")
_ELSEWHERE = {
    "on_train_begin": "on_fit_begin",
    "on_train_end": "on_fit_end",
    "on_batch_end": "on_steps, with every = 1",
    "on_train_batch_end": "on_steps, with every = 1",
    "on_train_start": "on_fit_begin",
    "on_batch_begin": "on_steps, with every = 1",
    "on_train_batch_begin": "on_steps, with every = 1",
    "on_train_batch_start": "on_steps, with every = 1",
    "on_step_end": "on_steps, with every = 1",
    "on_epoch_start": "on_epoch_begin",
    "on_train_epoch_start": "on_epoch_begin",
    "on_train_epoch_end": "on_epoch_end",
    "on_test_begin": "on_epoch_begin",
    "on_test_end": "on_epoch_end",
    "on_validation_end": "on_epoch_end",
    "on_validation_epoch_end": "on_epoch_end",
}
"""What methods of Keras's and Lightning's callbacks are called here."""


_STANDARD: WeakSet[type] = WeakSet()
"""Classes all of whose methods are a `Callback`'s."""


def _as_callback(callback: Callback) -> Callback:
    """The callback after a look at its methods."""
    own, alone = type(callback), any(n.startswith("on_") for n in vars(callback))
    standard = own in _STANDARD and not alone
    if not standard:
        _check_methods(callback)
    never = callback.every < 1 and own.on_fit_begin is Callback.on_fit_begin  # which may set it
    if never and own.on_steps is not Callback.on_steps:
        raise OptionError(
            f"callbacks: {own.__name__}.on_steps is never called, because every is "
            f"{callback.every}; set every = n for a call after every n steps"
        )
    if not standard and _has_of_keras(callback):
        return Translated(callback)
    if not alone:
        _STANDARD.add(own)
    return callback


def _check_methods(callback: Callback) -> None:
    """Raise OptionError for a method that would never be called, or not as it expects."""
    own = type(callback)
    kind = own.__name__
    for name in dir(own):
        method = getattr(callback, name, None)
        if not name.startswith("on_") or not callable(method):
            continue
        if is_of_keras(name, method):
            continue
        if name not in _CALLED:
            close = difflib.get_close_matches(name, _CALLED, 1, 0.7)
            hint = _ELSEWHERE.get(name, close[0] if close else "")
            raise OptionError(
                f"callbacks: {kind} has a method {name}, which is never called"
                + (f"; write {hint}" if hint else "")
                + f". There are {', '.join(_CALLED)}; give helpers another name"
            )
        wanted = [p for p in inspect.signature(getattr(Callback, name)).parameters if p != "self"]
        try:
            inspect.signature(method).bind(*wanted)
        except TypeError:
            raise OptionError(
                f"callbacks: {kind}.{name}{inspect.signature(method)} cannot be called as it is;"
                f" write def {name}(self, {', '.join(wanted)})"
            ) from None
        except ValueError:
            pass  # no signature is known


def _has_of_keras(callback: Callback) -> bool:
    names = (n for n in METHODS if hasattr(callback, n))
    return any(is_of_keras(n, getattr(callback, n)) for n in names)


def _check_function(function: Callable[..., object]) -> None:
    """Raise OptionError for a function that cannot be called as it will be."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # no signature is known
    try:
        signature.bind("trainer", 0, {})
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        raise OptionError(
            f"callbacks: {name}{signature} cannot be called as it is; write"
            " f(trainer, epoch, logs), a function of three arguments"
        ) from None


def as_callbacks(given: Any) -> list[Callback]:
    """Callbacks from one or a list of Callbacks, and functions of ([trainer,] epoch, logs)."""
    if given is None:
        return []
    items = list(given) if isinstance(given, list | tuple) else [given]
    found: list[Callback] = []
    for item in items:
        if isinstance(item, Callback):
            found.append(_as_callback(item))
        elif callable(item) and not isinstance(item, type):
            if takes(item, "epoch", "logs") and not takes(item, "trainer", "epoch", "logs"):
                found.append(Translated(LambdaCallback(on_epoch_end=item)))
                continue
            _check_function(item)
            found.append(EpochFunction(item))
        else:
            raise OptionError(
                "callbacks: expected Callback objects or functions f(trainer, epoch, logs), got "
                f"{item!r}" + (" (a class: add parentheses)" if isinstance(item, type) else "")
            )
    return found
