"""Where every value lies: from loops over values to kernels over buffers.

State is updated in place where that is safe: every reader of the old value runs before, and inside
the kernel the old value is read only at the element that is written. Otherwise the new value goes
to a buffer of its own and is copied at the end of the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..core.node import Node
from ..core.signature import Signature
from .fuse import Group, in_order
from .loops import (
    Accumulate,
    Body,
    Buffer,
    BufferKind,
    Contract,
    Expr,
    Gather,
    Kernel,
    Load,
    Nest,
    OperandAccess,
    Repeat,
    Scatter,
    Stage,
    Statement,
    Store,
    kernel_of,
    walk,
)
from .lower import Lowered
from .lowering.own_kernels import copy_nest
from .repeat import placed_loop
from .views import base_of

Places = Mapping[int, Sequence[int]]  # of a value: the buffers it is written to, the first is read


class Placed(NamedTuple):
    """Kernels in an order in which they may run."""

    buffers: list[Buffer]
    kernels: list[Kernel]


def place(graph: Signature, groups: Sequence[Group], lowered: Lowered) -> Placed:
    """Give every value its buffers."""
    values, numbers = lowered.values, lowered.numbers
    buffers = list(_given(graph, values))
    places: dict[int, list[int]] = {i: [i] for i in range(len(buffers))}

    def add(kind: BufferKind, value: int, number: int = -1) -> None:
        node = values[value]
        places.setdefault(value, []).append(len(buffers))
        buffers.append(Buffer(kind, node.shape, node.dtype, number))

    for i, root in enumerate(graph.outputs):
        add("output", numbers[root], i)
    order = _Order(groups, lowered)
    copies: list[tuple[int, int]] = []  # new values, and where they go at the end of the step
    for i in graph.changed:
        new, old = numbers[graph.updates[i]], numbers[graph.state[i]]
        if order.update_in_place(graph.state[i], graph.updates[i], new not in places):
            places.setdefault(new, []).insert(0, old)
        else:
            copies.append((new, old))
    for new, _ in copies:
        if new not in places:
            add("temporary", new)
    for value in range(len(values)):
        if value not in places:
            add("temporary", value)

    kernels: list[Kernel] = []
    for group in order.groups():
        bodies = lowered.bodies.get(group.number, ())
        if group.is_loop:
            kernels += place_loop(values, bodies, places, buffers)
        else:
            kernels += _kernels(group, bodies, numbers, places)
    for new, old in copies:
        if values[new].size:
            copy = moved(copy_nest(values[new], old, numbers), places)
            kernels.append(kernel_of("update_state", copy))
    return Placed(buffers, kernels)


def _given(graph: Signature, values: Sequence[Node]) -> Iterator[Buffer]:
    """Buffers of the inputs, the state and the constants, with which the values begin."""
    for i, node in enumerate(graph.inputs):
        yield Buffer("input", node.shape, node.dtype, i)
    for i, node in enumerate(graph.state):
        yield Buffer("state", node.shape, node.dtype, i)
    for node in values:
        if node.op == "constant":
            yield Buffer("constant", node.shape, node.dtype, value=node.params["value"].array)


# -- updates in place ------------------------------------------------------------------------------
class _Order:
    """Which groups wait for which; an update in place waits for all readers of the old value."""

    def __init__(self, groups: Sequence[Group], lowered: Lowered) -> None:
        self.all, self.lowered = groups, lowered
        self.of = {m: group for group in groups for m in group.members}
        self.waits = {group.number: group.waits_for for group in groups}
        self.leaves: dict[int, set[Node]] = {}  # of each group: what it reads that no group makes

    def groups(self) -> list[Group]:
        return in_order(self.all, self.waits)

    def update_in_place(self, old: Node, new: Node, only: bool) -> bool:
        """Let ``new`` be written over ``old``, if that is safe; ``only``: and nowhere else."""
        group = self.of[new]
        own = group.head.primitive.own_kernel
        if new.shape != old.shape or old.size == 0:
            return False
        if own and not (only and _updates(group.head, old)):
            return False
        readers = [r for r in self.all if r is not group and self._reads(r, old)]
        if any(self.waits[r.number] >> group.number & 1 for r in readers):
            return False
        if self._reads(group, old) and not own:
            numbers = self.lowered.numbers
            (body,) = self.lowered.bodies[group.number]
            if not reads_where_written(body, numbers[old], numbers[new]):
                return False
        for reader in readers:
            self.waits[group.number] |= 1 << reader.number | self.waits[reader.number]
        for number, mask in self.waits.items():
            if mask >> group.number & 1:
                self.waits[number] |= self.waits[group.number]
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


def _updates(node: Node, old: Node) -> bool:
    """Whether a node is ``old`` with some elements changed to what does not come from it."""
    x, *others = node.inputs
    return node.primitive.updates and x is old and all(base_of(o)[0] is not old for o in others)


def reads_where_written(body: Body, old: int, new: int) -> bool:
    """Whether ``old`` is read only at the element of ``new`` that is written, and not after."""
    if isinstance(body, Scatter | Repeat):
        return False
    if isinstance(body, Contract):
        if old in body.operand_buffers:
            return False
        stages = [body.statements]
    else:
        stages = [stage.statements for stage in body.stages]
    stores = [s for statements in stages for s in statements if isinstance(s, Store)]
    written = [s.address for s in stores if s.buffer == new]
    done = False
    for statements in stages:
        for s in statements:
            for e in walk(s.value):
                if not isinstance(e, (Load, Gather)) or e.buffer != old:
                    continue
                if done or isinstance(e, Gather) or isinstance(s, Accumulate):
                    return False
                if any(e.address != address for address in written):
                    return False
        done = done or any(isinstance(s, Store) and s.buffer == new for s in statements)
    return True


# -- kernels ---------------------------------------------------------------------------------------
def _kernels(
    group: Group, bodies: Sequence[Body], numbers: Mapping[Node, int], places: Places
) -> Iterator[Kernel]:
    """A group's kernels. Those of its own kind write one buffer: again for each that there is."""
    head, name = group.head, _name(group)
    if not head.primitive.own_kernel or not bodies:
        yield from (kernel_of(name, moved(body, places)) for body in bodies)
        return
    value, first = numbers[head], numbers.get(head.inputs[0])
    beside = value if head.primitive.by_parts else -1
    for target in places[value]:
        # Where it changes its first input in place, it need not be copied there before.
        here = head.primitive.updates and first is not None and places[first][0] == target
        for body in bodies[1:] if here else bodies:
            kernel = kernel_of(name, moved(body, {**places, value: [target]}))
            yield replace(kernel, beside=beside)


