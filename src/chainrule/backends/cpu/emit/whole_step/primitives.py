"""The primitives on cells: each element of each node becomes instructions of its own.

A value may hold R replicas (of a vmapped computation). Then one of its axes, of size R n, counts
them, in replica-major order; its cells have size n there, and every cell holds all replicas.
Nothing here mixes replicas: a graph that does is not suited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .....core.dtypes import DType, float32
from .....core.interpret import evaluate
from .....core.node import Array, Node, Shape, inputs_first, reachable
from .....core.primitives.meanings import clamp
from ....llvm import primitives as ops
from ....llvm.builder import Value, const, vector
from ....llvm.types import SCALAR_OF_DTYPE
from .cells import Arithmetic, Cell, Cells, Packed, Unsuited, array_of

ELEMENTS = 1 << 20  # of arrays handled while compiling
LOADED = 256  # elements of an input held in registers; larger ones stay in memory
TABLE_BYTES = 1 << 18  # of a constant that is written into the code
POSITIONS = 4096  # numbers of an iota that are written out
_CONTRACTED = ("add", "sub", "mul")


@dataclass(frozen=True)
class Held:
    """A value: its cells; axis of replicas, if any; in memory, cells are offsets from ``table``."""

    cells: Cells
    axis: int | None = None
    table: Value | None = None
    dtype: DType = float32


class Unroller:
    """Evaluates nodes to cells. ``known`` has the inputs' values; ``replicas``: 1 if none."""

    def __init__(self, arithmetic: Arithmetic, known: dict[Node, Held], replicas: int) -> None:
        self.a, self.f, self.known, self.replicas = arithmetic, arithmetic.f, known, replicas

    def evaluate(self, roots: Sequence[Node]) -> list[Held]:
        """The values of the roots."""
        for node in inputs_first(roots, self._unknown):
            if node in self.known:
                continue
            if node.size > ELEMENTS:
                raise Unsuited
            self.known[node] = self._one(node)
        return [self.known[r] for r in roots]

    def _unknown(self, node: Node) -> tuple[Node, ...]:
        """What has to be evaluated before the node."""
        return () if node in self.known else self._operands(node)

    def _operands(self, node: Node) -> tuple[Node, ...]:
        """The inputs, but for a table per replica the index into it, not into the stack of them."""
        if node.op in ("gather", "scatter_add"):
            own = own_index(node.inputs[1], node.inputs[0].shape[0], self.replicas)
            if own is not None:
                return (node.inputs[0], own, *node.inputs[2:])
        return node.inputs

    def _one(self, node: Node) -> Held:
        args = [self.known[i] for i in self._operands(node)]
        if node.op in _MOVES:
            cells, axis = _MOVES[node.op](self, node, args[0])
            return replace(args[0], cells=cells, axis=axis)
        kind = node.primitive.kind
        if kind == "elementwise":
            return self._elementwise(node, args)
        if kind == "identity":
            return args[0]
        if node.op not in _RULES:
            raise Unsuited
        return _RULES[node.op](self, node, *args)

    # -- bringing values together ------------------------------------------------------------------
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

    def _elementwise(self, node: Node, args: Sequence[Held]) -> Held:
        cells, axis = self.aligned(*args)
        source = node.inputs[0].dtype

        def operation(*values: Value) -> Value:
            if source.kind == "f" and node.op in _CONTRACTED:
                # LLVM may make one multiply-add of a product and the sum it goes into
                return self.f.binary(f"f{node.op} contract", *values)
            return ops.apply(self.f, node.op, values, source.kind, source, node.dtype, None)

        return Held(self.a.elementwise(operation, *cells, whole=node.primitive.traps), axis)

    def _literals(self, values: Array) -> Cells:
        type_ = ops.register_type(values.dtype)
        return array_of([Cell(const(type_, v)) for v in values.reshape(-1).tolist()], values.shape)

    # -- leaves ------------------------------------------------------------------------------------
    def _constant(self, node: Node) -> Held:
        value: Array = node.params["value"].array
        if value.size <= LOADED:
            return Held(self._literals(value))
        if value.nbytes > TABLE_BYTES:
            raise Unsuited
        module = self.f.module
        name = f"@table{len(module.globals)}"
        text = "".join(f"\\{byte:02X}" for byte in value.tobytes())
        module.globals.append(
            f'{name} = internal constant [{value.nbytes} x i8] c"{text}", align 64'
        )
        return in_memory(Value("ptr", name), value.shape, value.dtype)

    def _iota(self, node: Node) -> Held:
        axis = node.params["axis"]
        if node.shape[axis] > POSITIONS:
            raise Unsuited
        line = self._literals(np.arange(node.shape[axis]).astype(node.dtype))
        line = line.reshape([-1 if i == axis else 1 for i in range(node.ndim)])
        return Held(np.broadcast_to(line, node.shape))

    def _random_bits(self, node: Node, key: Held) -> Held:
        shape = node.params["shape"]
        index = self._literals(np.arange(min(math.prod(shape), self.a.limit + 1), dtype=np.uint32))
        if index.size > self.a.limit:
            raise Unsuited
        cells = self.loaded(key).cells
        spread = (...,) + (None,) * len(shape)
        full = (*cells.shape[:-1], *shape)
        word, seed = (np.broadcast_to(cells[..., i][spread], full) for i in (0, 1))
        counter = np.broadcast_to(index.reshape(shape), full)
        bits = self.a.elementwise(
            lambda c, w, k: ops.philox(self.f, c, w, k)[0], counter, word, seed
        )
        return Held(bits, key.axis)

    def _fold_in(self, node: Node, key: Held, data: Held) -> Held:
        key = self.loaded(key)
        parts = [replace(key, cells=key.cells[..., i]) for i in (0, 1)]
        (counter, word, seed), axis = self.aligned(data, *parts)
        both = self.a.elementwise(lambda c, w, k: ops.philox(self.f, c, w, k), counter, word, seed)
        return Held(np.stack(both, axis=-1), axis)

    def _shuffle(self, node: Node, position: Held, key: Held) -> Held:
        key = self.loaded(key)
        extra = (...,) + (None,) * (len(position.cells.shape) - key.cells.ndim + 1)
        if key.axis is None and position.axis is not None:
            extra = (...,)
            if key.cells.ndim > 1:
                raise Unsuited
        words = []
        for i in (0, 1):
            cells = key.cells[..., i][extra]
            shape = list(position.cells.shape)
            if position.axis is None and key.axis is not None:
                shape[key.axis] = cells.shape[key.axis]
            lead = key.axis if key.axis is not None else position.axis
            words.append(Held(np.broadcast_to(cells, shape), lead))
        (p, w, k), axis = self.aligned(position, *words)
        n = node.params["n"]

        def operation(*values: Value) -> Value:
            return ops.apply(self.f, "shuffle", values, "u", node.dtype, node.dtype, n)

        return Held(self.a.elementwise(operation, p, w, k, whole=True), axis)

    # -- movement ----------------------------------------------------------------------------------
    def _reshape(self, node: Node, x: Held) -> tuple[Cells, int | None]:
        if x.axis is None:
            return x.cells.reshape(node.shape), None
        before = math.prod(node.inputs[0].shape[: x.axis])
        for axis, n in enumerate(node.shape):
            if math.prod(node.shape[:axis]) == before and n % self.replicas == 0 and n:
                local = (*node.shape[:axis], n // self.replicas, *node.shape[axis + 1 :])
                if math.prod(local) == x.cells.size:
                    return x.cells.reshape(local), axis
        raise Unsuited

    def _permute(self, node: Node, x: Held) -> tuple[Cells, int | None]:
        axes = node.params["axes"]
        return x.cells.transpose(axes), None if x.axis is None else axes.index(x.axis)

    def _broadcast(self, node: Node, x: Held) -> tuple[Cells, int | None]:
        shape = list(node.shape)
        if x.axis is not None:
            shape[x.axis] = x.cells.shape[x.axis]
        return np.broadcast_to(x.cells, shape), x.axis

    def _slice(self, node: Node, x: Held) -> tuple[Cells, int | None]:
        p = node.params
        parts = [slice(*abc) for abc in zip(p["starts"], p["stops"], p["steps"], strict=True)]
        if x.axis is not None:
            if node.shape[x.axis] != node.inputs[0].shape[x.axis]:
                raise Unsuited
            parts[x.axis] = slice(None)
        everywhere: Any = (*parts, ...)
        return x.cells[everywhere], x.axis

    def _flip(self, node: Node, x: Held) -> tuple[Cells, int | None]:
        if x.axis in node.params["axes"]:
            raise Unsuited
        return np.flip(x.cells, node.params["axes"]), x.axis

    def _pad(self, node: Node, x: Held) -> Held:
        x = self.loaded(x)
        low, high = node.params["low"], node.params["high"]
        if x.axis is not None and (low[x.axis] or high[x.axis]):
            raise Unsuited
        shape = tuple(n + a + b for n, a, b in zip(x.cells.shape, low, high, strict=True))
        around = const(ops.register_type(node.dtype), node.params["value"])
        out = np.full(shape, Cell(around), object)
        out[tuple(slice(a, a + n) for a, n in zip(low, x.cells.shape, strict=True))] = x.cells
        return Held(out, x.axis)

    def _concat(self, node: Node, *xs: Held) -> Held:
        along = node.params["axis"]
        lead = next((x for x in xs if x.axis is not None), None)
        if lead is None or lead.axis is None:
            return Held(np.concatenate([self.loaded(x).cells for x in xs], along))
        if lead.axis == along:
            raise Unsuited
        inner = lead.cells.shape[lead.axis]
        return Held(
            np.concatenate([self.narrow(x, lead.axis, inner) for x in xs], along), lead.axis
        )

    # -- reductions --------------------------------------------------------------------------------
    def _reduce(self, node: Node, x: Held) -> Held:
        axes = node.params["axes"]
        cells, dtype = self.loaded(x).cells, node.dtype
        if x.axis is not None and x.axis in axes:
            raise Unsuited
        if any(cells.shape[a] == 0 for a in axes):
            zero = self._literals(np.zeros((), dtype))
            lead = None if x.axis is None else x.axis - sum(a < x.axis for a in axes)
            return Held(
                np.broadcast_to(zero, [n for i, n in enumerate(cells.shape) if i not in axes]), lead
            )
        for a in axes:
            cells = self.fold(node.op, dtype.kind, cells, a)
        kept = np.squeeze(cells, tuple(axes))
        return Held(kept, None if x.axis is None else x.axis - sum(a < x.axis for a in axes))

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

    def _argmax(self, node: Node, x: Held) -> Held:
        axis, source = node.params["axis"], node.inputs[0].dtype
        if axis == x.axis:
            raise Unsuited
        f, cells = self.f, np.moveaxis(self.loaded(x).cells, axis, 0)

        def better(value: Value, position: Value, best: Value, where: Value) -> tuple[Value, Value]:
            wins = ops.is_larger(f, source.kind, value, best)
            return f.select(wins, value, best), f.select(wins, position, where)

        best, where = cells[0, ...], np.broadcast_to(self._literals(np.array(0)), cells.shape[1:])
        for k in range(1, len(cells)):
            position = np.broadcast_to(self._literals(np.array(k)), cells.shape[1:])
            best, where = self.a.elementwise(better, cells[k, ...], position, best, where)
        return Held(where, None if x.axis is None else x.axis - (axis < x.axis))

    # -- contraction -------------------------------------------------------------------------------
    def _dot(self, node: Node, a: Held, b: Held) -> Held:
        a, b = self.loaded(a), self.loaded(b)
        row, column = node.ndim - 2, node.ndim - 1
        left, right, axis = a.cells, b.cells, a.axis if a.axis is not None else b.axis
        if axis is not None and axis < row:  # a batch axis
            inner = (a if a.axis is not None else b).cells.shape[axis]
            left, right = self.narrow(a, axis, inner), self.narrow(b, axis, inner)
        elif a.axis is not None and (a.axis != row or b.axis is not None):
            raise Unsuited
        elif b.axis is not None and b.axis != column:
            raise Unsuited
        m, k, n = left.shape[-2], left.shape[-1], right.shape[-1]
        shape = (*left.shape[:-2], m, n)
        if k == 0:
            return Held(np.broadcast_to(self._literals(np.zeros((), node.dtype)), shape), axis)
        # terms first: (k, batch..., m, n)
        p = np.broadcast_to(np.moveaxis(left, -1, 0)[..., None], (k, *shape))
        q = np.broadcast_to(np.moveaxis(right, -2, 0)[..., None, :], (k, *shape))
        return Held(self._sum_of_products(p, q, self._partial_sums(k, math.prod(shape))), axis)

    def _partial_sums(self, k: int, size: int) -> int:
        """How many sums to keep: chains of multiply-add are slow with nothing beside them."""
        if not isinstance(self.a, Packed) or k <= 4 or size == 0:
            return 1
        return max(1, min(k // 2, self.a.width // size)) if size < self.a.width else 1

    def _sum_of_products(self, p: Cells, q: Cells, parts: int) -> Cells:
        f, k = self.f, len(p)

        total = self.a.elementwise(f.mul, p[:parts], q[:parts])
        for i in range(parts, k - k % parts, parts):
            total = self.a.elementwise(f.multiply_add, p[i : i + parts], q[i : i + parts], total)
        total = self.fold("sum", "f", total, 0)
        for i in range(k - k % parts, k):
            total = self.a.elementwise(f.multiply_add, p[i : i + 1], q[i : i + 1], total)
        row: Cells = total[0]
        return row

    # -- positions as data -------------------------------------------------------------------------
    def _gather(self, node: Node, x: Held, index: Held) -> Held:
        kind, index_type = node.inputs[1].dtype.kind, node.inputs[1].dtype
        if own_index(node.inputs[1], node.inputs[0].shape[0], self.replicas) is not None:
            x = Held(self.narrow(x, 0, node.inputs[0].shape[0] // self.replicas), 0)
            index = Held(self.narrow(index, 0, 1), 0)
        elif x.axis == 0 or x.axis is not None and index.axis is not None:
            raise Unsuited
        at = self.loaded(index).cells
        axis = index.axis if index.axis is not None or x.axis is None else x.axis - 1 + at.ndim
        rows, rest = len(x.cells), x.cells.shape[1:]
        shape = (*at.shape, *rest)
        numbers = [c.number for c in at.reshape(-1)]
        if all(n is not None for n in numbers):
            picked = clamp(np.array(numbers, index_type), rows).reshape(at.shape)
            return replace(x, cells=x.cells[picked, ...], axis=axis)
        where = np.broadcast_to(at.reshape(at.shape + (1,) * len(rest)), shape)
        if x.table is not None:
            return Held(self._look_up(x, where, index_type, node), axis)
        out = np.broadcast_to(x.cells[0], shape)
        for j in range(1, rows):
            if j > np.iinfo(index_type).max:
                break
            level = np.broadcast_to(self._literals(np.array(j, index_type)), shape)
            out = self.a.elementwise(
                lambda i, at_least, new, old: self.f.select(
                    self.f.compare("sge" if kind == "i" else "uge", i, at_least), new, old
                ),
                where,
                level,
                np.broadcast_to(x.cells[j], shape),
                out,
            )
        return Held(out, axis)

    def _look_up(self, x: Held, where: Cells, dtype: DType, node: Node) -> Cells:
        """Rows of a table in memory, at clamped positions."""
        f, offsets = self.f, x.cells
        rows = len(offsets)
        stride = int((offsets[1] - offsets[0]).flat[0]) if rows > 1 and offsets[0].size else 0
        if where.size > self.a.limit:
            raise Unsuited
        memory = SCALAR_OF_DTYPE[node.dtype.name]
        table = x.table
        assert table is not None
        steps = stride * np.arange(rows).reshape(-1, *[1] * (offsets.ndim - 1))
        if rows > 1 and not (offsets == offsets[0] + steps).all():
            raise Unsuited
        first = np.broadcast_to(self._literals(offsets[0].astype(np.int64)), where.shape)

        def operation(index: Value, offset: Value) -> Value:
            wide = ops.row_number(f, index, dtype, rows)
            at = f.add(f.mul(wide, const(wide.type, stride)), offset)
            out = const(vector(memory, index.lanes), 0)
            for lane in range(index.lanes):
                out = f.insert(out, f.load(memory, f.gep(table, f.extract(at, lane), memory)), lane)
            return ops.from_memory(f, out, node.dtype)

        found: Cells = self.a.elementwise(operation, where, first, whole=True)
        return found

    def _scatter_add(self, node: Node, x: Held, index: Held, updates: Held) -> Held:
        f, dtype = self.f, node.inputs[1].dtype
        x, index, updates = self.loaded(x), self.loaded(index), self.loaded(updates)
        count = node.inputs[1].ndim
        axis: int | None
        if own_index(node.inputs[1], node.shape[0], self.replicas) is not None:
            out, axis = self.narrow(x, 0, node.shape[0] // self.replicas), 0
            index, new = Held(self.narrow(index, 0, 1), 0), self.narrow(updates, 0, 1)
        elif index.axis is not None:
            raise Unsuited
        else:
            axis = (
                x.axis if x.axis is not None or updates.axis is None else updates.axis - count + 1
            )
            if axis is not None and (axis < 1 or updates.axis not in (None, axis + count - 1)):
                raise Unsuited
            out, new = x.cells, updates.cells
            if axis is not None:
                inner = (
                    x.cells.shape[axis]
                    if x.axis is not None
                    else updates.cells.shape[axis + count - 1]
                )
                out, new = (
                    self.narrow(x, axis, inner),
                    self.narrow(updates, axis + count - 1, inner),
                )
        rows, rest = out.shape[0], out.shape[1:]
        if index.cells.size == 0 or out.size == 0:
            return Held(out, axis)
        new = new.reshape(-1, 1, *rest)
        level = self._literals(np.arange(rows).astype(np.int64)).reshape(-1, *[1] * len(rest))
        level = np.broadcast_to(level, out.shape)
        places = index.cells.reshape(-1)
        clamped = self.a.elementwise(lambda i: ops.row_number(f, i, dtype, rows), places)
        for at, update in zip(clamped, new, strict=True):
            out = self.a.elementwise(
                lambda i, j, u, old: f.select(f.compare("eq", i, j), f.add(old, u), old),
                np.broadcast_to(array_of([at], [1] * out.ndim), out.shape),
                level,
                np.broadcast_to(update, out.shape),
                out,
            )
        return Held(out, axis)

    def _put(self, node: Node, x: Held, index: Held, value: Held) -> Held:
        x, index, value = map(self.loaded, (x, index, value))
        if any(h.axis is not None for h in (x, index, value)):
            raise Unsuited
        rows, dtype = node.shape[0], node.inputs[1].dtype
        f, (at,) = self.f, index.cells.reshape(-1)
        level = self._literals(np.arange(rows)).reshape(-1, *[1] * value.cells.ndim)
        row = array_of([at], [1])
        number = self.a.elementwise(lambda i: ops.row_number(f, i, dtype, rows), row)
        out = self.a.elementwise(
            lambda i, j, new, old: f.select(f.compare("eq", i, j), new, old),
            np.broadcast_to(number.reshape([1] * node.ndim), node.shape),
            np.broadcast_to(level, node.shape),
            np.broadcast_to(value.cells, node.shape),
            x.cells,
        )
        return Held(out)


def in_memory(table: Value, shape: Shape, dtype: DType) -> Held:
    return Held(np.arange(math.prod(shape)).reshape(shape), None, table, dtype)


def own_index(index: Node, rows: int, replicas: int) -> Node | None:
    """i, where ``index`` is i + r (rows / replicas) for replica r: its own table in a stack."""
    if replicas == 1 or index.op != "add" or index.shape[:1] != (replicas,) or rows % replicas:
        return None
    first = np.arange(replicas).reshape(-1, *[1] * (index.ndim - 1)) * (rows // replicas)
    for own, offset in (index.inputs, index.inputs[::-1]):
        leaves = [n for n in reachable([offset]) if not n.inputs]
        fixed = offset.size <= ELEMENTS and all(n.op in ("constant", "iota") for n in leaves)
        if fixed and (evaluate([offset], {})[0] == first).all():
            return own
    return None


Move = Callable[[Unroller, Node, Held], "tuple[Cells, int | None]"]
_MOVES: dict[str, Move] = {
    "reshape": Unroller._reshape,
    "permute": Unroller._permute,
    "broadcast": Unroller._broadcast,
    "slice": Unroller._slice,
    "flip": Unroller._flip,
}
_RULES: dict[str, Callable[..., Held]] = {
    "constant": Unroller._constant,
    "iota": Unroller._iota,
    "random_bits": Unroller._random_bits,
    "fold_in": Unroller._fold_in,
    "shuffle": Unroller._shuffle,
    "pad": Unroller._pad,
    "concat": Unroller._concat,
    "sum": Unroller._reduce,
    "reduce_max": Unroller._reduce,
    "reduce_min": Unroller._reduce,
    "argmax": Unroller._argmax,
    "dot": Unroller._dot,
    "gather": Unroller._gather,
    "scatter_add": Unroller._scatter_add,
    "put": Unroller._put,
}
