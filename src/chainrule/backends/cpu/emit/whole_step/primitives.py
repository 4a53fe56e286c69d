"""The primitives on cells: each element of each node becomes instructions of its own.

A value may hold R replicas (of a vmapped computation). Then one of its axes, of size R n, counts
them, in replica-major order; its cells have size n there, and every cell holds all replicas.
Nothing here mixes replicas: a graph that does is not suited.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .....core.node import Array, Node, inputs_first
from ....llvm import primitives as ops
from ....llvm.builder import Value, const
from . import indices
from .cells import Arithmetic, Cell, Cells, Packed, Unsuited
from .values import ELEMENTS, LOADED, Held, Values, in_memory

TABLE_BYTES = 1 << 18  # of a constant that is written into the code
POSITIONS = 4096  # numbers of an iota that are written out
_CONTRACTED = ("add", "sub", "mul")


class Unroller(Values):
    """Evaluates nodes to cells. ``known`` has the inputs' values; ``replicas``: 1 if none."""

    def __init__(self, arithmetic: Arithmetic, known: dict[Node, Held], replicas: int) -> None:
        super().__init__(arithmetic, replicas)
        self.known = known

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
            own = indices.own_index(node.inputs[1], node.inputs[0].shape[0], self.replicas)
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

    def _elementwise(self, node: Node, args: Sequence[Held]) -> Held:
        cells, axis = self.aligned(*args)
        source = node.inputs[0].dtype

        def operation(*values: Value) -> Value:
            if source.kind == "f" and node.op in _CONTRACTED:
                # LLVM may make one multiply-add of a product and the sum it goes into
                return self.f.binary(f"f{node.op} contract", *values)
            return ops.apply(self.f, node.op, values, source.kind, source, node.dtype, None)

        return Held(self.a.elementwise(operation, *cells, whole=node.primitive.traps), axis)

    # -- leaves ------------------------------------------------------------------------------------
    def _constant(self, node: Node) -> Held:
        value: Array = node.params["value"].array
        if value.size <= LOADED:
            return Held(self.literals(value))
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
        line = self.literals(np.arange(node.shape[axis]).astype(node.dtype))
        line = line.reshape([-1 if i == axis else 1 for i in range(node.ndim)])
        return Held(np.broadcast_to(line, node.shape))

    def _random_bits(self, node: Node, key: Held) -> Held:
        shape = node.params["shape"]
        index = self.literals(np.arange(min(math.prod(shape), self.a.limit + 1), dtype=np.uint32))
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
            zero = self.literals(np.zeros((), dtype))
            lead = None if x.axis is None else x.axis - sum(a < x.axis for a in axes)
            return Held(
                np.broadcast_to(zero, [n for i, n in enumerate(cells.shape) if i not in axes]), lead
            )
        for a in axes:
            cells = self.fold(node.op, dtype.kind, cells, a)
        kept = np.squeeze(cells, tuple(axes))
        return Held(kept, None if x.axis is None else x.axis - sum(a < x.axis for a in axes))

    def _argmax(self, node: Node, x: Held) -> Held:
        axis, source = node.params["axis"], node.inputs[0].dtype
        if axis == x.axis:
            raise Unsuited
        f, cells = self.f, np.moveaxis(self.loaded(x).cells, axis, 0)

        def better(value: Value, position: Value, best: Value, where: Value) -> tuple[Value, Value]:
            wins = ops.is_larger(f, source.kind, value, best)
            return f.select(wins, value, best), f.select(wins, position, where)

        best, where = cells[0, ...], np.broadcast_to(self.literals(np.array(0)), cells.shape[1:])
        for k in range(1, len(cells)):
            position = np.broadcast_to(self.literals(np.array(k)), cells.shape[1:])
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
            return Held(np.broadcast_to(self.literals(np.zeros((), node.dtype)), shape), axis)
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
    "gather": indices.gather,
    "scatter_add": indices.scatter_add,
    "put": indices.put,
}
