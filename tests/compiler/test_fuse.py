"""Which nodes become one kernel: a graph, and its groups."""

from __future__ import annotations

import pytest

from chainrule.compiler.fuse import fuse
from chainrule.compiler.rewrites.legalize import legalize
from chainrule.compiler.rewrites.simplify import simplify
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.signature import Signature

F = dt.float32
X, Y = g.input((64, 32), F, "x"), g.input((64, 32), F, "y")
W, B = g.input((32, 16), F, "w"), g.input((16,), F, "b")
DATA, ROWS = g.input((500, 32), F, "data"), g.input((64,), dt.int64, "rows")


def rows_of(x, n):
    return g.broadcast(g.reshape(x, (x.shape[0], 1)), (x.shape[0], n))


def groups(*roots, state=(), updates=()):
    """The members' names, group by group."""
    given = [n for n in (X, Y, W, B, DATA, ROWS) if n not in state]
    graph = Signature(tuple(given), tuple(state), tuple(updates), roots).rewritten(legalize)
    return [" ".join(m.op for m in group.members) for group in fuse(graph)]


SUM = g.sum(g.exp(X), (1,))


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (g.tanh(g.exp(g.add(X, Y))), ["exp tanh"]),  # cheap and of leaves only: inlined
        (g.div(g.exp(X), rows_of(SUM, 32)), ["exp sum div"]),  # the rows of a softmax
        (g.tanh(g.add(g.dot(X, W), g.expand(B, (64, 16)))), ["dot add tanh"]),
        (g.exp(g.permute(g.tanh(X), (1, 0))), ["tanh exp"]),  # views cost nothing
        (g.dot(g.exp(X), W), ["exp", "dot"]),  # what a contraction reads lies in memory
        (g.exp(g.concat([X, Y], 0)), ["concat", "exp"]),  # a kernel of its own
        (g.dot(g.gather(DATA, ROWS), W), ["dot"]),  # rows are read where they lie
        (g.exp(g.flip(g.exp(X), (0,))), ["exp", "exp"]),  # not row by row
    ],
    ids=lambda v: v.op if hasattr(v, "op") else None,
)
def test_groups_of_a_graph(root, expected):
    assert groups(root) == expected


def test_an_update_joins_the_contraction_that_makes_its_gradient():
    slope = g.dot(g.permute(X, (1, 0)), g.tanh(g.dot(Y, W)))
    new = g.sub(W, g.mul(slope, g.full(W.shape, 0.1, F)))
    assert groups(state=(W,), updates=(new,)) == ["dot tanh", "dot mul sub"]


def test_a_formula_of_leaves_only_is_computed_by_each_that_reads_it():
    mask = g.cast(g.lt(X, Y), F)
    found = groups(g.dot(g.mul(X, mask), W), g.sum(g.mul(Y, mask), (0, 1)))
    assert not any("lt" in names.split() for names in found)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (16, [(16, 16), (16,), (16, 64, 32, 16)]),
        (256, [(256,)]),
    ],
)
def test_normalizing_few_channels_is_shared_by_rows(channels, expected):
    """A thread has the only vector of 16 channels: positions are summed image by image first, and
    what follows is another kernel."""
    x = g.input((16, 64, 32, channels), F)
    mean = g.mul(g.sum(x, (0, 1, 2)), g.full((channels,), 1 / 32768, F))
    centred = g.tanh(g.sub(x, g.expand(mean, x.shape)))
    graph = Signature((x,), (), (), (centred,)).rewritten(simplify).rewritten(legalize)
    assert [group.frame for group in fuse(graph)] == expected
