"""A contraction of the loop program: its operands handed to the packed kernels, its statements run
on each finished vector of sums."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .....compiler.loops import (
    Affine,
    Contract,
    Load,
    Local,
    Loop,
    OperandAccess,
    Rows,
    Store,
    Valid,
    Var,
    walk,
)
from .....core.dtypes import DType
from .....core.host.memory import CACHE_LINE, whole_lines
from ....llvm.builder import Function, Value
from ....llvm.index import plus, scaled
from ....llvm.primitives import row_number
from ....llvm.types import SCALAR_OF_DTYPE, SIZE_OF_SCALAR
from ...machine.target import Target
from ...schedule.contraction import Bounds, Contraction, Digit, Operand, Windowed
from ..expression import Emitter
from . import summed_lanes
from . import windowed as windows
from .tiled import Kept, emit_contraction, is_shared, kept_panels, scratch_bytes
from .windowed import merged

TABLE_ENTRY = 8  # bytes of an address
SERIAL_FLOPS = 40_000  # below this, waking the other threads costs more than it gains


def takes_queue(body: Contract, target: Target) -> bool:
    """Whether the threads take work from each other, and so need a queue."""
    return not _is_windowed(body) and is_shared(_contraction(body), target)


def kept_bytes(body: Contract, target: Target, fixed: frozenset[int]) -> int:
    """Bytes of packed panels that stay for all turns of a loop around the contraction."""
    if body.b.buffer not in fixed or body.b.rows is not None or _is_windowed(body):
        return 0
    return kept_panels(_contraction(body), target)


def _contraction(body: Contract) -> Contraction:
    batch_vars = [loop.var for loop in body.batch]
    return Contraction(
        body.m.extent,
        body.n.extent,
        min(body.k.extent, body.terms),
        _operand(body.a, batch_vars, body.m.var, body.k.var),
        _operand(body.b, batch_vars, body.k.var, body.n.var),
        body.dtype.name,
        tuple(loop.extent for loop in body.batch),
    )


def _is_windowed(body: Contract) -> bool:
    """Whether the sum runs over a nest of loops, or matrices of a batch share b."""
    shared = bool(body.batch) and body.b.rows is None
    shared = shared and not any(body.b.address.coefficient(loop.var) for loop in body.batch)
    return body.terms > 0 and (bool(body.outer_k) or shared)


def _windowed(body: Contract) -> Windowed:
    def bounds(v: Valid) -> Bounds:
        of_batch = tuple(v.place.coefficient(loop.var) for loop in body.batch)
        return Bounds(v.low, v.high, v.place.constant, v.place.coefficient(v.var), of_batch)

    valid = {v.var: bounds(v) for v in body.valid}

    def digit(loop: Loop) -> Digit:
        a, b = (x.address.coefficient(loop.var) for x in (body.a, body.b))
        return Digit(loop.extent, a, b, valid.get(loop.var))

    return Windowed(
        tuple(map(digit, body.batch)),
        digit(body.m),
        digit(body.n),
        merged([*map(digit, body.outer_k), digit(body.k)]),
        body.a.address.constant,
        body.b.address.constant,
        body.dtype.name,
    )


def emit_contract(
    f: Function,
    body: Contract,
    target: Target,
    pointers: Mapping[int, Value],
    scratch: Value,
    tid: Value,
    nt: Value,
    queue: Value | None,
    kept: Kept | None = None,
) -> tuple[int, bool, str]:
    """Emit the contraction; returns scratch bytes, whether one thread runs it, and the schedule in
    words."""
    c = _contraction(body)
    windowed = windows.prepared(_windowed(body), target) if _is_windowed(body) else None
    e = Emitter(f, pointers)
    along = windowed is not None and summed_lanes.suits(windowed, target)
    if windowed is None:
        need = scratch_bytes(c, target)
    else:
        need = (summed_lanes if along else windows).scratch_bytes(windowed, target)
    operands: list[Value] = []
    for access in (body.a, body.b):
        if access.rows is None:
            operands.append(pointers[access.buffer])
        else:
            operands.append(f.gep(scratch, need, "i8"))
            need += _table(f, e, access, access.rows, body, operands[-1])
    a, b = operands
    behind = _Behind(e, body)
    epilogue, announce = behind.epilogue, behind.announce
    if windowed is None:
        emit_contraction(f, c, target, a, b, scratch, tid, nt, epilogue, announce, queue, kept)
    elif along:
        summed_lanes.emit(f, windowed, target, a, b, scratch, tid, nt, epilogue)
    else:
        windows.emit_windowed(f, windowed, target, a, b, scratch, tid, nt, epilogue, announce)
    elements = math.prod((c.m, c.n, *c.batch))
    serial = 2.0 * elements * body.terms + 10 * elements < SERIAL_FLOPS
    return need, serial, "one thread" if serial else "shared"


class _Behind:
    """What follows a contraction, element by element, and the cache lines that it touches."""

    def __init__(self, e: Emitter, body: Contract) -> None:
        self.e, self.body, self.batch = e, body, [loop.var for loop in body.batch]
        terms = [loop.var for loop in (*body.outer_k, body.k)]
        e.hoist(body.statements, frozenset({-1, body.m.var, body.n.var, *terms, *self.batch}))
        statements = body.statements
        self.sums = {id(x): x for s in statements for x in walk(s.value) if isinstance(x, Local)}
        self.touched = _matrices(body)

    def _go_to(self, f: Function, batch: Sequence[Value], m: Value, n: Value) -> None:
        e, body = self.e, self.body
        e.f = f
        for var, value in zip([*self.batch, body.m.var, body.n.var], [*batch, m, n], strict=True):
            e.variables[var] = value

    def epilogue(
        self, f: Function, batch: Sequence[Value], m: Value, n: Value, acc: Value, count: int
    ) -> None:
        """The statements for ``count`` columns from n on, whose sums are ``acc``."""
        e = self.e
        self._go_to(f, batch, m, n)
        e.vector, e.lanes, e.count = self.body.n.var, acc.lanes, count
        e.scopes.append(dict.fromkeys(self.sums, acc))
        e.stores(self.body.statements)
        e.scopes.pop()

    def announce(
        self, f: Function, batch: Sequence[Value], m: Value, n: Value, count: int
    ) -> list[tuple[Value, bool]]:
        """An address in each line that the epilogue touches there, and whether it is written."""
        e = self.e
        self._go_to(f, batch, m, n)
        lines = []
        for (buffer, address), (scalar, written) in self.touched.items():
            start = f.gep(e.pointers[buffer], e.address(address), scalar)
            for column in range(0, count, CACHE_LINE // SIZE_OF_SCALAR[scalar]):
                lines.append((f.gep(start, column, scalar), written))
        return lines


def _table(
    f: Function, e: Emitter, access: OperandAccess, rows: Rows, body: Contract, table: Value
) -> int:
    """Write the addresses of an operand's rows to ``table``; its bytes."""
    scalar, pointer = SCALAR_OF_DTYPE[body.dtype.name], e.pointers[access.buffer]
    count = next(loop.extent for loop in (body.m, body.k) if loop.var == rows.var)
    e.scopes.append({})
    with f.for_range(0, count, hint="row") as i:
        e.variables[rows.var] = i
        number = row_number(f, e.emit(rows.number), rows.number.dtype, rows.extent)
        first = plus(f, scaled(f, number, rows.size), access.address.constant)
        f.store(f.gep(pointer, first, scalar), f.gep(table, i, "ptr"))
    e.scopes.pop()
    return whole_lines(count * TABLE_ENTRY)


