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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from graph_builder import LIMIT, Builder, Step
from graph_steps import elementwise, leaves, movement, sums
from hypothesis import strategies as st

from chainrule.autodiff.recurrence import loop
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.node import Array, Node, reachable


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
    # A cast keeps float32's rounding.
    single = any(n.dtype == dt.float32 for n in reachable(graph.outputs))
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


def scan(b: Builder) -> None:
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


STEPS: dict[str, Step] = {
    "iota": leaves.iota,
    "constant": leaves.constant,
    "random_bits": leaves.random_bits,
    "fold_in": leaves.fold_in,
    "neg": elementwise.neg,
    "exp": elementwise.monotone("exp", math.exp, steep=True),
    "log": elementwise.monotone("log", math.log, positive=True),
    "log2": elementwise.monotone("log2", math.log2, positive=True),
    "log10": elementwise.monotone("log10", math.log10, positive=True),
    "log1p": elementwise.monotone("log1p", math.log1p, positive=True),
    "expm1": elementwise.monotone("expm1", math.expm1, steep=True),
    "sqrt": elementwise.monotone("sqrt", math.sqrt, positive=True),
    "tanh": elementwise.wave("tanh"),
    "sigmoid": elementwise.wave("sigmoid"),
    "sin": elementwise.wave("sin"),
    "cos": elementwise.wave("cos"),
    "erf": elementwise.wave("erf"),
    "atan": elementwise.monotone("atan", math.atan),
    "abs": elementwise.absolute,
    "sign": elementwise.sign,
    "floor": elementwise.floor,
    "copy": elementwise.copy,
    "not": elementwise.negated,
    "cast": elementwise.cast,
    "add": elementwise.arithmetic("add"),
    "sub": elementwise.arithmetic("sub"),
    "mul": elementwise.arithmetic("mul"),
    "div": elementwise.div,
    "floordiv": elementwise.floordiv,
    "pow": elementwise.pow,
    "max": elementwise.extreme("max"),
    "min": elementwise.extreme("min"),
    "mod": elementwise.mod,
    "eq": elementwise.compare("eq"),
    "ne": elementwise.compare("ne"),
    "lt": elementwise.compare("lt"),
    "le": elementwise.compare("le"),
    "and": elementwise.logic("and"),
    "or": elementwise.logic("or"),
    "where": elementwise.where,
    "reshape": movement.reshape,
    "permute": movement.permute,
    "broadcast": movement.broadcast,
    "slice": movement.sliced,
    "flip": movement.flip,
    "pad": movement.pad,
    "concat": movement.concat,
    "window": movement.window,
    "fold": movement.fold,
    "sum": sums.total,
    "reduce_max": sums.reduce_extreme("reduce_max"),
    "reduce_min": sums.reduce_extreme("reduce_min"),
    "argmax": sums.argmax,
    "dot": sums.dot,
    "conv": sums.conv,
    "solve": sums.matrices("solve"),
    "slogdet": sums.matrices("slogdet"),
    "cholesky": sums.matrices("cholesky"),
    "qr": sums.matrices("qr"),
    "eigh": sums.matrices("eigh"),
    "svd": sums.matrices("svd"),
    "scan": scan,
    "gather": movement.gather,
    "minibatch": movement.minibatch,
    "scatter_add": movement.scatter_add,
    "put": movement.put,
    "shuffle": leaves.shuffle,
    "stop_gradient": leaves.stop_gradient,
    "custom_vjp": leaves.custom_vjp,
}
NOT_SMOOTH = {"stop_gradient"}
