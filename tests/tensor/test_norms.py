"""Norms of huge and tiny numbers: squares and powers neither overflow nor vanish."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

F = nn.functional
SIZES = [
    ("float32", 3e30), ("float32", 3e-30), ("float64", 3e200), ("float64", 3e-200),
    ("float64", 1.0),
]  # fmt: skip


@pytest.mark.parametrize("compiled", [False, True], ids=["at once", "compiled"])
@pytest.mark.parametrize(("dtype", "size"), SIZES)
@pytest.mark.parametrize("order", [1, 1.5, 2, 3, math.inf])
def test_a_norm_scales_with_its_elements(
    order: float, dtype: str, size: float, compiled: bool
) -> None:
    v = np.array([1.0, 2.0, -2.0, 0.0])
    x = cr.tensor(v * size, dtype=dtype)
    norm = (cr.compile if compiled else (lambda f: f))(lambda t: cr.norm(t, order))
    slope = (cr.compile if compiled else (lambda f: f))(cr.grad(lambda t: cr.norm(t, order)))
    expected = np.linalg.norm(v, order)
    assert norm(x).item() / size == pytest.approx(expected, rel=1e-6)
    if order != math.inf:
        wanted = np.sign(v) * (np.abs(v) / expected) ** (order - 1)
        np.testing.assert_allclose(slope(x).numpy(), wanted, rtol=1e-5, atol=1e-12)


def test_norms_of_nothing_zeros_infinities_and_nan() -> None:
    for dtype in ("float32", "float64"):
        for order in (2, 3):
            of = [cr.norm(cr.tensor(v, dtype=dtype), order).item() for v in (
                [], [0.0, 0.0], [math.inf, 1.0], [math.nan, 1.0])]  # fmt: skip
            assert of[:3] == [0, 0, math.inf] and math.isnan(of[3])


def test_the_second_derivative_of_a_norm_where_an_element_is_0() -> None:
    x = np.array([0.0, 3.0, 4.0])
    expected = (np.eye(3) - np.outer(x, x) / 25) / 5
    found = cr.hessian(lambda t: cr.norm(t))(cr.tensor(x, dtype="float64"))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("dtype", "size"), SIZES)
def test_clipping_of_huge_gradients_keeps_their_direction(dtype: str, size: float) -> None:
    for order, expected in ((2.0, [0.6, 0.8]), (math.inf, [0.75, 1.0])):
        p = nn.Parameter(np.zeros(2, dtype))
        p.grad = cr.tensor(np.array([3.0, 4.0]) * size, dtype=dtype)
        norm = nn.utils.clip_grad_norm_([p], 1.0, order)
        assert norm.item() == pytest.approx((5 if order == 2 else 4) * size, rel=1e-6)
        if size >= 1:
            np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-5)
        else:
            np.testing.assert_allclose(p.grad.numpy(), np.array([3.0, 4.0]) * size, rtol=1e-6)


def test_similarity_distance_and_normalize_of_huge_vectors() -> None:
    a, b = np.array([[3e30, 4e30]], "f"), np.array([[3e30, -4e30]], "f")
    checks: list[tuple[Any, Any]] = [
        (F.cosine_similarity(a, b), [-0.28]),
        (F.normalize(a), [[0.6, 0.8]]),
        (F.pairwise_distance(a, b), [8e30]),
        (F.pdist(np.concatenate([a, b])), [8e30]),
    ]
    for found, expected in checks:
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
