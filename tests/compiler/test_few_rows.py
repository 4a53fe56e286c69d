"""Products with rows that repeat: once for each row of the table."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler.rewrites.simplify import simplify
from chainrule.core import graph as g
from chainrule.core.node import Node, reachable
from chainrule.core.signature import Signature

F32, I32 = np.dtype(np.float32), np.dtype(np.int32)


def table(rows: int = 5, columns: int = 64) -> Node:
    return g.input((rows, columns), F32)


def taken(e: Node, count: int = 12) -> tuple[Node, Node]:
    index = g.input((count,), I32)
    return g.gather(e, index), index


def forward(e: Node) -> Node:
    return g.dot(taken(e)[0], g.input((e.shape[1], 7), F32))


def forward_of_sequences(e: Node) -> Node:
    rows = g.gather(e, g.input((3, 4), I32))
    return g.dot(g.reshape(rows, (12, e.shape[1])), g.input((e.shape[1], 7), F32))


def weights(e: Node) -> Node:
    return g.dot(g.permute(g.input((12, 7), F32), (1, 0)), taken(e)[0])


def weights_transposed(e: Node) -> Node:
    return g.dot(g.permute(taken(e)[0], (1, 0)), g.input((12, 7), F32))


def rows(e: Node) -> Node:
    product = g.dot(g.input((12, 7), F32), g.input((7, e.shape[1]), F32))
    return g.scatter_add(e, taken(e)[1], product)


def steps_first(e: Node) -> Node:
    taken = g.permute(g.gather(e, g.input((3, 4), I32)), (1, 0, 2))
    return g.dot(g.reshape(taken, (12, e.shape[1])), g.input((e.shape[1], 7), F32))


def rows_of_steps(e: Node) -> Node:
    product = g.dot(g.input((12, 7), F32), g.input((7, e.shape[1]), F32))
    updates = g.permute(g.reshape(product, (2, 3, 2, e.shape[1])), (2, 0, 1, 3))
    return g.scatter_add(e, g.input((2, 2, 3), I32), updates)


FORMS = [
    forward,
    forward_of_sequences,
    steps_first,
    weights,
    weights_transposed,
    rows,
    rows_of_steps,
]


@pytest.mark.parametrize("form", FORMS)
def test_no_product_has_more_rows_than_the_table(form) -> None:  # type: ignore[no-untyped-def]
    root = form(table())
    (new,) = simplify([root])
    dots = [n for n in reachable([new]) if n.op == "dot"]
    assert dots and all(12 not in (*n.shape, n.inputs[0].shape[1]) for n in dots)
    inputs = tuple(n for n in reachable([root]) if n.op == "input")
    rng = np.random.default_rng(0)
    arrays = [  # an index beyond the table is its last row, before and after
        rng.integers(-2, 9, n.shape).astype(np.int32)
        if n.dtype == I32
        else rng.normal(size=n.shape).astype(np.float32)
        for n in inputs
    ]
    expected, found = (
        InterpretedProgram(Signature(inputs, (), (), (r,))).run(arrays, [])[0] for r in (root, new)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("e", [table(rows=7), table(columns=32)])
def test_a_table_that_is_large_or_narrow_stays(form, e: Node) -> None:  # type: ignore[no-untyped-def]
    (new,) = simplify([form(e)])
    (dot,) = (n for n in reachable([new]) if n.op == "dot")
    assert 12 in (*dot.shape, dot.inputs[0].shape[1])


def test_rows_that_are_never_taken_may_be_no_numbers() -> None:
    table = np.random.default_rng(1).normal(size=(20, 80)).astype(np.float32)
    table[12], table[15] = np.nan, np.inf
    taken = cr.tensor(np.repeat(np.arange(8), 20))

    def trained(compiled: bool) -> list[np.ndarray]:
        e = nn.Parameter(table.copy())
        w = nn.Parameter(np.random.default_rng(2).normal(size=(70, 80)).astype(np.float32))
        sgd = optim.SGD([e, w], lr=0.1)

        def step(i: cr.Tensor) -> None:
            loss = (nn.functional.linear(nn.functional.embedding(i, e), w).tanh() ** 2).mean()
            sgd.zero_grad()
            loss.backward()
            sgd.step()

        call = cr.compile(step) if compiled else step
        for _ in range(3):
            call(taken)
        return [e.numpy(), w.numpy()]

    for compiled, plain in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)
        assert np.isfinite(plain[:8]).all()


@pytest.mark.parametrize("compiled", [True, False])
def test_rows_that_are_never_taken_have_no_gradient_whatever_the_weights(compiled: bool) -> None:
    e = nn.Parameter(np.ones((20, 80), np.float32))
    w = cr.tensor(np.full((70, 80), np.inf, np.float32))
    sgd = optim.SGD([e], lr=0.1)

    def step(i: cr.Tensor) -> None:
        loss = nn.functional.linear(nn.functional.embedding(i, e), w).sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    (cr.compile(step) if compiled else step)(cr.tensor(np.repeat(np.arange(8), 20)))
    np.testing.assert_array_equal(e.numpy()[8:], 1.0)
    assert not np.isfinite(e.numpy()[:8]).any()


def test_a_permute_of_more_than_rows_stays() -> None:
    x = g.permute(g.gather(table(), g.input((3, 4), I32)), (0, 2, 1))
    (new,) = simplify([x])
    assert new.op == "permute" and new.params["axes"] == (0, 2, 1)
