"""grad, vjp, jvp, jacobian, hessian, vmap, custom_vjp: values, nesting, pytrees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy_oracle import check, sample

import chainrule as cr
from chainrule.errors import GradientError, OptionError


def test_grad_of_pytrees() -> None:
    class Pair(NamedTuple):
        a: cr.Tensor
        b: list

    parameters = {"w": cr.tensor([2.0, 3.0]), "rest": Pair(cr.tensor(4.0), [cr.tensor(5.0), None])}
    found = cr.grad(lambda p: (p["w"] * p["rest"].a).sum() + p["rest"].b[0] ** 2)(parameters)
    check(found["w"], [4.0, 4.0])
    assert isinstance(found["rest"], Pair)
    check(found["rest"].a, 5.0)
    check(found["rest"].b[0], 10.0)
    assert found["rest"].b[1] is None


def test_argnums_aux_and_keywords() -> None:
    def f(a, b, *, scale):
        return (a * b).sum() * scale, {"product": a * b, "name": "f"}

    a, b = cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0])
    gradient, aux = cr.grad(f, argnums=(1, 0), has_aux=True)(a, b, scale=2.0)
    check(gradient[0], [2.0, 4.0])
    check(gradient[1], [6.0, 8.0])
    check(aux["product"], [3.0, 8.0])
    assert aux["name"] == "f"
    (value, _), gradient = cr.value_and_grad(f, argnums=-1, has_aux=True)(a, b, scale=1.0)
    check(value, 11.0)
    check(gradient, [1.0, 2.0])


def test_higher_orders() -> None:
    f = cr.sin
    for expected in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)):
        f = cr.grad(f)
        check(f(cr.tensor(0.7)), expected)


def test_what_does_not_matter_has_gradient_zero() -> None:
    check(cr.grad(lambda a, b: a.sum(), argnums=1)(cr.ones(2), cr.ones(3)), [0.0, 0.0, 0.0])


def test_values_can_be_looked_at_inside_grad() -> None:
    def f(x):
        return x**2 if x.item() > 1 else -x

    check(cr.grad(f)(cr.tensor(3.0)), 6.0)
    check(cr.grad(f)(cr.tensor(0.5)), -1.0)


def test_the_same_expression_outside_is_a_constant() -> None:
    w = cr.tensor(2.0)
    x = w * 3
    check(cr.grad(lambda v: v * (w * 3))(x), 6.0)


def test_grad_and_backward_work_together() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    inner = cr.grad(lambda x: (x**2 * w).sum())(cr.tensor([3.0, 4.0]))
    check(inner.detach(), [6.0, 16.0])
    inner.sum().backward()
    check(w.grad, [6.0, 8.0])
    outer = cr.grad(lambda v: (v**3).sum())(w)
    outer.sum().backward()
    check(w.grad, [12.0, 20.0])


def test_no_grad_inside() -> None:
    def f(x):
        with cr.no_grad():
            constant = x * 2
        return x * constant

    check(cr.grad(f)(cr.tensor(3.0)), 6.0)


def test_vjp_and_jvp_agree_with_the_jacobian() -> None:
    x = cr.tensor(sample((3,), "float64"))
    a = sample((2, 3), "float64")

    def f(x):
        return cr.tanh(a @ x)

    jacobian = cr.jacobian(f)(x).numpy()
    u, v = np.array([1.0, -2.0]), np.array([0.5, 1.0, -1.0])
    y, pull = cr.vjp(f, x)
    check(y, np.tanh(a @ x.numpy()))
    check(pull(cr.tensor(u))[0], u @ jacobian)
    check(pull(2 * u)[0], 2 * u @ jacobian)
    _, tangent = cr.jvp(f, [x], [v])
    check(tangent, jacobian @ v)
    check(cr.tensor(jacobian), (1 - np.tanh(a @ x.numpy()) ** 2)[:, None] * a)


def test_jacobians_of_shapes_and_several_arguments() -> None:
    a, b = cr.tensor(sample((2, 3), "float64")), cr.tensor(sample((3,), "float64"))
    by_a, by_b = cr.jacobian(lambda a, b: a @ b, argnums=(0, 1))(a, b)
    assert by_a.shape == (2, 2, 3)
    check(by_b, a.numpy())
    check(cr.jacobian(lambda a: cr.ones(2, dtype="float64"))(a), np.zeros((2, 2, 3)))


def test_hessian() -> None:
    a = sample((3, 3), "float64")
    check(cr.hessian(lambda x: x @ a @ x)(cr.tensor(sample((3,), "float64"))), a + a.T)


def test_forward_over_reverse() -> None:
    x, v = cr.tensor([1.0, 2.0]), cr.tensor([1.0, -1.0])
    _, product = cr.jvp(cr.grad(lambda x: (x**3).sum()), [x], [v])
    check(product, [6.0, -12.0])


@pytest.mark.parametrize(
    ("in_axes", "out_axes"), [(0, 0), (1, 0), (-1, 1), ((0, None), 0), ((None, 1), -1)]
)
def test_vmap_is_a_loop(in_axes: object, out_axes: int) -> None:
    a, b = sample((4, 4, 4), "float64", 1), sample((4, 4, 4), "float64", 2)
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes, in_axes)

    def f(x, y):
        return cr.tanh(x @ y) - y.sum(0)

    pick = [lambda x, i, k=k: x if k is None else np.take(x, i, k) for k in axes]
    expected = np.stack(
        [f(cr.tensor(pick[0](a, i)), cr.tensor(pick[1](b, i))).numpy() for i in range(4)], out_axes
    )
    check(cr.vmap(f, in_axes, out_axes)(a, b), expected)


def test_vmap_of_pytrees_and_unmapped_results() -> None:
    x = {"a": cr.arange(6).reshape(3, 2), "b": cr.ones(3)}
    found = cr.vmap(
        lambda d, k: {"sum": d["a"].sum() * d["b"] + k, "k": cr.tensor(7)}, in_axes=(0, None)
    )(x, 10)
    check(found["sum"], [11.0, 15.0, 19.0])
    check(found["k"], [7, 7, 7])
    assert cr.vmap(lambda x: (x, cr.ones(2)), out_axes=(0, None))(cr.ones(3))[1].shape == (2,)


def test_vmap_and_grad_nest_in_any_order() -> None:
    x = cr.tensor([0.5, 1.0, 2.0])
    check(cr.vmap(cr.grad(cr.sin))(x), np.cos(x.numpy()))
    check(cr.grad(lambda x: cr.vmap(cr.sin)(x).sum())(x), np.cos(x.numpy()))
    check(cr.vmap(cr.vmap(cr.grad(lambda v: v**3)))(cr.ones(2, 3)), np.full((2, 3), 3.0))
    check(cr.grad(lambda x: cr.vmap(cr.grad(lambda v: v**3))(x).sum())(x), 6 * x.numpy())
    per_example = cr.vmap(cr.grad(lambda w, a: (w * a).sum() ** 2), in_axes=(None, 0))
    a = sample((4, 3), "float64")
    check(per_example(cr.ones(3, dtype="float64"), a), 2 * a.sum(1, keepdims=True) * a)


def test_vmap_and_backward() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    cr.vmap(lambda x: (x * w).sum() ** 2)(cr.ones(3, 2)).sum().backward()
    check(w.grad, [18.0, 18.0])


def test_custom_rule() -> None:
    calls = []

    @cr.custom_vjp
    def log1pexp(x):
        return cr.log(1 + cr.exp(x))

    def forward(x):
        calls.append(1)
        return log1pexp.function(x), x

    log1pexp.defvjp(forward, lambda x, g: (g * (1 - 1 / (1 + cr.exp(x))),))
    check(cr.grad(log1pexp)(cr.tensor(100.0)), 1.0)
    assert calls
    check(cr.vmap(cr.grad(log1pexp))(cr.tensor([0.0, 100.0])), [0.5, 1.0])
    check(cr.grad(cr.grad(log1pexp))(cr.tensor(0.0)), 0.25)
    w = cr.tensor(0.0, requires_grad=True)
    log1pexp(w).backward()
    check(w.grad, 0.5)
    step = cr.compile(lambda x: cr.grad(log1pexp)(x))
    check(step(cr.tensor(100.0)), 1.0)


def test_custom_rule_with_plain_arguments_and_none() -> None:
    @cr.custom_vjp
    def scaled(x, factor, y):
        return x * factor + y

    scaled.defvjp(
        lambda x, factor, y: (x * factor + y, factor),
        lambda factor, g: (g * factor * 10, None, None),
    )
    check(cr.grad(scaled, argnums=(0, 2))(cr.tensor(1.0), 3, cr.tensor(1.0))[0], 30.0)
    check(cr.grad(scaled, argnums=2)(cr.tensor(1.0), 3, cr.tensor(1.0)), 0.0)


def test_check_grads_finds_a_wrong_rule() -> None:
    @cr.custom_vjp
    def wrong(x):
        return x**2

    wrong.defvjp(lambda x: (x**2, x), lambda x, g: (g * x * 2.002,))
    with pytest.raises(GradientError):
        cr.check_grads(wrong, [cr.tensor([1.0, 2.0])])
    w = cr.tensor([1.5], dtype="float64", requires_grad=True)
    cr.check_grads(lambda x: cr.exp(x) * w, [cr.tensor([0.3])], order=2)


@pytest.mark.parametrize("compiled", [False, True])
def test_random_numbers_in_vmap(compiled: bool) -> None:
    def draws(x):
        few = cr.randn(50), cr.randint(0, 1000, (20,)), cr.randperm(8)
        return *few, cr.bernoulli(x), x.sum() + cr.rand()

    x = cr.full((11, 40), 0.5)
    for randomness, equal in (("same", True), ("different", False)):
        f = cr.vmap(draws, randomness=randomness)
        cr.manual_seed(5)
        first = (cr.compile(f) if compiled else f)(x)
        cr.manual_seed(5)
        for a, b in zip(first, f(x), strict=True):  # drawn again, they are the same
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-6)
        for drawn in first[:3]:
            assert ((drawn[0] == drawn[1]).all().item()) == equal
        assert (np.sort(first[2].numpy(), axis=1) == np.arange(8)).all()


def test_random_numbers_in_nested_vmaps_and_loops() -> None:
    def walk(x):
        def body(c, _):
            n = cr.randn()
            return c + n, n

        return cr.scan(body, x, None, length=3)[1]

    inner = cr.vmap(walk, randomness="different")
    drawn = cr.vmap(inner, randomness="different")(cr.zeros(2, 3)).numpy()
    assert drawn.shape == (2, 3, 3) and len(np.unique(drawn)) == 18
    shared = cr.vmap(cr.vmap(walk), randomness="different")(cr.zeros(2, 3)).numpy()
    assert len(np.unique(shared)) == 6


def test_randomness_can_be_forbidden() -> None:
    with pytest.raises(OptionError) as error:
        cr.vmap(lambda x: x + cr.rand(), randomness="error")(cr.zeros(2))
    assert 'draws random numbers inside vmap with randomness="error"; say' in str(error.value)
    assert cr.rand().item() < 1  # and after it they are drawn again
    with pytest.raises(OptionError, match="randomness is one of same, different, error, got 'all'"):
        cr.vmap(cr.sin, randomness="all")
