"""Hooks: functions of the user's, called as activations and gradients pass a module."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core import dtypes as dt
from ..core import graph as g
from ..core.node import Node
from ..tensor.value import Value, make, use

if TYPE_CHECKING:
    from .module import Module

Hook = Callable[..., Any]
Hooks = dict[int, tuple[Hook, bool]]  # by the handle's number: a hook, and whether it takes kwargs
_ids = itertools.count()


class RemovableHandle:
    """What a ``register_…_hook`` returns: ``remove()`` takes it away; also a context manager."""

    def __init__(self, table: Hooks, hook: Hook, with_kwargs: bool, prepend: bool) -> None:
        self.id = next(_ids)
        self._table = table
        others = dict(table) if prepend else {}
        for key in others:
            del table[key]
        table[self.id] = (hook, with_kwargs)
        table.update(others)

    def remove(self) -> None:
        """Take the hook away."""
        self._table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class GradientWatch:
    """A call of a module with backward hooks: identities around it; their gradient rules call them.

    Back-propagation meets the output first, so ``grad_output`` is known when the inputs' rule runs.
    """

    def __init__(self, module: Module, before: Sequence[Hook], hooks: Sequence[Hook]) -> None:
        self.module, self.before, self.hooks = module, before, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.inputs: list[int] = []  # positions of the arguments that have gradients
        self.arguments = 0

    @classmethod
    def of(cls, module: Module) -> GradientWatch:
        """For one call of ``module``."""
        before, after = module._backward_pre_hooks.values(), module._backward_hooks.values()
        return cls(module, [h for h, _ in before], [h for h, _ in after])

    def around_input(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """``args``, with those that have gradients seen through an identity."""
        self.arguments = len(args)
        args, self.inputs = _through(args, self._at_input)
        return args

    def around_output(self, result: Any) -> Any:
        """The result (or the tuple of results) seen through an identity."""
        results = result if isinstance(result, tuple) else (result,)

        def rule(grads: list[Node]) -> list[Node]:
            return self._at_output(grads, places, len(results))

        seen, places = _through(results, rule)
        if not isinstance(result, tuple):
            return seen[0]
        return result._make(seen) if hasattr(result, "_make") else seen

    def _at_output(self, grads: list[Node], places: list[int], count: int) -> list[Node]:
        self.grad_output = _scattered(grads, places, count)
        for hook in self.before:
            changed = hook(self.module, self.grad_output)
            if changed is not None:
                self.grad_output = changed if isinstance(changed, tuple) else (changed,)
        grads = [
            g.cast(self.grad_output[i].node, n.dtype) for i, n in zip(places, grads, strict=True)
        ]
        if not self.inputs:
            self._call((None,) * self.arguments)
        return grads

    def _at_input(self, grads: list[Node]) -> list[Node]:
        changed = self._call(_scattered(grads, self.inputs, self.arguments))
        return [
            old if changed[i] is None else g.cast(changed[i].node, old.dtype)
            for i, old in zip(self.inputs, grads, strict=True)
        ]

    def _call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
        return grad_input


def _scattered(grads: list[Node], places: list[int], count: int) -> tuple[Any, ...]:
    """The gradients at their places among ``count`` entries, None elsewhere."""
    row: list[Any] = [None] * count
    for i, grad in zip(places, grads, strict=True):
        row[i] = make(grad)
    return tuple(row)


def _through(
    values: tuple[Any, ...], rule: Callable[[list[Node]], list[Node]]
) -> tuple[tuple[Any, ...], list[int]]:
    """``values``, those with gradients seen through one identity, and their positions.

    ``rule`` changes their gradients, all at once: several values go through as one vector.
    """
    places = [i for i, v in enumerate(values) if isinstance(v, Value) and v.requires_grad]
    nodes = [use(values[i]) for i in places]
    if not nodes:
        return values, places
    if len(nodes) == 1:
        seen = [g.custom_vjp(nodes[0], nodes, lambda grad, y, x: rule([grad]))]
    else:
        dtype = dt.promote(*(n.dtype for n in nodes))
        flat = _packed(nodes, dtype)
        packed = g.custom_vjp(
            flat, [flat], lambda grad, y, x: [_packed(rule(_unpacked(grad, nodes)), dtype)]
        )
        seen = _unpacked(packed, nodes)
    row = list(values)
    for i, node in zip(places, seen, strict=True):
        row[i] = make(node, values[i])
    return tuple(row), places


def _packed(nodes: list[Node], dtype: dt.DType) -> Node:
    return g.concat([g.reshape(g.cast(n, dtype), (n.size,)) for n in nodes], 0)


def _unpacked(flat: Node, like: list[Node]) -> list[Node]:
    parts, at = [], 0
    for n in like:
        size = math.prod(n.shape)
        parts.append(g.cast(g.reshape(g.slice(flat, [at], [at + size], [1]), n.shape), n.dtype))
        at += size
    return parts
