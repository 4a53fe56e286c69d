"""Adam and its relatives: steps scaled by running means of the gradient and of its square."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

from ..nn.options import number, pair, takes_options, used
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from .group import ParamGroup, Switches, cast
from .optimizer import Optimizer, State, zeros

LR = number(0, brackets="[)")
BETA = number(0, 1, "[)")
COMMON = {"lr": LR, "betas": pair(BETA), "eps": number(0), "weight_decay": number(0)}


def decayed(p: Any, grad: Tensor, group: ParamGroup, decoupled: bool) -> tuple[Any, Tensor]:
    """Weight decay λ: in the gradient, g + λ p, or (decoupled) of the parameter, p (1 - lr λ)."""
    rate = group["weight_decay"]
    if not used(rate):
        return p, grad
    if decoupled:
        return p * cast(1 - group["lr"] * rate, p), grad
    return p, grad + cast(rate, p) * p


def moments(grad: Tensor, state: State, betas: Any) -> tuple[Tensor, Tensor]:
    """m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²."""
    beta1, beta2 = (cast(b, grad) for b in betas)
    m, v = state["exp_avg"], state["exp_avg_sq"]
    m.assign(beta1 * m + (1 - beta1) * grad)
    v.assign(beta2 * v + ((1 - beta2) * grad) * grad)
    return m, v


class Corrections(NamedTuple):
    """Scalars of a step: p ← p - rate · m / (√v + eps)."""

    rate: Tensor
    eps: Tensor


class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;  p ← p - lr m̂ / (√v̂ + eps).

    m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ). ``weight_decay`` λ adds λ p to the gradient; ``amsgrad``
    takes the largest v so far. Source: Kingma & Ba, 2015, algorithm 1; Reddi et al., 2018
    (amsgrad).

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Adam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75]
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
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running means."""
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return {name: zeros(p) for name in names}

    def prepare(self, group: ParamGroup, scalars: State) -> Corrections:
        """With s = √(1 - β₂ᵗ): lr m̂ / (√v̂ + eps) = (lr s / (1 - β₁ᵗ)) m / (√v + eps s)."""
        t = scalars["step"].double()
        beta1, beta2 = group["betas"]
        s = e.sqrt(1 - beta2**t)
        return Corrections(group["lr"] / (1 - beta1**t) * s, group["eps"] * s)

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, group["decoupled_weight_decay"])
        m, v = moments(grad, state, group["betas"])
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            largest.assign(e.maximum(largest, v))
            v = largest
        p.assign(start - cast(common.rate, p) * m / (e.sqrt(v) + cast(common.eps, p)))


class AdamW(Adam):
    """Adam, decoupled weight decay: p ← p (1 - lr λ) before the step (Loshchilov & Hutter, 2019).

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.AdamW([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.7475], requires_grad=True)
    """

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def _take(self, options: dict[str, Any], **switches: Any) -> None:
        super()._take({**options, "decoupled_weight_decay": True}, **switches)
