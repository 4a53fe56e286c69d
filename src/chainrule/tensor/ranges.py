"""Ranges: an index outside its axis is an error, never another row in silence.

Where the values are known the error comes at once. Inside a function that is traced (compiled,
vmapped, differentiated) they are not: then the smallest and the largest index are computed beside
the rest, kept by the program over all its steps, and looked at when it has run. Checks that cannot
fail (see `core.interval`) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.interval import interval
from ..core.node import Array, Node, reachable
from ..errors import OutOfRangeError
from ..runtime import realize as rt
from .capture import Capture, active, user_line


@dataclass
class RangeCheck:
    """low <= ``index`` < high has to hold; ``lowest`` and ``highest`` (one number, or one for each
    example of a vmap) are its extremes."""

    index: Node
    low: int
    high: int
    text: str  # what is wrong, "{}" where the index goes
    line: str  # the user's
    lowest: Node
    highest: Node
    layer: str = ""
    ignoring: int | None = None  # an index that stands for nothing

    def wrong(self, lowest: Array, highest: Array) -> int | None:
        """An index that is outside, given the extremes (none: of a loop without steps)."""
        if not lowest.size:
            return None
        low = int(lowest.min() if lowest.ndim else lowest.item())
        high = int(highest.max() if highest.ndim else highest.item())
        return low if low < self.low else high if high >= self.high else None

    def error(self, index: int, after: str = "", prefix: str = "") -> OutOfRangeError:
        """The error for ``index``."""
        layer = f"\n    in {self.layer}" if self.layer else ""
        text = f"{prefix}{self.text.format(index)}{layer}"
        return OutOfRangeError(f"{text}\n    at {self.line}{after}")


def check_known(values: Array, low: int, high: int, text: str) -> int:
    """The least of ``values`` (0 of none); OutOfRangeError if one is not in low … high - 1."""
    if not values.size:
        return 0
    least, most = int(values.min()), int(values.max())
    if least < low or most >= high:
        wrong = least if least < low else most
        error = OutOfRangeError(text.format(wrong))
        at = np.unravel_index(int((values == wrong).argmax()), values.shape)
        error.place = tuple(int(i) for i in at), values.shape
        raise error
    return least


def check_later(index: Node, low: int, high: int, text: str, ignoring: int | None = None) -> None:
    """Check ``index`` when the function that is being traced has run; ``ignoring`` is allowed."""
    checks = active.checks
    least, most = interval(index)
    if checks is None or not index.size or (low <= least and most < high):
        return
    if any(c.index is index and (c.low, c.high) == (low, high) for c in checks):
        return
    counted = index
    if ignoring is not None and least <= ignoring <= most:
        skipped = g.eq(index, g.full(index.shape, ignoring, index.dtype))
        counted = g.where(skipped, g.full(index.shape, low, index.dtype), index)
    axes = range(index.ndim)
    lowest, highest = g.reduce_min(counted, axes), g.reduce_max(counted, axes)
    checks.append(
        RangeCheck(
            index,
            low,
            high,
            text,
            user_line(),
            _signed(lowest),
            _signed(highest),
            ignoring=ignoring,
        )
    )


def _signed(extreme: Node) -> Node:
    """In int64; what does not fit is the largest of them."""
    if extreme.dtype == dt.uint64:
        most = g.full(extreme.shape, np.iinfo(np.int64).max, dt.uint64)
        extreme = g.min(extreme, most)
    return g.cast(extreme, dt.int64)


def settle(checks: Sequence[RangeCheck], finished: Callable[[list[Node]], Sequence[Node]]) -> None:
    """The checks of a function that was run on tracers; ``finished`` replaces them in nodes. Done
    now, or handed to the trace around."""
    if not checks:
        return
    nodes = iter(finished([n for c in checks for n in (c.index, c.lowest, c.highest)]))
    for check in checks:
        index, lowest, highest = next(nodes), next(nodes), next(nodes)
        if active.capture is None and rt.has_value([lowest, highest]):
            _, low, high = rt.realize([index, lowest, highest])
            wrong = check.wrong(low, high)
            if wrong is not None:
                raise check.error(wrong)
        elif active.checks is not None:
            active.checks.append(replace(check, index=index, lowest=lowest, highest=highest))


_MOVES = ("reshape", "permute", "broadcast", "slice", "flip", "stop_gradient")


@dataclass
class GivenCheck:
    """A check of numbers that a program is given and only moves: it is made before the run, of all
    rows, and costs nothing inside."""

    check: RangeCheck
    key: tuple[int, int]  # which of the data: inputs or targets, and the number among them
    positions: Array | None  # in a row, flattened; None: all

    @property
    def what(self) -> tuple[object, ...]:
        """What is looked at, and for what: equal checks find the same."""
        positions = None if self.positions is None else self.positions.tobytes()
        return self.key, self.check.low, self.check.high, self.check.ignoring, positions

    @staticmethod
    def of(check: RangeCheck, given: Mapping[Node, tuple[int, int]]) -> GivenCheck | None:
        """The check of one of the nodes ``given`` (rows first); None if it is of others."""
        node, path = check.index, []
        while node not in given:
            if not (node.op in (*_MOVES, "gather") or _keeps_values(node)):
                return None
            path.append(node)
            node = node.inputs[0]
        key = given[node]
        if path and path[-1].op == "gather":  # of a minibatch
            node = path.pop()
        if any(n.op == "gather" for n in path) or not any(n.op == "slice" for n in path):
            return GivenCheck(check, key, None)
        size = node.size // node.shape[0]
        ids = np.broadcast_to(np.arange(size), (node.shape[0], size)).reshape(node.shape)
        for n in reversed(path):
            ids = ids if n.op == "cast" else n.primitive.meaning(n.params, ids)
        return GivenCheck(check, key, np.unique(ids))

    def look(self, name: str, array: Array) -> None:
        """Raise OutOfRangeError for the first number outside; ``name`` is the user's."""
        rows = array.reshape(len(array), -1)
        part = rows if self.positions is None else rows[:, self.positions]
        if not part.size or self.check.wrong(np.trunc(part.min()), np.trunc(part.max())) is None:
            return
        bad = (np.trunc(part) < self.check.low) | (part >= self.check.high)
        if self.check.ignoring is not None:
            bad &= part != self.check.ignoring
        if not bad.any():
            return
        row, column = (int(i) for i in np.argwhere(bad)[0])
        if self.positions is not None:
            column = int(self.positions[column])
        place = np.unravel_index(column, array.shape[1:]) if array.ndim > 1 else ()
        where = f"{name} is {rows[row, column]:g} at row {row}"
        where += f", position ({', '.join(map(str, place))})" if len(place) > 1 else ""
        where += f", column {place[0]}" if len(place) == 1 else ""
        raise self.check.error(int(rows[row, column]), prefix=f"{where}: ")


