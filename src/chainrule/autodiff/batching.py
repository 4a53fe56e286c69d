"""vmap: from a computation on one example to the same computation on R of them, at once.

One rule per primitive. A mapped node carries a leading axis of R examples; a rule makes the mapped
output from inputs, some of them mapped. What depends on no mapped node is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core import graph as op
from ..core.dtypes import int64
from ..core.loop import Body
from ..core.loop import split as split_inputs
from ..core.node import Node, blame, reachable
from ..core.primitives.table import TABLE
from ..errors import ShapeError


class Batch(NamedTuple):
    """The inputs of a node: each with its axis of R leading where ``is_mapped``."""

    r: int
    inputs: tuple[Node, ...]
    is_mapped: tuple[bool, ...]

    def mapped(self, i: int) -> Node:
        """Input i with the leading axis, repeated along it if it has none of its own."""
        x = self.inputs[i]
        return x if self.is_mapped[i] else op.expand(x, (self.r, *x.shape))

    def all_mapped(self) -> list[Node]:
        return [self.mapped(i) for i in range(len(self.inputs))]


Rule = Callable[[Node, Batch], Node]


def vmap_nodes(outputs: Sequence[Node], mapped: Mapping[Node, Node]) -> list[tuple[Node, bool]]:
    """The outputs for R values of some nodes at once.

    ``mapped`` sends a node of shape s to its R values, a node of shape (R, *s). For each output of
    shape t: ``(node of shape (R, *t), True)``, or ``(the output itself, False)`` where it does not
    depend on a mapped node. The values may themselves be mapped again (a vmap of a vmap).
    """
    sizes = {v.shape[0] for x, v in mapped.items() if v.ndim == x.ndim + 1}
    for x, v in mapped.items():
        if v.shape[1:] != x.shape or v.ndim == 0 or v.dtype != x.dtype or len(sizes) != 1:
            pairs = (
                f"{v.dtype}{list(v.shape)} for {x.dtype}{list(x.shape)}" for x, v in mapped.items()
            )
            raise ShapeError(f"vmap expects values (R, *shape) of one R, got {', '.join(pairs)}")
    done: dict[Node, Node] = dict(mapped)  # the mapped nodes; any other stands for itself
    first = min((x.id for x in mapped), default=0)
    for node in reachable(outputs, first):
        if node in done or not any(i in done for i in node.inputs):
            continue
        batch = Batch(
            next(iter(sizes)),
            tuple(done.get(i, i) for i in node.inputs),
            tuple(i in done for i in node.inputs),
        )
        with blame(node):
            done[node] = RULES[node.op](node, batch)
    return [(done.get(node, node), node in done) for node in outputs]


# -- most primitives: the same primitive, with its axes counted one further ------------------------
def _again(node: Node, inputs: Sequence[Node], **params: Any) -> Node:
    return op.apply(node.op, *inputs, **{**node.params, **params})


def _same(node: Node, b: Batch) -> Node:
    return _again(node, b.all_mapped())


def _reshape(node: Node, b: Batch) -> Node:
    return op.reshape(b.inputs[0], (b.r, *node.shape))


def _permute(node: Node, b: Batch) -> Node:
    return op.permute(b.inputs[0], (0, *(a + 1 for a in node.params["axes"])))


def _broadcast(node: Node, b: Batch) -> Node:
    return op.broadcast(b.inputs[0], (b.r, *node.shape))


def _slice(node: Node, b: Batch) -> Node:
    p = node.params
    return op.slice(b.inputs[0], (0, *p["starts"]), (b.r, *p["stops"]), (1, *p["steps"]))


def _pad(node: Node, b: Batch) -> Node:
    p = node.params
    return op.pad(b.inputs[0], (0, *p["low"]), (0, *p["high"]), p["value"])


def _window(node: Node, b: Batch) -> Node:
    axes, *rest = (node.params[p] for p in op.WINDOW)
    return op.window(b.inputs[0], [a + 1 for a in axes], *rest)


def _fold(node: Node, b: Batch) -> Node:
    axes, *rest = (node.params[p] for p in op.WINDOW)
    shape = (b.r, *node.params["shape"])
    return op.fold(b.inputs[0], shape, [a + 1 for a in axes], *rest)


def _axis(node: Node, b: Batch) -> Node:
    return _again(node, b.all_mapped(), axis=node.params["axis"] + 1)


def _axes(node: Node, b: Batch) -> Node:
    return _again(node, b.inputs, axes=tuple(a + 1 for a in node.params["axes"]))


# -- dot: fold the examples into rows or columns where one side is shared --------------------------
def _dot(node: Node, batch: Batch) -> Node:
    """One large product instead of R small ones: out[r,m,:] = a[r,m,:] b, as (r m) rows times b."""
    a, b = batch.inputs
    r, (*_, m, n) = batch.r, node.shape
    k = node.inputs[0].shape[-1]
    if node.ndim > 2 or all(batch.is_mapped):
        return op.dot(*batch.all_mapped())
    if batch.is_mapped[0]:
        return op.reshape(op.dot(op.reshape(a, (r * m, k)), b), (r, m, n))
    columns = op.reshape(op.permute(b, (1, 0, 2)), (k, r * n))
    return op.permute(op.reshape(op.dot(a, columns), (m, r, n)), (1, 0, 2))


# -- conv: examples of x join the minibatch, of w the outputs, of both the groups ------------------
def _conv(node: Node, batch: Batch) -> Node:
    (x, w), r, last = batch.inputs, batch.r, node.ndim
    params = [node.params[name] for name in op.CONV]
    if not batch.is_mapped[1]:
        out = op.conv(op.reshape(x, (r * x.shape[1], *x.shape[2:])), w, *params)
        return op.reshape(out, (r, *node.shape))
    if not batch.is_mapped[0]:
        beside = op.permute(w, (*range(1, last), 0, last))  # (*K, C, G, R, O)
        out = op.conv(x, op.reshape(beside, (*w.shape[1:-1], r * w.shape[-1])), *params)
        apart = op.reshape(out, (*out.shape[:-1], r, w.shape[-1]))
        return op.permute(apart, (last - 1, *range(last - 1), last))
    groups, channels, outputs = w.shape[-2], w.shape[-3], w.shape[-1]
    images = op.permute(x, (*range(1, last - 1), 0, last - 1, last))  # (N, *S, R, G, C)
    images = op.reshape(images, (*x.shape[1:-2], r * groups, channels))
    taps = op.permute(w, (*range(1, last - 1), 0, last - 1, last))  # (*K, C, R, G, O)
    taps = op.reshape(taps, (*w.shape[1:-2], r * groups, outputs))
    out = op.conv(images, taps, *params)
    apart = op.reshape(out, (*out.shape[:-2], r, groups, outputs))
    return op.permute(apart, (last - 2, *range(last - 2), last - 1, last))


# -- scan: the body, mapped ------------------------------------------------------------------------
class _Mapped(NamedTuple):
    """A body for R examples: itself, which carries are mapped, and its results' new names."""

    body: Body
    carries: tuple[bool, ...]
    values: dict[Node, Node]  # placeholders of the old body that are mapped


