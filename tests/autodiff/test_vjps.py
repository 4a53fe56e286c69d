"""Every rule of the table against finite differences, and the choices at the kinks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import EVERY, FLOAT32, FLOAT64, Case, inputs

from chainrule.autodiff import vjps
from chainrule.autodiff.check import check_gradients
from chainrule.autodiff.reverse import gradients, jvp
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.interpret import evaluate
from chainrule.core.node import Node
from chainrule.core.primitives.table import TABLE
from chainrule.core.verify import verify
from chainrule.errors import GradientError

WITHOUT_INPUTS = {"input", "constant", "iota"}
NO_GRADIENT = {"sign", "floor", "floordiv", "stop_gradient", "argmax"}


def test_every_primitive_has_a_rule_in_the_order_of_the_table() -> None:
    assert list(vjps.VJPS) == [n for n, p in TABLE.items() if p.kind != "control"]
    for name, rule in vjps.VJPS.items():
        assert callable(rule) or len(rule) == TABLE[name].arity, name


def test_every_primitive_has_a_case() -> None:
    assert {c.op for c in EVERY} | WITHOUT_INPUTS == set(TABLE)


@pytest.mark.parametrize("case", FLOAT64, ids=str)
def test_first_and_second_derivatives(case: Case) -> None:
    arrays = case.arguments()
    xs = inputs(arrays)
    y = case.build(*xs)
    if y.dtype != dt.float64 or case.op in NO_GRADIENT:
        if dt.is_float(y.dtype) and case.op != "cast":
            assert gradients([y], [op.ones_like(y)], xs) == [None] * len(xs)
        return
    check_gradients([y], dict(zip(xs, arrays, strict=True)), order=2, rtol=1e-6)


@pytest.mark.parametrize("case", FLOAT32, ids=str)
def test_float32_gradients_are_those_of_float64_rounded(case: Case) -> None:
    results = []
    for dtype in (dt.float32, dt.float64):
        arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in case.arguments()]
        xs = inputs(arrays)
        y = case.build(*xs)
        if not dt.is_float(y.dtype):
            return
        grads = gradients([y], [op.ones_like(y)], xs)
        verify([y, *(g for g in grads if g is not None)])
        for g, x in zip(grads, xs, strict=True):
            assert g is None or (g.dtype == x.dtype and g.shape == x.shape)
        present = [g for g in grads if g is not None]
        results.append(evaluate(present, dict(zip(xs, arrays, strict=True))))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [c for c in FLOAT64 if c.op not in NO_GRADIENT], ids=str)
def test_forward_mode_agrees_with_reverse_mode(case: Case) -> None:
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩."""
    arrays = case.arguments()
    xs = inputs(arrays)
    y = case.build(*xs)
    if not dt.is_float(y.dtype):
        return
    rng = np.random.default_rng(1)
    floats = [x for x in xs if dt.is_float(x.dtype)]
    u = rng.normal(size=y.shape).astype(y.dtype)
    vs = [rng.normal(size=x.shape) for x in floats]
    values = dict(zip(xs, arrays, strict=True))
    [tangent] = jvp([y], floats, [op.constant(v, dt.float64) for v in vs])
    grads = gradients([y], [op.constant(u)], floats)
    assert tangent is not None
    [t] = evaluate([tangent], values)
    right = sum(
        np.sum(v * evaluate([g], values)[0])
        for v, g in zip(vs, grads, strict=True)
        if g is not None
    )
    rtol = 1e-5 if y.dtype == dt.float32 else 1e-12
    np.testing.assert_allclose(np.sum(u * t), right, rtol=rtol, atol=1e-12)


# -- kinks -----------------------------------------------------------------------------------------
def grads_at(build, *values: object) -> list[list[float] | None]:
    arrays = [np.asarray(v, np.float64) for v in values]
    xs = inputs(arrays)
    y = build(*xs)
    found = gradients([y], [op.ones_like(y)], xs)
    return [
        None if g is None else evaluate([g], dict(zip(xs, arrays, strict=True)))[0].tolist()
        for g in found
    ]


def test_max_and_min_share_a_tie() -> None:
    a, b = [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]
    assert grads_at(op.max, a, b) == [[0, 0.5, 1], [1, 0.5, 0]]
    assert grads_at(op.min, a, b) == [[1, 0.5, 0], [0, 0.5, 1]]


def test_reductions_share_evenly_among_ties() -> None:
    x = [[1.0, 4.0, 4.0], [5.0, 0.0, 5.0]]
    assert grads_at(lambda x: op.reduce_max(x, [1]), x) == [[[0, 0.5, 0.5], [0.5, 0, 0.5]]]
    x = [[2.0, 1.0], [1.0, 1.0]]
    assert grads_at(lambda x: op.reduce_min(x, [0, 1]), x) == [[[0, 1 / 3], [1 / 3, 1 / 3]]]


