"""The interpreter, and the meanings that are our own choice."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.interpret import evaluate
from chainrule.core.node import Array, Node


def value(node: Node) -> Array:
    return evaluate([node], {})[0]


def c(values: object, dtype: dt.DType = dt.float32) -> Node:
    return op.constant(values, dtype)


def test_known_values_cut_the_graph() -> None:
    x = op.input((2,), dt.float64)
    y = op.exp(x)
    assert evaluate([op.add(y, y)], {y: np.array([1.0, 2.0])})[0].tolist() == [2, 4]


def test_an_output_may_be_an_input_twice_and_used_inside() -> None:
    x = op.input((), dt.float64)
    y = op.exp(x)
    a, b, z, x2 = evaluate([y, y, op.log(y), x], {x: np.float64(0)})
    assert (a, b, z, x2) == (1, 1, 0, 0)


def test_an_input_without_a_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="an input has no value"):
        value(op.exp(op.input((), dt.float64)))


def test_casts_from_float_saturate_and_nan_becomes_0() -> None:
    x = c([np.nan, np.inf, -np.inf, -1.9, 3e9, -3e9, 300.5, 1e30], dt.float64)
    expected = {
        dt.uint8: [0, 255, 0, 0, 255, 0, 255, 255],
        dt.int32: [0, 2**31 - 1, -(2**31), -1, 2**31 - 1, -(2**31), 300, 2**31 - 1],
        dt.uint32: [0, 2**32 - 1, 0, 0, 3_000_000_000, 0, 300, 2**32 - 1],
        dt.int64: [0, 2**63 - 1, -(2**63), -1, 3_000_000_000, -3_000_000_000, 300, 2**63 - 1],
    }
    for dtype, numbers in expected.items():
        assert value(op.cast(x, dtype)).tolist() == numbers, dtype
    assert value(op.cast(c([0.0, -0.0, np.nan, 0.1]), dt.bool_)).tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert value(op.cast(c([-1, 256, 300], dt.int64), dt.uint8)).tolist() == [
        255,
        0,
        44,
    ]  # integers wrap


def test_integer_division_rounds_down_and_by_zero_gives_0() -> None:
    a, b = c([7, -7, 7, -7, 5, 0], dt.int32), c([2, 2, -2, -2, 0, 0], dt.int32)
    assert value(op.div(a, b)).tolist() == [3, -4, -4, 3, 0, 0]
    assert value(op.mod(a, b)).tolist() == [1, 1, -1, -1, 0, 0]
    low = c([-(2**31)], dt.int32)
    assert value(op.div(low, c([-1], dt.int32))).tolist() == [-(2**31)]


def test_float_modulo_has_the_sign_of_the_divisor() -> None:
    a, b = c([7, -7, 7, -7, 1], dt.float64), c([2.5, 2.5, -2.5, -2.5, 0], dt.float64)
    assert value(op.mod(a, b)).tolist()[:4] == [2.0, 0.5, -0.5, -2.0]
    assert np.isnan(value(op.mod(a, b))[4])


def test_float_division_rounded_down_fits_the_modulo() -> None:
    a, b = c([1, -1, 7, 0], dt.float64), c([0.1, 0.1, -2.5, 3], dt.float64)
    assert value(op.floordiv(a, b)).tolist() == [9, -10, -3, 0]  # 0.1 is a little over 1/10


def test_powers_of_integers_wrap_and_negative_ones_lose_their_fraction() -> None:
    a, b = c([3, -2, 2, -1, 5, 0], dt.int64), c([39, 63, 64, -3, -1, -1], dt.int64)
    assert value(op.pow(a, b)).tolist() == [3**39, -(2**63), 0, -1, 0, 0]


def test_indices_outside_are_clamped() -> None:
    x = c([10, 20, 30])
    for dtype in (dt.int32, dt.int64):
        assert value(op.gather(x, c([-5, 0, 2, 99], dtype))).tolist() == [10, 10, 30, 30]
    assert value(op.gather(x, c([0, 255], dt.uint8))).tolist() == [10, 30]
    added = op.scatter_add(x, c([-1, 5, 5], dt.int64), c([1, 2, 3]))
    assert value(added).tolist() == [11, 20, 35]


def test_small_index_types_reach_into_long_axes() -> None:
    x = op.iota((300,), 0, dt.float32)
    assert value(op.gather(x, c([0, 255], dt.uint8))).tolist() == [0, 255]
    assert value(op.put(x, c(900, dt.int32), c(7.0, dt.float32)))[-1] == 7  # clamped
    assert value(op.scatter_add(x, c([1, 1], dt.uint8), c([1, 1])))[1] == 3


def test_extremes_of_nan() -> None:
    x = c([[1.0, np.nan, 3.0]])
    assert (
        np.isnan(value(op.reduce_max(x, [1]))).all()
        and np.isnan(value(op.reduce_min(x, [1]))).all()
    )
    assert value(op.argmax(x, 1)).tolist() == [1]
    assert value(op.argmax(c([2.0, 5.0, 5.0]), 0)) == 1  # the first of equals


def test_empty_arrays() -> None:
    x = op.input((0, 3), dt.float32)
    empty = {x: np.zeros((0, 3), np.float32)}
    nodes = [op.sum(x, [0]), op.erf(x), op.dot(op.permute(x, (1, 0)), x), op.pad(x, (1, 0), (0, 0))]
    results = evaluate(nodes, empty)
    assert [r.shape for r in results] == [(3,), (0, 3), (3, 3), (1, 3)]
    assert not any(r.any() for r in results)


@pytest.mark.parametrize("dtype", [dt.uint8, dt.int32])
def test_integer_sums_and_products_keep_their_dtype_and_wrap(dtype: dt.DType) -> None:
    x = c([[100, 100], [100, 100]], dtype)
    assert value(op.sum(x, [0])).dtype == dtype and value(op.dot(x, x)).dtype == dtype
    assert value(op.sum(x, [0, 1])) == np.array(400).astype(dtype)


def test_sigmoid_neither_overflows_nor_loses_small_values() -> None:
    x = c([-1000.0, -50.0, 0.0, 50.0, 1000.0], dt.float64)
    assert value(op.sigmoid(x)).tolist() == pytest.approx([0, np.exp(-50.0), 0.5, 1, 1], rel=1e-15)


def test_random_bits_are_philox_and_depend_on_key_and_index_only() -> None:
    """Known answers of Philox2x32-10 (Random123's kat_vectors: counter, key -> words)."""
    from chainrule.core.counter_random import philox

    vectors = [
        ((0, 0), 0, (0xFF1DAE59, 0x6CD10DF2)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ]
    for (low, high), key, expected in vectors:
        assert tuple(int(w) for w in philox(low, high, key)) == expected
    key = c([1, 2], dt.uint32)
    long, short = value(op.random_bits(key, (2, 8))), value(op.random_bits(key, (5,)))
    assert long.ravel()[:5].tolist() == short.tolist()
    assert not np.array_equal(short, value(op.random_bits(c([1, 3], dt.uint32), (5,))))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 257])
def test_a_shuffle_is_a_permutation(n: int) -> None:
    position = op.iota((n,), 0, dt.uint32)
    found = [value(op.shuffle(position, c([k, 7], dt.uint32), n)) for k in range(3)]
    assert all(sorted(f.tolist()) == list(range(n)) for f in found)
    assert n < 10 or not np.array_equal(found[0], found[1])
