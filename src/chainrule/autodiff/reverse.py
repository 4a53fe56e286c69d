"""Back-propagation: the sweep from the outputs back to the inputs (Rumelhart, Hinton & Williams,
1986).

Let L be the final scalar. The cotangent of a node y is g = ∂L/∂y. Going through the nodes in
reverse topological order, when y's turn comes all its users have added their share to g; y's rule
in `vjps.py` then hands shares on to y's own inputs. At the end the nodes asked for hold their
gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core import graph as op
from ..core.dtypes import is_float
from ..core.node import Node, blame, reachable
from ..errors import DTypeError, GradientError, ShapeError
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
    grads: dict[Node, Node] = {}  # the cotangent of each node, as far as it has been summed

    def accumulate(x: Node, share: Node) -> None:
        grads[x] = op.add(grads[x], share) if x in grads else share

    for y, g in zip(outputs, cotangents, strict=True):
        _check(y, g)
        accumulate(y, g)
    path = nodes_between(wrt, outputs)
    on_path = set(path)
    for y in reversed(path):
        if y in grads:
            with blame(y):
                for x, share in _shares(y, grads[y], on_path):
                    accumulate(x, share)
    return [grads.get(x) for x in wrt]


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


def _shares(y: Node, g: Node, on_path: set[Node]) -> Iterator[tuple[Node, Node]]:
    """What y's rule hands on to each input on the path, for the cotangent g of y."""
    rule = VJPS[y.op]
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
    """Forward mode: the derivative of each output along ``tangents``, a change of each node of
    ``wrt``.

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