def place_loop(
    values: Sequence[Node], bodies: Sequence[Body], places: Places, buffers: list[Buffer]
) -> Iterator[Kernel]:
    """A loop's kernels: first values, the loop, and its results copied where several places want
    one. Adds the buffers of the loop's own program."""
    first = {value: at[:1] for value, at in places.items()}
    made: list[int] = []  # nothing where all is empty
    for body in bodies:
        if isinstance(body, Repeat):
            yield kernel_of(f"scan_{body.times}", placed_loop(body, first, buffers))
            made += [*body.carries, *body.results]
        else:
            assert isinstance(body, Nest)
            yield kernel_of("first_carry", moved(body, first))
            stored = [s for stage in body.stages for s in stage.statements]
            made += [s.buffer for s in stored if isinstance(s, Store)]
    for value in dict.fromkeys(made):
        for other in places[value][1:] if values[value].size else ():
            numbers = {values[value]: value}
            copy = moved(copy_nest(values[value], -1, numbers), {**first, -1: [other]})
            yield kernel_of("copy", copy)


def _name(group: Group) -> str:
    ops: list[str] = []
    for m in group.members:
        if not ops or ops[-1] != m.op:
            ops.append(m.op)
    return "_".join(ops[:4]) + (f"_{len(ops) - 4}more" if len(ops) > 4 else "")


def moved(body: Body, places: Places) -> Body:
    """A body over values as one over buffers: it reads a value in the first of its buffers and
    writes it to all."""
    done: dict[int, Expr] = {}  # equal expressions stay one

    def expr(e: Expr) -> Expr:
        if id(e) not in done:
            args = tuple(map(expr, e.args))
            if isinstance(e, (Load, Gather)):
                done[id(e)] = replace(e, args=args, buffer=places[e.buffer][0])
            else:
                done[id(e)] = replace(e, args=args)
        return done[id(e)]

    def statements(old: Sequence[Statement]) -> list[Statement]:
        new: list[Statement] = []
        for s in old:
            value = expr(s.value)
            if isinstance(s, Store):
                new += [Store(target, s.address, value) for target in places[s.buffer]]
            else:
                new.append(replace(s, value=value))
        return new

    def operand(x: OperandAccess) -> OperandAccess:
        rows = replace(x.rows, number=expr(x.rows.number)) if x.rows is not None else None
        return OperandAccess(places[x.buffer][0], x.address, rows)

    if isinstance(body, Nest):
        stages = [Stage(s.inner, statements(s.statements)) for s in body.stages]
        return Nest(body.outer, stages, body.scratch)
    assert not isinstance(body, Repeat), "loops have their own way: place_loop"
    a, b = (body.a, body.b) if isinstance(body, Contract) else (body.index, body.updates)
    a, b = operand(a), operand(b)
    if isinstance(body, Contract):
        return replace(body, a=a, b=b, statements=statements(body.statements))
    (out,) = places[body.out]
    return replace(body, out=out, index=a, updates=b)
