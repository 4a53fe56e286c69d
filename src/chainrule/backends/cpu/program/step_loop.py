"""Compiled programs that run: objects, pointer table, scratch, and steps on all threads.

objects = program_objects(kernels, schedule, target)     # compile, or take from a cache
loop = StepLoop(objects, schedule, target, pointers)      # load
loop.run(1000)
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import Cache
from ..machine.library import Library
from ..machine.target import Target
from ..threads import native
from ..threads import pool as threads
from ..threads.pool_ir import LINE, MOST_THREADS
from ..threads.step_loop_ir import (
    CONTROL,
    RECORD,
    RUN,
    RUN_TIMED,
    RUN_WHOLE,
    Call,
    LoopEnd,
    Schedule,
    thunk,
    with_thunks,
)
from ..threads.tuner import Pace

__all__ = ["Call", "LoopEnd", "Schedule", "StepLoop", "program_objects"]

_WORD = {name: n for n, name in enumerate(CONTROL)}


def program_objects(
    kernels: Sequence[str],
    schedule: Schedule,
    target: Target,
    opt: int = 1,
    jobs: int = 2,
    cache: Cache | None = None,
) -> list[bytes]:
    """Compile a program's kernels (IR modules)."""
    from ..machine.compiler import compile_ir  # and LLVM: not for what comes from a cache

    counts, whole = schedule.counts, schedule.whole_loop
    return compile_ir(
        [with_thunks(text, counts, whole) for text in kernels], target, opt, jobs, cache
    )


