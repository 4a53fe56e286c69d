"""Back-propagation: the sweep from outputs back to inputs (Rumelhart, Hinton & Williams, 1986).

Let L be the final scalar. The cotangent of a node y is g = ∂L/∂y. In reverse topological order,
when y's turn comes all its users have added their share to g; y's rule in `vjps.py` then hands
shares on to y's own inputs. At the end the nodes asked for hold their gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core import graph as op
from ..core.dtypes import is_float
from ..core.loop import family
from ..core.node import Node, blame, reachable
from ..errors import DTypeError, GradientError, ShapeError
from .recurrence import loop_shares
from .vjps import VJPS


def gradients(
    outputs: Sequence[Node], cotangents: Sequence[Node], wrt: Sequence[Node]
) -> list[Node | None]:
    """The gradients of Σᵢ ⟨cotangents[i], outputs[i]⟩ with respect to each node of ``wrt``.

    A gradient has its node's shape and dtype. It is ``None`` where no output depends on the node,
    or only through integers, comparisons and other steps. Nodes of ``wrt`` need not be inputs, and
    may depend on one another.

    >>> from chainrule.core import dtypes
    >>> x = op.input((3,), dtypes.float64)
    >>> y = op.sin(x)
    >>> [grad] = gradients([y], [op.ones_like(y)], [x])
    >>> grad is op.mul(op.ones_like(y), op.cos(x))
    True
    """
    shares: dict[Node, list[Node]] = {}  # what the users of each node have handed on so far
    for y, g in zip(outputs, cotangents, strict=True):
        _check(y, g)
        shares.setdefault(y, []).append(g)
    path = nodes_between(wrt, outputs)
    on_path = set(path)
    grads: dict[Node, Node] = {}
    loops = _loops(path)
    for y in reversed(path):
        with blame(y):
            if y in shares:
                grads[y] = _total(shares[y])
            for x, share in _shares(y, grads, on_path, loops):
                shares.setdefault(x, []).append(share)
    return [grads.get(x) for x in wrt]


Loops = dict[tuple[Any, ...], list[Node]]


def _loops(path: Sequence[Node]) -> Loops:
    """The results of each loop, in the order of the path."""
    found: Loops = {}
    for y in path:
        if y.primitive.kind == "control":
            found.setdefault(family(y), []).append(y)
    return found


def nodes_between(wrt: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
    """The float nodes on a way from ``wrt`` to ``outputs``, inputs before users."""
    on_path = {x for x in wrt if is_float(x.dtype)}
    first = min((x.id for x in on_path), default=0)  # an older node depends on none of wrt
    path = []
    for y in reachable(outputs, first):
        if y in on_path or (is_float(y.dtype) and any(x in on_path for x in y.inputs)):
            on_path.add(y)
            path.append(y)
    return path


def _total(shares: Sequence[Node]) -> Node:
    """The sum of all shares; those of neighbouring slices are put side by side.

    That saves adding the numbers of one to the zeros of another.
    """
    terms: list[Node] = []
    for share in sorted(shares, key=lambda s: _place(s) or (-1, 0, 0)):
        joined = _side_by_side(terms[-1], share) if terms else None
        if joined is None:
            terms.append(share)
        else:
            terms[-1] = joined
    total, *others = terms
    for term in others:
        total = op.add(total, term)
    return total


def _side_by_side(a: Node, b: Node) -> Node | None:
    """pad(x) + pad(y) = pad(concat(x, y)), if y's place begins where x's ends."""
    left, right = _place(a), _place(b)
    if left is None or right is None or (left[0], left[2]) != right[:2]:
        return None
    (x,), (y,), axis = a.inputs, b.inputs, left[0]
    parts = x.inputs if x.op == "concat" and x.params["axis"] == axis else [x]
    return op.pad(op.concat([*parts, y], axis), a.params["low"], b.params["high"])


def _place(share: Node) -> tuple[int, int, int] | None:
    """Axis, start and stop of a slice's share, if it is whole on all other axes."""
    if share.op != "pad" or share.size == 0:
        return None
    low, high = share.params["low"], share.params["high"]
    axes = [a for a in range(share.ndim) if low[a] or high[a]]
    if len(axes) != 1 or share.params["value"] != 0:
        return None
    return axes[0], low[axes[0]], share.shape[axes[0]] - high[axes[0]]


def _shares(
    y: Node, grads: Mapping[Node, Node], on_path: set[Node], loops: Loops
) -> Iterator[tuple[Node, Node]]:
    """What y's rule hands on to each input on the path.

    The results of a loop hand on together, when all have had their turn: at the first of them in
    the order of the path.
    """
    if y.primitive.kind == "control":
        results = loops[family(y)]
        reached = [r for r in results if r in grads]
        if y is results[0] and reached:
            yield from loop_shares(reached, [grads[r] for r in reached], on_path, gradients)
        return
    if y not in grads:
        return
    rule, g = VJPS[y.op], grads[y]
    if callable(rule):
        for x, share in zip(y.inputs, rule(g, y, *y.inputs), strict=True):
            if share is not None and x in on_path:
                yield x, share
    else:
        for x, part in zip(y.inputs, rule, strict=True):
            if part is not None and x in on_path:
                yield x, part(g, y, *y.inputs)


def _check(y: Node, g: Node) -> None:
    if not is_float(y.dtype):
        raise DTypeError(
            f"only floating-point outputs have gradients, got {y.dtype}{list(y.shape)}"
        )
    if g.shape != y.shape:
        raise ShapeError(
            f"the cotangent of an output of shape {y.shape} must have that shape, got {g.shape}"
        )
    if g.dtype != y.dtype:
        raise DTypeError(f"the cotangent of a {y.dtype} output must be {y.dtype}, got {g.dtype}")


def jvp(
    outputs: Sequence[Node], wrt: Sequence[Node], tangents: Sequence[Node]
) -> list[Node | None]:
    """Forward mode: the derivative of each output along ``tangents``, one of each node of ``wrt``.

    By the reverse sweep, twice: ū ↦ Jᵀū is linear in ū with matrix Jᵀ, so its own gradient is v ↦ J
    v. ``None`` where an output does not depend on any node of ``wrt``.
    """
    for x, v in zip(wrt, tangents, strict=True):
        _check(x, v)
    dummies = [op.input(y.shape, y.dtype, "cotangent") for y in outputs]
    pairs = [
        (grad, v)
        for grad, v in zip(gradients(outputs, dummies, wrt), tangents, strict=True)
        if grad is not None
    ]
    result = gradients([grad for grad, _ in pairs], [v for _, v in pairs], dummies)
    for node in reachable(
        [r for r in result if r is not None], min((d.id for d in dummies), default=0)
    ):
        if node in dummies:
            raise GradientError(
                "forward mode needs gradient rules linear in the cotangent; a custom_vjp has "
                "another"
            )
    return result
