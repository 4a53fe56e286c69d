"""Mapped: a compiled step of one net, for many nets at once.

The step of one net is a graph: what it reads and updates is its state, the data are its inputs.
Mapped by `vmap` over the state alone it is the step of G nets, whatever layers, loss, optimizer,
schedule and metrics it has, each with its own numbers, random ones included. Nothing in it goes
from one net to another.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ...autodiff.batching import vmap_nodes
from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Array, Node, reachable
from ...core.rewrite import substitute
from ...core.signature import Signature
from ...errors import OptionError
from ...runtime.program import build
from ...tensor.compiling.trace import Trace
from ...tensor.value import Value
from .stack import Stack

GROUP_BYTES = 4 << 20
"""What a group of nets may take: their state and the results of their products."""
FEWEST = 4
"""Of fewer nets a vector has few lanes: each by itself is as fast."""


def bytes_of(signature: Signature) -> int:
    """How much one net's step reads and writes: its state, and what its products make."""
    nodes = reachable(signature.roots)
    made = [n for n in nodes if n.op in ("dot", "conv")]
    return sum(n.size * n.dtype.itemsize for n in (*signature.state, *made))


def group_of(signature: Signature) -> int:
    """How many nets are trained together; of larger ones each by itself is faster."""
    found = GROUP_BYTES // max(bytes_of(signature), 1)
    return found if found >= FEWEST else 1


def mapped_signature(signature: Signature, per_seed: Collection[Node], count: int) -> Signature:
    """``count`` nets at once: the state ``per_seed`` has a first axis of nets."""
    new = {s: g.input((count, *s.shape), s.dtype) for s in signature.state if s in per_seed}
    roots = vmap_nodes([*signature.updates, *signature.outputs], new)
    updates: list[Node] = []
    for s, (node, mapped) in zip(signature.state, roots, strict=False):
        wide = s in new
        if mapped and not wide:
            raise OptionError(
                "seeds: the step changes a tensor that all nets share, by what one net computes; "
                "make it a buffer of the model, self.register_buffer(name, tensor)"
            )
        updates.append(_wide(node, count) if wide and not mapped else node)
    outputs = [n if m else _wide(n, count) for n, m in roots[len(signature.state) :]]
    state = tuple(new.get(s, s) for s in signature.state)
    return Signature(signature.inputs, state, tuple(updates), tuple(outputs))


def _wide(node: Node, count: int) -> Node:
    return g.expand(node, (count, *node.shape))


class Mapped:
    """A trace for the nets of one group of a `Stack`."""

    def __init__(self, trace: Trace, stack: Stack, shared: Sequence[Value]) -> None:
        """``shared``: tensors that have one value for all nets, though the step changes them."""
        self.trace, self.stack = trace, stack
        self.group = stack.group
        if trace.grads_read or trace.assigned_arguments:
            raise OptionError(
                "seeds: the step reads a gradient of before, which nets of many seeds do not have; "
                "let training_step compute what it needs from the batch"
            )
        alone = {id(t) for t in shared}
        for tensor, updated in zip(trace.state, trace.updated, strict=True):
            if updated and id(tensor) not in alone:
                stack.add(tensor)
        self.changed = [t for t, changes in zip(trace.state, trace.updated, strict=True) if changes]
        nodes = trace.signature.state
        self.wide = [t in stack for t in trace.state]
        own = [s for s, wide in zip(nodes, self.wide, strict=False) if wide]
        self.per_seed = {*own, *nodes[len(trace.state) :]}
        self.signature = trace.signature
        if self.group > 1:
            self.signature = mapped_signature(trace.signature, self.per_seed, self.group)
        self.program = trace.program if self.group == 1 else build(self.signature)
        self.extremes = [copy.copy(trace.extremes) for _ in range(stack.groups)]
        for extremes in self.extremes:
            lead = () if self.group == 1 else (self.group,)
            pairs = zip(extremes.arrays, extremes.inside, strict=True)
            extremes.arrays = [np.full((*lead, *a.shape), v, a.dtype) for a, v in pairs]

    def inputs(self, leaves: Sequence[Any]) -> list[Array]:
        """The arrays of the data."""
        return [leaves[i]._storage() for i in self.trace.arguments]

    def state(self, number: int) -> list[Array]:
        """The arrays of a group's state, always the same for a group."""
        found, trace = [], self.trace
        for tensor, updated, wide in zip(trace.state, trace.updated, self.wide, strict=True):
            if wide:
                found.append(self.stack.of_group(tensor, number))
            else:
                found.append(tensor._storage_for_update() if updated else tensor._storage())
        return [*found, *self.extremes[number].arrays]

    def run(self, leaves: Sequence[Any], number: int, steps: int) -> Any:
        """``steps`` steps of a group; returns its arrays of outputs."""
        outputs = self.program.run(self.inputs(leaves), self.state(number), steps)
        self.look(number)
        return outputs

    def look(self, number: int) -> None:
        """After a run of a group: raise OutOfRangeError if an index was outside."""
        if self.extremes[number].checks:
            self.extremes[number].look(self.trace.changes)


class Noted:
    """Up to ``most`` epochs of one step of a group, as one program.

    It keeps what each leaves in the meter, which begins anew before each.
    """

    def __init__(self, mapped: Mapped, beginning: Sequence[tuple[Value, Array]], most: int) -> None:
        self.mapped, self.most = mapped, most
        first = {id(t): value for t, value in beginning}
        places = [i for i, t in enumerate(mapped.trace.state) if id(t) in first]
        signature = mapped.signature
        state = signature.state
        starts = {state[i]: _begun(first[id(mapped.trace.state[i])], state[i]) for i in places}
        roots = substitute([*signature.updates], starts)
        self.tensors = [mapped.trace.state[i] for i in places]
        slot = g.input((), dt.uint32)
        records = [g.input((most, *state[i].shape), state[i].dtype) for i in places]
        noted = [g.put(r, slot, roots[i]) for r, i in zip(records, places, strict=True)]
        self.kept = [i for i in range(len(state)) if i not in places]
        self.program = build(
            Signature(
                signature.inputs,
                (*(state[i] for i in self.kept), slot, *records),
                (*(roots[i] for i in self.kept), g.add(slot, g.constant(1, dt.uint32)), *noted),
                (),
            )
        )
        self.slot = np.zeros((), np.uint32)

    def names(self, tensors: Mapping[str, Value]) -> list[str]:
        """The names of what is noted, in its order."""
        found = {id(t): k for k, t in tensors.items()}
        return [found[id(t)] for t in self.tensors]

    def run(self, leaves: Sequence[Any], number: int, steps: int, records: Sequence[Array]) -> None:
        """``steps`` steps of a group, whose traces go into ``records`` (most, group, *shape)."""
        state = self.mapped.state(number)
        self.slot[...] = 0
        own = [state[i] for i in self.kept]
        self.program.run(self.mapped.inputs(leaves), [*own, self.slot, *records], steps)


def _begun(value: Array, like: Node) -> Node:
    """A constant with the shape of ``like``: the same for all nets."""
    if value.size and (value == value.flat[0]).all():
        return g.full(like.shape, value.flat[0].item(), like.dtype)
    node = g.constant(np.asarray(value, like.dtype))
    return node if node.shape == like.shape else g.expand(node, like.shape)
