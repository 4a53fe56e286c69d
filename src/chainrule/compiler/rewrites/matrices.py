"""Solutions and decompositions written out as loops of other primitives: what a compiled program
does where the interpreter asks LAPACK.

Elimination with the greatest pivot of each column, Cholesky's and Householder's algorithms by
columns (Golub & Van Loan, "Matrix Computations", chapters 3 to 5), and Jacobi's rotations for
eigenvalues and singular values (chapter 8). All matrices of a batch go through one loop together. A
loop has as many steps as a matrix has columns, and a step changes the whole rest of the matrix; an
element of it that a step needs is found by a mask, since steps have no addresses of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ...core import dtypes as dt
from ...core import graph as op
from ...core.loop import Body
from ...core.node import Node, Shape
from ...core.rewrite import rebuild

Step = Callable[..., tuple[list[Node], list[Node]]]
SWEEPS = 6  # of Jacobi's rotations, and one for each doubling of the size


def written_out(roots: Sequence[Node]) -> list[Node]:
    """The roots without solutions and decompositions."""
    return rebuild(roots, lambda node: WRITTEN[node.op](node) if node.op in WRITTEN else node)


# -- small words -----------------------------------------------------------------------------------
def _loop(
    step: Step, first: Sequence[Node], stacked: Sequence[Node], reverse: bool = False
) -> tuple[list[Node], list[Node]]:
    """The last carries of a loop, and the results of all its steps, stacked: ``step`` gets carries
    and rows, and gives new carries and results."""
    carries = [op.input(x.shape, x.dtype) for x in first]
    rows = [op.input(x.shape[1:], x.dtype) for x in stacked]
    updates, results = step(*carries, *rows)
    body = Body(tuple(carries), tuple(rows), (), tuple(updates), stacked[0].shape[0], reverse)
    inputs = (*first, *stacked)
    last = [op.scan(inputs, body, i) for i in range(len(carries))]
    return last, [op.scan(inputs, body, r) for r in results]


def _along(x: Node, shape: Shape, *axes: int) -> Node:
    """x with its axes at these places of ``shape``, in their order, repeated along the others."""
    sizes = [1] * len(shape)
    for size, axis in zip(x.shape, axes, strict=True):
        sizes[axis] = size
    return op.broadcast(op.reshape(x, sizes), shape)


def _number(shape: Shape, axis: int) -> Node:
    return op.iota(shape, axis, dt.int64)


def _steps(n: int) -> Node:
    return op.iota((n,), 0, dt.int64)


def _masked(mask: Node, x: Node) -> Node:
    return op.where(mask, x, op.zeros_like(x))


def _at(x: Node, axis: int, number: Node) -> Node:
    """x[..., number, ...]: one element along an axis."""
    chosen = op.eq(_number(x.shape, axis), op.expand(number, x.shape))
    return op.sum(_masked(chosen, x), [axis])


def _zero(x: Node) -> Node:
    return op.eq(x, op.zeros_like(x))


def _t(x: Node) -> Node:
    return op.permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])


def _flat(x: Node) -> Node:
    """One axis of all matrices: (b, m, n)."""
    return op.reshape(x, (math.prod(x.shape[:-2]), *x.shape[-2:]))


def _minus_product(x: Node, column: Node, row: Node) -> Node:
    """x - column row, of each matrix."""
    return op.sub(x, op.mul(_along(column, x.shape, 0, 1), _along(row, x.shape, 0, 2)))


def _nan_where(bad: Node, x: Node) -> Node:
    """x (b, m, n), with NaN for those matrices that are ``bad`` (b,)."""
    return op.where(_along(bad, x.shape, 0), op.full(x.shape, math.nan, x.dtype), x)


# -- elimination -----------------------------------------------------------------------------------
def _eliminated(a: Node) -> tuple[Node, Node, Node]:
    """(b, n, n + k) to upper triangular form: the rows in the order in which they were pivots,
    (n, b, n + k), the pivots (n, b), and the sign of the determinant (b,)."""
    b, n, _ = a.shape

    def step(x: Node, used: Node, sign: Node, j: Node) -> tuple[list[Node], list[Node]]:
        column = _at(x, 2, j)
        size = op.where(used, op.full((b, n), -1, x.dtype), op.abs(column))
        best = _along(op.argmax(size, 1), (b, n), 0)
        chosen = op.eq(_number((b, n), 1), best)
        row = op.sum(_masked(_along(chosen, x.shape, 0, 1), x), [1])
        pivot = _at(row, 1, j)
        now_used = op.or_(used, chosen)
        divisor = op.where(_zero(pivot), op.ones_like(pivot), pivot)
        factors = op.div(column, _along(divisor, (b, n), 0))
        factors = op.where(now_used, op.zeros_like(factors), factors)
        before = op.and_(op.not_(used), op.lt(_number((b, n), 1), best))
        swaps = op.sum(op.cast(before, x.dtype), [1])
        half = op.mul(swaps, op.full((b,), 0.5, x.dtype))
        odd = op.lt(op.floor(half), half)
        turn = op.where(odd, op.full((b,), -1, x.dtype), op.ones_like(pivot))
        sign = op.mul(sign, op.mul(turn, op.sign(pivot)))
        return [_minus_product(x, factors, row), now_used, sign], [row, pivot]

    unused = op.full((b, n), False, dt.bool_)
    (_, _, sign), (rows, pivots) = _loop(step, [a, unused, op.full((b,), 1, a.dtype)], [_steps(n)])
    return rows, pivots, sign


def _substituted(columns: Node, y: Node, upper: bool) -> Node:
    """x with t x = y of triangular matrices t, whose columns are (n, b, n); y (b, n, k)."""
    n, b, _ = columns.shape

    def step(y: Node, column: Node, j: Node) -> tuple[list[Node], list[Node]]:
        row = op.div(_at(y, 1, j), _along(_at(column, 1, j), (b, y.shape[2]), 0))
        at, here = _number((b, n), 1), op.expand(j, (b, n))
        rest = op.lt(at, here) if upper else op.lt(here, at)
        return [_minus_product(y, _masked(rest, column), row)], [row]

    _, (rows,) = _loop(step, [y], [columns, _steps(n)], reverse=upper)
    return op.permute(rows, (1, 0, 2))


def _solve(node: Node) -> Node:
    a, b = map(_flat, node.inputs)
    n = a.shape[-1]
    if node.size == 0:
        return op.zeros_like(node)
    triangular = node.params["triangular"]
    if triangular is None:
        rows, pivots, _ = _eliminated(op.concat([a, b], 2))
        left = op.slice(rows, (0, 0, 0), (*rows.shape[:2], n), (1, 1, 1))
        right = op.slice(rows, (0, 0, n), rows.shape, (1, 1, 1))
        columns, y, upper = op.permute(left, (2, 1, 0)), op.permute(right, (1, 0, 2)), True
    else:
        columns, y, upper = op.permute(a, (2, 0, 1)), b, triangular == "upper"
        pivots = op.sum(_masked(op.eq(_number(a.shape, 1), _number(a.shape, 2)), a), [2])
        pivots = op.permute(pivots, (1, 0))
    found = _substituted(columns, y, upper)
    bad = op.reduce_max(_zero(pivots), [0])
    return op.reshape(_nan_where(bad, found), node.shape)


def _slogdet(node: Node) -> Node:
    a = _flat(node.inputs[0])
    if node.inputs[0].size == 0:
        ones = op.full((*node.shape[:-1], 1), 1, node.dtype)
        return op.concat([ones, op.zeros_like(ones)], node.ndim - 1)
    _, pivots, sign = _eliminated(a)
    logarithm = op.sum(op.log(op.abs(pivots)), [0])
    both = [op.reshape(x, (*node.shape[:-1], 1)) for x in (sign, logarithm)]
    return op.concat(both, node.ndim - 1)


# -- Cholesky --------------------------------------------------------------------------------------
def _cholesky(node: Node) -> Node:
    a = _flat(node.inputs[0])
    b, n, _ = a.shape
    if node.size == 0:
        return node.inputs[0]
    row, column = _number(a.shape, 1), _number(a.shape, 2)
    symmetric = op.where(op.lt(row, column), _t(a), a)

    def step(x: Node, j: Node) -> tuple[list[Node], list[Node]]:
        row = _at(x, 1, j)
        root = op.sqrt(_at(row, 1, j))
        rest = op.le(op.expand(j, (b, n)), _number((b, n), 1))
        found = _masked(rest, op.div(row, _along(root, (b, n), 0)))
        return [_minus_product(x, found, found)], [found]

    _, (columns,) = _loop(step, [symmetric], [_steps(n)])
    found = op.permute(columns, (1, 2, 0))
    bad = op.reduce_max(op.reduce_max(op.ne(found, found), [2]), [1])
    return op.reshape(_nan_where(bad, found), node.shape)


# -- Householder -----------------------------------------------------------------------------------
def _orthonormal(a: Node, k: int) -> Node:
    """The first k columns of Q, (b, m, k), of (b, m, n) with m ≥ n."""
    b, m, n = a.shape

    def step(x: Node, j: Node) -> tuple[list[Node], list[Node]]:
        at, here = _number((b, m), 1), op.expand(j, (b, m))
        column = _masked(op.le(here, at), _at(x, 2, j))
        scale = op.reduce_max(op.abs(column), [1])
        scale = op.where(_zero(scale), op.ones_like(scale), scale)
        column = op.div(column, _along(scale, (b, m), 0))
        first = _at(column, 1, j)
        below = _masked(op.lt(here, at), column)
        rest = op.sum(op.mul(below, below), [1])
        length = op.sqrt(op.add(op.mul(first, first), rest))
        moved = op.where(
            op.lt(first, op.zeros_like(first)), op.sub(first, length), op.add(first, length)
        )
        v = op.where(op.eq(at, here), _along(moved, (b, m), 0), column)
        square = op.add(op.mul(moved, moved), rest)
        nothing = _zero(rest)  # the column is as it should be
        factor = op.div(op.full((b,), 2, a.dtype), op.where(nothing, op.ones_like(rest), square))
        factor = op.where(nothing, op.zeros_like(rest), factor)
        return [_reflected(x, v, factor)], [v, factor]

    _, (vs, factors) = _loop(step, [a], [_steps(n)])
    eye = op.cast(op.eq(_number((b, m, k), 1), _number((b, m, k), 2)), a.dtype)

    def back(q: Node, v: Node, factor: Node) -> tuple[list[Node], list[Node]]:
        return [_reflected(q, v, factor)], []

    (q,), _ = _loop(back, [eye], [vs, factors], reverse=True)
    return q


def _reflected(x: Node, v: Node, factor: Node) -> Node:
    """x - factor v (vᵀ x)"""
    products = op.sum(op.mul(_along(v, x.shape, 0, 1), x), [1])
    return _minus_product(x, v, op.mul(_along(factor, products.shape, 0), products))


def _qr(node: Node) -> Node:
    (a,) = node.inputs
    if a.size == 0:
        row, column = (_number(node.shape, node.ndim + i) for i in (-2, -1))
        return op.cast(op.eq(row, column), node.dtype)
    return op.reshape(_orthonormal(_flat(a), node.shape[-1]), node.shape)


# -- Jacobi ----------------------------------------------------------------------------------------
def _rounds(n: int) -> Node:
    """Every pair of n rows once in a sweep, n / 2 pairs in each round: the partner of each row,
    (sweeps × rounds, n). The rows go round a table; of an odd number one has no partner."""
    even = n + n % 2
    seats, rounds = list(range(even)), []
    for _ in range(max(even - 1, 1)):
        partner = list(range(even))
        for one, other in zip(seats[: even // 2], reversed(seats[even // 2 :]), strict=True):
            partner[one], partner[other] = other, one
        rounds.append([i if partner[i] >= n else partner[i] for i in range(n)])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    sweeps = SWEEPS + math.ceil(math.log2(max(n, 2)))
    table = op.constant(np.array(rounds), dt.int64)
    return op.reshape(op.expand(table, (sweeps, *table.shape)), (sweeps * len(rounds), n))


def _rotation(here: Node, there: Node, product: Node, partner: Node) -> tuple[Node, Node]:
    """Cosine and sine with which row and partner become orthogonal: of (n, b) diagonal elements
    here and there, and those between them."""
    shape = here.shape
    one, zero = op.ones_like(here), op.zeros_like(here)
    nothing = _zero(product)
    double = op.add(product, product)
    theta = op.div(op.sub(there, here), op.where(nothing, one, double))
    first = op.lt(_number(shape, 0), _along(partner, shape, 0))
    side = op.where(_zero(theta), op.where(first, one, op.neg(one)), op.sign(theta))
    length = op.add(op.abs(theta), op.sqrt(op.add(op.mul(theta, theta), one)))
    tangent = op.div(side, length)
    alone = op.eq(_number(shape, 0), _along(partner, shape, 0))
    tangent = op.where(op.or_(nothing, alone), zero, tangent)
    cosine = op.div(one, op.sqrt(op.add(op.mul(tangent, tangent), one)))
    return cosine, op.mul(tangent, cosine)


def _rotated(x: Node, cosine: Node, sine: Node, partner: Node) -> Node:
    """Rows (n, b, l), each with its partner's share."""
    c, s = (_along(f, x.shape, 0, 1) for f in (cosine, sine))
    return op.sub(op.mul(c, x), op.mul(s, op.gather(x, partner)))