def _matrices(body: Contract) -> dict[tuple[int, Affine], tuple[str, bool]]:
    """The rows of matrices that the statements read or write along n: their elements' type, and
    whether they are written. Writing a line that another core holds takes as long as hundreds of
    multiplications, unless it is asked for before them."""
    found: dict[tuple[int, Affine], tuple[str, bool]] = {}

    def note(buffer: int, address: Affine, dtype: DType, written: bool) -> None:
        if address.coefficient(body.n.var) == 1 and address.coefficient(body.m.var):
            before = (buffer, address) in found and found[buffer, address][1]
            found[buffer, address] = (SCALAR_OF_DTYPE[dtype.name], written or before)

    for s in body.statements:
        for x in walk(s.value):
            if isinstance(x, Load):
                note(x.buffer, x.address, x.dtype, False)
        if isinstance(s, Store):
            note(s.buffer, s.address, s.value.dtype, True)
    return found


def _operand(access: OperandAccess, batch: Sequence[Var], row: Var, col: Var) -> Operand:
    address, rows = access.address, access.rows
    if rows is not None and rows.var == row:
        return Operand(rows.size, address.coefficient(col), table="rows")
    if rows is not None:
        return Operand(address.coefficient(row), rows.size, table="columns")
    return Operand(
        address.coefficient(row),
        address.coefficient(col),
        tuple(address.coefficient(v) for v in batch),
        address.constant,
    )