class StepLoop:
    """A loaded program: the code, the pointer table, each thread's scratch.

    The caller keeps the memory behind ``pointers`` alive, and calls :meth:`run` from one Python
    thread at a time. Scratch is aligned to 128 bytes.
    """

    def __init__(
        self,
        objects: Sequence[bytes],
        schedule: Schedule,
        target: Target,
        pointers: ArrayLike,
        scratch_bytes: int = 0,
        steps: Sequence[Sequence[int]] = (),
        kept_bytes: int = 0,
    ) -> None:
        self._schedule = schedule
        self._code = Library(list(objects), target)
        self.pace = Pace()
        self._control = np.zeros(len(CONTROL), np.int64)
        self._control_at = self._control.ctypes.data
        self._moved = [self._steps_of(c, steps) for c in schedule.calls]
        # What kernels keep lies between the pointers and the scratch.
        moved = max((m.shape[1] * 8 for m in self._moved), default=0) + kept_bytes
        self._control[_WORD["moved"]] = moved = -(-moved // LINE) * LINE
        self._stride = moved + -(-scratch_bytes // LINE) * LINE
        self._control[_WORD["stride"]] = self._stride
        self._prepared = 0  # threads there is scratch for
        self._table = np.array(pointers, np.uint64)
        calls = [call for call in schedule.calls if isinstance(call, Call)]
        self._index = np.array([p for call in calls for p in call.pointers], np.intp)
        self._call_pointers = self._table[self._index]
        self._entry = native.library().address(RUN_WHOLE if schedule.whole_loop else RUN)
        self._write_records()

    @staticmethod
    def _steps_of(call: Call | LoopEnd, steps: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """How far each pointer of a call moves on in each loop around it, (depth, pointers)."""
        if isinstance(call, LoopEnd) or not call.depth:
            return np.zeros((0, 0), np.int64)
        found = np.zeros((call.depth, len(call.pointers)), np.int64)
        for column, pointer in enumerate(call.pointers):
            own = steps[pointer]
            found[: len(own), column] = own
        return found

    def set_pointers(self, pointers: ArrayLike) -> None:
        """Give the program other memory; not while it runs."""
        self._table[:] = pointers
        # "clip": NumPy then writes to the array at once, instead of a copy of it
        self._table.take(self._index, None, self._call_pointers, "clip")

    def run(self, steps: int, num_threads: int | None = None) -> None:
        """Run ``steps`` steps on ``num_threads`` threads (default: on at most as many as set,
        whichever number is quickest)."""
        if num_threads is not None:
            self._run(self._entry, steps, num_threads)
            return
        most = min(threads.get_num_threads(), MOST_THREADS)
        self.pace.run(steps, most, lambda n, count: self._run(self._entry, n, count))

    def profile(self, steps: int, num_threads: int | None = None) -> NDArray[np.float64]:
        """Run ``steps`` steps; thread 0's nanoseconds a step for each call, shape (calls, 2).

        Column 0 is the kernel, column 1 the wait at the barrier after it. A loop is timed whole.
        """
        count = len(self._schedule.calls)
        ticks = np.zeros(2 * count, np.int64)
        self._control[_WORD["ticks"]] = ticks.ctypes.data
        if self._schedule.whole_loop:
            start = time.perf_counter_ns()
            self.run(steps, num_threads)
            return np.array([[(time.perf_counter_ns() - start) / max(steps, 1), 0.0]])
        entry = native.library().address(RUN_TIMED)
        self._run(entry, steps, num_threads)
        times = np.asarray(ticks * (_ns_per_tick() / max(steps, 1)), np.float64)
        called = [isinstance(call, Call) for call in self._schedule.calls]
        return np.asarray(times.reshape(count, 2)[called])

    def _run(self, entry: int, steps: int, num_threads: int | None) -> None:
        wanted = threads.get_num_threads() if num_threads is None else num_threads
        wanted = min(wanted, MOST_THREADS)
        if wanted > self._prepared:
            self._prepare(wanted)
        self._control[0] = steps
        threads.run_parallel(entry, self._control_at, wanted)

    @property
    def entry(self) -> int:
        """The address of the native function that runs steps."""
        return self._entry

    def prepare(self, num_threads: int) -> int:
        """Make ready for so many threads; the address of the scratch."""
        if num_threads > self._prepared:
            self._prepare(num_threads)
        return int(self._control[_WORD["scratch"]])

    def control(self, steps: int) -> NDArray[np.int64]:
        """What `entry` takes for so many steps, with the scratch there is now."""
        found = self._control.copy()
        found[0] = steps
        return found

    def _prepare(self, count: int) -> None:
        """Scratch for ``count`` threads; not written here: each thread's pages are near it."""
        self._scratch = np.empty(count * self._stride + LINE, np.uint8)
        at = self._scratch.ctypes.data
        self._control[_WORD["scratch"]] = at + -at % LINE
        self._prepared = count

    def _write_records(self) -> None:
        calls = self._schedule.calls
        self._records = np.zeros((len(calls), len(RECORD)), np.int64)
        at = self._call_pointers.ctypes.data
        for index, call in enumerate(calls):
            barrier = self._schedule.barrier_after(index)
            if isinstance(call, LoopEnd):
                first, times, depth, _ = call
                self._records[index] = (0, 0, 0, barrier, depth, 0, 0, first, times, 0)
                continue
            serial = -1 if call.serial is None else call.serial
            steps, count = self._moved[index], len(call.pointers)
            entry = self._code.address(thunk(call.kernel))
            where = steps.ctypes.data
            loops = (call.depth, where, count, 0, 0)
            self._records[index] = (entry, at, serial, barrier, *loops, call.shared)
            at += 8 * count
        self._control[_WORD["records"]] = self._records.ctypes.data
        self._control[_WORD["calls"]] = len(calls)


@functools.cache
def _ns_per_tick() -> float:
    """Length of a tick of the clock that timed loops read."""
    read = native.function("chainrule_ticks", restype=ctypes.c_int64)

    def both() -> tuple[int, int]:
        """Both clocks at one moment: of several readings the one that was interrupted least."""
        readings = [(time.perf_counter_ns(), read(), time.perf_counter_ns()) for _ in range(5)]
        before, ticks, after = min(readings, key=lambda r: r[2] - r[0])
        return (before + after) // 2, ticks

    start, start_ticks = both()
    time.sleep(0.01)
    end, end_ticks = both()
    return (end - start) / (end_ticks - start_ticks)
