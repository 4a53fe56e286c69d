"""Contractions: matmul, einsum and their relatives, all by the primitive dot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DTypeError, OptionError, ShapeError
from ..value import Tensor, Value, as_tensor, make, use
from .axes import normalize_axis
from .elementwise import add, multiply
from .operands import broadcast_shapes
from .reductions.reduce import sum
from .shape import reshape

# fmt: off
__all__ = [  # what `chainrule` offers
    "addmm", "bmm", "dot", "einsum", "matmul", "mm", "outer", "tensordot", "vecdot",
]
# fmt: on


def _operands(name: str, *xs: Any) -> tuple[list[Node], list[Tensor]]:
    tensors = [as_tensor(x) for x in xs]
    dtype = dt.promote(*(t.dtype for t in tensors))
    if dtype == dt.bool_:
        raise DTypeError(f"{name} does not take bool; convert with .float() or .int()")
    return [use(t, dtype) for t in tensors], tensors


def matmul(a: Any, b: Any) -> Tensor:
    """The matrix product a @ b: (..., m, k) and (..., k, n) give (..., m, n); others broadcast.

    A vector on the left counts as a row, on the right as a column, and that axis is dropped again.

    >>> import chainrule as cr
    >>> cr.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    tensor([3., 7.])
    """
    (x, y), tensors = _operands("matmul", a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(
            f"matmul takes vectors and matrices, got shapes {x.shape} and {y.shape}; use * with a "
            "scalar"
        )
    last = y.shape[max(y.ndim - 2, 0)]
    if x.shape[-1] != last:
        raise ShapeError(
            f"matmul: shapes {x.shape} and {y.shape}: the last axis of the left, {x.shape[-1]}, "
            f"must equal the {'only' if y.ndim == 1 else 'second-last'} axis of the right, {last}"
        )
    row, column = x.ndim == 1, y.ndim == 1
    x = g.reshape(x, (1, *x.shape)) if row else x
    y = g.reshape(y, (*y.shape, 1)) if column else y
    result = _batched(x, y)
    shape = list(result.shape)
    if column:
        del shape[-1]
    if row:
        del shape[-1 if column else -2]
    return make(g.reshape(result, shape), *tensors)


def _batched(x: Node, y: Node) -> Node:
    m, k, n = x.shape[-2], x.shape[-1], y.shape[-1]
    if y.ndim == 2 and x.ndim > 2:  # one matrix for all: a single product of tall matrices
        rows = math.prod(x.shape[:-1])
        return g.reshape(g.dot(g.reshape(x, (rows, k)), y), (*x.shape[:-1], n))
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2], name="matmul (leading axes)")
    return g.dot(g.expand(x, (*batch, m, k)), g.expand(y, (*batch, k, n)))


mm = bmm = matmul


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta · input + alpha · mat1 @ mat2.

    >>> import chainrule as cr
    >>> cr.addmm([1.0, 2.0], [[3.0]], [[4.0, 5.0]])
    tensor([[13., 17.]])
    """
    product = matmul(mat1, mat2)
    return add(
        input if beta == 1 else multiply(input, beta),
        product if alpha == 1 else multiply(product, alpha),
    )


def dot(a: Any, b: Any) -> Tensor:
    """Σ aᵢ bᵢ of vectors; otherwise Σ over the last axis of a, the second-last of b, as in NumPy.

    >>> import chainrule as cr
    >>> cr.dot([1.0, 2.0], [3.0, 4.0])
    tensor(11.)
    """
    x, y = as_tensor(a), as_tensor(b)
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    return tensordot(x, y, ([-1], [-1 if y.ndim == 1 else -2]))


def vecdot(a: Any, b: Any, axis: int = -1) -> Tensor:
    """Σ aᵢ bᵢ along ``axis``, in the dtype of the products.

    >>> import chainrule as cr
    >>> cr.vecdot([[1.0, 2.0], [0.0, 1.0]], [3.0, 4.0])
    tensor([11.,  4.])
    """
    x, y = as_tensor(a), as_tensor(b)
    lengths = [t.shape[normalize_axis(axis, t.ndim, "vecdot")] if t.ndim else None for t in (x, y)]
    if None in lengths or lengths[0] != lengths[1]:
        raise ShapeError(
            f"vecdot along axis {axis}: shapes {x.shape} and {y.shape} need this axis of equal"
            " length"
        )
    product = multiply(x, y)
    return sum(product, axis, dtype=product.dtype)