def _keeps_values(node: Node) -> bool:
    """Whether it is a cast to integers that cuts no bits off (floats lose their fraction)."""
    if node.op != "cast" or node.dtype.kind not in "iu":
        return False
    source = node.inputs[0]
    if source.dtype.kind == "f":
        return True
    least, most = interval(source)
    info = np.iinfo(node.dtype)
    return bool(info.min <= least and most <= info.max)


class Extremes:
    """The extremes of some checks over the steps of a program: state of its own, beside the
    user's. What is only moved from what it is given is in ``given`` instead."""

    def __init__(self, capture: Capture, inputs: Iterable[Node]) -> None:
        """``inputs``: the program's; checks of anything else (a rule's example) are left out."""
        self.name = capture.name
        self.checks: list[RangeCheck] = []
        self.given: list[GivenCheck] = []
        known = {*inputs, *capture.placeholders}
        for check in capture.checks:
            found = GivenCheck.of(check, capture.given)
            if found is not None:
                self.given.append(found)
            elif all(n in known for n in reachable([check.index]) if n.op == "input"):
                self.checks.append(check)
        self.roots = [n for c in self.checks for n in (c.lowest, c.highest)]
        self.state = [g.input(n.shape, n.dtype) for n in self.roots]
        self.inside = [max(c.low, 0) for c in self.checks for _ in range(2)]
        pairs = zip(self.roots, self.inside, strict=True)
        self.arrays = [np.full(n.shape, value, n.dtype) for n, value in pairs]

    def updates(self, roots: Sequence[Node]) -> list[Node]:
        """The new values of ``state``; ``roots``: as the program computes them."""
        return [
            (g.max if i % 2 else g.min)(old, new)
            for i, (old, new) in enumerate(zip(self.state, roots, strict=True))
        ]

    def look(self, changes: bool) -> None:
        """After a run: OutOfRangeError if an index was outside. ``changes``: it updates tensors."""
        for i, check in enumerate(self.checks):
            wrong = check.wrong(self.arrays[2 * i], self.arrays[2 * i + 1])
            if wrong is not None:
                for array, value in zip(self.arrays, self.inside, strict=True):
                    array[...] = value
                after = f"\n    found when {self.name} had run"
                if changes:
                    after += ": the tensors it updates were updated with the nearest row instead"
                error = check.error(wrong, after)
                error.after_run = True
                raise error
