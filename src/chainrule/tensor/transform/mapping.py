"""vmap: a function of one example becomes one of many."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...autodiff import batching
from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import OptionError, ShapeError
from ...runtime import realize as rt
from ..backward import depends_on_leaf
from ..capture import active
from ..pytree import broadcast_prefix, flatten, unflatten
from ..value import Tensor, Value, as_tensor, make, register_leaf
from .tracers import Function, transforming

RANDOMNESS = ("same", "different", "error")


@contextmanager
def _drawing(randomness: str, mapped: dict[Node, Node], length: int) -> Iterator[None]:
    """What a draw inside a mapped function gives: see `vmap`."""
    before = active.steps, active.draws
    active.draws = randomness != "error"
    if randomness == "different":
        number = rt.placeholder((), dt.uint32, rt.MAPPED)
        mapped[number] = g.iota((length,), 0, dt.uint32)
        active.steps = (*active.steps, number)
    try:
        yield
    finally:
        active.steps, active.draws = before


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0, randomness: str = "same") -> Function:
    """``f`` for many examples at once: write it for one, call it with an axis of examples added.

    ``in_axes``: the axis of the examples in each argument (None: the same for all); ``out_axes``:
    where it goes in the results. ``randomness``: whether random numbers drawn inside are the
    "same" for all examples, "different" for each (a function of its number), or an "error".

    >>> import chainrule as cr
    >>> cr.vmap(lambda a, b: (a * b).sum())(cr.ones(3, 2), cr.ones(3, 2))
    tensor([2., 2., 2.])
    >>> noisy = cr.vmap(lambda x: x + cr.rand(), randomness="different")(cr.zeros(2))
    >>> bool(noisy[0] == noisy[1])
    False
    """
    if randomness not in RANDOMNESS:
        raise OptionError(f"vmap: randomness is one of {', '.join(RANDOMNESS)}, got {randomness!r}")

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        given = _Arguments(args, in_axes)
        mapped, length = given.mapped, given.length

        def batch_first(nodes: list[Node]) -> list[Node]:
            return [n for n, _ in batching.vmap_nodes(nodes, mapped)]

        with transforming(batch_first):
            with _drawing(randomness, mapped, length):
                out = f(*given.for_one, **options)
            results, out_structure = flatten(out)
            changed = [
                (x, t.node, axis) for x, t, node, axis in given.tensors if t.node is not node
            ]
            nodes = [as_tensor(t).node for t in results] + [node for _, node, _ in changed]
            batched = batching.vmap_nodes(nodes, mapped)
        rt.end(mapped)
        for (x, _, axis), (n, m) in zip(changed, batched[len(results) :], strict=True):
            new = _placed(n, m, axis, length)  # changed in place: so is the argument
            tracked = active.grad_enabled and depends_on_leaf(new)
            x._become(make(new, requires_grad=tracked), "the function given to vmap changes x")
        places = broadcast_prefix(out_axes, out)
        found = [
            _placed(n, m, place, length) for (n, m), place in zip(batched, places, strict=False)
        ]
        return unflatten(
            out_structure,
            [make(n, requires_grad=active.grad_enabled and depends_on_leaf(n)) for n in found],
        )

    return wrapped


class _Arguments:
    """The arguments of a mapped function, and what stands for them in it."""

    def __init__(self, args: Sequence[Any], in_axes: Any) -> None:
        leaves, structure = flatten(list(args))
        if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
            raise OptionError(f"vmap: in_axes={in_axes} for {len(args)} arguments")
        axes = broadcast_prefix(
            list(in_axes) if isinstance(in_axes, tuple) else in_axes, list(args)
        )
        self.mapped: dict[Node, Node] = {}  # of one example to those of all, which come first
        self.tensors: list[tuple[Tensor, Tensor, Node, int]] = []
        inner: list[Any] = []
        lengths: dict[int, Any] = {}
        for x, axis in zip(leaves, axes, strict=True):
            if axis is None or not isinstance(x, Value | np.ndarray):
                inner.append(x)
                continue
            tensor = as_tensor(x)
            if not -tensor.ndim <= axis < tensor.ndim:
                raise ShapeError(
                    f"vmap: in_axes names axis {axis} of a tensor of shape {tensor.shape}"
                )
            axis %= tensor.ndim
            lengths[tensor.shape[axis]] = tensor.shape
            front = tensor.moveaxis(axis, 0)
            node = rt.placeholder(front.shape[1:], front.dtype, rt.MAPPED)
            self.mapped[node] = front.node
            inner.append(make(node, front))
            if isinstance(x, Value):
                self.tensors.append((tensor, inner[-1], node, axis))
            if inner[-1].requires_grad:
                register_leaf(node, inner[-1])
        if len(lengths) != 1:
            shown = " and ".join(str(s) for s in lengths.values()) or "no tensor"
            raise ShapeError(
                f"vmap: mapped arguments must have one length along in_axes, got {shown}"
            )
        [self.length] = lengths
        self.for_one = unflatten(structure, inner)


def _placed(node: Node, mapped: bool, axis: Any, length: int) -> Node:
    if axis is None:
        if mapped:
            raise OptionError("vmap: out_axes is None for a result that differs between examples")
        return node
    node = node if mapped else g.expand(node, (length, *node.shape))
    if not -node.ndim <= axis < node.ndim:
        raise ShapeError(f"vmap: out_axes={axis} for a result of shape {node.shape[1:]}")
    order = list(range(1, node.ndim))
    order.insert(axis % node.ndim, 0)
    return g.permute(node, order)
