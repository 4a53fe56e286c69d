"""Ctrl-C while something must not be torn apart: it is noted, and answered where all is whole."""

from __future__ import annotations

import functools
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

INTERRUPTED = "interrupted"
"""The `History.stopped` of a training that was ended by Ctrl-C."""


class Interrupts:
    """The presses of Ctrl-C since a block of `interrupts` began."""

    def __init__(self) -> None:
        self.count = 0
        self.deferred = False
        """Whether the first press is only noted; before, and from the second on, it raises."""
        self.answered = False

    @property
    def waiting(self) -> bool:
        """Whether there was a press that nobody has answered."""
        return self.count > 0 and not self.answered

    @property
    def at_once(self) -> bool:
        """Whether the user wants to wait for nothing any more."""
        return self.count > 1

    def answer(self) -> None:
        """Raise KeyboardInterrupt if there was a press that nobody has answered."""
        if self.waiting:
            raise KeyboardInterrupt


_current: Interrupts | None = None


def _lost_in(frame: FrameType | None) -> bool:
    """Whether Python would swallow an error here: in a finalizer or a weak reference's callback."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (
            code.co_name == "remove" and code.co_filename == weakref.__file__
        ):
            return True
        frame = frame.f_back
    return False


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Take Ctrl-C over for a block. Blocks inside one another are one, the outermost.

    While ``deferred`` is set, a first press raises nothing, and none does where Python would
    swallow the exception (in a finalizer); a press that is still not ``answered``
    when the outermost block ends raises KeyboardInterrupt there, so that none is lost. Nothing is
    taken over outside of the main thread, or where the program has a handler of its own.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and _current is not None:
        yield _current
        return
    own = Interrupts()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield own
        return

    def give_back() -> None:
        global _current
        _current = None
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def note(_: int, frame: FrameType | None) -> None:
        own.count += 1
        if (own.at_once or not own.deferred) and not _lost_in(frame):
            give_back()
            raise KeyboardInterrupt

    def take_over() -> None:
        global _current
        _current = own
        signal.signal(signal.SIGINT, note)

    try:
        take_over()
        yield own
    finally:
        give_back()
    own.answer()


def interruptible(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that takes Ctrl-C over from its first line on."""

    @functools.wraps(function)
    def run(*args: _P.args, **options: _P.kwargs) -> _R:
        with interrupts():
            return function(*args, **options)

    return run
