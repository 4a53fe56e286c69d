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
        turns = [p for p in parts if isinstance(p, Turn)]
        self._parts = [p if isinstance(p, Copy) else None for p in parts]  # None: the next turn
        self.traces = list({id(t.trace): t.trace for t in turns}.values())
        read: dict[int, Value] = {}
        written: dict[int, Value] = {}
        for part in parts:
            if isinstance(part, Turn):
                read |= {id(t): t for t in part.trace.state}
                updated = zip(part.trace.state, part.trace.updated, strict=True)
                written |= {id(t): t for t, changed in updated if changed}
            else:
                read |= {id(t): t for t in part if isinstance(t, Value)}
                written |= {id(part.target): part.target} if isinstance(part.target, Value) else {}
        self._tensors, self._written = list(read.values()), list(written.values())
        self._arrays: list[Array | None] = []  # of the tensors, where they were when it was built
        self._states: list[list[Array]] = []  # of the turns
        self._native: base.Rounds | None = None
        self._take(turns)

    def _take(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        leaves = [turn.leaves[i] for turn in turns for i in turn.trace.arguments]
        self._leaves = [x for x in leaves if isinstance(x, Value)]
        self._lasting = len(self._leaves) == len(leaves)  # whether the arrays are those of tensors
        self._given: list[Array | None] = []  # of the leaves, where they were when it took them

    def give(self, turns: Sequence[Turn]) -> None:
        """Turns of the same functions, as often and in the same order, with other arguments."""
        self._take(turns)

    def forget(self) -> None:
        """Keep no arguments alive; others are given before it runs again."""
        self._take(())
        if self._native is not None:
            self._native.give(())

    def run(self, count: int) -> None:
        """Run ``count`` rounds. Raises OutOfRangeError, after them, for an index outside."""
        if self._native is None or not self._as_built():
            for tensor in self._written:  # from here on with numbers of their own
                tensor._storage_for_update()
            self._native = rounds(self._bound())
            self._arrays = list(map(_array, self._tensors))
        elif not (self._lasting and _same(self._leaves, self._given)):
            pairs = zip(self._turns, self._states, strict=True)
            self._native.give([turn.trace.inputs(turn.leaves, state) for turn, state in pairs])
        self._given = list(map(_array, self._leaves))
        self._native.run(count)
        for trace in self.traces:
            trace.look()

    def _as_built(self) -> bool:
        """Whether the tensors have the arrays they had, and no expression needs the old numbers."""
        return _same(self._tensors, self._arrays) and not any(map(_node, self._written))

    def _bound(self) -> list[base.Run | base.Copy]:
        """The parts with the arrays that their tensors have now."""
        found: list[base.Run | base.Copy] = []
        turns, self._states = iter(self._turns), []
        for part in self._parts:
            if part is None:
                turn = next(turns)
                inputs, state = turn.trace.bound(turn.leaves)
                self._states.append(state)
                found.append(base.Run(turn.trace.program, inputs, state, turn.steps, turn.outputs))
                continue
            source, target = part
            of = source._storage() if isinstance(source, Value) else source
            to = target._storage_for_update() if isinstance(target, Value) else target
            found.append(base.Copy(of, to))
        return found


_array, _node = operator.attrgetter("_array"), operator.attrgetter("_node")


def _same(tensors: Sequence[Value], arrays: Sequence[Array | None]) -> bool:
    return len(tensors) == len(arrays) and all(map(operator.is_, map(_array, tensors), arrays))


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
