"""Pooling against loops in NumPy; where its gradient goes; eager and compiled."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.nn import functional as F

NAN, INF = float("nan"), float("inf")


def along(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> list[list[int]]:
    """The positions of the windows along an axis; outside of it too, as far as the padding."""
    room = n + 2 * p - d * (k - 1) - 1
    count = (math.ceil(room / s) if ceil else room // s) + 1
    found = [[t * s - p + i * d for i in range(k)] for t in range(count)]
    return found if found[-1][0] < n else found[:-1]


def pooled(x: np.ndarray, axes: list[list[list[int]]], reduce: Any) -> np.ndarray:
    """reduce(values, positions inside, positions inside or in the padding) of each window."""
    shape = x.shape[2:]
    out = np.zeros((*x.shape[:2], *map(len, axes)), object)
    for place in np.ndindex(*map(len, axes)):
        taps = list(itertools.product(*(a[i] for a, i in zip(axes, place, strict=True))))
        inside = [t for t in taps if all(0 <= i < n for i, n in zip(t, shape, strict=True))]
        for nc in np.ndindex(*x.shape[:2]):
            out[(*nc, *place)] = reduce([x[(*nc, *t)] for t in inside], inside, taps)
    return out


def options(rng: np.random.Generator, rank: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Positions, and kernel, stride, padding, dilation, ceil_mode that fit them."""
    kernel = tuple(int(k) for k in rng.integers(1, 4, rank))
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    dilation = tuple(int(d) for d in rng.integers(1, 3, rank))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    shape = tuple(
        max(s - 2 * p, 1) + int(rng.integers(0, 4)) for s, p in zip(spans, padding, strict=True)
    )
    stride = tuple(int(s) for s in rng.integers(1, 4, rank))
    found = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return shape, found | {"ceil_mode": bool(rng.integers(2))}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_maxima_and_their_places(rank: int, seed: int) -> None:
    rng = np.random.default_rng([rank, seed])
    for _ in range(4):
        shape, o = options(rng, rank)
        x = rng.integers(-2, 3, (2, 2, *shape)).astype(float)  # many ties
        x[rng.random(x.shape) < 0.2] = -INF
        x[rng.random(x.shape) < 0.1] = NAN
        parts = zip(shape, *list(o.values())[:4], strict=True)
        axes = [along(*part, o["ceil_mode"]) for part in parts]

        def largest(values: Any, inside: Any, taps: Any, shape: Any = shape) -> Any:
            if not values:  # a dilated window may step over x
                return -INF, -1
            best = int(np.argmax(values))  # the first; NaN is largest
            return values[best], int(np.ravel_multi_index(inside[best], shape))

        expected = pooled(x, axes, largest)
        pool = getattr(nn, f"MaxPool{rank}d")(**o, return_indices=True)
        y, places = pool(cr.tensor(x))
        assert places.dtype == "int64"
        assert y.shape == places.shape == expected.shape
        np.testing.assert_array_equal(y.numpy().ravel(), [e[0] for e in expected.ravel()])
        np.testing.assert_array_equal(places.numpy().ravel(), [e[1] for e in expected.ravel()])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_means(rank: int, count_include_pad: bool) -> None:
    rng = np.random.default_rng([rank, count_include_pad])
    for _ in range(5):
        shape, o = options(rng, rank)
        del o["dilation"]
        x = rng.normal(size=(2, 2, *shape))
        parts = zip(shape, *list(o.values())[:3], [1] * rank, strict=True)
        axes = [along(*part, o["ceil_mode"]) for part in parts]

        def mean(values: Any, inside: Any, taps: Any, shape: Any = shape, o: Any = o) -> Any:
            ends = [n + p for n, p in zip(shape, o["padding"], strict=True)]
            counted = [t for t in taps if all(i < e for i, e in zip(t, ends, strict=True))]
            return sum(values) / len(counted if count_include_pad else inside)

        expected = pooled(x, axes, mean).astype(float)
        pool = getattr(nn, f"AvgPool{rank}d")(**o, count_include_pad=count_include_pad)
        np.testing.assert_allclose(pool(cr.tensor(x)).numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("x", "k", "s", "expected"),
    [
        ([5, 3, 1, 2, 5], 2, 1, [1, 1, 0, 1, 1]),
        ([1, 9, 1], 2, 1, [0, 2, 0]),  # one element wins twice
        ([2, 2, 2, 2], 2, 2, [1, 0, 1, 0]),  # the first of equals
        ([-INF, -INF, 3, 3], 2, 2, [1, 0, 1, 0]),
        ([1, NAN, 2, 2], 2, 2, [0, 1, 1, 0]),
    ],
)
def test_the_gradient_goes_to_the_first_of_the_maxima(
    x: Any, k: int, s: int, expected: Any
) -> None:
    def gradient(x: cr.Tensor) -> cr.Tensor:
        return cr.grad(lambda x: F.max_pool1d(x, k, s).sum())(x)

    row = cr.tensor([x], dtype="float64")
    assert gradient(row).tolist() == cr.compile(gradient)(row).tolist() == [expected]


def test_padding_never_wins() -> None:
    x = cr.full((1, 1, 3, 3), -INF).requires_grad_()
    y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert places.flatten().tolist() == [0, 1, 3, 4]
    y.backward(cr.ones_like(y))
    assert x.grad.flatten().tolist() == [1, 1, 0, 1, 1, 0, 0, 0, 0]


