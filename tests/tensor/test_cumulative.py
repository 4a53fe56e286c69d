"""Cumulative functions: NumPy's values along short and long axes, gradients, ties, NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
SHAPES = [(1,), (5,), (64,), (65, 3), (3, 131), (1100,), (0, 3), (3, 0)]
REFERENCE: dict[str, Any] = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "logcumsumexp": np.logaddexp.accumulate,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
}


def values(name: str, x: Any, axis: int) -> Any:
    found = getattr(cr, name)(x, axis)
    return found.values if isinstance(found, tuple) else found


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("compiled", [False, True])
def test_values_are_numpys(name: str, compiled: bool) -> None:
    for shape in SHAPES:
        x = np.round(RNG.normal(size=shape), 1)
        axis = int(np.argmax(shape))
        call = cr.compile(lambda x, axis=axis: values(name, x, axis))
        found = call(x) if compiled else values(name, cr.tensor(x), axis)
        np.testing.assert_allclose(found.numpy(), REFERENCE[name](x, axis=axis), atol=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("length", [7, 70])
def test_gradients(name: str, length: int) -> None:
    x = RNG.permutation(length) / length - 0.4  # no ties, and one element that is 0 for products
    x[3] = 0.0
    cr.check_grads(lambda x: values(name, x, 0), [cr.tensor(x)])


def test_a_product_behind_a_zero_is_zero_also_where_it_would_overflow() -> None:
    x = np.array([2.0, 0.0] + [1e30] * 100, "f")
    assert cr.cumprod(x).tolist() == [2.0] + [0.0] * 101


def test_long_sums_are_rounded_few_times() -> None:
    x = np.full(100_000, 0.1, "f")
    wanted = np.cumsum(x.astype(np.float64))
    assert np.abs(cr.cumsum(x).numpy() / wanted - 1).max() < 1e-6


@pytest.mark.parametrize("repeat", [1, 40])
def test_the_last_of_equal_elements_and_nan_are_the_largest(repeat: int) -> None:
    x = np.concatenate([np.zeros(5 * repeat - 5), [1.0, 3.0, 3.0, np.nan, 4.0]])
    first = len(x) - 5
    found, places = cr.cummax(x, dim=0)
    np.testing.assert_array_equal(found[first:].numpy(), [1, 3, 3, np.nan, np.nan])
    assert (places[first:].numpy() - first).tolist() == [0, 1, 2, 3, 3]
    found, places = cr.cummin(-x, dim=0)
    np.testing.assert_array_equal(found[first:].numpy(), [-1, -3, -3, np.nan, np.nan])
    assert (places[first:].numpy() - first).tolist() == [0, 1, 2, 3, 3]


def test_whole_numbers_and_truth() -> None:
    x = np.array([[3, -7, 5], [2, 9, 5]], np.int32)
    assert cr.cummax(x, 0).values.tolist() == [[3, -7, 5], [3, 9, 5]]
    assert cr.cummin(x, 1).values.dtype == np.int32
    assert cr.cummax([False, True, False], 0).values.tolist() == [False, True, True]


def test_the_axis_of_an_extreme_must_be_said() -> None:
    with pytest.raises(cr.errors.OptionError) as caught:
        cr.cummax([1.0, 2.0])
    assert str(caught.value) == "cummax: say along which axis, dim=0 for the first"