def outer(a: Any, b: Any) -> Tensor:
    """out[i, j] = aᵢ bⱼ of the flattened tensors.

    >>> import chainrule as cr
    >>> cr.outer([1, 2], [3, 4])
    tensor([[3, 4],
            [6, 8]])
    """
    x, y = as_tensor(a), as_tensor(b)
    return multiply(reshape(x, (math.prod(x.shape), 1)), reshape(y, (1, math.prod(y.shape))))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tensor:
    """Σ over pairs of axes: the last n of a with the first n of b, or (axes of a, axes of b).

    >>> import chainrule as cr
    >>> cr.tensordot(cr.ones(2, 3), cr.ones(3, 4), axes=1).shape
    (2, 4)
    """
    (x, y), tensors = _operands("tensordot", a, b)
    if isinstance(axes, int):
        left, right = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        left, right = ([i] if isinstance(i, int) else list(i) for i in axes)
    left = [normalize_axis(i, x.ndim, "tensordot") for i in left]
    right = [normalize_axis(i, y.ndim, "tensordot") for i in right]
    if [x.shape[i] for i in left] != [y.shape[i] for i in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {x.shape} and {right} of {y.shape} differ in length"
        )
    free_x = [i for i in range(x.ndim) if i not in left]
    free_y = [i for i in range(y.ndim) if i not in right]
    k = math.prod(x.shape[i] for i in left)
    shape_x, shape_y = [x.shape[i] for i in free_x], [y.shape[i] for i in free_y]
    flat_x = g.reshape(g.permute(x, free_x + left), (math.prod(shape_x), k))
    flat_y = g.reshape(g.permute(y, right + free_y), (k, math.prod(shape_y)))
    return make(g.reshape(g.dot(flat_x, flat_y), shape_x + shape_y), *tensors)


# -- einsum ----------------------------------------------------------------------------------------
def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Einstein's summation: letters name axes; letters that are not in the output are summed over.

    >>> import chainrule as cr
    >>> cr.einsum("ij,jk->ik", cr.ones(2, 3), cr.ones(3, 4)).shape
    (2, 4)
    """
    if (
        len(operands) == 1
        and isinstance(operands[0], list | tuple)
        and isinstance(operands[0][0], Value)
    ):
        operands = tuple(operands[0])
    nodes, tensors = _operands("einsum", *operands)
    terms, output, lengths = _parse(subscripts, nodes)
    parts = [_diagonals(n, t) for n, t in zip(nodes, terms, strict=True)]
    node, term = parts[0]
    for i, (right, right_term) in enumerate(parts[1:], 1):
        later = set(output).union(*(t for _, t in parts[i + 1 :]))
        node, term = _pair(node, term, right, right_term, later)
    node, term = _sum_out(node, term, set(output))
    missing = [c for c in output if c not in term]
    assert not missing, missing
    result = g.permute(node, [term.index(c) for c in output])
    return make(g.broadcast(result, [lengths[c] for c in output]), *tensors)


def _parse(subscripts: str, nodes: Sequence[Node]) -> tuple[list[str], str, dict[str, int]]:
    """The letters of each operand and the output, ellipses as letters too, and their lengths."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(nodes):
        raise OptionError(f"einsum {subscripts!r} names {len(terms)} operands, got {len(nodes)}")
    for term in [*terms, right]:
        letters = term.replace("...", "", 1)
        if letters and not (letters.isalpha() and letters.isascii()):
            raise OptionError(f"einsum {subscripts!r}: axes are letters, got {term!r}")
    extra = [
        n.ndim - len(t.replace("...", "")) if "..." in t else 0
        for n, t in zip(nodes, terms, strict=True)
    ]
    for i, (term, node, e) in enumerate(zip(terms, nodes, extra, strict=True)):
        if e < 0 or ("..." not in term and len(term) != node.ndim):
            raise ShapeError(
                f"einsum {subscripts!r}: {term!r} does not fit operand {i} of shape {node.shape}"
            )
    # The axes behind "..." get private letters, aligned at the right as in broadcasting.
    hidden = "".join(chr(0xE000 + i) for i in range(max(extra, default=0)))
    full = [t.replace("...", hidden[len(hidden) - e :]) for t, e in zip(terms, extra, strict=True)]
    if arrow:
        output = right.replace("...", hidden)
    else:
        joined = "".join(full)
        output = hidden + "".join(
            sorted({c for c in joined if joined.count(c) == 1 and c not in hidden})
        )
    return full, _check_output(subscripts, output, full), _lengths(subscripts, full, nodes)


