"""Augmentations of images: what they draw, and what they leave."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data
from chainrule.data import Batches
from chainrule.errors import OptionError, ShapeError


def through(x: np.ndarray, *augment: object, y: np.ndarray | None = None, compiled: bool = True):
    """All rows of x through augmentations, in their order."""
    batches = Batches(x, y, len(x), shuffle=False, augment=list(augment))
    return (cr.compile(batches.next) if compiled else batches.next)()


def test_flips_half_of_the_time_and_the_mask_alike() -> None:
    images = np.tile(np.uint8([[1, 2, 3]]), (2000, 1, 1))
    x, mask = through(images, data.RandomFlip(both=True), y=images)
    assert 890 < (x.numpy()[:, 0, 0] == 3).sum() < 1110
    np.testing.assert_array_equal(x.numpy(), mask.numpy())
    assert through(images[:9], data.RandomFlip(p=0.0)).numpy().tolist() == images[:9].tolist()


def test_crops_take_every_place_alike() -> None:
    image = np.arange(36 * 36, dtype=np.int32).reshape(1, 36, 36)
    first = through(np.tile(image, (5000, 1, 1)), data.RandomCrop(32)).numpy()[:, 0, 0]
    counts = np.zeros((5, 5))
    np.add.at(counts, (first // 36, first % 36), 1)
    chi2 = ((counts - 200) ** 2 / 200).sum()
    assert counts.min() > 0 and chi2 < 60  # 24 degrees of freedom: above it once in 10 000


def test_padding_comes_on_all_four_sides() -> None:
    images = np.full((400, 2, 6, 6), 7, np.uint8)
    for augment in (data.RandomCrop(6, padding=2, fill=9), data.RandomShift(2, fill=9)):
        x = through(images, augment).numpy()
        assert x.shape == (400, 2, 6, 6) and set(np.unique(x)) == {7, 9}
        for side in (x[..., 0, 3], x[..., -1, 3], x[..., 3, 0], x[..., 3, -1]):
            assert 80 < (side == 9).all(axis=1).sum() < 240  # two of five offsets
    same = through(images[:4], data.RandomCrop(6))
    np.testing.assert_array_equal(same.numpy(), images[:4])


def test_a_crop_is_a_piece_of_the_image_and_its_mask() -> None:
    images = np.arange(5 * 3 * 6 * 7, dtype=np.int64).reshape(5, 3, 6, 7)
    x, mask = through(images, data.RandomCrop((4, 5), both=True), y=images[:, 0])
    for row, piece, of_mask in zip(images, x.numpy(), mask.numpy(), strict=True):
        where = [
            (i, j)
            for i in range(3)
            for j in range(3)
            if (row[:, i : i + 4, j : j + 5] == piece).all()
        ]
        assert len(where) == 1
        np.testing.assert_array_equal(of_mask, piece[0])
    with pytest.raises(
        ShapeError, match=r"a piece of \(8, 8\) of an image of \(6, 7\) with padding"
    ):
        data.RandomCrop(8)(images[0])


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_quarter_turns_are_exact_and_others_bilinear(kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7)).astype(kind)
    half = data.RandomRotation((180, 180))(image).numpy()
    np.testing.assert_allclose(half, np.rot90(image, 2, (1, 2)), atol=2e-4)
    square = image[:, :, :5]
    left = data.RandomRotation((90, 90), fill=3)(square).numpy()
    np.testing.assert_allclose(left, np.rot90(square, 1, (1, 2)), atol=2e-4)
    angle = np.deg2rad(25)
    found = data.RandomRotation((25, 25), fill=9)(image).numpy()
    padded = np.pad(image.astype(float), [(0, 0), (9, 9), (9, 9)], constant_values=9)
    for i, j in np.ndindex(5, 7):
        r = (i - 2) * np.cos(angle) + (j - 3) * np.sin(angle) + 2 + 9
        c = (j - 3) * np.cos(angle) - (i - 2) * np.sin(angle) + 3 + 9
        top, left = int(r), int(c)
        a, b = r - top, c - left
        piece = padded[:, top : top + 2, left : left + 2]
        wanted = np.einsum("cij,i,j->c", piece, [1 - a, a], [1 - b, b])
        np.testing.assert_allclose(found[:, i, j], wanted, atol=0.51 if kind == "uint8" else 1e-3)


def test_rotations_are_drawn_from_both_sides_and_masks_turn_alike() -> None:
    images = np.zeros((500, 9, 9), np.float32)
    images[:, 0, 4] = images[:, 1, 4] = 1
    x, mask = through(images, data.RandomRotation(30, both=True), y=images)
    np.testing.assert_array_equal(x.numpy(), mask.numpy())
    moved = (x.numpy() * np.arange(9)).sum((1, 2)) / x.numpy().sum((1, 2)) - 4
    assert 0.42 < (moved < 0).mean() < 0.58 and 1.5 < np.abs(moved).max() <= 2.1
    with pytest.raises(ShapeError, match="RandomRotation: an image"):
        data.RandomRotation(3)(np.zeros(3, np.float32))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        (data.RandomBrightness(1.5), [0, 150, 255, 255]),
        (data.RandomBrightness(offset=100.0), [100, 200, 255, 255]),
        (data.RandomBrightness(offset=-120.0), [0, 0, 80, 135]),
        (data.RandomBrightness(0.005), [0, 0, 1, 1]),  # 0, 0.5, 1, 1.275: halves to even
        (data.RandomContrast(3.0), [0, 22, 255, 255]),  # about 138.75
        (data.RandomContrast(-1.0), [255, 178, 78, 22]),
    ],
)
def test_bytes_do_not_wrap_round(augment: object, expected: list[int], compiled: bool) -> None:
    x = np.uint8([[0, 100, 200, 255]])
    for steps in ([augment], [data.RandomFlip(p=1.0), augment, data.RandomFlip(p=1.0)]):
        found = through(x, *steps, compiled=compiled)
        assert found.dtype == np.uint8 and found.numpy()[0].tolist() == expected


def test_noise_and_ranges() -> None:
    x = np.full((2, 5000), 128, np.uint8)
    found = through(x, data.RandomNoise(10.0)).numpy().astype(float)
    assert abs(found.mean() - 128) < 0.5 and abs(found.std() - 10) < 0.3
    assert (found[0] != found[1]).mean() > 0.9
    factors = through(np.ones((2000, 1), np.float32), data.RandomBrightness((0.5, 1.5))).numpy()
    assert 0.5 <= factors.min() < 0.52 and 1.48 < factors.max() < 1.5
    assert abs(factors.mean() - 1) < 0.03


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 4.0])
def test_mixup_draws_from_beta(alpha: float) -> None:
    n = 20_000
    x = np.stack([np.arange(n) < n / 2, np.arange(n) >= n / 2], axis=1).astype(np.float32)
    mixed, y = through(x, data.RandomMixup(alpha, classes=2), y=np.repeat([0, 1], n // 2))
    share = mixed.numpy()[: n // 2, 0]
    np.testing.assert_allclose(mixed.numpy(), y.numpy(), atol=1e-6)
    np.testing.assert_allclose(y.numpy().sum(1), 1, atol=1e-6)
    assert abs(share.mean() - 0.5) < 0.02
    assert abs(share.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_mistakes_are_named() -> None:
    with pytest.raises(OptionError, match="RandomFlip: p is from 0 to 1, got 2"):
        data.RandomFlip(p=2)
    with pytest.raises(OptionError, match="labels are mixed as probabilities; say classes="):
        through(np.ones((2, 2)), data.RandomMixup(), y=np.arange(2), compiled=False)
    with pytest.raises(OptionError, match=r"a range \(low, high\) is expected, got \(2, 1\)"):
        data.RandomContrast((2, 1))
    with pytest.raises(OptionError, match="alpha is above 0, got 0"):
        data.RandomMixup(0)
