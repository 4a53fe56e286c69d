"""Groups of nodes to kernels: the naive loops, with every expression inlined where it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..core.dtypes import DType
from ..core.node import ConstantValue, Node
from .fuse import CHEAP, Group, base_of, is_computed
from .loops import (
    ZERO,
    Accumulate,
    Affine,
    Contract,
    Expr,
    Keep,
    Kernel,
    Loop,
    Nest,
    OperandAccess,
    Rows,
    ScatterAdd,
    Stage,
    Statement,
    Store,
    strides_of,
    variable,
    walk,
)
from .views import Index, flat, is_view, merges, through


class Lowering:
    """Lowers one group. ``buffers`` gives the number of each node that lies in memory, ``stores``
    where a node's value has to be written."""

    def __init__(
        self, group: Group, buffers: Mapping[Node, int], stores: Mapping[Node, Sequence[int]]
    ) -> None:
        self.group, self.buffers, self.stores = group, buffers, stores
        self.frame = len(group.frame)
        self.exprs: dict[tuple[object, ...], Expr] = {}
        self.inside: dict[Node, tuple[int, ...]] = {}  # extents of a member's own inner loops
        self.level: dict[Node, int] = {}
        self.local: dict[Node, int] = {}
        self.kept: dict[Node, int] = {}
        self.scratch: list[tuple[int, DType]] = []
        self.now = 0  # the level being lowered
        self.members = set(group.members)

    # -- expressions, interned --------------------------------------------------------------------
    def expr(
        self,
        dtype: object,
        kind: str,
        args: tuple[Expr, ...] = (),
        name: str = "",
        buffer: int = -1,
        address: Affine = ZERO,
        extra: object = None,
    ) -> Expr:
        sign = math.copysign(1, extra) if isinstance(extra, float) else 0  # -0 is not 0
        key = (dtype, kind, tuple(map(id, args)), name, buffer, address, extra, sign)
        if key not in self.exprs:
            self.exprs[key] = Expr(dtype, kind, args, name, buffer, address, extra)  # type: ignore[arg-type]
        return self.exprs[key]

    def value(self, node: Node, index: Index) -> Expr:
        """The expression of one element of ``node``."""
        if node.op == "constant" and node.size == 1:
            held: ConstantValue = node.params["value"]
            return self.expr(node.dtype, "constant", extra=held.array.reshape(()).item())
        if node.op == "iota":
            return self.expr(node.dtype, "index", address=index[node.params["axis"]])
        if node in self.members and (member := self._member(node, index)) is not None:
            return member
        if node in self.buffers:
            return self.expr(
                node.dtype, "load", buffer=self.buffers[node], address=flat(index, node.shape)
            )
        if is_view(node):
            if node.op == "reshape" and merges(node):
                (x,) = node.inputs
                return self.expr(
                    x.dtype, "load", buffer=self.buffers[x], address=flat(index, node.shape)
                )
            return self.value(node.inputs[0], through(node, index))
        if is_computed(node):  # inlined
            return self.computed(node, index)
        raise AssertionError(f"no value for {node}")

    def _member(self, node: Node, index: Index) -> Expr | None:
        if node in self.local:
            return self.expr(node.dtype, "local", buffer=self.local[node])
        if node in self.kept and index != self._canonical(node):
            return self._load_kept(node, index)
        if node in self.kept and self.level[node] < self.now:
            return self._load_kept(node, index)
        return self.computed(node, index)

    def _load_kept(self, node: Node, index: Index) -> Expr:
        return self.expr(
            node.dtype, "kept", buffer=self.kept[node], address=self._inner_address(node, index)
        )

    def computed(self, node: Node, index: Index) -> Expr:
        """A member's own formula at an index."""
        match node.op:
            case "random_bits":
                key = node.inputs[0]
                rows = index[: key.ndim - 1]
                words = tuple(self.value(key, (*rows, Affine(w))) for w in (0, 1))
                address = flat(index[key.ndim - 1 :], node.shape[key.ndim - 1 :])
                return self.expr(node.dtype, "random", words, address=address)
            case "fold_in":
                key, data = node.inputs
                words = tuple(self.value(key, (*index[:-1], Affine(w))) for w in (0, 1))
                word = self.expr(node.dtype, "index", address=index[-1])
                return self.expr(
                    node.dtype, "op", (*words, self.value(data, index[:-1]), word), "fold_in"
                )
            case "shuffle":
                position, key = node.inputs
                words = tuple(self.value(key, (*index[: key.ndim - 1], Affine(w))) for w in (0, 1))
                return self.expr(
                    node.dtype,
                    "op",
                    (self.value(position, index), *words),
                    "shuffle",
                    extra=node.params["n"],
                )
            case "gather":
                x, where = node.inputs
                row = self.value(where, index[: where.ndim])
                rest = index[where.ndim :]
                row_size = math.prod(x.shape[1:])
                return self.expr(
                    node.dtype,
                    "gather",
                    (row,),
                    buffer=self.buffers[x],
                    address=flat(rest, x.shape[1:]),
                    extra=(x.shape[0], row_size),
                )
        args = tuple(self.value(i, index) for i in node.inputs)
        return self.expr(node.dtype, "op", args, node.op)

    # -- loops of a member ------------------------------------------------------------------------
    def _canonical(self, node: Node) -> Index:
        """The index of a member in its own loops: outer variables, then inner ones by position."""
        inner = self.frame
        index = []
        for n, bound in zip(node.shape, self.group.bind[node], strict=True):
            if bound is not None:
                index.append(variable(bound))
            elif n == 1:
                index.append(ZERO)
            else:
                index.append(variable(inner))
                inner += 1
        return tuple(index)

    def _inner_address(self, node: Node, index: Index) -> Affine:
        free = [
            (i, n)
            for i, n, b in zip(index, node.shape, self.group.bind[node], strict=True)
            if b is None
        ]
        return flat([i for i, _ in free], tuple(n for _, n in free))

    def _reduced_index(self, node: Node) -> Index:
        """The index of a reduction's input: kept axes bound, reduced axes inner."""
        axes = _axes(node)
        kept = iter(self._canonical(node))
        inner = self.frame
        index = []
        for a, n in enumerate(node.inputs[0].shape):
            if a not in axes:
                index.append(next(kept))
            elif n == 1:
                index.append(ZERO)
            else:
                index.append(variable(inner))
                inner += 1
        return tuple(index)

    # -- levels -----------------------------------------------------------------------------------
    def _place_members(self) -> None:
        for node in self.group.members:
            if node.primitive.kind == "reduce":
                self.inside[node] = tuple(
                    n for a, n in enumerate(node.inputs[0].shape) if a in _axes(node) and n != 1
                )
                start, inputs = self._reduced_index(node), node.inputs
            else:
                self.inside[node] = tuple(
                    n
                    for n, b in zip(node.shape, self.group.bind[node], strict=True)
                    if b is None and n != 1
                )
                start, inputs = self._canonical(node), node.inputs
            self.level[node] = self._ready(node, start, inputs)

    def _ready(self, node: Node, index: Index, inputs: Sequence[Node]) -> int:
        level = 0
        for x in inputs:
            at = index
            if node.op in ("gather", "random_bits", "fold_in", "shuffle"):
                continue  # their inputs come from other groups
            while is_view(x) and not (x.op == "reshape" and merges(x)):
                at = through(x, at)
                x = x.inputs[0]
            if x not in self.members:
                continue
            if x.primitive.kind == "reduce":
                level = max(level, self.level[x] + 1)
            elif not self.inside[x] or (
                at == self._canonical(x) and self.inside[x] == self.inside[node]
            ):
                level = max(level, self.level[x])
            else:
                level = max(level, self.level[x] + 1)
                self._keep(x)
        return level

    def _keep(self, node: Node) -> None:
        if node not in self.kept:
            self.kept[node] = len(self.scratch)
            self.scratch.append((math.prod(self.inside[node]), node.dtype))

    def _keep_across_levels(self) -> None:
        """What a later stage uses is kept in scratch, unless it is quickly computed again."""
        for node in self.group.members:
            for x in node.inputs:
                base, _ = base_of(x)
                if (
                    base in self.members
                    and base.primitive.kind != "reduce"
                    and self.inside[base]
                    and self.level[base] < self.level[node]
                    and not self._quick(base, 3)
                ):
                    self._keep(base)

    def _quick(self, node: Node, depth: int) -> bool:
        if node in self.kept:
            return False
        if node.op not in CHEAP or depth == 0:
            return False
        below = [base_of(i)[0] for i in node.inputs]
        return all(
            b not in self.members
            or b.primitive.kind == "reduce"
            or not self.inside[b]
            or self._quick(b, depth - 1)
            for b in below
        )

    # -- the kernel -------------------------------------------------------------------------------
    def nest(self) -> Nest:
        self._place_members()
        self._keep_across_levels()
        stages: list[Stage] = []
        for level in sorted(set(self.level.values())):
            self.now = level
            here = [m for m in self.group.members if self.level[m] == level]
            finished: dict[
                Node, int
            ] = {}  # reductions: locals once the loops of their stage are done
            for extents in sorted({self.inside[m] for m in here}, key=lambda e: e != ()):
                stages.append(
                    self._stage(extents, [m for m in here if self.inside[m] == extents], finished)
                )
            self.local |= finished
            stages.append(
                Stage(
                    (),
                    [
                        Store(
                            buffer,
                            flat(self._canonical(node), node.shape),
                            self.value(node, self._canonical(node)),
                        )
                        for node in finished
                        for buffer in self.stores.get(node, ())
                    ],
                )
            )
        outer = tuple(Loop(i, n) for i, n in enumerate(self.group.frame))
        return Nest(outer, [s for s in stages if s.statements], self.scratch)

    def _stage(
        self, extents: tuple[int, ...], members: list[Node], finished: dict[Node, int]
    ) -> Stage:
        """The statements of the members that share these inner loops."""
        stage = Stage(tuple(Loop(self.frame + j, n) for j, n in enumerate(extents)))
        for node in members:
            if node.primitive.kind == "reduce":
                index = self._reduced_index(node)
                finished[node] = len(self.local) + len(finished)
                position = index[node.params["axis"]] if node.op == "argmax" else ZERO
                stage.statements.append(
                    Accumulate(
                        finished[node],
                        node.op,
                        self.value(node.inputs[0], index),
                        node.inputs[0].dtype,
                        position,
                    )
                )
                continue
            index = self._canonical(node)
            if node in self.kept:
                stage.statements.append(
                    Keep(
                        self.kept[node],
                        self._inner_address(node, index),
                        self.computed(node, index),
                    )
                )
            for buffer in self.stores.get(node, ()):
                stage.statements.append(
                    Store(buffer, flat(index, node.shape), self.computed(node, index))
                )
        return stage

    def contract(self) -> Contract:
        head = self.group.head
        self.level = dict.fromkeys(self.group.members, 0)
        self.inside = dict.fromkeys(self.group.members, ())
        self.now = 0
        a, b = head.inputs
        loops = []
        count = self.frame
        index: list[Affine] = []
        for n, bound in zip(head.shape, self.group.bind[head], strict=True):
            if bound is None:
                loops.append(Loop(count, n))
                index.append(ZERO)
                count += 1
            else:
                loops.append(Loop(bound, n))
                index.append(variable(bound))
        *batch, m, n_ = loops
        k = Loop(count, a.shape[-1])
        rows = (*index[:-1], variable(k.var))
        cols = (*index[:-2], variable(k.var), index[-1])
        self.local[head] = 0
        statements: list[Statement] = []
        for node in self.group.members:
            for buffer in self.stores.get(node, ()):
                index_of = self._canonical(node)
                value = self.value(node, index_of)
                statements.append(Store(buffer, flat(index_of, node.shape), value))
        return Contract(
            tuple(batch),
            m,
            n_,
            k,
            self.access(a, rows),
            self.access(b, cols),
            head.dtype,
            statements,
        )

    def access(self, node: Node, index: Index) -> OperandAccess:
        e = self.value(node, index)
        if e.kind == "gather":
            (number,), (extent, size) = e.args, e.extra
            for view in reversed(base_of(node)[1]):
                index = through(view, index)
            ((var, _),) = index[0].terms
            return OperandAccess(e.buffer, e.address, Rows(var, number, extent, size))
        assert e.kind == "load", node
        return OperandAccess(e.buffer, e.address)


