"""In which order the axes of an activation lie in memory: as the convolutions make and read them.

A convolution's channels come last. Programs name them second, so permutes stand between one layer
and the next; if what lies between them were stored in the order in which the program names the
axes, every layer would turn its input around and back. Permutes of what a convolution made move
outward instead, over everything that treats elements alike, until another convolution's meet them:

    f(permute(a), b) = permute(f(a, permute⁻¹(b)))
    reduce(permute(a)), pad(permute(a)), … likewise

Each node is taken to (core, axes), its value being permute(core, axes).

Where channels are few, most of a vector of channels would be empty, and the batch is the vector
(`batch_last`): what convolutions make and read is copied so that its batch lies innermost, a copy
that the contraction itself writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...core import graph as g
from ...core.node import Node, copy_source, intern, reachable
from ...core.rewrite import with_inputs
from ..views import axis_groups
from .windows import OFTEN


class Laid(NamedTuple):
    """permute(core, axes); whether a convolution made it."""

    core: Node
    axes: tuple[int, ...]
    moves: bool

    @property
    def value(self) -> Node:
        return _permuted(self.core, self.axes)


Orders = dict[Node, tuple[int, ...]]


def layout(roots: Sequence[Node]) -> list[Node]:
    """The roots, with convolutions' permutes behind what follows element by element."""
    order = reachable(roots)
    if not any(node.op == "conv" for node in order):
        return list(roots)
    found: dict[Node, Laid] = {}
    final = set(roots)
    orders: Orders = {}
    batches = batch_axes(order)
    lasts = {
        x: a for node, axes in batches.items() for x, a in zip(node.inputs, axes, strict=False)
    }
    heights: dict[Node, int] = {}
    for node in order:
        heights[node] = 1 + max((heights[x] for x in node.inputs), default=0)
    for node in sorted(order, key=heights.__getitem__):  # what is forward before its gradients
        inputs = [found[x] for x in node.inputs]
        if node in batches:
            laid = _batch_last(node, inputs, batches[node])
        else:
            laid = _laid(node, inputs, orders, lasts.get(node))
        if node in final and not _is_same(laid.axes):  # a result lies as it is named
            laid = _named(node, inputs)
        if laid.core is not node:
            copy_source(laid.core, node)
        found[node] = laid
    return [found[root].core for root in roots]


VECTOR = 64  # bytes, about
MOST_ROWS = 256  # of a batch that lies innermost: rows of more are too far apart
WORTH_TURNING = 1.25  # times as long, with channels innermost
NEAR = 512  # terms of a sum whose vectors stay in the first cache from one tile of rows to the next
FAR_TERMS = 0.4  # the speed of longer ones with the batch innermost, channels innermost being 1
SUMS_OF_LANES = 0.65  # that of the gradients of weights


def batch_axes(order: Sequence[Node]) -> dict[Node, tuple[int, ...]]:
    """For every convolution of a graph, which axes of its inputs are the batch, if the batch should
    lie innermost; none, if channels should. Decided for all of them together, by their work and
    the lanes that it would leave empty."""
    convolutions = [node for node in order if node.op == "conv"]
    by_image = [node for node in convolutions if not _sums_over_batch(node)]
    rows = {node.shape[0] for node in by_image}
    if len(rows) != 1 or not 1 < max(rows) <= MOST_ROWS or _has_pixels_as_rows(order, max(rows)):
        return {}
    found: dict[Node, tuple[int, ...]] = {}
    channels = images = 0.0
    for node in convolutions:
        x, w = node.inputs
        work = math.prod(node.shape) * math.prod(w.shape[:-2])
        lanes = VECTOR // node.dtype.itemsize
        sums = _sums_over_batch(node)
        fast = SUMS_OF_LANES if sums else 1.0 if math.prod(w.shape[:-2]) <= NEAR else FAR_TERMS
        channels += work / _full(node.shape[-1], lanes)
        images += work / (_full(max(rows), lanes) * fast)
        if (x.shape[-1] if sums else x.shape[0]) != max(rows):
            return {}
        found[node] = (x.ndim - 1, node.ndim - 3) if sums else (0,)
    return found if channels > WORTH_TURNING * images else {}


