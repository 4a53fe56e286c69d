"""A module as a function of its weights; many modules at once."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import CompileError, OptionError, ShapeError
from chainrule.func import functional_call, stack_module_state
from chainrule.nn import functional as F

X = cr.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = cr.tensor([[0.0], [1.0], [1.0], [0.0]])


def nets(count: int, *more: nn.Module) -> list[nn.Sequential]:
    cr.manual_seed(3)
    return [nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)) for _ in range(count)]


def test_other_weights_stand_in_for_the_call_only() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    before = net(X).numpy()
    weight = net[0].weight
    found = functional_call(net, {"0.weight": cr.zeros(2, 2), "0.bias": [0.0, 0.0]}, X)
    np.testing.assert_array_equal(found.numpy(), np.tile(net[1].bias.numpy(), (4, 1)))
    assert net[0].weight is weight
    np.testing.assert_array_equal(net(X).numpy(), before)
    with pytest.raises(ShapeError):
        functional_call(net, {"0.weight": cr.zeros(2, 2)}, cr.zeros(4, 3))
    assert net[0].weight is weight  # also after an error


def test_dicts_arguments_and_keywords() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter([2.0])
            self.register_buffer("shift", cr.tensor([1.0]))

        def forward(self, a, b=0.0, *, factor=1.0):
            return (self.w * a + self.shift + b) * factor

    m = Scaled()
    new = {"w": cr.tensor([3.0])}, {"shift": cr.tensor([10.0])}
    assert functional_call(m, new, (cr.tensor([1.0]), 5.0), {"factor": 2.0}).item() == 36.0
    assert functional_call(m, new, cr.tensor([1.0])).item() == 13.0
    assert functional_call(m, {}, kwargs={"a": cr.tensor([1.0])}).item() == 3.0


def test_gradients_are_those_of_the_module() -> None:
    [net] = nets(1)
    weights = {k: p.detach() for k, p in net.named_parameters()}

    def loss(w, x):
        return F.binary_cross_entropy_with_logits(functional_call(net, w, x), Y)

    found = cr.grad(loss)(weights, X)
    compiled = cr.compile(lambda w, x: cr.grad(loss)(w, x))(weights, X)
    F.binary_cross_entropy_with_logits(net(X), Y).backward()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(found[name].numpy(), p.grad.numpy(), atol=1e-7)
        np.testing.assert_allclose(compiled[name].numpy(), p.grad.numpy(), atol=1e-7)
    cr.check_grads(lambda w: loss(w, X.double()), [weights])


def test_many_nets_train_as_each_would_alone() -> None:
    each = nets(5)
    stacked, _ = stack_module_state(each)
    assert stacked["0.weight"].shape == (5, 3, 2) and stacked["0.weight"].is_leaf
    together = optim.SGD(stacked.values(), lr=0.5, momentum=0.9)

    def loss(w):
        return F.binary_cross_entropy_with_logits(functional_call(each[0], w, X), Y)

    @cr.compile
    def step():
        losses = cr.vmap(loss)(stacked)
        together.zero_grad()
        losses.sum().backward()
        together.step()
        return losses

    for _ in range(20):
        losses = step()
    for i, net in enumerate(each):
        alone = optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
        for _ in range(20):
            one = F.binary_cross_entropy_with_logits(net(X), Y)
            alone.zero_grad()
            one.backward()
            alone.step()
        np.testing.assert_allclose(losses[i].item(), one.item(), rtol=2e-5)
        np.testing.assert_allclose(
            stacked["2.weight"][i].numpy(), net[2].weight.numpy(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("graded", [False, True])
def test_buffers_of_every_net_move_by_its_own_batches(compiled: bool, graded: bool) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))

    cr.manual_seed(1)
    each = [make() for _ in range(4)]
    stacked, buffers = stack_module_state(each)

    def loss(w, b):
        return (functional_call(each[0], (w, b), X) ** 2).mean()

    f = cr.vmap(cr.grad(loss) if graded else loss)
    run = cr.compile(lambda: f(stacked, buffers)) if compiled else lambda: f(stacked, buffers)
    for _ in range(2):
        run()
    for i, net in enumerate(each):
        net(X), net(X)
        np.testing.assert_allclose(
            buffers["1.running_mean"][i].numpy(), net[1].running_mean.numpy(), rtol=1e-5, atol=1e-7
        )
        assert buffers["1.num_batches_tracked"][i].item() == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_state_that_a_differentiated_function_changes(compiled: bool) -> None:
    seen = cr.zeros(2)
    scale = cr.tensor([2.0, 3.0])

    def loss(w):
        seen.assign(seen + w * scale)
        return (w * w).sum()

    w = cr.tensor([1.0, 10.0])
    run = cr.compile(lambda: cr.grad(loss)(w)) if compiled else lambda: cr.grad(loss)(w)
    for n in (1, 2):
        np.testing.assert_array_equal(run().numpy(), [2.0, 20.0])
        np.testing.assert_array_equal(seen.numpy(), [2.0 * n, 30.0 * n])
    hessian = cr.compile(lambda: cr.hessian(loss)(w)) if compiled else lambda: cr.hessian(loss)(w)
    hessian()
    np.testing.assert_array_equal(seen.numpy(), [6.0, 90.0])


def test_a_tensor_made_inside_and_changed_within_grad() -> None:
    @cr.compile
    def f(w):
        total = cr.zeros(2)

        def loss(w):
            nonlocal total
            total += w * 2
            return (w * w).sum()

        return cr.grad(loss)(w), total

    gradient, total = f(cr.tensor([1.0, 4.0]))
    np.testing.assert_array_equal(gradient.numpy(), [2.0, 8.0])
    np.testing.assert_array_equal(total.numpy(), [2.0, 8.0])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_shared_buffer_cannot_become_many(compiled: bool) -> None:
    each = [nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2)]
    stacked, _ = stack_module_state(each)
    f = cr.vmap(lambda w: functional_call(each[0], w, X))
    with pytest.raises(CompileError, match="assign.*gives a tensor from outside a value that diff"):
        cr.compile(lambda: f(stacked))() if compiled else f(stacked)


def test_dropout_differs_where_it_is_asked_to() -> None:
    drop = nn.Dropout(0.5)
    x = cr.ones(3, 200)
    same = cr.vmap(lambda x: functional_call(drop, {}, x))(x).numpy()
    assert (same[0] == same[1]).all()
    different = cr.func.vmap(drop, randomness="different")(x).numpy()
    assert 60 < (different[0] != different[1]).sum() < 140
    with pytest.raises(OptionError, match='inside vmap with randomness="error"'):
        cr.func.vmap(drop)(x)
    drop.eval()
    np.testing.assert_array_equal(cr.func.vmap(drop)(x).numpy(), x.numpy())


def test_tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    m, eye, x = Tied(), cr.eye(2), cr.ones(1, 2)
    found = functional_call(m, {"a.weight": 2 * eye}, x)
    np.testing.assert_array_equal(found.numpy(), [[4.0, 4.0]])
    found = functional_call(m, {"b.weight": 2 * eye}, x)
    np.testing.assert_array_equal(found.numpy(), [[4.0, 4.0]])
    both = {"a.weight": 2 * eye, "b.weight": 3 * eye}
    found = functional_call(m, both, x, tie_weights=False)
    np.testing.assert_array_equal(found.numpy(), [[6.0, 6.0]])
    with pytest.raises(OptionError) as error:
        functional_call(m, both, x)
    assert str(error.value) == (
        "functional_call: a.weight, b.weight are one tensor of the module, and get several; give it"
        " under one name, or say tie_weights=False"
    )


def test_mistakes_are_named() -> None:
    [net] = nets(1)
    with pytest.raises(OptionError) as error:
        functional_call(net, {"0.wieght": X}, X)
    assert str(error.value) == (
        "functional_call: Sequential has no parameter or buffer 0.wieght; it has 0.weight, 0.bias, "
        "2.weight, 2.bias"
    )
    with pytest.raises(ShapeError) as shape:
        functional_call(net, {"0.weight": cr.zeros(5, 3, 2)}, X)
    assert str(shape.value) == (
        "functional_call: 0.weight has shape (3, 2), got (5, 3, 2); for several values of it at "
        "once map the call: cr.vmap"
    )
    with pytest.raises(OptionError, match="strict=True: 2.weight, 2.bias not given"):
        functional_call(net, dict(net[0].named_parameters(prefix="0")), X, strict=True)
    with pytest.raises(OptionError, match="0.bias in more than one of the dicts"):
        functional_call(net, ({"0.bias": cr.zeros(3)}, {"0.bias": cr.zeros(3)}), X)
    with pytest.raises(OptionError, match="at least one module, got none"):
        stack_module_state([])
    with pytest.raises(OptionError, match="modules of one class are stacked, got Linear and, at 1"):
        stack_module_state([nn.Linear(1, 1), nn.Tanh()])
    with pytest.raises(OptionError, match="some modules are in training and some in evaluation"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1).eval()])
    with pytest.raises(
        ShapeError, match=r"weight is float32\[1, 1\] in module 0 and float32\[1, 2"
    ):
        stack_module_state([nn.Linear(1, 1), nn.Linear(2, 1)])
    with pytest.raises(OptionError, match="module 1 and module 0 differ in bias"):
        stack_module_state([nn.Linear(1, 1), nn.Linear(1, 1, bias=False)])
