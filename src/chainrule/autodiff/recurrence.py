"""Loops: how they are made from the graph of one step, and back-propagation through them.

Back-propagation through time (Rumelhart, Hinton & Williams 1986, "recurrent nets"). With
(h', y_t) = body(h, x_t, w), the loop backwards carries h̄ and takes ȳ_t at each step:

    h̄, x̄_t, w̄_t = vjp of body at step t, applied to (h̄, ȳ_t)           w̄ = sum over t of w̄_t

What the vjp reads of step t are further results of the forward loop, stacked; what is quickly
computed from them is computed again. Sums over t move behind the loop: the w̄_t of a product
aᵀ g are one product over all steps and rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..core import graph as op
from ..core.loop import Body, split
from ..core.node import Node, reachable
from ..core.rewrite import replace
from .batching import vmap_nodes

Gradients = Callable[[Sequence[Node], Sequence[Node], Sequence[Node]], list[Node | None]]


# -- making a loop ---------------------------------------------------------------------------------
class Results(NamedTuple):
    """The last value of each carry, and each result of all steps, stacked."""

    carries: list[Node]
    stacked: list[Node]


def loop(
    carries: Sequence[Node],
    stacked: Sequence[Node],
    updates: Sequence[Node],
    results: Sequence[Node],
    first: Sequence[Node],
    arrays: Sequence[Node],
    *,
    length: int,
    reverse: bool = False,
    save: str = "needed",
) -> Results:
    """The loop whose step computes ``updates`` and ``results``.

    From the inputs ``carries`` and ``stacked``.

    What else they depend on is the same at every step: computed once, before the loop. So are, for
    all steps together, the products that depend on no carry; and behind the loop those that no
    carry depends on (unless ``save`` is "carry": then memory counts).
    """
    before: dict[Node, Node] = {}  # inputs of one step that are computed before the loop
    if save == "needed":
        before = _before_loop([*updates, *results], carries, stacked, arrays)
    extra = {n: op.input(n.shape, n.dtype) for n in before}
    updates, results = (replace(nodes, extra) for nodes in (updates, results))
    used = set(reachable([*updates, *results]))
    pairs = zip((*stacked, *extra.values()), (*arrays, *before.values()), strict=True)
    rows = {p: x for p, x in pairs if p in used}
    all_stacked, all_arrays = list(rows), list(rows.values())
    fixed = _invariant([*updates, *results], [*carries, *all_stacked])
    inside = {n: op.input(n.shape, n.dtype) for n in fixed}
    updates, results = (replace(nodes, inside) for nodes in (updates, results))
    body = Body(
        tuple(carries),
        tuple(all_stacked),
        tuple(inside.values()),
        tuple(updates),
        length,
        reverse,
        save,
    )
    inputs = (*first, *all_arrays, *fixed)
    last = [op.scan(inputs, body, i) for i in range(len(carries))]
    steps = _Steps(body, inputs)
    varying = _depending(reachable(results), [*carries, *all_stacked])
    at_all_steps = []
    for r in results:
        if r not in varying:
            at_all_steps.append(steps.at_all_steps(r, []))
        else:
            at_all_steps.append(
                op.scan(inputs, body, r) if save == "carry" else _behind(r, body, inputs)
            )
    return Results(last, at_all_steps)


def _depending(nodes: Sequence[Node], on: Sequence[Node]) -> set[Node]:
    found = set(on)
    for node in nodes:
        if any(i in found for i in node.inputs):
            found.add(node)
    return found


def _has_product(nodes: Sequence[Node], among: set[Node]) -> set[Node]:
    """The nodes whose computation, as far as it lies in ``among``, has a product in it."""
    found: set[Node] = set()
    for node in nodes:
        product = node.primitive.kind == "contract" or any(i in found for i in node.inputs)
        if node in among and product:
            found.add(node)
    return found


def _before_loop(
    roots: Sequence[Node], carries: Sequence[Node], stacked: Sequence[Node], arrays: Sequence[Node]
) -> dict[Node, Node]:
    """Products of one step that depend on no carry, and their values for all steps."""
    if not stacked:
        return {}
    order = reachable(roots)
    by_carry = _depending(order, carries)
    free = _depending(order, stacked) - by_carry
    heavy = _has_product(order, free)
    used = {i for n in order if n not in heavy for i in n.inputs if i in heavy}
    chosen = [n for n in order if n in heavy and (n in used or n in roots)]
    values = vmap_nodes(chosen, dict(zip(stacked, arrays, strict=True)))
    return {n: v for n, (v, _) in zip(chosen, values, strict=True)}


def _invariant(roots: Sequence[Node], inputs: Sequence[Node]) -> list[Node]:
    """The loop's fixed values: the same at every step, and no number in the code.

    What only arranges their elements anew stays in the loop, whose kernels read them where they
    lie.
    """
    order = reachable(roots)
    varying = _depending(order, inputs)
    wanted = {n for n in roots if n not in varying}
    wanted |= {i for n in order if n in varying for i in n.inputs if i not in varying}
    wanted = {_arranged(n) for n in wanted}
    return [n for n in order if n in wanted and not _is_formula(n)]


def _arranged(node: Node) -> Node:
    """What has the elements of ``node``, in another order or shape."""
    while node.op in ("permute", "reshape"):
        node = node.inputs[0]
    return node


def _is_formula(node: Node) -> bool:
    """A constant number or index, also repeated: cheaper in the loop than in memory."""
    while node.op in ("broadcast", "reshape"):
        node = node.inputs[0]
    return node.op == "iota" or (node.op == "constant" and node.size == 1)


def _behind(result: Node, body: Body, inputs: Sequence[Node]) -> Node:
    """A result at all steps. Products that no carry depends on are computed behind the loop."""
    order = reachable([result])
    inside = set(reachable(body.updates)) | set(body.inputs)
    outside = {n for n in order if n not in inside and not _is_formula(n)}
    if result not in _has_product(order, outside):
        return op.scan(inputs, body, result)
    cut = [n for n in order if n not in outside and not _is_formula(n)]
    return _Steps(body, inputs).at_all_steps(result, cut)


# -- values at all steps ---------------------------------------------------------------------------
class _Steps:
    """What a loop computes, seen from outside."""

    def __init__(self, body: Body, inputs: Sequence[Node]) -> None:
        self.body, self.inputs = body, tuple(inputs)
        _, stacked, fixed = split(body, self.inputs)
        self.arrays = dict(zip(body.stacked, stacked, strict=True))
        self.fixed = dict(zip(body.fixed, fixed, strict=True))

    def rows(self, node: Node) -> Node:
        """(length, *shape): the values of a node of the body."""
        if node in self.arrays:
            return self.arrays[node]
        if node.primitive.kind == "view":
            (x,) = node.inputs
            return self.at_all_steps(node, [x])
        return op.scan(self.inputs, self.body, node)

    def at_all_steps(self, node: Node, below: Sequence[Node]) -> Node:
        """The values of a body's node at all steps, computed outside from those of ``below``."""
        values = {n: self.rows(n) for n in below if n not in self.fixed}
        [(rows, varies)] = vmap_nodes([node], values) if values else [(node, False)]
        [rows] = replace([rows], self.fixed)
        return rows if varies else op.expand(rows, (self.body.length, *rows.shape))

    def total(self, term: Node) -> Node:
        """The sum over all steps of a node of the body."""
        match term.op:
            case "add":
                return op.add(*map(self.total, term.inputs))
            case "neg":
                return op.neg(self.total(term.inputs[0]))
            case "reshape" | "permute" | "broadcast":
                return op.apply(term.op, self.total(term.inputs[0]), **term.params)
            case "sum":
                axes = [0, *(a + 1 for a in term.params["axes"])]
                return op.sum(self.rows(term.inputs[0]), axes)
            case "dot":
                return self._total_of_products(*term.inputs)
        return op.sum(self.rows(term), [0])

    def _total_of_products(self, a: Node, b: Node) -> Node:
        """sum over t of a[t] b[t], one product: steps and inner axis are one axis of terms."""
        t, k = self.body.length, a.shape[-1]
        batch = list(range(1, a.ndim - 1))
        right = op.permute(self.rows(b), (*batch, 0, b.ndim - 1, b.ndim))
        right = op.reshape(right, (*b.shape[:-2], t * k, b.shape[-1]))
        swap = (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
        if a.op == "permute" and a.params["axes"] == swap:  # rows as they lie, then turned
            left = op.permute(self.rows(a.inputs[0]), (*batch, 0, a.ndim - 1, a.ndim))
            left = op.permute(op.reshape(left, (*a.shape[:-2], t * k, a.shape[-2])), swap)
        else:
            left = op.permute(self.rows(a), (*batch, a.ndim - 1, 0, a.ndim))
            left = op.reshape(left, (*a.shape[:-1], t * k))
        return op.dot(left, right)


# -- back-propagation ------------------------------------------------------------------------------
def loop_shares(
    members: Sequence[Node], cotangents: Sequence[Node], on_path: set[Node], gradients: Gradients
) -> Iterator[tuple[Node, Node]]:
    """What a loop hands on to its inputs, given the cotangents of its results."""
    body: Body = members[0].params["body"]
    inputs = members[0].inputs
    last: dict[int, Node] = {}
    each: dict[Node, Node] = {}  # a result of each step, and its cotangents at all steps
    for member, g in zip(members, cotangents, strict=True):
        result = member.params["result"]
        if isinstance(result, int):
            last[result] = g
        else:
            each[result] = g
    asked = [p for p, x in zip(body.inputs, inputs, strict=True) if x in on_path]
    back = _Backward(body, inputs, last, each, asked, gradients)
    first, arrays, fixed = split(body, inputs)
    for i, x in enumerate(first):
        if x in on_path and i in back.carries:
            yield x, op.scan(back.inputs, back.body, list(back.carries).index(i))
    for p, x in zip(body.stacked, arrays, strict=True):
        if x in on_path and (share := back.grads[p]) is not None:
            yield x, op.scan(back.inputs, back.body, share)
    for i, (p, x) in enumerate(zip(body.fixed, fixed, strict=True)):
        if x in on_path and back.grads[p] is not None:
            yield x, back.total(i)


class _Backward:
    """The loop backwards: ``grads`` are the cotangents of one step.

    ``carries``: those of the forward loop's carries that are carried back, each with its input.
    """

    def __init__(
        self,
        body: Body,
        inputs: Sequence[Node],
        last: Mapping[int, Node],
        each: Mapping[Node, Node],
        asked: Sequence[Node],
        gradients: Gradients,
    ) -> None:
        self.forward, self.length = _Steps(body, inputs), body.length
        self.carries: dict[int, Node] = {}
        shares = {y: op.input(y.shape, y.dtype, "cotangent") for y in each}
        reached = set(last)
        while True:  # a cotangent reaches more carries, step by step
            for i in sorted(reached - self.carries.keys()):
                p = body.carries[i]
                self.carries[i] = op.input(p.shape, p.dtype, "cotangent")
            outputs = [*(body.updates[i] for i in self.carries), *shares]
            wrt = list(dict.fromkeys([*body.carries, *asked]))
            found = gradients(outputs, [*self.carries.values(), *shares.values()], wrt)
            self.grads = dict.fromkeys(body.inputs) | dict(zip(wrt, found, strict=True))
            reached |= {i for i, p in enumerate(body.carries) if self.grads[p] is not None}
            if reached == self.carries.keys():
                break
        self._make(body, last, each, shares)

    def _make(
        self,
        body: Body,
        last: Mapping[int, Node],
        each: Mapping[Node, Node],
        shares: Mapping[Node, Node],
    ) -> None:
        present = [g for g in self.grads.values() if g is not None]
        own = [*self.carries.values(), *shares.values()]
        kept = _kept(present, own, body)
        inside = {n: n if n.op == "input" else op.input(n.shape, n.dtype) for n in kept}
        fresh = {n: p for n, p in inside.items() if n is not p}
        made = iter(replace(present, fresh))
        self.grads = {p: None if g is None else next(made) for p, g in self.grads.items()}
        used = set(reachable([g for g in self.grads.values() if g is not None]))
        stacked = [p for p in body.stacked if p in used]
        fixed = [p for p in body.fixed if p in used]
        steps = self.forward
        updates = []
        for i, p in self.carries.items():
            g = self.grads[body.carries[i]]
            updates.append(op.zeros_like(p) if g is None else g)
        first = [last[i] if i in last else op.zeros_like(p) for i, p in self.carries.items()]
        arrays = [*map(steps.rows, stacked), *(self._values(n, body) for n in kept)]
        sums = self._running_sums(body) if body.save == "carry" else {}
        self.sums = {i: len(self.carries) + j for j, i in enumerate(sums)}
        for i, p in sums.items():
            term = self.grads[body.fixed[i]]
            assert term is not None
            updates.append(op.add(p, term))
        first += [op.zeros_like(p) for p in sums.values()]
        self.inputs = (*first, *arrays, *each.values(), *(steps.fixed[p] for p in fixed))
        self.body = Body(
            (*self.carries.values(), *sums.values()),
            (*stacked, *inside.values(), *shares.values()),
            tuple(fixed),
            tuple(updates),
            body.length,
            not body.reverse,
        )
        self._fixed_grads = [self.grads[p] for p in body.fixed]

    def _values(self, node: Node, body: Body) -> Node:
        """A kept node's values at all steps.

        A result of the forward loop if it follows from a carry, else computed outside (so a linear
        loop does not seem to depend on its carries).
        """
        order = reachable([node])
        if node in _depending(order, body.carries):
            return op.scan(self.forward.inputs, body, node)
        return self.forward.at_all_steps(node, [n for n in order if n in body.stacked])

    def _running_sums(self, body: Body) -> dict[int, Node]:
        """Carries that sum up the cotangents of fixed values, where no array of them is wanted."""
        return {
            i: op.input(p.shape, p.dtype, "sum")
            for i, p in enumerate(body.fixed)
            if self.grads[p] is not None
        }

    def total(self, i: int) -> Node:
        """The cotangent of fixed value i: the sum over all steps."""
        if i in self.sums:
            return op.scan(self.inputs, self.body, self.sums[i])
        term = self._fixed_grads[i]
        assert term is not None
        return _Steps(self.body, self.inputs).total(term)


def _below_views(node: Node) -> Node:
    """What a node is another order or shape of."""
    while node.primitive.kind == "view" and node.size == node.inputs[0].size:
        node = node.inputs[0]
    return node


def _kept(grads: Sequence[Node], own: Sequence[Node], body: Body) -> list[Node]:
    """The values of a forward step that the backward step is given.

    Carries as they were before the step, and results within it.
    """
    order = reachable(grads)
    backward = _depending(order, own)
    read = {i for n in order if n in backward for i in n.inputs if i not in backward}
    read |= {g for g in grads if g not in backward}
    read = {_below_views(n) for n in read}
    varies = _depending(order, [*body.carries, *body.stacked])
    given = {*body.stacked, *body.fixed}
    there = given | read.intersection(body.carries)
    again: set[Node] = set()  # computed by the backward step itself
    for node in order:
        view = node.primitive.kind == "view" and node.size <= node.inputs[0].size
        cheap = (view or node.primitive.is_cheap) and there.issuperset(node.inputs)
        if node in given or node in body.carries:
            continue
        if body.save == "carry" or node not in varies or cheap:
            again.add(node)
            there.add(node)
        elif node in read:
            there.add(node)
    for node in reversed(order):
        if node in read and node in again:
            read.update(node.inputs)
    return [n for n in order if n in read and n not in again and n not in given]
