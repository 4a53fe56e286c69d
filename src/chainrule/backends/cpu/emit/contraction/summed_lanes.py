"""Contractions over nests whose innermost loop over k lies side by side in both operands: that loop
is the vector. The gradient of a convolution's weights is one, where the batch lies innermost.

A block of rows x columns of partial sums stays in registers, as in `dot_products`. Where what all
blocks read would not stay in the second cache, the outermost loops over k go around the blocks,
whose partial sums wait in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from .....core.host.memory import whole_lines
from ....llvm.builder import Function, Value, const, i64, vector
from ....llvm.index import divide, least, plus, scaled
from ...machine.target import Target
from ...schedule.contraction import Digit, Epilogue, Windowed
from ..shares import part
from .dot_products import line_at, sums_of_lanes

LONGEST_SIDE = 8  # rows or columns of a block
AT_ONCE = 4  # vectors of the innermost loop in a row


def suits(c: Windowed, target: Target) -> bool:
    """Whether ``c`` is such a contraction."""
    last = c.k[-1]
    along = last.a == last.b == 1 != c.n.b and len(c.k) > 1
    return along and last.extent >= target.lanes(c.dtype)


def block_of(c: Windowed, target: Target) -> tuple[int, int]:
    """Rows and columns of a block: those that take the least cycles for all. The sums of a row's
    columns end up in the lanes of one vector."""
    lanes = target.lanes(c.dtype)
    # The other registers hold operands, and products where they are not added at once.
    sums = target.vector_registers * 3 // 4 if target.has_fma else target.vector_registers // 2
    free = target.vector_registers - 1

    def cycles(block: tuple[int, int]) -> tuple[float, int]:
        rows, columns = block
        one = max(rows * columns, rows + columns, 8) / 2
        return ceil(c.m.extent / rows) * ceil(c.n.extent / columns) * one, -rows * columns

    sides = range(1, LONGEST_SIDE + 1)
    fitting = [
        (r, q)
        for r in sides
        for q in sides[:lanes]
        if r * q <= sums and r * q + min(r, q) + 1 <= free and r <= c.m.extent and q <= c.n.extent
    ]
    return min(fitting, key=cycles)


def _outside(c: Windowed, target: Target) -> int:
    """How many loops over k go around all blocks."""
    terms, count = c.terms, 0
    row = (c.m.extent + c.n.extent) * c.flat.itemsize
    while count < len(c.k) - 1 and terms * row > target.l2_bytes // 4:
        terms //= c.k[count].extent
        count += 1
    return count


def scratch_bytes(c: Windowed, target: Target) -> int:
    """Scratch one thread needs."""
    if not _outside(c, target):
        return 0
    rows, columns = block_of(c, target)
    blocks = prod(d.extent for d in c.batch) * ceil(c.m.extent / rows) * ceil(c.n.extent / columns)
    return whole_lines(blocks * rows * columns * target.vector_bytes)


def emit(
    f: Function,
    c: Windowed,
    target: Target,
    a: Value,
    b: Value,
    scratch: Value,
    tid: Value,
    nt: Value,
    epilogue: Epilogue,
) -> None:
    """Emit thread ``tid``'s blocks."""
    _Blocks(f, c, target, a, b, scratch, epilogue).emit(tid, nt)


