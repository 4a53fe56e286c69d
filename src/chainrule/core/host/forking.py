"""Fork: what a forked child needs to go on.

A child has one thread, the one that forked, and every lock as it was at that moment: a lock that
another thread held stays locked in the child for ever. So locks of our own are made anew there
(`free_in_child`), and a fork waits until no thread is inside a library that has locks which we
cannot make anew (`Gate`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_locks: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def free_in_child(owner: Any, name: str) -> None:
    """In a forked child, ``owner.name`` is a new lock that nobody holds."""
    _locks[owner] = name


def _free_locks() -> None:
    for owner, name in list(_locks.items()):
        setattr(owner, name, threading.Lock())


class Gate:
    """Threads go through it into a library; a fork waits until all but its own thread are out.

    ``before`` and ``after`` are called around the fork, nobody inside: they may take its own lock.
    """

    def __init__(
        self,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._changed = threading.Condition()  # held from before a fork to after it
        self._inside: dict[int, int] = {}  # by thread: how often it is inside
        self._closing = 0  # threads that wait to fork; nobody goes in meanwhile
        self._before, self._after = before, after
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._close, after_in_parent=self._open, after_in_child=self._renew
            )

    @contextmanager
    def inside(self) -> Iterator[None]:
        """No fork happens while it is open, but one of this thread's own."""
        own = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._closing or own in self._inside)
            self._inside[own] = self._inside.get(own, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[own] -= 1
                if not self._inside[own]:
                    del self._inside[own]
                    self._changed.notify_all()

    def _close(self) -> None:
        own = threading.get_ident()
        self._changed.acquire()
        self._closing += 1
        try:
            self._changed.wait_for(lambda: not self._inside.keys() - {own})
        finally:
            self._closing -= 1
            self._changed.notify_all()
        self._before()

    def _open(self) -> None:
        self._after()
        self._changed.release()

    def _renew(self) -> None:
        self._after()
        self._changed, self._closing = threading.Condition(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)
