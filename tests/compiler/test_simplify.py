"""Rewrites: each keeps the value and reaches a fixed point."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import assert_close, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.compiler.rewrites.simplify import simplify
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.interpret import evaluate

X = g.input((3, 4), dt.float32, "x")
Y = g.input((4, 3), dt.float32, "y")
S = g.input((), dt.float32, "s")
ROW = g.input((1, 4), dt.float32, "row")


def one(node):
    return simplify([node])[0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (g.neg(g.neg(X)), X),
        (g.mul(X, g.ones_like(X)), X),
        (g.sub(X, g.zeros_like(X)), X),
        (g.div(X, g.full(X.shape, 4.0, dt.float32)), g.mul(X, g.full(X.shape, 0.25, dt.float32))),
        (g.pow(X, g.full(X.shape, 2.0, dt.float32)), g.mul(X, X)),
        (g.stop_gradient(X), X),
        (g.permute(g.permute(X, (1, 0)), (1, 0)), X),
        (g.reshape(g.reshape(X, (12,)), (2, 6)), g.reshape(X, (2, 6))),
        (g.permute(g.dot(X, Y), (1, 0)), g.dot(g.permute(Y, (1, 0)), g.permute(X, (1, 0)))),
        (g.sum(g.reshape(X, (3, 1, 4)), (1,)), X),
        (g.exp(g.expand(S, (3, 4))), g.broadcast(g.exp(g.reshape(S, (1, 1))), (3, 4))),
        (g.where(g.eq(X, X), X, X), X),
    ],
    ids=lambda n: n.op,
)
def test_rule(before, after):
    assert one(before) is one(after)


ROWS = g.exp(g.input((6, 4), dt.float32, "rows"))  # of (2, 3, 4)
CUBE = g.input((2, 3, 4), dt.float32, "cube")
INDEX = g.input((2, 5), dt.int32, "index")


def cube(x):
    return g.reshape(x, (2, 3, *x.shape[1:]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (g.tanh(cube(ROWS)), cube(g.tanh(ROWS))),
        (g.add(cube(ROWS), CUBE), cube(g.add(ROWS, g.reshape(CUBE, (6, 4))))),
        (g.mul(CUBE, cube(ROWS)), cube(g.mul(g.reshape(CUBE, (6, 4)), ROWS))),
        (
            g.add(cube(ROWS), g.expand(g.reshape(ROW, (4,)), (2, 3, 4))),
            cube(g.add(ROWS, g.broadcast(ROW, (6, 4)))),
        ),
        (
            g.mul(cube(ROWS), g.full((2, 3, 4), 3.0, dt.float32)),
            cube(g.mul(ROWS, g.full((6, 4), 3.0, dt.float32))),
        ),
        (g.sum(cube(ROWS), (0, 1)), g.sum(ROWS, (0,))),
        (g.reduce_max(cube(ROWS), (2,)), cube(g.reduce_max(ROWS, (1,)))),
        (
            g.broadcast(g.reshape(g.sum(cube(ROWS), (2,)), (2, 3, 1)), (2, 3, 4)),
            cube(g.broadcast(g.reshape(g.sum(ROWS, (1,)), (6, 1)), (6, 4))),
        ),
        (g.gather(X, INDEX), g.reshape(g.gather(X, g.reshape(INDEX, (10,))), (2, 5, 4))),
    ],
    ids=lambda n: n.op,
)
def test_a_reshape_is_carried_above(before, after):
    assert one(before) is one(after)
    assert one(after).op == "reshape" or one(after).ndim == 1


@pytest.mark.parametrize(
    "node",
    [
        g.add(cube(ROWS), g.permute(g.input((3, 2, 4), dt.float32), (1, 0, 2))),  # needs a copy
        g.sum(cube(ROWS), (0,)),  # a part of the rows
        g.add(cube(ROWS), g.expand(g.input((3, 1), dt.float32), (2, 3, 4))),  # repeated in part
        g.add(g.reshape(X, (3, 2, 2)), g.input((3, 2, 2), dt.float32)),  # of something in memory
    ],
    ids=["permute", "sum", "broadcast", "leaf"],
)
def test_a_reshape_that_must_stay(node):
    assert one(node) is node


def test_zero_times_x_stays():
    """0 * NaN is NaN."""
    product = g.mul(X, g.zeros_like(X))
    assert one(product).op == "mul"


def test_constants_fold():
    assert one(g.exp(g.constant(1.0, dt.float64))).op == "constant"


def test_an_outer_product_is_a_multiplication():
    a, b = g.input((5, 1), dt.float32), g.input((1, 7), dt.float32)
    assert one(g.dot(a, b)).op == "mul"


@settings(max_examples=100)
@given(st.integers(0, 2**31))
def test_value_and_fixed_point(seed):
    graph = random_graph(seed, special=seed % 2 == 0)
    simple = simplify(graph.outputs)
    assert_close(graph, evaluate(simple, graph.values), evaluate(graph.outputs, graph.values))
    assert simplify(simple) == simple


def test_a_long_sum_is_cut_the_same_way_whatever_the_threads():
    x = g.input((100_000,), dt.float32)
    cut = one(g.sum(x, (0,)))
    assert cut.op == "sum" and cut.inputs[0].op == "sum"
    values = {x: np.random.default_rng(0).normal(size=100_000).astype(np.float32)}
    np.testing.assert_allclose(
        evaluate([cut], values)[0], values[x].sum(dtype=np.float64), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("turned", [False, True])
def test_what_repeats_along_a_sum_is_multiplied_behind_it(turned):
    """sum(x c) = sum(x) c, also where another factor stands between"""
    x, y, c = (g.input(shape, np.dtype(np.float32)) for shape in ((4, 6, 3), (4, 6, 3), (3,)))
    wide = g.broadcast(g.reshape(c, (1, 1, 3)), x.shape)
    scaled = g.mul(wide, x) if turned else g.mul(x, wide)
    for product, inner in ((scaled, x), (g.mul(scaled, y), g.mul(x, y))):
        (found,) = simplify([g.sum(product, (0, 1))])
        assert found is g.mul(g.sum(inner, (0, 1)), c)
