"""Reductions of a nest as LLVM IR: the places where sums and extremes grow, lane by lane. Long sums
are put together from short ones, so that their errors do not grow with their lengths.
"""

from __future__ import annotations

from typing import Any

from ....compiler.loops import Accumulate
from ...llvm import primitives as ops
from ...llvm.builder import Function, Value, const, vector
from .expression import Emitter

NOWHERE = 2**62  # the position of what holds no element yet

Cell = tuple[Value, ...]  # places, and at the end a zero of their type


def is_float_sum(s: object) -> bool:
    return isinstance(s, Accumulate) and s.combine == "sum" and s.dtype.kind == "f"


def new_cell(f: Function, s: Accumulate, lanes: int, is_long: bool = False) -> Cell:
    """Places for a reduction over so many lanes, with what it begins with."""
    type_ = ops.register_type(s.dtype, lanes)
    cell = f.alloca(type_)
    if s.position is not None:
        f.store(const(type_, ops.identity_of("reduce_max", s.dtype)), cell)
        where = f.alloca(vector("i64", lanes))
        f.store(const(vector("i64", lanes), NOWHERE), where)
        return cell, where, const(type_, 0)
    f.store(const(type_, ops.identity_of(s.combine, s.dtype)), cell)
    if not (is_long and is_float_sum(s)):
        return cell, const(type_, 0)
    total, lost = f.alloca(type_), f.alloca(type_)
    for place in (total, lost):
        f.store(const(type_, 0), place)
    return cell, total, lost, const(type_, 0)


def put_away(f: Function, cell: Cell) -> None:
    """Add a cell's sum to what was put away before, and start anew."""
    place, total, lost, zero = cell
    sums = [f.load(zero.type, p) for p in (total, lost, place)]
    for value, p in zip((*ops.sum_exactly(f, *sums), zero), (total, lost, place), strict=True):
        f.store(value, p)


def accumulate(e: Emitter, s: Accumulate, cell: Cell, within: bool) -> None:
    """cell = combine(cell, value); ``within``: lanes are iterations of the reduction itself, and
    those that hold none count for nothing."""
    f, type_ = e.f, cell[-1].type
    value = f.splat(e.emit(s.value), e.lanes)
    neutral = ops.identity_of(s.combine if s.position is None else "reduce_max", s.dtype)
    if e.count < e.lanes and within:
        mask = const(vector("i1", e.lanes), [k < e.count for k in range(e.lanes)])
        value = f.select(mask, value, const(value.type, neutral))
    value = _widened(f, value, cell[-1].lanes, neutral)
    if s.position is None:
        f.store(ops.combine(f, s.combine, s.dtype.kind, f.load(type_, cell[0]), value), cell[0])
        return
    lanes = value.lanes
    index = f.splat(e.positions(s.position, "i64", e.lanes), e.lanes)
    index = _widened(f, index, lanes, NOWHERE)
    best, where = f.load(type_, cell[0]), f.load(index.type, cell[1])
    empty = f.compare("eq", where, const(index.type, NOWHERE))
    better = f.binary("or", ops.is_larger(f, s.dtype.kind, value, best), empty)
    if lanes > 1 and e.count < lanes and within:
        valid = const(vector("i1", lanes), [k < e.count for k in range(lanes)])
        better = f.binary("and", better, valid)
    f.store(f.select(better, value, best), cell[0])
    f.store(f.select(better, index, where), cell[1])


def _widened(f: Function, value: Value, lanes: int, filler: Any) -> Value:
    """A remainder in as many lanes as the accumulator has, ``filler`` in the others."""
    if value.lanes >= lanes:
        return value
    if value.lanes == 1:
        return f.insert(const(vector(value.scalar, lanes), filler), value, 0)
    places = [min(k, value.lanes) for k in range(lanes)]
    return f.shuffle(value, const(value.type, filler), places)


def result(e: Emitter, s: Accumulate, cell: Cell) -> Value:
    """The reduction's value, in each lane of the outer body."""
    f = e.f
    if is_float_sum(s) and len(cell) == 4:
        put_away(f, cell)
        total = ops.with_lost(f, *(f.load(cell[-1].type, p) for p in cell[1:3]))
    else:
        total = f.load(cell[-1].type, cell[0])
    if s.position is not None:
        where = f.load(vector("i64", total.lanes), cell[1])
        if total.lanes > e.lanes:
            best = ops.horizontal(f, "reduce_max", s.dtype.kind, total)
            wide = f.splat(best, total.lanes)
            same = ops.is_same(f, s.dtype.kind, total, wide)
            where = f.select(same, where, const(where.type, NOWHERE))
            where = ops.horizontal(f, "reduce_min", "i", where)
        return where
    if total.lanes > e.lanes:
        return ops.horizontal(f, s.combine, s.dtype.kind, total)
    return total
