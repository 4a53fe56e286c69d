"""Muon: momentum made orthogonal."""

from __future__ import annotations

import math
from typing import Any

from ..nn.options import choice, integer, number, takes_options
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from .adam import LR
from .group import ParamGroup, cast
from .optimizer import Optimizer, State, require_matrix, zeros


def orthogonalized(
    x: Any, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """The nearest orthogonal matrix, roughly: singular values go to about 1 (Newton & Schulz).

    X ← a X + (b A + c A²) X with A = X Xᵀ, from X / ‖X‖; the shorter side is kept first.
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / e.maximum(x.norm(), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(Optimizer):
    """b ← μ b + (1 - μ) g;  p ← p (1 - lr λ) - lr' O(μ b + (1 - μ) g), O making it orthogonal.

    For hidden layers' matrices; give embeddings, biases and the last layer to AdamW.
    ``adjust_lr_fn``: "original" (None): lr' = lr √max(1, rows/columns); "match_rms_adamw": lr' =
    0.2 lr √max(rows, columns). Computed in the parameters' own precision. Source: Jordan, "Muon: an
    optimizer for hidden layers", 2024; Moonshot AI, 2025 (the second rate).

    >>> from chainrule import nn, optim
    >>> layer = nn.Linear(3, 2, bias=False)
    >>> optimizer = optim.Muon(layer.parameters(), lr=0.02)
    >>> layer([[1.0, 2.0, 3.0]]).sum().backward()
    >>> optimizer.step()
    """

    constraints = {
        "lr": LR,
        "weight_decay": number(0),
        "momentum": number(0, 1, "[)"),
        "eps": number(0),
        "ns_steps": integer(1, 99),
        "adjust_lr_fn": choice(None, "original", "match_rms_adamw"),
    }
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None: ...

    def check_group(self, group: ParamGroup) -> None:
        """Only matrices."""
        require_matrix("Muon", group["params"])

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running mean of the gradient."""
        return {"momentum_buffer": zeros(p)}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        momentum, lr = cast(group["momentum"], p), group["lr"]
        buffer = state["momentum_buffer"]
        buffer.assign(buffer + (1 - momentum) * (grad - buffer))
        mixed = grad + momentum * (buffer - grad) if group["nesterov"] else buffer
        change = orthogonalized(mixed, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1.0, rows / columns))
        p.assign(p * cast(1 - lr * group["weight_decay"], p) - cast(lr * ratio, p) * change)
