"""Rules of the losses: the error of each row, and ∂E/∂y at the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.node import Array
from ...nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    module_of,
)
from ...nn.module import Module
from ...tensor.ops import elementwise as e
from ...tensor.ops.create import asarray
from ..measure.objective import loss_name
from .records import Equation, sub


@dataclass(frozen=True)
class Outputs:
    """Outputs, targets and ∂E/∂y of all rows (rows, units); targets of labels are one-hot."""

    units: range
    y: Array
    t: Array
    grad: Array
    error: float


@dataclass(frozen=True)
class Explained:
    """Equations of each row's error, of the whole error, and of ∂E/∂y by row."""

    rows: list[list[Equation]]
    total: Equation
    upstream: list[list[Equation]]


def explain_loss(loss: Any, at: Outputs) -> Explained:
    """The formulas of the loss where there are some here; otherwise its numbers."""
    made = module_of(loss)
    rule = _RULES.get(type(made))
    if rule is None or not _is_plain(made, at):
        return _numbers_only(loss, at)
    return rule(made, at)


def _is_plain(loss: Any, at: Outputs) -> bool:
    """Whether the loss has no weights, smoothing or rows that are left out."""
    options = ("weight", "pos_weight")
    weighted = any(getattr(loss, name, None) is not None for name in options)
    smoothed = bool(getattr(loss, "label_smoothing", 0.0))
    wants_distribution = getattr(loss, "target", "") == "labels"
    one = not wants_distribution or bool(np.allclose(at.t.sum(axis=1), 1.0, atol=1e-6))
    return not weighted and not smoothed and one


def _numbers_only(loss: Any, at: Outputs) -> Explained:
    name = loss_name(loss)
    total = Equation("E", at.error, f"{name}(y, t)")
    rows = [
        [
            Equation(f"∂E/∂y{sub(j)}", float(g), f"the slope of {name}")
            for j, g in zip(at.units, grads, strict=True)
        ]
        for grads in at.grad
    ]
    return Explained([[] for _ in at.y], total, rows)


# -- from terms for each output to equations -------------------------------------------------------
@dataclass(frozen=True)
class Terms:
    """Templates for one output: its part of the row's error, and the numerator of ∂E/∂y.

    In ``error_rule`` and ``slope_rule``, {j} is the unit's index; ``part`` is the number.
    """

    error_rule: str
    error: str
    slope_rule: str
    slope: str
    part: Callable[[float, float], float]
    numbers: Callable[[float, float], tuple[tuple[float, ...], tuple[float, ...]]]


def _assembled(
    terms: Terms, loss: Any, at: Outputs, values: Array, per_output: bool, skip_zero: bool = False
) -> Explained:
    """Error of a row: the sum over outputs; E: the sum over rows, over what counts.

    That is the number of rows (and outputs if ``per_output``), unless the loss is summed.
    ``values``: y, or probabilities.

    ``skip_zero``: outputs of target 0 have no part in the error.
    """
    count = at.y.size if per_output else len(at.y)
    over = 1 if loss.reduction == "sum" else count
    errors: list[list[Equation]] = []
    upstream: list[list[Equation]] = []
    sizes: list[float] = []
    for row, (vs, ts, grads) in enumerate(zip(values, at.t, at.grad, strict=True)):
        rules: list[str] = []
        templates: list[str] = []
        numbers: list[float] = []
        slopes: list[Equation] = []
        parts: list[float] = []
        for j, v, t, g in zip(at.units, vs, ts, grads, strict=True):
            for_error, for_slope = terms.numbers(float(v), float(t))
            if not (skip_zero and t == 0):
                rules.append(terms.error_rule.replace("{j}", sub(j)))
                templates.append(terms.error)
                numbers += for_error
                parts.append(terms.part(float(v), float(t)))
            rule = _shared(terms.slope_rule.replace("{j}", sub(j)), over)
            form = _shared(terms.slope, over)
            slopes.append(Equation(f"∂E/∂y{sub(j)}", float(g), rule, form, for_slope))
        template = " + ".join(templates)
        sizes.append(sum(parts))
        left = f"E[{row + 1}]"
        errors.append([Equation(left, sizes[-1], " + ".join(rules), template, tuple(numbers))])
        upstream.append(slopes)
    if len(errors) == 1 and over == 1:
        (only,) = errors.pop()
        return Explained([[]], replace(only, left="E", value=at.error), upstream)
    return Explained(errors, _total(at, sizes, over), upstream)


def _shared(numerator: str, over: int) -> str:
    """``(y − t)`` over a number; without parentheses where that is 1."""
    if over > 1:
        return f"{numerator}/{over}"
    whole = numerator.startswith("(") and numerator.find(")") == len(numerator) - 1
    return numerator[1:-1] if whole else numerator


