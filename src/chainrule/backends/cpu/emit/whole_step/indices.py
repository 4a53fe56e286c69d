"""Positions as data: rows that are read, added to or replaced where an index says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .....core.dtypes import DType
from .....core.interpret import evaluate
from .....core.node import Node, reachable
from .....core.primitives.meanings import clamp
from ....llvm import primitives as ops
from ....llvm.builder import Value, const, vector
from ....llvm.types import SCALAR_OF_DTYPE
from .cells import Cells, Unsuited, array_of
from .values import ELEMENTS, Held, Values


def gather(v: Values, node: Node, x: Held, index: Held) -> Held:
    kind, index_type = node.inputs[1].dtype.kind, node.inputs[1].dtype
    if own_index(node.inputs[1], node.inputs[0].shape[0], v.replicas) is not None:
        x = Held(v.narrow(x, 0, node.inputs[0].shape[0] // v.replicas), 0)
        index = Held(v.narrow(index, 0, 1), 0)
    elif x.axis == 0 or x.axis is not None and index.axis is not None:
        raise Unsuited
    at = v.loaded(index).cells
    axis = index.axis if index.axis is not None or x.axis is None else x.axis - 1 + at.ndim
    rows, rest = len(x.cells), x.cells.shape[1:]
    shape = (*at.shape, *rest)
    numbers = [c.number for c in at.reshape(-1)]
    if all(n is not None for n in numbers):
        picked = clamp(np.array(numbers, index_type), rows).reshape(at.shape)
        return replace(x, cells=x.cells[picked, ...], axis=axis)
    where = np.broadcast_to(at.reshape(at.shape + (1,) * len(rest)), shape)
    if x.table is not None:
        return Held(_look_up(v, x, where, index_type, node), axis)
    out = np.broadcast_to(x.cells[0], shape)
    for j in range(1, rows):
        if j > np.iinfo(index_type).max:
            break
        level = np.broadcast_to(v.literals(np.array(j, index_type)), shape)
        out = v.a.elementwise(
            lambda i, at_least, new, old: v.f.select(
                v.f.compare("sge" if kind == "i" else "uge", i, at_least), new, old
            ),
            where,
            level,
            np.broadcast_to(x.cells[j], shape),
            out,
        )
    return Held(out, axis)


def _look_up(v: Values, x: Held, where: Cells, dtype: DType, node: Node) -> Cells:
    """Rows of a table in memory, at clamped positions."""
    f, offsets = v.f, x.cells
    rows = len(offsets)
    stride = int((offsets[1] - offsets[0]).flat[0]) if rows > 1 and offsets[0].size else 0
    if where.size > v.a.limit:
        raise Unsuited
    memory = SCALAR_OF_DTYPE[node.dtype.name]
    table = x.table
    assert table is not None
    steps = stride * np.arange(rows).reshape(-1, *[1] * (offsets.ndim - 1))
    if rows > 1 and not (offsets == offsets[0] + steps).all():
        raise Unsuited
    first = np.broadcast_to(v.literals(offsets[0].astype(np.int64)), where.shape)

    def operation(index: Value, offset: Value) -> Value:
        wide = ops.row_number(f, index, dtype, rows)
        at = f.add(f.mul(wide, const(wide.type, stride)), offset)
        out = const(vector(memory, index.lanes), 0)
        for lane in range(index.lanes):
            out = f.insert(out, f.load(memory, f.gep(table, f.extract(at, lane), memory)), lane)
        return ops.from_memory(f, out, node.dtype)

    found: Cells = v.a.elementwise(operation, where, first, whole=True)
    return found


def scatter_add(v: Values, node: Node, x: Held, index: Held, updates: Held) -> Held:
    f, dtype = v.f, node.inputs[1].dtype
    x, index, updates = v.loaded(x), v.loaded(index), v.loaded(updates)
    count = node.inputs[1].ndim
    axis: int | None
    if own_index(node.inputs[1], node.shape[0], v.replicas) is not None:
        out, axis = v.narrow(x, 0, node.shape[0] // v.replicas), 0
        index, new = Held(v.narrow(index, 0, 1), 0), v.narrow(updates, 0, 1)
    elif index.axis is not None:
        raise Unsuited
    else:
        axis = x.axis if x.axis is not None or updates.axis is None else updates.axis - count + 1
        if axis is not None and (axis < 1 or updates.axis not in (None, axis + count - 1)):
            raise Unsuited
        out, new = x.cells, updates.cells
        if axis is not None:
            inner = (
                x.cells.shape[axis] if x.axis is not None else updates.cells.shape[axis + count - 1]
            )
            out, new = (
                v.narrow(x, axis, inner),
                v.narrow(updates, axis + count - 1, inner),
            )
    rows, rest = out.shape[0], out.shape[1:]
    if index.cells.size == 0 or out.size == 0:
        return Held(out, axis)
    new = new.reshape(-1, 1, *rest)
    level = v.literals(np.arange(rows).astype(np.int64)).reshape(-1, *[1] * len(rest))
    level = np.broadcast_to(level, out.shape)
    places = index.cells.reshape(-1)
    clamped = v.a.elementwise(lambda i: ops.row_number(f, i, dtype, rows), places)
    for at, update in zip(clamped, new, strict=True):
        out = v.a.elementwise(
            lambda i, j, u, old: f.select(f.compare("eq", i, j), f.add(old, u), old),
            np.broadcast_to(array_of([at], [1] * out.ndim), out.shape),
            level,
            np.broadcast_to(update, out.shape),
            out,
        )
    return Held(out, axis)


def put(v: Values, node: Node, x: Held, index: Held, value: Held) -> Held:
    x, index, value = map(v.loaded, (x, index, value))
    if any(h.axis is not None for h in (x, index, value)):
        raise Unsuited
    rows, dtype = node.shape[0], node.inputs[1].dtype
    f, (at,) = v.f, index.cells.reshape(-1)
    level = v.literals(np.arange(rows)).reshape(-1, *[1] * value.cells.ndim)
    row = array_of([at], [1])
    number = v.a.elementwise(lambda i: ops.row_number(f, i, dtype, rows), row)
    out = v.a.elementwise(
        lambda i, j, new, old: f.select(f.compare("eq", i, j), new, old),
        np.broadcast_to(number.reshape([1] * node.ndim), node.shape),
        np.broadcast_to(level, node.shape),
        np.broadcast_to(value.cells, node.shape),
        x.cells,
    )
    return Held(out)


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
