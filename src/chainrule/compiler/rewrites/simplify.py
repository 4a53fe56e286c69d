"""Rewrites of the graph that keep its meaning: graph -> graph.

Each rule is an equation; it applies to a node whose inputs are already simplified. Rules that
change rounding are limited to those that drop work (`sum` of a broadcast). Nothing here assumes
that a value is finite: `x * 0` and `x - x` stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...core import graph as g
from ...core.interpret import evaluate_node
from ...core.node import Node, intern
from ...core.rewrite import rebuild, with_inputs
from . import few_rows, merge_axes, windows

Rule = Callable[[Node], Node | None]
FOLD_LIMIT = 64  # elements of a constant that is computed while compiling


def simplify(roots: Sequence[Node]) -> list[Node]:
    """The roots, rewritten until no rule applies."""
    known: dict[Node, Node] = {}
    return rebuild(roots, lambda node: _normal(node, known))


def _normal(node: Node, known: dict[Node, Node]) -> Node:
    """The node in normal form: a rule may build new nodes below, which are brought there too."""
    found = known.get(node)
    if found is None:
        new = with_inputs(node, tuple(_normal(i, known) for i in node.inputs))
        better = _apply_rules(new)
        found = known[node] = new if better is None else _normal(better, known)
    return found


def _apply_rules(node: Node) -> Node | None:
    for rule in _RULES.get(node.op, ()):
        new = rule(node)
        if new is not None and new is not node:
            return new
    if node.primitive.kind in ("elementwise", "reduce", "view", "movement"):
        general = [fold_constants]
        if node.primitive.kind == "elementwise":
            general += [sink_broadcast, merge_axes.over_elementwise]
        return next(filter(None, (rule(node) for rule in general)), None)
    return None


# -- general rules -------------------------------------------------------------------------------
def fold_constants(node: Node) -> Node | None:
    """f(constants) = constant, when small."""
    if (
        node.op == "broadcast"
        or node.size > FOLD_LIMIT
        or any(i.op != "constant" for i in node.inputs)
        or not node.inputs
    ):
        return None
    with np.errstate(all="ignore"):
        return g.constant(
            evaluate_node(node, *(i.params["value"].array for i in node.inputs)), node.dtype
        )


def sink_broadcast(node: Node) -> Node | None:
    """f(broadcast(a), broadcast(b)) = broadcast(f(a, b)): compute on the small arrays."""
    if not node.inputs:
        return None
    small = [_before_broadcast(i) for i in node.inputs]
    shape = tuple(max(s.shape[d] for s in small) if small[0].ndim else 1 for d in range(node.ndim))
    if shape == node.shape or 0 in node.shape:
        return None
    return g.broadcast(
        intern(node.primitive, tuple(g.broadcast(s, shape) for s in small), dict(node.params)),
        node.shape,
    )


def _before_broadcast(node: Node) -> Node:
    return node.inputs[0] if node.op == "broadcast" else node


def scalar_value(node: Node) -> float | None:
    """The number a node is everywhere, if it is a constant."""
    while node.op in ("broadcast", "reshape"):
        node = node.inputs[0]
    if node.op == "constant" and node.size == 1:
        return float(node.params["value"].array.reshape(()))
    return None


# -- elementwise ---------------------------------------------------------------------------------
def _neutral(right: float, both: bool) -> Rule:
    """x op c = x (and c op x = x when ``both``)."""

    def rule(node: Node) -> Node | None:
        a, b = node.inputs
        if node.op == "add" and node.dtype.kind == "f":
            return None  # -0.0 + 0.0 is 0.0
        if scalar_value(b) == right and not _negative_zero(b):
            return a
        return b if both and scalar_value(a) == right else None

    return rule


def _negative_zero(node: Node) -> bool:
    value = scalar_value(node)
    return value == 0 and math.copysign(1.0, value) < 0


def double_neg(node: Node) -> Node | None:
    """-(-x) = x"""
    (x,) = node.inputs
    return x.inputs[0] if x.op == "neg" else None


def small_power(node: Node) -> Node | None:
    """x**2 = x x, x**1 = x, x**0 = 1, x**-1 = 1/x"""
    x, exponent = node.inputs
    if node.dtype.kind != "f":
        return None
    match scalar_value(exponent):
        case 0.0:
            return g.ones_like(x)
        case 2.0:
            return g.mul(x, x)
        case 1.0:
            return x
        case -1.0:
            return g.div(g.ones_like(x), x)
    return None


def exact_reciprocal(node: Node) -> Node | None:
    """x / c = x * (1/c) when c is a power of two, so that nothing is rounded."""
    x, divisor = node.inputs
    value = scalar_value(divisor)
    if node.dtype.kind != "f" or not value or not math.isfinite(value):
        return None
    if abs(math.frexp(value)[0]) == 0.5 and 2.0**-60 < abs(value) < 2.0**60:
        return g.mul(x, g.full(x.shape, 1 / value, x.dtype))
    return None


def same_cast(node: Node) -> Node | None:
    """cast to its own dtype = x"""
    (x,) = node.inputs
    return x if x.dtype == node.dtype else None


def constant_where(node: Node) -> Node | None:
    """where(true, a, b) = a; where(c, a, a) = a"""
    c, a, b = node.inputs
    value = scalar_value(c)
    if value is not None:
        return a if value else b
    return a if a is b else None


def identity(node: Node) -> Node | None:
    """Marks for the reverse sweep mean nothing once gradients are made."""
    return node.inputs[0]


# -- movement ------------------------------------------------------------------------------------
def reshape_reshape(node: Node) -> Node | None:
    """reshape(reshape(x)) = reshape(x); reshape to its own shape = x"""
    (x,) = node.inputs
    if x.op == "reshape":
        return g.reshape(x.inputs[0], node.shape)
    return x if x.shape == node.shape else None


def reshape_broadcast_scalar(node: Node) -> Node | None:
    """reshape(broadcast(c)) = broadcast(reshape(c)) when c has one element"""
    (x,) = node.inputs
    if x.op == "broadcast" and x.inputs[0].size == 1:
        return g.broadcast(g.reshape(x.inputs[0], (1,) * node.ndim), node.shape)
    return None


def permute_permute(node: Node) -> Node | None:
    """permute(permute(x)) = permute(x)"""
    (x,) = node.inputs
    axes = node.params["axes"]
    if x.op == "permute":
        return g.permute(x.inputs[0], [x.params["axes"][a] for a in axes])
    return x if list(axes) == list(range(len(axes))) else None


def permute_units(node: Node) -> Node | None:
    """permute that moves only axes of size 1 = reshape"""
    kept = [a for a in node.params["axes"] if node.inputs[0].shape[a] != 1]
    return g.reshape(node.inputs[0], node.shape) if kept == sorted(kept) else None


def permute_broadcast(node: Node) -> Node | None:
    """permute(broadcast(x)) = broadcast(permute(x))"""
    (x,) = node.inputs
    if x.op == "broadcast":
        return g.broadcast(g.permute(x.inputs[0], node.params["axes"]), node.shape)
    return None


def permute_dot(node: Node) -> Node | None:
    """(a b)' = b' a': a transposed product is one of the transposed, in the layout wanted"""
    (x,) = node.inputs
    axes, n = list(node.params["axes"]), node.ndim
    if x.op != "dot" or axes != [*range(n - 2), n - 1, n - 2]:
        return None
    a, b = x.inputs
    return g.dot(g.permute(b, axes), g.permute(a, axes))


