"""Values as cells, and what brings those of several together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .....core.dtypes import DType, float32
from .....core.node import Array, Shape
from ....llvm import primitives as ops
from ....llvm.builder import Value, const
from ....llvm.types import SCALAR_OF_DTYPE
from .cells import Arithmetic, Cell, Cells, Unsuited, array_of

ELEMENTS = 1 << 20  # of arrays handled while compiling
LOADED = 256  # elements of an input held in registers; larger ones stay in memory


@dataclass(frozen=True)
class Held:
    """A value: its cells; axis of replicas, if any; in memory, cells are offsets from ``table``."""

    cells: Cells
    axis: int | None = None
    table: Value | None = None
    dtype: DType = float32


def in_memory(table: Value, shape: Shape, dtype: DType) -> Held:
    """An array in memory, from ``table`` on."""
    return Held(np.arange(math.prod(shape)).reshape(shape), None, table, dtype)


class Values:
    """What primitives are made with: instructions on cells, for ``replicas`` (1: none)."""

    def __init__(self, arithmetic: Arithmetic, replicas: int) -> None:
        self.a, self.f, self.replicas = arithmetic, arithmetic.f, replicas

    def loaded(self, x: Held) -> Held:
        """The value in registers."""
        if x.table is None:
            return x
        if x.cells.size > LOADED:
            raise Unsuited  # large, and not only looked up
        memory = SCALAR_OF_DTYPE[x.dtype.name]
        found: dict[int, Cell] = {}
        for offset in x.cells.reshape(-1).tolist():
            if offset not in found:
                value = self.f.load(memory, self.f.gep(x.table, offset, memory))
                found[offset] = Cell(ops.from_memory(self.f, value, x.dtype))
        return Held(
            array_of([found[o] for o in x.cells.reshape(-1).tolist()], x.cells.shape), x.axis
        )

    def narrow(self, x: Held, axis: int, inner: int) -> Cells:
        """The cells of what all replicas share (or that has them at ``axis``), for each replica."""
        cells = self.loaded(x).cells
        if x.axis is not None:
            if x.axis != axis:
                raise Unsuited
            return cells
        every = np.moveaxis(cells, axis, 0)
        first = every[:inner]
        if every.strides[0] != 0 and every.size:
            ids = np.asarray(np.frompyfunc(id, 1, 1)(every)).reshape(-1, *first.shape)
            if not (ids == ids[0]).all():
                raise Unsuited
        return np.moveaxis(first, 0, axis)

    def aligned(self, *xs: Held) -> tuple[list[Cells], int | None]:
        """Cells of equal shapes, for operands of equal shapes."""
        lead = next((x for x in xs if x.axis is not None), None)
        if lead is None or lead.axis is None:
            return [self.loaded(x).cells for x in xs], None
        inner = lead.cells.shape[lead.axis]
        return [self.narrow(x, lead.axis, inner) for x in xs], lead.axis

    def literals(self, values: Array) -> Cells:
        type_ = ops.register_type(values.dtype)
        return array_of([Cell(const(type_, v)) for v in values.reshape(-1).tolist()], values.shape)

    def fold(self, how: str, kind: str, cells: Cells, axis: int) -> Cells:
        """One axis reduced to size 1, by halves."""
        while (n := cells.shape[axis]) > 1:
            half = n // 2
            parts = np.split(cells, [half, 2 * half], axis)
            cells = self.a.elementwise(
                lambda p, q: ops.combine(self.f, how, kind, p, q), parts[0], parts[1]
            )
            if n % 2:
                cells = np.concatenate([cells, parts[2]], axis)
        return cells
