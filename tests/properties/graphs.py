"""Random graphs over all primitives, with values for their inputs.

    graph = random_graph(np.random.default_rng(7))        # ~1 ms; for bulk runs
    @given(graphs(smooth=True))                           # the same, for hypothesis

Two ways to compute a graph may round differently, so values are kept tame: a range is tracked for
every node and squashed before a steep function, and steps (floor, comparisons, argmax, casts to
integers) are only applied to nodes whose value is exact: inputs, movements of them, integers,
maxima. Two right answers then differ by rounding only; `assert_close` knows how much to allow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from chainrule.autodiff.recurrence import loop
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.node import Array, Node, Shape, reachable
from chainrule.core.primitives.convolution import output_size

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
LIMIT = 700  # elements of a node
STEEP = 3.0  # the largest argument of exp and pow
WIDE = 100.0  # what grows beyond is squashed before it grows again
INFINITE = 1e30  # the range of integers that may have wrapped around


@dataclass
class Graph:
    """Outputs, and an array for every input node."""

    outputs: list[Node]
    values: dict[Node, Array]
    seed: int

    def __repr__(self) -> str:
        from chainrule.core.show import show

        return f"random graph of seed {self.seed}\n{show(self.outputs, lines=False)}"


def random_graph(
    rng: np.random.Generator | int,
    *,
    steps: int = 12,
    dtypes: Sequence[DType] = dt.ALL,
    smooth: bool = False,
    special: bool = False,
    only: Sequence[str] | None = None,
    outputs: int = 4,
) -> Graph:
    """A graph of about ``steps`` random primitives (and the casts and broadcasts they need).

    smooth    float64, and gradients equal to finite differences (no stop_gradient)
    special   some elements of the float inputs are NaN, infinities, zeros of both signs, denormals
    only      names of the steps to draw from (keys of `STEPS`)
    """
    seed = int(rng) if isinstance(rng, int) else int(rng.integers(2**62))
    b = Builder(random.Random(seed), (dt.float64,) if smooth else tuple(dtypes), smooth, special)
    for _ in range(b.r.randint(1, 3)):
        b.input(b.shape(), b.r.choice(b.dtypes))
    names = [n for n in (only or STEPS) if not (smooth and n in NOT_SMOOTH)]
    for _ in range(b.r.randint(1, steps)):
        STEPS[b.r.choice(names)](b)
    used = {i for node in b.pool for i in node.inputs}
    sinks = [n for n in b.pool if n not in used and n not in b.values]
    wanted = sinks[-outputs:] or b.pool[-1:]
    if smooth:
        wanted = [n for n in wanted if n.dtype == dt.float64] or [b.floating()]
    return Graph(wanted, b.values, seed)


def graphs(**options: object) -> st.SearchStrategy[Graph]:
    """`random_graph` for hypothesis: it shrinks to fewer steps."""
    most = int(options.pop("steps", 12))  # type: ignore[call-overload]
    return st.builds(
        lambda seed, steps: random_graph(seed, steps=steps, **options),  # type: ignore[arg-type]
        st.integers(0, 2**32 - 1),
        st.integers(1, most),
    )


def assert_close(
    graph: Graph, actual: Sequence[Array], expected: Sequence[Array], factor: float = 1.0
) -> None:
    """Floats equal up to rounding, NaN and infinities in the same places; others exactly."""
    single = any(
        n.dtype == dt.float32 for n in reachable(graph.outputs)
    )  # a cast keeps float32's rounding
    try:
        for y, a, e in zip(graph.outputs, actual, expected, strict=True):
            assert a.shape == e.shape == y.shape and a.dtype == e.dtype == y.dtype, (
                y,
                a.shape,
                a.dtype,
            )
            if y.dtype.kind != "f":
                np.testing.assert_array_equal(a, e)
                continue
            finite = np.abs(e[np.isfinite(e)])
            eps = (2e-4 if single else 1e-10) * factor
            scale = max(1.0, float(finite.max())) if finite.size else 1.0
            np.testing.assert_allclose(a, e, rtol=eps, atol=eps * scale, equal_nan=True)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{graph}") from None


# -- the builder -----------------------------------------------------------------------------------
@dataclass
class Builder:
    """The nodes so far, with what is known of their values."""

    r: random.Random
    dtypes: tuple[DType, ...]
    smooth: bool
    special: bool
    pool: list[Node] = field(default_factory=list)
    values: dict[Node, Array] = field(default_factory=dict)
    range: dict[Node, tuple[float, float]] = field(default_factory=dict)
    exact: set[Node] = field(default_factory=set)

    # making nodes
    def put(self, node: Node, low: float, high: float, exact: bool) -> Node:
        """Enter a node: its values lie in [low, high]; exact if no rounding entered them."""
        if node.dtype.kind in "iu":
            info = np.iinfo(node.dtype)
            exact = True
            if low < info.min or high > info.max:
                low, high = -INFINITE, INFINITE
        if node not in self.range:
            self.pool.append(node)
            self.range[node] = (low, high)
            if exact:
                self.exact.add(node)
        return node

    def moved(self, node: Node, *origins: Node, zeros: bool = False) -> Node:
        """Enter a node whose elements are elements of ``origins`` (or zeros)."""
        ranges = [self.range[x] for x in origins] + ([(0.0, 0.0)] if zeros else [])
        low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
        return self.put(node, low, high, all(x in self.exact for x in origins))

    def shape(self, most: int = 4) -> Shape:
        shape: list[int] = []
        for _ in range(self.r.choice((0, 1, 1, 2, 2, 2, 3, 3, 4)[: 2 * most])):
            n = 0 if self.r.random() < 0.01 else self.r.choice(SIZES)
            shape.append(n if math.prod(shape) * n <= LIMIT else 1)
        return tuple(shape)

    def input(self, shape: Shape, dtype: DType) -> Node:
        node = op.input(shape, dtype)
        rng = np.random.default_rng(self.r.getrandbits(32))
        low, high = -2.0, 2.0
        if dtype.kind == "f":
            value = rng.uniform(-2, 2, shape).astype(dtype)
            if self.special and self.r.random() < 0.7:
                odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-310], shape)
                value = np.where(rng.random(shape) < 0.2, odd, value).astype(dtype)
        elif dtype.kind == "b":
            value, low, high = rng.random(shape) < 0.5, 0.0, 1.0
        else:
            low, high = (0.0, 12.0) if dtype.kind == "u" else (-12.0, 12.0)
            value = rng.integers(int(low), int(high), shape, endpoint=True).astype(dtype)
        self.values[node] = np.asarray(value)
        return self.put(node, low, high, True)

    # choosing operands
    def any(self, kinds: str = "biuf", exact: bool = False, rank: int = 0) -> Node:
        """A node from the pool (late ones more often), or a new input if none fits."""
        fitting = [
            x
            for x in self.pool
            if x.dtype.kind in kinds and x.ndim >= rank and (not exact or x in self.exact)
        ]
        if fitting and self.r.random() < 0.95:
            return fitting[-1 - int(len(fitting) * self.r.random() ** 3)]
        shape = self.shape()
        shape += tuple(self.r.choice((1, 2, 3, 5)) for _ in range(rank - len(shape)))
        allowed = [d for d in self.dtypes if d.kind in kinds] or [
            d for d in dt.ALL if d.kind in kinds
        ]
        return self.input(shape, self.r.choice(allowed))

    def floating(self, exact: bool = False, rank: int = 0) -> Node:
        return self.any("f", exact, rank)

    def like(self, x: Node, exact: bool = False, dtype: DType | None = None) -> Node:
        """Another operand of x's shape: from the pool, or something broadcast."""
        dtype = dtype or x.dtype
        roll = self.r.random()
        if roll < 0.5:
            same = [y for y in self.pool if y.shape == x.shape and (not exact or y in self.exact)]
            same = [y for y in same if y.dtype == dtype] or ([] if exact else same)
            if same:
                return self.as_type(self.r.choice(same), dtype)
        if roll < 0.75:
            number = self.r.choice(
                (-1.5, -1, -0.5, 0, 0.5, 1, 2) if dtype.kind == "f" else (0, 1, 2, 3)
            )
            return self.put(op.full(x.shape, number, dtype), float(number), float(number), True)
        shape = [1 if self.r.random() < 0.4 else n for n in x.shape]
        while shape and shape[0] == 1 and self.r.random() < 0.5:
            shape.pop(0)
        y = self.input(tuple(shape), dtype)
        return self.moved(op.expand(y, x.shape), y)

    def as_type(self, x: Node, dtype: DType) -> Node:
        """x cast to ``dtype``; integers that may be large are clamped before they become floats."""
        if x.dtype == dtype:
            return x
        if x.dtype.kind == "f" and dtype.kind != "f" and x not in self.exact:
            fresh = self.input(x.shape, dtype)
            return fresh
        if dtype.kind == "f" and x.dtype.kind in "iu":
            x = self.clamped(x, 0 if x.dtype.kind == "u" else -8, 8)
        low, high = self.range[x]
        if dtype.kind == "b":
            low, high = 0, 1
        if dtype.kind == "u" and low < 0:
            low, high = -INFINITE, INFINITE
        return self.put(op.cast(x, dtype), low, high, x in self.exact)

    def clamped(self, x: Node, low: int, high: int) -> Node:
        a, b = self.range[x]
        if low <= a and b <= high:
            return x
        above = op.max(x, op.full(x.shape, low, x.dtype))
        return self.put(op.min(above, op.full(x.shape, high, x.dtype)), low, high, x in self.exact)

    # keeping values tame
    def within(self, x: Node, limit: float) -> Node:
        """x if |x| <= limit, else tanh x."""
        low, high = self.range[x]
        if max(-low, high) <= limit:
            return x
        return self.put(op.tanh(x), -1, 1, False)

    def positive(self, x: Node) -> Node:
        """x if it stays away from 0, else |x| + 1/2."""
        low, high = self.range[x]
        if low >= 0.2:
            return x
        size = op.add(op.abs(x), op.full(x.shape, 0.5, x.dtype))
        return self.put(size, 0.5, max(-low, high) + 0.5, False)

    def axes(self, x: Node, nonempty: bool = False) -> tuple[int, ...]:
        all_ = [i for i in range(x.ndim) if not (nonempty and x.shape[i] == 0)]
        return tuple(sorted(self.r.sample(all_, self.r.randint(1, len(all_))))) if all_ else ()


