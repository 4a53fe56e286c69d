"""scan and remat: what a Python loop would give, gradients included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import CompileError, OptionError, ShapeError

RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 3)) * 0.5
XS = RNG.normal(size=(11, 2, 3))


def by_scan(w: Any, xs: Any, **options: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = cr.tanh(h @ w + x)
        return h, h.sum()

    return cr.scan(step, cr.zeros(2, 3, dtype=cr.float64), xs, **options)


def by_hand(w: Any, xs: Any, reverse: bool = False) -> Any:
    h, ys = cr.zeros(2, 3, dtype=cr.float64), {}
    for t in reversed(range(len(xs))) if reverse else range(len(xs)):
        h = cr.tanh(h @ w + xs[t])
        ys[t] = h.sum()
    return h, cr.stack([ys[t] for t in range(len(xs))])


def loss(result: Any) -> Any:
    h, ys = result
    return (h * h).sum() + (ys * ys).sum()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("remat", [False, True])
def test_scan_is_a_python_loop(reverse: bool, remat: bool) -> None:
    options = {"reverse": reverse, "remat": remat}
    actual = cr.value_and_grad(lambda w: loss(by_scan(w, cr.tensor(XS), **options)))(cr.tensor(W))
    wanted = cr.value_and_grad(lambda w: loss(by_hand(w, cr.tensor(XS), reverse)))(cr.tensor(W))
    for a, b in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_backward_reaches_what_the_step_reads_from_outside() -> None:
    w = cr.tensor(W, requires_grad=True)
    loss(by_scan(w, cr.tensor(XS))).backward()
    wanted = cr.grad(lambda w: loss(by_hand(w, cr.tensor(XS))))(cr.tensor(W))
    np.testing.assert_allclose(w.grad.numpy(), wanted.numpy(), rtol=1e-12)


def test_second_derivatives() -> None:
    cr.check_grads(lambda w: loss(by_scan(w, cr.tensor(XS[:4]))), [cr.tensor(W)], order=2)


def test_the_results_of_a_reversed_loop_lie_as_its_input() -> None:
    _, before = cr.scan(lambda c, x: (c + 1, c), cr.tensor(0.0), length=5, reverse=True)
    assert before.tolist() == [4, 3, 2, 1, 0]
    ns = cr.arange(5.0)

    def total(a: Any, ns: Any) -> Any:
        return cr.scan(lambda x, n: (x + a * n, x + a * n), cr.tensor(0.0), ns)[1].sum()

    by_a, by_ns = cr.grad(total, (0, 1))(cr.tensor(1.0), ns)
    assert by_a.item() == 20 and by_ns.tolist() == [5, 4, 3, 2, 1]


def test_no_steps_give_the_first_carry_and_empty_results() -> None:
    def f(c: Any, w: Any) -> Any:
        return cr.scan(lambda c, x: (c * w + x.sum(), x * w), c, cr.zeros(0, 3))

    last, ys = f(cr.tensor(2.0), cr.tensor(3.0))
    assert last.item() == 2 and ys.shape == (0, 3) and ys.dtype == cr.float32
    by_c, by_w = cr.grad(lambda c, w: f(c, w)[0] + f(c, w)[1].sum(), (0, 1))(2.0, 3.0)
    assert by_c.item() == 1 and by_w.item() == 0


@pytest.mark.parametrize("shape", [(3, 0), (0, 0), (0, 3)])
def test_a_compiled_loop_over_nothing(shape: tuple[int, int]) -> None:
    def f(x: Any) -> Any:
        last, ys = cr.scan(lambda c, r: (c * r, c + r), cr.ones(shape[1]), x)
        return last, ys, cr.grad(lambda x: cr.scan(lambda c, r: (c * r, c), last, x)[1].sum())(x)

    for a, b in zip(cr.compile(f)(cr.zeros(shape)), f(cr.zeros(shape)), strict=True):
        assert a.shape == b.shape and a.tolist() == b.tolist()


def test_trees_as_carry_input_and_result() -> None:
    def step(carry: Any, x: Any) -> Any:
        return {"sum": carry["sum"] + x[0], "n": carry["n"] + 1}, (x[0] * x[1], None)

    xs = (cr.arange(3.0), cr.ones(3))
    carry, (products, nothing) = cr.scan(step, {"sum": cr.tensor(0.0), "n": cr.tensor(0)}, xs)
    assert carry["sum"].item() == 3 and carry["n"].item() == 3
    assert products.tolist() == [0, 1, 2] and nothing is None


def test_random_numbers_differ_from_step_to_step() -> None:
    cr.manual_seed(3)
    _, drawn = cr.scan(lambda c, _: (c, cr.rand(4)), cr.zeros(1), length=5)
    assert len({tuple(row) for row in drawn.tolist()}) == 5


def test_vmap_of_a_loop_whose_carry_alone_is_mapped() -> None:
    def f(h: Any) -> Any:
        return cr.scan(lambda c, x: (c * x, c + x), h, cr.arange(1.0, 4.0))

    last, ys = cr.vmap(f)(cr.arange(3.0))
    for i in range(3):
        one_last, one_ys = f(cr.tensor(float(i)))
        assert last[i].item() == one_last.item() and ys[i].tolist() == one_ys.tolist()


def test_remat_changes_no_value_and_no_gradient() -> None:
    def f(x: Any, w: Any) -> Any:
        return cr.tanh(cr.sin(x) @ w).sum()

    args = cr.tensor(XS[0]), cr.tensor(W)
    for a, b in zip(cr.grad(cr.remat(f), (0, 1))(*args), cr.grad(f, (0, 1))(*args), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


MISTAKES = {
    "no length": (
        lambda: cr.scan(lambda c, x: (c, x), None, None),
        OptionError,
        "scan: give xs, or length= (the number of steps)",
    ),
    "list": (
        lambda: cr.scan(lambda c, x: (c, x), None, [1.0, 2.0]),
        ShapeError,
        "scan: xs has a leaf without axes; the steps are its first axis (a Python list is a "
        "tree of leaves: give cr.tensor([...]))",
    ),
    "lengths": (
        lambda: cr.scan(lambda c, x: (c, x), None, (cr.ones(2), cr.ones(3, 1))),
        ShapeError,
        "scan: xs must agree in their first axis, got (2,) and (3, 1)",
    ),
    "structure": (
        lambda: cr.scan(lambda c, x: (0, None), None, cr.ones(3)),
        ShapeError,
        "scan: the carry must keep its structure, it goes in as None and comes out as int64[]",
    ),
    "shape": (
        lambda: cr.scan(lambda c, x: ([cr.cat([c[0]] * 2)], None), [cr.ones(2)], cr.ones(3)),
        ShapeError,
        "scan: the carry must keep its shapes and dtypes, it goes in as [float32[2]] and comes out "
        "as [float32[4]]",
    ),
    "one result": (
        lambda: cr.scan(lambda c, x: c, cr.ones(2), cr.ones(3)),
        OptionError,
        "scan: f must return (carry, y), it returned Tensor; y may be None",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, error, text = MISTAKES[name]
    with pytest.raises(error) as found:
        call()
    assert str(found.value) == text


def test_an_assignment_to_a_tensor_from_outside_is_refused() -> None:
    total = cr.tensor(0.0)

    @cr.compile
    def f(xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            total.assign(total + x)
            return c, x

        return cr.scan(step, cr.tensor(0.0), xs)[1]

    with pytest.raises(CompileError, match="make it part of the carry"):
        f(cr.ones(3))


def test_an_index_outside_its_axis_is_an_error_in_a_loop_too() -> None:
    x, rows = cr.arange(5.0), cr.tensor([1, 7, 2])

    def f(rows: Any) -> Any:
        return cr.scan(lambda c, i: (c + x[i], c), cr.tensor(0.0), rows)[0]

    for run in (f, cr.compile(f)):
        assert run(cr.tensor([1, 4, -1])).item() == 9
        with pytest.raises(IndexError, match="index 7 is outside axis 0 of length 5"):
            run(rows)
