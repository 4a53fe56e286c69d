"""Constraints on options, as data: one table gives the check and the sentence of the message."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..errors import OptionError
from ..tensor.value import Value

Init = TypeVar("Init", bound=Callable[..., None])


@dataclass(frozen=True)
class Constraint:
    """What an option must be: a test, and the words for it."""

    holds: Callable[[Any], bool]
    words: str


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)


def number(low: float = -math.inf, high: float = math.inf, brackets: str = "[]") -> Constraint:
    """A number in an interval; ``brackets`` says which ends belong to it, as in "[)".

    >>> number(0).words, number(0, 1, "[)").words, number(0, brackets="()").words
    ('a number ≥ 0', 'a number in [0, 1)', 'a number > 0')
    """
    closed_low, closed_high = brackets[0] == "[", brackets[1] == "]"

    def holds(x: Any) -> bool:
        if isinstance(
            x, Value
        ):  # a tensor option (a learning rate being scheduled) is checked when set
            return x.shape == ()
        if not _is_number(x) or math.isnan(x):
            return False
        above = low == -math.inf or (x >= low if closed_low else x > low)
        below = high == math.inf or (x <= high if closed_high else x < high)
        return (
            above and below and (math.isfinite(x) or (x > 0 and high == math.inf and closed_high))
        )

    if low == -math.inf and high == math.inf:
        words = "a number"
    elif high == math.inf:
        words = f"a number {'≥' if closed_low else '>'} {low:g}"
    elif low == -math.inf:
        words = f"a number {'≤' if closed_high else '<'} {high:g}"
    else:
        words = f"a number in {brackets[0]}{low:g}, {high:g}{brackets[1]}"
    return Constraint(holds, words)


def integer(low: int | None = None, high: int | None = None) -> Constraint:
    """A whole number, at least ``low`` and at most ``high``."""

    def holds(x: Any) -> bool:
        whole = isinstance(x, int | np.integer) and not isinstance(x, bool)
        return whole and (low is None or x >= low) and (high is None or x <= high)

    limits = [f"≥ {low}"] if low is not None else []
    limits += [f"≤ {high}"] if high is not None else []
    return Constraint(holds, " ".join(["an integer", " and ".join(limits)]).strip())


def choice(*values: Any) -> Constraint:
    """One of some values.

    >>> choice("none", "tanh").words
    "'none' or 'tanh'"
    """
    shown = [repr(v) for v in values]
    words = " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return Constraint(
        lambda x: any(x is v or (type(x) is type(v) and x == v) for v in values), words
    )


def pair(each: Constraint) -> Constraint:
    """Two values, each of which satisfies ``each``."""

    def holds(x: Any) -> bool:
        return isinstance(x, tuple | list) and len(x) == 2 and all(each.holds(i) for i in x)

    return Constraint(holds, f"a pair, each {each.words}")


def used(value: Any) -> bool:
    """Whether an option does anything: it is not 0, or a tensor, whose number nobody knows."""
    return isinstance(value, Value) or bool(value)


def optional(inner: Constraint) -> Constraint:
    """None, or what ``inner`` says."""
    return Constraint(lambda x: x is None or inner.holds(x), f"{inner.words}, or None")


def check(owner: str, table: Mapping[str, Constraint], values: Mapping[str, Any]) -> None:
    """Raise OptionError for the first of ``values`` that its constraint in ``table`` forbids."""
    for name, value in values.items():
        constraint = table.get(name)
        if constraint is not None and not constraint.holds(value):
            raise OptionError(f"{owner}: {name} must be {constraint.words}, got {value!r}")


REDUCTIONS = ("none", "mean", "sum")


def check_reduction(owner: str, reduction: str, allowed: Iterable[str] = REDUCTIONS) -> None:
    """Raise OptionError unless ``reduction`` is one there is."""
    check(owner, {"reduction": choice(*allowed)}, {"reduction": reduction})


def check_order(owner: str, low: str, a: Any, high: str, b: Any) -> None:
    """Raise OptionError unless the option ``low``, a, is at most the option ``high``, b."""
    if not (isinstance(a, Value) or isinstance(b, Value)) and not a <= b:
        raise OptionError(f"{owner}: {low} must be at most {high}, got {a} and {b}")


def takes_options(init: Init) -> Init:
    """Makes a constructor whose signature is the table of its options.

    They go, by name and with their defaults, to ``self._take(options, **others)``; then its body
    runs.

    >>> class Scale:
    ...     def _take(self, options):
    ...         self.__dict__.update(options)
    ...     @takes_options
    ...     def __init__(self, factor: float = 2.0) -> None: ...
    >>> Scale().factor, Scale(3.0).factor
    (2.0, 3.0)
    """
    signature = inspect.signature(init)
    others = next((n for n, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), "")

    @functools.wraps(init)
    def taking(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            init(self, *args, **kwargs)  # says what is wrong in Python's own words
            raise
        bound.apply_defaults()
        _, *options = bound.arguments.items()
        self._take({k: v for k, v in options if k != others}, **bound.arguments.get(others, {}))
        init(self, *args, **kwargs)

    taking.options = {*signature.parameters}  # type: ignore[attr-defined]
    return taking  # type: ignore[return-value]
