"""The register tile of a contraction: ``rows`` x a few vectors of columns, summed over all k.

    c[r, :] = sum_k a[r, k] * b[k, :]

One accumulator register for each (row, vector); each step of k loads the vectors of b once and
multiplies them with one broadcast element of a for each row. The sum over k is one chain in the
order of k (a long one: chains of equal length, then their sum), whatever the tile: the bits of an
element do not depend on which tile computed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from chainrule.backends.cpu.blocks import (
    SCALAR_OF_DTYPE,
    SIZE_OF_SCALAR,
    Function,
    Module,
    Value,
    const,
    i64,
    vector,
)
from chainrule.backends.cpu.ops import sum_exactly, with_lost
from chainrule.backends.cpu.target import Target

ENOUGH = 48  # multiply-adds in the body of the loop over k: its own instructions then cost little
LONG_SUM = 1024  # terms; a longer sum is put together from short ones
PUT_AWAY_AFTER = 128  # terms of such a sum
MOST_AT_ONCE = 8  # steps of k in that body


@dataclass(frozen=True)
class Columns:
    """One vector of a panel: columns ``offset .. offset + lanes``, of which ``count`` exist."""

    offset: int
    lanes: int
    count: int


@dataclass(frozen=True)
class Panel:
    """Neighbouring vectors of columns; ``width`` elements to a row where it is packed."""

    vectors: tuple[Columns, ...]

    @property
    def width(self) -> int:
        return self.vectors[-1].offset + self.vectors[-1].lanes

    @property
    def count(self) -> int:
        return self.vectors[-1].offset + self.vectors[-1].count


def panel_of(columns: int, lanes: int, minimum: int) -> Panel:
    """``columns`` cut into full vectors and one for the rest; a single column is a scalar.

    A rest that is alone takes the narrowest vector (of at least ``minimum`` lanes) that holds it.
    Beside full vectors it is one of theirs: LLVM spills accumulators where a broadcast serves two
    widths.
    """
    full, rest = divmod(columns, lanes)
    vectors = [Columns(v * lanes, lanes, lanes) for v in range(full)]
    if columns == 1:
        vectors.append(Columns(0, 1, 1))
    elif rest:
        narrow = lanes if full else max(minimum, 1 << (rest - 1).bit_length())
        vectors.append(Columns(full * lanes, narrow, rest))
    return Panel(tuple(vectors))


@dataclass
class Fold:
    """A loop that carries values: ``values`` inside it, ``next`` set by the body, ``values`` after
    it."""

    index: Value
    values: list[Value]
    next: list[Value] = field(default_factory=list)


@contextmanager
def fold(f: Function, count: Value, initial: Sequence[Value]) -> Iterator[Fold]:
    """``for index in range(count): values = next``; after the loop ``values`` are the last ones."""
    head, body, done = f.new_label("head"), f.new_label("body"), f.new_label("done")
    before = f.block
    f.branch(head)
    f.start_block(head)
    position = len(f._lines)
    loop = Fold(Value("i64", f._name("i")), [Value(v.type, f._name("c")) for v in initial])
    f.branch_if(f.compare("slt", loop.index, count), body, done)
    f.start_block(body)
    yield loop
    after, last = f.add(loop.index, i64(1)), f.block
    f.branch(head)
    first = [i64(0), *initial]
    phis = [
        f"  {v.text} = phi {v.type} [ {start.text}, %{before} ], [ {end.text}, %{last} ]"
        for v, start, end in zip(
            [loop.index, *loop.values], first, [after, *loop.next], strict=True
        )
    ]
    f._lines[position:position] = phis
    f.start_block(done)


def multiply_add(f: Function, target: Target, a: Value, b: Value, c: Value) -> Value:
    """a * b + c; one rounding where the machine has it (a call of ``fma`` otherwise: never)."""
    if a.is_float and target.has_fma:
        return f.fma(a, b, c)
    return f.add(f.mul(a, b), c)


class Tile(NamedTuple):
    """What a micro-kernel computes: ``rows`` of a times the columns of a panel of b, over ``k``.

    ``a`` is read at ``row * a_strides[0] + k * a_strides[1]``; with ``by_table`` it points to the
    addresses of its rows, and only the second stride counts. ``b`` is read at ``k * b_stride`` +
    column; a packed ``b`` has all lanes of every vector, another only the ``count`` that exist.
    """

    dtype: str
    rows: int
    panel: Panel
    k: int
    a_strides: tuple[int, int]
    by_table: bool
    b_stride: int
    packed: bool

    @property
    def scalar(self) -> str:
        return SCALAR_OF_DTYPE[self.dtype]

    @property
    def multiply_adds(self) -> int:
        """Of one step of k."""
        return self.rows * len(self.panel.vectors)

    @property
    def name(self) -> str:
        shape = "_".join(f"{v.lanes}of{v.count}" for v in self.panel.vectors)
        first = "table" if self.by_table else self.a_strides[0]
        strides = f"{first}_{self.a_strides[1]}_{self.b_stride}".replace("-", "n")
        layout = f"{strides}_{'packed' if self.packed else 'direct'}"
        return f"tile_{self.dtype}_{self.rows}x{shape}x{self.k}_{layout}"


def accumulate(
    f: Function, target: Target, tile: Tile, a: Value, b: Value, at_once: int, first: Value
) -> list[list[Value]]:
    """The sums in registers over k from ``first`` on, ``[row][vector]``; ``at_once`` steps of k a
    turn of the loop."""
    scalar, vectors = tile.scalar, tile.panel.vectors
    each, rows = len(vectors), range(tile.rows)
    starts = [f.load("ptr", f.gep(a, row, "ptr")) for row in rows] if tile.by_table else []
    begin = f.mul(first, i64(tile.a_strides[1]))
    begin = begin if tile.by_table else f.gep(a, begin, scalar)
    b = f.gep(b, f.mul(first, i64(tile.b_stride)), scalar)

    def element(at_a: Value, row: int) -> Value:
        """``at_a``: an address, or with a table the distance from the rows' first elements."""
        if tile.by_table:
            return f.load(scalar, f.gep(starts[row], at_a, scalar))
        return f.load(scalar, f.gep(at_a, row * tile.a_strides[0], scalar))

    def step(at_a: Value, at_b: Value, *sums: Value) -> list[Value]:
        columns = []
        for v in vectors:
            pointer, type_ = f.gep(at_b, v.offset, scalar), vector(scalar, v.lanes)
            count = v.lanes if tile.packed else v.count
            columns.append(f.load_first(type_, pointer, count))
        stride = tile.a_strides[1]
        next_a = f.add(at_a, i64(stride)) if tile.by_table else f.gep(at_a, stride, scalar)
        after = [next_a, f.gep(at_b, tile.b_stride, scalar)]
        for row in rows:
            x = element(at_a, row)
            for column, old in zip(columns, sums[row * each : (row + 1) * each], strict=True):
                after.append(multiply_add(f, target, f.splat(x, column.lanes), column, old))
        return after

    zeros = [const(vector(scalar, v.lanes), 0) for v in vectors]
    turns, rest = divmod(tile.k, at_once)
    with fold(f, i64(turns), [begin, b, *zeros * tile.rows]) as loop:
        loop.next = loop.values
        for _ in range(at_once):
            loop.next = step(*loop.next)
    if rest:
        with fold(f, i64(rest), loop.values) as loop:
            loop.next = step(*loop.values)
    totals = loop.values[2:]
    return [totals[row * each : (row + 1) * each] for row in rows]


