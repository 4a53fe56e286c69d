"""Python numbers never widen: eager, and as float arguments of a compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F  # noqa: N812

# Each takes a float tensor x and a number a.
USES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, a: x + a,
    "power": lambda x, a: x**a,
    "a power of the number": lambda x, a: a**x,
    "// and %": lambda x, a: x // a + x % a,
    "where": lambda x, a: cr.where(x > 0, x, a),
    "where of numbers": lambda x, a: cr.where(x > 0, 1.0, a),
    "where of it twice": lambda x, a: cr.where(x > 0, a, a * 2),
    "clip": lambda x, a: cr.clip(x, -a, a),
    "maximum": lambda x, a: cr.maximum(x, a),
    "minimum of numbers": lambda x, a: x * cr.minimum(a, 0.5),
    "logaddexp": lambda x, a: cr.logaddexp(a, x),
    "atan2": lambda x, a: cr.atan2(x, a),
    "hypot": lambda x, a: cr.hypot(a, x),
    "lerp": lambda x, a: cr.lerp(x, 1.0, a),
    "pad": lambda x, a: cr.pad(x, 1, value=a),
    "full": lambda x, a: cr.full(3, a),
    "full_like": lambda x, a: cr.full_like(x, a),
    "full of a dtype": lambda x, a: cr.full(3, a, dtype=x.dtype),
    "masked_fill": lambda x, a: x.masked_fill(x > 0, a),
    "stack": lambda x, a: cr.stack([x[0], a, 1.0]),
    "concatenate": lambda x, a: cr.concatenate([x, cr.reshape(a, (1,))]),
    "tensor": lambda x, a: cr.tensor(a) + cr.zeros(2),
    "a function": lambda x, a: cr.exp(a),
    "an activation": lambda x, a: F.softplus(a),
    "reshape": lambda x, a: cr.reshape(a, (1,)),
    "broadcast": lambda x, a: cr.broadcast_to(a, (3,)),
    "sum": lambda x, a: cr.sum(a),
    "norm": lambda x, a: cr.norm(a),
    "abs": lambda x, a: cr.abs(a) * x,
    "round": lambda x, a: x * cr.round(a),
    "clone": lambda x, a: cr.asarray(a).clone(),
    "detach": lambda x, a: cr.asarray(a).detach() * x,
    "a list": lambda x, a: cr.sum(cr.asarray([a, 1.0])),
    "outer": lambda x, a: cr.outer(x, cr.reshape(a, (1,))),
    "fill": lambda x, a: x.clone().fill_(a),
    "an item": lambda x, a: set_first(x.clone(), a),
    "cumsum": lambda x, a: cr.cumsum(x * a, 0),
    "isfinite": lambda x, a: cr.where(cr.isfinite(a), x, 0.0),
    "leaky_relu": lambda x, a: F.leaky_relu(x) * a,
    "softmax": lambda x, a: cr.softmax(x / a, 0),
    "var": lambda x, a: cr.var(x * a),
    "dot": lambda x, a: cr.dot(x * a, x),
    "einsum": lambda x, a: cr.einsum("i,i->", x, x + a),
}
# What makes a tensor of its own from a number has the default dtype, whatever x is.
OWN = {
    "where of numbers", "where of it twice", "full", "tensor", "a function", "an activation",
    "reshape", "broadcast", "sum", "norm", "clone", "a list",
}  # fmt: skip


def set_first(x: Any, a: Any) -> Any:
    x[0] = a
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", USES)
def test_a_number_takes_the_dtype_it_meets(name: str, dtype: str) -> None:
    f = USES[name]
    x = cr.tensor(np.array([-1.5, 0.25, 2.0], dtype))
    eager = f(x, 0.75)
    compiled = cr.compile(lambda x, a: f(x, a))(x, 0.75)
    assert eager.dtype == ("float32" if name in OWN else dtype)
    assert compiled.dtype == eager.dtype
    rtol = 4e-7 if eager.dtype == "float32" else 1e-15
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=rtol, atol=1e-16)


EXACT = ["add", "power", "where", "clip", "maximum", "pad", "full_like", "full of a dtype"]
EXACT += ["masked_fill", "stack", "fill", "an item", "lerp", "// and %"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_a_number_meets_float64_with_all_its_digits(name: str, compiled: bool) -> None:
    f = USES[name]
    x = cr.tensor(np.array([-1.5, 0.25, 2.0]))
    tenth = cr.tensor(np.array(0.1))  # an array of float64
    run = cr.compile(lambda x, a: f(x, a)) if compiled else f
    np.testing.assert_allclose(run(x, 0.1).numpy(), f(x, tenth).numpy(), rtol=1e-15)


def test_a_number_assigned_in_a_compiled_function_is_converted() -> None:
    total = cr.zeros(())
    cr.compile(lambda a: total.assign(a))(0.1)
    assert total.dtype == "float32"
    assert total.item() == np.float32(0.1)


def test_numbers_take_the_dtype_of_integers_they_can_be() -> None:
    x = cr.tensor([1, 2], dtype="int32")
    assert cr.where(x > 1, x, 5).dtype == "int32"
    assert cr.stack([x[0], 5]).dtype == "int32"
    assert cr.where(x > 1, x, 0.5).dtype == "float32"
    assert cr.clip(x, 0, 1).dtype == "int32"
    assert cr.pad(x, 1, value=7).dtype == "int32"
