"""Which level each kernel runs in, and which nests become one.

Kernels of one level need no barrier between them. A nest whose values are independent of each other
joins another over the same loops that may run at the same time, if they touch the same memory or
are small: what both compute or read is then computed and read once, and a barrier less may be
needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from .loops import (
    ZERO,
    Affine,
    Expr,
    Gather,
    Kernel,
    Load,
    Nest,
    Stage,
    Store,
    Var,
    kernel_of,
    key,
    variable,
    walk,
)

SMALL = 1 << 14  # elements: a call less is worth more than what nests with nothing in common lose
MOST_BUFFERS = 20  # that a joined nest touches: each takes a register for its address


def in_levels(kernels: Sequence[Kernel]) -> tuple[list[Kernel], list[int]]:
    """The kernels, some of them joined, and the level of each."""
    found = _Levels()
    for kernel in kernels:
        found.add(kernel)
    found.join_what_only_they_need()
    rest = [n for n in range(len(found.kernels)) if n not in found.gone]
    return [found.kernels[n] for n in rest], [found.levels[n] for n in rest]


class _Levels:
    def __init__(self) -> None:
        self.kernels: list[Kernel] = []
        self.levels: list[int] = []
        self.readers: dict[int, set[int]] = {}  # of each buffer: kernels by number
        self.writers: dict[int, dict[int, int]] = {}  # and what they may write beside
        self.joining: dict[tuple[int, ...], list[int]] = {}  # nests by the extents of their loops
        self.counts: dict[int, int] = {}
        self.before: list[set[int]] = []  # what each waits for
        self.after: list[set[int]] = []  # what waits for each
        self.gone: set[int] = set()

    def add(self, kernel: Kernel) -> None:
        """The next kernel: in the first level after all it must wait for, or with one of them."""
        before = self._waits_for(kernel)
        level = max((self.levels[n] + 1 for n in before), default=0)
        extents = _independent(kernel)
        number = None if extents is None else self._join(kernel, extents, level, before)
        if number is None:
            number = len(self.kernels)
            self.kernels.append(kernel)
            self.levels.append(level)
            self.before.append(set())
            self.after.append(set())
            if extents is not None:
                self.joining.setdefault(extents, []).append(number)
        self.before[number] |= before - {number}
        for n in before - {number}:
            self.after[n].add(number)
        for b in kernel.reads:
            self.readers.setdefault(b, set()).add(number)
        for b in kernel.writes:
            self.writers.setdefault(b, {})[number] = kernel.beside

    def _waits_for(self, kernel: Kernel) -> set[int]:
        """The kernels that wrote what it reads, or touched what it writes."""
        found = {n for b in kernel.reads for n in self.writers.get(b, ())}
        for b in kernel.writes:
            found |= self.readers.get(b, set())
            for n, beside in self.writers.get(b, {}).items():
                if kernel.beside < 0 or beside != kernel.beside:
                    found.add(n)
        return found

    def _join(
        self, kernel: Kernel, extents: tuple[int, ...], level: int, before: set[int]
    ) -> int | None:
        """The number of the nest that it has joined."""
        for n in reversed(self.joining.get(extents, ())):
            others = max((self.levels[m] + 1 for m in before if m != n), default=0)
            if n not in before:
                at = level if self.levels[n] == level else -1
            elif others <= self.levels[n] or not self.after[n]:  # one of them may move
                at = max(others, self.levels[n])
            else:
                at = -1
            joined = _joined(self.kernels[n], kernel, prod(extents) <= SMALL) if at >= 0 else None
            if joined is not None:
                self._replace(n, joined)
                self.levels[n] = at
                return n
        return None

    def _replace(self, number: int, joined: Kernel) -> None:
        self.counts[number] = self.counts.get(number, 0) + 1
        name = self.kernels[number].name.partition("_with_")[0]
        self.kernels[number] = replace(joined, name=f"{name}_with_{self.counts[number]}more")

    def join_what_only_they_need(self) -> None:
        """A nest for which only one other waits, over the same loops, moves there."""
        for numbers in self.joining.values():
            for n in numbers:
                for m in sorted(self.before[n].intersection(numbers) - self.gone):
                    joined = None
                    if self.after[m] == {n}:
                        joined = _joined(self.kernels[m], self.kernels[n], False)
                    if joined is not None:
                        self._replace(n, joined)
                        self.gone.add(m)
                        for b in self.before[m]:
                            self.after[b] = self.after[b] - {m} | {n}


def _independent(kernel: Kernel) -> tuple[int, ...] | None:
    """The extents of a nest's loops, if all it does is to store values at each iteration."""
    nest = kernel.body
    if not isinstance(nest, Nest) or len(nest.stages) != 1 or nest.scratch:
        return None
    (stage,) = nest.stages
    if stage.inner or not all(isinstance(s, Store) for s in stage.statements):
        return None
    return tuple(loop.extent for loop in nest.outer if loop.extent != 1)


