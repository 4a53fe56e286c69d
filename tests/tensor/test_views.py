"""Views and changes in place: a write through a view reaches the tensor, or it is refused.

The table is: every function that makes a view x every way to write x what it is a view of x eager
or compiled; NumPy's views of a copy say what the numbers have to be.
"""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy_oracle import check

import chainrule as cr
from chainrule import nn
from chainrule.errors import CompileError, GradientError

Make = Callable[[Any], Any]
VIEWS: dict[str, tuple[Make, Make]] = {  # of a tensor (4, 6), of an array
    "x[1]": (lambda x: x[1], lambda a: a[1]),
    "x[-1, 2:3]": (lambda x: x[-1, 2:3], lambda a: a[-1, 2:3]),
    "x[i] of a scalar tensor": (lambda x: x[cr.tensor(2)], lambda a: a[2]),
    "x[1:3, ::2]": (lambda x: x[1:3, ::2], lambda a: a[1:3, ::2]),
    "x[::-1, 4:0:-3]": (lambda x: x[::-1, 4:0:-3], lambda a: a[::-1, 4:0:-3]),
    "x[..., None]": (lambda x: x[..., None], lambda a: a[..., None]),
    "x[:]": (lambda x: x[:], lambda a: a[:]),
    "x[2:2]": (lambda x: x[2:2], lambda a: a[2:2]),
    "view": (lambda x: x.view(-1), lambda a: a.reshape(-1)),
    "view_as": (lambda x: x.view_as(cr.zeros(6, 4)), lambda a: a.reshape(6, 4)),
    "reshape": (lambda x: x.reshape(2, -1), lambda a: a.reshape(2, -1)),
    "flatten": (lambda x: x.flatten(), lambda a: a.ravel()),
    "ravel": (lambda x: x.ravel(), lambda a: a.ravel()),
    "T": (lambda x: x.T, lambda a: a.T),
    "mT": (lambda x: x.mT, lambda a: a.T),
    "t": (lambda x: x.t(), lambda a: a.T),
    "transpose": (lambda x: x.transpose(0, 1), lambda a: a.T),
    "permute": (lambda x: x.permute(1, 0), lambda a: a.T),
    "swapaxes": (lambda x: x.swapaxes(0, 1), lambda a: a.T),
    "moveaxis": (lambda x: x.moveaxis(0, 1), lambda a: a.T),
    "squeeze": (lambda x: x[1:2].squeeze(0), lambda a: a[1]),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "expand_dims": (lambda x: cr.expand_dims(x, 0), lambda a: a[None]),
    "expand to the same size": (lambda x: x.expand(1, 4, 6), lambda a: a[None]),
    "narrow": (lambda x: x.narrow(1, 2, 3), lambda a: a[:, 2:5]),
    "select": (lambda x: x.select(1, -2), lambda a: a[:, -2]),
    "chunk": (lambda x: x.chunk(3)[1], lambda a: a[2:4]),
    "split": (lambda x: x.split(4, dim=1)[1], lambda a: a[:, 4:]),
    "cr.split": (lambda x: cr.split(x, [1, 3])[1], lambda a: a[1:3]),
    "unbind": (lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    "flip": (lambda x: cr.flip(x, 1), lambda a: a[:, ::-1]),
    "diagonal": (lambda x: x.diagonal(1), lambda a: _writeable(np.diagonal(a, 1))),
    "contiguous": (lambda x: x[1:3].contiguous(), lambda a: a[1:3]),
    "detach": (lambda x: x.detach(), lambda a: a),
    "data": (lambda x: x.data, lambda a: a),
    "data of a view": (lambda x: x[1].data[2:], lambda a: a[1, 2:]),
    "view of data": (lambda x: x.data.T.view(-1)[3:9], None),  # type: ignore[dict-item]
    "a view of a view": (lambda x: x.T[2:, 1].unsqueeze(0), lambda a: a.T[2:, 1][None]),
    "an item of iteration": (lambda x: list(x)[3], lambda a: a[3]),
}


def _writeable(array: Any) -> Any:
    array.flags.writeable = True
    return array


def _set(key: Any, value: Any) -> Callable[[Any], None]:
    def write(v: Any) -> None:
        v[key] = value

    return write


def _add(v: Any) -> None:
    v += 1.5


def _array_add(v: Any) -> None:
    np.add(v, 1.5, out=v)


WRITES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "zero_": (lambda v: v.zero_(), lambda a: a.fill(0)),
    "fill_": (lambda v: v.fill_(7), lambda a: a.fill(7)),
    "copy_": (lambda v: v.copy_(cr.ones(v.shape)), lambda a: a.fill(1)),
    "assign": (lambda v: v.assign(v * 3), lambda a: np.multiply(a, 3, out=a)),
    "mul_": (lambda v: v.mul_(2), lambda a: np.multiply(a, 2, out=a)),
    "clamp_": (lambda v: v.clamp_(3, 9), lambda a: np.clip(a, 3, 9, out=a)),
    "x += y": (_add, _array_add),
    "x[...] = y": (_set(..., 5.0), _set(..., 5.0)),
    "x[x > 4] = y": (lambda v: _set(v > 4, -1.0)(v), lambda a: _set(a > 4, -1.0)(a)),
    "init.constant_": (lambda v: nn.init.constant_(v, 2.0), lambda a: a.fill(2)),
    "requires no copy": (lambda v: v.copy_(v.clone().mul_(2)), lambda a: np.multiply(a, 2, out=a)),
}
BASES: dict[str, Callable[[Any], Any]] = {
    "tensor": cr.tensor,
    "computed": lambda a: cr.tensor(a) * 1,
    "from_numpy": lambda a: cr.from_numpy(a.copy()),
    "parameter": nn.Parameter,
    "buffer": nn.Buffer,
}


