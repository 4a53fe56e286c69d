"""LeNet-1, -4 and -5: the paper's sizes, its layers by their definitions, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.models.lenet import LENET1_C3, LENET4_C3, LENET4_C5, LENET5_C3

COUNTS = {  # published (LeNet-4: from the tables chosen here)
    "LeNet1": {"c1": 104, "s2": 8, "c3": 512, "s4": 24, "output": 1930},
    "LeNet4": {"c1": 104, "s2": 16, "c3": 1616, "s4": 32, "c5": 13620, "output": 1210},
    "LeNet5": {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164},
}
TOTALS = {"LeNet1": 2578, "LeNet4": 16598, "LeNet5": 60000}
CONNECTIONS = {"LeNet1": 98_442, "LeNet4": 267_806, "LeNet5": 340_908}


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_each_layer_has_the_papers_number_of_weights(name: str) -> None:
    net = getattr(models, name)()
    found = {n: weights(m) for n, m in net.named_children() if weights(m)}
    assert found == COUNTS[name]
    assert weights(net) == TOTALS[name]
    assert net(cr.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_the_softmax_of_lenet5_has_850_weights_more() -> None:
    net = models.LeNet5("softmax")
    assert weights(net) == 60_850 and weights(net.output) == 850


@pytest.mark.parametrize("name", COUNTS)
def test_connections(name: str) -> None:
    """What each unit reads, its bias counted, times the units: the paper's sums."""
    total, x = 0, cr.zeros(1, 1, 28, 28)
    for layer in getattr(models, name)():
        x = layer(x)
        places = x.shape[-1] * x.shape[-2]
        if isinstance(layer, models.Subsampling):
            total += x.numel() * 5
        elif isinstance(layer, models.Radial):
            total += 840
        elif weights(layer):
            total += weights(layer) * (places if x.ndim == 4 else 1)
    assert total == CONNECTIONS[name]


def test_the_tables_of_connections() -> None:
    wanted = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345".split()
    assert ["".join(map(str, row)) for row in LENET5_C3] == wanted
    assert sum(map(len, LENET1_C3)) == 20
    assert not any(min(row) < 2 <= max(row) for row in LENET1_C3)  # two halves
    for table in (LENET4_C3, LENET4_C5[:16]):
        assert len(set(table)) == 16  # no two maps read the same


def test_a_partial_convolution_is_one_with_zeros_where_nothing_is_read() -> None:
    layer = models.PartialConv2d(3, [(2, 0), (1,)], 3)
    w, x = layer.weight.numpy(), cr.randn(2, 3, 5, 6)
    full = np.zeros((2, 3, 3, 3), np.float32)
    full[0, 2], full[0, 0], full[1, 1] = w
    np.testing.assert_array_equal(layer.kernels().detach().numpy(), full)
    wanted = nn.functional.conv2d(x, cr.tensor(full), layer.bias)
    np.testing.assert_array_equal(layer(x).detach().numpy(), wanted.detach().numpy())


def test_what_is_not_connected_changes_nothing() -> None:
    layer = models.LeNet5().c3
    x = np.random.default_rng(0).normal(size=(1, 6, 14, 14)).astype("float32")
    before = layer(x).detach().numpy()
    for c in range(6):
        changed = x.copy()
        changed[:, c] += 1
        moved = (layer(changed).detach().numpy() != before).any((0, 2, 3))
        assert list(moved) == [c in row for row in LENET5_C3]


def test_gradients_of_every_layer() -> None:
    partial = models.PartialConv2d(3, [(0, 1), (1, 2), (0,)], 3).double()
    sample = models.Subsampling(3, copies=2).double()
    radial = models.Radial([[1, -1] * 12, [-1, -1] * 12]).double()
    names = [p for m in (partial, sample) for p in m.parameters()]

    def loss(x, *_):
        y = sample(models.ScaledTanh()(partial(x)))
        return models.map_loss(radial(y.flatten(1)), cr.tensor([0, 1]))

    x = cr.randn(2, 3, 6, 6, dtype="float64", requires_grad=True)
    cr.check_grads(loss, [x])
    loss(x).backward()
    for p in names:  # by central differences of one element
        place, eps = (0,) * p.ndim, 1e-6
        grad = p.grad.numpy()[place]
        around = []
        for sign in (1, -1):
            with cr.no_grad():
                p[place] += sign * eps
                around.append(loss(x).item())
                p[place] -= sign * eps
        assert (around[0] - around[1]) / (2 * eps) == pytest.approx(grad, rel=1e-6, abs=1e-9)


def test_subsampling_by_hand() -> None:
    layer = models.Subsampling(2, copies=2)
    with cr.no_grad():
        layer.coefficient.copy_(cr.tensor([1.0, 2.0, 3.0, 4.0]))
        layer.bias.copy_(cr.tensor([0.0, 0.0, 0.5, 0.0]))
    x = np.stack([np.ones((2, 2)), np.arange(4).reshape(2, 2)]).astype("float32")
    assert layer(x).flatten().tolist() == [4.0, 8.0, 18.5, 24.0]


def test_the_squashing_function_has_its_fixed_points_and_steepest_curvature_at_one() -> None:
    x = cr.tensor([-1.0, 0.0, 1.0], dtype="float64")
    np.testing.assert_allclose(models.ScaledTanh()(x).numpy(), [-1, 0, 1], atol=2e-5)


