"""The checker catches what is wrong, and says where."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import FLOAT64, Case, inputs

from chainrule.autodiff import vjps
from chainrule.autodiff.check import check_gradients, numerical_gradients
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.node import Node
from chainrule.errors import DTypeError, GradientError

ONE_EACH = {c.op: c for c in reversed(FLOAT64) if c.build(*inputs(c.arguments())).size}


def off_by_a_thousandth(rule):
    def wrong(x: Node | None) -> Node | None:
        return None if x is None else op.mul(x, op.full(x.shape, 1.001, x.dtype))

    if callable(rule):
        return lambda g, y, *xs: [wrong(s) for s in rule(g, y, *xs)]
    return tuple(None if f is None else (lambda *a, f=f: wrong(f(*a))) for f in rule)


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=str)
@pytest.mark.parametrize("directions", [None, 4])
def test_a_rule_wrong_by_a_thousandth_is_caught(
    case: Case, directions: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = case.arguments()
    xs = inputs(arrays)
    y = case.build(*xs)
    name = "tanh" if case.op == "scan" else case.op  # a loop has the rules of its step
    rule = vjps.VJPS[name]
    if not dt.is_float(y.dtype) or (isinstance(rule, tuple) and not any(rule)):
        return
    values = dict(zip(xs, arrays, strict=True))
    check_gradients([y], values, directions=directions)
    monkeypatch.setitem(vjps.VJPS, name, off_by_a_thousandth(rule))
    with pytest.raises(GradientError, match="disagree"):
        check_gradients([y], values, directions=directions)


def test_the_message_names_the_argument_and_the_worst_element(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong_at_one_place(g: Node, y: Node, x: Node) -> Node:
        return op.mul(g, op.constant([[1.0, 1.0], [1.5, 1.0]]))

    monkeypatch.setitem(vjps.VJPS, "copy", (wrong_at_one_place,))
    a, b = op.input((3,), dt.float64, "a"), op.input((2, 2), dt.float64, "b")
    y = op.copy(b)
    with pytest.raises(GradientError) as error:
        check_gradients([y, op.sin(a)], {a: np.ones(3), b: np.ones((2, 2))})
    pattern = (
        r"back-propagation and finite differences disagree:\n"
        r"    argument 1, b float64\[2, 2\]: 1 of 4 wrong; the worst is \[1, 0\]: "
        r"back-propagation \S+, finite differences \S+, off by \S+ \(0\.5 of it\)"
    )
    assert re.fullmatch(pattern, str(error.value))


def test_a_wrong_second_derivative_is_found_at_order_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vjps.VJPS, "cos", (lambda g, y, x: op.mul(g, op.sin(x)),))  # sign lost
    x = op.input((2,), dt.float64, "x")
    y = op.sin(x)
    check_gradients([y], {x: np.array([0.3, 0.8])})
    with pytest.raises(GradientError, match="in the gradient of the gradient, .* disagree"):
        check_gradients([y], {x: np.array([0.3, 0.8])}, order=2)


def test_a_missing_gradient_and_a_nan_are_caught() -> None:
    x = op.input((2,), dt.float64, "x")
    with pytest.raises(GradientError, match="2 of 2 wrong"):
        check_gradients([op.stop_gradient(x)], {x: np.ones(2)})
    with pytest.raises(GradientError, match="back-propagation nan"):
        check_gradients([op.log(x)], {x: np.array([np.nan, 1.0])})


def test_float32_is_refused() -> None:
    x = op.input((), dt.float32)
    with pytest.raises(DTypeError, match="checked in float64"):
        check_gradients([op.exp(x)], {x: np.float32(1)})


def test_numerical_gradients_of_a_python_function() -> None:
    found = numerical_gradients(
        lambda a: float(a[0] @ a[1]), [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    )
    np.testing.assert_allclose(found, [[3, 4], [1, 2]], rtol=1e-8)