def broadcast_broadcast(node: Node) -> Node | None:
    """broadcast(broadcast(x)) = broadcast(x)"""
    (x,) = node.inputs
    if x.op == "broadcast":
        return g.broadcast(x.inputs[0], node.shape)
    return x if x.shape == node.shape else None


# -- reductions and contractions -----------------------------------------------------------------
def sum_broadcast(node: Node) -> Node | None:
    """sum over axes that are only repeated = x * n"""
    (x,) = node.inputs
    if x.op != "broadcast" or node.dtype.kind != "f":
        return None
    inner = x.inputs[0]
    repeated = [a for a in node.params["axes"] if inner.shape[a] == 1 and x.shape[a] != 1]
    if not repeated or 0 in x.shape:
        return None
    count = math.prod(x.shape[a] for a in repeated)
    shape = tuple(1 if a in repeated else n for a, n in enumerate(x.shape))
    small = g.broadcast(inner, shape)
    scaled = g.mul(small, g.full(shape, count, node.dtype))
    return g.reshape(
        g.sum(scaled, [a for a in node.params["axes"] if a not in repeated]), node.shape
    )


def sum_of_scaled(node: Node) -> Node | None:
    """sum(x * c) = sum(x) * c, where c is the same along the axes summed; in sum(x * c * y) too"""
    (x,) = node.inputs
    axes = node.params["axes"]
    if x.op != "mul" or node.dtype.kind != "f" or 0 in x.shape:
        return None
    for a, b in (x.inputs, x.inputs[::-1]):
        small = _same_along(b, axes)
        if small is not None:
            return g.mul(
                g.sum(a, axes), g.broadcast(g.reshape(small, _without(small, axes)), node.shape)
            )
        for c, d in (a.inputs, a.inputs[::-1]) if a.op == "mul" else ():
            small = _same_along(d, axes)
            if small is not None:
                return g.sum(g.mul(g.mul(c, b), d), axes)
    return None