def _check_output(subscripts: str, output: str, terms: Sequence[str]) -> str:
    known = set("".join(terms))
    unknown = [c for c in output if c not in known]
    if unknown or len(set(output)) != len(output):
        raise OptionError(
            f"einsum {subscripts!r}: the output must name axes of the operands, each once"
        )
    return output


def _lengths(subscripts: str, terms: Sequence[str], nodes: Sequence[Node]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for i, (term, node) in enumerate(zip(terms, nodes, strict=True)):
        for c, n in zip(term, node.shape, strict=True):
            seen = lengths.get(c, 1)
            if seen != 1 and n not in (1, seen):
                raise ShapeError(
                    f"einsum {subscripts!r}: axis {c!r} has length {seen} and, in operand {i}"
                    f" of shape {node.shape}, {n}"
                )
            lengths[c] = n if seen == 1 else seen
    return lengths


def _diagonals(node: Node, term: str) -> tuple[Node, str]:
    """Repeated letters, as in "ii", made one axis."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            a = term.index(c)
            b = term.index(c, a + 1)
            shape = [n for i, n in enumerate(node.shape) if i != b]
            if node.shape[a] != node.shape[b]:
                raise ShapeError(
                    f"einsum: the diagonal of axes of lengths {node.shape[a]} and {node.shape[b]}"
                )
            on = g.eq(g.iota(node.shape, a, dt.int64), g.iota(node.shape, b, dt.int64))
            node = g.reshape(g.sum(g.where(on, node, g.zeros_like(node)), (b,)), shape)
            term = term[:b] + term[b + 1 :]
    return node, term


def _sum_out(node: Node, term: str, keep: set[str]) -> tuple[Node, str]:
    axes = [i for i, c in enumerate(term) if c not in keep]
    return g.sum(node, axes), "".join(c for c in term if c in keep)


def _pair(a: Node, left: str, b: Node, right: str, later: set[str]) -> tuple[Node, str]:
    """Two operands made one: letters in both are batch axes if needed later, else contracted."""
    a, left = _sum_out(a, left, later | set(right))
    b, right = _sum_out(b, right, later | set(left))
    a, b = _match(a, left, b, right), _match(b, right, a, left)
    batch = "".join(c for c in left if c in right and c in later)
    inner = "".join(c for c in left if c in right and c not in later)
    only_a, only_b = (
        "".join(c for c in left if c not in right),
        "".join(c for c in right if c not in left),
    )
    length = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    b_shape, m, k, n = ([length[c] for c in s] for s in (batch, only_a, inner, only_b))
    x = g.permute(a, [left.index(c) for c in batch + only_a + inner])
    y = g.permute(b, [right.index(c) for c in batch + inner + only_b])
    x = g.reshape(x, (*b_shape, math.prod(m), math.prod(k)))
    y = g.reshape(y, (*b_shape, math.prod(k), math.prod(n)))
    product = g.dot(x, y)
    return g.reshape(product, (*b_shape, *m, *n)), _letters(length, batch, only_a, only_b)


def _letters(lengths: Mapping[str, int], *parts: str) -> str:
    return "".join(parts)


def _match(a: Node, left: str, b: Node, right: str) -> Node:
    """``a`` with axes of length 1 repeated to the length the same letter has in ``b``."""
    other = dict(zip(right, b.shape, strict=True))
    return g.broadcast(
        a, [other.get(c, n) if n == 1 else n for c, n in zip(left, a.shape, strict=True)]
    )
