"""Threads that run one native function side by side (SPMD).

A pool keeps ``n - 1`` workers inside native code, where they wait for a job: first spinning (so a
call that soon follows another costs about a microsecond), then asleep in the kernel. The caller is
thread 0. An entry is a native function ``void entry(ptr control, i64 tid, i64 nt, ptr lines)``;
``lines`` is what ``@chainrule_barrier`` takes. What an entry computes may not depend on ``nt``.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ....errors import OptionError
from .pool_ir import CORE_AT, LINE, MOST_THREADS

SPIN_US = 20.0  # spin this long at a barrier before asking whether somebody else wants the core
IDLE_US = 200.0  # a worker spins this long for the next job: about what being woken costs

_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


# -- how many -----------------------------------------------------------------------------------


def available_cpus() -> int:
    """CPUs this process may use: its affinity mask, within the CPU quota of its control group."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    return count if quota is None else max(1, min(count, int(quota)))


def _cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float | None:
    """CPUs the control group (or one above it) grants; None where there is no limit."""
    quotas: list[float] = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root if not controllers else root / controllers
        group = Path(path.lstrip("/"))
        for level in (group, *group.parents):
            try:
                if not controllers:
                    quota, period = (base / level / "cpu.max").read_text().split()
                else:
                    quota = (base / level / "cpu.cfs_quota_us").read_text().strip()
                    period = (base / level / "cpu.cfs_period_us").read_text().strip()
            except OSError:
                continue  # this level has no such file: no limit here
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


_chosen: int | None = None
_sharers = 0
_sharers_lock = threading.Lock()


