"""Contractions with few rows (or one column) whose operands are both contiguous along k.

There the sum itself is the vector axis: no packing, every element of the operands is read where it
lies, in order. A block of rows x columns of dot products is carried at once; the vectors of partial
sums then become sums by halving, which leaves the columns side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....llvm.builder import Function, Value, const, i64, vector
from ....llvm.index import divide, least, scaled
from ....llvm.primitives import ADDED_IN_A_ROW, sum_exactly, with_lost
from ...machine.target import Target
from ...schedule.contraction import Contraction, Epilogue, base, batch_indices, batches
from ..shares import equal_share

LONG_SUM = 64  # vectors of terms; a longer sum is put together from short ones
MOST_ROWS = 8  # with more, packing b pays


def suits(c: Contraction, target: Target) -> bool:
    """Whether ``c`` is such a contraction."""
    contiguous = c.a.col_stride == 1 and (c.b.row_stride == 1 or c.k == 1)
    return contiguous and (c.m <= MOST_ROWS or c.n == 1) and c.k >= target.lanes(c.dtype)


def block_of(c: Contraction, target: Target) -> tuple[int, int]:
    """Rows and columns of dot products carried at once; one of them or both are powers of two."""
    lanes, many = target.lanes(c.dtype), target.vector_registers >= 32
    if c.n == 1:
        return min(8, lanes, _power_of_two(c.m)), 1
    # As many sums as registers leave room for beside the operands: 24 of 32, 12 of 16.
    rows = -(-c.m // -(-c.m // 4))
    columns = {1: 8, 2: 8 if many else 4, 3: 8 if many else 4, 4: 4 if many else 2}[rows]
    return rows, min(columns, lanes, _power_of_two(c.n))


def _power_of_two(n: int) -> int:
    """The least one not below n."""
    return 1 << (n - 1).bit_length()


def emit(
    f: Function,
    c: Contraction,
    target: Target,
    a: Value,
    b: Value,
    tid: Value,
    nt: Value,
    epilogue: Epilogue,
) -> None:
    """Emit thread ``tid``'s blocks."""
    rows, columns = block_of(c, target)
    down, across = -(-c.m // rows), -(-c.n // columns)
    buffer = f.alloca(c.scalar, rows * columns, align=64)
    with equal_share(f, batches(c) * down * across, tid, nt) as unit:
        # Columns are outermost: the block of b, the larger operand, is read for all rows while it
        # is near.
        batch, inside = divide(f, unit, down * across)
        block, tile = divide(f, inside, down)
        column, row = scaled(f, block, columns), scaled(f, tile, rows)
        indices = batch_indices(f, c, batch)
        at_a, at_b = base(f, c, a, c.a, indices), base(f, c, b, c.b, indices)
        # Rows and columns past the end repeat the last one; their sums are not used.
        rows_at = [
            line_at(f, c.scalar, at_a, row, r, c.m, c.a.row_stride, rows) for r in range(rows)
        ]
        columns_at = [
            line_at(f, c.scalar, at_b, column, j, c.n, c.b.col_stride, columns)
            for j in range(columns)
        ]
        sums = _dot_products(f, c, target, rows_at, columns_at)
        if columns == 1:
            f.store(sums_of_lanes(f, [s[0] for s in sums]), buffer)
        else:
            for i, line in enumerate(sums):
                f.store(sums_of_lanes(f, line), f.gep(buffer, i * columns, c.scalar))
        present = rows if c.m % rows == 0 else None
        last = i64(rows) if present else least(f, i64(rows), f.sub(i64(c.m), row))
        with f.for_range(0, last, hint="r") as r:
            acc = f.load(vector(c.scalar, columns), f.gep(buffer, scaled(f, r, columns), c.scalar))
            m, rest = f.add(row, r), c.n % columns
            if rest == 0:
                epilogue(f, indices, m, column, acc, columns)
            elif across == 1:
                epilogue(f, indices, m, column, acc, rest)
            else:
                whole = f.compare("slt", column, i64(c.n - rest))
                with f.if_then(whole):
                    epilogue(f, indices, m, column, acc, columns)
                with f.if_then(f.binary("xor", whole, Value("i1", "true"))):
                    epilogue(f, indices, m, i64(c.n - rest), acc, rest)


def line_at(
    f: Function,
    scalar: str,
    matrix: Value,
    first: Value,
    index: int,
    extent: int,
    stride: int,
    block: int,
) -> Value:
    """Address of row (column) ``first + index``, of the last one where that is past the end."""
    at = f.add(first, i64(index)) if index else first
    if extent % block and index:
        at = least(f, at, i64(extent - 1))
    return f.gep(matrix, scaled(f, at, stride), scalar)


def _dot_products(
    f: Function, c: Contraction, target: Target, rows: Sequence[Value], columns: Sequence[Value]
) -> list[list[Value]]:
    """Vectors of partial sums for each row and column."""
    lanes = target.lanes(c.dtype)
    type_ = vector(c.scalar, lanes)
    steps, rest = divmod(c.k, lanes)

    def step(k: Value, count: int, sums: Sequence[Value]) -> list[Value]:
        left = [f.load_first(type_, f.gep(p, k, c.scalar), count) for p in rows]
        results = list(sums)
        for j, p in enumerate(columns):
            right = f.load_first(type_, f.gep(p, k, c.scalar), count)
            for i, x in enumerate(left):
                at = i * len(columns) + j
                results[at] = f.multiply_add(x, right, sums[at])
        return results

    zeros = [const(type_, 0)] * (len(rows) * len(columns))
    if steps <= LONG_SUM or not zeros[0].is_float:
        with f.fold(i64(steps), zeros) as loop:
            loop.next = step(scaled(f, loop.index, lanes), lanes, loop.values)
        totals = step(i64(steps * lanes), rest, loop.values) if rest else loop.values
    else:
        totals = _long_sums(f, step, steps, lanes, rest, zeros)
    return [totals[i * len(columns) : (i + 1) * len(columns)] for i in range(len(rows))]


def _long_sums(
    f: Function,
    step: Callable[[Value, int, Sequence[Value]], list[Value]],
    steps: int,
    lanes: int,
    rest: int,
    zeros: Sequence[Value],
) -> list[Value]:
    """The sums put together from short ones, so that little is lost."""
    count = len(zeros)
    blocks, after = divmod(steps, ADDED_IN_A_ROW)

    def block(first: Value, length: int, sums: Sequence[Value]) -> list[Value]:
        with f.fold(i64(length), zeros) as loop:
            at = f.add(first, loop.index)
            loop.next = step(scaled(f, at, lanes), lanes, loop.values)
        return put_away(sums, loop.values)

    def put_away(sums: Sequence[Value], more: Sequence[Value]) -> list[Value]:
        new = [sum_exactly(f, *x) for x in zip(sums[:count], sums[count:], more, strict=True)]
        return [total for total, _ in new] + [lost for _, lost in new]

    with f.fold(i64(blocks), [*zeros, *zeros]) as loop:
        first = scaled(f, loop.index, ADDED_IN_A_ROW)
        loop.next = block(first, ADDED_IN_A_ROW, loop.values)
    sums = loop.values
    if after:
        sums = block(i64(blocks * ADDED_IN_A_ROW), after, sums)
    if rest:
        sums = put_away(sums, step(i64(steps * lanes), rest, zeros))
    return [with_lost(f, *pair) for pair in zip(sums[:count], sums[count:], strict=True)]


def sums_of_lanes(f: Function, vectors: Sequence[Value]) -> Value:
    """One lane for each vector: the sum of its lanes. Their number is a power of two, at most the
    lanes.

    While there are several, two become one: the halves of each vector's segments are added and the
    segments, half as long, put side by side.
    """
    lanes = segment = vectors[0].lanes

    def halves(*starts: int) -> list[list[int]]:
        """Lanes of the lower and of the upper halves of the segments that begin at ``starts``."""
        half = segment // 2
        return [[s + h + i for s in starts for i in range(half)] for h in (0, half)]

    while len(vectors) > 1:
        low, high = halves(*range(0, 2 * lanes, segment))
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [f.add(f.shuffle(x, y, low), f.shuffle(x, y, high)) for x, y in pairs]
        segment //= 2
    (total,) = vectors
    while segment > 1:
        if total.lanes == 2:
            return f.add(f.extract(total, 0), f.extract(total, 1))
        low, high = halves(*range(0, total.lanes, segment))
        total = f.add(f.shuffle(total, None, low), f.shuffle(total, None, high))
        segment //= 2
    return total
