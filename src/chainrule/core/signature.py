"""Signature: what a program computes, as one value that all passes of the compiler hand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import InternalError
from .node import Node, reachable


@dataclass(frozen=True)
class Signature:
    """A graph with its inputs, state and outputs.

    ``updates[i]`` is the new value of ``state[i]`` (itself if only read), element by element in
    row-major order.
    """

    inputs: tuple[Node, ...]
    state: tuple[Node, ...]
    updates: tuple[Node, ...]
    outputs: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.state) != len(self.updates):
            raise InternalError(f"{len(self.state)} state inputs, {len(self.updates)} updates")
        for old, new in zip(self.state, self.updates, strict=True):
            if old.size != new.size or old.dtype != new.dtype:
                raise InternalError(f"state {old} is updated by {new}")

    @cached_property
    def changed(self) -> tuple[int, ...]:
        """The numbers of the state that gets a new value."""
        return tuple(i for i, s in enumerate(self.state) if self.updates[i] is not s)

    @cached_property
    def roots(self) -> tuple[Node, ...]:
        """What has to be computed: the outputs, then the new values."""
        return (*self.outputs, *(self.updates[i] for i in self.changed))

    def rewritten(self, rewrite: Callable[[Sequence[Node]], Sequence[Node]]) -> Signature:
        """The same with its roots rewritten."""
        roots = tuple(rewrite(self.roots))
        count = len(self.outputs)
        updates = list(self.state)
        for i, root in zip(self.changed, roots[count:], strict=True):
            updates[i] = root
        return Signature(self.inputs, self.state, tuple(updates), roots[:count])

    def used(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Which inputs, and which state, the program reads or updates at all."""
        live, changed = set(reachable(self.roots)), set(self.changed)
        return (
            tuple(n in live for n in self.inputs),
            tuple(s in live or i in changed for i, s in enumerate(self.state)),
        )

    def pruned(self) -> Signature:
        """Without the inputs and state that nothing uses."""
        inputs, state = self.used()
        return Signature(
            tuple(n for n, keep in zip(self.inputs, inputs, strict=True) if keep),
            tuple(n for n, keep in zip(self.state, state, strict=True) if keep),
            tuple(n for n, keep in zip(self.updates, state, strict=True) if keep),
            self.outputs,
        )