def _total(at: Outputs, sizes: list[float], over: int) -> Equation:
    summed = " + ".join(f"E[{i + 1}]" for i in range(len(sizes)))
    rule = summed if len(sizes) <= 4 else f"E[1] + … + E[{len(sizes)}]"
    template = " + ".join("{}" for _ in sizes)
    if over > 1:
        many = len(sizes) > 1
        rule = f"({rule})/{over}" if many else f"{rule}/{over}"
        template = f"({template})/{over}" if many else f"{template}/{over}"
    return Equation("E", at.error, rule, template, tuple(sizes))


# -- the rules -------------------------------------------------------------------------------------
def _mse(loss: Any, at: Outputs) -> Explained:
    terms = Terms(
        "(y{j} − t{j})²",
        "({} − {})²",
        "2·(y{j} − t{j})",
        "2·({} − {})",
        lambda y, t: (y - t) ** 2,
        lambda y, t: ((y, t), (y, t)),
    )
    return _assembled(terms, loss, at, at.y, per_output=True)


def _l1(loss: Any, at: Outputs) -> Explained:
    terms = Terms(
        "abs(y{j} − t{j})",
        "abs({} − {})",
        "sign(y{j} − t{j})",
        "sign({} − {})",
        lambda y, t: abs(y - t),
        lambda y, t: ((y, t), (y, t)),
    )
    return _assembled(terms, loss, at, at.y, per_output=True)


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


def _binary(p: float, t: float) -> float:
    return -((t * _log(p) if t else 0.0) + ((1 - t) * _log(1 - p) if t != 1 else 0.0))


_BINARY = "−({0}·log({1}) + (1 − {0})·log(1 − {1}))"


def _bce(loss: Any, at: Outputs) -> Explained:
    terms = Terms(
        _BINARY.format("t{j}", "y{j}"),
        _BINARY.format("{}", "{}"),
        "(y{j} − t{j})/(y{j}·(1 − y{j}))",
        "({} − {})/({}·(1 − {}))",
        _binary,
        lambda y, t: ((t, y, t, y), (y, t, y, y)),
    )
    return _assembled(terms, loss, at, at.y, per_output=True)


def _bce_logits(loss: Any, at: Outputs) -> Explained:
    p = np.asarray(e.sigmoid(asarray(at.y))._read())
    terms = Terms(
        _BINARY.format("t{j}", "p{j}"),
        _BINARY.format("{}", "{}"),
        "(p{j} − t{j})",
        "({} − {})",
        _binary,
        lambda p, t: ((t, p, t, p), (p, t)),
    )
    found = _assembled(terms, loss, at, p, per_output=True)
    rules = [
        [
            Equation(f"p{sub(j)}", float(v), f"σ(y{sub(j)})", "σ({})", (float(y),))
            for j, v, y in zip(at.units, ps, ys, strict=True)
        ]
        for ps, ys in zip(p, at.y, strict=True)
    ]
    return _with_probabilities(found, rules)


def _cross_entropy(loss: Any, at: Outputs) -> Explained:
    shifted = np.exp(at.y - at.y.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    hard = bool(((at.t == 0) | (at.t == 1)).all())
    terms = Terms(
        "−log(p{j})" if hard else "−t{j}·log(p{j})",
        "−log({})" if hard else "−{}·log({})",
        "(p{j} − t{j})",
        "({} − {})",
        lambda p, t: -t * _log(p),
        (lambda p, t: ((p,), (p, t))) if hard else (lambda p, t: ((t, p), (p, t))),
    )
    found = _assembled(terms, loss, at, p, per_output=False, skip_zero=hard)
    form = "exp({})/(" + " + ".join("exp({})" for _ in at.units) + ")"
    rules = [
        [
            Equation(
                f"p{sub(j)}",
                float(v),
                f"exp(y{sub(j)})/Σₖ exp(yₖ)",
                form,
                (float(y), *map(float, ys)),
            )
            for j, v, y in zip(at.units, ps, ys, strict=True)
        ]
        for ps, ys in zip(p, at.y, strict=True)
    ]
    return _with_probabilities(found, rules)


def _with_probabilities(found: Explained, rules: list[list[Equation]]) -> Explained:
    rows = [[*ps, *errors] for ps, errors in zip(rules, found.rows, strict=True)]
    return Explained(rows, found.total, found.upstream)


def _nll(loss: Any, at: Outputs) -> Explained:
    terms = Terms("−y{j}", "−{}", "−t{j}", "−{}", lambda y, t: -t * y, lambda y, t: ((y,), (t,)))
    return _assembled(terms, loss, at, at.y, per_output=False, skip_zero=True)


_RULES: dict[type[Module], Callable[[Any, Outputs], Explained]] = {
    MSELoss: _mse,
    L1Loss: _l1,
    BCELoss: _bce,
    BCEWithLogitsLoss: _bce_logits,
    CrossEntropyLoss: _cross_entropy,
    NLLLoss: _nll,
}