def _axes(node: Node) -> tuple[int, ...]:
    return node.params["axes"] if "axes" in node.params else (node.params["axis"],)


def lower(
    group: Group, buffers: Mapping[Node, int], stores: Mapping[Node, Sequence[int]]
) -> list[Kernel]:
    """The kernels of a group, in order."""
    head = group.head
    name = _name(group)
    if head.op == "concat":
        return _concat(group, buffers, stores, name)
    if head.op == "pad":
        return _pad(group, buffers, stores, name)
    if head.op == "scatter_add":
        return _scatter(group, buffers, stores, name)
    lowering = Lowering(group, buffers, stores)
    return [finish(name, lowering.contract() if group.is_contraction else lowering.nest())]


def copy_kernel(
    source: Node,
    target: int,
    buffers: Mapping[Node, int],
    name: str,
    place: Affine | None = None,
    strides: Sequence[int] | None = None,
) -> Kernel:
    """target[place + sum index * strides] = source."""
    group = Group(-1, tuple(source.shape))
    lowering = Lowering(group, buffers, {})
    index = tuple(variable(i) for i in range(source.ndim))
    address = flat(index, source.shape)
    if place is not None and strides is not None:
        address = place
        for i, s in zip(index, strides, strict=True):
            address = address + i * s
    index = tuple(ZERO if n == 1 else i for i, n in zip(index, source.shape, strict=True))
    statement = Store(target, address, lowering.value(source, index))
    loops = tuple(Loop(i, n) for i, n in enumerate(source.shape))
    return finish(name, Nest(loops, [Stage((), [statement])]))