def steps_at_once(multiply_adds: int, k: int) -> int:
    """How many steps of k make a turn of the loop, given the multiply-adds of one."""
    count = 1
    while count * multiply_adds < ENOUGH and count < MOST_AT_ONCE and k >= 8 * count:
        count *= 2
    return count


def micro_kernel(module: Module, target: Target, tile: Tile, rare: bool) -> str:
    """The name of ``void (a, b, c)``, c being ``rows`` rows of ``panel.width``; made once a module.

    A ``rare`` one is kept short, which LLVM takes less time for.
    """
    if any(f.name == tile.name for f in module.functions):
        return tile.name
    at_once = 1 if rare else steps_at_once(tile.multiply_adds, tile.k)
    args = [("ptr noalias readonly", "a"), ("ptr noalias readonly", "b"), ("ptr noalias", "c")]
    f = module.function(tile.name, args, returns="internal void", attributes="nounwind noinline")
    a, b, c = (f.args[n] for n in "abc")
    if tile.k > LONG_SUM and tile.scalar in ("float", "double"):
        _long_sums(f, target, tile, a, b, c, at_once)
    else:
        sums = accumulate(f, target, tile, a, b, at_once, i64(0))
        for place, value in _places(f, tile, c, sums):
            f.store(value, *place)
    f.ret()
    return tile.name


def _places(
    f: Function, tile: Tile, c: Value, sums: list[list[Value]]
) -> Iterator[tuple[tuple[Value, int], Value]]:
    """Each sum with its address in the buffer ``c`` and that address's alignment."""
    width = tile.panel.width
    for row, values in enumerate(sums):
        for v, value in zip(tile.panel.vectors, values, strict=True):
            align = min(v.lanes, width & -width) * SIZE_OF_SCALAR[tile.scalar]
            yield (f.gep(c, row * width + v.offset, tile.scalar), min(align, 64)), value


def _long_sums(
    f: Function, target: Target, tile: Tile, a: Value, b: Value, c: Value, at_once: int
) -> None:
    """The sums put together in memory from short ones, so that little is lost."""
    size = tile.rows * tile.panel.width
    lost = f.alloca(tile.scalar, size, align=64)
    with f.for_range(0, size) as i:
        for buffer in (c, lost):
            f.store(const(tile.scalar, 0), f.gep(buffer, i, tile.scalar))

    def block(first: Value, k: int) -> None:
        sums = accumulate(f, target, tile._replace(k=k), a, b, at_once, first)
        pairs = zip(_places(f, tile, c, sums), _places(f, tile, lost, sums), strict=True)
        for (place, value), (other, _) in pairs:
            before = (f.load(value.type, *place), f.load(value.type, *other))
            total, error = sum_exactly(f, *before, value)
            f.store(total, *place)
            f.store(error, *other)

    count, rest = divmod(tile.k, PUT_AWAY_AFTER)
    with f.for_range(0, count * PUT_AWAY_AFTER, PUT_AWAY_AFTER, hint="k") as k:
        block(k, PUT_AWAY_AFTER)
    if rest:
        block(i64(count * PUT_AWAY_AFTER), rest)
    with f.for_range(0, size) as i:
        place = f.gep(c, i, tile.scalar)
        error = f.load(tile.scalar, f.gep(lost, i, tile.scalar))
        f.store(with_lost(f, f.load(tile.scalar, place), error), place)
