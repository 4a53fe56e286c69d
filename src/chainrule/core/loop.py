"""Loops: the rule of `scan`, and the graph that it runs again and again.

    for t in range(length):                        # from the last to the first if reverse
        carries, results[t] = body(carries, stacked[t], fixed)

Nodes have one value, a loop has many: each result is a node of its own, `scan(*inputs; body,
result)`, where inputs are the first carries, the stacked arrays (length, ...) and the fixed values.
``result`` is the number of a carry (its value after the last step) or a node of the body (its
values at all steps, stacked). Nodes with equal inputs and the same body are a *family*: one loop
computes them, and a gradient gets what it needs by asking for more results of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

from ..errors import ShapeError
from .dtypes import DType
from .node import Node, Shape, intern, reachable


@dataclass(frozen=True, eq=False)
class Body:
    """One step of a loop, as a graph over inputs of its own.

    ``carries``, ``stacked`` and ``fixed`` are input nodes; everything else that ``updates`` and
    results depend on follows from them. ``save``: what a gradient keeps of each step, "needed"
    (all that it reads) or "carry" (the carries; the rest is computed again).
    """

    carries: tuple[Node, ...]
    stacked: tuple[Node, ...]
    fixed: tuple[Node, ...]
    updates: tuple[Node, ...]
    length: int
    reverse: bool = False
    save: str = "needed"
    memo: dict[Any, Any] = field(default_factory=dict)  # what is derived from it once
    results: WeakSet[Node] = field(default_factory=WeakSet)  # the nodes that are alive

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.carries + self.stacked + self.fixed

    def __repr__(self) -> str:
        way = "reversed " if self.reverse else ""
        return f"{way}loop of {self.length} steps"


_Input = TypeVar("_Input")


def split(
    body: Body, inputs: Sequence[_Input]
) -> tuple[Sequence[_Input], Sequence[_Input], Sequence[_Input]]:
    """A scan's inputs: first carries, stacked arrays, fixed values."""
    a = len(body.carries)
    b = a + len(body.stacked)
    return inputs[:a], inputs[a:b], inputs[b:]


def scan_shape(params: Mapping[str, Any], *inputs: Node) -> tuple[Shape, DType]:
    body: Body = params["body"]
    result: int | Node = params["result"]
    if len(inputs) != len(body.inputs) or len(body.updates) != len(body.carries):
        raise ShapeError(f"scan of {len(body.inputs)} inputs got {len(inputs)}")
    carries, stacked, fixed = split(body, inputs)
    pairs = [(x, p, p.shape) for x, p in zip(carries, body.carries, strict=True)]
    pairs += [(x, p, (body.length, *p.shape)) for x, p in zip(stacked, body.stacked, strict=True)]
    pairs += [(x, p, p.shape) for x, p in zip(fixed, body.fixed, strict=True)]
    pairs += [(u, p, p.shape) for u, p in zip(body.updates, body.carries, strict=True)]
    for x, p, shape in pairs:
        if x.shape != shape or x.dtype != p.dtype:
            raise ShapeError(f"scan expects {p.dtype}{list(shape)}, got {x.dtype}{list(x.shape)}")
    if isinstance(result, int):
        return body.carries[result].shape, body.carries[result].dtype
    return (body.length, *result.shape), result.dtype


def family(node: Node) -> tuple[Any, ...]:
    """Equal for nodes that one loop computes."""
    return (node.params["body"], node.inputs)


def with_carries(results: Sequence[Node]) -> list[Node]:
    """Results of one loop, and the last values of the carries that they depend on."""
    body, inputs = family(results[0])
    wanted = {r.params["result"] for r in results}
    while True:
        live = set(reachable([body.updates[r] if isinstance(r, int) else r for r in wanted]))
        more = {i for i, p in enumerate(body.carries) if p in live} - wanted
        if not more:
            break
        wanted |= more
    scan, known = results[0].primitive, {r.params["result"] for r in results}
    missing = sorted(i for i in wanted - known if isinstance(i, int))
    return [*results, *(intern(scan, inputs, {"body": body, "result": i}) for i in missing)]
