"""Compiled = interpreted: a random graph as a program, run in every way that must not matter.

Between guard pages and in the plan's own arena, on one and on two threads, as loops and, where it
is small enough, from registers.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from contextlib import nullcontext
from unittest import mock

import numpy as np
from graphs import Graph, assert_close, random_graph

from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.machine.target import Target, host
from chainrule.backends.cpu.program.build import (
    build_artifact,
    register_artifact,
)
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler import gathered, pipeline
from chainrule.compiler.loops import Buffer
from chainrule.core import graph as g
from chainrule.core.node import Array, Shape
from chainrule.core.signature import Signature

Results = tuple[list[Array], list[Array], list[Array]]
"""Outputs and state after one step, state after a second."""


def check(seed: int, target: Target | None = None) -> None:
    """Raise AssertionError unless the graph of this seed is computed rightly in every way.

    For every other seed, contractions read gathered rows where they lie, however few.
    """
    target = target or host()
    graph = graph_of(seed)
    fewest = mock.patch.multiple(gathered, FEWEST_GATHERED_ROWS=1, FEWEST_GATHERED=1)
    with fewest if seed % 2 else nullcontext():
        _check(graph, seed, target)


def _check(graph: Graph, seed: int, target: Target) -> None:
    signature, inputs, state = signature_of(graph, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        new_state = [s.copy() for s in state]
        outputs = InterpretedProgram(signature).run(inputs, new_state)
    expected = Graph([*graph.outputs, *signature.updates], graph.values, graph.seed)

    def right(found: Results) -> None:
        assert_close(expected, [*found[0], *found[1]], [*outputs, *new_state])

    loops = CompiledProgram(signature, build_artifact(signature, target, registers=False), target)
    buffers = pipeline.compile(signature).buffers
    found = guarded(loops, buffers, inputs, state, 1, at_end=True)
    right(found)
    for other in (
        guarded(loops, buffers, inputs, state, 2, at_end=False),
        run(loops, inputs, state, 1),
        run(loops, inputs, state, 2),
    ):
        for a, b in zip(sum(found, []), sum(other, []), strict=True):
            assert a.tobytes() == b.tobytes(), f"other bits: {graph}"
    artifact = register_artifact(pipeline.rewritten(signature), target)
    if artifact is not None:
        registers = CompiledProgram(signature, artifact, target)
        for at_end in (True, False):
            right(guarded(registers, register_buffers(signature), inputs, state, 1, at_end))


def graph_of(seed: int) -> Graph:
    """Three kinds take turns: with NaN and infinities, ordinary, smooth with its gradients."""
    kind = seed % 3
    graph = random_graph(seed, steps=2 + seed % 13, special=kind == 0, smooth=kind == 2)
    if kind == 2:
        outputs = [o for o in graph.outputs if o.dtype.kind == "f"]
        wrt = [n for n in graph.values if n.dtype.kind == "f"]
        slopes = gradients(outputs, [g.ones_like(o) for o in outputs], wrt)
        graph.outputs += [s for s in slopes if s is not None]
    return graph


def signature_of(
    graph: Graph, rng: np.random.Generator
) -> tuple[Signature, list[Array], list[Array]]:
    """Some inputs become state, updated by outputs of the same shape and dtype."""
    inputs, state, updates = [], [], []
    for node in graph.values:
        fits = [
            o
            for o in graph.outputs
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


def run(
    program: CompiledProgram, inputs: Sequence[Array], state: Sequence[Array], threads: int
) -> Results:
    """In ordinary memory, whatever number of threads the program itself would choose."""
    mine = [s.copy() for s in state]
    outputs, held = program._point(inputs, mine)
    results = _steps(program, threads, outputs, mine)
    del held
    return results


def _steps(
    program: CompiledProgram, threads: int, outputs: Sequence[Array], state: Sequence[Array]
) -> Results:
    def step() -> None:
        if program.artifact.calls:
            program.loop.run(1, threads)

    step()
    first = [a.copy() for a in outputs], [s.copy() for s in state]
    step()
    return *first, [s.copy() for s in state]


class Guarded:
    """An array that ends (or begins) at a page nobody may touch."""

    def __init__(self, shape: Shape, dtype: np.dtype, at_end: bool) -> None:
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


_libc = ctypes.CDLL(None, use_errno=True)


def register_buffers(signature: Signature) -> list[Buffer]:
    """What a register program is given pointers to."""
    kinds = (("input", signature.inputs), ("state", signature.state))
    return [
        Buffer(kind, n.shape, n.dtype, i)
        for kind, nodes in (*kinds, ("output", signature.outputs))
        for i, n in enumerate(nodes)
    ]


def guarded(
    program: CompiledProgram,
    buffers: Sequence[Buffer],
    inputs: Sequence[Array],
    state: Sequence[Array],
    threads: int,
    at_end: bool,
) -> Results:
    """With every buffer, temporaries too, between guard pages: an access outside is a fault."""
    table = np.zeros(len(buffers), np.uint64)
    places = [Guarded(b.shape if b.kind != "part" else (0,), b.dtype, at_end) for b in buffers]
    given = {"input": inputs, "state": state}
    held: dict[str, dict[int, Array]] = {"output": {}, "state": {}}
    for i, (buffer, place) in enumerate(zip(buffers, places, strict=True)):
        table[i] = place.address
        if buffer.kind == "part":  # of a buffer before it
            table[i] = int(table[buffer.parent]) + buffer.offset
        if buffer.kind in given:
            place.array[...] = given[buffer.kind][buffer.number]
        elif buffer.kind == "constant":
            place.array[...] = buffer.value
        if buffer.kind in held:
            held[buffer.kind][buffer.number] = place.array
    program.loop.set_pointers(table)
    shapes = [o.shape for o in program.signature.outputs]
    outputs = [held["output"][i].reshape(shape) for i, shape in enumerate(shapes)]
    return _steps(program, threads, outputs, [held["state"][i] for i in range(len(state))])


def run_guarded(
    signature: Signature,
    inputs: Sequence[Array],
    state: Sequence[Array],
    at_end: bool,
    threads: int = 2,
) -> tuple[list[Array], list[Array]]:
    """Outputs and state after one step of the loop program."""
    program = CompiledProgram(signature, build_artifact(signature, host(), registers=False))
    buffers = pipeline.compile(signature).buffers
    return guarded(program, buffers, inputs, state, threads, at_end)[:2]
