"""One thread at a time: who works with a model changes its mode, its weights and its meters.

Short work waits for short work of another thread (`predict` in the threads of a server). A fit of
another thread may last for hours: to wait for it would look like a hang, so it is an error.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from ..errors import ThreadError
from ..nn.module import Module


class _Works(Protocol):
    @property
    def _exclusive(self) -> Sequence[Module]: ...


_Self = TypeVar("_Self", bound=_Works)
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class _User:
    thread: int
    name: str
    what: str
    long: bool


_changed = threading.Condition()
_users: dict[int, _User] = {}  # by the module's id: who works with it


@contextmanager
def alone(used: Iterable[Module], what: str, long: bool = False) -> Iterator[None]:
    """These modules are used by this thread only while it is open.

    Raises:
        ThreadError: another thread's ``long`` work uses one of them.
    """
    own = threading.get_ident()
    modules = [*map(id, used)]
    with _changed:
        while True:
            user = next((u for m in modules if (u := _users.get(m)) and u.thread != own), None)
            if user is None:
                break
            if user.long:
                raise ThreadError(
                    f"{what}: the model is used by `{user.what}` in thread {user.name!r}, and both "
                    "set its modules to training or evaluation mode; wait until that is done, or "
                    "give each thread a model and a Trainer of its own"
                )
            _changed.wait()
        taken = [m for m in modules if m not in _users]  # the others this thread has already
        _users.update(dict.fromkeys(taken, _User(own, threading.current_thread().name, what, long)))
    try:
        yield
    finally:
        with _changed:
            for m in taken:
                _users.pop(m, None)
            _changed.notify_all()


def one_thread(
    long: bool = False,
) -> Callable[[Callable[Concatenate[_Self, _P], _R]], Callable[Concatenate[_Self, _P], _R]]:
    """A method of a Trainer that works `alone` with its modules."""

    def decorate(
        method: Callable[Concatenate[_Self, _P], _R],
    ) -> Callable[Concatenate[_Self, _P], _R]:
        @functools.wraps(method)
        def run(self: _Self, /, *args: _P.args, **options: _P.kwargs) -> _R:
            with alone(self._exclusive, method.__name__, long):
                return method(self, *args, **options)

        return run

    return decorate


def _forget_others() -> None:
    """A forked child has one thread."""
    global _changed
    _changed = threading.Condition()
    for m in [m for m, user in _users.items() if user.thread != threading.get_ident()]:
        del _users[m]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_others)
