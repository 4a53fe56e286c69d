"""What a contraction is, apart from how it is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Literal, NamedTuple, Protocol

from ...llvm.builder import SCALAR_OF_DTYPE, SIZE_OF_SCALAR, Function, Value, i64


class Operand(NamedTuple):
    """Where element (batch, row, col) lies, in elements from the pointer given at emission:
    ``offset + sum(batch[i] * batch_strides[i]) + row * row_stride + col * col_stride``.
    Strides may be 0 or negative.

    With ``table``, the rows (or columns) lie anywhere: the pointer given at emission points to the
    addresses of their first elements; their own stride only tells which way the matrix lies."""

    row_stride: int
    col_stride: int
    batch_strides: tuple[int, ...] = ()
    offset: int = 0
    table: Literal["", "rows", "columns"] = ""


class Contraction(NamedTuple):
    """out[batch, m, n] = sum_k a[batch, m, k] * b[batch, k, n]; ``a`` is (m, k), ``b`` is (k,
    n)."""

    m: int
    n: int
    k: int
    a: Operand
    b: Operand
    dtype: str = "float32"
    batch: tuple[int, ...] = ()

    @property
    def scalar(self) -> str:
        """LLVM's type of an element."""
        return SCALAR_OF_DTYPE[self.dtype]

    @property
    def itemsize(self) -> int:
        return SIZE_OF_SCALAR[self.scalar]

    @property
    def has_table(self) -> bool:
        return bool(self.a.table or self.b.table)


class Epilogue(Protocol):
    """What happens to finished sums."""

    def __call__(
        self, f: Function, batch: Sequence[Value], m: Value, n: Value, acc: Value, count: int
    ) -> None:
        """Take ``acc``: the columns n, n+1, … of row m (a scalar where it has one lane). Only its
        first ``count`` lanes are columns. Called for each output element once."""


class Announcement(Protocol):
    """What happens before sums are computed: a chance to fetch what their epilogue will touch."""

    def __call__(self, f: Function, batch: Sequence[Value], m: Value, n: Value, count: int) -> None:
        """``count`` sums of row m, from column n, are next."""


def known(*values: Value) -> bool:
    """Whether all are literals. The helpers below emit nothing for what is known: less for LLVM to
    do."""
    return not any(v.text.startswith("%") for v in values)


def divide(f: Function, value: Value, by: int) -> tuple[Value, Value]:
    """Quotient and remainder of a count."""
    if by == 1:
        return value, i64(0)
    if known(value):
        return i64(int(value.text) // by), i64(int(value.text) % by)
    return f.emit("i64", f"udiv {value}, {by}"), f.emit("i64", f"urem {value}, {by}")


def divide_up(f: Function, value: Value, by: int) -> Value:
    """value / by, rounded up, of a count."""
    return divide(f, plus(f, value, by - 1), by)[0]


def plus(f: Function, a: Value, b: Value | int) -> Value:
    """a + b of indices."""
    b = i64(b) if isinstance(b, int) else b
    if known(a, b):
        return i64(int(a.text) + int(b.text))
    return b if a.text == "0" else a if b.text == "0" else f.add(a, b)


def minus(f: Function, a: Value | int, b: Value) -> Value:
    """a - b of indices."""
    a = i64(a) if isinstance(a, int) else a
    if known(a, b):
        return i64(int(a.text) - int(b.text))
    return a if b.text == "0" else f.sub(a, b)


def scaled(f: Function, value: Value, by: int) -> Value:
    """value * by of indices."""
    if known(value):
        return i64(int(value.text) * by)
    return i64(0) if by == 0 else value if by == 1 else f.mul(value, i64(by))


def least(f: Function, a: Value | int, b: Value | int) -> Value:
    """The lesser index."""
    a, b = (i64(v) if isinstance(v, int) else v for v in (a, b))
    if known(a, b):
        return min(a, b, key=lambda v: int(v.text))
    return f.select(f.compare("slt", a, b), a, b)


def batch_indices(f: Function, c: Contraction, batch: Value) -> list[Value]:
    """The index of each batch axis, from their number in row-major order."""
    indices: list[Value] = []
    for extent in reversed(c.batch):
        batch, index = divide(f, batch, extent)
        indices.insert(0, index)
    return indices


def base(
    f: Function, c: Contraction, pointer: Value, operand: Operand, indices: Sequence[Value]
) -> Value:
    """Address of element (0, 0) of one matrix of the batch."""
    if not operand.table:
        pointer = f.gep(pointer, operand.offset, c.scalar)
    for index, stride in zip(indices, operand.batch_strides, strict=True):
        pointer = f.gep(pointer, scaled(f, index, stride), c.scalar)
    return pointer


@contextmanager
def equal_share(f: Function, units: int, tid: Value, nt: Value) -> Iterator[Value]:
    """Loop over thread ``tid``'s part of ``range(units)``."""
    if units == 1:
        with f.if_then(f.compare("eq", tid, i64(0))):
            yield i64(0)
        return
    start, stop = (
        f.emit("i64", f"udiv {scaled(f, t, units)}, {nt.text}") for t in (tid, plus(f, tid, 1))
    )
    with f.for_range(start, stop, hint="unit") as unit:
        yield unit


def batches(c: Contraction) -> int:
    return prod(c.batch)
