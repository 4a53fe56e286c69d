"""Run a graph compiled, in the ways the property tests compare: threads, state in place, guarded
memory."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import numpy as np
from graphs import Graph

from chainrule.backends.cpu.build import build_artifact, make_plan_of
from chainrule.backends.cpu.program import CompiledProgram
from chainrule.backends.cpu.target import Target, host
from chainrule.core.node import Array
from chainrule.runtime.program import Signature

_libc = ctypes.CDLL(None, use_errno=True)


def signature_of(
    graph: Graph, rng: np.random.Generator
) -> tuple[Signature, list[Array], list[Array]]:
    """Some inputs become state, updated by outputs of the same shape and dtype."""
    inputs, state, updates = [], [], []
    candidates = list(graph.outputs)
    for node in graph.values:
        fits = [
            o
            for o in candidates
            if o.shape == node.shape and o.dtype == node.dtype and o is not node
        ]
        if fits and rng.random() < 0.7:
            state.append(node)
            updates.append(fits[int(rng.integers(len(fits)))])
        elif rng.random() < 0.2:
            state.append(node)  # read only
            updates.append(node)
        else:
            inputs.append(node)
    signature = Signature(tuple(inputs), tuple(state), tuple(updates), tuple(graph.outputs))
    values = graph.values
    return signature, [values[n] for n in inputs], [np.array(values[n], order="C") for n in state]


def run_compiled(
    signature: Signature,
    inputs: Sequence[Array],
    state: Sequence[Array],
    steps: int = 1,
    threads: int = 1,
    target: Target | None = None,
    registers: bool = False,
) -> tuple[list[Array], list[Array]]:
    """Outputs and state after ``steps`` steps on ``threads`` threads, whatever the program's own
    choice."""
    target = target or host()
    program = CompiledProgram(signature, build_artifact(signature, target, registers), target)
    mine = [s.copy() for s in state]
    outputs, held = program._point(inputs, mine)
    if program.artifact.calls:
        program.loop.run(steps, threads)
    del held
    return outputs, mine


class Guarded:
    """An array that ends (or begins) at a page nobody may touch."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, at_end: bool) -> None:
        page = mmap.PAGESIZE
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        pages = -(-max(size, 1) // page) * page
        self.memory = mmap.mmap(-1, pages + 2 * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for guard in (base, base + page + pages):
            assert _libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
        self.address = base + page + (pages - size if at_end else 0)
        buffer = (ctypes.c_char * size).from_address(self.address)
        self.array = np.frombuffer(buffer, dtype).reshape(shape) if size else np.empty(shape, dtype)


def run_guarded(
    signature: Signature,
    inputs: Sequence[Array],
    state: Sequence[Array],
    at_end: bool,
    threads: int = 2,
) -> tuple[list[Array], list[Array]]:
    """As `run_compiled`, with every buffer between guard pages: an access outside is a fault."""
    plan = make_plan_of(signature)
    program = CompiledProgram(signature, build_artifact(signature, host(), registers=False))
    kept, outputs, states = [], {}, {}
    for place, buffer in enumerate(plan.buffers):
        guarded = Guarded(buffer.shape, buffer.dtype, at_end)
        kept.append(guarded)
        if buffer.kind == "input":
            guarded.array[...] = inputs[buffer.number]
        elif buffer.kind == "state":
            guarded.array[...] = state[buffer.number]
            states[buffer.number] = guarded.array
        elif buffer.kind == "constant" and buffer.value is not None:
            guarded.array[...] = buffer.value
        elif buffer.kind == "output":
            outputs[buffer.number] = guarded.array
        program._table[place] = guarded.address
    program.loop.set_pointers(program._table)
    if program.artifact.calls:
        program.loop.run(1, threads)
    out = [outputs[i].reshape(o.shape).copy() for i, o in enumerate(signature.outputs)]
    new_state = [states[i].copy() for i in range(len(state))]
    del kept
    return out, new_state
