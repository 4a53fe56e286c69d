"""What is no distribution is refused; medians and quantiles of NaN and infinite numbers."""

import numpy as np
import pytest

import chainrule as cr

inf, nan = float("inf"), float("nan")


@pytest.mark.parametrize("weights", [[-1.0, 1.0], [nan, 1.0], [inf, 1.0], [0.0, 0.0]])
def test_no_class_is_drawn_from_what_is_no_distribution(weights: list[float]) -> None:
    with pytest.raises(cr.errors.OptionError, match="multinomial: probabilities are"):
        cr.multinomial(cr.tensor([[0.5, 0.5], weights]), 3, replacement=True)


@pytest.mark.parametrize("p", [1.5, -0.5, nan])
def test_no_bit_is_drawn_with_what_is_no_probability(p: float) -> None:
    with pytest.raises(cr.errors.OptionError, match="from 0 to 1"):
        cr.bernoulli(cr.tensor([0.5, p]))


def test_deviations_are_not_negative() -> None:
    with pytest.raises(cr.errors.OptionError, match="std is not negative"):
        cr.normal(0.0, -1.0, 3)


def test_integers_outside_of_the_dtype_are_refused() -> None:
    assert int(cr.randint(0, 256, (2000,), dtype=cr.uint8).max()) > 240
    for low, high in [(0, 257), (-1, 5)]:
        with pytest.raises(cr.errors.DTypeError, match="uint8 holds 0 … 255"):
            cr.randint(low, high, (4,), dtype=cr.uint8)
    with pytest.raises(cr.errors.DTypeError, match="low and high are integers"):
        cr.randint(2.5, 7.9, (4,))  # type: ignore[arg-type]


def test_a_median_along_a_dim_is_nan_where_there_is_a_nan() -> None:
    x = cr.tensor([[1.0, nan, 2.0, nan], [4.0, 1.0, 3.0, 2.0]])
    found = cr.median(x, dim=1)  # torch.median: the first NaN, or the lower of two
    np.testing.assert_array_equal(found.values.numpy(), np.array([nan, 2.0], np.float32))
    assert found.indices.tolist() == [1, 3]
    assert cr.median(x, dim=0, keepdim=True).values.shape == (1, 4)


def test_quantiles_beside_infinite_numbers() -> None:
    assert cr.median(cr.tensor([inf, inf])).item() == inf
    assert cr.quantile(cr.tensor([-inf, 1.0, inf]), 0.25).item() == -inf
    assert cr.quantile(cr.tensor([1.0, 2.0, inf]), 0.25).item() == 1.5
    assert np.isnan(cr.median(cr.tensor([-inf, inf])).item())
    np.testing.assert_allclose(
        cr.grad(lambda x: cr.quantile(x, 0.3))(cr.tensor([1.0, inf, 2.0])).numpy(), [0.4, 0, 0.6]
    )


def test_a_jacobian_is_of_one_tensor() -> None:
    with pytest.raises(cr.errors.GradientError, match="must return one tensor, it returned 2"):
        cr.jacobian(lambda x: (x, 2 * x))(cr.tensor([1.0, 2.0]))
