"""Nests and expressions as LLVM IR.

One body is emitted per vector width that a loop needs: the full vectors, then one for the remainder
(shapes are static, so the remainder is a constant mask and never a second loop).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ....compiler.loops import (
    Accumulate,
    Affine,
    Apply,
    Constant,
    Expr,
    Gather,
    Keep,
    Kept,
    Load,
    Local,
    Loop,
    Nest,
    Position,
    Random,
    Stage,
    Statement,
    Store,
    Var,
    walk,
)
from ...llvm import primitives as ops
from ...llvm.builder import Function, Value, const, i64, vector
from ...llvm.types import SCALAR_OF_DTYPE
from ..schedule.nest import NestSchedule
from .shares import part


class Emitter:
    """Emits expressions at the current iteration.

    ``vector`` is the loop variable that runs along the lanes, if any; expressions that do not
    depend on it stay scalar until they meet one that does. ``scopes`` remember what is already
    computed: the kernel's entry, the outer body, the inner body.
    """

    def __init__(self, f: Function, pointers: Mapping[int, Value]) -> None:
        self.f, self.pointers = f, pointers
        self.variables: dict[Var, Value] = {}
        self.vector: Var | None = None
        self.lanes = 1
        self.count = 1  # lanes that hold iterations; the others are never stored
        self.scopes: list[dict[int, Value]] = [{}]
        self.scratch: dict[int, Value] = {}
        self.scratch_lanes = 1
        self.dependencies: dict[int, frozenset[Var]] = {}

    # -- what an expression depends on ------------------------------------------------------------
    def depends(self, e: Expr) -> frozenset[Var]:
        found = self.dependencies.get(id(e))
        if found is None:
            own = {v for v, _ in e.address.terms}
            if isinstance(e, (Local, Kept)):
                own.add(-1)  # they belong to the outer body, whatever they depend on
            found = frozenset(own.union(*(self.depends(a) for a in e.args)))
            self.dependencies[id(e)] = found
        return found

    def varies(self, e: Expr) -> bool:
        """Whether the lanes differ (locals and kept rows of a vectorised outer loop do)."""
        value = self._known(e)
        if value is not None:
            return value.lanes > 1
        if self.lanes == 1:
            return False
        d = self.depends(e)
        if self.vector in d:
            return True
        if -1 in d:
            return any(isinstance(x, Kept) and self.scratch_lanes > 1 for x in walk(e)) or any(
                isinstance(x, Local) and (k := self._known(x)) is not None and k.lanes > 1
                for x in walk(e)
            )
        return False

    def _known(self, e: Expr) -> Value | None:
        for scope in reversed(self.scopes):
            if id(e) in scope:
                return scope[id(e)]
        return None

    # -- hoisting ---------------------------------------------------------------------------------
    def hoist(self, statements: Iterable[Statement], variables: frozenset[Var]) -> None:
        """Compute now, in the innermost open scope, every largest subexpression free of
        ``variables``."""
        for s in statements:
            self._hoist(s.value, variables)

    def _hoist(self, e: Expr, variables: frozenset[Var]) -> None:
        if isinstance(e, (Constant, Local)):
            return
        if not self.depends(e) & variables:
            self.emit(e)
        else:
            for a in e.args:
                self._hoist(a, variables)

    # -- addresses --------------------------------------------------------------------------------
    def address(self, a: Affine) -> Value:
        """The value of an affine index at lane 0."""
        f, total = self.f, None
        constant = a.constant
        for var, c in a.terms:
            v = self.variables.get(var)
            if v is None or v.text == "0":
                continue
            if not v.text.startswith("%"):
                constant += c * int(v.text)
                continue
            term = v if c == 1 else f.emit("i64", f"mul nsw i64 {v.text}, {c}")
            total = (
                term if total is None else f.emit("i64", f"add nsw i64 {total.text}, {term.text}")
            )
        if total is None:
            return i64(constant)
        return total if constant == 0 else f.emit("i64", f"add nsw i64 {total.text}, {constant}")

    # -- expressions ------------------------------------------------------------------------------
    def emit(self, e: Expr) -> Value:
        found = self._known(e)
        if found is None:
            found = self._compute(e)
            self.scopes[-1][id(e)] = found
        return found

    def wide(self, e: Expr) -> Value:
        """The value in every lane."""
        return self.f.splat(self.emit(e), self.lanes)

    def _compute(self, e: Expr) -> Value:
        f = self.f
        if isinstance(e, Constant):
            return const(ops.register_type(e.dtype), e.value)
        lanes = self.lanes if self.varies(e) else 1
        match e:
            case Load():
                return self._load(e, self.pointers[e.buffer], self.address(e.address), lanes)
            case Kept():
                return self._load_kept(e)
            case Position():
                return self._index(e, lanes)
            case Gather():
                return self._gather(e, lanes)
            case Random():
                counter = f.splat(self._positions(e.address, "i32", lanes), lanes)
                key, word = (f.splat(self.emit(a), lanes) for a in (e.args[1], e.args[0]))
                return ops.philox(f, counter, word, key)[0]
            case Apply():
                args = ops.spread(f, e.name, [self.emit(a) for a in e.args], lanes)
                source = e.args[-1].dtype  # of all of them, but for a condition, the first
                return ops.apply(f, e.name, args, source.kind, source, e.dtype, e.param)
            case Local():
                raise AssertionError(f"local {e.number} is used before its stage is done")

    def _positions(self, a: Affine, scalar: str, lanes: int) -> Value:
        """An affine index as a number in each lane."""
        f = self.f
        base = f.convert("trunc", self.address(a), scalar) if scalar != "i64" else self.address(a)
        c = a.coefficient(self.vector) if self.vector is not None else 0
        if lanes == 1 or c == 0:
            return base
        steps = const(vector(scalar, lanes), [k * c for k in range(lanes)])
        return f.add(f.splat(base, lanes), steps)

    def _index(self, e: Position, lanes: int) -> Value:
        positions = self._positions(e.address, "i64", lanes)
        return ops.cast(self.f, positions, np.dtype(np.int64), e.dtype)

    def _load(self, e: Load | Kept | Gather, pointer: Value, base: Value, lanes: int) -> Value:
        """Elements base + k * coefficient for the lanes k."""
        f = self.f
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        c = e.address.coefficient(self.vector) if self.vector is not None and lanes > 1 else 0
        if lanes == 1 or c == 0:
            value = f.load(memory, f.gep(pointer, base, memory))
        elif c == 1:
            value = f.load_first(vector(memory, lanes), f.gep(pointer, base, memory), self.count)
        elif c == -1 and self.count == lanes:
            first = f.emit("i64", f"sub nsw i64 {base.text}, {lanes - 1}")
            value = f.load(vector(memory, lanes), f.gep(pointer, first, memory))
            value = f.shuffle(value, None, range(lanes - 1, -1, -1))
        else:
            value = const(vector(memory, lanes), 0)
            for k in range(self.count):
                at = f.emit("i64", f"add nsw i64 {base.text}, {k * c}")
                value = f.insert(value, f.load(memory, f.gep(pointer, at, memory)), k)
        return ops.from_memory(self.f, value, e.dtype)

    def _gather(self, e: Gather, lanes: int) -> Value:
        """x[clamp(row), address]: one row for all lanes, or each lane its own."""
        f = self.f
        row = self.emit(e.args[0])
        source = e.args[0].dtype
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        pointer = self.pointers[e.buffer]

        def start(r: Value) -> Value:
            number = ops.row_number(f, r, source, e.rows)
            return f.emit("i64", f"mul nsw i64 {number.text}, {e.stride}")

        if row.lanes == 1:
            base = f.emit("i64", f"add nsw i64 {start(row).text}, {self.address(e.address).text}")
            return self._load(e, pointer, base, lanes)
        c = e.address.coefficient(self.vector) if self.vector is not None else 0
        base = self.address(e.address)
        value = const(vector(memory, lanes), 0)
        for k in range(self.count):
            at = f.emit("i64", f"add nsw i64 {start(f.extract(row, k)).text}, {base.text}")
            at = f.emit("i64", f"add nsw i64 {at.text}, {k * c}")
            value = f.insert(value, f.load(memory, f.gep(pointer, at, memory)), k)
        return ops.from_memory(self.f, value, e.dtype)

    # -- a thread's own rows ----------------------------------------------------------------------
    def _load_kept(self, e: Kept) -> Value:
        memory = SCALAR_OF_DTYPE[e.dtype.name]
        if self.scratch_lanes > 1:
            at = self.f.mul(self.address(e.address), i64(self.scratch_lanes))
            value = self.f.load(
                vector(memory, self.lanes), self.f.gep(self.scratch[e.scratch], at, memory)
            )
            return ops.from_memory(self.f, value, e.dtype)
        lanes = self.lanes if self.vector is not None and e.address.coefficient(self.vector) else 1
        return self._load(e, self.scratch[e.scratch], self.address(e.address), lanes)

    # -- statements -------------------------------------------------------------------------------
    def store(self, s: Store | Keep, value: Value) -> None:
        f = self.f
        memory = SCALAR_OF_DTYPE[s.value.dtype.name]
        base = self.address(s.address)
        if isinstance(s, Keep) and self.scratch_lanes > 1:
            at = f.mul(base, i64(self.scratch_lanes))
            f.store(
                ops.to_memory(f, f.splat(value, self.lanes)),
                f.gep(self.scratch[s.scratch], at, memory),
            )
            return
        pointer = self.scratch[s.scratch] if isinstance(s, Keep) else self.pointers[s.buffer]
        c = s.address.coefficient(self.vector) if self.vector is not None else 0
        if self.lanes == 1 or (c == 0 and value.lanes == 1):
            f.store(ops.to_memory(f, value), f.gep(pointer, base, memory))
            return
        value = ops.to_memory(f, f.splat(value, self.lanes))
        if c == 1:
            f.store_first(value, f.gep(pointer, base, memory), self.count)
            return
        for k in range(self.count):
            at = f.emit("i64", f"add nsw i64 {base.text}, {k * c}")
            f.store(f.extract(value, k), f.gep(pointer, at, memory))

    def stores(self, statements: Iterable[Statement]) -> None:
        """All values first, then all stores: an update in place still reads the old values."""
        pending = [(s, self.emit(s.value)) for s in statements if isinstance(s, (Store, Keep))]
        for s, value in pending:
            self.store(s, value)


def scratch_bytes(nest: Nest, schedule: NestSchedule) -> int:
    """What one thread needs for the rows kept between stages."""
    lanes = schedule.lanes if schedule.vector_outer is not None else 1
    return sum(-(-n * lanes * d.itemsize // 64) * 64 for n, d in nest.scratch)


def pieces(extent: int, lanes: int) -> tuple[int, int, int]:
    """Full vectors, and the remainder's lanes (a power of two) and count."""
    rest = extent % lanes
    return extent // lanes, 1 << (rest - 1).bit_length() if rest else 0, rest


