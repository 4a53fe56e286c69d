"""The sweep: what it visits, sums and refuses."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.autodiff.reverse import gradients, jvp, nodes_between
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.interpret import evaluate
from chainrule.core.node import reachable, source_of
from chainrule.errors import DTypeError, ShapeError


def test_gradients_of_a_two_layer_net_are_the_textbook_formulas() -> None:
    rng = np.random.default_rng(0)
    x, w, v = (rng.normal(size=s) for s in ((5, 3), (3, 4), (4, 2)))
    nodes = [op.input(a.shape, dt.float64) for a in (x, w, v)]
    hidden = op.tanh(op.dot(nodes[0], nodes[1]))
    out = op.dot(hidden, nodes[2])
    loss = op.sum(op.mul(out, out), [0, 1])
    found = evaluate(
        [g for g in gradients([loss], [op.ones_like(loss)], nodes[1:]) if g is not None],
        dict(zip(nodes, (x, w, v), strict=True)),
    )
    h = np.tanh(x @ w)
    delta = 2 * (h @ v)
    np.testing.assert_allclose(found[0], x.T @ ((delta @ v.T) * (1 - h * h)))
    np.testing.assert_allclose(found[1], h.T @ delta)


def test_a_value_used_twice_gets_the_sum() -> None:
    x = op.input((), dt.float64)
    y = op.add(op.mul(x, x), op.sin(x))
    [g] = gradients([y], [op.ones_like(y)], [x])
    assert g is not None
    assert evaluate([g], {x: np.float64(2.0)})[0] == pytest.approx(4 + np.cos(2.0))


def _part(x, axis, start, stop):
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[axis], stops[axis] = start, stop
    return op.slice(x, starts, stops, [1] * x.ndim)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_parts_of_a_cut_array_are_put_side_by_side(order) -> None:
    x = op.input((3, 9), dt.float64)
    parts = [_part(x, 1, 3 * i, 3 * i + 3) for i in order]
    loss = op.sum(op.mul(op.mul(parts[0], parts[1]), op.sin(parts[2])), [0, 1])
    [g] = gradients([loss], [op.ones_like(loss)], [x])
    assert {"add", "pad"}.isdisjoint(n.op for n in reachable([g]))
    assert sum(n.op == "concat" for n in reachable([g])) == 1
    value = np.random.default_rng(0).normal(size=x.shape)
    a, b, c = (value[:, 3 * i : 3 * i + 3] for i in order)
    expected = np.zeros_like(value)
    shares = (b * np.sin(c), a * np.sin(c), a * b * np.cos(c))
    for i, share in zip(order, shares, strict=True):
        expected[:, 3 * i : 3 * i + 3] = share
    np.testing.assert_allclose(evaluate([g], {x: value})[0], expected)


@pytest.mark.parametrize(
    "places",
    [[(0, 2), (4, 6)], [(0, 4), (2, 6)], [(1, 3), (3, 5), (3, 5)], [(0, 2), (2, 6), (1, 5)]],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_parts_with_gaps_or_overlaps_are_added(places, axis) -> None:
    x = op.input((6, 6), dt.float64)
    terms = [op.sum(op.exp(_part(x, axis, a, b)), [0, 1]) for a, b in places]
    loss = terms[0]
    for i, term in enumerate(terms[1:], 2):
        loss = op.add(loss, op.mul(term, op.full((), float(i), dt.float64)))
    [g] = gradients([loss], [op.ones_like(loss)], [x])
    value = np.random.default_rng(0).normal(size=x.shape)
    expected = np.zeros_like(value)
    for i, (a, b) in enumerate(places, 1):
        np.moveaxis(expected, axis, 0)[a:b] += i * np.exp(np.moveaxis(value, axis, 0)[a:b])
    np.testing.assert_allclose(evaluate([g], {x: value})[0], expected)


def test_none_where_nothing_depends() -> None:
    x, z, n = op.input((), dt.float64), op.input((), dt.float64), op.input((), dt.int32)
    y = op.exp(x)
    assert gradients([y], [op.ones_like(y)], [z, n]) == [None, None]
    assert gradients([y], [op.ones_like(y)], []) == []
    assert jvp([y], [z], [op.ones_like(z)]) == [None]


def test_the_gradient_of_an_output_by_itself_is_its_cotangent() -> None:
    x = op.input((2,), dt.float64)
    g = op.constant([3.0, 4.0])
    assert gradients([x], [g], [x]) == [g]


def test_nodes_in_between_and_several_outputs() -> None:
    x = op.input((), dt.float64)
    y = op.exp(x)
    z = op.sin(y)
    one = op.ones_like(x)
    gx, gy = gradients([z, y], [one, one], [x, y])
    assert gx is not None and gy is not None
    a, b = evaluate([gx, gy], {x: np.float64(0.3)})
    assert b == pytest.approx(np.cos(np.exp(0.3)) + 1)
    assert a == pytest.approx(b * np.exp(0.3))


def test_only_the_path_is_differentiated() -> None:
    """No product for the gradient of the data, none for layers below the one asked for."""
    x, w, v = (op.input((4, 4), dt.float64) for _ in range(3))
    y = op.dot(op.dot(x, w), v)
    [g] = gradients([y], [op.ones_like(y)], [v])
    assert g is not None
    assert sum(n.op == "dot" for n in reachable([g])) == 2  # the forward x w, and (x w)ᵀ g
    assert nodes_between([v], [y]) == [v, y]


def test_gradient_nodes_point_to_the_line_of_the_forward_node() -> None:
    x = op.input((2,), dt.float64)
    y = op.tanh(x)
    forward = source_of(y)
    [g] = gradients([y], [op.constant([1.0, 2.0])], [x])
    assert g is not None and forward is not None and source_of(g) == forward


def test_long_chains_need_no_recursion() -> None:
    x = y = op.input((), dt.float64)
    for _ in range(5000):
        y = op.sin(y)
    [g] = gradients([y], [op.ones_like(y)], [x])
    assert g is not None and np.isfinite(evaluate([g], {x: np.float64(0.5)})[0])


def test_outputs_and_cotangents_must_fit() -> None:
    n, x = op.input((), dt.int64), op.input((2,), dt.float64)
    with pytest.raises(DTypeError, match="only floating-point outputs have gradients, got int64"):
        gradients([n], [n], [x])
    with pytest.raises(ShapeError, match=r"of shape \(2,\) must have that shape, got \(\)"):
        gradients([x], [op.full((), 1, dt.float64)], [x])
    with pytest.raises(DTypeError, match="of a float64 output must be float64, got float32"):
        gradients([x], [op.full((2,), 1, dt.float32)], [x])


def test_forward_mode_of_a_product() -> None:
    x, w = op.input((2, 3), dt.float64), op.input((3, 2), dt.float64)
    rng = np.random.default_rng(0)
    a, b, da, db = (rng.normal(size=s) for s in ((2, 3), (3, 2), (2, 3), (3, 2)))
    [t] = jvp([op.dot(x, w)], [x, w], [op.constant(da), op.constant(db)])
    assert t is not None
    np.testing.assert_allclose(evaluate([t], {x: a, w: b})[0], da @ b + a @ db)
