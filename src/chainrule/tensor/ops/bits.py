"""Bitwise operations on integers, and the same signs on bools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DTypeError
from ..value import Tensor, as_tensor, make
from .operands import common

# fmt: off
__all__ = [  # what `chainrule` offers
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor",
]
# fmt: on


def _checked(name: str, sign: str, x: Node, kinds: str = "biu") -> None:
    if x.dtype.kind not in kinds:
        what = "bool and integer" if "b" in kinds else "integer"
        advice = f"; compare first, for example (x > 0) {sign} (y > 0)" if sign in "&|^" else ""
        raise DTypeError(f"{name} is defined for {what} tensors, got {x.dtype}{advice}")


def _xor(a: Node, b: Node) -> Node:
    """The bits in one of them: those in any, less those in both."""
    return g.ne(a, b) if a.dtype.kind == "b" else g.sub(g.or_(a, b), g.and_(a, b))


def _binary(
    name: str, sign: str, build: Callable[[Node, Node], Node], a: Any, b: Any, kinds: str = "biu"
) -> Tensor:
    (x, y), _ = common(name, a, b)
    _checked(name, sign, x, kinds)
    return make(build(x, y))


def bitwise_and(a: Any, b: Any) -> Tensor:
    """a & b, of integers bit by bit, of bools; elementwise.

    >>> import chainrule as cr
    >>> cr.bitwise_and([6, 5], 3)
    tensor([2, 1])
    """
    return _binary("&", "&", g.and_, a, b)


def bitwise_or(a: Any, b: Any) -> Tensor:
    """a | b, of integers bit by bit, of bools; elementwise.

    >>> import chainrule as cr
    >>> cr.bitwise_or([6, 5], 3)
    tensor([7, 7])
    """
    return _binary("|", "|", g.or_, a, b)


def bitwise_xor(a: Any, b: Any) -> Tensor:
    """a ^ b, of integers bit by bit, of bools; elementwise.

    >>> import chainrule as cr
    >>> cr.bitwise_xor([6, 5], 3)
    tensor([5, 6])
    """
    return _binary("^", "^", _xor, a, b)


def bitwise_invert(x: Any) -> Tensor:
    """~x: every bit of an integer turned, not x of a bool; elementwise.

    >>> import chainrule as cr
    >>> cr.bitwise_invert([0, 5]), cr.bitwise_invert([True, False])
    (tensor([-1, -6]), tensor([False,  True]))
    """
    node = as_tensor(x).node
    if node.dtype.kind not in "biu":
        raise DTypeError(
            f"~ is defined for bool and integer tensors, got {node.dtype}; use -x, or compare first"
        )
    if node.dtype == dt.bool_:
        return make(g.not_(node))
    every = -1 if node.dtype.kind == "i" else 2 ** (8 * node.dtype.itemsize) - 1
    return make(g.sub(g.full(node.shape, every, node.dtype), node))


def _width(x: Node) -> int:
    return 8 * x.dtype.itemsize


def _left(a: Node, b: Node) -> Node:
    """a 2ᵇ, which wraps; 0 where all bits leave."""
    return g.mul(a, g.pow(g.full(a.shape, 2, a.dtype), b))


def _right(a: Node, b: Node) -> Node:
    """⌊a / 2ᵇ⌋, in two steps, since 2 to the width of the type does not fit into it."""
    most = _width(a) - (2 if a.dtype.kind == "i" else 1)
    two, limit = g.full(a.shape, 2, a.dtype), g.full(a.shape, most, a.dtype)
    first = g.min(b, limit)
    rest = g.min(g.sub(b, first), g.full(a.shape, 1, a.dtype))
    return g.div(g.div(a, g.pow(two, first)), g.pow(two, rest))


def bitwise_left_shift(a: Any, b: Any) -> Tensor:
    """a << b of integers, elementwise; b is not negative.

    >>> import chainrule as cr
    >>> cr.bitwise_left_shift([1, 3], 2)
    tensor([ 4, 12])
    """
    return _binary("<<", "<<", _left, a, b, kinds="iu")


def bitwise_right_shift(a: Any, b: Any) -> Tensor:
    """a >> b of integers, elementwise: ⌊a / 2ᵇ⌋, with the sign of a; b is not negative.

    >>> import chainrule as cr
    >>> cr.bitwise_right_shift([12, -5], 1)
    tensor([ 6, -3])
    """
    return _binary(">>", ">>", _right, a, b, kinds="iu")