def _full(n: int, lanes: int) -> float:
    """The share of the lanes that hold one of n elements side by side."""
    return n / (-(-n // lanes) * lanes)


def _sums_over_batch(node: Node) -> bool:
    """Whether it is the gradient of another's weights: longer sums than it has results."""
    return math.prod(node.inputs[1].shape[:-2]) > math.prod(node.shape[:-1])


def _has_pixels_as_rows(order: Sequence[Node], rows: int) -> bool:
    """Whether a product of matrices treats places of images as rows: they are merged with the
    batch, which has to lie around them."""
    return any(n.op == "dot" and n.shape[-2] > rows and n.shape[-2] % rows == 0 for n in order)


def _batch_last(node: Node, inputs: Sequence[Laid], axes: Sequence[int]) -> Laid:
    """A convolution of inputs whose ``axes`` lie innermost, and of a result that does as well."""
    turned = [_innermost(x, a).value for x, a in zip(inputs, axes, strict=False)]
    if len(axes) > 1:
        return Laid(with_inputs(node, tuple(turned)), _same(node.ndim), True)
    weights = inputs[1].value
    if weights.size * OFTEN <= node.size:
        weights = g.copy(weights)  # as the rows of a tile are read
    conv = with_inputs(node, (*turned, weights))
    order = [*range(1, node.ndim), 0]
    return Laid(g.copy(g.permute(conv, order)), _inverse(order), True)


def _innermost(x: Laid, axis: int) -> Laid:
    """The same value with an axis innermost, copied if it did not lie there."""
    place = x.axes[axis]
    if all(n == 1 for n in x.core.shape[place + 1 :]):
        return x
    order = [*(a for a in range(x.core.ndim) if a != place), place]
    return Laid(g.copy(g.permute(x.core, order)), tuple(order.index(a) for a in x.axes), x.moves)


def _laid(node: Node, inputs: Sequence[Laid], orders: Orders, last: int | None = None) -> Laid:
    """A node whose inputs are given; ``last``: the axis that would better lie innermost."""
    kind = "elementwise" if node.primitive.kind == "elementwise" else node.op
    if node.primitive.copies and not inputs[0].moves:  # made to lie as it is named
        return _named(node, inputs)
    rule = _RULES.get(kind)
    moving = _moving(node, kind, inputs)
    if kind == "pad" and (moving is None or not moving.moves):
        return _padded(node, inputs[0], orders, last)
    if moving is not None and rule is not None:
        laid = rule(node, moving, inputs)
        if laid is not None:
            return laid
    moves = node.op == "conv" or (rule is not None and any(x.moves for x in inputs))
    return _named(node, inputs, moves)


def _named(node: Node, inputs: Sequence[Laid], moves: bool = False) -> Laid:
    """A node that lies as the program names its axes."""
    return Laid(with_inputs(node, tuple(x.value for x in inputs)), _same(node.ndim), moves)


def _moving(node: Node, kind: str, inputs: Sequence[Laid]) -> Laid | None:
    """The input whose permute moves over the node."""
    turned = [x for x in inputs if kind == "permute" or not _is_same(x.axes)]
    made = [x for x in turned if x.moves]
    if made:
        return made[0]
    if kind == "elementwise":  # all that is as large is turned in the same way
        large = {x.axes for x in inputs if x.core.op not in ("broadcast", "constant")}
        return turned[0] if turned and len(large) == 1 and turned[0].axes in large else None
    return turned[0] if turned and kind in ("permute", "reshape", "slice", "pad") else None


def _same(n: int) -> tuple[int, ...]:
    return tuple(range(n))


def _is_same(axes: Sequence[int]) -> bool:
    return list(axes) == list(range(len(axes)))


def _permuted(x: Node, axes: Sequence[int]) -> Node:
    if x.op == "permute":
        return _permuted(x.inputs[0], [x.params["axes"][a] for a in axes])
    return x if _is_same(axes) else g.permute(x, axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _in_core(values: Sequence[int], axes: Sequence[int]) -> list[int]:
    """One value for each axis, in the order of the core's."""
    return [values[a] for a in _inverse(axes)]


# -- the rules: node, the input that moves, all inputs -> what the node is ------------------------
def _permute(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    return Laid(x.core, tuple(x.axes[a] for a in node.params["axes"]), x.moves)


def _elementwise(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    back = _inverse(x.axes)
    cores = tuple(_permuted(y.core, [y.axes[a] for a in back]) for y in inputs)
    return Laid(intern(node.primitive, cores, dict(node.params)), x.axes, x.moves)


def _reduce(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    gone = {x.axes[a] for a in node.params["axes"]}
    left = [a for a in range(x.core.ndim) if a not in gone]
    axes = tuple(left.index(a) for a in x.axes if a not in gone)
    return Laid(g.apply(node.op, x.core, axes=tuple(sorted(gone))), axes, x.moves)


def _broadcast(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    return Laid(g.broadcast(x.core, _in_core(node.shape, x.axes)), x.axes, x.moves)


def _pad(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    low, high = (_in_core(node.params[p], x.axes) for p in ("low", "high"))
    long = [a for a, n in enumerate(x.core.shape) if n != 1 or low[a] or high[a]]
    base = g.reshape(x.core, [x.core.shape[a] for a in long])  # equal for all, wherever units lie
    wide = g.pad(base, [low[a] for a in long], [high[a] for a in long], node.params["value"])
    shape = [n + low[a] + high[a] for a, n in enumerate(x.core.shape)]
    return Laid(g.reshape(wide, shape), x.axes, x.moves)


def _padded(node: Node, x: Laid, orders: Orders, last: int | None) -> Laid:
    """What is padded for a convolution lies as the first one reads it, also for the others."""
    units = [a for a, n in enumerate(x.core.shape) if n == 1]
    low, high = (_in_core(node.params[p], x.axes) for p in ("low", "high"))
    if any(low[a] or high[a] for a in units):
        return _named(node, [x])
    base, axes = x.core, [a for a in range(x.core.ndim) if a not in units]
    while base.op == "reshape" and _long(base.inputs[0]) == _long(base):
        base = base.inputs[0]
    base = g.reshape(base, _long(base)) if 1 in base.shape else base
    named = [axes.index(a) for a in x.axes if a in axes]
    if last is not None and x.axes[last] in axes:
        named.append(named.pop(named.index(axes.index(x.axes[last]))))
    order = orders.setdefault(base, tuple(named))
    wide = g.pad(
        _permuted(base, order),
        [low[axes[i]] for i in order],
        [high[axes[i]] for i in order],
        node.params["value"],
    )
    places = {a: order.index(i) for i, a in enumerate(axes)}
    places |= {a: len(order) + i for i, a in enumerate(units)}
    core = g.reshape(wide, (*wide.shape, *[1] * len(units))) if units else wide
    return Laid(core, tuple(places[a] for a in x.axes), True)


def _long(x: Node) -> tuple[int, ...]:
    return tuple(n for n in x.shape if n != 1)


def _slice(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    parts = [_in_core(node.params[p], x.axes) for p in ("starts", "stops", "steps")]
    return Laid(g.slice(x.core, *parts), x.axes, x.moves)


def _window(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid:
    axes, *rest = (node.params[p] for p in g.WINDOW)
    places = [x.axes[a] for a in axes]
    order = sorted(range(len(places)), key=places.__getitem__)  # a window's axes ascend
    core = g.window(x.core, *([part[i] for i in order] for part in (places, *rest)))
    within = [x.core.ndim + order.index(i) for i in range(len(axes))]
    return Laid(core, (*x.axes, *within), x.moves)


def _reshape(node: Node, x: Laid, inputs: Sequence[Laid]) -> Laid | None:
    """Axes split, or merged where they lie side by side; those of size 1 behind the one before."""
    before = tuple(x.core.shape[a] for a in x.axes)
    groups = axis_groups(before, node.shape) if 0 not in before else []
    where: dict[int, list[int]] = {}  # the new axes of each group, by its place in the core
    last = [x.core.ndim]
    for left, right in groups:
        places = [x.axes[a] for a in left] or last
        if not right:
            continue
        if places != list(range(places[0], places[0] + len(places))):
            return None
        where.setdefault(places[0], []).extend(right)
        last = [places[0]]
    order = [j for place in sorted(where) for j in where[place]]
    if len(order) != node.ndim:
        return None
    return Laid(g.reshape(x.core, [node.shape[j] for j in order]), _inverse(order), x.moves)


_Rule = Callable[[Node, Laid, Sequence[Laid]], Laid | None]
_RULES: dict[str, _Rule] = {
    "elementwise": _elementwise,
    "permute": _permute,
    "sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "broadcast": _broadcast,
    "pad": _pad,
    "slice": _slice,
    "window": _window,
    "reshape": _reshape,
}
