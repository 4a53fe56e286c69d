"""Rounds: programs and copies that run in order, round after round, in one native call.

All threads walk the same list of parts. Copies, and programs too small to share, are done by the
first thread; there is a barrier wherever a part that all share meets one that they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from ....core.host.memory import address
from ....core.node import Array
from ....errors import InternalError
from ...base import Copy, Rounds, Run
from ...interpreter import InterpretedRounds
from ..threads import native
from ..threads import pool as threads
from ..threads.pool_ir import MOST_THREADS
from ..threads.step_loop_ir import PART, ROUNDS, RUN_ROUNDS
from ..threads.tuner import LONGEST, TURN
from .compiled import CompiledProgram


def native_rounds(parts: Sequence[Run | Copy]) -> Rounds:
    """The parts as one native program, if all programs among them are native."""
    runs = [p for p in parts if isinstance(p, Run)]
    native_ = runs and all(isinstance(r.program, CompiledProgram) for r in runs)
    return NativeRounds(parts) if native_ else InterpretedRounds(parts)


class NativeRounds:
    """See `Rounds`."""

    def __init__(self, parts: Sequence[Run | Copy]) -> None:
        self._parts = list(parts)  # keeps the arrays
        self._alone = [isinstance(p, Copy) or _program(p).artifact.one_thread for p in parts]
        self._list_runs()
        self._at, longest, program = max(self._runs, key=lambda r: r[1].steps)
        self._program, self._pace = program, program.round_pace
        self._longest = longest.steps
        self._pace.longest = LONGEST * self._longest
        self._per_round = 0.0  # seconds, measured
        self._held: dict[int, list[Array]] = {}
        self._scratch: list[int] = []
        self._controls: dict[int, Array] = {}
        self._control = np.zeros(len(ROUNDS), np.int64)
        self._records = np.zeros((len(parts), len(PART)), np.int64)
        self._control_at = self._control.ctypes.data
        self._control[2:] = self._records.ctypes.data, len(parts)
        self._entry = native.library().address(RUN_ROUNDS)
        self._write_records()

    def give(self, inputs: Sequence[Sequence[Array]]) -> None:
        given = iter(inputs)
        for i, run, program in self._runs:
            self._parts[i] = run._replace(inputs=next(given, ()))
            program.take_back(self)
        self._held = {}
        self._list_runs()

    def _list_runs(self) -> None:
        runs = [(i, p, _program(p)) for i, p in enumerate(self._parts) if isinstance(p, Run)]
        programs = {id(p): (p, r) for _, r, p in runs}
        self._runs, self._programs = runs, dict(sorted(programs.items()))  # locked in this order
        if len(programs) == len(runs):
            return
        for _, run, program in runs:
            _, first = self._programs[id(program)]
            pairs = [*zip(run.inputs, first.inputs, strict=True)]
            pairs += zip(run.state, first.state, strict=True)
            pairs += zip(run.outputs, first.outputs, strict=True)
            if any(a is not b for a, b in pairs):
                raise InternalError("rounds: a program runs on two sets of arrays")

    def run(self, count: int) -> None:
        most = 1 if all(self._alone) else min(threads.get_num_threads(), MOST_THREADS)
        with ExitStack() as stack:
            scratch = []
            for key, (program, run) in self._programs.items():
                stack.enter_context(program.lock)
                held = program.lend(self, run)
                self._held[key] = held or self._held.get(key, [])
                scratch.append(program.loop.prepare(most))
            if scratch != self._scratch:
                self._controls = {i: p.loop.control(r.steps) for i, r, p in self._runs}
                for i, control in self._controls.items():
                    self._records[i, 1] = control.ctypes.data
                self._scratch = scratch
            self._control[0] = 0
            if self._is_long(most):
                self._run_by_steps(count, most)
            else:
                self._pace.run(count, most, self._run)

    def _run(self, count: int, num_threads: int) -> None:
        self._control[1] = count
        threads.run_parallel(self._entry, self._control_at, num_threads)
        self._control[0] += count

    # -- long rounds -------------------------------------------------------------------------------
    def _is_long(self, most: int) -> bool:
        """Whether a trial of numbers of threads takes few of a round's steps."""
        per_step = self._program.loop.pace.per_step
        return most > 1 and not self._alone[self._at] and self._longest * per_step > 2 * TURN

    def _run_by_steps(self, count: int, most: int) -> None:
        """Rounds on as many threads as the steps of the longest part find to be best: where a trial
        of them is due, in rounds that are run part by part."""
        pace = self._program.loop.pace
        while count:
            quiet = pace.quiet_seconds(most)
            n = min(count, max(int(quiet / self._per_round), 1) if self._per_round else 1)
            start = pace.clock()
            if quiet:
                self._run(n, pace.threads)
            else:
                self._run_parts(0, self._at, pace.threads)
                self._program.loop.run(self._longest)
                self._run_parts(self._at + 1, len(self._parts), pace.threads)
                self._control[0] += 1
                n = 1
            pace.ended = pace.clock()
            self._per_round = (pace.ended - start) / n
            count -= n

    def _run_parts(self, first: int, end: int, num_threads: int) -> None:
        """Some parts of the next round."""
        if first == end:
            return
        whole = self._control.copy()
        self._control[1:] = 1, self._records[first:].ctypes.data, end - first
        threads.run_parallel(self._entry, self._control_at, num_threads)
        self._control[:] = whole

    def _write_records(self) -> None:
        alone = self._alone
        rows: list[tuple[int, ...]] = []
        for i, part in enumerate(self._parts):
            barrier = not (alone[i] and alone[(i + 1) % len(alone)])
            if isinstance(part, Run):
                rows.append((_program(part).loop.entry, 0, 0, 0, 0, 0, alone[i], barrier))
                continue
            source, target = part
            row = source if source.ndim < target.ndim else target
            for array in part:
                _check(array, row)
            places = address(source), address(target), row.nbytes
            moves = (a.strides[0] if a.ndim > row.ndim else 0 for a in part)
            rows.append((0, *places, *moves, True, barrier))
        self._records[:] = rows


def _program(part: Run) -> CompiledProgram:
    assert isinstance(part.program, CompiledProgram)
    return part.program


def _check(array: Array, row: Array) -> None:
    """Whether the array is one row, or rows, of the kind of ``row``."""
    shape = array.shape[array.ndim - row.ndim :]
    if array.dtype != row.dtype or shape != row.shape or not array.flags.c_contiguous:
        raise InternalError(f"rounds: cannot copy {array.dtype}{list(array.shape)} to {row.shape}")
