"""Reshapes moved outward, so that axes which nothing tells apart become one.

A linear layer on (batch, time, features) multiplies a matrix of batch · time rows and then gives
the axes back. What follows element by element, or is summed over the features, is the same on the
matrix, where it joins the kernel of the multiplication:

    f(reshape(a), b) = reshape(f(a, reshape(b)))

Runs are lists of neighbouring axes, one for each axis of the array below the reshape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...core import graph as g
from ...core.node import Node, Shape, intern
from ..views import axis_groups

Runs = list[list[int]]


def over_elementwise(node: Node) -> Node | None:
    """f(reshape(a), b) = reshape(f(a, reshape(b)))"""
    for x in node.inputs:
        runs = _split_axes(x)
        if runs is not None:
            flat = [_flat(y, runs) for y in node.inputs]
            if None not in flat:
                below = intern(node.primitive, tuple(filter(None, flat)), dict(node.params))
                return g.reshape(below, node.shape)
    return None


def over_reduce(node: Node) -> Node | None:
    """reduce(reshape(a)) = reshape(reduce(a)), if a's axes go or stay whole"""
    (x,) = node.inputs
    axes, runs = node.params["axes"], _split_axes(x)
    if runs is None or any(len({a in axes for a in run}) > 1 for run in runs):
        return None
    below = g.reshape(x.inputs[0], _lengths(x.shape, runs))
    gone = tuple(i for i, run in enumerate(runs) if run[0] in axes)
    return g.reshape(g.apply(node.op, below, axes=gone), node.shape)


def over_broadcast(node: Node) -> Node | None:
    """broadcast(reshape(a)) = reshape(broadcast(a)), if no axis of a is repeated in part"""
    (x,) = node.inputs
    runs = _split_axes(x)
    if runs is None or any(len(run) > 1 and _repeats(x.shape, node.shape, run) for run in runs):
        return None
    below = g.reshape(x.inputs[0], _lengths(x.shape, runs))
    return g.reshape(g.broadcast(below, _lengths(node.shape, runs)), node.shape)


def gather_of_flat(node: Node) -> Node | None:
    """x[index] = reshape(x[reshape(index)])"""
    x, index = node.inputs
    if index.ndim < 2 or not _is_free(index):
        return None
    return g.reshape(g.gather(x, g.reshape(index, (index.size,))), node.shape)


def scatter_of_flat(node: Node) -> Node | None:
    """The same of its adjoint."""
    x, index, updates = node.inputs
    if index.ndim < 2 or not _is_free(index):
        return None
    rows = g.reshape(updates, (index.size, *x.shape[1:]))
    return g.scatter_add(x, g.reshape(index, (index.size,)), rows)


def _split_axes(x: Node) -> Runs | None:
    """The runs of x's axes if it is a reshape that makes several out of one axis of something
    computed, and does nothing else."""
    if x.op != "reshape" or x.size == 0 or x.inputs[0].op in ("input", "constant"):
        return None
    groups = [g_ for g_ in axis_groups(x.inputs[0].shape, x.shape) if g_[1]]
    if any(len(left) > 1 for left, _ in groups) or all(len(right) == 1 for _, right in groups):
        return None
    return [right for _, right in groups]


def _flat(x: Node, runs: Runs) -> Node | None:
    """x with each run of axes as one; None where that would take a copy."""
    shape = _lengths(x.shape, runs)
    match x.op:
        case "broadcast":
            (inner,) = x.inputs
            many = [run for run in runs if len(run) > 1]
            if any(_repeats(inner.shape, x.shape, run) for run in many):
                whole = all(inner.shape[a] == 1 for run in many for a in run)
                if not whole:
                    return None
            elif not _is_free(inner):
                return None
            return g.broadcast(g.reshape(inner, _lengths(inner.shape, runs)), shape)
        case "permute" | "slice" | "flip":
            return None
        case "iota":
            (axis,) = (i for i, run in enumerate(runs) if x.params["axis"] in run)
            return g.iota(shape, axis, x.dtype) if len(runs[axis]) == 1 else None
        case "random_bits":
            return g.random_bits(x.inputs[0], shape) if x.inputs[0].ndim == 1 else None
    return g.reshape(x, shape)


def _repeats(small: Shape, large: Shape, run: Sequence[int]) -> bool:
    return any(small[a] != large[a] for a in run)


def _is_free(x: Node) -> bool:
    """Whether merging x's axes takes nothing: it lies in memory, or is a reshape already."""
    return x.op in ("input", "constant", "reshape")


def _lengths(shape: Shape, runs: Runs) -> Shape:
    return tuple(math.prod(shape[a] for a in run) for run in runs)
