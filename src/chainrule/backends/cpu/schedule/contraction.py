"""What a contraction is, apart from how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple, Protocol

from ...llvm.builder import Function, Value
from ...llvm.index import divide, scaled
from ...llvm.types import SCALAR_OF_DTYPE, SIZE_OF_SCALAR


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


class Bounds(NamedTuple):
    """Which iterations of a loop matter: those for which ``low <= place < high``, with ``place =
    constant + step * iteration`` and so much for each iteration of a loop of the batch."""

    low: int
    high: int
    constant: int
    step: int
    of_batch: tuple[int, ...]


class Digit(NamedTuple):
    """A loop, and what an iteration of it moves on in a and in b, in elements."""

    extent: int
    a: int
    b: int
    bounds: Bounds | None = None


class Windowed(NamedTuple):
    """A contraction over nests of loops; ``batch`` in the order of the places, those that move b
    first; ``k`` from the outermost to the innermost."""

    batch: tuple[Digit, ...]
    m: Digit
    n: Digit
    k: tuple[Digit, ...]
    a_offset: int
    b_offset: int
    dtype: str

    @property
    def terms(self) -> int:
        return prod(d.extent for d in self.k)

    @property
    def groups(self) -> int:
        """Places with a b of their own."""
        return prod(d.extent for d in self.batch if d.b)

    @property
    def flat(self) -> Contraction:
        """As a product of matrices of one place: for choosing tiles and panels."""
        a = Operand(self.m.a, self.k[-1].a)
        b = Operand(self.k[-1].b, self.n.b)
        return Contraction(self.m.extent, self.n.extent, self.terms, a, b, self.dtype)


class Epilogue(Protocol):
    """What happens to finished sums."""

    def __call__(
        self, f: Function, batch: Sequence[Value], m: Value, n: Value, acc: Value, count: int
    ) -> None:
        """Take ``acc``: the columns n, n+1, … of row m (a scalar where it has one lane). Only its
        first ``count`` lanes are columns. Called for each output element once."""


class Announcement(Protocol):
    """What the epilogue will touch: a chance to fetch it while the sums are computed."""

    def __call__(
        self, f: Function, batch: Sequence[Value], m: Value, n: Value, count: int
    ) -> list[tuple[Value, bool]]:
        """A pointer into each cache line that goes with ``count`` sums of row m, from column n on,
        and whether it is written; as many for each row."""


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


def batches(c: Contraction) -> int:
    return prod(c.batch)
