"""A loop's kernels: the body is planned like a program, whose step is one iteration.

Carries are the body's state, in a buffer that holds the first value when the loop begins; what is
stacked is read and written where its row lies: a *part* of a buffer outside, which moves on with
every iteration. The body's temporaries are parts of one temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.loop import Body, split
from ..core.node import Node, reachable
from .fuse import Group
from .loops import Kernel, Repeat
from .lower import copy_kernel

if TYPE_CHECKING:
    from .plan import Buffer, Plan

MakePlan = Callable[[Sequence[Node], Sequence[Node], Sequence[Node], Sequence[Node]], "Plan"]


def lower_loop(
    group: Group,
    plan: Plan,
    numbers: Mapping[Node, int],
    stores: Mapping[Node, Sequence[int]],
    make_plan: MakePlan,
) -> list[Kernel]:
    """The kernels of a loop: first values copied, the loop, results copied where several places
    want one. Adds the buffers of the body to the plan."""
    return _LoopLowering(group, plan, numbers, stores).kernels(make_plan)


class _LoopLowering:
    def __init__(
        self,
        group: Group,
        plan: Plan,
        numbers: Mapping[Node, int],
        stores: Mapping[Node, Sequence[int]],
    ) -> None:
        self.plan, self.numbers, self.stores = plan, numbers, stores
        self.members = [m for m in group.members if m in stores]
        self.body: Body = group.head.params["body"]
        self.name = f"scan_{self.body.length}"
        self.first, self.arrays, self.fixed = split(self.body, group.head.inputs)
        self.stacked = {
            m.params["result"]: m for m in self.members if isinstance(m.params["result"], Node)
        }
        self.last = {
            m.params["result"]: m for m in self.members if isinstance(m.params["result"], int)
        }
        self.carries = self._needed()

    def _needed(self) -> list[int]:
        """The carries that the results depend on."""
        needed: set[int] = set(self.last)
        while True:
            roots = [*self.stacked, *(self.body.updates[i] for i in needed)]
            live = set(reachable(roots))
            more = needed | {i for i, p in enumerate(self.body.carries) if p in live}
            if more == needed:
                return sorted(needed)
            needed = more

    def kernels(self, make_plan: MakePlan) -> list[Kernel]:
        body = self.body
        carry = {i: self._carry(i) for i in self.carries}
        kernels = [
            copy_kernel(self.first[i], number, self.numbers, "first_carry")
            for i, number in carry.items()
            if self.first[i].size
        ]
        if body.length:
            inner = make_plan(
                (*body.stacked, *body.fixed),
                tuple(body.carries[i] for i in self.carries),
                tuple(body.updates[i] for i in self.carries),
                tuple(self.stacked),
            )
            kernels.append(self._repeat(inner, carry))
        for member in self.members:
            place, *others = self.stores[member]
            for other in others if member.size else ():
                kernels.append(copy_kernel(member, other, self.numbers, self.name))
        return kernels

    def _new(self, **options: object) -> int:
        from .plan import Buffer

        self.plan.buffers.append(Buffer(**options))  # type: ignore[arg-type]
        return len(self.plan.buffers) - 1

    def _carry(self, i: int) -> int:
        """Where carry i lies: in the place of its last value, if that is wanted."""
        if i in self.last:
            return self.stores[self.last[i]][0]
        p = self.body.carries[i]
        return self._new(kind="temporary", shape=p.shape, dtype=p.dtype)

    def _row(self, number: int, node: Node) -> int:
        """The part of a stacked array that an iteration reads or writes."""
        size = node.size * node.dtype.itemsize
        start = (self.body.length - 1) * size if self.body.reverse else 0
        step = -size if self.body.reverse else size
        return self._part(number, node.shape, node.dtype, start, (step,))

    def _part(
        self, parent: int, shape: tuple[int, ...], dtype: object, offset: int, steps: Sequence[int]
    ) -> int:
        return self._new(
            kind="part", shape=shape, dtype=dtype, offset=offset, parent=parent, steps=tuple(steps)
        )

    def _repeat(self, inner: Plan, carry: Mapping[int, int]) -> Kernel:
        places = self._places(inner.buffers, inner.arena_bytes, carry)
        buffers = self.plan.buffers

        def outside(found: frozenset[int] | set[int]) -> set[int]:
            numbers = {places[b] for b in found}
            return {buffers[n].parent if buffers[n].kind == "part" else n for n in numbers}

        reads: set[int] = set().union(*(outside(k.reads) for k in inner.kernels))
        writes: set[int] = set().union(*(outside(k.writes) for k in inner.kernels))
        flops, moved = (
            self.body.length * sum(getattr(k, what) for k in inner.kernels)
            for what in ("flops", "bytes")
        )
        loop = Repeat(inner.kernels, inner.levels, self.body.length, places)
        return Kernel(self.name, loop, frozenset(reads), frozenset(writes), flops, moved)

    def _places(
        self, inner: Sequence[Buffer], arena_bytes: int, carry: Mapping[int, int]
    ) -> list[int]:
        """The outer number of every buffer of the body."""
        body = self.body
        arrays = (*self.arrays, *self.fixed)
        kept = [carry[i] for i in self.carries]
        arena = -1
        if arena_bytes:
            arena = self._new(kind="temporary", shape=(arena_bytes,), dtype=np.dtype(np.uint8))
        places: list[int] = []
        for b in inner:
            match b.kind:
                case "input" if b.number < len(body.stacked):
                    number = self.numbers[arrays[b.number]]
                    places.append(self._row(number, body.stacked[b.number]))
                case "input":
                    places.append(self.numbers[arrays[b.number]])
                case "state":
                    places.append(kept[b.number])
                case "output":
                    result = list(self.stacked)[b.number]
                    number = self.stores[self.stacked[result]][0]
                    places.append(self._row(number, result))
                case "constant":
                    places.append(
                        self._new(kind="constant", shape=b.shape, dtype=b.dtype, value=b.value)
                    )
                case "temporary":
                    places.append(self._part(arena, b.shape, b.dtype, b.offset, (0,)))
                case "part":
                    places.append(self._inner_part(b, places[b.parent]))
        return places

    def _inner_part(self, b: Buffer, number: int) -> int:
        """A part that a loop within this one reads or writes: a part of what its parent is a part
        of."""
        parent = self.plan.buffers[number]
        if parent.kind != "part":
            return self._part(number, b.shape, b.dtype, b.offset, (0, *b.steps))
        offset = parent.offset + b.offset
        return self._part(parent.parent, b.shape, b.dtype, offset, (*parent.steps, *b.steps))
