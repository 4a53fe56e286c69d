"""Groups of nodes to kernels: naive loops over values in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..core.loop import family, split, with_carries
from ..core.node import Node, reachable
from ..core.signature import Signature
from .fuse import Group
from .loops import (
    Body,
    LoopProgram,
    Repeat,
)
from .lowering.contractions import contract
from .lowering.group import Lowering
from .lowering.own_kernels import KERNELS, copy_nest
from .views import base_of, is_buffer


def lower(
    graph: Signature, groups: Sequence[Group], compile: Callable[[Signature], LoopProgram]
) -> Lowered:
    """The loops of every group, over values: numbers of `Lowered.values` where a program has
    buffers. ``compile``: what makes a program of a loop's body."""
    values = _in_memory(graph, groups)
    numbers = {node: i for i, node in enumerate(values)}
    bodies: dict[int, list[Body]] = {}
    for group in groups:
        stored = [m for m in group.members if m in numbers]
        if any(m.size for m in stored):
            if group.is_loop:
                bodies[group.number] = _loop(group, numbers, compile)
            else:
                bodies[group.number] = _bodies(group, numbers)
    return Lowered(values, numbers, bodies)


class Lowered(NamedTuple):
    """Groups as loops."""

    values: list[Node]  # that lie in memory: the inputs, the state, constants, then what is stored
    numbers: dict[Node, int]  # the place of each among them
    bodies: dict[int, list[Body]]  # of each group by its number, one kernel after another


def _in_memory(graph: Signature, groups: Sequence[Group]) -> list[Node]:
    """Inputs, state, larger constants, results, and what one group makes and others read."""
    found = dict.fromkeys([*graph.inputs, *graph.state])
    found |= dict.fromkeys(n for n in reachable(graph.roots) if is_buffer(n) and n not in found)
    found |= dict.fromkeys(graph.roots)
    of = {m: group for group in groups for m in group.members}
    for group in groups:
        if group.is_loop:
            found |= dict.fromkeys(with_carries(group.members))
        below = [x for m in group.members for x in m.inputs]
        while below:
            base, _ = base_of(below.pop())
            if base not in of:  # a leaf, or a formula this kernel inlines
                below += base.inputs
            elif of[base] is not group:
                found.setdefault(base)
    return list(found)


def _bodies(group: Group, numbers: Mapping[Node, int]) -> list[Body]:
    head = group.head
    if head.op in KERNELS:
        return KERNELS[head.op](head, numbers)
    lowering = Lowering(group, numbers)
    return [contract(lowering) if group.is_contraction else lowering.nest()]


def _loop(
    group: Group, numbers: Mapping[Node, int], compile: Callable[[Signature], LoopProgram]
) -> list[Body]:
    """The first values of the carries, and the loop."""
    body, inputs = family(group.head)
    first, arrays, fixed = split(body, inputs)
    members = with_carries(group.members)
    last = {m.params["result"]: m for m in members if isinstance(m.params["result"], int)}
    rows = {m.params["result"]: m for m in members if isinstance(m.params["result"], Node)}
    copies: list[Body] = [
        copy_nest(first[i], numbers[m], numbers) for i, m in last.items() if first[i].size
    ]
    if body.length == 0:
        return copies
    step = Signature(
        (*body.stacked, *body.fixed),
        tuple(body.carries[i] for i in last),
        tuple(body.updates[i] for i in last),
        tuple(rows),
    )
    loop = Repeat(
        compile(step),
        body.length,
        body.reverse,
        [numbers[base_of(x)[0]] for x in (*arrays, *fixed)],
        len(arrays),
        [numbers[m] for m in last.values()],
        [numbers[m] for m in rows.values()],
    )
    return [*copies, loop]