def _same_along(x: Node, axes: Sequence[int]) -> Node | None:
    """What x repeats along all of these axes."""
    if x.op != "broadcast" or all(x.shape[a] == 1 for a in axes):
        return None
    (small,) = x.inputs
    return small if all(small.shape[a] == 1 for a in axes) else None


def _without(x: Node, axes: Sequence[int]) -> list[int]:
    return [n for a, n in enumerate(x.shape) if a not in axes]


def reduce_units(node: Node) -> Node | None:
    """a reduction over axes of size 1 = reshape"""
    (x,) = node.inputs
    axes = [a for a in node.params["axes"] if x.shape[a] != 1]
    if len(axes) == len(node.params["axes"]):
        return None
    return g.reshape(g.apply(node.op, x, axes=tuple(axes)) if axes else x, node.shape)


def outer_product(node: Node) -> Node | None:
    """a[m,1] b[1,n] = a * b"""
    a, b = node.inputs
    if a.shape[-1] != 1 or node.dtype.kind == "b":
        return None
    return g.mul(g.broadcast(a, node.shape), g.broadcast(b, node.shape))


SPLIT_OVER = 16384  # elements reduced into one: work enough for several threads
FEW = 8  # elements kept


def split_reduction(node: Node) -> Node | None:
    """a long sum into few elements = a sum of fixed chunks: threads share it, in a fixed order"""
    (x,) = node.inputs
    axes = node.params["axes"]
    long = math.prod(x.shape[a] for a in axes)
    if long < SPLIT_OVER or node.size > FEW or axes != tuple(range(x.ndim - len(axes), x.ndim)):
        return None
    kept = x.shape[: x.ndim - len(axes)]
    chunks = next(
        (c for c in (64, 60, 50, 48, 40, 32, 30, 24, 20, 16, 12, 10, 8, 6, 5, 4) if long % c == 0),
        None,
    )
    if chunks is None:
        return None
    first = g.apply(node.op, g.reshape(x, (*kept, chunks, long // chunks)), axes=(len(kept) + 1,))
    return g.apply(node.op, first, axes=(len(kept),))


SPLIT_UNDER = 129  # elements kept: of more, threads share what is kept
LEADING = 8  # long enough an axis for several threads


def split_rows(node: Node) -> Node | None:
    """a long sum over axes to few elements = a sum over one of sums over others: for threads"""
    (x,) = node.inputs
    axes = node.params["axes"]
    long = math.prod(x.shape[a] for a in axes)
    if len(axes) < 2 or long < SPLIT_OVER or node.size >= SPLIT_UNDER:
        return None
    last = next((a for a in axes if x.shape[a] >= LEADING), None)
    if last is None:
        return None
    first = g.apply(node.op, x, axes=tuple(a for a in axes if a != last))
    return g.apply(node.op, first, axes=(last - sum(a < last for a in axes),))


_RULES: dict[str, list[Rule]] = {
    "neg": [double_neg],
    "add": [_neutral(0.0, True)],
    "sub": [_neutral(0.0, False)],
    "mul": [_neutral(1.0, True)],
    "div": [_neutral(1.0, False), exact_reciprocal],
    "pow": [small_power],
    "cast": [same_cast],
    "where": [constant_where],
    "stop_gradient": [identity],
    "custom_vjp": [identity],
    "reshape": [reshape_reshape, reshape_broadcast_scalar],
    "permute": [
        permute_permute,
        permute_units,
        permute_broadcast,
        permute_dot,
        few_rows.permuted_rows,
    ],
    "broadcast": [broadcast_broadcast, merge_axes.over_broadcast],
    "sum": [
        reduce_units,
        sum_broadcast,
        sum_of_scaled,
        merge_axes.over_reduce,
        split_reduction,
        split_rows,
    ],
    "reduce_max": [reduce_units, merge_axes.over_reduce, split_reduction, split_rows],
    "reduce_min": [reduce_units, merge_axes.over_reduce, split_reduction, split_rows],
    "dot": [outer_product, few_rows.product_of_rows],
    "conv": [
        windows.conv_of_nothing,
        windows.conv_phases,
        windows.conv_padding,
        windows.conv_pointwise,
        windows.conv_depthwise,
    ],
    "window": [windows.window_tiles],
    "fold": [windows.fold_tiles, windows.fold_one_axis, windows.fold_taps],
    "gather": [merge_axes.gather_of_flat],
    "scatter_add": [
        few_rows.scattered_in_order,
        merge_axes.scatter_of_flat,
        few_rows.scattered_product,
    ],
}
