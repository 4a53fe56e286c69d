"""Adafactor: a mean square for each row and each column instead of each weight."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from ..nn.options import Constraint, number, takes_options
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from ..tensor.value import stored
from .adam import LR, decayed
from .group import ParamGroup, Switches, cast
from .optimizer import Optimizer, State, zeros

_NOT_NEGATIVE = number(0)


class Adafactor(Optimizer):
    """r ← r + β (mean over columns of g² - r);  c ← the same over rows;  v = r c / mean r.

    u = g / √max(v, ε₁²);  p ← p (1 - lr λ) - max(ε₂, rms p) min(lr, 1/√t) u / max(1, rms u / d),
    with β = t^beta2_decay and rms x = ‖x‖ / √n. A vector has a mean square v for each element.
    Needs n + m numbers of state for a matrix of n · m (of more axes: for each of its matrices);
    ``eps`` = (ε₁, ε₂), ε₁ None: the dtype's own.
    Source: Shazeer & Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018,
    in PyTorch's variant: lr bounds the relative step.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([[1.0, 2.0]])
    >>> optimizer = optim.Adafactor([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 4) for x in p[0].tolist()]
    [0.2094, 1.2094]
    """

    constraints = {
        "lr": LR,
        "beta2_decay": number(high=0),
        "eps": Constraint(
            lambda x: (
                isinstance(x, tuple | list)
                and len(x) == 2
                and (x[0] is None or _NOT_NEGATIVE.holds(x[0]))
                and _NOT_NEGATIVE.holds(x[1])
            ),
            "a pair (a number ≥ 0 or None, a number ≥ 0)",
        ),
        "d": number(1),
        "weight_decay": number(0),
    }

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """Mean squares of rows and columns; of a vector, of its elements."""
        if p.ndim < 2:
            return {"variance": zeros(p)}
        return {
            "row_var": stored(np.zeros((*p.shape[:-1], 1), p.dtype)),
            "col_var": stored(np.zeros((*p.shape[:-2], 1, p.shape[-1]), p.dtype)),
        }

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """β, and the relative step min(lr, 1/√t)."""
        t = scalars["step"].double()
        return t ** group["beta2_decay"], e.minimum(group["lr"], 1 / e.sqrt(t))

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        beta, step = (cast(c, p) for c in common)
        tiny, smallest = group["eps"]
        tiny = float(np.finfo(p.dtype).eps) if tiny is None else tiny
        step = step * e.maximum(_rms(p), smallest)
        start, grad = decayed(p, grad, group, True)
        square = grad * grad
        if p.ndim < 2:
            variance = state["variance"]
            variance.assign(variance + beta * (square - variance))
            estimate: Any = variance
        else:
            row, column = state["row_var"], state["col_var"]
            row.assign(row + beta * (square.mean(axis=-1, keepdims=True) - row))
            column.assign(column + beta * (square.mean(axis=-2, keepdims=True) - column))
            estimate = row * column / e.maximum(row.mean(axis=-2, keepdims=True), tiny)
        change = grad / e.sqrt(e.maximum(estimate, tiny * tiny))
        p.assign(start - step / e.maximum(_rms(change) / group["d"], 1.0) * change)


def _rms(x: Any) -> Any:
    return x.norm() / math.sqrt(max(x.numel(), 1))