def numbers() -> Any:
    return np.arange(24, dtype=np.float32).reshape(4, 6)


def expected(view: str, write: str) -> tuple[Any, Any]:
    array = numbers()
    if VIEWS[view][1] is None:  # what only `view` can do: NumPy would copy
        positions = np.arange(24).reshape(4, 6).T.reshape(-1)[3:9]
        part = array.ravel()[positions]
        WRITES[write][1](part)
        array.ravel()[positions] = part
        return array, part
    part = VIEWS[view][1](array)
    WRITES[write][1](part)
    return array, part


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("view", VIEWS)
def test_a_write_through_a_view_reaches_the_tensor(view: str, base: str, compiled: bool) -> None:
    # A program is built for one write of each combination; they take turns.
    i = list(VIEWS).index(view) + list(BASES).index(base)
    writes = [list(WRITES)[i % len(WRITES)]] if compiled else list(WRITES)
    for write in writes:
        x = BASES[base](numbers())
        whole, part = expected(view, write)
        made = []

        def change(x: Any = x, write: str = write, made: list[Any] = made) -> None:
            with cr.no_grad():
                v = VIEWS[view][0](x)
                made.append(v)
                WRITES[write][0](v)

        cr.compile(change)() if compiled else change()
        check(x.detach(), whole)
        check(made[0].detach(), part)
        assert x.requires_grad == (base == "parameter")


@pytest.mark.parametrize("view", [v for v in VIEWS if VIEWS[v][1] is not None])
def test_a_view_sees_later_changes_of_its_tensor_and_of_other_views(view: str) -> None:
    x, array = cr.tensor(numbers()), numbers()
    v, part = VIEWS[view][0](x), VIEWS[view][1](array)
    before = v * 1
    x.mul_(2)
    array *= 2
    check(v, part)
    x.T[0].fill_(3)
    array.T[0] = 3
    check(v, part)
    cr.compile(lambda: x.assign(x + 1))()
    array += 1
    check(v, part)
    check(before, VIEWS[view][1](numbers()))


@pytest.mark.parametrize("view", [v for v in VIEWS if VIEWS[v][1] is not None])
@pytest.mark.parametrize("base", BASES)
def test_the_array_of_a_view_is_the_tensor(view: str, base: str) -> None:
    x, array = BASES[base](numbers()), numbers()
    v, part = VIEWS[view][0](x).detach(), VIEWS[view][1](array)
    double = x.detach() * 2
    v.numpy()[...] += 1
    part += 1
    check(v, part)
    check(x.detach(), array)
    check(double, numbers() * 2)


