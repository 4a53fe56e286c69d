"""Options that are numbers, as nodes: constants of a program, or numbers that it reads."""

from __future__ import annotations

from typing import Any

from ...core import graph as g
from ...core.node import Node
from ...tensor.value import Value


def number_node(value: Any) -> float | Node:
    """A Python number, or the node of a tensor that stands for one."""
    return value._exact_node if isinstance(value, Value) else float(value)


def full(like: Node, value: Any) -> Node:
    """An array like ``like`` of one Python number, tensor that stands for one, or its node."""
    node = value._exact_node if isinstance(value, Value) else value
    if isinstance(node, Node):
        return g.expand(g.cast(node, like.dtype), like.shape)
    return g.full(like.shape, node, like.dtype)
