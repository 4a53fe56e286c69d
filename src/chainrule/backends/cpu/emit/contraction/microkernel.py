"""The register tile of a contraction: ``rows`` x a few vectors of columns, summed over all k.

    c[r, :] = sum_k a[r, k] * b[k, :]

One accumulator register for each (row, vector); each step of k loads the vectors of b once and
multiplies them with one broadcast element of a for each row. The sum over k is one chain in the
order of k, whatever the tile: the bits of an element do not depend on which tile computed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ....llvm.builder import (
    SCALAR_OF_DTYPE,
    SIZE_OF_SCALAR,
    Function,
    Module,
    Value,
    const,
    i64,
    vector,
)
from ...machine.target import Target

ENOUGH = 48  # multiply-adds in the body of the loop over k: its own instructions then cost little
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
    outer: tuple[tuple[int, int, int], ...] = ()  # loops around that over k: count, step of a, of b
    adds: bool = False  # to what is there

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
        loops = "".join(f"_{'_'.join(map(str, o))}" for o in self.outer).replace("-", "n")
        adds = "_adds" if self.adds else ""
        return f"tile_{self.dtype}_{self.rows}x{shape}x{self.k}_{layout}{loops}{adds}"


def accumulate(
    f: Function,
    target: Target,
    tile: Tile,
    a: Value,
    b: Value,
    at_once: int,
    first: Sequence[Value],
) -> list[list[Value]]:
    """The sums in registers, ``[row][vector]``, ``at_once`` steps of k a turn of the loop, added to
    the ``first`` ones."""
    scalar, vectors = tile.scalar, tile.panel.vectors
    each, rows = len(vectors), range(tile.rows)
    starts = [f.load("ptr", f.gep(a, row, "ptr")) for row in rows] if tile.by_table else []

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

    def terms(values: list[Value]) -> list[Value]:
        """All steps of k, from these addresses and sums on."""
        if tile.outer and tile.k <= MOST_AT_ONCE:
            for _ in range(tile.k):
                values = step(*values)
            return values
        turns, rest = divmod(tile.k, at_once)
        with fold(f, i64(turns), values) as loop:
            loop.next = loop.values
            for _ in range(at_once):
                loop.next = step(*loop.next)
        if rest:
            with fold(f, i64(rest), loop.values) as loop:
                loop.next = step(*loop.values)
        return loop.values

    def nest(loops: Sequence[tuple[int, int, int]], values: list[Value]) -> list[Value]:
        if not loops:
            return terms(values)
        (count, a_step, b_step), *inner = loops
        with fold(f, i64(count), values) as loop:
            at_a, at_b = loop.values[:2]
            sums = nest(inner, loop.values)[2:]
            loop.next = [f.gep(at_a, a_step, scalar), f.gep(at_b, b_step, scalar), *sums]
        return loop.values

    totals = nest(tile.outer, [i64(0) if tile.by_table else a, b, *first])[2:]
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
    width, scalar = tile.panel.width, tile.scalar
    places = [
        (v, f.gep(c, row * width + v.offset, scalar) if tile.adds else c)
        for row in range(tile.rows)
        for v in tile.panel.vectors
    ]
    first = [const(vector(scalar, v.lanes), 0) for v, _ in places]
    if tile.adds:
        first = [f.load(vector(scalar, v.lanes), at) for v, at in places]
    for row, values in enumerate(accumulate(f, target, tile, a, b, at_once, first)):
        for v, value in zip(tile.panel.vectors, values, strict=True):
            align = min(v.lanes, width & -width) * SIZE_OF_SCALAR[scalar]
            f.store(value, f.gep(c, row * width + v.offset, scalar), min(align, 64))
    f.ret()
    return tile.name
