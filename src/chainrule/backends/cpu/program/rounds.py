"""Rounds: programs and copies that run in order, round after round, in one native call.

All threads walk the same list of parts. Copies, and programs too small to share, are done by the
first thread; there is a barrier wherever a part that all share meets one that they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from ....core.node import Array
from ....errors import InternalError
from ...base import Copy, Rounds, Run
from ...interpreter import InterpretedRounds
from ..threads import native
from ..threads import pool as threads
from ..threads.pool_ir import MOST_THREADS
from ..threads.step_loop_ir import PART, ROUNDS, RUN_ROUNDS
from ..threads.tuner import LONGEST
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
        self._runs = [(i, p, _program(p)) for i, p in enumerate(parts) if isinstance(p, Run)]
        self._alone = [isinstance(p, Copy) or _program(p).artifact.one_thread for p in parts]
        programs = {id(p): (p, r) for _, r, p in self._runs}
        self._programs = dict(sorted(programs.items()))  # locked in this order
        self._check_runs()
        _, longest, program = max(self._runs, key=lambda r: r[1].steps)
        self._pace = program.round_pace
        self._pace.longest = LONGEST * longest.steps
        self._held: dict[int, list[Array]] = {}
        self._scratch: list[int] = []
        self._controls: dict[int, Array] = {}
        self._control = np.zeros(len(ROUNDS), np.int64)
        self._records = np.zeros((len(parts), len(PART)), np.int64)
        self._control_at = self._control.ctypes.data
        self._control[2:] = self._records.ctypes.data, len(parts)
        self._entry = native.library().address(RUN_ROUNDS)
        self._write_records()

    def _check_runs(self) -> None:
        for _, run, program in self._runs:
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
            self._pace.run(count, most, self._run)

    def _run(self, count: int, num_threads: int) -> None:
        self._control[1] = count
        threads.run_parallel(self._entry, self._control_at, num_threads)
        self._control[0] += count

    def _write_records(self) -> None:
        alone = self._alone
        for i, (part, record) in enumerate(zip(self._parts, self._records, strict=True)):
            barrier = not (alone[i] and alone[(i + 1) % len(alone)])
            if isinstance(part, Run):
                record[:] = _program(part).loop.entry, 0, 0, 0, 0, 0, alone[i], barrier
                continue
            source, target = part
            row = min(source, target, key=lambda a: a.ndim)
            for array in part:
                _check(array, row)
            places = source.ctypes.data, target.ctypes.data, row.nbytes
            moves = (a.strides[0] if a.ndim > row.ndim else 0 for a in part)
            record[:] = 0, *places, *moves, True, barrier


def _program(part: Run) -> CompiledProgram:
    assert isinstance(part.program, CompiledProgram)
    return part.program


def _check(array: Array, row: Array) -> None:
    """Whether the array is one row, or rows, of the kind of ``row``."""
    shape = array.shape[array.ndim - row.ndim :]
    if array.dtype != row.dtype or shape != row.shape or not array.flags.c_contiguous:
        raise InternalError(f"rounds: cannot copy {array.dtype}{list(array.shape)} to {row.shape}")
