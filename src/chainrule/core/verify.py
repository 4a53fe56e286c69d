"""Checks a graph: every node is what its primitive says. Run after every pass in the tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ChainruleError, InternalError
from .dtypes import ALL
from .node import Node, intern, reachable
from .primitives.table import TABLE
from .show import show_node


def verify(outputs: Sequence[Node]) -> None:
    """Raise InternalError, with the node and its neighbours, at the first fault of the graph.

    Shapes and dtypes are those of the primitive's rule; inputs are older than their users;
    parameters are those of the primitive and hashable; no two nodes are equal.
    """
    nodes = reachable(outputs)
    for node in nodes:
        fault = _fault(node)
        if fault:
            users = [u for u in nodes if node in u.inputs]
            parts = [f"{fault}:", "  " + show_node(node)]
            parts += (
                ["  its inputs:", *("    " + show_node(i) for i in node.inputs)]
                if node.inputs
                else []
            )
            parts += ["  its users:", *("    " + show_node(u) for u in users)] if users else []
            raise InternalError("\n".join(parts))


def _fault(node: Node) -> str | None:
    primitive = node.primitive
    if TABLE.get(primitive.name) is not primitive:
        return f"{primitive.name} is not in the table of primitives"
    if primitive.arity is not None and len(node.inputs) != primitive.arity:
        return f"{primitive.name} takes {primitive.arity} inputs, has {len(node.inputs)}"
    if primitive.arity is None and not node.inputs:
        return f"{primitive.name} has no inputs"
    if any(i.id >= node.id for i in node.inputs):
        return "an input is younger than its user"
    if not isinstance(node.shape, tuple) or not all(type(n) is int for n in node.shape):
        return f"the shape is not a tuple of int: {node.shape!r}"
    if not isinstance(node.dtype, np.dtype) or node.dtype not in ALL:
        return f"the dtype is not one of ours: {node.dtype!r}"
    try:
        shape, dtype = primitive.infer(node.params, *node.inputs)
        same = intern(primitive, node.inputs, dict(node.params))
    except (ChainruleError, KeyError, TypeError, IndexError) as error:
        return f"the rule of {primitive.name} does not accept it ({type(error).__name__}: {error})"
    if (shape, dtype) != (node.shape, node.dtype):
        return f"the rule of {primitive.name} says {dtype}{list(shape)}"
    if same is not node:
        return "there is an equal node already"
    return None
