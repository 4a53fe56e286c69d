"""The tables of docs/reference/kinks.md: what they say of gradients at kinks and ties is so."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.nn import functional as F  # noqa: N812

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "kinks.md"


def rows() -> list[tuple[str, str, str]]:
    """Each function of each row, with its argument and its gradient."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("| `"):
            found += [
                (f, cells[1].strip("`"), cells[2].strip("`"))
                for f in re.findall("`([^`]*)`", cells[0])
            ]
    return found


NAMES = {"cr": cr, "F": F, "math": math, "inf": math.inf}


def gradient_of(function: str) -> Callable[[cr.Tensor], cr.Tensor]:
    written = eval(f"lambda x: ({function}).sum()", NAMES)
    found: Callable[[cr.Tensor], cr.Tensor] = cr.grad(written)
    return found


def argument(at: str) -> cr.Tensor:
    return cr.tensor(np.array(eval(at, NAMES), float))


@pytest.mark.parametrize(("function", "at", "gradient"), rows())
def test_the_gradient_is_the_one_that_the_page_names(function: str, at: str, gradient: str) -> None:
    got = gradient_of(function)(argument(at)).numpy()
    np.testing.assert_allclose(got, eval(gradient, NAMES), rtol=1e-15)


def test_compiled_gradients_are_those_that_the_page_names() -> None:
    every = rows()
    gradients = [gradient_of(function) for function, _, _ in every]
    run = cr.compile(lambda xs: [g(x) for g, x in zip(gradients, xs, strict=True)])
    found = run([argument(at) for _, at, _ in every])
    for (function, at, gradient), got in zip(every, found, strict=True):
        np.testing.assert_allclose(
            got.numpy(), eval(gradient, NAMES), rtol=1e-15, err_msg=f"{function} at {at}"
        )


def test_a_second_gradient_at_a_kink_is_finite() -> None:
    for f in (cr.std, cr.norm, lambda x: cr.norm(x, 0.5), lambda x: cr.clip(x, 0, 1).sum()):
        second = cr.grad(lambda x, f=f: (cr.grad(f)(x) * cr.tensor([1.0, 2.0])).sum())
        assert np.isfinite(second(cr.tensor([0.0, 0.0])).numpy()).all()


@pytest.mark.parametrize("function", ["sign", "floor", "ceil", "trunc", "round"])
def test_a_leaf_of_a_flat_function_gets_zeros(function: str) -> None:
    x = cr.tensor([0.5, 1.5], requires_grad=True)
    getattr(cr, function)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0]


def test_a_power_of_zero_gives_its_base_zeros() -> None:
    x = cr.tensor([0.0, 1.0], requires_grad=True)
    (x**0.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0]


def test_a_leaf_that_no_float_path_reaches_gets_none() -> None:
    x = cr.tensor([0.5, 1.5], requires_grad=True)
    y = cr.tensor([1.0, 2.0], requires_grad=True)
    (y * (x > 1) + x.detach()).sum().backward()
    assert x.grad is None
    assert y.grad is not None


def test_max_along_an_axis_gives_the_first_of_equal_ones_the_gradient_of_each_line() -> None:
    x = cr.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]], requires_grad=True)
    (x.max(dim=1, keepdim=True).values * cr.tensor([[1.0], [10.0]])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, 1, 0], [10, 0, 0]]


def test_std_of_a_constant_feature_does_not_spoil_a_normalization() -> None:
    x = cr.tensor([[1.0, 2.0], [1.0, 5.0]], requires_grad=True)
    x.std(0, correction=0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0, -0.5], [0, 0.5]]
    x.grad = None
    ((x - x.mean(0)) / (x.std(0) + 1e-5)).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
