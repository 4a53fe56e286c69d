"""Contractions as loops: which are rows, columns and terms of the sum, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...core.node import Node
from ..loops import (
    ZERO,
    Affine,
    Contract,
    Gather,
    Load,
    Loop,
    OperandAccess,
    Rows,
    Statement,
    Store,
    Valid,
    variable,
)
from ..views import Index, base_of, is_merge, through
from .group import Lowering

FEWEST_TILE_ROWS = 8  # positions in a row that make a tile of the contraction


def contract(of: Lowering) -> Contract:
    """The loops of a group that begins with a contraction."""
    head = of.group.head
    loops = []
    count = of.frame
    index: list[Affine] = []
    for n, bound in zip(head.shape, of.group.bind[head], strict=True):
        if bound is None:
            loops.append(Loop(count, n))
            index.append(ZERO)
            count += 1
        else:
            loops.append(Loop(bound, n))
            index.append(variable(bound))
    return CONTRACTIONS[head.op](of, head, loops, tuple(index), of.stores_of_contraction())


def access(of: Lowering, node: Node, index: Index) -> OperandAccess:
    """Where a contraction reads its operand."""
    e = of.value(node, index)
    if isinstance(e, Gather):
        (number,) = e.args
        for view in reversed(base_of(node)[1]):
            index = through(view, index)
        ((var, _),) = index[0].terms
        return OperandAccess(e.buffer, e.address, Rows(var, number, e.rows, e.stride))
    assert isinstance(e, Load), node
    return OperandAccess(e.buffer, e.address)


def _dot(
    of: Lowering, node: Node, loops: list[Loop], index: Index, statements: list[Statement]
) -> Contract:
    a, b = node.inputs
    *batch, m, n = loops
    k = Loop(max(loop.var for loop in loops) + 1, a.shape[-1])
    rows = access(of, a, (*index[:-1], variable(k.var)))
    columns = access(of, b, (*index[:-2], variable(k.var), index[-1]))
    return Contract(tuple(batch), m, n, k, rows, columns, node.dtype, statements)


def _conv(
    of: Lowering, node: Node, loops: list[Loop], index: Index, statements: list[Statement]
) -> Contract:
    """Rows are positions along one axis; the sum runs over the taps and the channels, from the
    longest steps through memory to the shortest."""
    x, w = node.inputs
    rank = node.ndim - 3
    first = max(loop.var for loop in loops) + 1
    terms = [Loop(first + i, n) for i, n in enumerate(w.shape[: rank + 1])]
    taps = [variable(loop.var) for loop in terms]
    at = [
        t * stride + k * dilation
        for t, k, stride, dilation in zip(
            index[1:], taps, node.params["strides"], node.params["dilation"], strict=False
        )
    ]
    place = (index[0], *at, index[-2], taps[-1])
    a = access(of, x, place)
    b = access(of, w, (*taps, *index[-2:]))
    terms = [t for t in terms if t.extent > 1] or terms[-1:]
    *others, n = loops
    if _lie_side_by_side(others[0], a, statements):
        a, b, others, n = b, a, [*others[1:], n], others[0]
        terms.sort(key=lambda t: -_step(b, t))
        batch = sorted(others[:-1], key=lambda loop: -_step(b, loop))
        contract = _contract(batch, others[-1], n, terms, a, b, node, statements)
        return replace(contract, valid=_valid(x, place, contract))
    rows = math.prod(loop.extent for loop in others)
    lasting = rows >= math.prod(t.extent for t in terms)  # b is small, and read in any order

    def far(loop: Loop) -> tuple[int, int]:
        of_a, of_b = _step(a, loop), _step(b, loop)
        return (of_a, of_b) if lasting else (of_a + of_b, 0)

    terms.sort(key=far, reverse=True)
    free = [loop for loop in others if not _step(b, loop)] or others
    long = [loop for loop in free if loop.extent >= FEWEST_TILE_ROWS]
    if long:
        m = min(long, key=lambda loop: _step(a, loop))
    else:
        m = max(free, key=lambda loop: loop.extent)
    batch = sorted(
        (loop for loop in others if loop is not m),
        key=lambda loop: (not _step(b, loop), -_step(a, loop)),
    )
    contract = _contract(batch, m, n, terms, a, b, node, statements)
    return replace(contract, valid=_valid(x, place, contract))


def _valid(x: Node, index: Index, contract: Contract) -> tuple[Valid, ...]:
    """The terms outside of what x pads with zeros, where all rows and columns have the same."""
    padded, views = base_of(x)
    if padded.op != "pad" or padded.params["value"] or any(map(is_merge, views)):
        return ()
    for view in reversed(views):
        index = through(view, index)
    batch = {loop.var for loop in contract.batch}
    found: list[Valid] = []
    for place, low, inside in zip(index, padded.params["low"], padded.inputs[0].shape, strict=True):
        own = [loop.var for loop in contract.outer_k if place.coefficient(loop.var) > 0]
        others = {var for var, _ in place.terms}.difference(own)
        if len(own) == 1 and others and others <= batch:
            found.append(Valid(own[0], place, low, low + inside))
    return tuple(found)


def _step(operand: OperandAccess, loop: Loop) -> int:
    """How far an iteration moves through memory."""
    return abs(operand.address.coefficient(loop.var))


def _lie_side_by_side(loop: Loop, x: OperandAccess, statements: Sequence[Statement]) -> bool:
    """Whether what is read and all that is written lies side by side along a loop: then it is the
    vector, and weights are the rows."""
    stores = [s.address.coefficient(loop.var) for s in statements if isinstance(s, Store)]
    return loop.extent > 1 and _step(x, loop) == 1 and all(c == 1 for c in stores)


def _contract(
    batch: Sequence[Loop],
    m: Loop,
    n: Loop,
    k: Sequence[Loop],
    a: OperandAccess,
    b: OperandAccess,
    node: Node,
    statements: list[Statement],
) -> Contract:
    return Contract(tuple(batch), m, n, k[-1], a, b, node.dtype, statements, tuple(k[:-1]))


CONTRACTIONS: dict[
    str, Callable[[Lowering, Node, list[Loop], Index, list[Statement]], Contract]
] = {"dot": _dot, "conv": _conv}
