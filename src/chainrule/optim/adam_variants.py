"""Variants of Adam: Adamax, NAdam, RAdam."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from ..nn.options import number, takes_options
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from .adam import COMMON, decayed, moments
from .group import ParamGroup, Switches, cast
from .optimizer import Optimizer, State, zeros


class Adamax(Optimizer):
    """m ← β₁ m + (1 - β₁) g;  u ← max(β₂ u, |g| + eps);  p ← p - lr / (1 - β₁ᵗ) · m / u.

    Adam with the largest gradient, not the mean square. Source: Kingma & Ba, 2015, algorithm 2.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Adamax([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.75], requires_grad=True)
    """

    constraints = COMMON

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running mean, and the decaying maximum."""
        return {"exp_avg": zeros(p), "exp_inf": zeros(p)}

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """The corrected rate."""
        return group["lr"] / (1 - group["betas"][0] ** scalars["step"].double())

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, False)
        beta1, beta2 = group["betas"]
        m, u = state["exp_avg"], state["exp_inf"]
        m.assign(beta1 * m + (1 - beta1) * grad)
        u.assign(e.maximum(beta2 * u, e.abs(grad) + group["eps"]))
        p.assign(start - cast(common, p) * m / u)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: the step uses the gradient and the momentum of the next step.

    μₜ = β₁ (1 - 0.96^(t ψ) / 2), with momentum_decay ψ. Source: Dozat, 2016.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.NAdam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.7359], requires_grad=True)
    """

    constraints = {**COMMON, "momentum_decay": number(0)}
    shared = {"step": np.zeros((), np.int64), "mu_product": np.ones((), np.float64)}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running means."""
        return {"exp_avg": zeros(p), "exp_avg_sq": zeros(p)}

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """Rates of the gradient and of the momentum, and √(1 - β₂ᵗ)."""
        t, product, lr = scalars["step"].double(), scalars["mu_product"], group["lr"]
        beta1, beta2 = group["betas"]
        now, later = (beta1 * (1 - 0.5 * 0.96 ** (s * group["momentum_decay"])) for s in (t, t + 1))
        product.assign(product * now)
        s = e.sqrt(1 - beta2**t)
        of_gradient = lr * (1 - now) / (1 - product)
        of_momentum = lr * later / (1 - product * later)
        return of_gradient * s, of_momentum * s, group["eps"] * s

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, group["decoupled_weight_decay"])
        m, v = moments(grad, state, group["betas"])
        of_gradient, of_momentum, eps = (cast(c, p) for c in common)
        p.assign(start - (of_gradient * grad + of_momentum * m) / (e.sqrt(v) + eps))


class RAdam(Optimizer):
    """p ← p - lr m̂ until the variance of Adam's rate is known, then p ← p - lr r m̂ / (√v̂ + eps).

    m̂, v̂ as in `Adam`; known means ρ > 5, with ρ∞ = 2 / (1 - β₂) - 1, ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ)
    and r = √((ρ - 4) (ρ - 2) ρ∞ / ((ρ∞ - 4) (ρ∞ - 2) ρ)). Source: Liu et al., "On the variance of
    the adaptive learning rate and beyond", 2020.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.RAdam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.5], requires_grad=True)
    """

    constraints = COMMON

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running means."""
        return {"exp_avg": zeros(p), "exp_avg_sq": zeros(p)}

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """The rate, whether the variance is known (ρ > 5), and by what √v is replaced."""
        t = scalars["step"].double()
        beta1, beta2 = group["betas"]
        last = 2 / (1 - beta2) - 1
        correction = 1 - beta2**t
        rho = last - 2 * t * beta2**t / correction
        known = rho > 5
        safe = e.where(known, rho, 6.0)
        rectified = e.sqrt((safe - 4) * (safe - 2) * last / ((last - 4) * (last - 2) * safe))
        return group["lr"] / (1 - beta1**t), known, rectified * e.sqrt(correction)

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, group["decoupled_weight_decay"])
        m, v = moments(grad, state, group["betas"])
        rate, known, adapted = common
        scale = e.where(known, cast(adapted, p) / (e.sqrt(v) + group["eps"]), 1.0)
        p.assign(start - cast(rate, p) * m * scale)
