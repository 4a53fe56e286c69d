"""One kernel of a plan as an LLVM function `void @k(ptr p0, …, ptr scratch, i64 tid, i64 nt)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....compiler.loops import Buffer, Contract, Kernel, Nest, Repeat, Scatter
from ....errors import InternalError
from ...llvm.builder import Function, Module, Value, i64, vector
from ...llvm.primitives import row_number
from ...llvm.types import SCALAR_OF_DTYPE
from ..machine.target import Target
from ..schedule.nest import SERIAL_CYCLES, plan_nest
from ..threads.step_loop_ir import ITERATION
from .contraction.kernel import emit_contract, kept_bytes, takes_queue
from .contraction.tiled import Kept
from .expression import Emitter
from .nest import emit_nest, scratch_bytes
from .shares import part


class EmittedKernel(NamedTuple):
    """A kernel's text and how to call it. The function is called ``@KERNEL``."""

    text: str
    buffers: tuple[int, ...]  # the buffers behind its pointer arguments
    has_queue: bool  # whether a queue of its own is the last pointer argument
    scratch_bytes: int
    serial: bool
    cycles: float  # estimated work on one thread
    note: str  # the schedule in words
    kept_bytes: int = 0  # below the scratch, which nobody else writes


def emit_kernel(
    kernel: Kernel,
    buffers: Sequence[Buffer],
    target: Target,
    fixed: frozenset[int] = frozenset(),
    kept_before: int = 0,
) -> EmittedKernel:
    """The kernel's module text for ``target``.

    ``fixed``: buffers that are the same at every turn of the kernel's loop; what is made of them is
    made at the first turn, and kept below the ``kept_before`` bytes under the scratch.
    """
    used = tuple(sorted(kernel.reads | kernel.writes))
    module = Module("kernel", has_fma=target.has_fma)
    args = [("ptr noalias", f"p{i}") for i in range(len(used))]
    body = kernel.body
    kept = kept_bytes(body, target, fixed) if isinstance(body, Contract) else 0
    has_queue = isinstance(body, Contract) and not kept and takes_queue(body, target)
    if has_queue:
        args.append(("ptr", "queue"))
    args += [("ptr", "scratch"), ("i64", "tid"), ("i64", "nt")]
    f = module.function("KERNEL", [*args, ("i64", ITERATION)] if kept else args)
    pointers = {b: f.args[f"p{i}"] for i, b in enumerate(used)}
    tid, nt, scratch = f.args["tid"], f.args["nt"], f.args["scratch"]
    if isinstance(body, Nest):
        schedule = plan_nest(body, target)
        emit_nest(f, body, schedule, pointers, scratch, tid, nt)
        need, serial = scratch_bytes(body, schedule), schedule.serial
        cycles = schedule.cycles
        note = f"lanes {schedule.lanes}, {'one thread' if serial else 'shared'}"
    elif isinstance(body, Contract):
        need, serial, note = emit_contract(
            f,
            body,
            target,
            pointers,
            scratch,
            tid,
            nt,
            f.args.get("queue"),
            Kept(f.gep(scratch, -kept_before - kept, "i8"), f.args[ITERATION]) if kept else None,
        )
        cycles = kernel.flops / (2 * target.lanes(body.dtype.name)) * 1.5
    elif isinstance(body, Repeat):
        raise InternalError(f"{kernel.name} is a loop of kernels, not one")
    else:
        need, serial, note = 0, *_scatter(f, body, target, pointers, tid, nt)
        cycles = 3.0 * body.count * body.row
    f.ret()
    return EmittedKernel(str(module), used, has_queue, need, serial, cycles, note, kept)


def _scatter(
    f: Function, body: Scatter, target: Target, pointers: dict[int, Value], tid: Value, nt: Value
) -> tuple[bool, str]:
    """Rows are added or replaced in the order of the indices; threads share the columns."""
    memory, lanes = SCALAR_OF_DTYPE[body.dtype.name], target.lanes(body.dtype.name)
    index_memory = SCALAR_OF_DTYPE[body.index_dtype.name]
    e = Emitter(f, pointers)
    first, last = part(f, body.row, tid, nt)
    out = pointers[body.out]
    with f.for_range(0, body.count) as i:
        e.variables[0] = i
        at = f.gep(pointers[body.index.buffer], e.address(body.index.address), index_memory)
        raw = f.load(index_memory, at)
        start = f.mul(row_number(f, raw, body.index_dtype, body.rows), i64(body.row))
        e.variables[1] = i64(0)
        row = f.gep(pointers[body.updates.buffer], e.address(body.updates.address), memory)
        own = f.gep(out, start, memory)

        def move(r: Value, width: int, row: Value = row, own: Value = own) -> None:
            place, type_ = f.gep(own, r, memory), vector(memory, width)
            update = f.load(type_, f.gep(row, r, memory))
            f.store(f.add(f.load(type_, place), update) if body.adds else update, place)

        whole = f.sub(last, f.srem(f.sub(last, first), i64(lanes)))
        with f.for_range(first, whole, lanes) as r:
            move(r, lanes)
        with f.for_range(whole, last) as r:
            move(r, 1)
    few = body.count * body.row < SERIAL_CYCLES * 4  # about four elements a cycle
    serial = few or body.row < 16  # columns, which the threads share
    return serial, "one thread" if serial else "columns shared"