def _mapped_body(body: Body, r: int, is_mapped: tuple[bool, ...]) -> _Mapped:
    """Memoized, so that all results of one loop are of one loop again."""
    key = ("vmap", r, is_mapped)
    if key not in body.memo:
        carries, stacked, fixed = map(tuple, split_inputs(body, is_mapped))
        while True:  # a carry is mapped if its first value is, or its update becomes so
            flags = carries + stacked + fixed
            values = {
                p: op.input((r, *p.shape), p.dtype)
                for p, m in zip(body.inputs, flags, strict=True)
                if m
            }
            updates = vmap_nodes(body.updates, values) if values else []
            more = tuple(m or u for m, (_, u) in zip(carries, updates, strict=True))
            if more == carries:
                break
            carries = more
        new = [values.get(p, p) for p in body.inputs]
        all_updates = tuple(
            op.expand(u, (r, *u.shape)) if m and not already else u
            for (u, already), m in zip(updates, carries, strict=True)
        )
        first, second = len(body.carries), len(body.carries) + len(body.stacked)
        mapped = Body(
            tuple(new[:first]),
            tuple(new[first:second]),
            tuple(new[second:]),
            all_updates,
            body.length,
            body.reverse,
            body.save,
        )
        body.memo[key] = _Mapped(mapped, carries, values)
    found: _Mapped = body.memo[key]
    return found


def _scan(node: Node, b: Batch) -> Node:
    body: Body = node.params["body"]
    result: int | Node = node.params["result"]
    mapped = _mapped_body(body, b.r, b.is_mapped)
    first, second = len(body.carries), len(body.carries) + len(body.stacked)
    given = list(b.inputs)
    for i in range(first):
        given[i] = b.mapped(i) if mapped.carries[i] else given[i]
    for i in range(first, second):
        given[i] = _second(given[i]) if b.is_mapped[i] else given[i]
    if isinstance(result, int):
        last = op.scan(given, mapped.body, result)
        return last if mapped.carries[result] else op.expand(last, (b.r, *last.shape))
    [(at_step, has_axis)] = vmap_nodes([result], mapped.values)
    rows = op.scan(given, mapped.body, at_step)
    return _second(rows) if has_axis else op.expand(rows, (b.r, *rows.shape))


def _second(x: Node) -> Node:
    """The first two axes exchanged: examples and steps."""
    return op.permute(x, (1, 0, *range(2, x.ndim)))


# -- positions as data -----------------------------------------------------------------------------
def _front(x: Node, axis: int) -> Node:
    """``axis`` first, the others in their order."""
    return op.permute(x, (axis, *(i for i in range(x.ndim) if i != axis)))


def _back(x: Node, axis: int) -> Node:
    """The first axis to ``axis``: undoes `_front`."""
    others = list(range(1, x.ndim))
    return op.permute(x, (*others[:axis], 0, *others[axis:]))


