"""Tensors as cells: every element is a register, or a lane of one.

A tensor is a NumPy object array of cells, so that movement (reshape, transpose, broadcast, slice,
concat) is NumPy's own and emits nothing. Arithmetic goes through one function, `elementwise`, of
which there are two:

    Packed  neighbouring elements share a vector; operands are brought into line by shuffles
    Lanes   every element is a vector of its own, whose lanes are replicas of one computation
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....llvm.builder import Function, Value, const, vector

Cells = NDArray[Any]  # of Cell
Operation = Callable[..., Value | tuple[Value, ...]]


class Unsuited(Exception):
    """The graph is too large, or not of the form that a register program takes."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A lane of a packed vector, or (lane -1) a whole value: a scalar, or one replica a lane."""

    value: Value
    lane: int = -1

    @property
    def number(self) -> int | None:
        """The integer, if it is a literal."""
        try:
            return int(self.value.text) if self.lane < 0 and self.value.lanes == 1 else None
        except ValueError:
            return None


def array_of(cells: Sequence[Cell], shape: Sequence[int]) -> Cells:
    out = np.empty(len(cells), object)
    for i, cell in enumerate(cells):
        out[i] = cell
    return out.reshape(shape)


def chunks(count: int, width: int) -> list[tuple[int, int, int]]:
    """How ``count`` elements lie in vectors: (first, how many, lanes: a power of two)."""
    starts = range(0, count, width)
    return [(s, n, 1 << (n - 1).bit_length()) for s in starts for n in [min(width, count - s)]]


def distinct(arrays: Sequence[Cells]) -> list[Cells]:
    """The arrays, without the axes along which all of them only repeat (kept with size 1)."""
    shape = arrays[0].shape
    keep = tuple(
        slice(0, 1) if n > 1 and all(a.strides[i] == 0 for a in arrays) else slice(None)
        for i, n in enumerate(shape)
    )
    return [a[(*keep, ...)] for a in arrays]


class Arithmetic:
    """Emits operations on cells; gives up when more than ``limit`` lines have been written."""

    def __init__(self, f: Function, limit: int) -> None:
        self.f, self.limit = f, limit
        self._brought: dict[Any, Value] = {}  # what was already shuffled or repeated

    def elementwise(self, operation: Operation, *arrays: Cells, whole: bool = False) -> Any:
        """``operation`` on the elements of equal-shaped arrays: an array, or a tuple of them.

        ``whole``: the operation may branch or trap on any lane, so that none may be undefined.
        """
        shape = arrays[0].shape
        small = distinct(arrays)
        flat = [a.reshape(-1) for a in small]
        if flat[0].size > self.limit:
            raise Unsuited
        results = self._apply(operation, [list(a) for a in flat], whole)
        out = tuple(np.broadcast_to(array_of(r, small[0].shape), shape) for r in results)
        return out if len(out) > 1 else out[0]

    def _apply(
        self, operation: Operation, columns: list[list[Cell]], whole: bool
    ) -> list[list[Cell]]:
        raise NotImplementedError

    def _check(self) -> None:
        if self.f.length > self.limit:
            raise Unsuited


class Lanes(Arithmetic):
    """One operation an element; shared by all replicas, it is scalar until it meets what is not."""

    def _apply(
        self, operation: Operation, columns: list[list[Cell]], whole: bool
    ) -> list[list[Cell]]:
        results: list[list[Cell]] = [[]]
        for row in zip(*columns, strict=True):
            values = [c.value for c in row]
            lanes = max(v.lanes for v in values)
            result = operation(*(self.spread(v, lanes) for v in values))
            results = _append(results, result, [-1])
            self._check()
        return results

    def spread(self, value: Value, lanes: int) -> Value:
        if value.lanes == lanes:
            return value
        key = value, lanes
        if key not in self._brought:
            self._brought[key] = self.f.splat(value, lanes)
        return self._brought[key]


