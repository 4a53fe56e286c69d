"""Register programs: a training step so small that all of it fits in registers.

The whole loop over the steps is one function, unrolled; between steps nothing is in memory but what
spills. There are two forms:

    tiny    one step's tensors packed into vectors
    lanes   R replicas of one computation (a vmap): one number of each of `lanes` replicas a vector.
            The loops are interchanged: a chunk of replicas does all its steps before the next chunk
            begins, and threads share the chunks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .....core.node import Node, reachable
from .....core.signature import Signature
from ....llvm import primitives as ops
from ....llvm.builder import Module, Value, const, i64, vector
from ....llvm.types import SCALAR_OF_DTYPE
from ...machine.target import Target
from ..shares import part
from .cells import Cell, Cells, Lanes, Packed, Unsuited, array_of, chunks
from .primitives import Unroller
from .records import Record, records
from .values import ELEMENTS, LOADED, Held, in_memory

# More than that compile for long, and calls of kernels cost little beside so much work.
LINES = 4000  # of IR in a step
NODES = 2000  # of the graph
SCRATCH_BYTES = 8  # for a number of what replicas have in common
FEW = 4  # replicas: fewer are a tiny program, if they fit (and 2 may be the words of a random key)


class RegisterKernel(NamedTuple):
    """A program as one function ``@KERNEL(ptr…, ptr scratch, i64 tid, i64 nt, i64 steps)``.

    The pointers are those of the inputs, the state and the outputs. ``steps`` is at least 1.
    ``serial``: one thread runs it alone, as tid 0 of 1. ``shared``: replicas have state in common,
    which is left in the scratch; with 0 steps the last thread writes it from there. Compile it with
    ``opt``.
    """

    text: str
    scratch_bytes: int
    serial: bool
    note: str
    opt: int = 2
    shared: bool = False


def register_program(graph: Signature, target: Target) -> RegisterKernel | None:
    """The program of a simplified graph; None if it is too large, or replicas meet in it."""
    program = _Program(graph, target)
    nodes = reachable(program.roots)
    if len(nodes) > NODES or any(n.size == 0 or n.primitive.kind == "control" for n in nodes):
        return None
    for r in [*program.replicas(), 1]:
        found = program.attempt(r)
        if found is not None:
            return found
    return None


class _Program:
    def __init__(self, graph: Signature, target: Target) -> None:
        self.graph, self.target = graph, target
        self.inputs, self.state, self.outputs = graph.inputs, graph.state, graph.outputs
        self.changed, self.roots = graph.changed, graph.roots
        changed = {graph.state[i] for i in graph.changed}
        self.fixed = [*graph.inputs, *(s for s in graph.state if s not in changed)]
        floats = {n.dtype.itemsize for n in reachable(self.roots) if n.dtype.kind == "f"}
        self.width = target.lanes("float64" if floats == {8} else "float32")

    def replicas(self) -> list[int]:
        """How many replicas there may be: what at least half of the changing state has as its
        leading axis."""
        sizes = Counter(self.state[i].shape[0] for i in self.changed if self.state[i].ndim)
        return [n for n, count in sizes.most_common() if n >= FEW and 2 * count >= sizes.total()]

    def attempt(self, replicas: int) -> RegisterKernel | None:
        try:
            if replicas == 1:
                return _Tiny(self).kernel()
            try:  # fixed inputs of R rows: each replica's own, or shared by all
                return _Replicated(self, replicas, self.fixed).kernel()
            except Unsuited:
                return _Replicated(self, replicas, ()).kernel()
        except Unsuited:
            return None


class _Frame:
    """What both forms have in common: the function, its pointers, the loop over steps."""

    def __init__(self, program: _Program) -> None:
        self.program = program
        self.module = Module("registers", has_fma=program.target.has_fma)
        nodes = [*program.inputs, *program.state, *program.outputs]
        pointers = [("ptr", f"p{i}") for i in range(len(nodes))]
        self.f = self.module.function(
            "KERNEL",
            [*pointers, ("ptr", "scratch"), ("i64", "tid"), ("i64", "nt"), ("i64", "steps")],
        )
        args = [self.f.args[name] for _, name in pointers]
        self.pointer_of = dict(zip([*program.inputs, *program.state], args, strict=False))
        self.output_pointers = args[len(program.inputs) + len(program.state) :]

    def memory(self, node: Node) -> str:
        return SCALAR_OF_DTYPE[node.dtype.name]

    def steps(self, body: Callable[[], None]) -> None:
        """``body`` as often as there are steps; its last values can be used after the loop."""
        f = self.f
        counter = f.alloca("i64")
        f.store(i64(0), counter)
        again, done = f.new_label("step"), f.new_label("last")
        f.branch(again)
        f.start_block(again)
        body()
        count = f.add(f.load("i64", counter), i64(1))
        f.store(count, counter)
        f.branch_if(f.compare("slt", count, f.args["steps"]), again, done)
        f.start_block(done)

    def limit(self) -> int:
        return self.f.length + LINES


class _Tiny(_Frame):
    """One step, packed."""

    def kernel(self) -> RegisterKernel:
        program, f = self.program, self.f
        known: dict[Node, Held] = {}
        for node in program.fixed:
            known[node] = self._load(node) if node.size <= LOADED else self._in_memory(node)
        written = records(program.graph)
        pairs = [(program.state[i], program.graph.updates[i]) for i in program.changed]
        changed = {node: new for node, new in pairs if node not in written}
        roots = [*program.outputs, *changed.values()]
        places: dict[Node, list[Value]] = {}
        for node in changed:
            if node.size > LINES:
                raise Unsuited
            places[node] = []
            for value in self._load_chunks(node):
                places[node].append(f.alloca(value.type))
                f.store(value, places[node][-1])
        arithmetic = Packed(f, self.limit(), program.width)
        final: list[tuple[Node, Value, list[Value]]] = []

        def body() -> None:
            for node, at in places.items():
                values = [f.load(t, p) for t, p in zip(self._types(node), at, strict=True)]
                known[node] = Held(_cells(values, node, program.width))
            unroller = Unroller(arithmetic, known, 1)
            results = [unroller.loaded(r) for r in unroller.evaluate(roots)]
            for node, record in written.items():
                self._write(node, record, unroller, arithmetic)
            pointers = [*self.output_pointers, *(self.pointer_of[node] for node in changed)]
            for root, held, pointer in zip(roots, results, pointers, strict=True):
                cells = held.cells.reshape(-1)
                packed = [
                    arithmetic.pack(list(cells[s : s + n]), lanes)
                    for s, n, lanes in chunks(root.size, program.width)
                ]
                final.append((root, pointer, packed))
            for node, (_, _, packed) in zip(changed, final[len(program.outputs) :], strict=True):
                for place, value in zip(places[node], packed, strict=True):
                    f.store(value, place)

        self.steps(body)
        for root, pointer, packed in final:
            memory = self.memory(root)
            for (start, count, _), value in zip(
                chunks(root.size, program.width), packed, strict=True
            ):
                f.store_first(ops.to_memory(f, value), f.gep(pointer, start, memory), count)
        f.ret()
        return RegisterKernel(
            str(self.module), 0, True, f"register program, {program.width} lanes packed"
        )

    def _write(self, node: Node, record: Record, unroller: Unroller, arithmetic: Packed) -> None:
        """One element of a state in memory."""
        f, memory = self.f, self.memory(node)
        held = [unroller.loaded(h) for h in unroller.evaluate([record.index, record.value])]
        index, value = (arithmetic.pack([h.cells.reshape(-1)[0]], 1) for h in held)
        at = ops.row_number(f, index, record.index.dtype, node.size)
        f.store(ops.to_memory(f, value), f.gep(self.pointer_of[node], at, memory))

    def _in_memory(self, node: Node) -> Held:
        if node.size > ELEMENTS:
            raise Unsuited
        return in_memory(self.pointer_of[node], node.shape, node.dtype)

    def _types(self, node: Node) -> list[str]:
        return [
            ops.register_type(node.dtype, lanes)
            for _, _, lanes in chunks(node.size, self.program.width)
        ]

    def _load_chunks(self, node: Node) -> list[Value]:
        f, memory = self.f, self.memory(node)
        pointer = self.pointer_of[node]
        loaded = [
            f.load_first(vector(memory, lanes), f.gep(pointer, start, memory), count)
            for start, count, lanes in chunks(node.size, self.program.width)
        ]
        return [ops.from_memory(f, value, node.dtype) for value in loaded]

    def _load(self, node: Node) -> Held:
        return Held(_cells(self._load_chunks(node), node, self.program.width))


def _cells(values: Sequence[Value], node: Node, width: int) -> Cells:
    """The cells of a tensor that lies in chunks."""
    found = [
        Cell(value, k if lanes > 1 else -1)
        for value, (_, count, lanes) in zip(values, chunks(node.size, width), strict=True)
        for k in range(count)
    ]
    return array_of(found, node.shape)


class _Replicated(_Frame):
    """R replicas: one number of each in a vector."""

    def __init__(self, program: _Program, replicas: int, own: Sequence[Node]) -> None:
        super().__init__(program)
        self.replicas = replicas
        self.lanes = min(program.width, 1 << (replicas - 1).bit_length())
        self.own = {n for n in own if n.ndim and n.shape[0] == replicas}
        self.written = records(program.graph, replicas)
        changed = [program.state[i] for i in program.changed]
        changed = [n for n in changed if n not in self.written]
        self.own_state = [n for n in changed if n.ndim and n.shape[0] == replicas]
        self.common_state = [n for n in changed if n not in self.own_state]
        self.updates = [
            (s, u)
            for s, u in zip(program.state, program.graph.updates, strict=True)
            if s in changed
        ]
        self.first = self.active = i64(0)  # of the chunk: its first replica, and how many it has

    def kernel(self) -> RegisterKernel:
        f, program, lanes = self.f, self.program, self.lanes
        common = {n: self._load_common(n) for n in program.fixed if n not in self.own}
        begin = {
            n: [c.value for c in self._load_common(n).cells.reshape(-1)] for n in self.common_state
        }
        ends = {n: [f.alloca(v.type) for v in values] for n, values in begin.items()}
        places = [(n, k, p) for n, at in ends.items() for k, p in enumerate(at)]
        more = f.compare("ne", f.args["steps"], i64(0))
        with f.if_then(f.compare("eq", f.args["steps"], i64(0))):
            for i, (node, k, _) in enumerate(places):
                memory = self.memory(node)
                value = f.load(memory, f.gep(f.args["scratch"], SCRATCH_BYTES * i, "i8"))
                f.store(value, f.gep(self.pointer_of[node], k, memory))
        tid, nt = f.args["tid"], f.args["nt"]
        total = -(-self.replicas // lanes)
        low, high = part(f, total, tid, nt)
        high = f.select(more, high, low)
        self.staging = f.alloca("i8", 8 * lanes * self._largest(), align=64)
        with f.for_range(low, high, hint="chunk") as chunk:
            self.first = f.mul(chunk, i64(lanes))
            rest = f.sub(i64(self.replicas), self.first)
            self.active = f.select(f.compare("slt", rest, i64(lanes)), rest, i64(lanes))
            self._chunk(chunk, dict(common), begin, ends)
        with f.if_then(f.compare("slt", low, high)):
            for i, (node, _, place) in enumerate(places):
                value = ops.to_memory(f, f.load(ops.register_type(node.dtype), place))
                f.store(value, f.gep(f.args["scratch"], SCRATCH_BYTES * i, "i8"))
        f.ret()
        note = f"register program, {self.replicas} replicas, {lanes} in a vector"
        scratch = SCRATCH_BYTES * len(places)
        return RegisterKernel(str(self.module), scratch, False, note, shared=bool(places))

    def _largest(self) -> int:
        sizes = [n.size for n in [*self.own, *self.own_state, *self.program.outputs]]
        sizes += [record.value.size for record in self.written.values()]
        size = max(sizes, default=0) // self.replicas + 1
        if size > LINES:
            raise Unsuited
        return size

    def _chunk(
        self,
        chunk: Value,
        known: dict[Node, Held],
        begin: dict[Node, list[Value]],
        ends: dict[Node, list[Value]],
    ) -> None:
        """All steps of one chunk of replicas."""
        f, program = self.f, self.program
        places: dict[Node, list[Value]] = {}
        for node in [*self.own, *self.own_state]:
            values = self._gather(node)
            if node in self.own:
                known[node] = Held(array_of([Cell(v) for v in values], (1, *node.shape[1:])), 0)
            else:
                places[node] = [f.alloca(v.type) for v in values]
                for v, p in zip(values, places[node], strict=True):
                    f.store(v, p)
        for node, values in begin.items():
            places[node] = ends[node]
            for v, p in zip(values, places[node], strict=True):
                f.store(v, p)
        arithmetic = Lanes(f, self.limit())
        results: list[Held] = []

        def body() -> None:
            for node, at in places.items():
                shared = node in self.common_state
                type_ = ops.register_type(node.dtype, 1 if shared else self.lanes)
                old = [Cell(f.load(type_, p)) for p in at]
                shape = node.shape if shared else (1, *node.shape[1:])
                known[node] = Held(array_of(old, shape), None if shared else 0)
            unroller = Unroller(arithmetic, known, self.replicas)
            roots = [*program.outputs, *(u for _, u in self.updates)]
            results.extend(unroller.loaded(r) for r in unroller.evaluate(roots))
            for node, record in self.written.items():
                self._write(node, record, unroller, arithmetic)
            new = results[len(program.outputs) :]
            for (node, _), held in zip(self.updates, new, strict=True):
                shared = node in self.common_state
                if shared and held.axis is not None:
                    raise Unsuited
                cells = held.cells if shared else unroller.narrow(held, 0, 1)
                for cell, place in zip(cells.reshape(-1), places[node], strict=True):
                    f.store(
                        cell.value if shared else arithmetic.spread(cell.value, self.lanes), place
                    )

        self.steps(body)
        for node in self.own_state:
            last = [
                Cell(f.load(ops.register_type(node.dtype, self.lanes), p)) for p in places[node]
            ]
            held = Held(array_of(last, (1, *node.shape[1:])), 0)
            self._scatter(node, held, self.pointer_of[node], arithmetic)
        shared_outputs = []
        for node, held, pointer in zip(
            program.outputs, results, self.output_pointers, strict=False
        ):
            if held.axis is None:
                shared_outputs.append((node, held, pointer))
            else:
                self._scatter(node, held, pointer, arithmetic)
        if sum(n.size for n, _, _ in shared_outputs) > LINES:
            raise Unsuited
        if shared_outputs:
            with f.if_then(f.compare("eq", chunk, i64(0))):
                for node, held, pointer in shared_outputs:
                    memory = self.memory(node)
                    for k, cell in enumerate(held.cells.reshape(-1)):
                        f.store(ops.to_memory(f, cell.value), f.gep(pointer, k, memory))

    def _write(self, node: Node, record: Record, unroller: Unroller, arithmetic: Lanes) -> None:
        """The chunk's part of one row of a state in memory."""
        f, memory, lanes = self.f, self.memory(node), self.lanes
        index, held = (unroller.loaded(h) for h in unroller.evaluate([record.index, record.value]))
        if index.axis is not None or held.axis != 0:
            raise Unsuited
        cells = list(unroller.narrow(held, 0, 1).reshape(-1))
        values = [ops.to_memory(f, arithmetic.spread(c.value, lanes)) for c in cells]
        row = ops.row_number(f, index.cells.reshape(-1)[0].value, record.index.dtype, node.shape[0])
        begin = f.add(f.mul(row, i64(self.replicas)), self.first)
        at = f.gep(self.pointer_of[node], f.mul(begin, i64(len(cells))), memory)
        whole = f.compare("eq", self.active, i64(lanes))
        if len(cells) == 1:
            with f.if_then(whole):
                f.store(values[0], at, align=node.dtype.itemsize)
            whole = f.compare("ne", self.active, i64(lanes))
        else:
            whole = f.compare("sgt", self.active, i64(0))
        with f.if_then(whole):
            for k, value in enumerate(values):
                f.store(value, f.gep(self.staging, k * lanes, memory), align=8)
            with f.for_range(0, self.active) as lane, f.for_range(0, len(cells)) as cell:
                place = f.gep(at, f.add(f.mul(lane, i64(len(cells))), cell), memory)
                got = f.gep(self.staging, f.add(f.mul(cell, i64(lanes)), lane), memory)
                f.store(f.load(memory, got), place)

    # -- between memory, replica by replica, and vectors of them -----------------------------------
    def _load_common(self, node: Node) -> Held:
        """What all replicas share, as scalars."""
        pointer, memory = self.pointer_of[node], self.memory(node)
        if node.size > ELEMENTS:
            raise Unsuited
        if node.size > LOADED:
            if node in self.common_state:
                raise Unsuited
            return in_memory(pointer, node.shape, node.dtype)
        f = self.f
        values = [f.load(memory, f.gep(pointer, k, memory)) for k in range(node.size)]
        return Held(array_of([Cell(ops.from_memory(f, v, node.dtype)) for v in values], node.shape))

    def _gather(self, node: Node) -> list[Value]:
        """Each element of a replica as a vector over the chunk; lanes without a replica are 0.

        Through a staging area, as a transposition: nothing outside the array is touched.
        """
        f, memory, lanes, size = self.f, self.memory(node), self.lanes, node.size // self.replicas
        type_ = vector(memory, lanes)
        for k in range(size):
            f.store(const(type_, 0), f.gep(self.staging, k * lanes, memory), align=8)
        base = f.gep(self.pointer_of[node], f.mul(self.first, i64(size)), memory)
        with f.for_range(0, self.active) as lane, f.for_range(0, size) as element:
            value = f.load(memory, f.gep(base, f.add(f.mul(lane, i64(size)), element), memory))
            f.store(value, f.gep(self.staging, f.add(f.mul(element, i64(lanes)), lane), memory))
        loaded = [
            f.load(type_, f.gep(self.staging, k * lanes, memory), align=8) for k in range(size)
        ]
        return [ops.from_memory(f, v, node.dtype) for v in loaded]

    def _scatter(self, node: Node, held: Held, pointer: Value, arithmetic: Lanes) -> None:
        f, memory, lanes = self.f, self.memory(node), self.lanes
        axis, local = held.axis, held.cells.shape
        assert axis is not None
        cells = held.cells.reshape(-1)
        for k, cell in enumerate(cells):
            value = ops.to_memory(f, arithmetic.spread(cell.value, lanes))
            f.store(value, f.gep(self.staging, k * lanes, memory), align=8)
        step = int(np.prod(local[axis:]))  # from a replica to the next
        full = node.shape[axis] * int(np.prod(local[axis + 1 :]))
        base = f.gep(pointer, f.mul(self.first, i64(step)), memory)
        with f.for_range(0, self.active) as lane:
            own = f.mul(lane, i64(step))
            for outer in range(int(np.prod(local[:axis]))):
                with f.for_range(0, step) as element:
                    at = f.add(f.mul(f.add(element, i64(outer * step)), i64(lanes)), lane)
                    value = f.load(memory, f.gep(self.staging, at, memory))
                    place = f.add(f.add(own, element), i64(outer * full))
                    f.store(value, f.gep(base, place, memory))
