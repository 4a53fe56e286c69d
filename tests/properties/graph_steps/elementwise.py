"""Steps element by element."""

from __future__ import annotations

from collections.abc import Callable

from graph_builder import STEEP, WIDE, Builder, Step

from chainrule.core import dtypes as dt
from chainrule.core import graph as op


def monotone(
    name: str, f: Callable[[float], float], steep: bool = False, positive: bool = False
) -> Step:
    """A rising function of one float: its range is that of the ends."""

    def step(b: Builder) -> None:
        x = b.floating()
        x = b.within(x, STEEP) if steep else x
        x = b.positive(x) if positive else x
        low, high = b.range[x]
        b.put(op.apply(name, x), f(low), f(high), False)

    return step


def wave(name: str) -> Step:
    def step(b: Builder) -> None:
        b.put(op.apply(name, b.within(b.floating(), 10)), -1, 1, False)

    return step


def neg(b: Builder) -> None:
    x = b.any("iuf")
    low, high = b.range[x]
    b.put(op.neg(x), -high, -low, x in b.exact)


def absolute(b: Builder) -> None:
    x = b.any("iuf")
    low, high = b.range[x]
    b.put(op.abs(x), 0, max(-low, high), x in b.exact)


def sign(b: Builder) -> None:
    b.put(op.sign(b.any("iuf", exact=True)), -1, 1, True)


def floor(b: Builder) -> None:
    x = b.floating(exact=True)
    b.put(op.floor(x), b.range[x][0] - 1, b.range[x][1], True)


def negated(b: Builder) -> None:
    b.put(op.not_(b.any("b")), 0, 1, True)


def copy(b: Builder) -> None:
    x = b.any()
    b.moved(op.copy(x), x)


def cast(b: Builder) -> None:
    b.as_type(b.any(), b.r.choice(b.dtypes))


def arithmetic(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any("iuf")
        y = b.like(x)
        if x.dtype.kind == "f":
            x, y = b.within(x, WIDE), b.within(y, WIDE)
        (a, c), (d, e) = b.range[x], b.range[y]
        corners = {
            "add": (a + d, c + e),
            "sub": (a - e, c - d),
            "mul": (a * d, a * e, c * d, c * e),
        }[name]
        b.put(op.apply(name, x, y), min(corners), max(corners), False)

    return step


def div(b: Builder) -> None:
    x = b.any("iuf")
    y = b.like(x)
    if x.dtype.kind == "f":
        x, y = b.within(x, WIDE), b.positive(y)
    high = 5 * max(-b.range[x][0], b.range[x][1])
    b.put(op.div(x, y), -high, high, False)


def floordiv(b: Builder) -> None:
    x = b.any("f", exact=True)
    size = b.r.choice((0.7, 1.0, 2.5)) * b.r.choice((-1, 1))
    y = b.put(op.full(x.shape, size, x.dtype), size, size, True)
    high = 2 * max(-b.range[x][0], b.range[x][1]) + 1
    b.put(op.floordiv(x, y), -high, high, False)


def mod(b: Builder) -> None:
    x = b.any("iuf", exact=True)
    y = b.like(x, exact=True)
    if x.dtype.kind == "f":
        size = b.r.choice((0.7, 1.0, 2.5)) * b.r.choice((-1, 1))
        y = b.put(op.full(x.shape, size, x.dtype), size, size, True)
    high = max(-b.range[y][0], b.range[y][1])
    b.put(op.mod(x, y), -high, high, False)


def pow(b: Builder) -> None:
    x = b.positive(b.within(b.floating(), STEEP))
    y = b.within(b.like(x), 2)
    b.put(op.pow(x, y), 0.02, 25, False)


def extreme(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any()
        y = b.like(x)
        b.moved(op.apply(name, x, y), x, y)

    return step


def compare(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any(exact=True)
        b.put(op.apply(name, x, b.like(x, exact=True)), 0, 1, True)

    return step


def logic(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any("b")
        b.put(op.apply(name, x, b.like(x)), 0, 1, True)

    return step


def where(b: Builder) -> None:
    x = b.any()
    y = b.like(x)
    b.moved(op.where(b.like(x, exact=True, dtype=dt.bool_), x, y), x, y)
