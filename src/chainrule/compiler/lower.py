"""Groups of nodes to kernels: the naive loops, with every expression inlined where it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..core.dtypes import DType
from ..core.loop import family, split, with_carries
from ..core.node import ConstantValue, Node, reachable
from ..core.signature import Signature
from .fuse import Group
from .loops import (
    ZERO,
    Accumulate,
    Affine,
    Apply,
    Body,
    Constant,
    Contract,
    Expr,
    Gather,
    Keep,
    Kept,
    Load,
    Local,
    Loop,
    LoopProgram,
    Nest,
    OperandAccess,
    Position,
    Random,
    Repeat,
    Rows,
    Scatter,
    Stage,
    Statement,
    Store,
    Valid,
    key,
    strides_of,
    variable,
)
from .views import Index, base_of, flat, is_buffer, is_computed, is_merge, is_view, through


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
        if node in self.kept and index != self._canonical(node):
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
                    flat(self._canonical(node), node.shape),
                    self.value(node, self._canonical(node)),
                )
                for node in finished
                if node in self.numbers
            ]
            stages.append(Stage((), list(results)))
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
            index = self._canonical(node)
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

    def contract(self) -> Contract:
        head = self.group.head
        self.level = dict.fromkeys(self.group.members, 0)
        self.inside = dict.fromkeys(self.group.members, ())
        self.now = 0
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
        self.local[head] = 0
        statements: list[Statement] = []
        for node in self.group.members:
            if node in self.numbers:
                index_of = self._canonical(node)
                value = self.value(node, index_of)
                statements.append(Store(self.numbers[node], flat(index_of, node.shape), value))
        return CONTRACTIONS[head.op](self, head, loops, tuple(index), statements)

    def access(self, node: Node, index: Index) -> OperandAccess:
        e = self.value(node, index)
        if isinstance(e, Gather):
            (number,) = e.args
            for view in reversed(base_of(node)[1]):
                index = through(view, index)
            ((var, _),) = index[0].terms
            return OperandAccess(e.buffer, e.address, Rows(var, number, e.rows, e.stride))
        assert isinstance(e, Load), node
        return OperandAccess(e.buffer, e.address)


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


def _dot(
    of: Lowering, node: Node, loops: list[Loop], index: Index, statements: list[Statement]
) -> Contract:
    a, b = node.inputs
    *batch, m, n = loops
    k = Loop(max(loop.var for loop in loops) + 1, a.shape[-1])
    rows = of.access(a, (*index[:-1], variable(k.var)))
    columns = of.access(b, (*index[:-2], variable(k.var), index[-1]))
    return Contract(tuple(batch), m, n, k, rows, columns, node.dtype, statements)


FEWEST_TILE_ROWS = 8  # positions in a row that make a tile of the contraction


def _conv(
    of: Lowering, node: Node, loops: list[Loop], index: Index, statements: list[Statement]
) -> Contract:
    """Rows are positions along one axis; the sum runs over the taps and the channels, from the
    longest steps through memory to the shortest."""
    x, w = node.inputs
    rank = node.ndim - 3
    first = max(loop.var for loop in loops) + 1
    terms = [Loop(first + i, n) for i, n in enumerate(w.shape[: rank + 1])]
    taps = [variable(loop.var) for loop in terms]
    at = [
        t * stride + k * dilation
        for t, k, stride, dilation in zip(
            index[1:], taps, node.params["strides"], node.params["dilation"], strict=False
        )
    ]
    place = (index[0], *at, index[-2], taps[-1])
    a = of.access(x, place)
    b = of.access(w, (*taps, *index[-2:]))
    terms = [t for t in terms if t.extent > 1] or terms[-1:]
    *others, n = loops
    if _lie_side_by_side(others[0], a, statements):
        a, b, others, n = b, a, [*others[1:], n], others[0]
        terms.sort(key=lambda t: -_step(b, t))
        batch = sorted(others[:-1], key=lambda loop: -_step(b, loop))
        contract = _contract(batch, others[-1], n, terms, a, b, node, statements)
        return replace(contract, valid=_valid(x, place, contract))
    rows = math.prod(loop.extent for loop in others)
    lasting = rows >= math.prod(t.extent for t in terms)  # b is small, and read in any order

    def far(loop: Loop) -> tuple[int, int]:
        of_a, of_b = _step(a, loop), _step(b, loop)
        return (of_a, of_b) if lasting else (of_a + of_b, 0)

    terms.sort(key=far, reverse=True)
    free = [loop for loop in others if not _step(b, loop)] or others
    long = [loop for loop in free if loop.extent >= FEWEST_TILE_ROWS]
    if long:
        m = min(long, key=lambda loop: _step(a, loop))
    else:
        m = max(free, key=lambda loop: loop.extent)
    batch = sorted(
        (loop for loop in others if loop is not m),
        key=lambda loop: (not _step(b, loop), -_step(a, loop)),
    )
    contract = _contract(batch, m, n, terms, a, b, node, statements)
    return replace(contract, valid=_valid(x, place, contract))


def _valid(x: Node, index: Index, contract: Contract) -> tuple[Valid, ...]:
    """The terms outside of what x pads with zeros, where all rows and columns have the same."""
    padded, views = base_of(x)
    if padded.op != "pad" or padded.params["value"] or any(map(is_merge, views)):
        return ()
    for view in reversed(views):
        index = through(view, index)
    batch = {loop.var for loop in contract.batch}
    found: list[Valid] = []
    for place, low, inside in zip(index, padded.params["low"], padded.inputs[0].shape, strict=True):
        own = [loop.var for loop in contract.outer_k if place.coefficient(loop.var) > 0]
        others = {var for var, _ in place.terms}.difference(own)
        if len(own) == 1 and others and others <= batch:
            found.append(Valid(own[0], place, low, low + inside))
    return tuple(found)


def _step(operand: OperandAccess, loop: Loop) -> int:
    """How far an iteration moves through memory."""
    return abs(operand.address.coefficient(loop.var))


def _lie_side_by_side(loop: Loop, x: OperandAccess, statements: Sequence[Statement]) -> bool:
    """Whether what is read and all that is written lies side by side along a loop: then it is the
    vector, and weights are the rows."""
    stores = [s.address.coefficient(loop.var) for s in statements if isinstance(s, Store)]
    return loop.extent > 1 and _step(x, loop) == 1 and all(c == 1 for c in stores)


def _contract(
    batch: Sequence[Loop],
    m: Loop,
    n: Loop,
    k: Sequence[Loop],
    a: OperandAccess,
    b: OperandAccess,
    node: Node,
    statements: list[Statement],
) -> Contract:
    return Contract(tuple(batch), m, n, k[-1], a, b, node.dtype, statements, tuple(k[:-1]))


CONTRACTIONS: dict[
    str, Callable[[Lowering, Node, list[Loop], Index, list[Statement]], Contract]
] = {"dot": _dot, "conv": _conv}


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


def lower(
    graph: Signature, groups: Sequence[Group], compile: Callable[[Signature], LoopProgram]
) -> Lowered:
    """The loops of every group, over values: numbers of `Lowered.values` where a program has
    buffers. ``compile``: what makes a program of a loop's body."""
    values = _in_memory(graph, groups)
    numbers = {node: i for i, node in enumerate(values)}
    bodies: dict[int, list[Body]] = {}
    for group in groups:
        stored = [m for m in group.members if m in numbers]
        if any(m.size for m in stored):
            if group.is_loop:
                bodies[group.number] = _loop(group, numbers, compile)
            else:
                bodies[group.number] = _bodies(group, numbers)
    return Lowered(values, numbers, bodies)


