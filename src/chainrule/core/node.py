"""Node: one value of a computation, immutable and interned.

Two nodes with the same primitive, inputs and parameters are the same object, so a common
subexpression costs nothing and `is` means equality. A node's inputs always have smaller `id`s:
sorting by `id` is a topological order.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from .dtypes import DType
from .primitives.primitive import Array as Array
from .primitives.primitive import Primitive
from .primitives.primitive import Shape as Shape


class Node:
    """One value: a primitive applied to inputs, with static parameters, a shape and a dtype."""

    __slots__ = ("__weakref__", "dtype", "id", "inputs", "params", "primitive", "shape")

    primitive: Primitive
    inputs: tuple[Node, ...]
    params: Mapping[str, Any]
    shape: Shape
    dtype: DType
    id: int

    @property
    def op(self) -> str:
        """The primitive's name."""
        return self.primitive.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    def __repr__(self) -> str:
        from_ = ", ".join(f"%{i.id}" for i in self.inputs)
        shown = "".join(f", {k}={v}" for k, v in self.params.items())
        return f"%{self.id}: {self.dtype}{list(self.shape)} = {self.op}({from_}{shown})"


class ConstantValue:
    """An array as a node's parameter: compared by value when small, by identity when large."""

    __slots__ = ("_key", "array")

    def __init__(self, array: Array) -> None:
        array = np.array(array, copy=True, order="C")
        array.setflags(write=False)
        self.array = array
        self._key = (
            array.dtype.str,
            array.shape,
            array.tobytes() if array.nbytes <= 256 else id(self),
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstantValue) and self._key == other._key

    def __repr__(self) -> str:
        return str(self.array.item()) if self.array.size == 1 else f"array{list(self.array.shape)}"


_interned: WeakValueDictionary[Any, Node] = WeakValueDictionary()
_source: WeakKeyDictionary[Node, tuple[str, int]] = WeakKeyDictionary()
_ids = itertools.count()
_package = __name__.partition(".")[0]
_own: dict[str, bool] = {}  # whether a module of this name is of this package
_blamed: ContextVar[tuple[str, int] | None] = ContextVar("blamed", default=None)


def intern(primitive: Primitive, inputs: tuple[Node, ...], params: dict[str, Any]) -> Node:
    """The node for ``primitive(*inputs, **params)``; shape and dtype from the primitive's rule."""
    key = (primitive.name, tuple(i.id for i in inputs), tuple(params.items()))
    found = _interned.get(key)
    if found is not None:
        return found
    node = Node()
    node.primitive, node.inputs, node.params = primitive, inputs, params
    node.shape, node.dtype = primitive.infer(params, *inputs)
    node.id = next(_ids)
    _interned[key] = node
    _source[node] = _blamed.get() or _user_line()
    return node


def _user_line() -> tuple[str, int]:
    """File and line of the innermost frame outside this package."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        own = _own.get(name)
        if own is None:
            own = _own[name] = name.partition(".")[0] == _package
        if not own:
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def source_of(node: Node) -> tuple[str, int] | None:
    """The user's line that made this node, where known."""
    return _source.get(node)


@contextmanager
def blame(origin: Node) -> Iterator[None]:
    """Let the nodes made inside point to the user's line of ``origin``."""
    token = _blamed.set(_source.get(origin))
    try:
        yield
    finally:
        _blamed.reset(token)


def copy_source(node: Node, origin: Node) -> None:
    """Let ``node`` (made by a rewrite) point to the user's line of ``origin``."""
    line = _source.get(origin)
    if line is not None:
        _source[node] = line


def reachable(roots: Iterable[Node], first: int = 0) -> list[Node]:
    """All nodes the roots depend on, the roots included, in the order of `inputs_first`.

    Nodes older than ``first`` (an id), and so all that they depend on, are left out.
    """
    return inputs_first(
        (root for root in roots if root.id >= first),
        lambda node: [i for i in node.inputs if i.id >= first],
    )


def inputs_first(roots: Iterable[Node], inputs_of: Callable[[Node], Sequence[Node]]) -> list[Node]:
    """The roots and all that they depend on by ``inputs_of``, each node after its inputs.

    The order follows from the graph alone and not from when its nodes were made, so whatever is
    built in this order (sums of gradients, programs) is the same in every process.
    """
    found: dict[Node, None] = {}
    stack = list(roots)[::-1]
    while stack:
        node = stack[-1]
        waiting = [] if node in found else [i for i in inputs_of(node) if i not in found]
        if waiting:
            stack += waiting[::-1]
        else:
            found.setdefault(stack.pop())
    return list(found)
