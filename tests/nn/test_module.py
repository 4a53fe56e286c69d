"""Module: parameters by name, state dicts, modes, hooks, containers, text."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2))])
        self.scale = nn.Parameter([1.0])
        self.register_buffer("offset", cr.tensor([0.5]))
        self.register_buffer("scratch", cr.tensor([0.0]), persistent=False)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.scale * x + self.offset


def test_names() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.1.weight",
        "blocks.1.1.bias",
    ]
    assert [n for n, _ in net.named_buffers()] == ["offset", "scratch"]
    assert [n for n, _ in net.named_modules()] == [
        "",
        "first",
        "blocks",
        "blocks.0",
        "blocks.1",
        "blocks.1.0",
        "blocks.1.1",
    ]
    assert (
        list(net.state_dict())
        == [n for n, _ in net.named_parameters()][:1]
        + ["offset"]
        + [n for n, _ in net.named_parameters()][1:]
    )
    assert net.get_submodule("blocks.1.1") is net.blocks[1][1]
    assert (
        net.get_parameter("first.weight") is net.first.weight
        and net.get_buffer("offset") is net.offset
    )
    assert len(list(net.children())) == 2 and len(list(net.parameters(recurse=False))) == 1


def test_a_shared_parameter_counts_once() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(net.state_dict()) == 4


def test_state_dict_is_a_picture_of_now() -> None:
    layer = nn.Linear(2, 1)
    before = layer.state_dict()
    numbers = layer.weight.numpy().copy()
    nn.init.zeros_(layer.weight)
    assert np.array_equal(before["weight"].numpy(), numbers)
    layer.load_state_dict(before)
    assert np.array_equal(layer.weight.numpy(), numbers) and layer.weight.requires_grad


def test_state_dict_is_a_picture_of_before_a_compiled_step() -> None:
    layer = nn.Linear(2, 1)
    before = layer.state_dict()
    numbers = layer.weight.numpy().copy()

    @cr.compile
    def double() -> None:
        layer.weight.assign(layer.weight.detach() * 2)

    double()
    assert np.array_equal(before["weight"].numpy(), numbers)
    assert np.array_equal(layer.weight.numpy(), 2 * numbers)


def test_load_state_dict_not_strict() -> None:
    layer = nn.Linear(2, 1)
    result = layer.load_state_dict({"weight": np.ones((1, 2)), "other": np.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["other"]
    assert layer.weight.tolist() == [[1.0, 1.0]]


def test_training_mode_is_a_guard() -> None:
    net = nn.Sequential(nn.Dropout(0.5))
    traced = []

    @cr.compile
    def run(x: cr.Tensor) -> cr.Tensor:
        traced.append(1)
        return net(x)

    x = cr.ones(1000)
    assert 0.3 < (run(x).numpy() == 0).mean() < 0.7
    first, second = run(x).numpy(), run(x).numpy()
    assert not np.array_equal(first, second)
    net.eval()
    assert np.array_equal(run(x).numpy(), np.ones(1000))
    net.train()
    assert (run(x).numpy() == 0).any() and len(traced) == 2


def test_batch_norm_statistics_in_a_compiled_function() -> None:
    eager, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    run = cr.compile(lambda x: other(x))
    for seed in range(3):
        x = cr.tensor(np.random.default_rng(seed).normal(size=(8, 3)).astype(np.float32))
        np.testing.assert_allclose(run(x).numpy(), eager(x).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other.running_var.numpy(), eager.running_var.numpy(), rtol=1e-6)
    assert other.num_batches_tracked.item() == 3


def test_dropout_keeps_the_mean_and_is_replayable() -> None:
    for layer, low in ((nn.Dropout(0.3), 0.0), (nn.AlphaDropout(0.3), None)):
        cr.manual_seed(3)
        a = layer(cr.ones(20_000)).numpy()
        cr.manual_seed(3)
        assert np.array_equal(layer(cr.ones(20_000)).numpy(), a)
        assert abs((a != a.max()).mean() - 0.3) < 0.02
        if low is not None:
            assert abs(a.mean() - 1) < 0.02
    x = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    y = nn.AlphaDropout(0.2)(x).numpy()
    assert abs(y.mean()) < 0.03 and abs(y.std() - 1) < 0.03


def test_dropout_at_its_ends() -> None:
    x = cr.ones(5)
    assert nn.Dropout(0.0)(x).tolist() == [1.0] * 5 and nn.Dropout(1.0)(x).tolist() == [0.0] * 5


def test_to_dtype() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    assert {t.dtype.name for t in net.state_dict().values()} == {"float64", "int64"}
    assert net(cr.zeros(3, 2, dtype="float64")).dtype == np.float64
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())
    assert net.float()[0].weight.dtype == np.float32


def test_freezing() -> None:
    net = Net().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(cr.zeros(2, 4)).requires_grad
    net.first.requires_grad_()
    net(cr.ones(2, 4)).sum().backward()
    assert net.first.weight.grad is not None and net.scale.grad is None
    net.zero_grad()
    assert net.first.weight.grad is None


def test_forward_hooks() -> None:
    net = Net()
    seen: list[tuple[int, ...]] = []
    with net.first.register_forward_hook(lambda m, args, out: seen.append(out.shape)):
        net(cr.zeros(5, 4))
    net(cr.zeros(5, 4))
    assert seen == [(5, 3)]
    net.first.register_forward_hook(lambda m, args, out: out * 0)
    net.first.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    assert net.first(cr.zeros(5, 4)).tolist() == [[0.0] * 3] * 5


def test_backward_hooks_read_and_change_gradients() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))
    seen = []
    handle = net[1].register_full_backward_hook(
        lambda m, grad_in, grad_out: seen.append((grad_in[0].numpy(), grad_out[0].numpy()))
    )
    x = cr.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    net(x).sum().backward()
    weight = net[2].weight.numpy()
    expected = net[0].weight.grad.numpy()
    np.testing.assert_allclose(seen[0][1], np.repeat(weight, 4, axis=0), rtol=1e-6)
    activation = np.tanh(net[0](x).detach().numpy())
    np.testing.assert_allclose(seen[0][0], seen[0][1] * (1 - activation**2), rtol=1e-5)
    handle.remove()
    net.zero_grad()
    net[1].register_full_backward_hook(lambda m, grad_in, grad_out: (grad_in[0] * 2,))
    net(x).sum().backward()
    np.testing.assert_allclose(net[0].weight.grad.numpy(), 2 * expected, rtol=1e-6)


def test_backward_hook_of_the_first_layer() -> None:
    layer = nn.Linear(2, 1)
    seen = []
    layer.register_full_backward_hook(
        lambda m, grad_in, grad_out: seen.append((grad_in, grad_out[0].tolist()))
    )
    layer(cr.zeros(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]


def test_containers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    net.append(nn.Linear(3, 1)).insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear"]
    assert len(net[1:3]) == 2 and net[-1] is net[3]
    del net[1]
    net[1] = nn.Sigmoid()
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    named = nn.Sequential({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert named.a is named[0]
    table = nn.ModuleDict({"x": nn.Linear(1, 1)})
    table["y"] = nn.ReLU()
    assert list(table) == ["x", "y"] and "x" in table and len(table) == 2
    listed = nn.ParameterList([nn.Parameter([1.0]), cr.tensor([2.0])])
    assert [p.item() for p in listed] == [1.0, 2.0] and list(listed.state_dict()) == ["0", "1"]


def test_repr_is_pytorchs() -> None:
    assert repr(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.2)))) == (
        "Sequential(\n"
        "  (0): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Dropout(p=0.2)\n"
        "  )\n"
        ")"
    )


def test_copies() -> None:
    net = Net()
    other = copy.deepcopy(net)
    nn.init.zeros_(other.scale)
    assert net.scale.item() == 1 and isinstance(other.scale, nn.Parameter)
    restored = pickle.loads(pickle.dumps(net.first))
    assert (
        np.array_equal(restored.weight.numpy(), net.first.weight.numpy())
        and restored.weight.requires_grad
    )


def test_apply_and_attributes() -> None:
    net = Net()
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Net" and seen.count("Linear") == 3
    net.scale = None
    assert "scale" not in net.state_dict()
    del net.first
    assert not hasattr(net, "first")
    assert "blocks" in dir(net)


def test_embedding_with_padding_starts_at_zero() -> None:
    layer = nn.Embedding(4, 2, padding_idx=1)
    assert layer.weight.numpy()[1].tolist() == [0.0, 0.0]
    fixed = nn.Embedding.from_pretrained(np.eye(3, dtype=np.float32))
    assert not fixed.weight.requires_grad and fixed(cr.tensor([2])).tolist() == [[0.0, 0.0, 1.0]]


def test_ints_are_taken_as_floats() -> None:
    layer = nn.Linear(2, 1)
    x = np.array([[1, 2]], np.uint8)
    assert layer(x).numpy() == pytest.approx(layer(x.astype(np.float32)).numpy())
