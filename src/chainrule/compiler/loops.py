"""The loop program: what the compiler makes of a graph and a backend turns into machine code.

    Kernel      one or several of these run after another, with barriers where the plan says
      Nest        loops over `outer` (independent, shared among threads); inside, stages in order
        Stage       loops over `inner`; inside, statements in order
          Store       buffer[address] = expression
          Keep        scratch[address] = expression   (a thread's own memory, one row long)
          Accumulate  local = combine(local, expression); complete when the stage's loops end
      Contract    out[b, m, n] = sum_k a[b, m, k] b[b, k, n], each then goes through the statements
      ScatterAdd  out[index[i], r] += updates[i, r], in the order of i
      Repeat      the kernels of a plan of its own, again and again

Addresses are affine in the loop variables, in elements. Which loop is vectorised, how wide, and how
iterations are shared among threads is not said here: that is the backend's schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.dtypes import DType
from ..core.node import Shape
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
@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """A value at the current iteration."""

    dtype: DType
    kind: str  # load kept local constant index gather random op
    args: tuple[Expr, ...] = ()
    name: str = ""  # op, random: the primitive
    buffer: int = -1  # load, gather: which buffer; kept: which scratch; local: which accumulator
    address: Affine = ZERO
    extra: Any = (
        None  # constant: its value; gather: (rows, row stride); op: the primitive's parameters
    )

    @property
    def cost(self) -> int:
        """Of what is computed here, not counting the arguments; see `Primitive.cost`."""
        return TABLE[self.name].cost if self.name else 0


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


@dataclass
class Contract:
    batch: tuple[Loop, ...]
    m: Loop
    n: Loop
    k: Loop
    a: OperandAccess
    b: OperandAccess
    dtype: DType
    statements: list[Statement]  # of the accumulated sum: an Expr of kind "local" 0
    outer_k: tuple[Loop, ...] = ()  # the sum runs over these loops too, around that of k

    @property
    def terms(self) -> int:
        """How many products a sum has."""
        return self.k.extent * math.prod(loop.extent for loop in self.outer_k)

    @property
    def operand_buffers(self) -> set[int]:
        """What the sums are made of."""
        rows = (x.rows.number.buffer for x in (self.a, self.b) if x.rows is not None)
        return {self.a.buffer, self.b.buffer, *rows}


@dataclass
class ScatterAdd:
    rows: int  # of the output
    row: int  # elements of a row
    count: int  # indices
    out: int
    index: OperandAccess  # variable 0: i
    updates: OperandAccess  # variables 0: i, 1: r
    index_dtype: DType
    dtype: DType


@dataclass
class Repeat:
    """A loop's body, ``times`` times: its kernels in order, with their levels. They number buffers
    in their own way: number i is ``places[i]`` outside."""

    kernels: list[Kernel]
    levels: list[int]
    times: int
    places: list[int]


Body = Nest | Contract | ScatterAdd | Repeat


@dataclass
class Kernel:
    """One body and what it touches; buffers are numbered as in the plan."""

    name: str
    body: Body
    reads: frozenset[int]
    writes: frozenset[int]
    flops: float = 0.0
    bytes: float = 0.0


def walk(expr: Expr, seen: set[int] | None = None) -> Iterator[Expr]:
    """An expression and everything below it, each once."""
    seen = set() if seen is None else seen
    if id(expr) in seen:
        return
    seen.add(id(expr))
    for arg in expr.args:
        yield from walk(arg, seen)
    yield expr


def all_statements(body: Body) -> list[Statement]:
    if isinstance(body, Nest):
        return [s for stage in body.stages for s in stage.statements]
    return body.statements if isinstance(body, Contract) else []


# -- text ----------------------------------------------------------------------------------------
def show_expr(e: Expr, b: str = "b") -> str:
    args = ", ".join(show_expr(a) for a in e.args)
    match e.kind:
        case "load":
            return f"{b}{e.buffer}[{e.address}]"
        case "kept":
            return f"row{e.buffer}[{e.address}]"
        case "local":
            return f"acc{e.buffer}"
        case "constant":
            return str(e.extra)
        case "index":
            return f"({e.address})"
        case "gather":
            return f"{b}{e.buffer}[{args} * {e.extra[1]} + {e.address}]"
        case "random":
            return f"random({args}; {e.address})"
    return f"{e.name}({args})"


def show_operand(x: OperandAccess) -> str:
    row = f"{show_expr(x.rows.number)} * {x.rows.size} + " if x.rows is not None else ""
    return f"b{x.buffer}[{row}{x.address}]"


def show(kernel: Kernel) -> str:
    """The kernel as indented loops."""
    lines = [f"{kernel.name}:"]

    def statements(items: list[Statement], indent: str) -> None:
        for s in items:
            if isinstance(s, Store):
                lines.append(f"{indent}b{s.buffer}[{s.address}] = {show_expr(s.value)}")
            elif isinstance(s, Keep):
                lines.append(f"{indent}row{s.scratch}[{s.address}] = {show_expr(s.value)}")
            else:
                lines.append(
                    f"{indent}acc{s.local} = {s.combine}(acc{s.local}, {show_expr(s.value)})"
                )

    body = kernel.body
    if isinstance(body, Nest):
        indent = "  "
        for loop in body.outer:
            lines.append(f"{indent}for i{loop.var} in range({loop.extent}):  # parallel")
            indent += "  "
        for stage in body.stages:
            deeper = indent
            for loop in stage.inner:
                lines.append(f"{deeper}for i{loop.var} in range({loop.extent}):")
                deeper += "  "
            statements(stage.statements, deeper)
    elif isinstance(body, Contract):
        terms = (*body.outer_k, body.k)
        shape = " x ".join(str(loop.extent) for loop in (*body.batch, body.m, body.n, *terms))
        a, b = map(show_operand, (body.a, body.b))
        over = ", ".join(f"i{loop.var}" for loop in terms)
        lines.append(f"  acc0 = sum over {over} of {a} * {b}  # {shape}")
        statements(body.statements, "  ")
    elif isinstance(body, Repeat):
        lines.append(f"  {body.times} times:  # b{', b'.join(map(str, body.places))}")
        lines += ["    " + line for k in body.kernels for line in show(k).splitlines()]
    else:
        lines.append(
            f"  b{body.out}[b{body.index.buffer}[i0] * {body.row} + i1] += "
            f"b{body.updates.buffer}[...]"
        )
    return "\n".join(lines)


def strides_of(shape: Shape) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))
