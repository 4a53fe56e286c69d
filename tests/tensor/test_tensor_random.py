"""Random tensors: replayed from a seed, distributed as they say, the same eager and compiled."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import chainrule as cr

DRAWS = {
    "rand": lambda g: cr.rand(64, generator=g),
    "rand64": lambda g: cr.rand(64, dtype="float64", generator=g),
    "randn": lambda g: cr.randn(64, generator=g),
    "randint": lambda g: cr.randint(-3, 50, (64,), generator=g),
    "randperm": lambda g: cr.randperm(64, generator=g),
    "uniform": lambda g: cr.uniform(2, 3, (64,), generator=g),
    "normal": lambda g: cr.normal(2.0, 3.0, (64,), generator=g),
    "bernoulli": lambda g: cr.bernoulli(cr.full((64,), 0.3), generator=g),
    "exponential": lambda g: cr.exponential(2.0, (64,), generator=g),
    "multinomial": lambda g: cr.multinomial([0.2, 0.3, 0.5], 64, replacement=True, generator=g),
    "choice": lambda g: cr.choice(cr.arange(10), (64,), generator=g),
    "permutation": lambda g: cr.permutation(cr.arange(64), generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_replayed_from_the_seed_and_the_state(name: str) -> None:
    draw = DRAWS[name]
    a, b = cr.Generator(5), cr.Generator().manual_seed(5)
    first, second = draw(a).numpy(), draw(a).numpy()
    np.testing.assert_array_equal(first, draw(b).numpy())
    state = b.get_state()
    np.testing.assert_array_equal(second, draw(b).numpy())
    b.set_state(state)
    np.testing.assert_array_equal(second, draw(b).numpy())
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, draw(cr.Generator(6)).numpy())


@pytest.mark.parametrize("name", DRAWS)
def test_same_numbers_compiled(name: str) -> None:
    draw = DRAWS[name]
    generator, reference = cr.Generator(11), cr.Generator(11)
    step = cr.compile(lambda: (draw(generator), draw(generator)))
    for _ in range(2):
        for found in step():
            np.testing.assert_allclose(found.numpy(), draw(reference).numpy(), rtol=1e-5, atol=1e-6)
    assert generator.counter.item() == reference.counter.item() == 4


def test_default_generator() -> None:
    cr.manual_seed(3)
    a = cr.rand(4).numpy()
    cr.manual_seed(3)
    np.testing.assert_array_equal(a, cr.rand(4).numpy())
    cr.manual_seed(3 + 2**32)
    assert not np.array_equal(a, cr.rand(4).numpy())


N = 40_000


@pytest.mark.parametrize(
    ("draw", "mean", "variance", "low", "high"),
    [
        (lambda: cr.rand(N), 0.5, 1 / 12, 0, 1),
        (lambda: cr.rand(N, dtype="float64"), 0.5, 1 / 12, 0, 1),
        (lambda: cr.randn(N), 0, 1, -7, 7),
        (lambda: cr.randn(N, dtype="float64"), 0, 1, -7, 7),
        (lambda: cr.uniform(-2, 4, (N,)), 1, 3, -2, 4),
        (lambda: cr.normal(1.0, 2.0, N), 1, 4, -13, 15),
        (lambda: cr.randint(0, 6, (N,)), 2.5, 35 / 12, 0, 5),
        (lambda: cr.bernoulli(0.3, (N,)), 0.3, 0.21, 0, 1),
        (lambda: cr.exponential(2.0, (N,)), 2, 4, 0, 60),
        (lambda: cr.multinomial([1.0, 0.0, 3.0], N, replacement=True), 1.5, 0.75, 0, 2),
    ],
)
def test_distributions(draw, mean: float, variance: float, low: float, high: float) -> None:
    cr.manual_seed(0)
    x = draw().numpy().astype(np.float64)
    assert x.shape == (N,)
    assert low <= x.min()
    assert x.max() <= high
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / N)
    assert abs(x.var() - variance) < 0.06 * max(variance, 0.1)


def test_uniform_numbers_are_spread_evenly() -> None:
    counts, _ = np.histogram(cr.rand(N, generator=cr.Generator(1)).numpy(), bins=40, range=(0, 1))
    expected = N / 40
    assert ((counts - expected) ** 2 / expected).sum() < 80  # χ² with 39 degrees of freedom


def test_normal_numbers_have_the_tails_of_a_normal() -> None:
    x = cr.randn(N, generator=cr.Generator(1)).numpy()
    for t, share in [(1, 0.3173), (2, 0.0455), (3, 0.0027)]:
        assert (np.abs(x) > t).mean() == pytest.approx(share, abs=5 * np.sqrt(share / N))
    assert (x**3).mean() == pytest.approx(0, abs=0.1)
    assert (x**4).mean() == pytest.approx(3, abs=0.2)


def test_permutations_and_samples_without_replacement() -> None:
    assert sorted(cr.randperm(100).tolist()) == list(range(100))
    assert cr.randperm(0).shape == (0,)
    x = cr.permutation(cr.arange(12).reshape(6, 2))
    assert sorted(map(tuple, x.tolist())) == [(2 * i, 2 * i + 1) for i in range(6)]
    drawn = cr.multinomial([[0.5, 0.5, 0.0], [0.1, 0.1, 0.1]], 2)
    assert all(len(set(row)) == 2 for row in drawn.tolist())
    assert sorted(drawn.tolist()[0]) == [0, 1]
    assert sorted(cr.choice(5, (5,), replace=False).tolist()) == list(range(5))


def test_shapes_and_dtypes() -> None:
    assert cr.rand(2, 3).shape == cr.rand((2, 3)).shape == cr.randn([2, 3]).shape == (2, 3)
    assert cr.rand(()).shape == cr.rand().shape == ()
    assert cr.randint(5, size=(2,)).dtype == np.int64
    assert cr.rand_like(cr.zeros(2, dtype="float64")).dtype == np.float64
    assert cr.randn_like(cr.zeros(2, 3)).shape == (2, 3)
    assert cr.normal(cr.zeros(3), cr.ones(2, 1)).shape == (2, 3)
    assert cr.rand(2, requires_grad=True).is_leaf


def test_a_draw_keeps_its_value() -> None:
    x = cr.rand(3)
    y = x * 1
    cr.rand(3)
    np.testing.assert_array_equal(x.numpy(), y.numpy())
    np.testing.assert_array_equal(x.numpy(), x.numpy())


def test_threads_never_draw_the_same_numbers_of_one_generator() -> None:
    generator, interval = cr.Generator(3), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            lists = pool.map(
                lambda _: [cr.rand((), generator=generator).item() for _ in range(100)], range(4)
            )
            found = [x for drawn in lists for x in drawn]
    finally:
        sys.setswitchinterval(interval)
    assert int(generator.counter.item()) == 400
    fresh = cr.Generator(3)
    assert sorted(found) == sorted(cr.rand((), generator=fresh).item() for _ in range(400))