LONG_SUM = 64  # iterations; a longer sum is put together from short ones


def _is_float_sum(s: Statement) -> bool:
    return isinstance(s, Accumulate) and s.combine == "sum" and s.dtype.kind == "f"


def _trips(loops: list[Loop], vector_var: Var | None, width: int) -> int:
    """Iterations of nested loops, one of them in vectors."""
    return math.prod(-(-x.extent // width) if x.var == vector_var else x.extent for x in loops)


class Copy(NamedTuple):
    """One of the iterations that run side by side: its loop variables, and where each of its
    accumulations lies."""

    variables: Mapping[Var, Value]
    cells: Mapping[int, tuple[Value, ...]]


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
            offset += -(-count * lanes * dtype.itemsize // 64) * 64
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
            cells = {id(s): self._start(s, e.lanes, is_long) for s in sums}
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
        cells = {id(s): self._start(s, max(width, outer_lanes), is_long) for s in sums}
        self._inner(loops, stage, vector_var, width, [Copy({}, cells)])
        for s in sums:
            self._finish(s, cells[id(s)])

    def _statements_once(self, stage: Stage) -> None:
        e = self.e
        for s in stage.statements:
            if isinstance(s, Accumulate):  # every reduced axis has size 1: a sum of one
                cell = self._start(s, e.lanes)
                self._accumulate(s, cell)
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
            for copy in copies:
                e.variables |= copy.variables
                e.scopes.append({})
                for s in stage.statements:
                    if isinstance(s, Accumulate):
                        self._accumulate(s, copy.cells[id(s)])
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
        if not any(_is_float_sum(s) for s in stage.statements):
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
                    if _is_float_sum(s):
                        self._put_away(copy.cells[id(s)])

    def _put_away(self, cell: tuple[Value, ...]) -> None:
        """Add a cell's sum to what was put away before, and start anew."""
        f = self.f
        place, total, lost, zero = cell
        sums = [f.load(zero.type, p) for p in (total, lost, place)]
        for value, p in zip((*ops.sum_exactly(f, *sums), zero), (total, lost, place), strict=True):
            f.store(value, p)

    # -- reductions -------------------------------------------------------------------------------
    def _start(self, s: Accumulate, lanes: int, is_long: bool = False) -> tuple[Value, ...]:
        f = self.f
        type_ = ops.register_type(s.dtype, lanes)
        cell = f.alloca(type_)
        if s.position is not None:
            f.store(const(type_, ops.identity_of("reduce_max", s.dtype)), cell)
            where = f.alloca(vector("i64", lanes))
            f.store(const(vector("i64", lanes), 2**62), where)
            return cell, where, const(type_, 0)
        f.store(const(type_, ops.identity_of(s.combine, s.dtype)), cell)
        if not (is_long and _is_float_sum(s)):
            return cell, const(type_, 0)
        total, lost = f.alloca(type_), f.alloca(type_)
        for place in (total, lost):
            f.store(const(type_, 0), place)
        return cell, total, lost, const(type_, 0)

    def _accumulate(self, s: Accumulate, cell: tuple[Value, ...]) -> None:
        """cell = combine(cell, value), for the lanes that hold iterations."""
        f, e = self.f, self.e
        type_ = cell[-1].type
        lanes = cell[-1].lanes
        narrow = f.splat(e.emit(s.value), e.lanes)
        how = s.combine if s.position is None else "reduce_max"
        neutral = ops.identity_of(how, s.dtype)
        if e.count < e.lanes and e.vector not in self.outer_vars:
            mask = const(vector("i1", e.lanes), [k < e.count for k in range(e.lanes)])
            narrow = f.select(mask, narrow, const(narrow.type, neutral))
        if narrow.lanes < lanes:  # the remainder is narrower than the accumulator
            filler = const(narrow.type, neutral)
            narrow = (
                f.shuffle(
                    narrow, filler, [k if k < narrow.lanes else narrow.lanes for k in range(lanes)]
                )
                if narrow.lanes > 1
                else f.insert(const(type_, neutral), narrow, 0)
            )
        if s.position is None:
            f.store(
                ops.combine(f, s.combine, s.dtype.kind, f.load(type_, cell[0]), narrow), cell[0]
            )
            return
        index_type = vector("i64", lanes)
        index = f.splat(e._positions(s.position, "i64", e.lanes), e.lanes)
        if index.lanes < lanes:
            index = (
                f.shuffle(
                    index,
                    const(index.type, 2**62),
                    [k if k < index.lanes else index.lanes for k in range(lanes)],
                )
                if index.lanes > 1
                else f.insert(const(index_type, 2**62), index, 0)
            )
        best, where = f.load(type_, cell[0]), f.load(index_type, cell[1])
        empty = f.compare("eq", where, const(index_type, 2**62))
        if s.dtype.kind == "f":
            better = f.binary(
                "or",
                f.compare("ogt", narrow, best),
                f.binary("and", f.compare("uno", narrow, narrow), f.compare("ord", best, best)),
            )
        else:
            better = f.compare("sgt" if s.dtype.kind == "i" else "ugt", narrow, best)
        if lanes > 1 and e.count < lanes and e.vector not in self.outer_vars:
            valid = const(vector("i1", lanes), [k < e.count for k in range(lanes)])
            better = f.binary("and", f.binary("or", better, empty), valid)
        else:
            better = f.binary("or", better, empty)
        f.store(f.select(better, narrow, best), cell[0])
        f.store(f.select(better, index, where), cell[1])

    def _finish(self, s: Accumulate, cell: tuple[Value, ...]) -> None:
        """The reduction's value, as a local of the outer body."""
        f, e = self.f, self.e
        if _is_float_sum(s) and len(cell) == 4:
            self._put_away(cell)
            total = ops.with_lost(f, *(f.load(cell[-1].type, p) for p in cell[1:3]))
        else:
            total = f.load(cell[-1].type, cell[0])
        if s.position is not None:
            where = f.load(vector("i64", total.lanes), cell[1])
            if total.lanes > e.lanes:
                best = ops.horizontal(f, "reduce_max", s.dtype.kind, total)
                wide = f.splat(best, total.lanes)
                if s.dtype.kind == "f":
                    same = f.binary(
                        "or",
                        f.compare("oeq", total, wide),
                        f.binary(
                            "and", f.compare("uno", total, total), f.compare("uno", wide, wide)
                        ),
                    )
                else:
                    same = f.compare("eq", total, wide)
                where = f.select(same, where, const(where.type, 2**62))
                where = ops.horizontal(f, "reduce_min", "i", where)
            result = where
        else:
            result = (
                ops.horizontal(f, s.combine, s.dtype.kind, total)
                if total.lanes > e.lanes
                else total
            )
        for expr in self._locals(s.local):
            e.scopes[-1][id(expr)] = result


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
