"""A contraction of the loop program: its operands handed to the packed kernels, its statements run
on each finished vector of sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...compiler.loops import Contract, OperandAccess, Var, walk
from .blocks import Function, Value
from .gemm import Contraction, Operand, emit_contraction, scratch_bytes
from .nests import Emitter
from .target import Target

SERIAL_FLOPS = 40_000  # below this, waking the other threads costs more than it gains


def emit_contract(
    f: Function,
    body: Contract,
    target: Target,
    pointers: Mapping[int, Value],
    scratch: Value,
    tid: Value,
    nt: Value,
) -> tuple[int, bool, str]:
    """Emit the contraction; returns scratch bytes, whether one thread runs it, and the schedule in
    words."""
    batch_vars = [loop.var for loop in body.batch]
    c = Contraction(
        body.m.extent,
        body.n.extent,
        body.k.extent,
        _operand(body.a, batch_vars, body.m.var, body.k.var),
        _operand(body.b, batch_vars, body.k.var, body.n.var),
        body.dtype.name,
        tuple(loop.extent for loop in body.batch),
    )
    e = Emitter(f, pointers)
    every = frozenset({-1, body.m.var, body.n.var, body.k.var, *batch_vars})
    e.hoist(body.statements, every)
    sums = {id(x): x for s in body.statements for x in walk(s.value) if x.kind == "local"}

    def epilogue(
        f: Function, batch: Sequence[Value], m: Value, n: Value, acc: Value, count: int
    ) -> None:
        e.f = f
        for var, value in zip(batch_vars, batch, strict=True):
            e.variables[var] = value
        e.variables[body.m.var], e.variables[body.n.var] = m, n
        e.vector, e.lanes, e.count = body.n.var, acc.lanes, count
        e.scopes.append(dict.fromkeys(sums, acc))
        e.stores(body.statements)
        e.scopes.pop()

    emit_contraction(
        f, c, target, pointers[body.a.buffer], pointers[body.b.buffer], scratch, tid, nt, epilogue
    )
    elements = c.m * c.n
    for n in c.batch:
        elements *= n
    serial = 2.0 * elements * c.k + 10 * elements < SERIAL_FLOPS
    return scratch_bytes(c, target), serial, "one thread" if serial else "shared"


def _operand(access: OperandAccess, batch: Sequence[Var], row: Var, col: Var) -> Operand:
    address = access.address
    return Operand(
        address.coefficient(row),
        address.coefficient(col),
        tuple(address.coefficient(v) for v in batch),
        address.constant,
    )
