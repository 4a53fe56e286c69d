"""``x[mask] = values``: one value for each True, in order, as NumPy and PyTorch have it."""

import numpy as np
import pytest

import chainrule as cr


def test_values_follow_each_other_where_the_mask_is_true() -> None:
    rng = np.random.default_rng(0)
    for shape in [(4,), (2, 3), (3, 3), (2, 2, 3)]:
        expected, mask = rng.normal(size=shape), rng.random(shape) < 0.5
        x = cr.tensor(expected)
        values = rng.normal(size=int(mask.sum()))
        expected[mask] = values
        x[cr.tensor(mask)] = cr.tensor(values)
        np.testing.assert_array_equal(x.numpy(), expected)
        expected[mask] += values
        x[cr.tensor(mask)] += values
        np.testing.assert_array_equal(x.numpy(), expected)


def test_three_values_are_no_row_of_three() -> None:
    x = cr.zeros(2, 3)
    x[cr.tensor([[True, False, True], [True, False, False]])] = cr.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]]


def test_as_many_values_as_the_tensor_has_are_refused() -> None:
    x = cr.zeros(2, 2)
    with pytest.raises(cr.errors.ShapeError, match=r"has shape \(1,\), the value \(2, 2\)"):
        x[cr.tensor([[True, False], [False, False]])] = cr.ones(2, 2)


def test_a_mask_that_is_not_known_yet_takes_one_value_only() -> None:
    @cr.compile
    def cut(x: cr.Tensor, value: cr.Tensor) -> cr.Tensor:
        y = x * 1.0
        y[y > 1] = value
        return y

    assert cut(cr.tensor([0.5, 2.0]), cr.tensor(7.0)).tolist() == [0.5, 7.0]
    with pytest.raises(cr.errors.CompileError, match=r"cr\.where"):
        cut(cr.tensor([0.5, 2.0]), cr.tensor([7.0, 8.0]))