class Packed(Arithmetic):
    """``width`` neighbours share a vector, in the row-major order of the result."""

    def __init__(self, f: Function, limit: int, width: int) -> None:
        super().__init__(f, limit)
        self.width = width

    def _apply(
        self, operation: Operation, columns: list[list[Cell]], whole: bool
    ) -> list[list[Cell]]:
        results: list[list[Cell]] = [[]]
        for start, count, lanes in chunks(len(columns[0]), self.width):
            args = [self.pack(c[start : start + count], lanes, whole) for c in columns]
            result = operation(*args)
            results = _append(results, result, list(range(count)) if lanes > 1 else [-1])
            self._check()
        return results

    def pack(self, cells: Sequence[Cell], lanes: int, whole: bool = False) -> Value:
        """A vector of the cells; lanes beyond are undefined, or with ``whole`` repeat the first."""
        wanted = list(cells) + [cells[0] if whole else None] * (lanes - len(cells))
        scalar = cells[0].value.scalar
        key = tuple((c.value.text, c.lane) if c else None for c in wanted), scalar
        if key not in self._brought:
            several = len({c.value.text for c in cells}) > 1
            packed = self._pack_bools if scalar == "i1" and several else self._pack
            self._brought[key] = packed(wanted)
        return self._brought[key]

    def _pack_bools(self, wanted: list[Cell | None]) -> Value:
        """Bools of several vectors come together as bytes: 0 and -1.

        Where some lanes of a shuffle of i1 are false, LLVM 22 shifts a mask register for AVX-512,
        and with it come bits from beyond the vector.
        """
        f = self.f
        wide: dict[str, Value] = {}
        for value in (c.value for c in wanted if c is not None):
            if value.text in ("true", "false"):
                wide[value.text] = Value("i8", "-1" if value.text == "true" else "0")
            elif value.text not in wide:
                wide[value.text] = f.convert("sext", value, vector("i8", value.lanes))
        together = self._pack([c and Cell(wide[c.value.text], c.lane) for c in wanted])
        return f.compare("slt", together, const(together.type, 0))

    def _pack(self, wanted: list[Cell | None]) -> Value:
        f, lanes = self.f, len(wanted)
        first = wanted[0]
        assert first is not None
        if lanes == 1:
            return first.value if first.lane < 0 else f.extract(first.value, first.lane)
        scalar = first.value.scalar
        type_ = vector(scalar, lanes)
        given = {c.value.text: c.value for c in wanted if c is not None}
        vectors = [v for v in given.values() if v.lanes > 1]
        scalars = [v for v in given.values() if v.lanes == 1 and v.text.startswith("%")]
        if len(given) == 1 and scalars:
            return f.splat(scalars[0], lanes)
        out: Value | None = None
        if len(vectors) + len(scalars) < len(given):  # literals: one vector of them
            parts = [
                f"{scalar} {c.value.text}"
                if c and c.value.text not in {v.text for v in vectors + scalars}
                else f"{scalar} poison"
                for c in wanted
            ]
            out = Value(type_, "<" + ", ".join(parts) + ">")
        for v in vectors:
            out = self._merge(out, v, wanted, lanes)
        for v in scalars:
            for k, c in enumerate(wanted):
                if c is not None and c.value.text == v.text:
                    out = f.insert(out or Value(type_, "poison"), v, k)
        assert out is not None
        return out

    def _merge(self, out: Value | None, v: Value, wanted: list[Cell | None], lanes: int) -> Value:
        """``out`` with the wanted lanes of ``v`` put in place."""
        f = self.f
        mask = [c.lane if c is not None and c.value.text == v.text else -1 for c in wanted]
        if out is None:
            kept = all(m in (-1, k) for k, m in enumerate(mask))
            return v if kept and v.lanes == lanes else f.shuffle(v, None, mask)
        if v.lanes != lanes:
            v = f.shuffle(v, None, mask)
            mask = [k if m >= 0 else -1 for k, m in enumerate(mask)]
        both = [
            lanes + m if m >= 0 else (k if wanted[k] is not None else -1)
            for k, m in enumerate(mask)
        ]
        return f.shuffle(out, v, both)


Columns = list[list[Cell]]


def _append(results: Columns, result: Value | tuple[Value, ...], lanes: list[int]) -> Columns:
    """The results' columns, longer by the cells of one more value each."""
    values = (result,) if isinstance(result, Value) else result
    if len(results) != len(values):
        results = [[] for _ in values]
    for column, value in zip(results, values, strict=True):
        column.extend(Cell(value, lane) for lane in lanes)
    return results
