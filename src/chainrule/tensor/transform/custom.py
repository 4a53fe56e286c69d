"""Functions with a gradient rule of their own."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from ...core import graph as g
from ...core.node import Node
from ...errors import GradientError, OptionError
from ..capture import active
from ..value import Tensor, Value, as_tensor, make
from .tracers import Function


@dataclass(frozen=True)
class _Rule:
    """The user's rule as `core.graph.custom_vjp` wants it; equal for equal static arguments."""

    owner: custom_vjp
    statics: tuple[tuple[int, Any], ...]
    count: int

    @property
    def __name__(self) -> str:
        return self.owner.__name__

    def __call__(self, cotangent: Node, out: Node, *nodes: Node) -> list[Node | None]:
        assert self.owner.forward is not None and self.owner.backward is not None
        fixed = dict(self.statics)
        tensors = iter([make(n, requires_grad=True) for n in nodes])
        args = [fixed[i] if i in fixed else next(tensors) for i in range(self.count)]
        _, residuals = self.owner.forward(*args)
        found = self.owner.backward(residuals, make(cotangent, requires_grad=True))
        cotangents = list(found) if isinstance(found, tuple | list) else [found]
        if len(cotangents) == self.count:
            cotangents = [c for i, c in enumerate(cotangents) if i not in fixed]
        result: list[Node | None] = []
        for i, c in enumerate(cotangents):
            node = None if c is None else as_tensor(c).node
            if node is not None and i < len(nodes) and node.shape == nodes[i].shape:
                node = g.cast(node, nodes[i].dtype)
            result.append(node)
        return result


class custom_vjp:
    """Decorator: a function of tensors, which returns one tensor, with a gradient rule of your own.

    ``defvjp(forward, backward)``: ``forward(*args)`` returns ``(result, residuals)``;
    ``backward(residuals, g)`` returns one cotangent (or None) per argument. Arguments that are not
    tensors must be hashable.

    >>> import chainrule as cr
    >>> @cr.custom_vjp
    ... def clipped(x):
    ...     return cr.clip(x, -1, 1)
    >>> clipped.defvjp(lambda x: (cr.clip(x, -1, 1), None), lambda _, g: (g,))
    >>> cr.grad(clipped)(cr.tensor(3.0))
    tensor(1.)
    """

    _watched_ = ("function", "forward", "backward")
    forward: Function | None = None
    backward: Function | None = None

    def __init__(self, f: Function) -> None:
        self.function = f
        functools.update_wrapper(self, f)

    __name__: str

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Set the rule."""
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any) -> Tensor:
        """The function's value, with the rule as its gradient."""
        if self.forward is None:
            raise GradientError(
                f"custom_vjp: {self.__name__} has no rule yet; call {self.__name__}.defvjp first"
            )
        out = self.function(*args)
        if not isinstance(out, Value):
            raise GradientError(
                f"custom_vjp: {self.__name__} must return one tensor, got {type(out).__name__}"
            )
        tensors = [x for x in args if isinstance(x, Value)]
        statics = tuple((i, x) for i, x in enumerate(args) if not isinstance(x, Value))
        try:
            hash(statics)
        except TypeError:
            raise OptionError(
                f"custom_vjp: arguments of {self.__name__} must be tensors or hashable;"
                " pass arrays as tensors"
            ) from None
        nodes = [t.node if active.grad_enabled else g.stop_gradient(t.node) for t in tensors]
        return make(g.custom_vjp(out.node, nodes, _Rule(self, statics, len(args))), *tensors)