def _concat(
    group: Group, buffers: Mapping[Node, int], stores: Mapping[Node, Sequence[int]], name: str
) -> list[Kernel]:
    node, kernels = group.head, []
    strides, axis = strides_of(node.shape), node.params["axis"]
    for target in stores[node]:
        start = 0
        for x in node.inputs:
            if x.size:
                kernels.append(
                    copy_kernel(x, target, buffers, name, Affine(start * strides[axis]), strides)
                )
            start += x.shape[axis]
    return kernels


def _pad(
    group: Group, buffers: Mapping[Node, int], stores: Mapping[Node, Sequence[int]], name: str
) -> list[Kernel]:
    node, kernels = group.head, []
    (x,) = node.inputs
    strides = strides_of(node.shape)
    start = Affine(sum(low * s for low, s in zip(node.params["low"], strides, strict=True)))
    for target in stores[node]:
        zero = Expr(node.dtype, "constant", extra=False if node.dtype.kind == "b" else 0)
        fill = Nest((Loop(0, node.size),), [Stage((), [Store(target, variable(0), zero)])])
        kernels.append(finish(name, fill))
        if x.size:
            kernels.append(copy_kernel(x, target, buffers, name, start, strides))
    return kernels


def _scatter(
    group: Group, buffers: Mapping[Node, int], stores: Mapping[Node, Sequence[int]], name: str
) -> list[Kernel]:
    node, kernels = group.head, []
    x, where, updates = node.inputs
    row = math.prod(x.shape[1:])
    for target in stores[node]:
        kernels.append(copy_kernel(x, target, buffers, name))
        body = ScatterAdd(
            x.shape[0],
            row,
            where.size,
            target,
            OperandAccess(buffers[where], variable(0)),
            OperandAccess(buffers[updates], variable(0) * row + variable(1)),
            where.dtype,
            node.dtype,
        )
        kernels.append(
            Kernel(
                name,
                body,
                frozenset({buffers[where], buffers[updates], target}),
                frozenset({target}),
                where.size * row,
                3.0 * where.size * row * node.dtype.itemsize,
            )
        )
    return kernels