Step = Callable[[Builder], object]


# -- elementwise -----------------------------------------------------------------------------------
def _monotone(
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


def _wave(name: str) -> Step:
    def step(b: Builder) -> None:
        b.put(op.apply(name, b.within(b.floating(), 10)), -1, 1, False)

    return step


def _neg(b: Builder) -> None:
    x = b.any("iuf")
    low, high = b.range[x]
    b.put(op.neg(x), -high, -low, x in b.exact)


def _abs(b: Builder) -> None:
    x = b.any("iuf")
    low, high = b.range[x]
    b.put(op.abs(x), 0, max(-low, high), x in b.exact)


def _sign(b: Builder) -> None:
    b.put(op.sign(b.any("iuf", exact=True)), -1, 1, True)


def _floor(b: Builder) -> None:
    x = b.floating(exact=True)
    b.put(op.floor(x), b.range[x][0] - 1, b.range[x][1], True)


def _not(b: Builder) -> None:
    b.put(op.not_(b.any("b")), 0, 1, True)


def _copy(b: Builder) -> None:
    x = b.any()
    b.moved(op.copy(x), x)


def _cast(b: Builder) -> None:
    b.as_type(b.any(), b.r.choice(b.dtypes))


def _arithmetic(name: str) -> Step:
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


def _div(b: Builder) -> None:
    x = b.any("iuf")
    y = b.like(x)
    if x.dtype.kind == "f":
        x, y = b.within(x, WIDE), b.positive(y)
    high = 5 * max(-b.range[x][0], b.range[x][1])
    b.put(op.div(x, y), -high, high, False)


def _floordiv(b: Builder) -> None:
    x = b.any("f", exact=True)
    size = b.r.choice((0.7, 1.0, 2.5)) * b.r.choice((-1, 1))
    y = b.put(op.full(x.shape, size, x.dtype), size, size, True)
    high = 2 * max(-b.range[x][0], b.range[x][1]) + 1
    b.put(op.floordiv(x, y), -high, high, False)


def _mod(b: Builder) -> None:
    x = b.any("iuf", exact=True)
    y = b.like(x, exact=True)
    if x.dtype.kind == "f":
        size = b.r.choice((0.7, 1.0, 2.5)) * b.r.choice((-1, 1))
        y = b.put(op.full(x.shape, size, x.dtype), size, size, True)
    high = max(-b.range[y][0], b.range[y][1])
    b.put(op.mod(x, y), -high, high, False)


def _pow(b: Builder) -> None:
    x = b.positive(b.within(b.floating(), STEEP))
    y = b.within(b.like(x), 2)
    b.put(op.pow(x, y), 0.02, 25, False)


def _extreme(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any()
        y = b.like(x)
        b.moved(op.apply(name, x, y), x, y)

    return step


def _compare(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any(exact=True)
        b.put(op.apply(name, x, b.like(x, exact=True)), 0, 1, True)

    return step


def _logic(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any("b")
        b.put(op.apply(name, x, b.like(x)), 0, 1, True)

    return step


def _where(b: Builder) -> None:
    x = b.any()
    y = b.like(x)
    b.moved(op.where(b.like(x, exact=True, dtype=dt.bool_), x, y), x, y)


# -- movement --------------------------------------------------------------------------------------
def _reshape(b: Builder) -> None:
    x = b.any()
    rest, shape = x.size, []
    while rest > 1 and len(shape) < 4:
        divisors = [n for n in range(2, min(rest, 40) + 1) if rest % n == 0] or [rest]
        shape.append(b.r.choice(divisors))
        rest //= shape[-1]
    if rest > 1:
        shape[-1] *= rest
    if x.size == 0:
        shape = [0, *shape]
    if b.r.random() < 0.3 and len(shape) < 5:
        shape.insert(b.r.randint(0, len(shape)), 1)
    b.moved(op.reshape(x, shape), x)


def _permute(b: Builder) -> None:
    x = b.any(rank=2)
    b.moved(op.permute(x, b.r.sample(range(x.ndim), x.ndim)), x)


def _broadcast(b: Builder) -> None:
    x = b.any()
    shape = [b.r.choice((1, 2, 3, 5)) if n == 1 and b.r.random() < 0.7 else n for n in x.shape]
    if b.r.random() < 0.4 and x.ndim < 5:
        shape.insert(0, b.r.choice((1, 2, 3)))
    if math.prod(shape) <= LIMIT:
        b.moved(op.expand(x, shape), x)


def _slice(b: Builder) -> None:
    x = b.any(rank=1)
    starts, stops, steps = [], [], []
    for n in x.shape:
        start = b.r.randint(0, n) if b.r.random() < 0.05 else b.r.randint(0, n // 2)
        starts.append(start)
        stops.append(b.r.randint(min(start + 1, n), n))
        steps.append(b.r.choice((1, 1, 2, 3)))
    b.moved(op.slice(x, starts, stops, steps), x)


def _flip(b: Builder) -> None:
    x = b.any(rank=1)
    b.moved(op.flip(x, b.axes(x)), x)


def _pad(b: Builder) -> None:
    x = b.any(rank=1)
    low, high = ([b.r.choice((0, 0, 1, 3)) for _ in x.shape] for _ in range(2))
    if math.prod(n + i + j for n, i, j in zip(x.shape, low, high, strict=True)) > LIMIT:
        return
    value = b.r.choice((0, 0, 1))
    node = op.pad(x, low, high, value)
    first, last = b.range[x]
    b.put(node, min(first, value), max(last, value), x in b.exact)


def _window_over(b: Builder, shape: Shape) -> tuple[tuple[int, ...], ...]:
    """Axes, sizes, strides and dilations of windows that fit."""
    axes = [a for a in range(len(shape)) if shape[a] and b.r.random() < 0.6]
    sizes, strides, dilation = [], [], []
    for a in axes:
        sizes.append(b.r.choice([k for k in (1, 2, 2, 3, 4) if k <= shape[a]]))
        most = (shape[a] - 1) // max(sizes[-1] - 1, 1)
        dilation.append(b.r.randint(1, max(min(most, 3), 1)) if b.r.random() < 0.3 else 1)
        strides.append(sizes[-1] if b.r.random() < 0.4 else b.r.choice((1, 1, 2, 3)))
    return tuple(axes), tuple(sizes), tuple(strides), tuple(dilation)


def _window(b: Builder) -> None:
    x = b.any(rank=1)
    given = _window_over(b, x.shape)
    if x.ndim + len(given[0]) <= 6:
        node = op.window(x, *given)
        if node.size <= LIMIT:
            b.moved(node, x)


def _fold(b: Builder) -> None:
    shape = b.shape() or (5,)
    given = _window_over(b, shape)
    wanted = op.window(op.input(shape, dt.bool_), *given).shape
    if math.prod(wanted) > LIMIT or len(wanted) > 6:
        return
    fitting = [x for x in b.pool if x.dtype.kind in "iuf" and x.size == math.prod(wanted)]
    dtype = b.r.choice([d for d in b.dtypes if d.kind in "iuf"] or [dt.float64])
    y = b.r.choice(fitting) if fitting else b.input(wanted, dtype)
    y = b.moved(op.reshape(b.within(y, WIDE) if y.dtype.kind == "f" else y, wanted), y)
    count = math.prod(given[1])
    low, high = b.range[y]
    b.put(op.fold(y, shape, *given), min(0, count * low), max(0, count * high), False)


def _concat(b: Builder) -> None:
    x = b.any(rank=1)
    others = [b.like(x) for _ in range(b.r.randint(1, 3))]
    axis = b.r.randrange(x.ndim)
    if b.r.random() < 0.5:  # one of another length
        shape = (*x.shape[:axis], b.r.choice((0, 1, 2, 5)), *x.shape[axis + 1 :])
        others.insert(b.r.randint(0, 1), b.input(shape, x.dtype))
    if (len(others) + 5) * max(x.size, 1) <= 5 * LIMIT:
        b.moved(op.concat([x, *others], axis), x, *others)


# -- reduce, contract, index, leaves ---------------------------------------------------------------
def _sum(b: Builder) -> None:
    x = b.any("iuf")
    x = b.within(x, WIDE) if x.dtype.kind == "f" else x
    axes = b.axes(x)
    n = math.prod(x.shape[a] for a in axes)
    low, high = b.range[x]
    b.put(op.sum(x, axes), min(0, n * low), max(0, n * high), x in b.exact and not axes)


def _reduce_extreme(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any()
        axes = b.axes(x, nonempty=True)
        if axes:
            b.moved(op.apply(name, x, axes=axes), x)

    return step


def _argmax(b: Builder) -> None:
    x = b.any("iuf", exact=True, rank=1)
    axis = b.r.randrange(x.ndim)
    if x.shape[axis]:
        b.put(op.argmax(x, axis), 0, x.shape[axis] - 1, True)


def _dot(b: Builder) -> None:
    x = b.any("iuf", rank=2)
    x = b.within(x, 10) if x.dtype.kind == "f" else x
    *batch, m, k = x.shape
    if b.r.random() < 0.2:
        y = op.permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])
        y = b.moved(y, x)
    else:
        n = b.r.choice(SIZES) if math.prod(batch) * m * 33 <= 4 * LIMIT else 1
        y = b.input((*batch, k, n), x.dtype)
    if m * y.shape[-1] * math.prod(batch) > 4 * LIMIT:
        return
    high = k * max(-b.range[x][0], b.range[x][1]) * max(-b.range[y][0], b.range[y][1])
    b.put(op.dot(x, y), -high, high, False)


def _conv(b: Builder) -> None:
    """A convolution of any rank up to 2, of what is there or of a new image."""
    x = b.any("iuf", rank=2)
    x = b.within(x, 10) if x.dtype.kind == "f" else x
    n, *sizes, channels = x.shape
    sizes = sizes[:2] if math.prod(sizes[2:]) == 1 else [math.prod(sizes)]
    groups = b.r.choice([g for g in (1, 1, 1, 2, 3) if channels % g == 0])
    if b.r.random() < 0.2:
        groups = channels
    if 0 in x.shape[1:]:
        return
    image = b.moved(op.reshape(x, (n, *sizes, groups, channels // groups)), x)
    low, high, strides, hole, dilation, taps = ([] for _ in range(6))
    for size in sizes:
        taps.append(b.r.choice((1, 2, 3, 5)))
        plain = b.r.random() < 0.6
        strides.append(1 if plain else b.r.choice((1, 2, 3)))
        hole.append(1 if plain else b.r.choice((1, 1, 2, 3)))
        dilation.append(1 if plain else b.r.choice((1, 1, 2)))
        low.append(b.r.choice((0, 0, 1, 2, -1)))
        missing = (taps[-1] - 1) * dilation[-1] + 1 - low[-1] - (size - 1) * hole[-1] - 1
        high.append(max(b.r.choice((0, 0, 1, 3, -1)), missing))
    outputs = b.r.choice(SIZES)
    w = b.input((*taps, channels // groups, groups, outputs), x.dtype)
    if op_size(image, w, strides, low, high, hole, dilation) > 4 * LIMIT or w.size > 4 * LIMIT:
        return
    count = math.prod(taps) * (channels // groups)
    most = count * max(map(abs, b.range[image])) * max(map(abs, b.range[w]))
    b.put(op.conv(image, w, strides, low, high, hole, dilation), -most, most, False)


def _matrices(name: str) -> Step:
    """Of matrices whose eigenvalues lie apart from each other and from zero: 6, 12, … and a matrix
    of numbers up to 1/2. Vectors are squared, as their sign is free."""

    def step(b: Builder) -> None:
        if b.special:  # LAPACK says nothing of what comes of NaN
            return
        x = b.within(b.floating(rank=2), 1)
        n = min(*x.shape[-2:], 5)
        if n == 0:
            return
        x = op.slice(x, [0] * x.ndim, [*x.shape[:-2], n, n], [1] * x.ndim)
        if name in ("cholesky", "eigh"):
            axes = [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]
            x = op.mul(op.add(x, op.permute(x, axes)), op.full(x.shape, 0.5, x.dtype))
        apart = op.expand(op.constant(np.diag(np.arange(6, 6 * n + 1, 6)), x.dtype), x.shape)
        x = op.add(op.mul(x, op.full(x.shape, 0.5, x.dtype)), apart)
        if name == "solve":
            right = b.like(x)
            b.put(op.solve(x, right), *(edge / 3 for edge in _around(b, right)), False)
        elif name == "slogdet":
            b.put(op.slogdet(x), -1, 4 * n, False)
        elif name == "cholesky":
            b.put(op.cholesky(x), -6, 6, False)
        elif name == "qr":
            b.put(op.qr(x), -1, 1, False)
        else:
            y = op.eigh(x) if name == "eigh" else op.svd(x)
            b.put(op.mul(y, y), 0, 1200, False)

    return step


def _around(b: Builder, x: Node) -> tuple[float, float]:
    most = max(map(abs, b.range[x]))
    return -most, most


def op_size(x: Node, w: Node, *params: Sequence[int]) -> int:
    """Elements of a convolution that need not be made for it."""
    sizes = map(output_size, x.shape[1:-2], w.shape[:-3], *params)
    return math.prod((x.shape[0], *sizes, *w.shape[-2:]))


def _scan(b: Builder) -> None:
    """A loop whose step is a few random primitives of carries, rows and values that stay."""
    first = [x for x in (b.any() for _ in range(b.r.randint(1, 2))) if x.size <= 120]
    rows = [x for x in (b.any(rank=1) for _ in range(b.r.randint(0, 2))) if x.size <= LIMIT]
    if not first:
        return
    length = rows[0].shape[0] if rows else b.r.choice((0, 1, 2, 5))
    rows = [x for x in rows if x.shape[0] == length]
    inside = Builder(b.r, b.dtypes, b.smooth, b.special, values=b.values)
    carries, stacked = [], []
    for x in first:
        carries.append(op.input(x.shape, x.dtype))
        low, high = b.range[x]
        bound = 1 if x.dtype.kind == "f" else 8
        exact = x in b.exact and x.dtype.kind != "f"
        inside.put(carries[-1], min(low, -bound), max(high, bound), exact)
    for x in rows:
        stacked.append(op.input(x.shape[1:], x.dtype))
        inside.put(stacked[-1], *b.range[x], x in b.exact)
    for x in b.pool[-2:]:
        inside.put(x, *b.range[x], x in b.exact)
    names = [
        n for n in STEPS if n not in ("scan", "custom_vjp") and not (b.smooth and n in NOT_SMOOTH)
    ]
    for _ in range(b.r.randint(1, 4)):
        STEPS[b.r.choice(names)](inside)
    updates = [_next_carry(inside, p) for p in carries]
    results = [b.r.choice(inside.pool) for _ in range(b.r.randint(1, 2))]
    results = [y for y in dict.fromkeys(results) if y.size * length <= 2 * LIMIT]
    options = {"reverse": b.r.random() < 0.4, "save": b.r.choice(("needed", "needed", "carry"))}
    found = loop(carries, stacked, updates, results, first, rows, length=length, **options)
    for y, p in zip(found.carries, carries, strict=True):
        b.put(y, *inside.range[p], p in inside.exact)
    for y, inner in zip(found.stacked, results, strict=True):
        b.put(y, *inside.range[inner], inner in inside.exact)


def _next_carry(b: Builder, carry: Node) -> Node:
    """Something of the carry's shape and dtype that stays in its range."""
    same = [x for x in b.pool if x.shape == carry.shape and x.dtype == carry.dtype]
    x = b.r.choice(same)
    if x.dtype.kind == "f":
        return op.tanh(op.add(x, b.like(x) if b.r.random() < 0.5 else carry))
    if x.dtype.kind == "b":
        return x
    below = op.min(x, op.full(x.shape, 8, x.dtype))
    return op.max(below, op.full(x.shape, 0, x.dtype))


def _minibatch(b: Builder) -> None:
    """Rows of a matrix as an operand of a contraction, on either side, also transposed."""
    dtype = b.r.choice([d for d in b.dtypes if d.kind in "iuf"])
    n, size, rows, other = (b.r.choice(SIZES) for _ in range(4))
    x = b.input((n, size), dtype)
    index = b.input((rows,), b.r.choice([d for d in b.dtypes if d.kind in "iu"] or [dt.int32]))
    if b.r.random() < 0.3:
        index = op.flip(index, (0,)) if b.r.random() < 0.5 else _repeated(index)
    taken = b.moved(op.gather(x, index), x)
    turned = b.r.random() < 0.5
    operand = op.permute(taken, (1, 0)) if turned else taken
    left = b.r.random() < 0.5
    inner = operand.shape[1 if left else 0]
    if rows * other > LIMIT or operand.size // max(inner, 1) * other > LIMIT:
        return
    y = b.input((inner, other) if left else (other, inner), dtype)
    high = inner * max(map(abs, b.range[taken])) * max(map(abs, b.range[y]))
    b.put(op.dot(operand, y) if left else op.dot(y, operand), -high, high, False)


def _repeated(x: Node) -> Node:
    """The first element in every place."""
    first = op.slice(x, (0,), (1,), (1,))
    return op.broadcast(first, x.shape)


def _index(b: Builder, n: int) -> Node:
    """Indices, mostly inside range(n)."""
    fitting = [i for i in b.pool if i.dtype.kind in "iu" and i.size <= 40]
    if fitting and b.r.random() < 0.5:
        return b.r.choice(fitting)
    shape = tuple(b.r.choice((1, 2, 3, 5)) for _ in range(b.r.randint(0, 2)))
    integers = [d for d in b.dtypes if d.kind in "iu"] or [dt.int32]
    return b.input(shape, b.r.choice(integers))


def _gather(b: Builder) -> None:
    x = b.any(rank=1)
    index = _index(b, x.shape[0])
    if x.shape[0] and index.size * x.size // x.shape[0] <= LIMIT:
        b.moved(op.gather(x, index), x)


def _scatter_add(b: Builder) -> None:
    x = b.any("iuf", rank=1)
    index = _index(b, x.shape[0])
    if x.shape[0] and index.size * x.size // x.shape[0] <= LIMIT:
        updates = b.input(index.shape + x.shape[1:], x.dtype)
        low, high = b.range[x]
        most = 12 * (index.size + 1)
        b.put(op.scatter_add(x, index, updates), low - most, high + most, False)


def _put(b: Builder) -> None:
    x = b.any("biuf", rank=1)
    if x.shape[0]:
        index = op.input((), b.r.choice([dt.int32, dt.int64, dt.uint32]))
        number = b.r.randrange(0 if index.dtype.kind == "u" else -1, x.shape[0] + 1)
        b.values[index] = np.array(number, index.dtype)
        value = b.input(x.shape[1:], x.dtype)
        (low, high), (least, most) = b.range[x], b.range[value]
        b.put(op.put(x, index, value), min(low, least), max(high, most), False)


def _key(b: Builder) -> Node:
    if b.r.random() < 0.5:
        return op.constant([b.r.getrandbits(32), b.r.getrandbits(32)], dt.uint32)
    node = op.input((2,), dt.uint32)
    b.values[node] = np.array([b.r.getrandbits(32), b.r.getrandbits(32)], np.uint32)
    return node


def _random_bits(b: Builder) -> None:
    b.put(op.random_bits(_key(b), b.shape(2)), 0, 2.0**32 - 1, True)


def _fold_in(b: Builder) -> None:
    count = op.constant(b.r.randint(0, 5), dt.uint32)
    b.put(op.random_bits(op.fold_in(_key(b), count), b.shape(2)), 0, 2.0**32 - 1, True)


def _shuffle(b: Builder) -> None:
    n = b.r.choice((1, 2, 7, 30))
    position = op.iota((n,), 0, dt.uint32)
    b.put(op.shuffle(position, _key(b), n=n), 0, n - 1, True)


def _iota(b: Builder) -> None:
    shape = b.shape() or (3,)
    axis = b.r.randrange(len(shape))
    dtype = b.r.choice([d for d in b.dtypes if d.kind != "b"] or [dt.int64])
    b.put(op.iota(shape, axis, dtype), 0, max(shape[axis] - 1, 0), True)


def _constant(b: Builder) -> None:
    shape = b.shape(2)
    dtype = b.r.choice([d for d in b.dtypes if d.kind != "b"] or [dt.int64])
    value = [b.r.uniform(0, 2) for _ in range(math.prod(shape))]
    b.put(op.constant(np.reshape(value, shape), dtype), 0, 2, True)


def _stop_gradient(b: Builder) -> None:
    x = b.any()
    b.moved(op.stop_gradient(x), x)


def sine_rule(g: Node, y: Node, x: Node) -> list[Node | None]:
    """The gradient of a custom sin."""
    return [op.mul(g, op.cos(x))]


def _custom_vjp(b: Builder) -> None:
    x = b.within(b.floating(), 10)
    b.put(op.custom_vjp(op.sin(x), [x], sine_rule), -1, 1, False)


STEPS: dict[str, Step] = {
    "iota": _iota,
    "constant": _constant,
    "random_bits": _random_bits,
    "fold_in": _fold_in,
    "neg": _neg,
    "exp": _monotone("exp", math.exp, steep=True),
    "log": _monotone("log", math.log, positive=True),
    "log2": _monotone("log2", math.log2, positive=True),
    "log10": _monotone("log10", math.log10, positive=True),
    "log1p": _monotone("log1p", math.log1p, positive=True),
    "expm1": _monotone("expm1", math.expm1, steep=True),
    "sqrt": _monotone("sqrt", math.sqrt, positive=True),
    "tanh": _wave("tanh"),
    "sigmoid": _wave("sigmoid"),
    "sin": _wave("sin"),
    "cos": _wave("cos"),
    "erf": _wave("erf"),
    "atan": _monotone("atan", math.atan),
    "abs": _abs,
    "sign": _sign,
    "floor": _floor,
    "copy": _copy,
    "not": _not,
    "cast": _cast,
    "add": _arithmetic("add"),
    "sub": _arithmetic("sub"),
    "mul": _arithmetic("mul"),
    "div": _div,
    "floordiv": _floordiv,
    "pow": _pow,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "mod": _mod,
    "eq": _compare("eq"),
    "ne": _compare("ne"),
    "lt": _compare("lt"),
    "le": _compare("le"),
    "and": _logic("and"),
    "or": _logic("or"),
    "where": _where,
    "reshape": _reshape,
    "permute": _permute,
    "broadcast": _broadcast,
    "slice": _slice,
    "flip": _flip,
    "pad": _pad,
    "concat": _concat,
    "window": _window,
    "fold": _fold,
    "sum": _sum,
    "reduce_max": _reduce_extreme("reduce_max"),
    "reduce_min": _reduce_extreme("reduce_min"),
    "argmax": _argmax,
    "dot": _dot,
    "conv": _conv,
    "solve": _matrices("solve"),
    "slogdet": _matrices("slogdet"),
    "cholesky": _matrices("cholesky"),
    "qr": _matrices("qr"),
    "eigh": _matrices("eigh"),
    "svd": _matrices("svd"),
    "scan": _scan,
    "gather": _gather,
    "minibatch": _minibatch,
    "scatter_add": _scatter_add,
    "put": _put,
    "shuffle": _shuffle,
    "stop_gradient": _stop_gradient,
    "custom_vjp": _custom_vjp,
}
NOT_SMOOTH = {"stop_gradient"}