class Lowered(NamedTuple):
    """Groups as loops."""

    values: list[Node]  # that lie in memory: the inputs, the state, constants, then what is stored
    numbers: dict[Node, int]  # the place of each among them
    bodies: dict[int, list[Body]]  # of each group by its number, one kernel after another


def _in_memory(graph: Signature, groups: Sequence[Group]) -> list[Node]:
    """Inputs, state, constants of more than one element, results, and what a group makes and others
    read."""
    found = dict.fromkeys([*graph.inputs, *graph.state])
    found |= dict.fromkeys(n for n in reachable(graph.roots) if is_buffer(n) and n not in found)
    found |= dict.fromkeys(graph.roots)
    of = {m: group for group in groups for m in group.members}
    for group in groups:
        if group.is_loop:
            found |= dict.fromkeys(with_carries(group.members))
        below = [x for m in group.members for x in m.inputs]
        while below:
            base, _ = base_of(below.pop())
            if base not in of:  # a leaf, or a formula this kernel inlines
                below += base.inputs
            elif of[base] is not group:
                found.setdefault(base)
    return list(found)


def _bodies(group: Group, numbers: Mapping[Node, int]) -> list[Body]:
    head = group.head
    if head.op in KERNELS:
        return KERNELS[head.op](head, numbers)
    lowering = Lowering(group, numbers)
    return [lowering.contract() if group.is_contraction else lowering.nest()]


