"""Rounds: compiled steps and copies of what they keep, again and again in one native run."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backends import base
from ...core.node import Array
from ...runtime.program import rounds
from ..pytree import flatten, unflatten
from ..value import Value, stored
from .trace import Trace


class Turn(NamedTuple):
    """``steps`` steps of a compiled function, on the leaves of its arguments."""

    trace: Trace
    leaves: Sequence[Any]
    steps: int
    outputs: Sequence[Array] = ()
    """Where the program's outputs of the last step go."""

    def run(self) -> Any:
        """Run them now; returns what the function returned in the last one."""
        return self.trace.run(self.leaves, self.steps)


class Copy(NamedTuple):
    """One tensor or array copied into another; if one has an axis more, its row of that round."""

    source: Value | Array
    target: Value | Array


class Rounds:
    """Parts that are run in order, round after round."""

    def __init__(self, parts: Sequence[Turn | Copy]) -> None:
        """The functions are ones that `can_turn`."""
        self.parts = parts
        self.traces = list({id(p.trace): p.trace for p in parts if isinstance(p, Turn)}.values())
        self._lasting = True  # whether its arrays are those of tensors
        read: dict[int, Value] = {}
        written: dict[int, Value] = {}
        for part in parts:
            if isinstance(part, Turn):
                leaves = [part.leaves[i] for i in part.trace.arguments]
                self._lasting = self._lasting and all(isinstance(x, Value) for x in leaves)
                tensors = [x for x in leaves if isinstance(x, Value)]
                read |= {id(t): t for t in (*part.trace.state, *tensors)}
                updated = zip(part.trace.state, part.trace.updated, strict=True)
                written |= {id(t): t for t, changed in updated if changed}
            else:
                read |= {id(t): t for t in part if isinstance(t, Value)}
                written |= {id(part.target): part.target} if isinstance(part.target, Value) else {}
        self._tensors, self._written = list(read.values()), list(written.values())
        self._arrays: list[Array | None] = []  # of the tensors, where they were when it was built
        self._native: base.Rounds | None = None

    def run(self, count: int) -> None:
        """Run ``count`` rounds. Raises OutOfRangeError, after them, for an index outside."""
        if self._native is None or not (self._lasting and self._as_built()):
            for tensor in self._written:  # from here on with numbers of their own
                tensor._storage_for_update()
            self._native = rounds(self._bound())
            self._arrays = list(map(_array, self._tensors))
        self._native.run(count)
        for trace in self.traces:
            trace.look()

    def _as_built(self) -> bool:
        """Whether the tensors have the arrays they had, and no expression needs the old numbers."""
        same = all(map(operator.is_, map(_array, self._tensors), self._arrays))
        return same and not any(map(_node, self._written))

    def _bound(self) -> list[base.Run | base.Copy]:
        """The parts with the arrays that their tensors have now."""
        found: list[base.Run | base.Copy] = []
        for part in self.parts:
            if isinstance(part, Turn):
                inputs, state = part.trace.bound(part.leaves)
                found.append(base.Run(part.trace.program, inputs, state, part.steps, part.outputs))
                continue
            source, target = part
            of = source._storage() if isinstance(source, Value) else source
            to = target._storage_for_update() if isinstance(target, Value) else target
            found.append(base.Copy(of, to))
        return found


_array, _node = operator.attrgetter("_array"), operator.attrgetter("_node")


def can_turn(trace: Trace) -> bool:
    """Whether a step leaves nothing to Python: no result, no gradient of an argument."""
    return not trace.signature.outputs and trace.repeatable()


def every(k: int, count: int, trace: Trace, leaves: Sequence[Any]) -> Any:
    """What the function returns in each k-th of count · k steps, stacked along a new first axis."""
    if not trace.repeatable():
        found = [flatten(trace.run(leaves, k))[0] for _ in range(count)]
        rows = [_stacked(column) for column in zip(*found, strict=True)]
        return unflatten(trace.structure, rows)
    outputs = [np.empty(o.shape, o.dtype) for o in trace.signature.outputs]
    parts: list[Turn | Copy] = [Turn(trace, leaves, k, outputs)]
    results: list[Any] = []
    for result in trace.results:
        if result.output is None and not isinstance(result.value, Value):
            results.append(result.value)
            continue
        source = result.value if result.output is None else outputs[result.output]
        record = np.empty((count, *source.shape), source.dtype)
        parts.append(Copy(source, record))
        results.append(stored(record))
    Rounds(parts).run(count)
    trace.finish(leaves, outputs)
    return unflatten(trace.structure, results)


def _stacked(values: Sequence[Any]) -> Any:
    if not isinstance(values[0], Value):
        return values[-1]
    return stored(np.stack([v._read() for v in values]))