def test_adaptive_windows_overlap_where_sizes_do_not_divide() -> None:
    x = cr.tensor([[*range(1, 11)]], dtype="float64")
    assert nn.AdaptiveAvgPool1d(4)(x).tolist() == [[2, 4, 7, 9]]
    assert nn.AdaptiveMaxPool1d(4)(x).tolist() == [[3, 5, 8, 10]]
    third = 1 / 3
    gradient = cr.grad(lambda x: nn.AdaptiveAvgPool1d(4)(x).sum())(x)
    expected = [third, third, 2 * third, *[third] * 4, 2 * third, third, third]
    np.testing.assert_allclose(gradient.numpy()[0], expected, rtol=1e-12)
    short = cr.tensor([[1.0, 2.0, 3.0]])  # more positions than there are
    assert nn.AdaptiveAvgPool1d(5)(short).tolist() == [[1, 1.5, 2, 2.5, 3]]
    y, places = nn.AdaptiveMaxPool1d(5, return_indices=True)(short)
    assert (y.tolist(), places.tolist()) == ([[1, 2, 2, 3, 3]], [[0, 1, 1, 2, 2]])


def test_adaptive_sizes_of_none_stay() -> None:
    x = cr.randn(2, 3, 5, 7)
    assert nn.AdaptiveAvgPool2d((None, 2))(x).shape == (2, 3, 5, 2)
    np.testing.assert_array_equal(nn.AdaptiveMaxPool2d(None)(x).numpy(), x.numpy())
    np.testing.assert_allclose(
        nn.AdaptiveAvgPool2d(1)(x).numpy()[..., 0, 0], x.numpy().mean((2, 3)), rtol=1e-5, atol=1e-7
    )


def test_unpooling_puts_the_maxima_back() -> None:
    x = cr.randn(2, 3, 5, 7)
    y, places = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(y, places, output_size=x.shape).numpy()
    assert back.shape == x.shape and np.array_equal(back[back != 0], x.numpy()[back != 0])
    assert (back != 0).sum() == y.numel()
    again, places = nn.MaxPool1d(3, 1, return_indices=True)(cr.tensor([[1.0, 9.0, 2.0, 3.0]]))
    assert nn.MaxUnpool1d(3, 1)(again, places).tolist() == [[0, 9, 0, 0]]  # named twice, put once


def test_the_root_of_no_power_has_no_gradient() -> None:
    x = cr.tensor([[0.0, 0.0, 3.0, 4.0]], requires_grad=True)
    y = nn.LPPool1d(2, 2)(x)
    y.sum().backward()
    assert y.tolist() == [[0, 5]]
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0, 0.6, 0.8]], rtol=1e-6)


LAYERS = {
    "MaxPool2d": nn.MaxPool2d(2),
    "MaxPool2d overlapping": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "MaxPool2d dilated": nn.MaxPool2d((2, 3), 1, dilation=(2, 1)),
    "AvgPool2d": nn.AvgPool2d(2),
    "AvgPool2d overlapping": nn.AvgPool2d(3, 2, 1, True, False),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d((3, 4)),
    "AdaptiveMaxPool2d": nn.AdaptiveMaxPool2d((3, 4)),
    "LPPool2d": nn.LPPool2d(3, 2),
    "Upsample": nn.Upsample(scale_factor=2),
    "Upsample bilinear": nn.Upsample((9, 5), mode="bilinear"),
    "Unfold": nn.Unfold(3, padding=1, stride=2),
    "ReflectionPad2d": nn.ReflectionPad2d((1, 2, 0, 3)),
    "PixelUnshuffle": nn.PixelUnshuffle(2),
    "LocalResponseNorm": nn.LocalResponseNorm(2),
    "InstanceNorm2d": nn.InstanceNorm2d(2),
    "GroupNorm": nn.GroupNorm(1, 2, affine=False),
}


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("after", ["input", "convolution"])
def test_compiled_equals_interpreted(name: str, after: str) -> None:
    layer = LAYERS[name]
    cr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Softplus(), layer, nn.Tanh()).double()
    model = net if after == "convolution" else nn.Sequential(layer, nn.Tanh())
    x = cr.rand(3, 2, 8, 6).double() + 0.1

    def both(x: cr.Tensor) -> Any:
        return model(x), cr.grad(lambda x: (model(x) ** 2).sum())(x)

    for ours, expected in zip(cr.compile(both)(x), both(x), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", list(LAYERS))
def test_a_minibatch_of_no_images(name: str) -> None:
    layer = LAYERS[name]
    shape = (0, *layer(cr.ones(1, 2, 8, 6)).shape[1:])
    x = cr.zeros(0, 2, 8, 6)
    assert layer(x).shape == shape
    assert cr.compile(lambda x: layer(x))(x).shape == shape
    assert cr.grad(lambda x: layer(x).sum())(x).shape == x.shape


def test_options_are_shown_where_they_are_not_defaults() -> None:
    assert str(nn.MaxPool2d(3, 2, 1, ceil_mode=True)) == (
        "MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)"
    )
    assert str(nn.AvgPool2d((2, 3))) == "AvgPool2d(kernel_size=(2, 3))"
    assert str(nn.LPPool1d(2, 3)) == "LPPool1d(norm_type=2, kernel_size=3)"
    assert str(nn.AdaptiveMaxPool2d((None, 2))) == "AdaptiveMaxPool2d(output_size=(None, 2))"
