"""Layers over images: convolutions, resizing, padding, statistics, initial numbers, summary."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.nn import functional as F


# -- convolutions ----------------------------------------------------------------------------------
def filled(layer: Any, weight: Any) -> Any:
    layer.weight.assign(np.asarray(weight, np.float32).reshape(layer.weight.shape))
    return layer


def test_same_padding_of_an_even_kernel_puts_the_odd_zero_behind() -> None:
    layer = filled(nn.Conv1d(1, 1, 4, padding="same", bias=False), [1, 2, 3, 4])
    assert layer(cr.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])).tolist() == [[[20, 30, 40, 26, 14]]]


def test_groups_of_a_transposed_convolution_lie_side_by_side() -> None:
    weight = [[10 * i + j for j in range(3)] for i in range(4)]
    layer = filled(nn.ConvTranspose1d(4, 6, 1, groups=2, bias=False), weight)
    assert layer(cr.ones(1, 4, 1)).flatten().tolist() == [10, 12, 14, 50, 52, 54]


def test_channels_of_a_group_follow_each_other() -> None:
    layer = filled(nn.Conv2d(2, 6, 1, groups=2, bias=False), range(1, 7))
    y = layer(cr.tensor([1.0, 100.0]).reshape(1, 2, 1, 1))
    y.sum().backward()
    assert y.flatten().tolist() == [1, 2, 3, 400, 500, 600]
    assert layer.weight.grad.flatten().tolist() == [1, 1, 1, 100, 100, 100]


def test_a_dilated_kernel_that_just_fits() -> None:
    layer = filled(nn.Conv1d(1, 1, 3, dilation=4, stride=2, bias=False), [1, 1, 1])
    x = cr.arange(9).float().reshape(1, 1, 9)
    assert layer(x).tolist() == [[[0 + 4 + 8]]]
    assert cr.compile(lambda x: layer(x))(x).tolist() == [[[12]]]
    assert nn.MaxPool1d(3, 2, dilation=4)(x).tolist() == [[[8]]]


def test_padding_wider_than_the_kernel() -> None:
    x, w = cr.tensor([[[1.0, 2.0]]]), cr.tensor([[[3.0, 4.0]]])
    assert F.conv1d(x, w, padding=3).flatten().tolist() == [0, 0, 4, 11, 6, 0, 0]
    for f in (cr.grad, lambda f, argnums: cr.compile(cr.grad(f, argnums))):
        by_x, by_w = f(lambda x, w: F.conv1d(x, w, padding=3).sum(), argnums=(0, 1))(x, w)
        assert (by_x.tolist(), by_w.tolist()) == ([[[7, 7]]], [[[3, 3]]])
        by_x, by_w = f(lambda x, w: F.conv1d(x, w, None, 2, 3).sum(), argnums=(0, 1))(x, w)
        assert (by_x.tolist(), by_w.tolist()) == ([[[4, 3]]], [[[2, 1]]])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(3, 6, 3, groups=3),
        nn.ConvTranspose2d(3, 4, 3, stride=2),
        nn.GroupNorm(1, 3),
        nn.InstanceNorm2d(3, affine=True),
    ],
    ids=lambda m: m.headline() if hasattr(m, "headline") else type(m).__name__,
)
@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_no_images_have_no_gradient(layer: Any, how: str) -> None:
    def step(x: cr.Tensor) -> cr.Tensor:
        layer.zero_grad()
        y = layer(x)
        y.sum().backward()
        return y

    run = cr.compile(step) if how == "compiled" else step
    assert run(cr.zeros(0, 3, 8, 8)).shape[0] == 0
    for p in layer.parameters():
        assert np.array_equal(p.grad.numpy(), np.zeros(p.shape))


# -- statistics ------------------------------------------------------------------------------------
def test_running_variance_is_unbiased_and_normalization_is_not() -> None:
    layer = nn.BatchNorm2d(1, momentum=1.0)
    x = cr.tensor([[[[0.0, 0.0], [4.0, 4.0]]]])
    np.testing.assert_allclose(layer(x).numpy().ravel(), [-1, -1, 1, 1], rtol=1e-5)
    assert layer.running_mean.item() == 2 and layer.running_var.item() == pytest.approx(16 / 3)
    root = math.sqrt(3) / 2
    np.testing.assert_allclose(
        layer.eval()(x).numpy().ravel(), [-root, -root, root, root], rtol=1e-5
    )


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_of_images_in_eager_compiled_and_trainer(momentum: float | None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 3, (24, 2, 6, 6)), rng.integers(0, 3, 24)

    def made() -> tuple[nn.Module, optim.Optimizer]:
        cr.manual_seed(1)
        net = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.BatchNorm2d(4, momentum=momentum),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 3),
        ).double()
        return net, optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    states = []
    for how in ("eager", "compiled", "trainer"):
        net, optimizer = made()

        def step(x: Any, y: Any, net: Any = net, optimizer: Any = optimizer) -> cr.Tensor:
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = cr.compile(step) if how == "compiled" else step
        if how == "trainer":
            trainer = cr.Trainer(net, loss=nn.CrossEntropyLoss(), optimizer=optimizer)
            trainer.fit(x, y, epochs=2, batch_size=8, shuffle=False, progress=False)
        else:
            for i in [0, 8, 16] * 2:
                run(cr.tensor(x[i : i + 8]), cr.tensor(y[i : i + 8]))
        states.append({k: v.numpy() for k, v in net.state_dict().items()})
    assert states[0]["1.num_batches_tracked"] == 6
    for other in states[1:]:
        for k, v in states[0].items():
            np.testing.assert_allclose(other[k], v, rtol=1e-11, atol=1e-13, err_msg=k)


def test_what_is_refused_is_not_counted() -> None:
    layer = nn.BatchNorm2d(2, momentum=None)
    with pytest.raises(cr.errors.DataError, match="BatchNorm2d"):
        layer(cr.zeros(0, 2, 4, 4))
    assert layer.num_batches_tracked.item() == 0 and layer.running_var.tolist() == [1, 1]
    followed = nn.InstanceNorm2d(2, track_running_stats=True)
    assert followed(cr.zeros(0, 2, 4, 4)).shape == (0, 2, 4, 4)
    assert followed.running_mean.tolist() == [0, 0]


def test_whole_channels_are_dropped() -> None:
    y = nn.Dropout2d(0.25)(cr.ones(50, 40, 3, 2)).numpy()
    np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
    assert np.array_equal(y, np.broadcast_to(y[..., :1, :1], y.shape))
    assert abs((y[..., 0, 0] == 0).mean() - 0.25) < 0.03


# -- initial numbers -------------------------------------------------------------------------------
def test_fan_in_of_a_grouped_convolution_is_that_of_one_output() -> None:
    layer = nn.Conv1d(64, 64, 3, groups=64)
    assert 0.5 < abs(layer.weight.numpy()).max() <= 1 / math.sqrt(3)
    assert 0.4 < abs(layer.bias.numpy()).max() <= 1 / math.sqrt(3)
    wide = nn.Conv1d(1000, 1000, 3, groups=1000)
    nn.init.kaiming_normal_(wide.weight, mode="fan_in")
    assert wide.weight.numpy().std() == pytest.approx(math.sqrt(2 / 3), rel=0.05)


def test_fan_in_of_a_transposed_convolution_is_pytorchs() -> None:
    layer = nn.ConvTranspose2d(64, 8, 3, groups=2)  # weight (64, 4, 3, 3)
    bound = 1 / math.sqrt(4 * 9)
    assert 0.99 * bound < abs(layer.weight.numpy()).max() <= bound
    assert abs(layer.bias.numpy()).max() <= bound


# -- resizing --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("old", "new"), [(2, 82), (2, 94), (3, 147), (10, 1920), (7, 5), (6, 9)])
def test_nearest_takes_exactly_the_element_of_its_formula(old: int, new: int) -> None:
    x = cr.arange(old).float().reshape(1, 1, old)
    expected = [i * old // new for i in range(new)]
    assert F.interpolate(x, size=new).flatten().tolist() == expected
    gradient = cr.grad(lambda x: F.interpolate(x, size=new).sum())(x)
    assert gradient.flatten().tolist() == np.bincount(expected, minlength=old).tolist()


def test_a_tenth_of_an_image() -> None:
    x = cr.arange(25).float().reshape(1, 1, 25)
    assert F.interpolate(x, scale_factor=0.1).flatten().tolist() == [0, 10]


def test_area_is_the_mean() -> None:
    x = cr.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert F.interpolate(x, 2, mode="area").tolist() == [[[1.5, 3.5]]]


def test_interpolation_keeps_constants_and_lines() -> None:
    line = cr.arange(6).double().reshape(1, 1, 1, 6).broadcast_to((1, 1, 4, 6))
    for mode in ("bilinear", "bicubic"):
        y = F.interpolate(line, (7, 11), mode=mode, align_corners=True).numpy()
        inside = y[..., 2:-2]
        np.testing.assert_allclose(inside, np.broadcast_to(np.arange(2, 9) / 2, inside.shape))


# -- patches and edges -----------------------------------------------------------------------------
def test_fold_is_the_adjoint_of_unfold() -> None:
    x, options = cr.randn(2, 3, 5, 6).double(), {"padding": 1, "stride": (2, 1), "dilation": (1, 2)}
    columns = F.unfold(x, 2, **options)
    y = cr.randn(*columns.shape).double()
    back = F.fold(y, (5, 6), 2, **options)
    np.testing.assert_allclose((columns * y).sum().item(), (x * back).sum().item(), rtol=1e-12)


def test_a_convolution_is_a_product_with_patches() -> None:
    layer, x = nn.Conv2d(3, 4, (2, 3), stride=2, padding=1).double(), cr.randn(2, 3, 7, 6).double()
    columns = F.unfold(x, (2, 3), padding=1, stride=2)
    y = layer.weight.reshape(4, -1) @ columns + layer.bias.reshape(4, 1)
    np.testing.assert_allclose(
        layer(x).numpy(), y.reshape(layer(x).shape).numpy(), rtol=1e-12, atol=1e-13
    )


def test_windows_along_an_axis_of_a_tensor() -> None:
    x = cr.arange(12).reshape(2, 6)
    assert x.unfold(1, 3, 2).tolist() == [[[0, 1, 2], [2, 3, 4]], [[6, 7, 8], [8, 9, 10]]]
    assert x.unfold(-2, 2, 1).shape == (1, 6, 2)
    gradient = cr.grad(lambda x: x.unfold(0, 2, 1).sum())(cr.zeros(4))
    assert gradient.tolist() == [1, 2, 2, 1]


def test_pad_counts_from_the_last_axis() -> None:
    x = cr.ones(1, 2)
    assert F.pad(x, (1, -1, 0, 1), value=7.0).tolist() == [[7, 1], [7, 7]]
    assert F.pad(cr.tensor([1, 2]), (1, 1), value=7).tolist() == [7, 1, 2, 7]


def test_what_is_cut_is_cut_first() -> None:
    x = cr.arange(5).float().reshape(1, 5)
    assert F.pad(x, (-1, 2), "reflect").tolist() == [[1, 2, 3, 4, 3, 2]]
    assert F.pad(x, (2, -1), "replicate").tolist() == [[0, 0, 0, 1, 2, 3]]
    assert F.pad(x, (2, -1), "circular").tolist() == [[2, 3, 0, 1, 2, 3]]


def test_shuffled_pixels_go_back() -> None:
    x = cr.randn(2, 12, 3, 4)
    y = nn.PixelShuffle(2)(x)
    assert y.shape == (2, 3, 6, 8)
    assert np.array_equal(nn.PixelUnshuffle(2)(y).numpy(), x.numpy())
    z = nn.ChannelShuffle(3)(x)
    assert np.array_equal(nn.ChannelShuffle(4)(z).numpy(), x.numpy())


# -- summary ---------------------------------------------------------------------------------------
def test_summary_counts_convolutions_pooling_and_loops() -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.MaxPool2d(2), nn.ConvTranspose2d(6, 1, 2))
    table = nn.summary(net, (2, 4, 8, 8))
    outputs, pooled = 2 * 6 * 36, 2 * 6 * 9
    assert table.rows[1].flops == outputs * 2 * (2 * 9) + outputs  # products and sums, and the bias
    assert table.rows[2].flops == pooled * 4
    assert table.rows[3].flops == 2 * 16 * (2 * 6 * 4) + 2 * 16
    assert table.rows[2].bytes == pooled * 4

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(cr.ones(3, 3))

        def forward(self, x: cr.Tensor) -> Any:
            return cr.scan(lambda h, x: (cr.tanh(h @ self.w + x),) * 2, cr.zeros(2, 3), x)

    loop = nn.summary(Loop(), (5, 2, 3))
    assert loop.rows[0].flops == 5 * (2 * 2 * 3 * 3 + 6 + 6)
    assert loop.parameters == 9


# -- a net -----------------------------------------------------------------------------------------
def mnist(name: str) -> np.ndarray:
    folder = Path(os.environ.get("CHAINRULE_DATA", Path(__file__).parents[2] / "../shared/data"))
    path = folder / "mnist" / f"{name}.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


@pytest.mark.slow
def test_lenet_5_reads_digits() -> None:
    """LeCun, Bottou, Bengio & Haffner (1998): tanh and means; 99.05 % there, with more care."""
    sets = {part: mnist(f"{part}-images-idx3-ubyte") for part in ("train", "t10k")}
    x, xt = ((s[:, None] / np.float32(255) - 0.1307).astype("f") / 0.3081 for s in sets.values())
    y, yt = (mnist(f"{part}-labels-idx1-ubyte").astype(np.int64) for part in ("train", "t10k"))
    cr.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(),
        nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip
    optimizer = optim.AdamW(net.parameters(), lr=1.5e-3)
    rate = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.5e-3, total_steps=8 * 938)
    trainer = cr.Trainer(
        net,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        scheduler=rate,
        scheduler_interval="step",
        metrics=["accuracy"],
    )
    trainer.fit(x.astype("f"), y, epochs=8, batch_size=64, progress=False)
    assert trainer.evaluate(xt.astype("f"), yt)["accuracy"] > 0.985
