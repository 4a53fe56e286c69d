"""Products with rows that repeat: computed once for each row there is, not each time it is taken.

An embedding takes many rows of a small table, and a linear layer behind it multiplies each of them.
With X = gather(E, i), which has more rows than E:

    X W = gather(E W, i)            with the same roundings
    Gᵀ X = (scatter_add(0, i, G))ᵀ E
    Xᵀ G = Eᵀ scatter_add(0, i, G)
    scatter_add(Y, i, G W) = Y + scatter_add(0, i, G) W

The three gradients add in another order: first the rows that belong together, then the product.
So that a product finds them, rows are taken, and scattered, in the order in which they are used:

    permute(gather(E, i)) = gather(E, permute(i))
    scatter_add(Y, i, permute(G)) = scatter_add(Y, permute⁻¹(i), G)

Rows that are never taken are left out of E and keep their Y: 0 times what is no number is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...core import graph as g
from ...core.node import Node, Shape

FEWER = 2  # times as many rows are taken as there are
WORTH = 64  # columns of the table: with fewer, moving rows takes as long as multiplying them


def product_of_rows(node: Node) -> Node | None:
    """dot of gathered rows = gathered rows of a dot, or dot of scattered rows"""
    a, b = node.inputs
    if node.ndim != 2:
        return None
    if (rows := _rows(a)) is not None:
        return g.gather(g.dot(rows.inputs[0], b), rows.inputs[1])
    if a.op != "permute":
        return None
    left = a.inputs[0]
    if (rows := _rows(b)) is not None:
        sums = _scattered(rows.inputs[0], rows.inputs[1], left)
        return g.dot(g.permute(sums, (1, 0)), _taken(*rows.inputs))
    if (rows := _rows(left)) is not None:
        sums = _scattered(rows.inputs[0], rows.inputs[1], b)
        return g.dot(g.permute(_taken(*rows.inputs), (1, 0)), sums)
    return None


def scattered_product(node: Node) -> Node | None:
    """scatter_add of a dot's rows = dot of scattered rows"""
    table, index, updates = node.inputs
    if index.ndim != 1 or not _is_worth(table, index):
        return None
    product = updates.inputs[0] if updates.op == "reshape" else updates
    if product.op != "dot" or product.shape != updates.shape:
        return None
    a, b = product.inputs
    total = g.add(table, g.dot(_scattered(table, index, a), b))
    return g.where(_is_taken(table, index), total, table)


def permuted_rows(node: Node) -> Node | None:
    """gathered rows in another order = rows gathered in that order"""
    (x,) = node.inputs
    rows = x.inputs[0] if x.op == "reshape" else x
    if rows.op != "gather" or rows.inputs[0].ndim < 2:
        return None
    (table, index), axes = rows.inputs, node.params["axes"]
    if (order := _order(axes, x.shape, table.shape[1:])) is None:
        return None
    head = x.shape[: len(order)]
    index = g.reshape(g.permute(g.reshape(index, head), order), (index.size,))
    return g.reshape(g.gather(table, index), node.shape)


def scattered_in_order(node: Node) -> Node | None:
    """the adjoint: rows are scattered as they lie"""
    table, index, updates = node.inputs
    x = updates.inputs[0] if updates.op == "reshape" else updates
    if x.op != "permute" or table.ndim < 2:
        return None
    if (order := _order(x.params["axes"], x.shape, table.shape[1:])) is None:
        return None
    back = sorted(range(len(order)), key=order.__getitem__)
    index = g.permute(g.reshape(index, x.shape[: len(order)]), back)
    rows = g.reshape(x.inputs[0], (index.size, *table.shape[1:]))
    return g.scatter_add(table, g.reshape(index, (index.size,)), rows)


def _order(axes: Sequence[int], shape: Shape, row: Shape) -> tuple[int, ...] | None:
    """How a permute orders the rows of an array of this shape; None if it does more than that."""
    head = len(shape) - len(row)
    kept = tuple(axes[head:]) == tuple(range(head, len(shape))) and shape[head:] == row
    return tuple(axes[:head]) if head > 1 and kept else None


def _rows(x: Node) -> Node | None:
    """The gather of whole rows that x is, if it takes many of few."""
    rows = x.inputs[0] if x.op == "reshape" else x
    if rows.op != "gather" or rows.shape != x.shape or rows.inputs[1].ndim != 1:
        return None
    return rows if _is_worth(*rows.inputs) else None


def _is_worth(table: Node, index: Node) -> bool:
    return (
        table.ndim == 2
        and table.dtype.kind == "f"
        and table.shape[0] * FEWER <= index.size
        and table.shape[1] >= WORTH
    )


def _scattered(table: Node, index: Node, x: Node) -> Node:
    """The sums of x's rows that belong to the same row of the table."""
    zeros = g.full((table.shape[0], x.shape[1]), 0, x.dtype)
    return g.scatter_add(zeros, index, x)


def _taken(table: Node, index: Node) -> Node:
    """The table; rows that are never taken, which may be no numbers, are 0 as the sums are."""
    return g.where(_is_taken(table, index), table, g.zeros_like(table))


def _is_taken(table: Node, index: Node) -> Node:
    """Of each element of the table, whether its row is taken."""
    zeros, ones = (g.full(s, n, table.dtype) for n, s in enumerate((table.shape[:1], index.shape)))
    count = g.reshape(g.scatter_add(zeros, index, ones), (table.shape[0], 1))
    return g.ne(g.broadcast(count, table.shape), g.zeros_like(table))
