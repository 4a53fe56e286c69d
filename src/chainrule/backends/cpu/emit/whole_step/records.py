"""State of which a step replaces one element, such as the losses of the last so many steps.

    new[k] = value if k == index else old[k]        where(eq(iota, index), value, old)

All that a step has to do is one store, wherever the array lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .....core.node import Node, reachable
from .....core.signature import Signature


@dataclass(frozen=True)
class Record:
    """The element that is replaced, and by what: nodes of one element each.

    An index that no element has replaces nothing.
    """

    index: Node
    value: Node


def records(graph: Signature) -> dict[Node, Record]:
    """The records among the state of a simplified graph: nothing else reads the old array."""
    changed = [(graph.state[i], graph.updates[i]) for i in graph.changed]
    found = {s: r for s, u in changed if (r := _record(s, u)) is not None}
    others = [u for s, u in changed if s not in found]
    written = [n for r in found.values() for n in (r.index, r.value)]
    read = set(reachable([*graph.outputs, *others, *written]))
    return {s: r for s, r in found.items() if s not in read}


def _record(old: Node, new: Node) -> Record | None:
    if new.op != "where" or new.inputs[2] is not old or old.ndim != 1 or old.size < 2:
        return None
    here, value, _ = new.inputs
    if here.op != "eq" or value.op != "broadcast" or value.inputs[0].size != 1:
        return None
    for position, index in (here.inputs, here.inputs[::-1]):
        one = index.op == "broadcast" and index.inputs[0].size == 1
        if position.op == "iota" and one and position.dtype.kind in "iu":
            if old.size - 1 <= np.iinfo(position.dtype).max:  # no two elements have one number
                return Record(index.inputs[0], value.inputs[0])
    return None
