"""The interpreter: evaluates a graph node by node, with NumPy: the definition of its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InternalError
from .loop import Body, family, split
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
            if node not in known:
                given = [known[i] for i in node.inputs]
                for one, value in _with_family(node, order, given):
                    known[one] = value
            for i in node.inputs:
                uses[i] -= 1
                if not uses[i]:
                    known.pop(i, None)
    return [known[node] for node in outputs]


def _with_family(
    node: Node, order: Sequence[Node], inputs: Sequence[Array]
) -> list[tuple[Node, Array]]:
    """The value of a node, and of all others that the same loop computes."""
    if "body" not in node.params:
        return [(node, evaluate_node(node, *inputs))]
    nodes = [n for n in order if "body" in n.params and family(n) == family(node)]
    results = run_loop(node.params["body"], [n.params["result"] for n in nodes], inputs)
    return [(n, _checked(n, value)) for n, value in zip(nodes, results, strict=True)]


def run_loop(body: Body, results: Sequence[int | Node], inputs: Sequence[Array]) -> list[Array]:
    """Several results of one loop (see `loop.py`)."""
    carries, stacked, fixed = split(body, inputs)
    wanted = [r for r in results if isinstance(r, Node)]
    rows = [np.empty((body.length, *r.shape), r.dtype) for r in wanted]
    now = list(carries)
    shared = dict(zip(body.fixed, fixed, strict=True))
    for t in reversed(range(body.length)) if body.reverse else range(body.length):
        values = shared | dict(zip(body.carries, now, strict=True))
        values |= {p: x[t] for p, x in zip(body.stacked, stacked, strict=True)}
        done = evaluate([*body.updates, *wanted], values)
        now = done[: len(now)]
        for row, value in zip(rows, done[len(now) :], strict=True):
            row[t] = value
    stacks = iter(rows)
    return [now[r] if isinstance(r, int) else next(stacks) for r in results]


def scan_meaning(params: Mapping[str, Any], *inputs: Array) -> Array:
    return run_loop(params["body"], [params["result"]], inputs)[0]


def evaluate_node(node: Node, *inputs: Array) -> Array:
    """The meaning of one node, applied to the values of its inputs."""
    return _checked(node, np.asarray(node.primitive.meaning(node.params, *inputs)))


def _checked(node: Node, result: Array) -> Array:
    if result.shape != node.shape or result.dtype != node.dtype:
        raise InternalError(f"{node} evaluated to {result.dtype}{list(result.shape)}")
    return result