def _loop(
    group: Group, numbers: Mapping[Node, int], compile: Callable[[Signature], LoopProgram]
) -> list[Body]:
    """The first values of the carries, and the loop."""
    body, inputs = family(group.head)
    first, arrays, fixed = split(body, inputs)
    members = with_carries(group.members)
    last = {m.params["result"]: m for m in members if isinstance(m.params["result"], int)}
    rows = {m.params["result"]: m for m in members if isinstance(m.params["result"], Node)}
    copies: list[Body] = [
        copy_nest(first[i], numbers[m], numbers) for i, m in last.items() if first[i].size
    ]
    if body.length == 0:
        return copies
    step = Signature(
        (*body.stacked, *body.fixed),
        tuple(body.carries[i] for i in last),
        tuple(body.updates[i] for i in last),
        tuple(rows),
    )
    loop = Repeat(
        compile(step),
        body.length,
        body.reverse,
        [numbers[base_of(x)[0]] for x in (*arrays, *fixed)],
        len(arrays),
        [numbers[m] for m in last.values()],
        [numbers[m] for m in rows.values()],
    )
    return [*copies, loop]


def copy_nest(
    source: Node,
    target: int,
    numbers: Mapping[Node, int],
    place: Affine | None = None,
    strides: Sequence[int] | None = None,
) -> Nest:
    """target[place + sum index * strides] = source."""
    lowering = Lowering(Group(-1, tuple(source.shape)), numbers)
    index = tuple(variable(i) for i in range(source.ndim))
    address = flat(index, source.shape)
    if place is not None and strides is not None:
        address = place
        for i, s in zip(index, strides, strict=True):
            address = address + i * s
    index = tuple(ZERO if n == 1 else i for i, n in zip(index, source.shape, strict=True))
    statement = Store(target, address, lowering.value(source, index))
    loops = tuple(Loop(i, n) for i, n in enumerate(source.shape))
    return Nest(loops, [Stage((), [statement])])


def _concat(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    bodies: list[Body] = []
    strides, axis = strides_of(node.shape), node.params["axis"]
    start = 0
    for x in node.inputs:
        if x.size:
            place = Affine(start * strides[axis])
            bodies.append(copy_nest(x, numbers[node], numbers, place, strides))
        start += x.shape[axis]
    return bodies


FEWEST_PADDED = 16  # iterations of the axes before the padded ones that make a loop of their own


def _pad(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    (x,) = node.inputs
    strides = strides_of(node.shape)
    low = node.params["low"]
    start = Affine(sum(n * s for n, s in zip(low, strides, strict=True)))
    value = Constant(dtype=node.dtype, value=node.params["value"])
    whole = next(a for a, (n, m) in enumerate(zip(x.shape, node.shape, strict=True)) if n != m)
    if x.size and math.prod(x.shape[:whole]) >= FEWEST_PADDED:
        return [_padded(node, whole, start, value, numbers)]
    fill = Store(numbers[node], variable(0), value)
    bodies: list[Body] = [Nest((Loop(0, node.size),), [Stage((), [fill])])]
    if x.size:
        bodies.append(copy_nest(x, numbers[node], numbers, start, strides))
    return bodies


def _padded(
    node: Node, whole: int, start: Affine, value: Expr, numbers: Mapping[Node, int]
) -> Nest:
    """One nest: for each index of the ``whole`` axes in front, what lies around, and x."""
    (x,) = node.inputs
    strides = strides_of(node.shape)
    copy = copy_nest(x, numbers[node], numbers, start, strides)
    outer, inner = copy.outer[:whole], copy.outer[whole:]
    stages = []
    for axis in range(whole, node.ndim):
        low, n = node.params["low"][axis], x.shape[axis]
        for first, count in ((0, low), (low + n, node.shape[axis] - low - n)):
            # inside on the axes before, all of those behind
            extents = (*x.shape[whole:axis], count, *node.shape[axis + 1 :])
            place = Affine(first * strides[axis])
            for a in range(whole, axis):
                place = place + Affine(node.params["low"][a] * strides[a])
            for a, s in enumerate(strides):
                place = place + variable(a) * s
            loops = tuple(Loop(whole + i, extent) for i, extent in enumerate(extents))
            if math.prod(extents):
                stages.append(Stage(loops, [Store(numbers[node], place, value)]))
    (last,) = copy.stages
    return Nest(outer, [*stages, Stage(inner, last.statements)])


def _scatter(node: Node, numbers: Mapping[Node, int]) -> list[Body]:
    x, *others = node.inputs
    where, updates = (base_of(o)[0] for o in others)  # of any shape
    row = math.prod(x.shape[1:])
    return [
        copy_nest(x, numbers[node], numbers),
        Scatter(
            x.shape[0],
            row,
            where.size,
            numbers[node],
            OperandAccess(numbers[where], variable(0)),
            OperandAccess(numbers[updates], variable(0) * row + variable(1)),
            where.dtype,
            node.dtype,
            adds=node.op == "scatter_add",
        ),
    ]


# Primitives with kernels of their own; each of the bodies reads and writes values by number.
KERNELS: dict[str, Callable[[Node, Mapping[Node, int]], list[Body]]] = {
    "concat": _concat,
    "pad": _pad,
    "scatter_add": _scatter,
    "put": _scatter,
}
