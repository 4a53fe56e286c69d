"""Interval: the smallest and largest integer a node can be, as far as its graph tells.

Sound, not sharp: the true values lie inside. It is used to leave out checks of indices that cannot
fail (a position found by argmax, a remainder, a clipped number).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .dtypes import DType
from .node import Node

Interval = tuple[int, int]
DEPTH = 24
"""Nodes looked at one behind the other."""
_KEEP = ("reshape", "permute", "broadcast", "slice", "flip", "reduce_max", "reduce_min", "gather")


def interval(node: Node, depth: int = DEPTH) -> Interval:
    """The bounds of an integer or bool node, included; those of its dtype if no more is known."""
    whole = _of_dtype(node.dtype)
    if not node.size or not depth:
        return whole
    found = _found(node, depth - 1)
    return found if found is not None and _within(found, whole) else whole


def _found(node: Node, depth: int) -> Interval | None:
    p, inputs = node.params, node.inputs
    if node.op == "constant":
        array = p["value"].array
        return int(array.min()), int(array.max())
    if node.op == "iota":
        return 0, node.shape[p["axis"]] - 1
    if node.op == "argmax":
        return 0, inputs[0].shape[p["axis"]] - 1
    if node.op == "shuffle":
        return 0, max(p["n"] - 1, 0)
    if not inputs or any(i.dtype.kind == "f" for i in inputs):
        return None
    if node.op in _KEEP or node.primitive.kind == "identity":
        return interval(inputs[0], depth)
    if node.op == "cast":
        return interval(inputs[0], depth) if node.dtype.kind != "b" else None
    if node.op == "pad":
        return _union((0, 0), interval(inputs[0], depth))
    if node.op == "concat":
        return _union(*(interval(i, depth) for i in inputs))
    if node.op == "where":
        return _union(*(interval(i, depth) for i in inputs[1:]))
    if node.op in _ARITHMETIC and node.dtype.kind != "b":
        return _ARITHMETIC[node.op](*(interval(i, depth) for i in inputs))
    return None


def _mod(a: Interval, b: Interval) -> Interval:
    """a mod b has the sign of b, and is 0 where b is 0."""
    return min(b[0] + 1, 0), max(b[1] - 1, 0)


_ARITHMETIC: dict[str, Callable[..., Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": lambda a, b: _union(*((x * y,) * 2 for x in a for y in b)),
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "mod": _mod,
}


def _union(*parts: Interval) -> Interval:
    return min(p[0] for p in parts), max(p[1] for p in parts)


def _within(found: Interval, whole: Interval) -> bool:
    return whole[0] <= found[0] and found[1] <= whole[1]


def _of_dtype(dtype: DType) -> Interval:
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)
