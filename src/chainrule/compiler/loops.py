"""The loop program: what the compiler makes of a graph and a backend turns into machine code.

    LoopProgram buffers, and kernels in levels: those of a level in any order, then a barrier
    Kernel      one body, and what it reads and writes
      Nest        loops over `outer` (independent, shared among threads); inside, stages in order
        Stage       loops over `inner`; inside, statements in order
          Store       buffer[address] = expression
          Keep        scratch[address] = expression   (a thread's own memory, one row long)
          Accumulate  local = combine(local, expression); complete when the stage's loops end
            Load        buffer[address]
            Kept        scratch[address]
            Local       what an earlier stage accumulated
            Constant    a number
            Position    address, as a number
            Gather      buffer[row * stride + address], the row an expression
            Random      bits: a function of a key, two words, and of address
            Apply       a primitive of expressions
      Contract    out[b, m, n] = sum_k a[b, m, k] b[b, k, n], each then goes through the statements
      Scatter     out[index[i], r] += updates[i, r] (or = updates[i, r]), in the order of i
      Repeat      the kernels of a program of its own, again and again

Addresses are affine in the loop variables, in elements. Which loop is vectorised, how wide, and how
iterations are shared among threads is not said here: that is the backend's schedule.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..core.dtypes import DType
from ..core.node import Array, Shape
from ..core.primitives.table import TABLE

Var = int  # a loop variable


@dataclass(frozen=True, slots=True)
class Affine:
    """constant + sum of coefficient * variable."""

    constant: int = 0
    terms: tuple[tuple[Var, int], ...] = ()  # sorted by variable, no zero coefficients

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.constant + other, self.terms)
        sums = dict(self.terms)
        for var, c in other.terms:
            sums[var] = sums.get(var, 0) + c
        return Affine(
            self.constant + other.constant, tuple(sorted((v, c) for v, c in sums.items() if c))
        )

    def __mul__(self, factor: int) -> Affine:
        return Affine(
            self.constant * factor, tuple((v, c * factor) for v, c in self.terms) if factor else ()
        )

    def coefficient(self, var: Var) -> int:
        for v, c in self.terms:
            if v == var:
                return c
        return 0

    def __str__(self) -> str:
        parts = [f"{c}*i{v}" if c != 1 else f"i{v}" for v, c in self.terms]
        return " + ".join([*parts, str(self.constant)] if self.constant or not parts else parts)


ZERO = Affine()


def variable(var: Var) -> Affine:
    return Affine(0, ((var, 1),))


class Loop(NamedTuple):
    var: Var
    extent: int


# -- expressions: interned within a kernel, so equal ones are computed once ----------------------
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Expr:
    """A value at the current iteration."""

    dtype: DType
    args: tuple[Expr, ...] = ()
    address: Affine = ZERO

    @property
    def cost(self) -> int:
        """Of what is computed here, not counting the arguments; see `Primitive.cost`."""
        return 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Load(_Expr):
    buffer: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Kept(_Expr):
    scratch: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Local(_Expr):
    number: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Constant(_Expr):
    value: bool | int | float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Position(_Expr):
    pass


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gather(_Expr):
    """Its argument is the row, clamped to the ``rows`` there are."""

    buffer: int
    rows: int
    stride: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Random(_Expr):
    """Its arguments are the words of the key."""

    name: str

    @property
    def cost(self) -> int:
        return TABLE[self.name].cost


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Apply(_Expr):
    name: str  # of the primitive
    param: int | None = None  # what it is told besides its arguments

    @property
    def cost(self) -> int:
        return TABLE[self.name].cost


Expr = Load | Kept | Local | Constant | Position | Gather | Random | Apply


@dataclass
class Store:
    buffer: int
    address: Affine
    value: Expr


@dataclass
class Keep:
    scratch: int
    address: Affine
    value: Expr


@dataclass
class Accumulate:
    local: int
    combine: str  # sum reduce_max reduce_min argmax
    value: Expr
    dtype: DType
    position: Affine | None = None  # argmax: the index that is remembered


Statement = Store | Keep | Accumulate


@dataclass
class Stage:
    inner: tuple[Loop, ...]
    statements: list[Statement] = field(default_factory=list)


@dataclass
class Nest:
    outer: tuple[Loop, ...]
    stages: list[Stage]
    scratch: list[tuple[int, DType]] = field(default_factory=list)  # elements, dtype


@dataclass
class Rows:
    """A loop variable counts rows that lie anywhere: its row number i is row ``number`` (clamped to
    the ``extent`` rows there are), each ``size`` elements after the one before."""

    var: Var
    number: Expr
    extent: int
    size: int


@dataclass
class OperandAccess:
    """buffer[address], affine in the contraction's loop variables; with ``rows``, one of them
    does not appear in it but gives the row to which the address is added."""

    buffer: int
    address: Affine
    rows: Rows | None = None


@dataclass(frozen=True)
class Valid:
    """Terms of a loop over k that may be other than zero: those for which ``low <= place < high``.
    The others read what was padded with zeros."""

    var: Var
    place: Affine  # in that variable, and in those of the batch
    low: int
    high: int

    def share(self, extents: Mapping[Var, int]) -> float:
        """How many of all terms these are."""
        own = [range(extents[v]) for v, _ in self.place.terms]
        steps = [c for _, c in self.place.terms]
        places = [
            self.place.constant + sum(i * c for i, c in zip(at, steps, strict=True))
            for at in itertools.product(*own)
        ]
        return sum(self.low <= p < self.high for p in places) / max(len(places), 1)


@dataclass
class Contract:
    batch: tuple[Loop, ...]
    m: Loop
    n: Loop
    k: Loop
    a: OperandAccess
    b: OperandAccess
    dtype: DType
    statements: list[Statement]  # of the accumulated sum, which is the local 0
    outer_k: tuple[Loop, ...] = ()  # the sum runs over these loops too, around that of k
    valid: tuple[Valid, ...] = ()  # what these loops need not run over

    @property
    def terms(self) -> int:
        """How many products a sum has."""
        return self.k.extent * math.prod(loop.extent for loop in self.outer_k)

    @property
    def operand_buffers(self) -> set[int]:
        """What the sums are made of."""
        numbers = [x.rows.number for x in (self.a, self.b) if x.rows is not None]
        rows = {e.buffer for n in numbers for e in walk(n) if isinstance(e, (Load, Gather))}
        return {self.a.buffer, self.b.buffer, *rows}


@dataclass
class Scatter:
    """Rows of ``out``, which has all its elements already, added to or replaced."""

    rows: int  # of the output
    row: int  # elements of a row
    count: int  # indices
    out: int
    index: OperandAccess  # variable 0: i
    updates: OperandAccess  # variables 0: i, 1: r
    index_dtype: DType
    dtype: DType
    adds: bool


@dataclass
class Repeat:
    """A loop: a program of its own, whose step is one iteration, ``times`` times."""

    program: LoopProgram
    times: int
    reverse: bool
    inputs: list[int]  # what the program's inputs are outside
    stacked: int  # so many of them, the first, are one row of what they are outside
    carries: list[int]  # what its state is outside
    results: list[int]  # outside, an array of what the program's outputs are at each iteration
    places: list[int] = field(default_factory=list)  # the buffers outside of all its buffers
    reads: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()


Body = Nest | Contract | Scatter | Repeat


@dataclass
class Kernel:
    """One body and what it touches; buffers are numbered as in the program."""

    name: str
    body: Body
    reads: frozenset[int]
    writes: frozenset[int]
    flops: float = 0.0
    bytes: float = 0.0
    beside: int = -1  # kernels of one number write different elements of what they write


def key(e: Expr) -> tuple[object, ...]:
    """What two equal expressions have in common, if their arguments are one."""
    match e:
        case Load():
            own: tuple[object, ...] = (e.buffer,)
        case Kept():
            own = (e.scratch,)
        case Local():
            own = (e.number,)
        case Constant():
            own = (e.value, math.copysign(1, e.value))  # -0 is not 0
        case Position():
            own = ()
        case Gather():
            own = (e.buffer, e.rows, e.stride)
        case Random():
            own = (e.name,)
        case Apply():
            own = (e.name, e.param)
    return (type(e), e.dtype, tuple(map(id, e.args)), e.address, *own)


def walk(expr: Expr, seen: set[int] | None = None) -> Iterator[Expr]:
    """An expression and everything below it, each once."""
    seen = set() if seen is None else seen
    if id(expr) in seen:
        return
    seen.add(id(expr))
    for arg in expr.args:
        yield from walk(arg, seen)
    yield expr


def strides_of(shape: Shape) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def kernel_of(name: str, body: Body) -> Kernel:
    """The kernel with what it reads and writes, and the work it does."""
    if isinstance(body, Scatter):
        inputs, elements = {body.index.buffer, body.updates.buffer}, body.count * body.row
        moved = 3.0 * elements * body.dtype.itemsize
        return Kernel(
            name, body, frozenset({*inputs, body.out}), frozenset({body.out}), elements, moved
        )
    if isinstance(body, Repeat):
        inside = body.program.kernels
        work = body.times * sum(k.flops for k in inside)
        moved = body.times * sum(k.bytes for k in inside)
        return Kernel(name, body, body.reads, body.writes, work, moved)
    reads: set[int] = set()
    writes: set[int] = set()
    flops = bytes_ = 0.0
    outer = math.prod(
        loop.extent
        for loop in (body.outer if isinstance(body, Nest) else (*body.batch, body.m, body.n))
    )
    if isinstance(body, Contract):
        reads |= body.operand_buffers
        extents = {x.var: x.extent for x in (*body.batch, *body.outer_k, body.k)}
        shares = math.prod(v.share(extents) for v in body.valid)
        flops += 2.0 * outer * body.terms * shares
        size = body.dtype.itemsize
        batch = math.prod(loop.extent for loop in body.batch)
        bytes_ += batch * body.terms * (body.m.extent + body.n.extent) * size
        parts: list[tuple[float, list[Statement]]] = [(float(outer), body.statements)]
    else:
        parts = [
            (float(outer * math.prod(loop.extent for loop in s.inner)), s.statements)
            for s in body.stages
        ]
    for count, statements in parts:
        seen: set[int] = set()
        for s in statements:
            if isinstance(s, Store):
                writes.add(s.buffer)
                bytes_ += count * s.value.dtype.itemsize
            if isinstance(s, Accumulate):
                flops += count
            for e in walk(s.value, seen):
                if isinstance(e, (Load, Gather)):
                    reads.add(e.buffer)
                    bytes_ += count * e.dtype.itemsize if e.address.terms else 0
                else:
                    flops += count * e.cost
    return Kernel(name, body, frozenset(reads), frozenset(writes), flops, bytes_)


# -- the program ---------------------------------------------------------------------------------
BufferKind = Literal["input", "state", "output", "constant", "temporary", "part"]


@dataclass
class Buffer:
    """A place in memory; a part is one of another buffer, ``steps`` bytes further in each
    iteration of the loops around it, outermost first."""

    kind: BufferKind
    shape: Shape
    dtype: DType
    number: int = -1  # which input, state or output
    value: Array | None = None  # constants
    offset: int = -1  # bytes: of a temporary into the arena, of a part into its parent
    parent: int = -1  # of a part: the number of the buffer
    steps: tuple[int, ...] = ()

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class LoopProgram:
    """Everything a backend needs to make a program."""

    buffers: list[Buffer]
    kernels: list[Kernel]
    levels: list[int]  # of the kernels, ascending: a barrier between two levels
    arena_bytes: int