# -- arrays ----------------------------------------------------------------------------------------
def test_an_array_that_is_kept_follows_the_tensor_and_the_tensor_follows_it() -> None:
    x = cr.tensor([1.0, 2.0, 3.0])
    array = x.numpy()[1:]
    made_before = x + 0
    array[0] = 9
    check(x, [1.0, 9.0, 3.0])
    check(made_before, [1.0, 2.0, 3.0])
    later = x * 2
    x.mul_(10)
    array[1] = 4
    check(later, [2.0, 18.0, 6.0])
    np.testing.assert_array_equal(array, [90, 4])
    cr.compile(lambda: x.assign(x + 1))()
    np.testing.assert_array_equal(array, [91, 5])
    np.asarray(x)[0] = 0
    check(x, [0.0, 91.0, 5.0])


def test_writing_to_an_array_never_changes_a_constant_or_another_tensor() -> None:
    zeros, others = cr.zeros(3), cr.zeros(3)
    small, same = cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.0])
    program = cr.compile(lambda: small + cr.tensor([1.0, 2.0]))
    program()
    zeros.numpy()[:] = 5
    small.numpy()[:] = 5
    given = np.ones(2)
    cr.from_numpy(given).numpy()[:] = 5
    check(others, [0.0, 0.0, 0.0])
    check(cr.zeros(3), [0.0, 0.0, 0.0])
    check(same, [1.0, 2.0])
    check(program(), [6.0, 7.0])
    np.testing.assert_array_equal(given, 1)


@pytest.mark.parametrize("given", [lambda a: a, lambda a: a[::-1][::-1], cr.from_numpy, cr.asarray])
def test_the_array_of_a_state_as_argument_of_the_program_that_changes_it(given: Any) -> None:
    w = cr.tensor(np.arange(1000, dtype=np.float32))

    @cr.compile
    def step(x: Any) -> Any:
        w.add_(1)
        w.mul_(2)
        return x * 1

    argument = given(w.numpy())
    check(step(argument), np.arange(1000))
    check(w, (np.arange(1000) + 1) * 2)


def test_gradients_while_an_array_is_kept() -> None:
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    kept = x.numpy()
    (x * x).sum().backward()
    check(x.grad, [2.0, 4.0])
    kept[:] = 5
    (x * x).sum().backward()
    check(x.grad, [12.0, 14.0])


def test_arrays_that_a_write_could_not_pass_on_are_read_only() -> None:
    x = cr.ones(2, requires_grad=True)
    layer = nn.Linear(2, 2)
    for tensor in (x * 2, cr.ones(1).expand(3), layer.state_dict()["weight"]):
        with pytest.raises(ValueError, match="read-only"):
            tensor.numpy()[0] = 1


# -- copies ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "copied",
    [
        lambda x: x[[0, 2]],
        lambda x: x[x > 3],
        lambda x: x.clone(),
        lambda x: x + 0,
        lambda x: x.T.reshape(-1),
        lambda x: x.T.contiguous(),
        lambda x: cr.diag(x),
        lambda x: cr.tile(x, 1),
        lambda x: cr.repeat(x, 1, 0),
        lambda x: cr.roll(x, 0),
        lambda x: cr.concatenate([x]),
        lambda x: cr.tensor(x),
        lambda x: nn.Parameter(x).detach(),
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: copy.deepcopy(x[1]),
    ],
)
def test_what_is_no_view_is_a_copy(copied: Any) -> None:
    x = cr.tensor(numbers())
    y = copied(x)
    y.fill_(-1)
    y.numpy()[...] = -1
    check(x, numbers())
    assert y.tolist() == np.full(y.shape, -1.0).tolist()


def test_a_view_keeps_no_graph_behind_it() -> None:
    gc.collect()
    state = cr.zeros(4)
    for _ in range(300):
        state = (state + 1)[:]
        state.tolist()
    check(state, np.full(4, 300.0))
    assert state._view is not None and state._view.root._view is None


# -- gradients -------------------------------------------------------------------------------------
def test_gradients_flow_through_a_change_of_a_view() -> None:
    w, u = cr.ones(2, 3, requires_grad=True), cr.tensor(2.0, requires_grad=True)
    h = w * 3
    row, seen = h[0], h.T
    row.mul_(u)
    h.view(-1)[5] = u * u
    seen.sum().backward()
    check(w.grad, [[6.0, 6.0, 6.0], [3.0, 3.0, 0.0]])
    check(u.grad, 3.0 * 3 + 4)


def test_a_change_that_back_propagation_does_not_see() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    with cr.no_grad():
        h[0] = 10
    h.data.mul_(2)
    h.detach()[1:].add_(1)
    check(h.detach(), [20.0, 13.0])
    h.sum().backward()
    check(w.grad, [3.0, 3.0])


