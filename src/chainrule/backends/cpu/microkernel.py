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
from chainrule.backends.cpu.target import Target

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


def accumulate(
    f: Function,
    target: Target,
    dtype: str,
    rows: int,
    panel: Panel,
    a: Value,
    b: Value,
    k: int,
    a_strides: tuple[int, int],
    b_stride: int,
    packed: bool,
    at_once: int,
) -> list[list[Value]]:
    """The sums over ``k`` steps in registers, ``[row][vector]``, ``at_once`` steps a turn of the
    loop.

    ``a`` is read at ``row * a_strides[0] + k * a_strides[1]``, ``b`` at ``k * b_stride`` + column;
    a packed ``b`` has all lanes of every vector, another only the ``count`` that exist.
    """
    scalar, each = SCALAR_OF_DTYPE[dtype], len(panel.vectors)

    def step(at_a: Value, at_b: Value, *sums: Value) -> list[Value]:
        columns = []
        for v in panel.vectors:
            pointer, type_ = f.gep(at_b, v.offset, scalar), vector(scalar, v.lanes)
            columns.append(
                f.load(type_, pointer) if packed else f.load_first(type_, pointer, v.count)
            )
        after = [f.gep(at_a, a_strides[1], scalar), f.gep(at_b, b_stride, scalar)]
        for row in range(rows):
            element = f.load(scalar, f.gep(at_a, row * a_strides[0], scalar))
            for column, old in zip(columns, sums[row * each : (row + 1) * each], strict=True):
                after.append(multiply_add(f, target, f.splat(element, column.lanes), column, old))
        return after

    zeros = [const(vector(scalar, v.lanes), 0) for v in panel.vectors]
    turns, rest = divmod(k, at_once)
    with fold(f, i64(turns), [a, b, *zeros * rows]) as loop:
        loop.next = loop.values
        for _ in range(at_once):
            loop.next = step(*loop.next)
    if rest:
        with fold(f, i64(rest), loop.values) as loop:
            loop.next = step(*loop.values)
    totals = loop.values[2:]
    return [totals[row * each : (row + 1) * each] for row in range(rows)]


def steps_at_once(multiply_adds: int, k: int) -> int:
    """How many steps of k make a turn of the loop, given the multiply-adds of one."""
    count = 1
    while count * multiply_adds < ENOUGH and count < MOST_AT_ONCE and k >= 8 * count:
        count *= 2
    return count


def micro_kernel(
    module: Module,
    target: Target,
    dtype: str,
    rows: int,
    panel: Panel,
    a_strides: tuple[int, int],
    b_stride: int,
    packed: bool,
    k: int,
    rare: bool,
) -> str:
    """The name of ``void (a, b, c)``, c being ``rows`` rows of ``panel.width``; made once a module.

    A ``rare`` one is kept short, which LLVM takes less time for.
    """
    shape = "_".join(f"{v.lanes}of{v.count}" for v in panel.vectors)
    strides = f"{a_strides[0]}_{a_strides[1]}_{b_stride}".replace("-", "n")
    name = f"tile_{dtype}_{rows}x{shape}x{k}_{strides}_{'packed' if packed else 'direct'}"
    if any(f.name == name for f in module.functions):
        return name
    at_once = 1 if rare else steps_at_once(rows * len(panel.vectors), k)
    args = [("ptr noalias readonly", "a"), ("ptr noalias readonly", "b"), ("ptr noalias", "c")]
    f = module.function(name, args, returns="internal void", attributes="nounwind noinline")
    a, b, c = (f.args[n] for n in "abc")
    sums = accumulate(f, target, dtype, rows, panel, a, b, k, a_strides, b_stride, packed, at_once)
    scalar = SCALAR_OF_DTYPE[dtype]
    for row, values in enumerate(sums):
        for v, value in zip(panel.vectors, values, strict=True):
            align = min(v.lanes, panel.width & -panel.width, 1 << 30) * SIZE_OF_SCALAR[scalar]
            f.store(value, f.gep(c, row * panel.width + v.offset, scalar), min(align, 64))
    f.ret()
    return name
