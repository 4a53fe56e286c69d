"""Capture: what a function reads, assigns and depends on while it is traced for a program.

While a capture is active, a tensor made outside is seen through a placeholder node (it becomes
state of the program), an assignment is recorded instead of done, and nobody can ask for a number.
"""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core import dtypes as dt
from ..core import graph as g
from ..core.dtypes import DType
from ..core.node import Node, Shape, reachable
from ..core.rewrite import substitute
from ..runtime.realize import end, placeholder

if TYPE_CHECKING:
    from .ranges import RangeCheck
    from .value import Value

_serials = itertools.count(1)
_PACKAGE = __name__.split(".", 1)[0]


@dataclass
class Slot:
    """A tensor from outside: its placeholder, and the node of its value at this point."""

    tensor: Value
    placeholder: Node
    current: Node
    assigned: bool = False


@dataclass
class GradSlot:
    """``tensor.grad``: the placeholder of what it was (None: None or not read), and now."""

    tensor: Value
    before: Node | None
    had_grad: bool
    current: Value | None
    changed: bool = False
    read: bool = False  # the value it had before the call was looked at
    used: bool = False  # the value it has now was looked at
    spent: bool = False  # and after that the tensor was assigned: an update has used it up


@dataclass
class Capture:
    """Everything recorded in one trace."""

    name: str
    make: Callable[[Node], Value]
    on_new_leaf: Callable[[Node, Value], None]
    serial: int = field(default_factory=lambda: next(_serials))
    slots: dict[int, Slot] = field(default_factory=dict)
    grads: dict[int, GradSlot] = field(default_factory=dict)
    cuts: dict[Node, Node] = field(default_factory=dict)
    guards: list[tuple[object, str, object]] = field(default_factory=list)
    placeholders: list[Node] = field(default_factory=list)
    checks: list[RangeCheck] = field(default_factory=list)
    given: dict[Node, tuple[int, int]] = field(default_factory=dict)  # see `ranges.GivenCheck`
    arrays: dict[int, object] = field(default_factory=dict)
    """NumPy arrays whose numbers became constants of the program, by id."""

    def placeholder(self, shape: Shape, dtype: DType) -> Node:
        """A new input node of the trace."""
        node = placeholder(shape, dtype, self.name)
        self.placeholders.append(node)
        return node

    def slot(self, tensor: Value) -> Slot:
        found = self.slots.get(id(tensor))
        if found is None:
            node = self.placeholder(tensor.shape, tensor.dtype)
            found = self.slots[id(tensor)] = Slot(tensor, node, node)
            if tensor.requires_grad:
                self.on_new_leaf(node, tensor)
        return found

    def assign(self, tensor: Value, new: Node) -> None:
        """From here on ``tensor`` is ``new``; a tensor that requires a gradient stays a leaf."""
        slot = self.slot(tensor)
        slot.current = self.cut(new, tensor) if tensor.requires_grad else new
        slot.assigned = True
        if id(tensor) in self.grads:
            grad = self.grads[id(tensor)]
            grad.spent = grad.used

    def cut(self, node: Node, tensor: Value) -> Node:
        """An input standing for ``node`` during the trace: gradients of ``tensor`` stop there."""
        leaf = self.placeholder(node.shape, node.dtype)
        self.cuts[leaf] = node
        self.on_new_leaf(leaf, tensor)
        return leaf

    def settle(self, given: Mapping[Node, Node]) -> None:
        """A transformation is over: what it assigned to tracers is the arguments' (``given``)."""
        slots = [slot for slot in self.slots.values() if slot.assigned]
        nodes = substitute([*(s.current for s in slots), *self.cuts.values()], given)
        for slot, node in zip(slots, nodes, strict=False):
            slot.current = node
        self.cuts.update(zip(self.cuts, nodes[len(slots) :], strict=True))

    def assigned_from(self, inputs: Sequence[Node]) -> Value | None:
        """A tensor that was assigned what depends on one of these new input nodes."""
        for slot in self.slots.values():
            if not set(inputs).isdisjoint(reachable([slot.current], inputs[0].id)):
                return slot.tensor
        return None

    def grad_slot(self, tensor: Value, before: Value | None) -> GradSlot:
        found = self.grads.get(id(tensor))
        if found is None:
            current = node = None
            if before is not None:
                node = self.placeholder(before.shape, before.dtype)
                current = self.make(node)
            found = self.grads[id(tensor)] = GradSlot(tensor, node, before is not None, current)
        return found

    def resolve(self, nodes: Sequence[Node]) -> list[Node]:
        """``nodes`` without cuts: what stands behind each cut is put in its place."""
        return substitute(nodes, self.cuts) if self.cuts else list(nodes)


@dataclass
class Source:
    """A key, and how many draws came from it; see `random.drawing_from`."""

    key: Node
    count: int = 0

    def next_key(self) -> Node:
        """The key of the next draw; in a loop, one for each step."""
        key = g.fold_in(self.key, g.constant(self.count, dt.uint32))
        self.count += 1
        for step in active.steps:
            key = g.fold_in(key, step)
        return key


class _Active(threading.local):
    capture: Capture | None = None
    grad_enabled: bool = True
    transforms: int = 0  # how many transformations run their function on tracers now
    steps: tuple[Node, ...] = ()  # numbers of loops' steps and of examples, to draw others for each
    changed: list[Value] | None = None  # tensors that a function running on tracers changes
    source: Source | None = None  # where random numbers come from; None: of a generator
    draws: bool = True  # False: in a function mapped with randomness="error"
    checks: list[RangeCheck] | None = None  # of indices that the running trace does not know yet


active = _Active()


@contextmanager
def capturing(capture: Capture) -> Iterator[Capture]:
    """Make ``capture`` the active one."""
    before = active.capture, active.checks
    active.capture, active.checks = capture, capture.checks
    try:
        yield capture
    finally:
        active.capture, active.checks = before
        end(capture.placeholders)


@contextmanager
def outside() -> Iterator[None]:
    """As if nothing were traced: what is made here is state, and no part of a trace."""
    before = dict(active.__dict__)
    active.__dict__.clear()
    try:
        yield
    finally:
        active.__dict__.clear()
        active.__dict__.update(before)


def depends_on(owner: object, attribute: str) -> None:
    """Tell the active capture that Python read ``owner.attribute``: if it changes, trace again.

    For plain values that steer a function (`Module.training`); does nothing outside a capture.
    """
    if active.capture is not None:
        active.capture.guards.append((owner, attribute, getattr(owner, attribute)))


def user_line() -> str:
    """The user's line that called us, as ``file.py:12: `text` ``."""
    frame = user_frame()
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f"{file.rsplit('/', 1)[-1]}:{line}" + (f": `{text}`" if text else "")


def user_frame() -> Any:
    """The innermost frame outside of the package."""
    frame: Any = sys._getframe(1)
    while (
        frame.f_back is not None
        and str(frame.f_globals.get("__name__", "")).split(".")[0] == _PACKAGE
    ):
        frame = frame.f_back
    return frame
