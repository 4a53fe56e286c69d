"""Hooks: functions of the user's, called as activations and gradients pass a module."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core import graph as g
from ..core.node import Node
from ..tensor.value import Value, make, use

if TYPE_CHECKING:
    from .module import Module

Hook = Callable[..., Any]
_ids = itertools.count()


class RemovableHandle:
    """What a ``register_…_hook`` returns: ``remove()`` takes the hook away; also a context
    manager."""

    def __init__(self, table: dict[int, Hook], hook: Hook) -> None:
        self.id = next(_ids)
        self._table = table
        table[self.id] = hook

    def remove(self) -> None:
        """Take the hook away."""
        self._table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class GradientWatch:
    """One call of a module with backward hooks: identities around it whose gradient rules call
    them.

    Back-propagation meets the output first, so ``grad_output`` is known when the input's rule runs.
    """

    def __init__(self, module: Module, hooks: Sequence[Hook]) -> None:
        self.module, self.hooks = module, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.watches_input = False

    def around_input(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args`` with the first tensor that has a gradient seen through an identity."""
        for i, x in enumerate(args):
            if isinstance(x, Value) and x.requires_grad:
                self.watches_input = True
                node = use(x)
                return (
                    *args[:i],
                    make(g.custom_vjp(node, [node], self._at_input), x),
                    *args[i + 1 :],
                )
        return args

    def around_output(self, result: Any) -> Any:
        """The result (or the first of a tuple of results) seen through an identity."""
        if isinstance(result, tuple) and result:
            return (self.around_output(result[0]), *result[1:])
        if not isinstance(result, Value) or not result.requires_grad:
            return result
        node = use(result)
        return make(g.custom_vjp(node, [node], self._at_output), result)

    def _at_output(self, grad: Node, out: Node, x: Node) -> list[Node | None]:
        self.grad_output = (make(grad),)
        if not self.watches_input:
            self._call((None,))
        return [grad]

    def _at_input(self, grad: Node, out: Node, x: Node) -> list[Node | None]:
        changed = self._call((make(grad),))[0]
        return [grad if changed is None else g.cast(changed.node, grad.dtype)]

    def _call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return grad_input