def _joined(first: Kernel, second: Kernel, anyway: bool) -> Kernel | None:
    """Both in one, or None if the meaning changes, or nothing is gained (unless ``anyway``)."""
    shared = first.reads & second.reads | first.writes & (second.reads | second.writes)
    buffers = first.reads | first.writes | second.reads | second.writes
    if not (shared or anyway) or len(buffers) > MOST_BUFFERS:
        return None
    assert isinstance(first.body, Nest) and isinstance(second.body, Nest)
    own, other = list(_stores(first.body)), list(_stores(second.body))
    loops = first.body.outer
    names = iter(loop.var for loop in loops if loop.extent != 1)
    renamed = {
        loop.var: ZERO if loop.extent == 1 else variable(next(names)) for loop in second.body.outer
    }
    other = [Store(s.buffer, _renamed(s.address, renamed), s.value) for s in other]
    known = _Equal(renamed, {})
    own = [Store(s.buffer, s.address, known.kept(s.value)) for s in own]
    # What the first stores is not loaded by the second, but known.
    for b in first.writes & second.reads:
        stored = [s for s in own if s.buffer == b]
        if len(stored) != 1 or not _read_at(other, b, stored[0].address, renamed):
            return None
        known.values[b] = stored[0].value
    # All values are computed before any is stored.
    for b in first.reads & second.writes:
        stored = [s for s in other if s.buffer == b]
        if len(stored) != 1 or not _read_at(own, b, stored[0].address, {}):
            return None
    other = [Store(s.buffer, s.address, known.of_second(s.value)) for s in other]
    body = Nest(loops, [Stage((), [*own, *other])])
    return kernel_of(first.name, body)


def _stores(nest: Nest) -> Iterator[Store]:
    for stage in nest.stages:
        for s in stage.statements:
            assert isinstance(s, Store)
            yield s


def _renamed(a: Affine, names: Mapping[Var, Affine]) -> Affine:
    found = Affine(a.constant)
    for var, c in a.terms:
        found = found + names.get(var, variable(var)) * c
    return found


def _read_at(
    statements: Sequence[Store], buffer: int, address: Affine, names: Mapping[Var, Affine]
) -> bool:
    """Whether the buffer is read only at this address."""
    for s in statements:
        for e in walk(s.value):
            if isinstance(e, (Load, Gather)) and e.buffer == buffer:
                if isinstance(e, Gather) or _renamed(e.address, names) != address:
                    return False
    return True


class _Equal:
    """Expressions of two nests, equal ones made one."""

    def __init__(self, names: Mapping[Var, Affine], values: dict[int, Expr]) -> None:
        self.names = names  # of the second's loops among those of the first
        self.values = values  # what the second would load from a buffer
        self.found: dict[tuple[object, ...], Expr] = {}
        self.done: dict[int, Expr] = {}

    def kept(self, e: Expr) -> Expr:
        """An expression of the first nest."""
        if id(e) not in self.done:
            self.done[id(e)] = self._one(replace(e, args=tuple(map(self.kept, e.args))))
        return self.done[id(e)]

    def of_second(self, e: Expr) -> Expr:
        """One of the second."""
        if id(e) not in self.done:
            if isinstance(e, Load) and e.buffer in self.values:
                self.done[id(e)] = self.values[e.buffer]
            else:
                args = tuple(map(self.of_second, e.args))
                address = _renamed(e.address, self.names)
                self.done[id(e)] = self._one(replace(e, args=args, address=address))
        return self.done[id(e)]

    def _one(self, e: Expr) -> Expr:
        return self.found.setdefault(key(e), e)