def _name(group: Group) -> str:
    ops: list[str] = []
    for m in group.members:
        if not ops or ops[-1] != m.op:
            ops.append(m.op)
    return "_".join(ops[:4]) + (f"_{len(ops) - 4}more" if len(ops) > 4 else "")


_COST = {
    "exp": 10,
    "log": 10,
    "tanh": 12,
    "sigmoid": 12,
    "erf": 15,
    "sin": 12,
    "cos": 12,
    "pow": 25,
    "log2": 11,
    "log10": 25,
    "atan": 15,
    "floordiv": 20,
    "log1p": 12,
    "expm1": 12,
    "div": 4,
    "sqrt": 4,
    "shuffle": 500,
    "random": 50,
}


def finish(name: str, body: Nest | Contract) -> Kernel:
    """The kernel with what it reads and writes, and the work it does."""
    reads: set[int] = set()
    writes: set[int] = set()
    flops = bytes_ = 0.0
    outer = math.prod(
        loop.extent
        for loop in (body.outer if isinstance(body, Nest) else (*body.batch, body.m, body.n))
    )
    if isinstance(body, Contract):
        reads |= body.operand_buffers
        flops += 2.0 * outer * body.k.extent
        size = body.dtype.itemsize
        batch = math.prod(loop.extent for loop in body.batch)
        bytes_ += batch * body.k.extent * (body.m.extent + body.n.extent) * size
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
                if e.kind in ("load", "gather"):
                    reads.add(e.buffer)
                    bytes_ += count * e.dtype.itemsize if e.address.terms else 0
                elif e.kind in ("op", "random"):
                    flops += count * _COST.get(e.name or e.kind, 1)
    return Kernel(name, body, frozenset(reads), frozenset(writes), flops, bytes_)
