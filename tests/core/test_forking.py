"""A forked child finds no lock that another thread held, and no library in the middle of a call."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.cpu.threads import native
from chainrule.core.host.forking import Gate, free_in_child
from chainrule.estimators import session

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_child(work: Callable[[], object], seconds: float = 300.0) -> int:
    """The exit status of a forked child that does some work: 0 done, 3 an error, -9 it hung."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


@contextmanager
def held(lock: threading.Lock) -> Iterator[None]:
    """Another thread holds the lock."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield
    done.set()
    thread.join()


class Owner:
    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_a_lock_that_another_thread_held_is_free_in_the_child() -> None:
    owner, other = Owner(), Owner()
    free_in_child(owner, "lock")

    def take(o: Owner) -> None:
        assert o.lock.acquire(timeout=0.1)

    with held(owner.lock), held(other.lock):
        assert in_child(lambda: take(owner)) == 0
        assert in_child(lambda: take(other)) == 3  # as it is without


def test_a_program_and_the_compiler_that_were_busy_are_free_in_the_child() -> None:
    @cr.compile
    def double(x):
        return x * 2

    x = np.ones(3, np.float32)
    program = double.program(x).program
    assert isinstance(program, CompiledProgram)

    def work() -> None:
        assert double(x).tolist() == [2, 2, 2]
        assert native.objects() and session._take(()) is None

    with held(program.lock), held(native._compiling), held(session._lock):
        assert in_child(work) == 0


def test_a_fork_waits_until_no_other_thread_is_inside() -> None:
    gate, entered, states = Gate(), threading.Event(), []

    def work() -> None:
        with gate.inside(), gate.inside():
            entered.set()
            time.sleep(0.05)
            states.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait()
    with gate.inside():  # its own thread does not hold it up
        assert in_child(lambda: states.remove("done")) == 0
    thread.join()
    with gate.inside():
        pass
    assert in_child(lambda: gate.inside().__enter__()) == 0


TEXT = """
define void @f{0}(ptr %p) {{
  %x = load double, ptr %p
  %y = fadd double %x, {0}.0
  store double %y, ptr %p
  ret void
}}
"""


def test_children_compile_while_the_parent_does() -> None:
    numbers, stop = iter(range(10**9)), threading.Event()

    def compile_some() -> None:
        compile_ir([TEXT.format(next(numbers)) for _ in range(3)], host())

    def go_on() -> None:
        while not stop.is_set():
            compile_some()

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(compile_some) for _ in range(8)] == [0] * 8
    finally:
        stop.set()
        for thread in threads:
            thread.join()