def _identity_rows(n: int, b: int, dtype: dt.DType) -> Node:
    return op.cast(op.eq(_number((n, b, n), 0), _number((n, b, n), 2)), dtype)


def _in_order(values: Node, rows: Node, descending: bool) -> tuple[Node, Node]:
    """Values (n, b) sorted, (b, 1, n), and their rows (n, b, l) as columns, (b, l, n)."""
    n, b = values.shape
    shape = (b, n, n)
    values = op.permute(values, (1, 0))
    mine, other = _along(values, shape, 0, 2), _along(values, shape, 0, 1)
    less = op.lt(mine, other) if descending else op.lt(other, mine)
    earlier = op.lt(_number(shape, 1), _number(shape, 2))
    before = op.or_(less, op.and_(op.eq(mine, other), earlier))
    place = op.sum(op.cast(before, dt.int64), [1])  # of each value
    put = op.cast(op.eq(_along(place, shape, 0, 1), _number(shape, 2)), values.dtype)
    return op.dot(op.reshape(values, (b, 1, n)), put), op.dot(op.permute(rows, (1, 2, 0)), put)


def _eigh(node: Node) -> Node:
    a = _flat(node.inputs[0])
    b, n, _ = a.shape
    if node.inputs[0].size == 0:
        return op.zeros_like(node)
    symmetric = op.where(op.lt(_number(a.shape, 1), _number(a.shape, 2)), _t(a), a)

    def step(x: Node, v: Node, partner: Node) -> tuple[list[Node], list[Node]]:
        row, column = _number(x.shape, 0), _number(x.shape, 2)
        diagonal = op.sum(_masked(op.eq(row, column), x), [2])
        between = op.sum(_masked(op.eq(_along(partner, x.shape, 0), column), x), [2])
        both = op.add(between, op.gather(between, partner))  # equal for row and partner
        product = op.mul(both, op.full(both.shape, 0.5, a.dtype))
        turn = _rotation(diagonal, op.gather(diagonal, partner), product, partner)
        half = _rotated(x, *turn, partner)
        new = _rotated(op.permute(half, (2, 1, 0)), *turn, partner)
        return [new, _rotated(v, *turn, partner)], []

    rows = op.permute(symmetric, (1, 0, 2))
    (x, v), _ = _loop(step, [rows, _identity_rows(n, b, a.dtype)], [_rounds(n)])
    diagonal = op.sum(_masked(op.eq(_number(x.shape, 0), _number(x.shape, 2)), x), [2])
    values, vectors = _in_order(diagonal, v, descending=False)
    return op.reshape(op.concat([values, vectors], 1), node.shape)