def test_abs_has_gradient_0_at_0() -> None:
    assert grads_at(op.abs, [-2.0, 0.0, 3.0]) == [[-1, 0, 1]]


def test_sqrt_has_an_infinite_slope_at_0() -> None:
    assert grads_at(op.sqrt, [0.0, 4.0]) == [[math.inf, 0.25]]


def test_pow_has_no_nan_at_base_0() -> None:
    base = [0.0, 0.0, 0.0, 0.0, 2.0, -2.0]
    exponent = [0.0, 1.0, 2.0, 3.0, 3.0, 2.0]
    da, db = grads_at(op.pow, base, exponent)
    assert da == [0, 1, 0, 0, 12, -4]
    assert db is not None and db[:4] == [0, 0, 0, 0] and db[5] == 0
    assert db[4] == pytest.approx(8 * math.log(2))


def test_second_derivative_of_pow_at_base_0() -> None:
    x = op.input((4,), dt.float64)
    y = op.pow(x, op.constant([0.0, 1.0, 2.0, 3.0]))
    [g] = gradients([y], [op.ones_like(y)], [x])
    [h] = gradients([g], [op.ones_like(g)], [x])
    assert evaluate([h], {x: np.zeros(4)})[0].tolist() == [0, 0, 2, 0]


def test_where_lets_no_nan_through_from_the_side_not_taken() -> None:
    def safe_log(x: Node) -> Node:
        positive = op.lt(op.zeros_like(x), x)
        return op.where(positive, op.log(op.where(positive, x, op.ones_like(x))), op.zeros_like(x))

    assert grads_at(safe_log, [2.0, 0.0, -1.0]) == [[0.5, 0, 0]]
    condition = op.constant([True, False])
    cotangents = grads_at(lambda a, b: op.where(condition, a, b), [1.0, math.nan], [math.nan, 1.0])
    assert cotangents == [[1, 0], [0, 1]]


def test_steps_and_stopped_values_have_no_gradient() -> None:
    for f in (
        op.sign,
        op.floor,
        op.stop_gradient,
        lambda x: op.cast(op.cast(x, dt.int32), dt.float64),
    ):
        assert grads_at(f, [1.5]) == [None]
    assert grads_at(lambda x: op.mul(x, op.stop_gradient(x)), [3.0]) == [[3]]


def test_casts_bring_the_cotangent_back_to_the_dtype_of_the_input() -> None:
    x = op.input((2,), dt.float32)
    y = op.exp(op.cast(x, dt.float64))
    [g] = gradients([y], [op.ones_like(y)], [x])
    assert g is not None and g.dtype == dt.float32


# -- rules of the user's ---------------------------------------------------------------------------
def test_a_custom_rule_replaces_the_derivative() -> None:
    def clipped(g: Node, y: Node, x: Node) -> list[Node]:
        return [op.max(op.min(g, op.ones_like(g)), op.neg(op.ones_like(g)))]

    x = op.input((3,), dt.float64)
    y = op.custom_vjp(op.copy(x), [x], clipped)
    [g] = gradients([y], [op.constant([-5.0, 0.5, 5.0])], [x])
    assert evaluate([g], {x: np.ones(3)})[0].tolist() == [-1, 0.5, 1]
    with pytest.raises(GradientError, match="linear in the cotangent"):
        jvp([y], [x], [op.constant(np.ones(3))])


def test_a_custom_rule_is_given_its_own_output_so_that_second_derivatives_obey_it() -> None:
    def rule(g: Node, y: Node, x: Node) -> list[Node]:
        return [op.mul(g, y)]

    x = op.input((), dt.float64)
    y = op.custom_vjp(op.mul(x, op.full((), 3.0, dt.float64)), [x], rule)
    [g] = gradients([y], [op.ones_like(y)], [x])
    [h] = gradients([g], [op.ones_like(g)], [x])
    assert evaluate([y, g, h], {x: np.float64(2)}) == [6, 6, 6]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, y, x: [], "gave 0 cotangents for 1 arguments"),
        (
            lambda g, y, x: [op.sum(g, [0])],
            r"gave float64\[\] as cotangent of argument 0, which is float64",
        ),
        (lambda g, y, x: [op.cast(g, dt.float32)], r"gave float32\[2\] as cotangent"),
    ],
)
def test_a_custom_rule_that_does_not_fit_is_refused(rule, message: str) -> None:
    x = op.input((2,), dt.float64)
    y = op.custom_vjp(op.exp(x), [x], rule)
    with pytest.raises(GradientError, match=message):
        gradients([y], [op.ones_like(y)], [x])
