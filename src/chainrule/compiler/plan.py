"""From a graph to a plan: kernels in order, where barriers go, and where every value lies.

State is updated in place where that is safe: every reader of the old value runs before, and inside
the kernel the old value is read only at the element that is written. Otherwise the new value goes
to a buffer of its own and is copied at the end of the step. Temporary buffers share one arena,
planned from their lifetimes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core.dtypes import DType
from ..core.node import Array, Node, Shape, reachable
from .fuse import Fuser, Group, in_order
from .legalize import legalize
from .loops import Accumulate, Contract, Kernel, Nest, Store, walk
from .lower import copy_kernel, lower
from .repeat import lower_loop
from .simplify import simplify
from .views import base_of, is_computed

ALIGN = 64


@dataclass
class Buffer:
    """A place in memory. ``kind``: input, state, output, constant, temporary, or part: of another
    buffer, ``steps`` bytes further in each iteration of the loops around it, outermost first."""

    kind: str
    shape: Shape
    dtype: DType
    number: int = -1  # which input, state or output
    value: Array | None = None  # constants
    offset: int = -1  # bytes: of a temporary into the arena, of a part into its parent
    node: Node | None = None
    parent: int = -1  # of a part: the number of the buffer
    steps: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class Plan:
    """Everything a backend needs to make a program."""

    buffers: list[Buffer] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    levels: list[int] = field(
        default_factory=list
    )  # of the kernels, ascending; a barrier between levels
    arena_bytes: int = 0
    roots: list[Node] = field(
        default_factory=list
    )  # the graph that was planned, for tiny programs and for show


def prepare(
    inputs: Sequence[Node], state: Sequence[Node], updates: Sequence[Node], outputs: Sequence[Node]
) -> list[Node]:
    """Simplified and legal roots: the outputs, then the updates that change something."""
    changed = [u for s, u in zip(state, updates, strict=True) if u is not s]
    return simplify([*outputs, *changed])


def make_plan(
    inputs: Sequence[Node],
    state: Sequence[Node],
    updates: Sequence[Node],
    outputs: Sequence[Node],
    prepared: Sequence[Node] | None = None,
) -> Plan:
    """The plan of a program with these inputs, state, updates and outputs; ``prepared`` is what
    `prepare` made of them, where that is known."""
    return Planner(inputs, state, updates, outputs, prepared).plan


class Planner:
    def __init__(
        self,
        inputs: Sequence[Node],
        state: Sequence[Node],
        updates: Sequence[Node],
        outputs: Sequence[Node],
        prepared: Sequence[Node] | None = None,
    ) -> None:
        self.plan = Plan()
        self.numbers: dict[Node, int] = {}  # nodes that lie in memory
        for i, node in enumerate(inputs):
            self._buffer(node, "input", i)
        for i, node in enumerate(state):
            self._buffer(node, "state", i)
        changed = [i for i, (s, u) in enumerate(zip(state, updates, strict=True)) if u is not s]
        if prepared is None:
            prepared = prepare(inputs, state, updates, outputs)
        roots = legalize(prepared)
        self.plan.roots = roots
        order = reachable([r if is_computed(r) else base_of(r)[0] for r in roots])
        for node in order:
            if node.op == "constant" and node.size != 1:
                self._buffer(node, "constant", value=node.params["value"].array)
        fuser = Fuser(
            order, roots, {r: state[i] for i, r in zip(changed, roots[len(outputs) :], strict=True)}
        )
        self.groups, self.of = fuser.groups, fuser.of
        self.leaves: dict[int, set[Node]] = {}  # of each group: what it reads that no group makes

        stores: dict[Node, list[int]] = {}
        for i, root in enumerate(roots[: len(outputs)]):
            stores.setdefault(root, []).append(
                self._new(Buffer("output", outputs[i].shape, root.dtype, i, node=root))
            )
        state_numbers = {i: self.numbers[state[i]] for i in changed}
        self._materialize(stores)
        copies: list[tuple[Node, int]] = []
        for i, root in zip(changed, roots[len(outputs) :], strict=True):
            if self._may_update(state[i], root, state_numbers[i], stores):
                stores.setdefault(root, []).insert(0, state_numbers[i])
            else:
                copies.append((root, state_numbers[i]))
        for node, _ in copies:
            if node not in stores:
                stores[node] = [self._new(Buffer("temporary", node.shape, node.dtype, node=node))]
        for node, places in list(stores.items()):
            self.numbers[node] = places[0]
        for node in self.pending:
            if node not in stores:
                stores[node] = [self._buffer(node, "temporary")]
        for group in in_order(self.groups):
            if not any(m.size for m in group.members if m in stores):
                continue
            if group.head.primitive.kind == "control":
                self.plan.kernels += lower_loop(group, self.plan, self.numbers, stores, make_plan)
            else:
                self.plan.kernels += lower(group, self.numbers, stores)
        for node, target in copies:
            if node.size:
                self.plan.kernels.append(copy_kernel(node, target, self.numbers, "update_state"))
        self._levels()
        self._arena()

    # -- buffers ----------------------------------------------------------------------------------
    def _new(self, buffer: Buffer) -> int:
        self.plan.buffers.append(buffer)
        return len(self.plan.buffers) - 1

    def _buffer(self, node: Node, kind: str, number: int = -1, value: Array | None = None) -> int:
        self.numbers[node] = self._new(
            Buffer(kind, node.shape, node.dtype, number, value, node=node)
        )
        return self.numbers[node]

    def _materialize(self, stores: dict[Node, list[int]]) -> None:
        """Nodes used outside their own group need a buffer (given later, where they have none)."""
        self.pending: dict[Node, None] = {}
        for group in self.groups:
            below = [x for m in group.members for x in m.inputs]
            while below:
                base, _ = base_of(below.pop())
                if base not in self.of:  # a leaf, or a formula this kernel inlines
                    below += base.inputs
                elif self.of[base] is not group:
                    self.pending.setdefault(base)

    # -- state ------------------------------------------------------------------------------------
    def _may_update(self, old: Node, new: Node, buffer: int, stores: dict[Node, list[int]]) -> bool:
        group = self.of[new]
        if new.shape != old.shape or old.size == 0 or group.head.primitive.own_kernel:
            return False
        readers = [r for r in self.groups if r is not group and self._reads(r, old)]
        if any(r.waits_for >> group.number & 1 for r in readers):
            return False
        if self._reads(group, old) and not self._reads_in_place(group, old, new, buffer, stores):
            return False
        for reader in readers:
            group.waits_for |= 1 << reader.number | reader.waits_for
        for other in self.groups:
            if other.waits_for >> group.number & 1:
                other.waits_for |= group.waits_for
        return True

    def _reads(self, group: Group, node: Node) -> bool:
        """Whether a group's kernel reads a leaf, also through formulas it inlines."""
        if group.number not in self.leaves:
            found = self.leaves[group.number] = set()
            stack = [x for m in group.members for x in m.inputs]
            while stack:
                x = stack.pop()
                if x not in found and x not in self.of:
                    found.add(x)
                    stack.extend(x.inputs)
        return node in self.leaves[group.number]

    def _reads_in_place(
        self, group: Group, old: Node, new: Node, buffer: int, stores: dict[Node, list[int]]
    ) -> bool:
        """Whether the group reads the old value only at the element it writes, and not after."""
        stores_all = {m: [-3 - i] for i, m in enumerate(group.members) if m is not new} | {
            new: [-2]
        }
        (kernel,) = lower(group, _Everything(self.numbers, self.of), stores_all)
        body = kernel.body
        if isinstance(body, Contract):
            if buffer in body.operand_buffers:
                return False
            stages = [body.statements]
        elif isinstance(body, Nest):
            stages = [s.statements for s in body.stages]
        else:
            return False
        written = False
        place = next(
            s.address for st in stages for s in st if isinstance(s, Store) and s.buffer == -2
        )
        for statements in stages:
            for s in statements:
                for e in walk(s.value):
                    if e.kind == "gather" and e.buffer == buffer:
                        return False
                    if e.kind == "load" and e.buffer == buffer and (written or e.address != place):
                        return False
                    if e.kind == "load" and e.buffer == buffer and isinstance(s, Accumulate):
                        return False
            written = written or any(isinstance(s, Store) and s.buffer == -2 for s in statements)
        return True

    # -- order ------------------------------------------------------------------------------------
    def _levels(self) -> None:
        """Each kernel's level: after all that it must wait for. Kernels of one level need no
        barrier."""
        kernels = self.plan.kernels
        levels: list[int] = []
        last_write: dict[int, int] = {}
        last_read: dict[int, int] = {}
        for k in kernels:
            level = 0
            for b in k.reads:
                level = max(level, last_write.get(b, -1) + 1)
            for b in k.writes:
                level = max(level, last_write.get(b, -1) + 1, last_read.get(b, -1) + 1)
            levels.append(level)
            for b in k.reads:
                last_read[b] = max(last_read.get(b, -1), level)
            for b in k.writes:
                last_write[b] = max(last_write.get(b, -1), level)
        order = sorted(range(len(kernels)), key=lambda i: (levels[i], -kernels[i].flops))
        self.plan.kernels = [kernels[i] for i in order]
        self.plan.levels = [levels[i] for i in order]

    def _arena(self) -> None:
        """Offsets of the temporaries: first fit among those alive at the same time."""
        alive: dict[int, tuple[int, int]] = {}
        for kernel, level in zip(self.plan.kernels, self.plan.levels, strict=True):
            for b in kernel.reads | kernel.writes:
                if self.plan.buffers[b].kind == "temporary":
                    first, last = alive.get(b, (level, level))
                    alive[b] = (min(first, level), max(last, level))
        placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
        for b in sorted(alive, key=lambda b: -self.plan.buffers[b].nbytes):
            first, last = alive[b]
            size = -(-max(self.plan.buffers[b].nbytes, 1) // ALIGN) * ALIGN
            offset = 0
            for start, end, f, l_ in sorted(placed):
                if f <= last and first <= l_ and start < offset + size and offset < end:
                    offset = end
            placed.append((offset, offset + size, first, last))
            self.plan.buffers[b].offset = offset
            self.plan.arena_bytes = max(self.plan.arena_bytes, offset + size)


class _Everything(dict[Node, int]):
    """Numbers for every node, also those that have no buffer yet."""

    def __init__(self, known: dict[Node, int], grouped: dict[Node, Group]) -> None:
        super().__init__(known)
        self.grouped = grouped

    def __contains__(self, node: object) -> bool:
        return super().__contains__(node) or (isinstance(node, Node) and node in self.grouped)

    def __missing__(self, node: Node) -> int:
        return -1000 - node.id
