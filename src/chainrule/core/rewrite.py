"""Rewriting graphs: nodes are immutable, so a graph with other nodes in it is a new graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .node import Node, copy_source, inputs_first, intern, reachable


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same primitive, with the same parameters, of other inputs."""
    if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
        return node
    return intern(node.primitive, inputs, dict(node.params))


def rebuild(roots: Sequence[Node], rule: Callable[[Node], Node]) -> list[Node]:
    """The roots with ``rule(node)`` in the place of every node, from the leaves up.

    The rule sees a node whose inputs have been replaced already. New nodes point to the line of the
    old.
    """
    done: dict[Node, Node] = {}
    for node in reachable(roots):
        new = rule(with_inputs(node, tuple(done[i] for i in node.inputs)))
        if new is not node:
            copy_source(new, node)
        done[node] = new
    return [done[root] for root in roots]


def replace(roots: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """The roots with some of the nodes they depend on replaced by others."""
    if not replacement:
        return list(roots)
    new = dict(replacement)
    for node in inputs_first(roots, lambda n: () if n in replacement else n.inputs):
        if node not in new:
            new[node] = _with_new(node, new)
    return [new[root] for root in roots]


def substitute(nodes: Sequence[Node], replacement: Mapping[Node, Node]) -> list[Node]:
    """`replace`, also within the replacements."""

    def inputs_of(node: Node) -> tuple[Node, ...]:
        return (replacement[node],) if node in replacement else node.inputs

    new: dict[Node, Node] = {}
    for node in inputs_first(nodes, inputs_of):
        if node in replacement:
            new[node] = new[replacement[node]]
            continue
        new[node] = _with_new(node, new)
    return [new[n] for n in nodes]


def _with_new(node: Node, new: Mapping[Node, Node]) -> Node:
    found = with_inputs(node, tuple(new[i] for i in node.inputs))
    if found is not node:
        copy_source(found, node)
    return found