def _stack(x: Node) -> Node:
    """The R tables of n rows as one of R n rows."""
    return op.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _clamped(index: Node, n: int) -> Node:
    wide = op.cast(index, int64)
    return op.max(op.min(wide, op.full(index.shape, max(n - 1, 0), int64)), op.zeros_like(wide))


def _into_stack(index: Node, n: int) -> Node:
    """Indices into R tables of n rows, as indices into their stack; clamped, as gather does."""
    inside = _clamped(index, n)
    if index.size == 0:
        return inside
    offset = op.mul(op.iota(index.shape, 0, int64), op.full(index.shape, n, int64))
    return op.add(inside, offset)


def _gather(node: Node, b: Batch) -> Node:
    x, index = b.inputs
    if not b.is_mapped[0]:
        return op.gather(x, index)
    if not b.is_mapped[1]:  # the same rows of every table
        return _front(op.gather(_front(x, 1), index), index.ndim)
    return op.gather(_stack(x), _into_stack(index, x.shape[1]))


def _scatter_add(node: Node, b: Batch) -> Node:
    x, updates = b.mapped(0), b.mapped(2)
    if not b.is_mapped[1]:
        index = b.inputs[1]
        return _back(op.scatter_add(_front(x, 1), index, _back(updates, index.ndim)), 1)
    index = _into_stack(b.inputs[1], x.shape[1])
    return op.reshape(op.scatter_add(_stack(x), index, updates), x.shape)


def _put(node: Node, b: Batch) -> Node:
    """Each table gets its own row where the row's number is its index."""
    x, value, index = b.mapped(0), b.mapped(2), b.inputs[1]
    if not b.is_mapped[1]:
        return _back(op.put(_front(x, 1), index, value), 1)
    rows = op.iota(x.shape[:2], 1, int64)
    wide = op.broadcast(op.reshape(_clamped(index, x.shape[1]), (x.shape[0], 1)), x.shape[:2])
    here = op.reshape(op.eq(rows, wide), (*x.shape[:2], *[1] * (x.ndim - 2)))
    row = op.reshape(value, (x.shape[0], 1, *x.shape[2:]))
    return op.where(op.broadcast(here, x.shape), op.broadcast(row, x.shape), x)


# -- random numbers: a mapped key is a key with one more leading axis ------------------------------
def _shuffle(node: Node, b: Batch) -> Node:
    if not b.is_mapped[1] and b.inputs[1].ndim == 1:  # one key for all positions
        return _again(node, b.inputs)
    return _same(node, b)


# -- a rule of the user's, for one example, becomes a rule for R -----------------------------------
class BatchedRule(NamedTuple):
    """``rule`` (g, out, *args) mapped; what all examples share gets the sum of its cotangents.

    A dataclass and not a closure: two equal ones make the same node.
    """

    rule: Any
    is_mapped: tuple[bool, ...]

    def __call__(self, g: Node, out: Node, *args: Node) -> list[Node | None]:
        given = (g, out, *args)
        flags = (True, True, *self.is_mapped)
        single = [
            op.input(x.shape[1:], x.dtype) if m else x for x, m in zip(given, flags, strict=True)
        ]
        cotangents = list(self.rule(*single))
        mapped = {s: x for s, x, m in zip(single, given, flags, strict=True) if m}
        done = iter(vmap_nodes([c for c in cotangents if c is not None], mapped))
        return [
            None if c is None else _to_share(*next(done), m, g.shape[0])
            for c, m in zip(cotangents, self.is_mapped, strict=True)
        ]


def _to_share(cotangent: Node, has_axis: bool, wants_axis: bool, r: int) -> Node:
    if not has_axis:
        cotangent = op.expand(cotangent, (r, *cotangent.shape))
    return cotangent if wants_axis else op.sum(cotangent, [0])


def _custom_vjp(node: Node, b: Batch) -> Node:
    return op.custom_vjp(
        b.mapped(0), b.inputs[1:], BatchedRule(node.params["rule"], b.is_mapped[1:])
    )


_AGAIN = ("elementwise", "matrix")  # kinds to which one more leading axis is nothing new
RULES: dict[str, Rule] = {name: _same for name, p in TABLE.items() if p.kind in _AGAIN} | {
    # Leaves; those without inputs are never mapped.
    "random_bits": _same,
    "fold_in": _same,
    # Movement.
    "reshape": _reshape,
    "permute": _permute,
    "broadcast": _broadcast,
    "slice": _slice,
    "flip": _axes,
    "pad": _pad,
    "concat": _axis,
    "window": _window,
    "fold": _fold,
    # Reductions.
    "sum": _axes,
    "reduce_max": _axes,
    "reduce_min": _axes,
    "argmax": _axis,
    # Contractions.
    "dot": _dot,
    "conv": _conv,
    # Positions as data.
    "gather": _gather,
    "scatter_add": _scatter_add,
    "put": _put,
    "shuffle": _shuffle,
    "scan": _scan,
    # Identities.
    "stop_gradient": _same,
    "custom_vjp": _custom_vjp,
}