def test_a_detached_tensor_may_get_a_gradient_of_its_own() -> None:
    x, u = cr.tensor([1.0, 2.0]), cr.tensor(3.0, requires_grad=True)
    y = x.detach()
    y *= u
    y[1:].mul_(2)
    assert y.requires_grad and not x.requires_grad
    check(x, [3.0, 12.0])
    y.sum().backward()
    check(u.grad, 1.0 + 4.0)


def test_data_copy_of_a_parameter() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    a.weight.data.copy_(b.weight)
    check(a.weight, b.weight.tolist())
    assert a.weight.is_leaf and a.weight.requires_grad


def test_grad_in_place() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    w.grad.data[0] = 7
    check(w.grad, [7.0, 4.0])
    cr.compile(lambda: w.grad.mul_(2))()
    check(w.grad, [14.0, 8.0])
    w.grad.data.zero_()
    check(w.grad, [0.0, 0.0])


def test_stochastic_gradient_descent_by_hand() -> None:
    model = nn.Linear(2, 1)
    start, x = model.weight.numpy().copy(), cr.tensor([[1.0, 2.0]])
    model(x).sum().backward()
    for p in model.parameters():
        p.data.sub_(0.1 * p.grad)
    check(model.weight, start - 0.1 * np.array([[1.0, 2.0]], np.float32))


# -- transformations and programs ------------------------------------------------------------------
def test_views_inside_grad_and_vmap() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        y.view(-1)[1:].mul_(3)
        return (y * y).sum()

    check(cr.grad(f)(cr.tensor([1.0, 2.0])), [2.0, 36.0])
    check(cr.vmap(cr.grad(f))(cr.ones(2, 2)), [[2.0, 18.0], [2.0, 18.0]])


def test_vmap_of_a_function_that_changes_its_argument() -> None:
    x = cr.zeros(2, 3)
    cr.vmap(lambda column: column[:1].fill_(4), in_axes=1)(x)
    check(x, [[4.0, 4.0, 4.0], [0.0, 0.0, 0.0]])


def test_a_view_as_argument_of_a_program_is_changed_with_its_tensor() -> None:
    x = cr.zeros(3, 2)

    @cr.compile
    def change(part: Any) -> Any:
        part.T[0] = 5
        return part.sum()

    check(change(x[1:]), 10.0)
    check(x, [[0.0, 0.0], [5.0, 0.0], [5.0, 0.0]])


def test_two_arguments_of_a_program_that_changes_one_share_nothing() -> None:
    x = cr.zeros(2, 2)
    step = cr.compile(lambda a, b: (a.add_(1), b.sum())[1], name="step")
    check(step(x, cr.ones(2, 2)), 4.0)
    for other in (x, x.T, x[0].data):
        with pytest.raises(CompileError) as caught:
            step(x, other)
        assert str(caught.value) == (
            "compiled step changes an argument in place, and another argument is a view of it or "
            "the same tensor; pass one of them, and take the view inside"
        )
    check(x, np.ones((2, 2)))


def test_views_made_before_a_program_see_what_it_does() -> None:
    x = cr.zeros(2, 2)
    v = x.T

    @cr.compile
    def step() -> Any:
        v[0].add_(1)
        return (x * v).sum()

    step()
    check(step(), 4.0)
    check(x, [[2.0, 0.0], [2.0, 0.0]])


# -- gradients on and off --------------------------------------------------------------------------
def test_set_grad_enabled_acts_from_the_call_on() -> None:
    cr.set_grad_enabled(False)
    assert not cr.is_grad_enabled()
    cr.set_grad_enabled(True)
    with cr.set_grad_enabled(False):
        assert not cr.is_grad_enabled()
    assert cr.is_grad_enabled()
    decorated = cr.set_grad_enabled(False)(cr.is_grad_enabled)
    assert cr.is_grad_enabled() and not decorated() and cr.is_grad_enabled()


def test_a_leaf_that_requires_a_gradient_is_not_changed_through_a_view() -> None:
    w = cr.ones(2, 2, requires_grad=True)
    for view in (w[0], w.T, w.view(-1)[1:]):
        with pytest.raises(GradientError, match="tensor that requires a gradient"):
            view.zero_()
    check(w.detach(), np.ones((2, 2)))
