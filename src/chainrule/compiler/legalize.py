"""Copies where the kernels' language needs a value in memory.

Kernels read through views by affine indices. What that cannot express is read from a copy: a
reshape that merges axes of something not computed row by row, and the inputs of primitives that
read at addresses of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core import graph as g
from ..core.node import Node, copy_source, intern, reachable
from .views import base_of, is_buffer, is_computed, merges


def legalize(roots: Sequence[Node]) -> list[Node]:
    """The roots so that kernels can compute them, each made by one of them."""
    # Twice, as what is copied for a root is read by that copy.
    return _copied([_made(r) for r in _copied(roots)])


def _made(root: Node) -> Node:
    """A root that some kernel writes: the node itself, or a copy of what is only viewed."""
    base = root
    while base.op == "reshape":
        base = base.inputs[0]
    return base if is_computed(base) else g.copy(root)


def _copied(outputs: Sequence[Node]) -> list[Node]:
    """Put a copy under every reshape that merges axes of something that is not in memory row by
    row, and under inputs that have to lie in memory."""
    done: dict[Node, Node] = {}
    for node in reachable(outputs):
        inputs = tuple(done[i] for i in node.inputs)
        if node.op == "reshape":
            (x,) = inputs
            base = x
            while base.op == "reshape":
                base = base.inputs[0]
            new = g.reshape(base, node.shape)
            if new.op == "reshape" and merges(new) and not (is_buffer(base) or is_computed(base)):
                new = g.reshape(g.copy(base), node.shape)
            elif new.op == "reshape" and base.op in ("iota", "constant") and base.size != 1:
                new = g.reshape(g.copy(base), node.shape)
        elif needed := node.primitive.in_memory:
            inputs = tuple(_in_memory(x, node) if i in needed else x for i, x in enumerate(inputs))
            new = (
                node if inputs == node.inputs else intern(node.primitive, inputs, dict(node.params))
            )
        elif inputs != node.inputs:
            new = intern(node.primitive, inputs, dict(node.params))
        else:
            new = node
        done[node] = new
        if new is not node:
            copy_source(new, node)
    return [done[o] for o in outputs]


def _in_memory(x: Node, user: Node) -> Node:
    """x, or a copy: contractions follow views of what is in memory, others do not."""
    base, views = base_of(x)
    if not (is_buffer(base) or is_computed(base)):
        return g.copy(x)
    return g.copy(x) if views and user.primitive.kind != "contract" else x
