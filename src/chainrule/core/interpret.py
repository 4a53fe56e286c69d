"""The interpreter: evaluates a graph node by node with NumPy. It is the definition of what a graph
means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import InternalError
from .node import Array, Node, inputs_first


def evaluate(outputs: Sequence[Node], values: Mapping[Node, Array]) -> list[Array]:
    """The values of ``outputs``, given a value for every input node they depend on.

    ``values`` may also hold other nodes (already computed): what they depend on is then not
    evaluated. A value is dropped as soon as its last user has been computed.
    """
    order = inputs_first(outputs, lambda node: () if node in values else node.inputs)
    uses: dict[Node, int] = {}
    for node in order:
        for i in node.inputs:
            uses[i] = uses.get(i, 0) + 1
    for node in outputs:
        uses[node] = uses.get(node, 0) + 1
    known: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in order:
            if node in values:
                known[node] = values[node]
                continue
            known[node] = evaluate_node(node, *(known[i] for i in node.inputs))
            for i in node.inputs:
                uses[i] -= 1
                if not uses[i]:
                    known.pop(i, None)
    return [known[node] for node in outputs]


def evaluate_node(node: Node, *inputs: Array) -> Array:
    """The meaning of one node, applied to the values of its inputs."""
    result = np.asarray(node.primitive.meaning(node.params, *inputs))
    if result.shape != node.shape or result.dtype != node.dtype:
        raise InternalError(f"{node} evaluated to {result.dtype}{list(result.shape)}")
    return result
