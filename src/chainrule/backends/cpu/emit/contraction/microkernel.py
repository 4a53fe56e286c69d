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
from typing import NamedTuple

from ....llvm.builder import Function, Module, Value, const, i64, vector
from ....llvm.index import least
from ....llvm.primitives import sum_exactly, with_lost
from ....llvm.types import SCALAR_OF_DTYPE, SIZE_OF_SCALAR
from ...machine.target import Target
from ...schedule.panels import Panel

ENOUGH = 48  # multiply-adds in the body of the loop over k: its own instructions then cost little
LONG_SUM = 1024  # terms; a longer sum is put together from short ones
SHORT_SUM = 128  # terms
SOME = 8  # short sums that are added up before they are added exactly
FAR = 1 << 16  # bytes over which the steps of k spread that are read ahead of time
AHEAD = 16  # steps of k
MOST_AT_ONCE = 8  # steps of k in that body


def follows(step: int, row: int, rows: int) -> bool:
    """Whether a step leads from an element of a row to one of another."""
    return row != 0 and step % row == 0 and 0 < abs(step // row) < rows


def met_again(steps: int, step: int, row: int) -> int:
    """How many more elements than rows there are in ``steps`` that lead from row to row."""
    return (steps - 1) * abs(step // row)


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
    outer: tuple[tuple[int, int, int], ...] = ()  # loops around: count (0: told), step of a, of b
    adds: bool = False  # to what is there
    parts: int = 1  # sums of every parts-th step of k, side by side: one alone waits for itself
    together: int = 1  # steps of k side by side in a vector, where columns are few
    written: int = 0  # lines for each row that are asked for on the way, to write to them
    read: int = 0  # and to read

    @property
    def scalar(self) -> str:
        return SCALAR_OF_DTYPE[self.dtype]

    def shares(self, steps: int, registers: int) -> bool:
        """Whether steps of k lead from row to row, and what they meet again fits into registers."""
        row, step = self.a_strides
        if self.by_table or self.together > 1 or not follows(step, row, self.rows):
            return False
        met = self.rows + met_again(steps, step, row)
        return self.multiply_adds + len(self.panel.vectors) + met <= registers

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
        adds = ("_adds" if self.adds else "") + (f"_in{self.parts}" if self.parts > 1 else "")
        adds += f"_by{self.together}" if self.together > 1 else ""
        adds += f"_w{self.written}r{self.read}" if self.written or self.read else ""
        return f"tile_{self.dtype}_{self.rows}x{shape}x{self.k}_{layout}{loops}{adds}"


def accumulate(
    f: Function,
    tile: Tile,
    a: Value,
    b: Value,
    at_once: int,
    start: Value,
    registers: int,
    lines: Sequence[tuple[Value, int, bool]] = (),
    counts: Sequence[Value] = (),
) -> list[list[Value]]:
    """The sums in registers, of which the machine has ``registers``, over k from ``start`` on,
    ``[row][vector]``; ``at_once`` steps of k a turn of the loop. ``lines``: addresses that are
    asked for on the way, how many, and whether to write to them. ``counts``: of the loops that are
    told how often they turn."""
    each, group = len(tile.panel.vectors), tile.together
    sums = _Sums(f, tile, a, at_once, registers, lines)
    begin = f.mul(start, i64(tile.a_strides[1]))
    begin = begin if tile.by_table else f.gep(a, begin, tile.scalar)
    b = f.gep(b, f.mul(start, i64(tile.b_stride)), tile.scalar)
    zeros = [const(vector(tile.scalar, v.lanes * group), 0) for v in tile.panel.vectors]
    totals = sums.nest(tile.outer, counts, [begin, b, *zeros * tile.rows * tile.parts])[2:]
    count = tile.rows * each
    while len(totals) > count:
        before, last = totals[-2 * count : -count], totals[-count:]
        totals = [*totals[: -2 * count], *(f.add(x, y) for x, y in zip(before, last, strict=True))]
    if group > 1:
        totals = [_sum_of_groups(f, total, group) for total in totals]
    return [totals[row * each : (row + 1) * each] for row in range(tile.rows)]


class _Sums:
    """Loops over k that carry values: where they are in a and in b, and the sums."""

    def __init__(
        self,
        f: Function,
        tile: Tile,
        a: Value,
        at_once: int,
        registers: int,
        lines: Sequence[tuple[Value, int, bool]],
    ) -> None:
        self.f, self.tile, self.at_once, self.lines = f, tile, at_once, lines
        self.scalar, self.registers = tile.scalar, registers
        self.starts = [
            f.load("ptr", f.gep(a, row, "ptr")) for row in range(tile.rows) if tile.by_table
        ]
        # Of a transposed, each step of k is another line far away: the processor does not ask
        # ahead.
        across = tile.k * tile.a_strides[1] * SIZE_OF_SCALAR[self.scalar]
        self.far = across > FAR and tile.a_strides[0] == 1 and tile.rows > 1 and not tile.by_table

    def nest(
        self,
        loops: Sequence[tuple[int, int, int]],
        told: Sequence[Value],
        values: list[Value],
    ) -> list[Value]:
        """What is carried behind the ``loops`` around k, the outermost first."""
        if not loops:
            return self.terms(values)
        f = self.f
        (count, a_step, b_step), *inner = loops
        turns, told = (i64(count), told) if count else (told[0], told[1:])
        with f.fold(turns, values) as loop:
            at_a, at_b = loop.values[:2]
            sums = self.nest(inner, told, loop.values)[2:]
            loop.next = [f.gep(at_a, a_step, self.scalar), f.gep(at_b, b_step, self.scalar), *sums]
        return loop.values

    def terms(self, values: list[Value]) -> list[Value]:
        """All steps of k, from these addresses and sums on."""
        f, tile, group = self.f, self.tile, self.tile.together
        if group > 1:
            with f.fold(i64(tile.k // group), values) as loop:
                loop.next = self.step(0, *loop.values, steps=group)
            values = loop.values
            for _ in range(tile.k % group):
                values = self.step(0, *values)
            return values
        if tile.outer and tile.k <= MOST_AT_ONCE:
            for i in range(tile.k):
                self.apart(i, tile.k)
                values = self.step(i, *values)
            return values
        turns, rest = divmod(tile.k, self.at_once)
        with f.fold(i64(turns), values) as loop:
            loop.next = loop.values
            for i in range(self.at_once):
                self.apart(i, self.at_once)
                for table, count, write in self.lines:
                    _ask(f, table, count, write, loop.index, turns, i)
                loop.next = self.step(i, *loop.next)
        if rest:
            with f.fold(i64(rest), loop.values) as loop:
                loop.next = self.step(0, *loop.values)
        return loop.values

    def apart(self, i: int, steps: int) -> None:
        """What two steps load together takes registers from the sums, unless it is the same."""
        if i and not self.tile.shares(steps, self.registers):
            self.f.in_order()

    def step(
        self, number: int, at_a: Value, at_b: Value, *every: Value, steps: int = 1
    ) -> list[Value]:
        """One step of k, or as many as lie side by side, added to the sums that it counts for."""
        f, tile, scalar, stride = self.f, self.tile, self.scalar, self.tile.a_strides[1]
        each, group = len(tile.panel.vectors), tile.together
        first = number % tile.parts * each * tile.rows
        sums = every[first : first + each * tile.rows]
        for row in (0, tile.rows - 1) if self.far else ():
            f.prefetch(f.gep(at_a, AHEAD * stride + row, scalar), False)
        columns = []
        for v in tile.panel.vectors:
            pointer, type_ = f.gep(at_b, v.offset, scalar), vector(scalar, v.lanes * group)
            count = v.lanes * group if tile.packed else v.count
            columns.append(f.load_first(type_, pointer, count))
        next_a = f.add(at_a, i64(stride)) if tile.by_table else f.gep(at_a, steps * stride, scalar)
        new = []
        for row in range(tile.rows):
            x = self.elements(at_a, row, steps, columns[0].lanes)
            for column, old in zip(columns, sums[row * each : (row + 1) * each], strict=True):
                new.append(f.multiply_add(x, column, old))
        after = [next_a, f.gep(at_b, tile.b_stride, scalar)]
        return [*after, *every[:first], *new, *every[first + len(new) :]]

    def elements(self, at_a: Value, row: int, steps: int, lanes: int) -> Value:
        """Those of so many steps, again and again. ``at_a``: an address, or with a table the
        distance from the rows' first elements."""
        f, scalar = self.f, self.scalar
        if self.tile.by_table:
            return f.splat(f.load(scalar, f.gep(self.starts[row], at_a, scalar)), lanes)
        at = f.gep(at_a, row * self.tile.a_strides[0], scalar)
        if steps == 1:
            return f.splat(f.load(scalar, at), lanes)
        found = f.load(vector(scalar, steps), at)
        return f.shuffle(found, None, [i % steps for i in range(lanes)])


def _sum_of_groups(f: Function, total: Value, group: int) -> Value:
    """The sum of each group of neighbouring lanes."""
    parts = [f.shuffle(total, None, range(i, total.lanes, group)) for i in range(group)]
    while len(parts) > 1:
        parts = [f.add(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _ask(
    f: Function, table: Value, count: int, write: bool, turn: Value, turns: int, step: int
) -> None:
    """Fetch a line of the ``count`` whose addresses are in a table: one in each of the first steps
    of a turn, so that all of them are asked for in the end."""
    each = -(-count // turns)
    if step < each:
        number = least(f, f.add(f.mul(turn, i64(each)), i64(step)), i64(count - 1))
        f.prefetch(f.load("ptr", f.gep(table, number, "ptr")), write)


def steps_at_once(multiply_adds: int, k: int) -> int:
    """How many steps of k make a turn of the loop, given the multiply-adds of one; it
    turns eight times at least."""
    count = 1
    while count * multiply_adds < ENOUGH and count < MOST_AT_ONCE and k >= 8 * count:
        count *= 2
    return count


def micro_kernel(module: Module, target: Target, tile: Tile, rare: bool) -> str:
    """The name of ``void (a, b, c, written, read, counts…)``, c being ``rows`` rows of
    ``panel.width``, the next two tables of addresses; made once a module.

    A ``rare`` one is kept short, which LLVM takes less time for.
    """
    if any(f.name == tile.name for f in module.functions):
        return tile.name
    at_once = 1 if rare else steps_at_once(tile.multiply_adds, tile.k)
    args = [("ptr noalias readonly", "a"), ("ptr noalias readonly", "b"), ("ptr noalias", "c")]
    args += [("ptr noalias readonly", name) for name in ("written", "read")]
    told = [f"count{i}" for i, (count, _, _) in enumerate(tile.outer) if not count]
    args += [("i64", name) for name in told]
    f = module.function(tile.name, args, returns="internal void", attributes="nounwind noinline")
    a, b, c = (f.args[n] for n in "abc")
    registers = target.vector_registers
    if tile.k > LONG_SUM and tile.scalar in ("float", "double") and not (tile.outer or tile.adds):
        _long_sums(f, tile, a, b, c, at_once, registers)
    else:
        asked = [
            (name, tile.rows * n) for name, n in (("written", tile.written), ("read", tile.read))
        ]
        lines = [(f.args[name], count, name == "written") for name, count in asked if count]
        sums = accumulate(
            f, tile, a, b, at_once, i64(0), registers, lines, [f.args[n] for n in told]
        )
        for place, value in _places(f, tile, c, sums):
            f.store(f.add(f.load(value.type, *place), value) if tile.adds else value, *place)
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
    f: Function, tile: Tile, a: Value, b: Value, c: Value, at_once: int, registers: int
) -> None:
    """The sums put together in memory from short ones, so that little is lost: some short ones are
    added up as they are, and what comes of it exactly."""
    lanes = tile.panel.vectors[0].lanes
    size, type_ = tile.rows * tile.panel.width, vector(tile.scalar, lanes)
    lost, some = (f.alloca(tile.scalar, size, align=64) for _ in range(2))

    @contextmanager
    def each() -> Iterator[list[Value]]:
        """Every vector of the three buffers."""
        with f.for_range(0, size, lanes) as i:
            yield [f.gep(buffer, i, tile.scalar) for buffer in (c, lost, some)]

    with each() as places:
        for place in places:
            f.store(const(type_, 0), place)

    def short(start: Value, k: int) -> None:
        sums = accumulate(f, tile._replace(k=k), a, b, at_once, start, registers)
        for place, value in _places(f, tile, some, sums):
            f.store(f.add(f.load(value.type, *place), value), *place)

    count, rest = divmod(tile.k, SHORT_SUM)
    if rest:
        short(i64(count * SHORT_SUM), rest)
    with f.for_range(0, count, SOME, hint="some") as first:
        with f.for_range(first, least(f, count, f.add(first, i64(SOME)))) as i:
            short(f.mul(i, i64(SHORT_SUM)), SHORT_SUM)
        with each() as places:
            total, error = sum_exactly(f, *(f.load(type_, place) for place in places))
            for place, value in zip(places, (total, error, const(type_, 0)), strict=True):
                f.store(value, place)
    with each() as (place, other, _):
        f.store(with_lost(f, f.load(type_, place), f.load(type_, other)), place)
