"""Copies where the kernels' language needs a value in memory.

Kernels read through views by affine indices. What that cannot express is read from a copy: a
reshape that merges axes of something not computed row by row, and the inputs of primitives that
read at addresses of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core import graph as g
from ...core.node import Node
from ...core.rewrite import rebuild, with_inputs
from ..views import base_of, is_buffer, is_computed, merges


def legalize(roots: Sequence[Node]) -> list[Node]:
    """The roots so that kernels can compute them, each made by one of them."""
    # Twice, as what is copied for a root is read by that copy.
    return rebuild([_made(r) for r in rebuild(roots, _copied)], _copied)


def _made(root: Node) -> Node:
    """A root that some kernel writes: the node itself, or a copy of what is only viewed."""
    base = root
    while base.op == "reshape":
        base = base.inputs[0]
    return base if is_computed(base) else g.copy(root)


def _copied(node: Node) -> Node:
    """The node, with a copy under it where it is a reshape that merges axes of something that is
    not in memory row by row, and for inputs that have to lie in memory."""
    if node.op == "reshape":
        (base,) = node.inputs
        while base.op == "reshape":
            base = base.inputs[0]
        new = g.reshape(base, node.shape)
        if new.op == "reshape" and _needs_copy(new, base):
            return g.reshape(g.copy(base), node.shape)
        return new
    needed = node.primitive.in_memory
    if not needed:
        return node
    inputs = tuple(_in_memory(x, node) if i in needed else x for i, x in enumerate(node.inputs))
    return with_inputs(node, inputs)


def _needs_copy(reshape: Node, base: Node) -> bool:
    if merges(reshape) and not (is_buffer(base) or is_computed(base)):
        return True
    return base.op in ("iota", "constant") and base.size != 1


def _in_memory(x: Node, user: Node) -> Node:
    """x, or a copy: contractions follow views of memory, loops and scatters another shape."""
    base, views = base_of(x)
    if not (is_buffer(base) or is_computed(base)):
        return g.copy(x)
    kind, own = user.primitive.kind, user.primitive.own_kernel
    reshaped = all(v.op == "reshape" for v in views)
    followed = kind == "contract" or (kind == "control" or own) and reshaped
    return x if followed or not views else g.copy(x)