def _svd(node: Node) -> Node:
    a = _flat(node.inputs[0])
    b, m, n = a.shape
    if node.size == 0 or a.size == 0:
        return op.zeros_like(node)
    k = min(m, n)

    def step(x: Node, v: Node, partner: Node) -> tuple[list[Node], list[Node]]:
        other = op.gather(x, partner)
        square, product = op.sum(op.mul(x, x), [2]), op.sum(op.mul(x, other), [2])
        turn = _rotation(square, op.gather(square, partner), product, partner)
        return [_rotated(x, *turn, partner), _rotated(v, *turn, partner)], []

    rows = op.permute(a, (1, 0, 2) if m <= n else (2, 0, 1))
    (x, turned), _ = _loop(step, [rows, _identity_rows(k, b, a.dtype)], [_rounds(k)])
    lengths = op.sqrt(op.sum(op.mul(x, x), [2]))
    values, short = _in_order(lengths, turned, descending=True)
    _, scaled = _in_order(lengths, x, descending=True)
    # Orthonormal also where lengths are 0: each column of Q is the scaled one's direction, or its
    # opposite.
    q = _orthonormal(scaled, k)
    signs = op.sum(op.mul(q, scaled), [1])
    negative = op.lt(signs, op.zeros_like(signs))
    signs = op.where(negative, op.full(signs.shape, -1, a.dtype), op.ones_like(signs))
    long = op.mul(q, _along(signs, q.shape, 0, 2))
    u, v = (short, long) if m <= n else (long, short)
    return op.reshape(op.concat([values, u, v], 1), node.shape)


WRITTEN: dict[str, Callable[[Node], Node]] = {
    "solve": _solve,
    "slogdet": _slogdet,
    "cholesky": _cholesky,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
}