class _Blocks:
    def __init__(
        self,
        f: Function,
        c: Windowed,
        target: Target,
        a: Value,
        b: Value,
        scratch: Value,
        epilogue: Epilogue,
    ) -> None:
        self.f, self.c, self.scalar, self.epilogue = f, c, c.flat.scalar, epilogue
        self.a = f.gep(a, c.a_offset, self.scalar)
        self.b = f.gep(b, c.b_offset, self.scalar)
        self.lanes, self.sums = target.lanes(c.dtype), scratch
        self.rows, self.columns = block_of(c, target)
        self.down, self.across = ceil(c.m.extent / self.rows), ceil(c.n.extent / self.columns)
        outside = _outside(c, target)
        self.around, self.inside = c.k[:outside], c.k[outside:]
        self.padded = 1 << (self.columns - 1).bit_length()
        self.buffer = f.alloca(self.scalar, self.rows * self.padded, align=64)

    def emit(self, tid: Value, nt: Value) -> None:
        f = self.f
        units = prod(d.extent for d in self.c.batch) * self.down * self.across
        start, stop = part(f, units, tid, nt)
        type_ = vector(self.scalar, self.lanes)
        zeros = [const(type_, 0)] * (self.rows * self.columns)
        if not self.around:
            with f.for_range(start, stop, hint="block") as unit:
                self._finish(unit, self._added(unit, self.a, self.b, zeros))
            return
        with f.for_range(start, stop, hint="block") as unit:
            self._keep(unit, zeros)
        with f.for_range(0, prod(d.extent for d in self.around), hint="o") as place:
            at_a, at_b = self.a, self.b
            for d in reversed(self.around):
                place, index = divide(f, place, d.extent)
                at_a = f.gep(at_a, scaled(f, index, d.a), self.scalar)
                at_b = f.gep(at_b, scaled(f, index, d.b), self.scalar)
            with f.for_range(start, stop, hint="block") as unit:
                self._keep(unit, self._added(unit, at_a, at_b, self._kept(unit)))
        with f.for_range(start, stop, hint="block") as unit:
            self._finish(unit, self._kept(unit))

    # -- sums that wait in memory -----------------------------------------------------------------
    def _places(self, unit: Value) -> list[Value]:
        count = self.rows * self.columns
        at = self.f.gep(self.sums, scaled(self.f, unit, count * self.lanes), self.scalar)
        return [self.f.gep(at, i * self.lanes, self.scalar) for i in range(count)]

    def _kept(self, unit: Value) -> list[Value]:
        type_ = vector(self.scalar, self.lanes)
        return [self.f.load(type_, p) for p in self._places(unit)]

    def _keep(self, unit: Value, sums: Sequence[Value]) -> None:
        for p, value in zip(self._places(unit), sums, strict=True):
            self.f.store(value, p)

    # -- one block --------------------------------------------------------------------------------
    def _where(self, unit: Value) -> tuple[list[Value], Value, Value]:
        """The index of each loop of the batch, the first row and the first column of a block."""
        f = self.f
        indices: list[Value] = []
        unit, across = divide(f, unit, self.across)
        place, down = divide(f, unit, self.down)
        for d in reversed(self.c.batch):
            place, index = divide(f, place, d.extent)
            indices.insert(0, index)
        return indices, scaled(f, down, self.rows), scaled(f, across, self.columns)

    def _added(self, unit: Value, at_a: Value, at_b: Value, sums: list[Value]) -> list[Value]:
        """The sums with all terms inside, from these addresses on."""
        f, c = self.f, self.c
        indices, row, column = self._where(unit)
        for d, index in zip(c.batch, indices, strict=True):
            at_a = f.gep(at_a, scaled(f, index, d.a), self.scalar)
            at_b = f.gep(at_b, scaled(f, index, d.b), self.scalar)
        rows = [
            line_at(f, self.scalar, at_a, row, i, c.m.extent, c.m.a, self.rows)
            for i in range(self.rows)
        ]
        columns = [
            line_at(f, self.scalar, at_b, column, j, c.n.extent, c.n.b, self.columns)
            for j in range(self.columns)
        ]
        return self._nest(self.inside, i64(0), i64(0), rows, columns, sums)

    def _nest(
        self,
        k: Sequence[Digit],
        of_a: Value,
        of_b: Value,
        rows: Sequence[Value],
        columns: Sequence[Value],
        sums: list[Value],
    ) -> list[Value]:
        """``of_a`` and ``of_b``: how far the loops around have moved the lines."""
        f = self.f
        first, *rest = k
        if not rest:
            return self._innermost(first.extent, of_a, of_b, rows, columns, sums)
        with f.fold(i64(first.extent), sums) as loop:
            next_a = plus(f, of_a, scaled(f, loop.index, first.a))
            next_b = plus(f, of_b, scaled(f, loop.index, first.b))
            loop.next = self._nest(rest, next_a, next_b, rows, columns, loop.values)
        return loop.values

    def _innermost(
        self,
        extent: int,
        of_a: Value,
        of_b: Value,
        rows: Sequence[Value],
        columns: Sequence[Value],
        sums: list[Value],
    ) -> list[Value]:
        f, lanes = self.f, self.lanes
        type_ = vector(self.scalar, lanes)

        def step(k: Value | int, count: int, sums: Sequence[Value]) -> list[Value]:
            at_a, at_b = plus(f, of_a, k), plus(f, of_b, k)
            left = [f.load_first(type_, f.gep(p, at_a, self.scalar), count) for p in rows]
            added = list(sums)
            for j, p in enumerate(columns):
                right = f.load_first(type_, f.gep(p, at_b, self.scalar), count)
                for i, x in enumerate(left):
                    at = i * self.columns + j
                    added[at] = f.multiply_add(x, right, sums[at])
            return added

        steps, rest = divmod(extent, lanes)
        if steps <= AT_ONCE:
            for i in range(steps):
                sums = step(i64(i * lanes), lanes, sums)
        else:
            with f.fold(i64(steps), sums) as loop:
                loop.next = step(scaled(f, loop.index, lanes), lanes, loop.values)
            sums = loop.values
        return step(i64(steps * lanes), rest, sums) if rest else sums

    def _finish(self, unit: Value, sums: Sequence[Value]) -> None:
        f, c, each = self.f, self.c, self.columns
        none = [const(sums[0].type, 0)] * (self.padded - each)
        for i in range(self.rows):
            total = sums_of_lanes(f, [*sums[i * each : (i + 1) * each], *none])
            f.store(total, f.gep(self.buffer, i * self.padded, self.scalar))
        indices, row, column = self._where(unit)
        rows = least(f, self.rows, f.sub(i64(c.m.extent), row))
        with f.for_range(0, rows, hint="r") as r:
            at = f.gep(self.buffer, scaled(f, r, self.padded), self.scalar)
            acc = f.load(vector(self.scalar, self.padded), at)
            m, rest = f.add(row, r), c.n.extent % each
            whole = f.compare("sle", column, i64(c.n.extent - each))
            with f.if_then(whole):
                self.epilogue(f, indices, m, column, acc, each)
            if rest:
                with f.if_then(f.binary("xor", whole, Value("i1", "true"))):
                    self.epilogue(f, indices, m, i64(c.n.extent - rest), acc, rest)
