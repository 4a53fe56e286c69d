"""Rounds: steps of compiled functions, and copies of what they keep, again and again in one native
run."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..backends import base
from ..core.node import Array
from ..runtime.program import rounds
from .compiled import Trace
from .value import Value


class Turn(NamedTuple):
    """``steps`` steps of a compiled function, on the leaves of its arguments."""

    trace: Trace
    leaves: Sequence[Any]
    steps: int

    def run(self) -> Any:
        """Run them now; returns what the function returned in the last one."""
        return self.trace.run(self.leaves, self.steps)


class Copy(NamedTuple):
    """One tensor or array copied into another; if one has an axis more, into or from its row of
    that round."""

    source: Value | Array
    target: Value | Array


class Rounds:
    """Parts that are run in order, round after round."""

    def __init__(self, parts: Sequence[Turn | Copy]) -> None:
        """The functions are ones that `can_turn`."""
        self.parts = parts
        self.traces = list({id(p.trace): p.trace for p in parts if isinstance(p, Turn)}.values())
        self._arrays: list[Array] = []
        self._native: base.Rounds | None = None

    def run(self, count: int) -> None:
        """Run ``count`` rounds. Raises OutOfRangeError, after them, for an index outside."""
        if self._native is None:
            self._bound()  # tensors that shared their numbers have their own from here on
        bound = self._bound()
        arrays = [a for b in bound for a in _arrays(b)]
        if self._native is None or not all(map(operator.is_, arrays, self._arrays)):
            self._native, self._arrays = rounds(bound), arrays
        self._native.run(count)
        for trace in self.traces:
            trace.look()

    def _bound(self) -> list[base.Run | base.Copy]:
        """The parts with the arrays that their tensors have now."""
        found: list[base.Run | base.Copy] = []
        for part in self.parts:
            if isinstance(part, Turn):
                inputs, state = part.trace.bound(part.leaves)
                found.append(base.Run(part.trace.program, inputs, state, part.steps))
                continue
            source, target = part
            of = source._storage() if isinstance(source, Value) else source
            to = target._storage_for_update() if isinstance(target, Value) else target
            found.append(base.Copy(of, to))
        return found


def _arrays(part: base.Run | base.Copy) -> Sequence[Array]:
    return part if isinstance(part, base.Copy) else (*part.inputs, *part.state)


def can_turn(trace: Trace) -> bool:
    """Whether a step leaves nothing to Python: no result, no gradient of an argument."""
    return not trace.signature.outputs and trace.repeatable()
