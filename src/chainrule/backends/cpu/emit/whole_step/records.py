"""State of which a step replaces one element, such as the losses of the last so many steps.

All that a step has to do is one store, wherever the array lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from .....core.node import Node, reachable
from .....core.signature import Signature


@dataclass(frozen=True)
class Record:
    """The element that is replaced, and by what: nodes of one element (of replicas: one each)."""

    index: Node
    value: Node


def records(graph: Signature, replicas: int = 1) -> dict[Node, Record]:
    """The records among the state of a simplified graph: nothing else reads the old array. Of
    ``replicas`` each element is a row, (R, …)."""
    changed = [(graph.state[i], graph.updates[i]) for i in graph.changed]
    found = {
        old: Record(*new.inputs[1:])
        for old, new in changed
        if new.op == "put" and new.inputs[0] is old and _is_record(old, replicas)
    }
    others = [u for s, u in changed if s not in found]
    written = [n for r in found.values() for n in (r.index, r.value)]
    read = set(reachable([*graph.outputs, *others, *written]))
    return {s: r for s, r in found.items() if s not in read}


def _is_record(node: Node, replicas: int) -> bool:
    if replicas == 1:
        return node.ndim == 1 and node.size > 1
    return node.ndim > 1 and node.shape[1] == replicas
