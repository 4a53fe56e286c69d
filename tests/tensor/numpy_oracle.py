"""Helpers of the tensor tests: arrays, and comparison of tensors with NumPy's results."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr

SHAPES = [(), (1,), (5,), (0,), (2, 3), (3, 0), (2, 3, 4)]
FLOATS = ["float32", "float64"]
NUMBERS = ["float32", "float64", "int16", "int32", "int64", "uint8", "uint64"]


def sample(
    shape: tuple[int, ...], dtype: str = "float32", seed: int = 0, low: float = -2, high: float = 2
) -> Any:
    """Random numbers of a dtype; integers are within the same bounds, doubled."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        return rng.integers(0 if kind == "u" else int(2 * low), int(2 * high) + 1, shape).astype(
            dtype
        )
    return rng.uniform(low, high, shape).astype(dtype)


def check(found: Any, expected: Any, tolerance: float = 4e-6) -> None:
    """Shapes are equal, values agree (NaN equals NaN); a float64 result agrees to float64
    precision."""
    expected = np.asarray(expected)
    assert isinstance(found, cr.Tensor), type(found)
    assert found.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found.numpy(), expected)
        return
    if found.dtype == np.float64:
        tolerance = 1e-12
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)
