"""View: a tensor whose elements are elements of another one, its root.

A view is a root and the steps from it (a slice, another shape, axes in another order). It is read
by taking the steps from what the root is now, so a view sees every later change of its root. It is
written to by taking the steps back: each `put` gives the operand with some elements replaced, down
to a new value of the root. Both are expressions, so views mean the same inside a compiled function.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.node import Array, Node, Shape

if TYPE_CHECKING:
    from .value import Value

Layout = tuple[Shape, tuple[int, ...]]
"""Shape, and for each axis how far apart in memory its elements lie (counted in elements)."""


# -- steps: forward for nodes and arrays, and back -------------------------------------------------
@dataclass(frozen=True, slots=True)
class Reshape:
    """The same elements, in the same order, in another shape."""

    shape: Shape

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.reshape(x, self.shape)

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        return g.reshape(new, x.shape)

    def array(self, x: Array) -> Array | None:
        """The view of an array; None if NumPy would have to copy."""
        new = x.reshape(self.shape)
        return new if np.may_share_memory(x, new) or not x.size else None

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        return self.shape, reshaped(shape, strides, self.shape) or contiguous(self.shape)


@dataclass(frozen=True, slots=True)
class Permute:
    """The axes in another order."""

    axes: tuple[int, ...]

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.permute(x, self.axes)

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        return g.permute(new, [self.axes.index(i) for i in range(x.ndim)])

    def array(self, x: Array) -> Array | None:
        """The view of an array."""
        return x.transpose(self.axes)

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        return tuple(shape[a] for a in self.axes), tuple(strides[a] for a in self.axes)


@dataclass(frozen=True, slots=True)
class Slice:
    """x[starts:stops:steps], with steps > 0, along all axes."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.slice(x, self.starts, self.stops, self.steps)

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        if new.shape == x.shape:
            return new
        inside = self._spread(g.full(new.shape, True, dt.bool_), x.shape)
        return g.where(inside, self._spread(new, x.shape), x) if new.size else x

    def _spread(self, new: Node, shape: Shape) -> Node:
        """``new`` at its places in an array of zeros of ``shape``."""
        # Between elements a step apart stand zeros: (n,) to (n, 1), padded to (n, step), to n step.
        apart = [size for n, s in zip(new.shape, self.steps, strict=True) for size in (n, 1)]
        between = [size for s in self.steps for size in (0, s - 1)]
        wide = g.pad(g.reshape(new, apart), [0] * len(apart), between)
        new = g.reshape(wide, [n * s for n, s in zip(new.shape, self.steps, strict=True)])
        ends = [min(n, full - a) for n, full, a in zip(new.shape, shape, self.starts, strict=True)]
        new = g.slice(new, [0] * new.ndim, ends, [1] * new.ndim)
        after = [full - a - n for n, full, a in zip(ends, shape, self.starts, strict=True)]
        return g.pad(new, self.starts, after)

    def array(self, x: Array) -> Array | None:
        """The view of an array."""
        return x[tuple(map(slice, self.starts, self.stops, self.steps))]

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        bounds = zip(self.starts, self.stops, self.steps, strict=True)
        lengths = tuple(max(-(-(stop - start) // step), 0) for start, stop, step in bounds)
        return lengths, tuple(a * s for a, s in zip(strides, self.steps, strict=True))


@dataclass(frozen=True, slots=True)
class Flip:
    """The elements along some axes in the opposite order."""

    axes: tuple[int, ...]

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.flip(x, self.axes)

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        return g.flip(new, self.axes)

    def array(self, x: Array) -> Array | None:
        """The view of an array."""
        return np.flip(x, self.axes)

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        return shape, tuple(-s if i in self.axes else s for i, s in enumerate(strides))


@dataclass(frozen=True, slots=True)
class Diagonal:
    """x[row + i, column + i] of the last two axes."""

    row: int
    column: int
    length: int

    def _steps(self, shape: Shape) -> tuple[Reshape, Slice]:
        *rest, rows, width = shape
        start = self.row * width + self.column
        stop = start + (self.length - 1) * (width + 1) + 1
        zeros, ones = (0,) * len(rest), (1,) * len(rest)
        along = Slice((*zeros, start), (*rest, stop), (*ones, width + 1))
        return Reshape((*rest, rows * width)), along

    def node(self, x: Node) -> Node:
        """The view of a node."""
        flat, along = self._steps(x.shape)
        return along.node(flat.node(x))

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        flat, along = self._steps(x.shape)
        return flat.put(x, along.put(flat.node(x), new))

    def array(self, x: Array) -> Array | None:
        """The view of an array."""
        found = np.diagonal(x, self.column - self.row, -2, -1)
        found.setflags(write=x.flags.writeable)
        return found

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        return (*shape[:-2], self.length), (*strides[:-2], strides[-2] + strides[-1])


@dataclass(frozen=True, slots=True)
class Expand:
    """Repeated to a larger shape: several elements are one in memory, so nobody may write."""

    shape: Shape

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.expand(x, self.shape)

    def put(self, x: Node, new: Node) -> Node:
        """Never called: see `View.refuses`."""
        raise AssertionError("a broadcast tensor is not written to")

    def array(self, x: Array) -> Array | None:
        """The view of an array, read-only."""
        return np.broadcast_to(x, self.shape)

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        missing = len(self.shape) - len(shape)
        pairs = zip(shape, self.shape[missing:], strides, strict=True)
        return self.shape, (0,) * missing + tuple(s if a == b else 0 for a, b, s in pairs)


@dataclass(frozen=True, slots=True)
class Stop:
    """The same elements as a constant to every gradient. ``bypass``: so are writes to it."""

    bypass: bool

    def node(self, x: Node) -> Node:
        """The view of a node."""
        return g.stop_gradient(x)

    def put(self, x: Node, new: Node) -> Node:
        """``x`` with ``new`` as the view of it."""
        return new

    def array(self, x: Array) -> Array | None:
        """The view of an array."""
        return x

    def layout(self, shape: Shape, strides: tuple[int, ...]) -> Layout:
        """How the view lies in memory."""
        return shape, strides


Step = Reshape | Permute | Slice | Flip | Diagonal | Expand | Stop


# -- the view --------------------------------------------------------------------------------------
class View:
    """The root of a view, and the steps from it. ``refuses``: why nobody may write to it.

    ``tape``: the numbers are the root's, the gradient goes to this node; of a detached tensor that
    was changed to something that requires a gradient.
    """

    __slots__ = ("bypasses", "refuses", "root", "seen", "steps", "stops", "tape")

    def __init__(self, root: Value, steps: tuple[Step, ...], refuses: str = "") -> None:
        self.root, self.steps, self.refuses = root, steps, refuses
        self.stops = any(isinstance(s, Stop) for s in steps)
        self.bypasses = any(isinstance(s, Stop) and s.bypass for s in steps)
        self.tape: Node | None = None
        self.seen: tuple[int, Node] | None = None  # a node of the root (its id), and the view of it

    def put(self, new: Node) -> Node:
        """The root's node with ``new`` as this view of it."""
        steps = [s for s in self.steps if not isinstance(s, Stop)]
        before = [self.root.node]
        for step in steps[:-1]:
            before.append(step.node(before[-1]))
        for step, x in zip(reversed(steps), reversed(before), strict=False):
            new = step.put(x, new)
        return new

    def array(self, root: Array) -> Array | None:
        """The view of the root's array; None if it lies in no order that NumPy has."""
        found: Array | None = root
        for step in self.steps:
            found = None if found is None else step.array(found)
        return found

    def layout(self) -> Layout:
        """Shape and strides of the view; a tensor that is no view lies in C order."""
        root = self.root
        found = root.shape, contiguous(root.shape)
        if root._view is not None:
            found = root._view.layout()
        for step in self.steps:
            found = step.layout(*found)
        return found


# -- where elements lie ----------------------------------------------------------------------------
def contiguous(shape: Shape) -> tuple[int, ...]:
    """The strides of an array in C order."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def in_order(shape: Shape, strides: Sequence[int]) -> bool:
    """Whether the elements lie in C order, one beside the other."""
    pairs = zip(shape, strides, contiguous(shape), strict=True)
    return 0 in shape or all(n == 1 or a == b for n, a, b in pairs)


def reshaped(shape: Shape, strides: Sequence[int], new: Shape) -> tuple[int, ...] | None:
    """The strides of an array in the shape ``new``; None if it has to be copied for that.

    Neighbouring axes that lie as one axis in memory may be divided anew, others may not.
    """
    if 0 in shape:
        return contiguous(new)
    axes = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    blocks: list[tuple[int, int]] = []  # length and innermost stride of axes that lie as one
    for n, s in axes:
        if blocks and blocks[-1][1] == n * s:
            blocks[-1] = (blocks[-1][0] * n, s)
        else:
            blocks.append((n, s))
    found: list[int] = []
    left, inner = 1, 1  # what is left of the block that is being divided
    waiting = iter(blocks)
    for n in new:
        if n == 1:
            found.append(left * inner)
            continue
        if left == 1:
            left, inner = next(waiting)
        if left % n:
            return None
        left //= n
        found.append(left * inner)
    return tuple(found) if left == 1 else None
