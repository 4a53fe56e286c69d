"""Images read at positions that are data, and pooling by windows at random places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import DTypeError, OptionError, ShapeError
from chainrule.nn import functional as F

RNG = np.random.default_rng(0)


def test_the_grid_of_nothing_is_the_image() -> None:
    x = RNG.normal(size=(2, 3, 4, 5)).astype("f")
    theta = np.tile(np.eye(2, 3, dtype="f"), (2, 1, 1))
    for corners in (False, True):
        grid = F.affine_grid(theta, x.shape, align_corners=corners)
        for mode in ("bilinear", "nearest", "bicubic"):
            found = F.grid_sample(x, grid, mode, align_corners=corners).numpy()
            np.testing.assert_allclose(found, x, atol=1e-5)


def test_a_quarter_turn() -> None:
    x = RNG.normal(size=(1, 1, 5, 5)).astype("f")
    theta = np.array([[[0, 1, 0], [-1, 0, 0]]], "f")
    found = F.grid_sample(x, F.affine_grid(theta, x.shape)).numpy()
    np.testing.assert_allclose(found[0, 0], np.rot90(x[0, 0], -1), atol=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("outside", ["zeros", "border", "reflection"])
def test_gradients_by_finite_differences(mode: str, outside: str) -> None:
    x, at = RNG.normal(size=(1, 2, 4, 3)), RNG.uniform(-1.6, 1.6, size=(1, 2, 3, 2))
    w = RNG.normal(size=(1, 2, 2, 3))

    def loss(x: Any, at: Any) -> Any:
        return (F.grid_sample(x, at, mode, outside) * w).sum()

    f = cr.compile(loss)
    compiled = cr.compile(lambda x, at: cr.grad(loss, argnums=(0, 1))(x, at))
    for found, i in zip(compiled(cr.tensor(x), cr.tensor(at)), (0, 1), strict=True):
        given = (x, at)[i]
        for place in np.ndindex(given.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [x.copy(), at.copy()]
                moved[i][place] += step
                ends.append(f(cr.tensor(moved[0]), cr.tensor(moved[1])).item())
            assert found.numpy()[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_positions_that_are_no_numbers_read_nothing_else() -> None:
    x = cr.ones(1, 1, 3, 3)
    at = cr.tensor([[[[math.nan, 0.0], [math.inf, 0.0], [0.0, -1e30], [0.0, 0.0]]]])
    for f in (F.grid_sample, cr.compile(F.grid_sample)):
        assert f(x, at).flatten().tolist()[1:] == [0, 0, 1]
        assert f(x, at, "nearest").flatten().tolist() == [0, 0, 0, 1]


def test_a_spatial_transformer_learns_where_to_look() -> None:
    cr.manual_seed(0)
    theta = nn.Parameter(np.array([[[1, 0, 0.3], [0, 1, -0.2]]], "f"))
    yy, xx = np.mgrid[-1:1:16j, -1:1:16j]
    image = cr.tensor(np.exp(-4 * (xx**2 + yy**2)).astype("f")[None, None])
    optimizer = cr.optim.Adam([theta], lr=0.02)

    @cr.compile
    def step() -> Any:
        seen = F.grid_sample(image, F.affine_grid(theta, (1, 1, 16, 16)))
        loss = ((seen - image) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step().item() for _ in range(60)]
    assert losses[-1] < 0.01 * losses[0]


MISTAKES = {
    "grid": (lambda: F.grid_sample(cr.ones(1, 1, 3, 3), cr.ones(1, 2, 3)), ShapeError, "(1, 2, 3)"),
    "rows": (lambda: F.grid_sample(cr.ones(2, 1, 3, 3), cr.ones(1, 2, 2, 2)), ShapeError, "N, C"),
    "cubic": (
        lambda: F.grid_sample(cr.ones(1, 1, 3, 3, 3), cr.ones(1, 2, 2, 2, 3), "bicubic"),
        ShapeError,
        "mode 'bicubic' expects (N, C, H, W)",
    ),
    "empty": (lambda: F.grid_sample(cr.ones(1, 1, 0, 3), cr.ones(1, 2, 2, 2)), ShapeError, "no el"),
    "mode": (
        lambda: F.grid_sample(cr.ones(1, 1, 3, 3), cr.ones(1, 2, 2, 2), "linear"),
        OptionError,
        "mode",
    ),
    "dtype": (
        lambda: F.grid_sample(cr.ones(1, 1, 3, 3), cr.ones(1, 2, 2, 2, dtype="float64")),
        DTypeError,
        "the image is float32, the grid float64",
    ),
    "theta": (lambda: F.affine_grid(cr.ones(1, 2, 2), (1, 1, 3, 3)), ShapeError, "theta (N, 2, 3)"),
    "size": (
        lambda: nn.FractionalMaxPool2d(3, output_size=4)(cr.ones(1, 5, 5)),
        ShapeError,
        "windows of 3 at 4 places need at least 6 positions, the input (1, 5, 5) has 5",
    ),
    "both": (
        lambda: nn.FractionalMaxPool2d(3, output_size=4, output_ratio=0.5),
        OptionError,
        "give one of output_size and output_ratio",
    ),
    "ratio": (
        lambda: F.fractional_max_pool2d(cr.ones(1, 5, 5), 2, output_ratio=1.5),
        OptionError,
        "output_ratio must be",
    ),
    "samples": (
        lambda: F.fractional_max_pool2d(cr.ones(1, 5, 5), 2, 3, _random_samples=cr.ones(1, 2)),
        ShapeError,
        "_random_samples have shape (1, 1, 2)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_grids(name: str) -> None:
    call, kind, text = MISTAKES[name]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)


# -- pooling at random places ----------------------------------------------------------------------
@pytest.mark.parametrize("rank", [2, 3])
def test_windows_are_in_order_and_cover_both_ends(rank: int) -> None:
    cr.manual_seed(0)
    shape = (2, 3, *(11, 9, 7)[:rank])
    pool = getattr(F, f"fractional_max_pool{rank}d")
    x = np.arange(np.prod(shape), dtype="f").reshape(shape)
    y, places = pool(x, 2, output_ratio=0.6, return_indices=True)
    flat = x.reshape(2, 3, -1)
    taken = np.take_along_axis(flat, places.numpy().reshape(2, 3, -1), -1)
    assert taken.reshape(y.shape).tobytes() == y.numpy().tobytes()
    assert (y.numpy()[(..., *[-1] * rank)] == flat[..., -1]).all()  # the last window ends x
    for axis in range(2, 2 + rank):
        assert (np.diff(y.numpy(), axis=axis) > 0).all()


def test_each_call_draws_new_windows_also_when_compiled() -> None:
    cr.manual_seed(0)
    pool = nn.FractionalMaxPool2d(2, output_ratio=0.7)
    x = cr.tensor(RNG.normal(size=(1, 4, 12, 12)).astype("f"))
    step = cr.compile(lambda x: pool(x))
    assert step(x).numpy().tobytes() != step(x).numpy().tobytes()
    cr.manual_seed(3)
    first = pool(x).numpy()
    cr.manual_seed(3)
    assert step(x).numpy().tobytes() == first.tobytes()
    assert repr(pool) == "FractionalMaxPool2d(kernel_size=2, output_ratio=0.7)"


def test_nan_is_largest_and_gradients_go_to_the_first() -> None:
    x = cr.tensor([[[1.0, 1.0, 1.0], [1.0, 1.0, math.nan]]], requires_grad=True)
    y = F.fractional_max_pool2d(x, 2, (1, 2), _random_samples=cr.zeros(1, 1, 2))
    assert y[0, 0, 0].item() == 1 and math.isnan(y[0, 0, 1].item())
    y[0, 0, 0].backward()
    assert x.grad.tolist() == [[[1, 0, 0], [0, 0, 0]]]
