"""What PyTorch's goldens cannot show: random parts in training, and options of ours."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional as F


def test_rrelu_draws_a_slope_for_each_element() -> None:
    x = -cr.ones(20_000, requires_grad=True)
    layer = nn.RReLU(0.2, 0.6)
    y = layer(x)
    slopes = -y.numpy()
    assert 0.2 <= slopes.min() < 0.21 and 0.59 < slopes.max() <= 0.6
    assert abs(slopes.mean() - 0.4) < 0.005
    z = cr.tensor([2.0, -1.0, -4.0], requires_grad=True)
    y = layer(z)
    y.sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), y.numpy() / z.numpy(), rtol=1e-6)
    assert y.numpy()[0] == 2


CHANNELS = {
    "Dropout1d": (40, 30, 5),
    "Dropout1d of one": (900, 5),
    "Dropout2d": (40, 30, 2, 3),
    "Dropout2d of sequences": (40, 30, 5),
    "Dropout3d": (40, 30, 2, 2, 2),
    "Dropout3d of one": (900, 2, 2, 2),
    "FeatureAlphaDropout": (40, 30, 2, 3),
}


@pytest.mark.parametrize("name", list(CHANNELS))
def test_channels_are_dropped_whole(name: str) -> None:
    shape = CHANNELS[name]
    y = getattr(nn, name.split()[0])(0.3)(cr.ones(shape)).numpy()
    pixels = 1 if name.endswith("of one") else 2
    flat = y.reshape(math.prod(shape[:pixels]), -1)
    assert (flat == flat[:, :1]).all()
    kept = flat[:, 0] == flat.max()
    assert abs(kept.mean() - 0.7) < 0.05
    if "Alpha" not in name:
        assert flat[:, 0] == pytest.approx(np.where(kept, 1 / 0.7, 0))


def test_gumbel_softmax_samples_the_distribution() -> None:
    p = np.array([0.1, 0.6, 0.3])
    logits = cr.tensor(np.broadcast_to(np.log(p), (20_000, 3)).copy(), requires_grad=True)
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    assert (hard.numpy().sum(1) == 1).all()
    np.testing.assert_allclose(hard.numpy().mean(0), p, atol=0.02)
    (hard * cr.tensor([1.0, 2.0, 3.0]).double()).sum().backward()
    assert np.abs(logits.grad.numpy()).max() > 0.01
    soft = F.gumbel_softmax(logits, tau=5.0, dim=1).numpy()
    np.testing.assert_allclose(soft.sum(1), 1)
    assert 0 < soft.min() < soft.max() < 1


def test_softmax_converts_first() -> None:
    x = cr.tensor([0.1, 0.7], requires_grad=True)
    assert F.softmax(x, 0, dtype="float64").dtype == np.float64
    assert F.log_softmax(x, dim=0, dtype="float64").dtype == np.float64
    assert F.softmin(x, dim=0).dtype == np.float32


def test_a_bag_is_the_mean_of_its_embeddings() -> None:
    """With the gradient divided by frequencies too (PyTorch 2 divides by those of other rows)."""
    table = np.random.default_rng(0).normal(size=(5, 3))
    index = cr.tensor([[1, 2, 1], [4, 4, 4]])
    gradients = []
    for bag in (True, False):
        weight = nn.Parameter(table)
        if bag:
            y = F.embedding_bag(index, weight, scale_grad_by_freq=True)
        else:
            y = F.embedding(index, weight, scale_grad_by_freq=True).mean(axis=1)
        (y * cr.tensor([[1.0, 2.0, 3.0]]).double()).sum().backward()
        gradients.append(weight.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-14)


def test_max_norm_shortens_what_is_looked_up_also_compiled() -> None:
    table = np.array([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]])
    layers = [nn.Embedding.from_pretrained(table, max_norm=1.0) for _ in range(2)]
    index = cr.tensor([1, 2])
    layers[0](index)
    cr.compile(lambda: layers[1](index))()
    for layer in layers:
        np.testing.assert_allclose(
            layer.weight.numpy(), [[3, 4], [0.6, 0.8], [0.3, 0.4]], rtol=1e-6
        )


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_the_gradient_of_a_shortened_row_is_that_of_the_short_one(how: str) -> None:
    table = np.array([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    layer = nn.Embedding.from_pretrained(table, freeze=False, max_norm=1.0)
    optimizer = cr.optim.SGD(layer.parameters(), lr=0.1)
    shares = cr.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64")

    def step(index: cr.Tensor) -> cr.Tensor:
        optimizer.zero_grad()
        loss = (layer(index) * shares).sum()
        loss.backward()
        optimizer.step()
        return loss

    (cr.compile(step) if how == "compiled" else step)(cr.tensor([0, 1]))
    expected = [[0.6 - 0.1, 0.8 - 0.2], [0.3 - 0.3, 0.4 - 0.4], [6, 8]]
    np.testing.assert_allclose(layer.weight.numpy(), expected, rtol=1e-6, atol=1e-15)


def test_layers_of_a_stack_are_copies_with_the_same_numbers() -> None:
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 5), 2)
    first, second = (layer.linear1.weight for layer in stack.layers)
    assert first is not second and np.array_equal(first.numpy(), second.numpy())
    for layer in stack.layers:
        layer.linear1.reset_parameters()
    assert not np.array_equal(first.numpy(), second.numpy())
    assert not np.array_equal(nn.Conv2d(1, 1, 3).weight.numpy(), nn.Conv2d(1, 1, 3).weight.numpy())


def test_padding_in_a_bag_of_nothing_else() -> None:
    layer = nn.EmbeddingBag(4, 2, mode="max", padding_idx=0)
    assert layer(cr.tensor([[0, 0]])).tolist() == [[0.0, 0.0]]


def test_parameter_dict_and_buffer() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = nn.ParameterDict({"a": nn.Parameter([1.0]), "b": cr.tensor([2.0])})
            self.seen = nn.Buffer([0.0])
            self.scratch = nn.Buffer([0.0], persistent=False)

    net = Net()
    assert list(net.state_dict()) == ["seen", "scales.a", "scales.b"]
    assert len(list(net.parameters())) == 2 and len(list(net.buffers())) == 2
    assert "a" in net.scales and net.scales.pop("a").item() == 1 and list(net.scales) == ["b"]
    assert net.scales.get("a") is None and [v.item() for v in net.scales.values()] == [2.0]
    net.scales.clear()
    assert len(net.scales) == 0


def test_containers_grow_and_shrink() -> None:
    net = nn.Sequential(nn.Linear(1, 1)) + nn.Sequential(nn.ReLU())
    net += [nn.Tanh()]
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Tanh"]
    assert type(net.pop(1)).__name__ == "ReLU" and len(net) == 2
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert isinstance(table.pop("a"), nn.ReLU) and list(table.keys()) == ["b"]
    table.clear()
    assert len(table) == 0
    listed = nn.ParameterList()
    listed += [nn.Parameter([1.0])]
    assert len(listed) == 1


def test_set_submodule_and_assign() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    net.set_submodule("0.1", nn.Tanh())
    assert isinstance(net[0][1], nn.Tanh)
    state = {k: v.numpy().astype(np.float64) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    assert net[0][0].weight.dtype == np.float32
    net.load_state_dict(state, assign=True)
    assert net[0][0].weight.dtype == np.float64 and net[0][0].weight.requires_grad


def test_to() -> None:
    net = nn.Linear(2, 1)
    assert net.to("cpu").cpu() is net and net.weight.dtype == np.float32
    assert net.to("cpu", "float64").weight.dtype == np.float64
    assert net.to(cr.zeros(1)).weight.dtype == np.float32
    assert net.type("float64").weight.dtype == np.float64


def test_backward_hook_of_several_inputs() -> None:
    layer = nn.Bilinear(2, 3, 2)
    seen = []
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append((grad_in, grad_out)))
    a = cr.tensor(np.ones((1, 2), np.float32), requires_grad=True)
    b = cr.tensor(np.ones((1, 3), np.float32), requires_grad=True)
    layer(a, b).sum().backward()
    (grad_a, grad_b), (grad_out,) = seen[0]
    assert grad_a.tolist() == a.grad.tolist() and grad_b.tolist() == b.grad.tolist()
    assert grad_out.tolist() == [[1.0, 1.0]]
    np.testing.assert_allclose(grad_a.numpy(), layer.weight.numpy().sum((0, 2))[None], rtol=1e-6)
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: (None, grad_in[1] * 2))
    before, b.grad, a.grad = (a.grad.numpy(), b.grad.numpy()), None, None
    layer(a, b).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), before[0], rtol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), 2 * before[1], rtol=1e-6)


def test_backward_pre_hook_changes_the_gradient_of_the_output() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.register_full_backward_pre_hook(lambda m, grad_out: (grad_out[0] * 3,))
    layer(cr.tensor([[2.0]])).sum().backward()
    assert layer.weight.grad.tolist() == [[6.0]]


def test_backward_hook_of_several_outputs() -> None:
    class Two(nn.Module):
        def forward(self, x: cr.Tensor) -> tuple[cr.Tensor, cr.Tensor]:
            return x * 2, x * 3

    seen = []
    module = Two()
    module.register_full_backward_hook(lambda m, grad_in, grad_out: seen.append(grad_out))
    x = cr.tensor([1.0, 1.0], requires_grad=True)
    a, b = module(x)
    (a.sum() + 10 * b.sum()).backward()
    assert [g.tolist() for g in seen[0]] == [[1.0, 1.0], [10.0, 10.0]]
    assert x.grad.tolist() == [32.0, 32.0]


def test_forward_hooks_with_keywords_and_order() -> None:
    class Scaled(nn.Module):
        def forward(self, x: cr.Tensor, by: float = 1.0) -> cr.Tensor:
            return x * by

    module, calls = Scaled(), []
    module.register_forward_pre_hook(lambda m, args: calls.append("second"))
    module.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"by": kwargs["by"] + 1}), with_kwargs=True, prepend=True
    )
    module.register_forward_hook(
        lambda m, args, kwargs, out: calls.append(kwargs["by"]), with_kwargs=True
    )
    module.register_forward_hook(lambda m, args, out: calls.append("first"), prepend=True)
    assert module(cr.ones(1), by=2.0).item() == 3
    assert calls == ["second", "first", 3.0]


def test_hooks_in_a_compiled_step() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
    kept = nn.Buffer(np.zeros((4, 2), np.float32))

    def keep(module: nn.Module, grad_in: object, grad_out: tuple[cr.Tensor, ...]) -> None:
        kept.assign(grad_out[0])

    net[1].register_full_backward_hook(keep)
    x = cr.tensor(np.ones((4, 2), np.float32))

    @cr.compile
    def step() -> None:
        net.zero_grad()
        net(x).sum().backward()

    step()
    np.testing.assert_allclose(kept.numpy(), np.repeat(net[2].weight.numpy(), 4, 0), rtol=1e-6)


def test_adaptive_softmax_predicts_its_most_probable_class() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(6, 9, [3, 5], div_value=1.5)
    x = cr.tensor(np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * 5)
    assert np.array_equal(layer.predict(x).numpy(), layer.log_prob(x).numpy().argmax(1))
    one = layer(x[0], cr.tensor(8))
    assert one.output.shape == () and one.loss.item() == -one.output.item()
    layer.register_full_backward_hook(lambda m, grad_in, grad_out: None)
    x.requires_grad_()
    assert layer(x, layer.predict(x)).loss.ndim == 0


def test_a_causal_mask_begins_at_the_first_key_whatever_the_lengths() -> None:
    """PyTorch's top left corner; no row is without a key."""
    v = cr.tensor([[1.0], [2.0], [3.0], [4.0]])
    for queries, keys, wanted in ((1, 4, [1.0]), (4, 2, [1.0, 1.5, 1.5, 1.5])):
        q, k = cr.zeros(queries, 1), cr.zeros(keys, 1)
        found = F.scaled_dot_product_attention(q, k, v[:keys], is_causal=True)
        assert found.ravel().tolist() == wanted
