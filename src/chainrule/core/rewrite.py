"""Rebuilding a graph with some of its nodes replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .node import Node, copy_source, inputs_first, intern


def replace(nodes: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """``nodes`` with some of the nodes they depend on replaced by others."""
    if not replacement:
        return list(nodes)
    new = dict(replacement)
    for node in inputs_first(nodes, lambda n: () if n in replacement else n.inputs):
        if node not in new:
            inputs = tuple(new[i] for i in node.inputs)
            if inputs == node.inputs:
                new[node] = node
            else:
                new[node] = intern(node.primitive, inputs, dict(node.params))
                copy_source(new[node], node)
    return [new[n] for n in nodes]
