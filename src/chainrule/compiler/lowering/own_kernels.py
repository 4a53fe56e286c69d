"""Primitives that are kernels of their own: what is copied side by side, padded, or scattered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ...core.node import Node
from ..fuse import Group
from ..loops import (
    ZERO,
    Affine,
    Body,
    Constant,
    Expr,
    Loop,
    Nest,
    OperandAccess,
    Scatter,
    Stage,
    Store,
    strides_of,
    variable,
)
from ..views import base_of, flat
from .group import Lowering


def copy_nest(
    source: Node,
    target: int,
    numbers: Mapping[Node, int],
    place: Affine | None = None,
    strides: Sequence[int] | None = None,
) -> Nest:
    """target[place + sum index * strides] = source."""
    lowering = Lowering(Group(-1, tuple(source.shape)), numbers)
    index = tuple(variable(i) for i in range(source.ndim))
    address = flat(index, source.shape)
    if place is not None and strides is not None:
        address = place
        for i, s in zip(index, strides, strict=True):
            address = address + i * s
    index = tuple(ZERO if n == 1 else i for i, n in zip(index, source.shape, strict=True))
    statement = Store(target, address, lowering.value(source, index))
    loops = tuple(Loop(i, n) for i, n in enumerate(source.shape))
    return Nest(loops, [Stage((), [statement])])


def _concat(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    bodies: list[Body] = []
    strides, axis = strides_of(node.shape), node.params["axis"]
    start = 0
    for x in node.inputs:
        if x.size:
            place = Affine(start * strides[axis])
            bodies.append(copy_nest(x, numbers[node], numbers, place, strides))
        start += x.shape[axis]
    return bodies


FEWEST_PADDED = 16  # iterations of the axes before the padded ones that make a loop of their own


def _pad(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    (x,) = node.inputs
    strides = strides_of(node.shape)
    low = node.params["low"]
    start = Affine(sum(n * s for n, s in zip(low, strides, strict=True)))
    value = Constant(dtype=node.dtype, value=node.params["value"])
    whole = next(a for a, (n, m) in enumerate(zip(x.shape, node.shape, strict=True)) if n != m)
    if x.size and math.prod(x.shape[:whole]) >= FEWEST_PADDED:
        return [_padded(node, whole, start, value, numbers)]
    fill = Store(numbers[node], variable(0), value)
    bodies: list[Body] = [Nest((Loop(0, node.size),), [Stage((), [fill])])]
    if x.size:
        bodies.append(copy_nest(x, numbers[node], numbers, start, strides))
    return bodies


def _padded(
    node: Node, whole: int, start: Affine, value: Expr, numbers: Mapping[Node, int]
) -> Nest:
    """One nest: for each index of the ``whole`` axes in front, what lies around, and x."""
    (x,) = node.inputs
    strides = strides_of(node.shape)
    copy = copy_nest(x, numbers[node], numbers, start, strides)
    outer, inner = copy.outer[:whole], copy.outer[whole:]
    stages = []
    for axis in range(whole, node.ndim):
        low, n = node.params["low"][axis], x.shape[axis]
        for first, count in ((0, low), (low + n, node.shape[axis] - low - n)):
            # inside on the axes before, all of those behind
            extents = (*x.shape[whole:axis], count, *node.shape[axis + 1 :])
            place = Affine(first * strides[axis])
            for a in range(whole, axis):
                place = place + Affine(node.params["low"][a] * strides[a])
            for a, s in enumerate(strides):
                place = place + variable(a) * s
            loops = tuple(Loop(whole + i, extent) for i, extent in enumerate(extents))
            if math.prod(extents):
                stages.append(Stage(loops, [Store(numbers[node], place, value)]))
    (last,) = copy.stages
    return Nest(outer, [*stages, Stage(inner, last.statements)])


def _scatter(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    x, *others = node.inputs
    where, updates = (base_of(o)[0] for o in others)  # of any shape
    row = math.prod(x.shape[1:])
    return [
        copy_nest(x, numbers[node], numbers),
        Scatter(
            x.shape[0],
            row,
            where.size,
            numbers[node],
            OperandAccess(numbers[where], variable(0)),
            OperandAccess(numbers[updates], variable(0) * row + variable(1)),
            where.dtype,
            node.dtype,
            adds=node.op == "scatter_add",
        ),
    ]


# Primitives with kernels of their own; each of the bodies reads and writes values by number.
KERNELS: dict[str, Callable[[Node, Mapping[Node, int]], list[Body]]] = {
    "concat": _concat,
    "pad": _pad,
    "scatter_add": _scatter,
    "put": _scatter,
}
