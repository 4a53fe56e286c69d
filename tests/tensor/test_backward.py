"""backward, .grad, no_grad, leaves, in-place changes: PyTorch's habits."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from numpy_oracle import check

import chainrule as cr
from chainrule.errors import GradientError


def leaf(*numbers: float) -> cr.Tensor:
    return cr.tensor(list(numbers), dtype="float32", requires_grad=True)


def test_gradients_add_up() -> None:
    w = leaf(1, 2)
    (w * w).sum().backward()
    (3 * w).sum().backward()
    check(w.grad, [5.0, 7.0])
    w.grad = None
    (3 * w).sum().backward()
    check(w.grad, [3.0, 3.0])


def test_only_leaves_that_are_reached_get_a_gradient() -> None:
    w, unused, frozen = leaf(1), leaf(1), cr.tensor([2.0])
    y = w * frozen
    y.sum().backward()
    check(w.grad, [2.0])
    assert unused.grad is None
    assert frozen.grad is None
    assert y.grad is None


def test_retain_grad() -> None:
    w = leaf(1, 2)
    y = w * 3
    y.retain_grad()
    (y * y).sum().backward()
    check(y.grad, [6.0, 12.0])
    check(w.grad, [18.0, 36.0])


def test_backward_of_a_tensor_with_a_cotangent() -> None:
    w = leaf(1, 2)
    (w * w).backward(cr.tensor([1.0, 10.0]))
    check(w.grad, [2.0, 40.0])


def test_second_backward() -> None:
    w = leaf(2)
    loss = (w**3).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    check(w.grad, [24.0])
    with pytest.raises(GradientError, match="retain_graph=True"):
        loss.backward()


def test_create_graph() -> None:
    w = leaf(2)
    (w**3).sum().backward(create_graph=True)
    first = w.grad
    assert first is not None
    assert first.requires_grad
    w.grad = None
    first.sum().backward()
    check(w.grad, [12.0])


def test_detach_and_stop_gradient_and_data() -> None:
    w = leaf(3)
    (w * w.detach() + cr.stop_gradient(w) + w.data).sum().backward()
    check(w.grad, [3.0])


def test_no_grad() -> None:
    w = leaf(3)
    with cr.no_grad():
        constant = w * 2
        assert not cr.is_grad_enabled()
        with cr.enable_grad():
            inner = w * 5
    assert cr.is_grad_enabled()
    assert not constant.requires_grad
    (w * constant + inner).sum().backward()
    check(w.grad, [11.0])

    @cr.no_grad()
    def frozen(x: cr.Tensor) -> cr.Tensor:
        return x * 2

    assert not frozen(w).requires_grad
    with cr.set_grad_enabled(False):
        assert not (w * 2).requires_grad


def test_the_value_of_the_forward_pass_counts() -> None:
    w = leaf(2)
    loss = (w * w).sum()
    w.assign([10.0])
    assert loss.item() == 4
    loss.backward()
    check(w.grad, [4.0])


def test_in_place_on_a_leaf() -> None:
    w = leaf(1, 2)
    same = w
    with cr.no_grad():
        w -= 0.5
        w.mul_(2)
        w[0] = 7.0
    assert w is same
    assert w.requires_grad
    assert w.is_leaf
    check(w.detach(), [7.0, 3.0])
    for change in (
        lambda: w.add_(1),
        lambda: w.__iadd__(1),
        lambda: w.__setitem__(0, 1.0),
        w.zero_,
    ):
        with pytest.raises(GradientError, match="under `with cr.no_grad"):
            change()
    check(w.detach(), [7.0, 3.0])


def test_in_place_on_what_is_computed_keeps_the_gradient() -> None:
    w = leaf(1, 2)
    total = cr.zeros(2)
    for i in range(3):
        total += w * i
    assert total.requires_grad
    assert not total.is_leaf
    total.sum().backward()
    check(w.grad, [3.0, 3.0])


def test_in_place_methods() -> None:
    x = cr.tensor([1.0, -2.0])
    assert x.abs_() is x
    x.add_(1).mul_(2).sub_(cr.tensor([1.0, 1.0])).div_(3).clamp_(max=1)
    check(x, [1.0, 1.0])
    x.fill_(4)
    check(x, [4.0, 4.0])
    x.copy_(cr.tensor(2))
    check(x, [2.0, 2.0])
    x.zero_()
    check(x, [0.0, 0.0])


def test_requires_grad() -> None:
    x = cr.randn(3)
    y = x * 1
    x.requires_grad_()
    assert x.is_leaf
    assert not y.requires_grad
    (x * 2).sum().backward()
    check(x.grad, [2.0, 2.0, 2.0])
    x.requires_grad = False
    assert not (x * 2).requires_grad
    d = (leaf(1) * 3).detach().requires_grad_()
    (d * d).sum().backward()
    check(d.grad, [6.0])


def test_two_leaves_with_one_value_are_two() -> None:
    x = cr.zeros(2)
    a, b = x.reshape(2).requires_grad_(), x.detach().requires_grad_()
    (a * 2 + b * 3).sum().backward()
    check(a.grad, [2.0, 2.0])
    check(b.grad, [3.0, 3.0])
    assert not x.requires_grad


def test_comparisons_have_no_gradient() -> None:
    w = leaf(1, 2)
    assert not (w > 1).requires_grad
    assert not w.argmax().requires_grad
    assert not w.long().requires_grad
    (w * (w > 1)).sum().backward()
    check(w.grad, [0.0, 1.0])


def test_a_training_loop() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5], np.float32)
    w = cr.zeros(3, requires_grad=True)
    for _ in range(200):
        loss = ((x @ w - y) ** 2).mean()
        w.grad = None
        loss.backward()
        with cr.no_grad():
            w -= 0.2 * w.grad
    check(w.detach(), [1.0, -2.0, 0.5], 1e-3)


def test_graphs_are_freed() -> None:
    w = leaf(1.0)
    node = weakref.ref((w * 2 + 1).node)
    gc.collect()
    assert node() is None
    x = cr.tensor(1.0)
    for _ in range(5):
        x = x * 0.5
        float(x)
    assert x._array is not None  # a leaf again: what it was computed from is gone


def test_long_chains() -> None:
    x = w = cr.tensor(1.0, dtype="float64", requires_grad=True)
    for _ in range(5000):
        x = x * 1.0001
    x.backward()
    assert w.grad is not None
    assert w.grad.item() == pytest.approx(1.0001**5000)
