"""vmap of every primitive against a Python loop over the interpreter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cases import EVERY, Case, inputs, product, sine

from chainrule.autodiff.batching import RULES, vmap_nodes
from chainrule.autodiff.reverse import gradients
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.interpret import evaluate
from chainrule.core.node import reachable
from chainrule.core.primitives.table import TABLE
from chainrule.core.verify import verify
from chainrule.errors import ShapeError


def test_every_primitive_with_inputs_has_a_rule() -> None:
    assert set(RULES) == {name for name, p in TABLE.items() if p.arity != 0}


@pytest.mark.parametrize("case", EVERY, ids=str)
def test_vmap_is_a_loop(case: Case) -> None:
    """For each choice of which arguments are mapped."""
    shared = case.arguments(0)
    xs = inputs(shared)
    y = case.build(*xs)
    for r, which in itertools.product((1, 3), itertools.product((False, True), repeat=len(xs))):
        if not any(which):
            continue
        examples = [case.arguments(seed) for seed in range(1, r + 1)]
        stacks = [np.stack([e[i] for e in examples]) for i in range(len(xs))]
        batched = {
            x: op.input(s.shape, s.dtype) for x, s, m in zip(xs, stacks, which, strict=True) if m
        }
        [(node, is_mapped)] = vmap_nodes([y], batched)
        verify([node])
        values = dict(zip(xs, shared, strict=True))
        values |= {batched[x]: s for x, s, m in zip(xs, stacks, which, strict=True) if m}
        [actual] = evaluate([node], values)
        assert is_mapped and node.shape == (r, *y.shape) and node.dtype == y.dtype
        for e, a in zip(examples, actual, strict=True):
            args = [one if m else common for one, common, m in zip(e, shared, which, strict=True)]
            [expected] = evaluate([y], dict(zip(xs, args, strict=True)))
            np.testing.assert_allclose(
                a, expected, rtol=1e-5 if y.dtype == dt.float32 else 1e-12, atol=1e-6
            )


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (2, 3)])
def test_nested_vmap_of_gather_with_both_sides_mapped(shape: tuple[int, int]) -> None:
    x, i = op.input((4, 2), dt.float64), op.input((3,), dt.uint8)
    y = op.gather(x, i)
    x1, i1 = op.input((shape[1], 4, 2), dt.float64), op.input((shape[1], 3), dt.uint8)
    [(once, _)] = vmap_nodes([y], {x: x1, i: i1})
    x2, i2 = op.input((*shape, 4, 2), dt.float64), op.input((*shape, 3), dt.uint8)
    [(twice, _)] = vmap_nodes([once], {x1: x2, i1: i2})
    rng = np.random.default_rng(0)
    table, index = rng.normal(size=x2.shape), rng.integers(0, 6, i2.shape).astype(np.uint8)
    [actual] = evaluate([twice], {x2: table, i2: index})
    assert actual.shape == (*shape, 3, 2)
    for at in np.ndindex(shape):
        np.testing.assert_array_equal(actual[at], table[at][np.clip(index[at], 0, 3)])


def test_what_is_not_mapped_is_computed_once() -> None:
    x, w = op.input((3,), dt.float64), op.input((3,), dt.float64)
    slow = op.exp(w)
    xs = op.input((5, 3), dt.float64)
    [(y, mapped), (same, shared)] = vmap_nodes([op.mul(x, slow), slow], {x: xs})
    assert mapped and not shared and same is slow
    assert [n for n in reachable([y]) if n.op == "exp"] == [slow]


@pytest.mark.parametrize("left", [True, False])
def test_dot_with_one_side_mapped_is_one_larger_dot(left: bool) -> None:
    a, b = op.input((4, 3), dt.float64), op.input((3, 2), dt.float64)
    x = a if left else b
    [(y, _)] = vmap_nodes([op.dot(a, b)], {x: op.input((7, *x.shape), dt.float64)})
    [product] = [n for n in reachable([y]) if n.op == "dot"]
    assert product.shape == ((28, 2) if left else (4, 14))


@pytest.mark.parametrize("build", [sine, product])
@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_gradients_through_a_mapped_custom_rule(build, which: tuple[bool, bool]) -> None:
    """Gradient of the vmap = vmap of the gradients; a shared argument gets their sum."""
    a, b = op.input((3,), dt.float64), op.input((3,), dt.float64)
    y = build(op.mul(a, b)) if build is sine else build(a, b)
    rng = np.random.default_rng(0)
    values = {x: rng.normal(size=(4, 3) if m else (3,)) for x, m in zip((a, b), which, strict=True)}
    nodes = {x: op.input(v.shape, dt.float64) for x, v in values.items()}
    [(batched, _)] = vmap_nodes([y], {x: nodes[x] for x, m in zip((a, b), which, strict=True) if m})
    wrt = [nodes[x] if m else x for x, m in zip((a, b), which, strict=True)]
    grads = gradients([batched], [op.ones_like(batched)], wrt)
    actual = evaluate(
        [g for g in grads if g is not None], {**values, **{nodes[x]: values[x] for x in nodes}}
    )
    singles = gradients([y], [op.ones_like(y)], [a, b])
    for i, m in enumerate(which):
        rows = [
            evaluate([singles[i]], {x: v[r] if v.ndim == 2 else v for x, v in values.items()})[0]
            for r in range(4)
        ]
        np.testing.assert_allclose(actual[i], rows if m else np.sum(rows, axis=0))
    [(again, _)] = vmap_nodes([y], {x: nodes[x] for x, m in zip((a, b), which, strict=True) if m})
    assert again is batched  # the mapped rule is interned too


def test_per_example_gradients() -> None:
    x, w = op.input((1, 3), dt.float64), op.input((3, 2), dt.float64)
    y = op.tanh(op.dot(x, w))
    [g] = gradients([y], [op.ones_like(y)], [w])
    assert g is not None
    xs = op.input((5, 1, 3), dt.float64)
    [(per_example, _)] = vmap_nodes([g], {x: xs})
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 1, 3)), rng.normal(size=(3, 2))
    for r, actual in enumerate(evaluate([per_example], {xs: a, w: b})[0]):
        np.testing.assert_allclose(actual, evaluate([g], {x: a[r], w: b})[0])


def test_values_that_do_not_fit_are_refused() -> None:
    x, z = op.input((3,), dt.float64), op.input((), dt.float64)
    message = (
        r"vmap expects values \(R, \*shape\) of one R, got float64\[5, 3\] for "
        r"float64\[3\], "
        r"float64"
    )
    with pytest.raises(ShapeError, match=message):
        vmap_nodes([op.exp(x)], {x: op.input((5, 3), dt.float64), z: op.input((4,), dt.float64)})
    with pytest.raises(ShapeError, match="vmap expects"):
        vmap_nodes([op.exp(x)], {x: op.input((5, 2), dt.float64)})
