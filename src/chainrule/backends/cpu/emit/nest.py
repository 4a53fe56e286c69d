"""Nests as LLVM IR.

One body is emitted per vector width that a loop needs: the full vectors, then one for the remainder
(shapes are static, so the remainder is a constant mask and never a second loop).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ....compiler.loops import (
    Accumulate,
    Expr,
    Local,
    Loop,
    Nest,
    Stage,
    Var,
    walk,
)
from ....core.host.memory import whole_lines
from ...llvm import primitives as ops
from ...llvm.builder import Function, Value, i64
from ..schedule.nest import NestSchedule
from .expression import Emitter
from .reduction import Cell, accumulate, is_float_sum, new_cell, put_away, result
from .shares import part


def scratch_bytes(nest: Nest, schedule: NestSchedule) -> int:
    """What one thread needs for the rows kept between stages."""
    lanes = schedule.lanes if schedule.vector_outer is not None else 1
    return sum(whole_lines(n * lanes * d.itemsize) for n, d in nest.scratch)


def pieces(extent: int, lanes: int) -> tuple[int, int, int]:
    """Full vectors, and the remainder's lanes (a power of two) and count."""
    rest = extent % lanes
    return extent // lanes, 1 << (rest - 1).bit_length() if rest else 0, rest


LONG_SUM = 64  # iterations; a longer sum is put together from short ones


