"""Tracers: what a function is run on, and the way from them back to its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.node import Node
from ...core.rewrite import substitute
from ...errors import GradientError
from ...runtime import realize as rt
from ..backward import depends_on_leaf
from ..capture import active
from ..ranges import RangeCheck, settle
from ..value import Tensor, Value, as_tensor, make, register_leaf

Function = Callable[..., Any]
Argnums = int | Sequence[int]


@contextmanager
def tracing() -> Iterator[list[RangeCheck]]:
    """A function is being run on tracers; yields the checks of indices that it asks for."""
    checks: list[RangeCheck] = []
    before, active.checks = active.checks, checks
    active.transforms += 1
    try:
        yield checks
    finally:
        active.transforms -= 1
        active.checks = before


@contextmanager
def transforming(finished: Callable[[list[Node]], Sequence[Node]]) -> Iterator[None]:
    """A function is being run on tracers; ``finished`` replaces them in nodes by the arguments."""
    with tracing() as checks:
        yield
    settle(checks, finished)


class Tracers:
    """Tracers for the leaves of some arguments, and the way back to the arguments."""

    def __init__(self, name: str, leaves: Sequence[Any]) -> None:
        self.originals = [_differentiable(name, x) for x in leaves]
        self.given = [x.node for x in self.originals]
        self.nodes: list[Node] = []
        self.tensors: list[Tensor] = []
        for x in self.originals:
            node = _fresh(x)
            tensor = make(node, requires_grad=True)
            register_leaf(node, tensor)
            self.nodes.append(node)
            self.tensors.append(tensor)

    def replace(self, nodes: Sequence[Node]) -> list[Node]:
        """``nodes`` of the arguments in place of the tracers."""
        return substitute(nodes, dict(zip(self.nodes, self.given, strict=True)))

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """The function is being run on these tracers; what it leaves behind has the arguments."""
        before, active.changed = active.changed, []
        try:
            with transforming(self.replace):
                yield
            for value in active.changed:
                value._without_tracers(self.replace)
            if before is not None:
                before += active.changed
        finally:
            active.changed = before

    def require_unchanged(self, name: str) -> None:
        """An argument changed in place has lost what the derivative is by."""
        for tensor, node in zip(self.tensors, self.nodes, strict=True):
            if tensor.node is not node:
                raise GradientError(
                    f"{name}: the function changes its argument in place, and the derivative would "
                    "be by the new value; change a copy: y = x.clone()"
                )

    def finish(self, nodes: Sequence[Node], now: bool = True) -> list[Tensor]:
        """Tensors of ``nodes`` with the tracers replaced; computed at once if without gradient."""
        nodes = self.replace(nodes)
        if active.capture is not None:
            active.capture.settle(dict(zip(self.nodes, self.given, strict=True)))
        results = [make(n, requires_grad=active.grad_enabled and depends_on_leaf(n)) for n in nodes]
        plain = [t for t in results if not t.requires_grad]
        if now and plain and active.capture is None and rt.has_value([t.node for t in plain]):
            rt.realize([t.node for t in plain])
            for t in plain:
                t._read()
        return results


def _differentiable(name: str, x: Any) -> Tensor:
    if not isinstance(x, Value | np.ndarray | float | np.floating):
        raise GradientError(
            f"{name} differentiates by float tensors, got {type(x).__name__}; for the parameters "
            "of a module use loss.backward(), or choose arguments with argnums="
        )
    tensor = as_tensor(x)
    if not dt.is_float(tensor.dtype):
        raise GradientError(
            f"{name} differentiates by float tensors, got {tensor.dtype}; convert it with .float()"
        )
    return tensor


def _fresh(x: Value) -> Node:
    """An input node like ``x``, with its value if it has one."""
    node = x.node
    if active.capture is None and rt.has_value([node]):
        array = x._read()
        if array.flags.writeable:  # a program may change it in place while the tracer lives
            array = array.copy()
            array.setflags(write=False)
        return rt.leaf(array)
    return rt.placeholder(node.shape, node.dtype, rt.purpose_of([node]) or "cr.compile")
