"""A graph as text: one line per node, inputs before users. For people, and for golden texts.

    %0: float32[4, 2] = input "x"
    %1: float32[2, 3] = input "w"
    %2: float32[4, 3] = dot(%0, %1)                                # model.py:12
    return %2

Numbers count within the text, in the order of a walk from the outputs and not of the nodes' age (a
constant may be older than this graph), so the same graph always reads the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .node import Node, source_of

_COMMENT_COLUMN = 72


def show(outputs: Sequence[Node], *, lines: bool = True) -> str:
    """The text of all nodes the outputs depend on; with ``lines``: and the user's lines."""
    order = by_structure(outputs)
    number = {node: i for i, node in enumerate(order)}
    text = [_line(node, number, lines) for node in order]
    return "\n".join([*text, "return " + ", ".join(f"%{number[y]}" for y in outputs)]) + "\n"


def by_structure(outputs: Sequence[Node]) -> list[Node]:
    """All nodes, in depth-first order: each after its inputs, first inputs first."""
    order: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(outputs)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order[node] = None
        elif node not in order:
            stack.append((node, True))
            stack.extend((i, False) for i in reversed(node.inputs) if i not in order)
    return list(order)


def show_node(node: Node) -> str:
    """One node and its inputs' types, numbered by their ids: for messages."""
    types = ", ".join(f"%{i.id} {i.dtype}{list(i.shape)}" for i in node.inputs)
    return f"%{node.id}: {node.dtype}{list(node.shape)} = {node.op}({types}){_parameters(node)}"


def _line(node: Node, number: dict[Node, int], lines: bool) -> str:
    inputs = ", ".join(f"%{number[i]}" for i in node.inputs)
    call = f"{node.op}({inputs})" if node.inputs else node.op
    text = f"%{number[node]}: {node.dtype}{list(node.shape)} = {call}{_parameters(node)}"
    source = source_of(node) if lines else None
    if source is None:
        return text
    return f"{text:<{_COMMENT_COLUMN}}  # {os.path.basename(source[0])}:{source[1]}"


def _parameters(node: Node) -> str:
    """The parameters that the shape and dtype do not already tell."""
    if node.op == "input":
        name = node.params["name"]
        return f' "{name}"' if name else ""
    hidden = {"shape", "dtype"}
    return "".join(f" {k}={_value(v)}" for k, v in node.params.items() if k not in hidden)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    return str(value)