def _trips(loops: list[Loop], vector_var: Var | None, width: int) -> int:
    """Iterations of nested loops, one of them in vectors."""
    return math.prod(-(-x.extent // width) if x.var == vector_var else x.extent for x in loops)


class Copy(NamedTuple):
    """One of the iterations that run side by side: its loop variables, and where each of its
    accumulations lies."""

    variables: Mapping[Var, Value]
    cells: Mapping[int, Cell]


class NestEmitter:
    """Emits one nest into a kernel function."""

    def __init__(
        self,
        f: Function,
        nest: Nest,
        schedule: NestSchedule,
        pointers: Mapping[int, Value],
        scratch: Value,
        tid: Value,
        nt: Value,
    ) -> None:
        self.f, self.nest, self.schedule = f, nest, schedule
        self.e = Emitter(f, pointers)
        self.tid, self.nt = tid, nt
        offset = 0
        lanes = schedule.lanes if schedule.vector_outer is not None else 1
        self.e.scratch_lanes = lanes
        for i, (count, dtype) in enumerate(nest.scratch):
            self.e.scratch[i] = f.gep(scratch, offset, "i8")
            offset += whole_lines(count * lanes * dtype.itemsize)
        self.jammed = frozenset(loop.var for loop in schedule.jammed)
        self.outer_vars = self.jammed | {loop.var for loop in schedule.outer}

    def emit(self) -> None:
        statements = [s for _, st in self.schedule.stages for s in st.statements]
        every = (
            self.outer_vars
            | {-1}
            | {loop.var for loops, _ in self.schedule.stages for loop in loops}
        )
        self.e.hoist(statements, frozenset(every))
        self._loops(list(self.schedule.outer))

    # -- outer loops ------------------------------------------------------------------------------
    def _loops(self, loops: list[Loop]) -> None:
        if not loops:
            if self.schedule.parallel is None:  # a single iteration: one thread's
                with self.f.if_then(self.f.compare("eq", self.tid, i64(0))):
                    self._body()
            else:
                self._body()
            return
        loop, rest = loops[0], loops[1:]
        if loop.var == self.schedule.vector_outer:
            self._vector_loop(loop)
            return
        first, last = (
            part(self.f, loop.extent, self.tid, self.nt)
            if loop.var == self.schedule.parallel
            else (i64(0), i64(loop.extent))
        )
        with self.f.for_range(first, last) as i:
            self.e.variables[loop.var] = i
            self._loops(rest)

    def _vector_loop(self, loop: Loop) -> None:
        f, e, lanes = self.f, self.e, self.schedule.lanes
        full, rest_lanes, rest = pieces(loop.extent, lanes)
        shared = loop.var == self.schedule.parallel
        blocks = full + bool(rest)
        first, last = part(self.f, blocks, self.tid, self.nt) if shared else (i64(0), i64(blocks))
        e.vector = loop.var
        if full:
            stop = (
                last if not rest else f.select(f.compare("slt", last, i64(full)), last, i64(full))
            )
            with f.for_range(first, stop) as block:
                e.variables[loop.var] = f.emit("i64", f"mul nsw i64 {block.text}, {lanes}")
                e.lanes = e.count = lanes
                self._body()
        if rest:
            mine = f.compare("eq", last, i64(blocks))
            nonempty = f.compare("slt", first, last)
            with f.if_then(f.binary("and", mine, nonempty)):
                e.variables[loop.var] = i64(full * lanes)
                e.lanes, e.count = rest_lanes, rest
                saved = e.scratch_lanes
                e.scratch_lanes = rest_lanes
                self._body()
                e.scratch_lanes = saved
        e.vector, e.lanes, e.count = None, 1, 1

    # -- stages -----------------------------------------------------------------------------------
    def _body(self) -> None:
        """One iteration of the outer loops."""
        if self.jammed:
            self._side_by_side()
            return
        self.e.scopes.append({})
        for (loops, stage), var in zip(
            self.schedule.stages, self.schedule.vector_inner, strict=True
        ):
            self._stage(loops, stage, var)
        self.e.scopes.pop()

    def _side_by_side(self) -> None:
        """One iteration of the outer loops, with all those of the jammed ones."""
        e = self.e
        (loops, stage), *others = self.schedule.stages
        for loop in stage.inner:
            e.variables.pop(loop.var, None)
        e.scopes.append({})
        e.hoist(stage.statements, self.jammed | {loop.var for loop in loops})
        is_long = _trips(loops, None, 1) > LONG_SUM
        copies = []
        for values in itertools.product(*(range(loop.extent) for loop in self.schedule.jammed)):
            names = (loop.var for loop in self.schedule.jammed)
            sums = [s for s in stage.statements if isinstance(s, Accumulate)]
            cells = {id(s): new_cell(self.f, s, e.lanes, is_long) for s in sums}
            copies.append(Copy(dict(zip(names, map(i64, values), strict=True)), cells))
        self._inner(loops, stage, None, 1, copies)
        for copy in copies:
            e.variables |= copy.variables
            e.scopes.append({})
            for s in sums:
                self._finish(s, copy.cells[id(s)])
            for _, after in others:
                self._statements_once(after)
            e.scopes.pop()
        e.scopes.pop()

    def _stage(self, loops: list[Loop], stage: Stage, vector_var: Var | None) -> None:
        e = self.e
        for (
            loop
        ) in stage.inner:  # stages share their variables: one that is collapsed away counts as 0
            e.variables.pop(loop.var, None)
        if not loops:
            self._statements_once(stage)
            return
        inner = frozenset(loop.var for loop in loops)
        e.hoist(stage.statements, inner)
        sums = [s for s in stage.statements if isinstance(s, Accumulate)]
        width = 1
        if vector_var is not None:
            extent = next(loop.extent for loop in loops if loop.var == vector_var)
            width = (
                self.schedule.lanes
                if extent >= self.schedule.lanes
                else 1 << (extent - 1).bit_length()
                if extent
                else 1
            )
        outer_lanes = e.lanes
        is_long = _trips(loops, vector_var, width) > LONG_SUM
        cells = {id(s): new_cell(self.f, s, max(width, outer_lanes), is_long) for s in sums}
        self._inner(loops, stage, vector_var, width, [Copy({}, cells)])
        for s in sums:
            self._finish(s, cells[id(s)])

    def _statements_once(self, stage: Stage) -> None:
        e = self.e
        for s in stage.statements:
            if isinstance(s, Accumulate):  # every reduced axis has size 1: a sum of one
                cell = new_cell(self.f, s, e.lanes)
                accumulate(e, s, cell, e.vector not in self.outer_vars)
                self._finish(s, cell)
        e.stores(stage.statements)

    def _locals(self, number: int) -> list[Expr]:
        found: dict[int, Expr] = {}
        for _, stage in self.schedule.stages:
            for s in stage.statements:
                for x in walk(s.value):
                    if isinstance(x, Local) and x.number == number:
                        found[id(x)] = x
        return list(found.values())

    def _inner(
        self,
        loops: list[Loop],
        stage: Stage,
        vector_var: Var | None,
        width: int,
        copies: Sequence[Copy],
    ) -> None:
        e = self.e
        if not loops:
            within = e.vector not in self.outer_vars
            for copy in copies:
                e.variables |= copy.variables
                e.scopes.append({})
                for s in stage.statements:
                    if isinstance(s, Accumulate):
                        accumulate(e, s, copy.cells[id(s)], within)
                e.stores(stage.statements)
                e.scopes.pop()
            return
        loop, rest = loops[0], loops[1:]
        in_a_row = self._in_a_row(loops, stage, vector_var, width)
        if loop.var != vector_var:
            with self._blocks(loop.extent, 1, in_a_row, stage, copies) as i:
                e.variables[loop.var] = i
                self._inner(rest, stage, vector_var, width, copies)
            return
        full, rest_lanes, left = pieces(loop.extent, width)
        e.vector = loop.var
        if full:
            with self._blocks(full * width, width, in_a_row, stage, copies) as i:
                e.variables[loop.var] = i
                e.lanes = e.count = width
                self._inner(rest, stage, vector_var, width, copies)
        if left:
            e.variables[loop.var] = i64(full * width)
            e.lanes, e.count = rest_lanes, left
            self._inner(rest, stage, vector_var, width, copies)
        e.vector, e.lanes, e.count = None, 1, 1

    # -- long sums --------------------------------------------------------------------------------
    def _in_a_row(
        self, loops: list[Loop], stage: Stage, vector_var: Var | None, width: int
    ) -> int | None:
        """How many iterations of the first of ``loops`` are added before their sum is put away;
        None: all of them, or the loops inside see to it."""

        inside = _trips(loops[1:], vector_var, width)
        if inside > LONG_SUM or _trips(loops, vector_var, width) <= LONG_SUM:
            return None
        if not any(is_float_sum(s) for s in stage.statements):
            return None
        return max(ops.ADDED_IN_A_ROW // inside, 1)

    @contextmanager
    def _blocks(
        self,
        stop: int,
        step: int,
        in_a_row: int | None,
        stage: Stage,
        copies: Sequence[Copy],
    ) -> Iterator[Value]:
        """``for i in range(0, stop, step)``; after each ``in_a_row`` iterations the sums are put
        away, so that they stay small and lose little."""
        f = self.f
        if in_a_row is None:
            with f.for_range(0, stop, step) as i:
                yield i
            return
        block = in_a_row * step
        with f.for_range(0, stop, block) as start:
            end = f.add(start, i64(block))
            if stop % block:
                end = f.select(f.compare("slt", end, i64(stop)), end, i64(stop))
            with f.for_range(start, end, step) as i:
                yield i
            for copy in copies:
                for s in stage.statements:
                    if is_float_sum(s):
                        put_away(self.f, copy.cells[id(s)])

    def _finish(self, s: Accumulate, cell: Cell) -> None:
        """The reduction's value, as a local of the outer body."""
        value = result(self.e, s, cell)
        for expr in self._locals(s.local):
            self.e.scopes[-1][id(expr)] = value


def emit_nest(
    f: Function,
    nest: Nest,
    schedule: NestSchedule,
    pointers: Mapping[int, Value],
    scratch: Value,
    tid: Value,
    nt: Value,
) -> None:
    """The nest's instructions; the caller opens and closes the function."""
    NestEmitter(f, nest, schedule, pointers, scratch, tid, nt).emit()
