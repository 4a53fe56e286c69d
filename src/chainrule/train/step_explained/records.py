"""What an explanation consists of: units, weights, and equations with their numbers. No layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def sub(*numbers: int) -> str:
    """Numbers as an index: ₃₁; with a comma where one has two digits.

    >>> sub(3, 1), sub(12, 4)
    ('₃₁', '₁₂‚₄')
    """
    comma = "‚" if max(numbers) > 9 else ""
    return comma.join(str(n).translate(_DIGITS) for n in numbers)


@dataclass(frozen=True)
class Equation:
    """``left = rule = numbers = value``, such as net₃ = w₃₁·x₁ + b₃ = 0.5·1 + 0.1 = 0.6.

    ``template`` is the rule with ``{}`` in the place of each of ``numbers``; both it and ``rule``
    may be empty. ``relation`` is "←" where a number is replaced.
    """

    left: str
    value: float
    rule: str = ""
    template: str = ""
    numbers: tuple[float, ...] = ()
    relation: str = "="


def sum_of_products(
    left: str, value: float, rule: str, terms: Sequence[Sequence[float]]
) -> Equation:
    """An equation whose numbers are a sum of products."""
    template = " + ".join("·".join("{}" for _ in factors) for factors in terms)
    return Equation(left, value, rule, template, tuple(f for term in terms for f in term))


@dataclass(frozen=True)
class Block:
    """Equations that belong together."""

    title: str
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class Column:
    """The units of a layer, by number, and what they compute."""

    name: str
    units: tuple[int, ...]
    linear: bool
    """Whether their net inputs are sums over weights (otherwise: the unit before, one to one)."""


@dataclass(frozen=True)
class Weight:
    """A weight or (``source`` None) a bias: where, and before and after the step."""

    symbol: str
    parameter: str
    index: tuple[int, ...]
    target: int
    source: int | None
    value: float
    gradient: float | None
    """None: frozen."""
    new: float


@dataclass(frozen=True)
class Row:
    """One example: inputs, targets, what each unit gives, its δ, and the equations."""

    inputs: tuple[float, ...]
    targets: tuple[float, ...]
    values: dict[int, float]
    deltas: dict[int, float]
    forward: Block
    error: Block
    backward: Block


@dataclass(frozen=True)
class Step:
    """All of a step."""

    title: str
    loss_name: str
    optimizer_name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Equation
    weights: tuple[Weight, ...]
    gradients: Block
    update_rule: str
    updates: Block
    legend: tuple[str, ...]