def get_num_threads() -> int:
    """The most threads that compiled programs run on; a program takes fewer where that is quicker.

    The last `set_num_threads`, else the environment variable ``CHAINRULE_NUM_THREADS``, else
    ``OMP_NUM_THREADS`` (joblib sets it in its workers), else the number of usable CPUs; the last
    two are divided among those who work at once (`shared_cores`). Results do not depend on it.
    """
    if _chosen is not None:
        return _chosen
    count, divided = _default_threads()
    return max(1, count // max(_sharers, 1)) if divided else count


@contextmanager
def shared_cores() -> Iterator[None]:
    """While it is open, this Python thread divides the cores with others that are here.

    For work that a program may start in several threads, such as fits of a grid search.
    """
    global _sharers
    with _sharers_lock:
        _sharers += 1
    try:
        yield
    finally:
        with _sharers_lock:
            _sharers = max(0, _sharers - 1)  # a forked child starts from 0


@functools.cache
def _default_threads() -> tuple[int, bool]:
    """The number, and whether those who work at once divide it: it is not the user's own word."""
    text = os.environ.get("CHAINRULE_NUM_THREADS", "").strip()
    if not text:
        first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        most = min(available_cpus(), MOST_THREADS)
        return min(_whole(first), most) or most, True
    if not 1 <= _whole(text) <= MOST_THREADS:
        raise OptionError(
            f"CHAINRULE_NUM_THREADS={text!r}: expected a whole number of threads from 1 to "
            f"{MOST_THREADS}; unset it to use all {available_cpus()} CPUs"
        )
    return _whole(text), False


def _whole(text: str) -> int:
    """The number that a text writes; 0 for anything else, and for more than nine digits."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def set_num_threads(n: int) -> None:
    """Run compiled programs on at most ``n`` threads from now on.

    Raises:
        OptionError: ``n`` is not a whole number from 1 to 256.
    """
    global _chosen
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_THREADS:
        raise OptionError(
            f"set_num_threads({n!r}): expected a whole number of threads from 1 to {MOST_THREADS}"
        )
    _chosen = n


# -- the pool -------------------------------------------------------------------------------------


class Pool:
    """``size - 1`` workers and the memory they share with the caller."""

    def __init__(self, size: int) -> None:
        self.size = size
        from . import native  # loads LLVM, which the question "how many threads?" should not

        p, i = ctypes.c_void_p, ctypes.c_int64
        self._dispatch = native.function("chainrule_dispatch", p, p, p, i, i)
        self._quit = native.function("chainrule_quit", p)
        worker = native.function("chainrule_worker", p, i, i)
        # job line, a line a thread, then the barrier's: how long to spin, a line a thread
        self._memory = ctypes.create_string_buffer((2 * size + 3) * LINE)
        self._at = -(-ctypes.addressof(self._memory) // LINE) * LINE
        per_us = _spins_per_us()
        ctypes.c_int64.from_address(self._at + 40).value = int(IDLE_US * per_us)
        ctypes.c_int64.from_address(self._at + (size + 1) * LINE).value = int(SPIN_US * per_us)
        for tid in range(size):
            self._core(tid).value = -1
        self._workers = [
            threading.Thread(
                target=worker, args=(self._at, tid, size), daemon=True, name=f"chainrule-{tid}"
            )
            for tid in range(1, size)
        ]
        started: list[threading.Thread] = []
        try:
            for thread in self._workers:
                thread.start()
                started.append(thread)
        except RuntimeError:  # no more threads to be had
            self._workers = started
            self.close()
            raise

    def _core(self, tid: int) -> ctypes.c_int32:
        return ctypes.c_int32.from_address(self._at + (tid + 1) * LINE + CORE_AT)

    def cores(self) -> list[int]:
        """On which core each thread began its last job; -1 where that is not known."""
        return [self._core(tid).value for tid in range(self.size)]

    def run(self, entry: int, control: int, threads: int) -> None:
        """Call ``entry(control, tid, threads, lines)`` on each thread; returns when all have."""
        self._dispatch(self._at, entry, control, min(threads, self.size), self.size)

    def close(self) -> None:
        """Send the workers home and wait for them; no job may be running."""
        self._quit(self._at)
        for thread in self._workers:
            thread.join()


@functools.cache
def _spins_per_us() -> float:
    """Turns of a waiting loop in a microsecond (the pause differs 10-fold between processors)."""
    from . import native

    spin = native.function("chainrule_spin", ctypes.c_void_p, ctypes.c_int64)
    line, turns, best = ctypes.create_string_buffer(8), 2000, float("inf")
    for _ in range(5):
        start = time.perf_counter()
        spin(ctypes.addressof(line), turns)
        best = min(best, time.perf_counter() - start)
    return turns / (best * 1e6)


_pool: Pool | None = None
_lock = threading.Lock()  # held while a job runs or the pool changes
_closed = False


def run_parallel(entry: int, control: int, threads: int | None = None) -> int:
    """Run a native entry on ``threads`` threads (default: `get_num_threads`); returns how many ran.

    When the pool is busy with another Python thread's program, the entry runs on the calling thread
    alone: later would be slower, and the bits are the same.
    """
    global _pool
    wanted = get_num_threads() if threads is None else threads
    if wanted > 1 and not _closed and _lock.acquire(blocking=False):
        try:
            size = max(wanted, get_num_threads())
            if _pool is None or _pool.size != size:
                if _pool is not None:
                    _pool.close()
                    _pool = None  # before the new one is tried
                _pool = Pool(size)
            _pool.run(entry, control, wanted)
            return wanted
        finally:
            _lock.release()
    _entry(entry)(control, 0, 1, None)
    return 1


@functools.cache
def _entry(address: int) -> Any:
    return _Entry(address)


def _forget_pool() -> None:
    """In a forked child the workers do not exist: start anew on the next run."""
    global _pool, _lock, _sharers, _sharers_lock
    _pool, _lock = None, threading.Lock()
    _sharers, _sharers_lock = 0, threading.Lock()


def _close_at_exit() -> None:
    """Bring the workers out of native code before the interpreter takes things apart."""
    global _pool, _closed
    _closed = True
    if _pool is not None and _lock.acquire(timeout=1.0):
        try:
            _pool.close()
            _pool = None
        finally:
            _lock.release()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
