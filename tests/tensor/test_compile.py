"""compile: the same as eager, with the interpreter and with native programs; state, guards,
traces."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy_oracle import check, sample

import chainrule as cr
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.errors import CompileError
from chainrule.tensor.capture import depends_on
from chainrule.tensor.pytree import flatten


@pytest.fixture(params=["interpreter", "cpu"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CHAINRULE_BACKEND", request.param)
    return str(request.param)


def test_the_backend_is_the_one_asked_for(backend: str) -> None:
    step = cr.compile(lambda x: x + 1)
    check(step(cr.ones(2)), [2.0, 2.0])
    assert isinstance(step.program(cr.ones(2)).program, InterpretedProgram) == (
        backend == "interpreter"
    )


FUNCTIONS = {
    "arithmetic": lambda x, y: (x + y) * 2 - x / (y * y + 1),
    "matmul": lambda x, y: cr.tanh(x @ y.mT),
    "softmax": lambda x, y: (x.softmax(-1), y.log_softmax(0), x.logsumexp(1)),
    "reductions": lambda x, y: (
        x.sum(0),
        y.mean(),
        x.std(axis=1),
        (x > y).any(),
        x.argmax(1),
        x.prod(1),
    ),
    "movement": lambda x, y: cr.concatenate([x[::-1], y[:, :1].expand(-1, 4), cr.roll(x, 1, 0)]),
    "indices": lambda x, y: x[cr.argmax(y, 0), cr.arange(4)],
    "one_hot": lambda x, y: cr.one_hot(x.argmax(1), 4) * 2,
    "einsum": lambda x, y: cr.einsum("ij,kj->ik", x, y),
    "cumsum": lambda x, y: x.cumsum(1) + y.cumprod(0),
    "where": lambda x, y: cr.where(x > 0, cr.sqrt(cr.abs(x)), y),
    "grad": lambda x, y: cr.grad(lambda v: (cr.sin(v) * y).sum())(x),
    "vmap": lambda x, y: cr.vmap(lambda a, b: (a * b).sum())(x, y),
    "hessian": lambda x, y: cr.hessian(lambda v: (v**3 * y[0]).sum())(x[0]),
    "pytree": lambda x, y: {"a": [x + 1, (y, None)], "name": "result", "n": 3},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_as_eager(name: str) -> None:
    x, y = cr.tensor(sample((3, 4), "float64", 1)), cr.tensor(sample((3, 4), "float64", 2))
    f = FUNCTIONS[name]
    (found, structure), (expected, wanted) = flatten(cr.compile(f)(x, y)), flatten(f(x, y))
    assert structure == wanted
    for a, b in zip(found, expected, strict=True):
        if isinstance(b, cr.Tensor):
            assert a.dtype == b.dtype
            check(a, b.numpy())
        else:
            assert a == b


def make_step(w: cr.Tensor, momentum: cr.Tensor):
    def step(x, y, lr):
        loss = ((x @ w - y) ** 2).mean()
        w.grad = None
        loss.backward()
        momentum.assign(0.9 * momentum + w.grad)
        w.assign(w - lr * momentum)
        return loss

    return step


def regression() -> tuple[cr.Tensor, cr.Tensor, cr.Tensor, cr.Tensor]:
    x = sample((8, 3), "float64", 1)
    y = x @ np.array([1.0, -2.0, 0.5])
    return (
        cr.tensor(x),
        cr.tensor(y),
        cr.zeros(3, dtype="float64", requires_grad=True),
        cr.zeros(3, dtype="float64"),
    )


def test_training_is_the_same_eager_compiled_and_repeated() -> None:
    results = []
    for how in ("eager", "compiled", "repeat"):
        x, y, w, momentum = regression()
        step = make_step(w, momentum)
        if how != "eager":
            step = cr.compile(step)
        if how == "repeat":
            loss = step.repeat(20, x, y, 0.05)
        else:
            for _ in range(20):
                loss = step(x, y, 0.05)
        results.append((loss.item(), w.numpy(), momentum.numpy()))
    for loss, w_, m in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-9)
        np.testing.assert_allclose(w_, results[0][1], rtol=1e-9)
        np.testing.assert_allclose(m, results[0][2], rtol=1e-9)


def test_a_float_argument_is_an_input_and_others_are_constants() -> None:
    @cr.compile
    def f(x, factor, power, negative=False):
        y = x**power * factor
        return -y if negative else y

    for factor in (0.5, 1.5, np.float32(2.5)):
        check(f(cr.ones(2) * 2, factor, 2), [4.0 * factor] * 2)
    assert len(f.traces) == 1
    check(f(cr.ones(2), 1.0, 3), [1.0, 1.0])
    check(f(cr.ones(2), 1.0, 3, negative=True), [-1.0, -1.0])
    assert len(f.traces) == 3


def test_a_float_argument_does_not_widen_and_keeps_its_precision() -> None:
    f = cr.compile(lambda x, lr: x * (1 - lr))
    for dtype in ("float32", "float64"):
        x = cr.tensor([1.0, 3.0], dtype=dtype)
        found = f(x, 0.1)
        assert found.dtype == dtype
        check(found, (x * (1 - 0.1)).numpy())
    assert f(cr.tensor([2]), 0.5).dtype == np.float32
    assert cr.compile(lambda lr: lr * 2)(0.25).item() == 0.5
    check(
        cr.compile(lambda x, lr: (cr.exp(lr) * x, x > lr, x + cr.tensor(lr)))(cr.ones(1), 0.5)[1],
        [True],
    )


def test_new_shapes_and_dtypes_are_new_traces_and_arrays_are_taken() -> None:
    f = cr.compile(lambda x: x.sum(0))
    check(f(np.ones((2, 3), np.float32)), [2.0] * 3)
    check(f(cr.ones(2, 3)), [2.0] * 3)
    assert len(f.traces) == 1
    check(f(cr.ones(4, 3)), [4.0] * 3)
    check(f(np.ones((2, 3))), [2.0] * 3)
    check(f(np.ones((3, 2)).T), [2.0] * 3)
    assert len(f.traces) == 3


def test_guards_on_plain_values_and_tensors_of_the_closure() -> None:
    scale, offset = 2.0, cr.tensor([1.0])

    @cr.compile
    def f(x):
        return x * scale + offset

    check(f(cr.ones(1)), [3.0])
    scale = 3.0
    check(f(cr.ones(1)), [4.0])
    scale = 2.0
    check(f(cr.ones(1)), [3.0])
    assert sum(map(len, f.traces.values())) == 2
    offset.assign([10.0])
    check(f(cr.ones(1)), [12.0])
    assert sum(map(len, f.traces.values())) == 2
    offset = cr.tensor([100.0])
    check(f(cr.ones(1)), [102.0])


def test_guards_on_attributes() -> None:
    class Mode:
        training = True

    mode = Mode()

    @cr.compile
    def f(x):
        depends_on(mode, "training")
        return x * 2 if mode.training else x

    check(f(cr.ones(1)), [2.0])
    mode.training = False
    check(f(cr.ones(1)), [1.0])
    mode.training = True
    check(f(cr.ones(1)), [2.0])
    assert sum(map(len, f.traces.values())) == 2


def test_guard_on_requires_grad() -> None:
    w, b = cr.ones(2, requires_grad=True), cr.ones(2, requires_grad=True)

    @cr.compile
    def step():
        w.grad = b.grad = None
        (w * b).sum().backward()

    step()
    check(b.grad, [1.0, 1.0])
    b.requires_grad_(False)
    step()
    check(w.grad, [1.0, 1.0])
    assert b.grad is None


def test_gradients_without_update_are_left_behind() -> None:
    w = cr.tensor([1.0, 2.0], requires_grad=True)

    @cr.compile
    def backward(x):
        loss = (w * x).sum()
        loss.backward()
        return loss

    backward(cr.ones(2))
    check(w.grad, [1.0, 1.0])
    backward(cr.ones(2))
    check(w.grad, [2.0, 2.0])
    backward(cr.ones(2))
    check(w.grad, [3.0, 3.0])
    backward.repeat(2, cr.ones(2))
    check(w.grad, [5.0, 5.0])
    w.grad = None
    backward(cr.ones(2) * 3)
    check(w.grad, [3.0, 3.0])


def test_gradients_of_an_updated_tensor_stay_as_they_were() -> None:
    x, y, w, momentum = regression()
    cr.compile(make_step(w, momentum))(x, y, 0.1)
    assert w.grad is None
    before = w.grad = cr.ones(3, dtype="float64")
    cr.compile(make_step(w, momentum))(x, y, 0.1)
    assert w.grad is before


def test_a_tensor_assigned_before_its_gradient_is_made_has_it_after_the_call() -> None:
    w = cr.tensor([3.0, 4.0], requires_grad=True)

    def halve_and_differentiate(x):
        w.assign(w / 2)
        (w * w * x).sum().backward()

    for run in (halve_and_differentiate, cr.compile(halve_and_differentiate)):
        w.grad = None
        w.assign(cr.tensor([3.0, 4.0]))
        run(cr.ones(2))
        check(w, [1.5, 2.0])
        check(w.grad, [3.0, 4.0])
        run(cr.ones(2))
        check(w.grad, [4.5, 6.0])


def test_a_tensor_assigned_after_its_gradient_but_not_by_it_keeps_the_gradient() -> None:
    w = cr.tensor([3.0, 4.0], requires_grad=True)

    def differentiate_and_clip():
        (w * w).sum().backward()
        w.assign(w.detach().clip(-3.5, 3.5))

    cr.compile(differentiate_and_clip)()
    check(w, [3.0, 3.5])
    check(w.grad, [6.0, 8.0])


def test_an_embedding_that_shortens_its_rows_learns_by_an_optimizer_outside() -> None:
    losses = []
    for wrap in (lambda f: f, cr.compile):
        cr.manual_seed(0)
        table = cr.nn.Embedding(5, 3, max_norm=1.0)
        optimizer = cr.optim.SGD(table.parameters(), lr=0.1)

        def loss(index, table=table):
            value = (table(index) ** 2).sum()
            value.backward()
            return value

        run, found = wrap(loss), []
        for _ in range(4):
            optimizer.zero_grad()
            found.append(run(cr.tensor([1, 3])).item())
            optimizer.step()
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[1][-1] < 0.5 * losses[1][0]


def test_gradients_of_arguments() -> None:
    f = cr.compile(lambda x: (x * x).sum().backward())
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    f(x)
    check(x.grad, [2.0, 4.0])
    f.repeat(2, x)
    check(x.grad, [6.0, 12.0])


def test_old_expressions_keep_old_values() -> None:
    w = cr.tensor([1.0, 2.0])
    step = cr.compile(lambda: w.assign(w * 2))
    doubled = w * 2
    array = np.array(w)
    step()
    step()
    check(doubled, [2.0, 4.0])
    np.testing.assert_array_equal(array, [1, 2])
    check(w, [4.0, 8.0])
    after = w + 1
    step()
    check(after, [5.0, 9.0])


def test_a_program_does_not_switch_gradients_for_what_comes_after_it() -> None:
    def step() -> cr.Tensor:
        cr.set_grad_enabled(False)
        return cr.ones(2)

    with pytest.raises(CompileError) as caught:
        cr.compile(step)()
    assert cr.is_grad_enabled()
    assert str(caught.value) == (
        "compiled step switches gradients off for what comes after it, which a program cannot do; "
        "write `with cr.set_grad_enabled(...):`, or call it outside"
    )


def test_results_do_not_share_memory_with_state() -> None:
    w = cr.tensor([1.0, 2.0])
    step = cr.compile(lambda: (w.assign(w + 1), w.reshape(1, 2)))
    same, view = step()
    assert same is w
    step()
    check(view, [[2.0, 3.0]])
    check(w, [3.0, 4.0])


def test_all_updates_read_the_old_state() -> None:
    a, b = cr.tensor([1.0]), cr.tensor([2.0])

    @cr.compile
    def swap():
        old = a * 1
        a.assign(b)
        b.assign(old)

    swap()
    check(a, [2.0])
    check(b, [1.0])
    swap.repeat(3)
    check(a, [1.0])
    check(b, [2.0])


def test_reading_after_assigning() -> None:
    w = cr.tensor([1.0], requires_grad=True)

    @cr.compile
    def two_steps():
        for _ in range(2):
            w.grad = None
            (w**2).sum().backward()
            w.assign(w - 0.25 * w.grad)
        return w.sum()

    check(two_steps(), 0.25)
    check(two_steps(), 0.0625)
    check(w.detach(), [0.0625])


def test_in_place_changes_of_state_and_arguments() -> None:
    total, counts = cr.zeros(2), cr.zeros(3, dtype="int64")

    @cr.compile
    def step(x, buffer):
        nonlocal total
        total += x
        counts[1] = counts[1] + 1
        buffer *= 2
        return buffer.sum()

    buffer = cr.ones(2)
    check(step(cr.ones(2), buffer), 4.0)
    step.repeat(2, cr.ones(2), buffer)
    check(total, [3.0, 3.0])
    check(counts, [0, 3, 0])
    check(buffer, [8.0, 8.0])


def test_state_as_an_argument_too() -> None:
    w = cr.tensor([1.0])
    step = cr.compile(lambda x: w.assign(w + x))
    step(w)
    check(w, [2.0])
    step.repeat(3, w)  # the argument is the value at the call
    check(w, [8.0])


def test_shared_array_is_not_written_to() -> None:
    x = np.ones(2, np.float32)
    w = cr.asarray(x)
    step = cr.compile(lambda: w.assign(w + 1))
    step.repeat(3)
    check(w, [4.0, 4.0])
    np.testing.assert_array_equal(x, 1)


def test_methods_and_nested_compiled_functions() -> None:
    class Counter:
        def __init__(self) -> None:
            self.n = cr.zeros((), dtype="int64")

        @cr.compile
        def add(self, k):
            return self.n.assign(self.n + k)

    a, b = Counter(), Counter()
    a.add(cr.tensor(2))
    a.add.repeat(3, cr.tensor(2))
    b.add(cr.tensor(5))
    assert (a.n.item(), b.n.item()) == (8, 5)
    outer = cr.compile(lambda: a.add(cr.tensor(1)) * 10)
    assert outer().item() == 90
    assert a.n.item() == 9


def test_inside_transformations() -> None:
    f = cr.compile(lambda x: (x**3).sum())
    check(cr.grad(f)(cr.tensor([1.0, 2.0])), [3.0, 12.0])
    check(cr.vmap(f)(cr.ones(2, 3)), [3.0, 3.0])
    assert not f.traces


def test_capture_leaves_nothing_behind() -> None:
    w = cr.tensor([1.0], requires_grad=True)

    @cr.compile
    def broken(x):
        w.assign(w + 1)
        w.grad = None
        (w * x).sum().backward()
        raise RuntimeError("stop")

    before = w.grad = cr.ones(1)
    with pytest.raises(RuntimeError, match="stop"):
        broken(cr.ones(1))
    assert w.grad is before
    check(w.detach(), [1.0])
    check((w * 2).detach(), [2.0])


def test_static_results_and_none() -> None:
    note = object()
    assert cr.compile(lambda x: None)(cr.ones(1)) is None
    result = cr.compile(lambda x: (x.shape, note, x))(cr.ones(2))
    assert result[0] == (2,)
    assert result[1] is note


def test_numbers_known_while_tracing_can_be_used() -> None:
    f = cr.compile(lambda x: x[cr.tensor([0, 2])] * cr.tensor([1.0, 2.0]).sum().item())
    check(f(cr.arange(3).float()), [0.0, 6.0])


def test_a_constant_that_was_looked_at_stays_a_constant() -> None:
    @cr.compile
    def f(x):
        table = cr.arange(3) * 2
        assert table.sum().item() == 6
        assert table.tolist() == [0, 2, 4]
        return x + table

    check(f(cr.ones(3)), [1.0, 3.0, 5.0])


def test_the_argument_of_a_gradient_may_be_assigned_inside() -> None:
    w = cr.tensor([3.0])

    def f(x):
        w.assign(w * 10)
        return (x * x).sum()

    check(cr.compile(lambda: cr.grad(f)(w))(), [6.0])
    check(w, [30.0])


def test_empty_tensors_and_scalars() -> None:
    f = cr.compile(lambda x, s: (x.sum(), x * s, s * 2))
    total, product, double = f(cr.zeros(0, 3), cr.tensor(2.0))
    check(total, 0.0)
    assert product.shape == (0, 3)
    check(double, 4.0)


def test_many_traces_are_warned_about() -> None:
    f = cr.compile(lambda x, n: x * n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(40):
            f.program(cr.ones(1), n)
    assert len(caught) == 1
    assert "was traced 32 times: its arguments change shape" in str(caught[0].message)


def test_name_and_documentation_stay() -> None:
    @cr.compile
    def step(x):
        """What it does."""
        return x

    assert step.__name__ == "step"
    assert step.__doc__ == "What it does."
    assert repr(step) == "<compiled step>"
    assert repr(cr.compile(lambda x: x, name="other")) == "<compiled other>"
