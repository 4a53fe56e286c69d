"""Reductions of a nest as LLVM IR: the places where sums and extremes grow, lane by lane. Long sums
are put together from short ones, so that their errors do not grow with their lengths.
"""

from __future__ import annotations

from ....compiler.loops import Accumulate
from ...llvm import primitives as ops
from ...llvm.builder import Function, Value, const, vector
from .expression import Emitter

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
        f.store(const(vector("i64", lanes), 2**62), where)
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
    f = e.f
    type_ = cell[-1].type
    lanes = cell[-1].lanes
    narrow = f.splat(e.emit(s.value), e.lanes)
    how = s.combine if s.position is None else "reduce_max"
    neutral = ops.identity_of(how, s.dtype)
    if e.count < e.lanes and within:
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
        f.store(ops.combine(f, s.combine, s.dtype.kind, f.load(type_, cell[0]), narrow), cell[0])
        return
    index_type = vector("i64", lanes)
    index = f.splat(e.positions(s.position, "i64", e.lanes), e.lanes)
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
    if lanes > 1 and e.count < lanes and within:
        valid = const(vector("i1", lanes), [k < e.count for k in range(lanes)])
        better = f.binary("and", f.binary("or", better, empty), valid)
    else:
        better = f.binary("or", better, empty)
    f.store(f.select(better, narrow, best), cell[0])
    f.store(f.select(better, index, where), cell[1])


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
            if s.dtype.kind == "f":
                same = f.binary(
                    "or",
                    f.compare("oeq", total, wide),
                    f.binary("and", f.compare("uno", total, total), f.compare("uno", wide, wide)),
                )
            else:
                same = f.compare("eq", total, wide)
            where = f.select(same, where, const(where.type, 2**62))
            where = ops.horizontal(f, "reduce_min", "i", where)
        return where
    if total.lanes > e.lanes:
        return ops.horizontal(f, s.combine, s.dtype.kind, total)
    return total
