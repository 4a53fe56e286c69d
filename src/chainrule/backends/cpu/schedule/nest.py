"""How a nest runs on this machine: which loop is the vector, how wide, which the threads share.

The loop program says what is computed; every choice made here is about speed only and none changes
a result. A cost model in vector instructions makes them, so unknown shapes get sensible ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ....compiler.loops import (
    Accumulate,
    Affine,
    Apply,
    Expr,
    Gather,
    Keep,
    Kept,
    Load,
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
from ....core.primitives.table import TABLE
from ..machine.target import Target

SERIAL_CYCLES = 2500  # work below which waking the other threads costs more than it gains
# Cycles, estimated: only their order among the loops that could be the vector counts.
SCATTERED_LOAD, SCATTERED_STORE = 1.5, 2.0  # of an element that lies alone
FOLDED_LANES = 8  # at the end of a sum along the vector
LIGHT, HEAVY = 6, 24  # operations in an iteration: up to which four vectors, and two, gain
EVEN_SHARES = 16  # iterations: two for each of eight threads


@dataclass
class NestSchedule:
    """Loops after collapsing, and the choices."""

    outer: list[Loop]  # order of the loops
    stages: list[tuple[list[Loop], Stage]]
    vector_outer: Var | None  # the outer loop that is the vector, if one is
    vector_inner: list[Var | None]  # per stage: the inner loop that is the vector, if one is
    lanes: int
    parallel: Var | None  # the outer loop the threads share
    serial: bool
    cycles: float
    jammed: tuple[
        Loop, ...
    ] = ()  # outer loops whose iterations run side by side, inside all others


def affines(statements: list[Statement]) -> Iterator[Affine]:
    """Every index in some statements."""
    seen: set[int] = set()
    for s in statements:
        if isinstance(s, (Store, Keep)):
            yield s.address
        elif s.position is not None:
            yield s.position
        for e in walk(s.value, seen):
            if isinstance(e, (Load, Kept, Position, Gather, Random)):
                yield e.address


def collapse(loops: list[Loop], indices: list[Affine]) -> list[Loop]:
    """Join adjacent loops that every index runs through as one; the outer variable then stays 0."""
    loops = [loop for loop in loops if loop.extent != 1]
    i = 0
    while i + 1 < len(loops):
        a, b = loops[i], loops[i + 1]
        if all(x.coefficient(a.var) == x.coefficient(b.var) * b.extent for x in indices):
            loops[i : i + 2] = [Loop(b.var, a.extent * b.extent)]
            i = max(i - 1, 0)
        else:
            i += 1
    return loops


def _width(nest: Nest, target: Target) -> int:
    """Lanes of one vector register for the nest's widest common dtype."""
    sizes: list[int] = []
    for stage in nest.stages:
        for s in stage.statements:
            sizes += [e.dtype.itemsize for e in walk(s.value) if e.dtype.kind == "f"]
    size = max(sizes) if sizes else 4
    return max(1, target.vector_bytes // size)


def _statement_cost(s: Statement, var: Var | None, lanes: float) -> float:
    """Cost of one scalar iteration's share of a statement when ``var`` is the vector."""
    cost = 0.0
    for e in walk(s.value):
        if isinstance(e, (Load, Kept, Gather)):
            c = e.address.coefficient(var) if var is not None else 0
            varying = isinstance(e, Gather) and var is not None and depends_on(e.args[0], var)
            scattered = (c not in (0, 1) or varying) and var is not None
            cost += SCATTERED_LOAD if scattered else 1 / lanes
        else:
            cost += e.cost / lanes
    if isinstance(s, (Store, Keep)):
        c = s.address.coefficient(var) if var is not None else 1
        scattered = c != 1 and var is not None
        cost += SCATTERED_STORE if scattered else 1 / lanes
    else:
        cost += TABLE[s.combine].cost / lanes
    return cost


def depends_on(e: Expr, var: Var) -> bool:
    return any(x.address.coefficient(var) for x in walk(e))


def _useful(extent: int, width: int) -> float:
    return extent / math.ceil(extent / width) if extent else 1.0


def plan_nest(nest: Nest, target: Target) -> NestSchedule:
    """Choose loops, vector, lanes and threads for a nest."""
    every = [x for st in nest.stages for x in affines(st.statements)]
    outer = collapse(list(nest.outer), every)
    stages = [(collapse(list(st.inner), list(affines(st.statements))), st) for st in nest.stages]
    width = _width(nest, target)
    rows = math.prod(loop.extent for loop in outer)

    candidates = [_with_vector(loop, stages, rows, width) for loop in reversed(outer)]
    candidates.append(_with_inner_vectors(stages, rows, width))
    cycles, vector_outer, vector_inner = min(candidates, key=lambda c: c[0])

    lanes = width * _unroll(nest, vector_outer, outer, stages, vector_inner, width)
    if vector_outer is not None:
        outer = [o for o in outer if o.var != vector_outer] + [
            o for o in outer if o.var == vector_outer
        ]
    for (loops, _), var in zip(stages, vector_inner, strict=True):
        if var is not None:
            loops.sort(key=lambda loop, v=var: loop.var == v)  # type: ignore[misc]
    parallel = _parallel(outer, vector_outer, lanes)
    jammed = _jammed(outer, stages, (vector_outer, parallel), target)
    if jammed:
        copies = math.prod(loop.extent for loop in jammed)
        lanes = min(lanes, width * max(1, _registers_for_sums(target) // copies))
        outer = [loop for loop in outer if loop not in jammed]
        parallel = _parallel(outer, vector_outer, lanes)
    serial = cycles < SERIAL_CYCLES
    return NestSchedule(
        outer, stages, vector_outer, vector_inner, lanes, parallel, serial, cycles, jammed
    )


Stages = list[tuple[list[Loop], Stage]]
Vectors = tuple[float, Var | None, list[Var | None]]
"""The cycles with an outer loop as the vector, or with one in each stage."""


def _cycles(stage: Stage, count: float, loop: Loop | None, width: int) -> float:
    """Of ``count`` iterations of a stage."""
    var = None if loop is None else loop.var
    lanes = 1.0 if loop is None else _useful(loop.extent, width)
    return count * sum(_statement_cost(s, var, lanes) for s in stage.statements)


def _with_vector(loop: Loop, stages: Stages, rows: int, width: int) -> Vectors:
    total = 0.0
    for loops, stage in stages:
        total += _cycles(stage, rows * math.prod(inner.extent for inner in loops), loop, width)
    return total, loop.var, [None] * len(stages)


def _with_inner_vectors(stages: Stages, rows: int, width: int) -> Vectors:
    total, found = 0.0, []
    for loops, stage in stages:
        count = rows * math.prod(loop.extent for loop in loops)
        sums = sum(isinstance(s, Accumulate) for s in stage.statements)
        options: list[tuple[float, Var | None]] = [(_cycles(stage, count, None, width), None)]
        for loop in loops:
            folded = count / max(loop.extent, 1) * sums * FOLDED_LANES
            options.append((_cycles(stage, count, loop, width) + folded, loop.var))
        cycles, var = min(options, key=lambda o: o[0])
        total += cycles
        found.append(var)
    return total, None, found


def _jammed(
    outer: list[Loop],
    stages: Stages,
    taken: tuple[Var | None, Var | None],
    target: Target,
) -> tuple[Loop, ...]:
    """Short outer loops whose sums read something in common, and fit into registers together: it is
    read once for all of them."""
    if taken[0] is None or not stages or not stages[0][0] or any(loops for loops, _ in stages[1:]):
        return ()
    statements = stages[0][1].statements
    if not all(isinstance(s, Accumulate) and s.position is None for s in statements):
        return ()
    loads = [e for s in statements for e in walk(s.value) if isinstance(e, (Load, Gather))]
    free = _registers_for_sums(target) // len(statements)
    found: list[Loop] = []
    for loop in reversed(outer):
        shared = [e for e in loads if not depends_on(e, loop.var)]
        if loop.var in taken or loop.extent > free or not 0 < len(shared) < len(loads):
            continue
        found.insert(0, loop)
        free //= loop.extent
    return tuple(found)


def _registers_for_sums(target: Target) -> int:
    """Those that jammed sums may take: 20 of 32, 10 of 16; the rest holds what is added up."""
    return target.vector_registers * 5 // 8


def _unroll(
    nest: Nest,
    vector_outer: Var | None,
    outer: list[Loop],
    stages: Stages,
    vector_inner: list[Var | None],
    width: int,
) -> int:
    """How many registers make one vector: short dependency chains side by side hide latency."""
    statements = [s for st in nest.stages for s in st.statements]
    exprs = [e for s in statements for e in walk(s.value)]
    strided = any(
        isinstance(e, (Load, Kept, Gather))
        and any(
            abs(c) not in (0, 1)
            for v, c in e.address.terms
            if v == vector_outer or v in vector_inner
        )
        for e in exprs
    )
    heavy = _cost_of_an_iteration(stages)
    chained = any(isinstance(e, (Apply, Random)) and TABLE[e.name].chain for e in exprs)
    if strided or (heavy > HEAVY and not chained):
        return 1
    if vector_outer is not None:
        extent = next(o.extent for o in outer if o.var == vector_outer)
    else:
        extents = [
            loop.extent
            for (loops, _), v in zip(stages, vector_inner, strict=True)
            for loop in loops
            if loop.var == v
        ]
        extent = max(extents, default=1)
    reduces = any(isinstance(s, Accumulate) for s in statements)
    for unroll in (4, 2) if reduces or heavy <= LIGHT or chained else (2,):
        if extent >= (1 if chained else 2) * unroll * width:
            return unroll
    return 1


def _cost_of_an_iteration(stages: Stages) -> float:
    """Operations in one iteration of the longest stage, those of shorter stages spread over it."""
    trips = [math.prod(loop.extent for loop in loops) for loops, _ in stages]
    costs = [sum(e.cost for s in stage.statements for e in walk(s.value)) for _, stage in stages]
    return sum(c * n for c, n in zip(costs, trips, strict=True)) / max([*trips, 1])


def _parallel(outer: list[Loop], vector_outer: Var | None, lanes: int) -> Var | None:
    """The outermost loop with iterations enough to share evenly, else the one with most."""
    counts = [
        (loop.var, -(-loop.extent // lanes) if loop.var == vector_outer else loop.extent)
        for loop in outer
    ]
    for var, count in counts:
        if count >= EVEN_SHARES:
            return var
    return max(counts, key=lambda c: c[1])[0] if counts else None
