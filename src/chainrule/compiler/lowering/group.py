"""A group's members as loops, with every expression inlined where it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ...core.dtypes import DType
from ...core.node import ConstantValue, Node, Shape
from ..fuse import Group
from ..loops import (
    ZERO,
    Accumulate,
    Affine,
    Apply,
    Constant,
    Expr,
    Gather,
    Keep,
    Kept,
    Load,
    Local,
    Loop,
    Nest,
    Position,
    Random,
    Stage,
    Statement,
    Store,
    key,
    variable,
)
from ..views import Index, base_of, flat, is_computed, is_merge, is_view, through


class Lowering:
    """Lowers one group. ``numbers`` has the number of each value that lies in memory: members
    that are there are stored, others are read from there."""

    def __init__(self, group: Group, numbers: Mapping[Node, int]) -> None:
        self.group, self.numbers = group, numbers
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
    def one(self, e: Expr) -> Expr:
        """The first expression that is equal to this one."""
        return self.exprs.setdefault(key(e), e)

    def value(self, node: Node, index: Index) -> Expr:
        """The expression of one element of ``node``."""
        if node.op == "constant" and node.size == 1:
            held: ConstantValue = node.params["value"]
            return self.one(Constant(dtype=node.dtype, value=held.array.reshape(()).item()))
        if node.op == "iota":
            return self.one(Position(dtype=node.dtype, address=index[node.params["axis"]]))
        if node in self.members and (member := self._member(node, index)) is not None:
            return member
        if node in self.numbers:
            return self._load(node, flat(index, node.shape))
        if is_view(node):
            if is_merge(node):
                return self._load(node.inputs[0], flat(index, node.shape))
            return self.value(node.inputs[0], through(node, index))
        if is_computed(node):  # inlined
            return self.computed(node, index)
        raise AssertionError(f"no value for {node}")

    def _load(self, node: Node, address: Affine) -> Expr:
        return self.one(Load(dtype=node.dtype, buffer=self.numbers[node], address=address))

    def _member(self, node: Node, index: Index) -> Expr | None:
        if node in self.local:
            return self.one(Local(dtype=node.dtype, number=self.local[node]))
        if node in self.kept and index != self.canonical(node):
            return self._load_kept(node, index)
        if node in self.kept and self.level[node] < self.now:
            return self._load_kept(node, index)
        return self.computed(node, index)

    def _load_kept(self, node: Node, index: Index) -> Expr:
        address = self._inner_address(node, index)
        return self.one(Kept(dtype=node.dtype, scratch=self.kept[node], address=address))

    def computed(self, node: Node, index: Index) -> Expr:
        """A member's own formula at an index."""
        formula = FORMULAS.get(node.op)
        if formula is not None:
            return formula(self, node, index)
        args = tuple(self.value(i, index) for i in node.inputs)
        return self.one(Apply(dtype=node.dtype, args=args, name=node.op))

    def words(self, key: Node, index: Index) -> tuple[Expr, Expr]:
        """The two words of a key."""
        first, second = (self.value(key, (*index, Affine(w))) for w in (0, 1))
        return first, second

    # -- loops of a member ------------------------------------------------------------------------
    def canonical(self, node: Node) -> Index:
        """The index of a member in its own loops: outer variables, then inner ones by position."""
        given = [None if b is None else variable(b) for b in self.group.bind[node]]
        return self._filled(node.shape, given)

    def _filled(self, shape: Shape, given: Sequence[Affine | None]) -> Index:
        """An index with those of some axes given, and inner variables for the others."""
        inner = self.frame
        index = []
        for n, known in zip(shape, given, strict=True):
            if known is not None:
                index.append(known)
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
        axes, kept = _axes(node), iter(self.canonical(node))
        shape = node.inputs[0].shape
        return self._filled(shape, [None if a in axes else next(kept) for a in range(len(shape))])

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
                start, inputs = self.canonical(node), node.inputs
            self.level[node] = self._ready(node, start, inputs)

    def _ready(self, node: Node, index: Index, inputs: Sequence[Node]) -> int:
        level = 0
        for x in inputs:
            at = index
            if node.op in FORMULAS:
                continue  # its inputs come from other groups
            while is_view(x) and not is_merge(x):
                at = through(x, at)
                x = x.inputs[0]
            if x not in self.members:
                continue
            if x.primitive.kind == "reduce":
                level = max(level, self.level[x] + 1)
            elif not self.inside[x] or (
                at == self.canonical(x) and self.inside[x] == self.inside[node]
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
        if not node.primitive.is_cheap or depth == 0:
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
            # Reductions: locals once the loops of their stage are done.
            finished: dict[Node, int] = {}
            for extents in sorted({self.inside[m] for m in here}, key=lambda e: e != ()):
                stages.append(
                    self._stage(extents, [m for m in here if self.inside[m] == extents], finished)
                )
            self.local |= finished
            results = [
                Store(
                    self.numbers[node],
                    flat(self.canonical(node), node.shape),
                    self.value(node, self.canonical(node)),
                )
                for node in finished
                if node in self.numbers
            ]
            stages.append(Stage((), list(results)))
        outer = tuple(Loop(i, n) for i, n in enumerate(self.group.frame))
        return Nest(outer, [s for s in stages if s.statements], self.scratch)

    def stores_of_contraction(self) -> list[Statement]:
        """What follows a contraction, element by element: its sum is local 0."""
        self.level = dict.fromkeys(self.members, 0)
        self.inside = dict.fromkeys(self.members, ())
        self.local[self.group.head] = 0
        statements: list[Statement] = []
        for node in self.group.members:
            if node in self.numbers:
                index = self.canonical(node)
                value = self.value(node, index)
                statements.append(Store(self.numbers[node], flat(index, node.shape), value))
        return statements

    def _stage(
        self, extents: tuple[int, ...], members: list[Node], finished: dict[Node, int]
    ) -> Stage:
        """The statements of the members that share these inner loops."""
        stage = Stage(tuple(Loop(self.frame + j, n) for j, n in enumerate(extents)))
        for node in members:
            if node.primitive.kind == "reduce":
                index = self._reduced_index(node)
                finished[node] = len(self.local) + len(finished)
                position = index[node.params["axis"]] if "axis" in node.params else None
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
            index = self.canonical(node)
            if node in self.kept:
                stage.statements.append(
                    Keep(
                        self.kept[node],
                        self._inner_address(node, index),
                        self.computed(node, index),
                    )
                )
            if node in self.numbers:
                stage.statements.append(
                    Store(self.numbers[node], flat(index, node.shape), self.computed(node, index))
                )
        return stage


def _random_bits(of: Lowering, node: Node, index: Index) -> Expr:
    (key,) = node.inputs
    own = key.ndim - 1
    address = flat(index[own:], node.shape[own:])
    words = of.words(key, index[:own])
    return of.one(Random(dtype=node.dtype, args=words, address=address, name=node.op))


def _fold_in(of: Lowering, node: Node, index: Index) -> Expr:
    key, data = node.inputs
    which = of.one(Position(dtype=node.dtype, address=index[-1]))
    args = (*of.words(key, index[:-1]), of.value(data, index[:-1]), which)
    return of.one(Apply(dtype=node.dtype, args=args, name=node.op))


def _shuffle(of: Lowering, node: Node, index: Index) -> Expr:
    position, key = node.inputs
    words = of.words(key, index[: key.ndim - 1])
    args = (of.value(position, index), *words)
    return of.one(Apply(dtype=node.dtype, args=args, name=node.op, param=node.params["n"]))


def _gather(of: Lowering, node: Node, index: Index) -> Expr:
    x, where = node.inputs
    row = of.value(where, index[: where.ndim])
    return of.one(
        Gather(
            dtype=node.dtype,
            args=(row,),
            address=flat(index[where.ndim :], x.shape[1:]),
            buffer=of.numbers[x],
            rows=x.shape[0],
            stride=math.prod(x.shape[1:]),
        )
    )


# Primitives whose element is not a function of their inputs' elements at the same index. They begin
# a group, so their inputs come from others.
FORMULAS: dict[str, Callable[[Lowering, Node, Index], Expr]] = {
    "random_bits": _random_bits,
    "fold_in": _fold_in,
    "shuffle": _shuffle,
    "gather": _gather,
}


def _axes(node: Node) -> tuple[int, ...]:
    return node.params["axes"] if "axes" in node.params else (node.params["axis"],)