def test_radial_outputs_and_their_loss() -> None:
    net = models.LeNet5()
    codes = net.output.codes.numpy()
    assert codes.shape == (10, 84) and set(codes.ravel()) == {-1.0, 1.0}
    apart = ((codes[:, None] - codes) ** 2).sum(-1)
    assert apart[~np.eye(10, dtype=bool)].min() >= 4 * 13  # at least 13 pixels are different
    np.testing.assert_array_equal(net.output(codes).numpy(), -apart)
    assert not {"output.codes"} & {n for n, _ in net.named_parameters()}
    y = np.array([[3.0, 1.0, 2.0], [0.5, 4.0, 0.1]])
    wanted = [y[0, 1] + np.log(np.exp(-0.1) + np.exp(-y[0]).sum())]
    wanted += [y[1, 0] + np.log(np.exp(-0.1) + np.exp(-y[1]).sum())]
    assert models.map_loss(-y, [1, 0]).item() == pytest.approx(np.mean(wanted), rel=1e-6)


def test_moving_the_image_moves_the_maps_of_c1() -> None:
    net = models.LeNet5()
    x = np.full((1, 1, 32, 32), -0.1, np.float32)
    x[..., 10:18, 9:20] = np.random.default_rng(0).normal(size=(8, 11))
    here, there = (
        net[:3](cr.tensor(a)).detach().numpy() for a in (x, np.roll(x, (2, 3), (-2, -1)))
    )
    np.testing.assert_array_equal(there[..., 2:, 3:], here[..., :-2, :-3])


def test_smaller_images_stand_in_the_middle_of_background() -> None:
    net = models.LeNet5("softmax")
    x = cr.rand(2, 1, 28, 28)
    wide = np.pad(x.numpy(), [(0, 0), (0, 0), (2, 2), (2, 2)], constant_values=-0.1)
    np.testing.assert_array_equal(net(x).detach().numpy(), net(wide).detach().numpy())
    assert net(x[0]).shape == (10,)  # one image


def test_initial_weights_are_uniform_on_the_papers_range() -> None:
    net = models.LeNet5("softmax", generator=cr.Generator(0))
    for name, fan_in in (("c1", 25), ("c5", 400), ("f6", 120), ("output", 84)):
        most = np.abs(getattr(net, name).weight.numpy()).max()
        assert 0.9 * 2.4 / fan_in < most <= 2.4 / fan_in
    by_map = np.split(np.abs(net.c3.weight.numpy()), np.cumsum([len(r) for r in LENET5_C3])[:-1])
    for row, w in zip(LENET5_C3, by_map, strict=True):
        assert 0.9 < w.max() * 25 * len(row) / 2.4 <= 1
    again = models.LeNet5("softmax", generator=cr.Generator(0))
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("output", ["radial", "softmax"])
def test_ten_digits_are_learned_by_heart(output: str) -> None:
    cr.manual_seed(0)
    net = models.LeNet5(output)
    loss_of = models.map_loss if output == "radial" else nn.functional.cross_entropy
    adam = cr.optim.Adam(net.parameters(), lr=0.003)
    x, y = cr.rand(10, 1, 28, 28), cr.arange(10)

    @cr.compile
    def step(x, y):
        loss = loss_of(net(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()

    step.repeat(150, x, y)
    assert net(x).argmax(1).tolist() == list(range(10))


def test_state_dicts_go_from_one_net_to_another() -> None:
    net, other = models.LeNet4(), models.LeNet4()
    other.load_state_dict(net.state_dict())
    x = cr.rand(2, 1, 32, 32)
    np.testing.assert_array_equal(net(x).detach().numpy(), other(x).detach().numpy())


def test_some_layers_or_more_are_a_plain_sequence() -> None:
    net, x = models.LeNet5("softmax"), cr.rand(2, 1, 28, 28)
    assert type(net[:3]) is type(net + [nn.Softmax(1)]) is nn.Sequential
    assert (net + [nn.Softmax(1)])(x).sum(1).tolist() == pytest.approx([1, 1])
    np.testing.assert_array_equal(net[3:](net[:3](x)).detach().numpy(), net(x).detach().numpy())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: models.LeNet5("rbf"), cr.errors.OptionError, "output"),
        (
            lambda: models.LeNet5()(cr.zeros(1, 1, 33, 33)),
            cr.errors.ShapeError,
            "Field: images (N, 1, height, width) of at most 32 x 32 pixels, an even number less, "
            "are expected; got (1, 1, 33, 33)",
        ),
        (
            lambda: models.LeNet1()(cr.zeros(5, 28, 28)),
            cr.errors.ShapeError,
            "of at most 28 x 28 pixels, an even number less, are expected; got (5, 28, 28); add "
            "the axis of channels: x[:, None]",
        ),
        (
            lambda: models.PartialConv2d(3, [(0, 3)], 5),
            cr.errors.OptionError,
            "PartialConv2d: table[0] must name at least one of the maps 0 to 2, each once, got "
            "(0, 3)",
        ),
        (
            lambda: models.PartialConv2d(3, [(0,), ()], 5),
            cr.errors.OptionError,
            "PartialConv2d: table[1] must name at least one of the maps 0 to 2, each once, got ()",
        ),
        (
            lambda: models.PartialConv2d(3, [], 5),
            cr.errors.OptionError,
            "PartialConv2d: the table is empty; it has one row for each map",
        ),
        (
            lambda: models.Subsampling(3)(cr.zeros(1, 2, 4, 4)),
            cr.errors.ShapeError,
            "Subsampling expects (N, 3, H, W), got (1, 2, 4, 4)",
        ),
        (
            lambda: models.Radial([[1.0, -1.0]])(cr.zeros(1, 3)),
            cr.errors.ShapeError,
            "Radial expects (N, 2), got (1, 3)",
        ),
    ],
)
def test_mistakes(make, error, message: str) -> None:
    with pytest.raises(error) as found:
        make()
    assert message in str(found.value)
