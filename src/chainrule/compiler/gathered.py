"""Gathered rows that only contractions use: they are read where they lie, and never written.

The rows of a minibatch are rows of a matrix that stays as it is during the step: a copy of them
would be written and read again, and waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.node import Node
from .views import base_of, is_buffer, is_computed, is_merge

FEWEST_GATHERED_ROWS = 16  # a minibatch
FEWEST_GATHERED = 1024  # elements


def is_gather(node: Node) -> bool:
    return node.op == "gather"


def read_by_rows(
    order: Sequence[Node], roots: Sequence[Node], changed: Sequence[Node]
) -> set[Node]:
    """The gathers of an order of nodes that are so read; there are rows enough to be worth it."""
    excluded: set[Node] = set(roots)
    found: dict[Node, None] = {}
    for node in filter(is_computed, order):
        for place, x in enumerate(node.inputs):
            gathered, views = base_of(x)
            if is_gather(gathered):
                found[gathered] = None
                if not _can_read_rows(node, place, views):
                    excluded.add(gathered)
    return {
        node
        for node in found
        if node not in excluded
        and node.ndim == 2
        and node.shape[0] >= FEWEST_GATHERED_ROWS
        and node.size >= FEWEST_GATHERED
        and is_buffer(node.inputs[0])
        and node.inputs[0] not in changed
        and _is_read_from_memory(node.inputs[1])
    }


def _can_read_rows(user: Node, place: int, views: Sequence[Node]) -> bool:
    """Whether a contraction can follow rows that lie anywhere: along its m or k on the left side,
    along its k on the right."""
    if user.op != "dot" or user.ndim != 2 or min(user.shape) < 2:
        return False
    return not views or (place == 0 and [v.op for v in views] == ["permute"])


def _is_read_from_memory(node: Node) -> bool:
    base, views = base_of(node)
    merged = any(map(is_merge, views))
    return (is_buffer(base) or is_computed(base)) and not merged
