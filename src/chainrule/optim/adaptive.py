"""Rules with a rate for each weight: from sums or means of squared gradients, or signs."""

from __future__ import annotations

from typing import Any, Unpack

from ..nn.options import Constraint, number, pair, takes_options
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from .adam import COMMON, LR, decayed
from .group import ParamGroup, Switches, cast
from .optimizer import Optimizer, State, zeros

_NOT_BEGUN = -1.0  # the size of a weight's step before its first one


class RMSprop(Optimizer):
    """v ← α v + (1 - α) g²;  p ← p - lr g / (√v + eps).

    ``centered`` takes v - (mean g)² in place of v; with momentum μ: b ← μ b + g / (√v + eps), p ← p
    - lr b. Source: Hinton, lecture 6 of "Neural networks for machine learning", 2012; Graves, 2013
      (centered).

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.RMSprop([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([-1.5], requires_grad=True)
    """

    constraints = {
        "lr": LR,
        "alpha": number(0, 1),
        "eps": number(0),
        "weight_decay": number(0),
        "momentum": number(0),
    }
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """Running means of the squared gradient (and of the gradient), and the momentum."""
        names = ["square_avg"]
        names += ["momentum_buffer"] if group["momentum"] else []
        names += ["grad_avg"] if group["centered"] else []
        return {name: zeros(p) for name in names}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, False)
        alpha, lr = group["alpha"], cast(group["lr"], p)
        v = state["square_avg"]
        v.assign(alpha * v + ((1 - alpha) * grad) * grad)
        spread: Any = v
        if group["centered"]:
            mean = state["grad_avg"]
            mean.assign(mean + (1 - alpha) * (grad - mean))
            spread = v - mean * mean
        scaled = grad / (e.sqrt(spread) + group["eps"])
        if "momentum_buffer" in state:
            buffer = state["momentum_buffer"]
            buffer.assign(cast(group["momentum"], p) * buffer + scaled)
            scaled = buffer
        p.assign(start - lr * scaled)


class Adagrad(Optimizer):
    """s ← s + g²;  p ← p - lr / (1 + (t - 1) lr_decay) · g / (√s + eps) (Duchi et al., 2011).

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Adagrad([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.75], requires_grad=True)
    """

    constraints = {
        "lr": LR,
        "lr_decay": number(0),
        "weight_decay": number(0),
        "initial_accumulator_value": number(0),
        "eps": number(0),
    }

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The sum of squared gradients."""
        return {"sum": zeros(p, group["initial_accumulator_value"])}

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """The rate of this step."""
        return group["lr"] / (1 + (scalars["step"].double() - 1) * group["lr_decay"])

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, False)
        total = state["sum"]
        total.assign(total + grad * grad)
        p.assign(start - cast(common, p) * grad / (e.sqrt(total) + group["eps"]))


class Adadelta(Optimizer):
    """v ← ρ v + (1 - ρ) g²;  Δ = √(u + eps) / √(v + eps) · g;  u ← ρ u + (1 - ρ) Δ²;  p ← p - lr Δ.

    Source: Zeiler, 2012.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Adadelta([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.9992], requires_grad=True)
    """

    constraints = {"lr": LR, "rho": number(0, 1), "eps": number(0), "weight_decay": number(0)}
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """Running means of the squared gradients and of the squared changes."""
        return {"square_avg": zeros(p), "acc_delta": zeros(p)}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, False)
        rho, eps = group["rho"], group["eps"]
        v, u = state["square_avg"], state["acc_delta"]
        v.assign(rho * v + ((1 - rho) * grad) * grad)
        change = e.sqrt(u + eps) / e.sqrt(v + eps) * grad
        u.assign(rho * u + ((1 - rho) * change) * change)
        p.assign(start - cast(group["lr"], p) * change)


class Rprop(Optimizer):
    """p ← p - s sign(g), with a size s of its own for each weight.

    s ← η⁺ s where the sign of g stays and s ← η⁻ s where it changes (there the weight waits for one
    step), within ``step_sizes``; ``etas`` = (η⁻, η⁺). The first s is lr, which is not
    read after the first step. For full batches. Source: Riedmiller & Braun, 1993.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Rprop([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.75], requires_grad=True)
    """

    constraints = {
        "lr": LR,
        "etas": Constraint(
            lambda x: isinstance(x, tuple | list) and len(x) == 2 and 0 < x[0] < 1 < x[1],
            "a pair (below 1, above 1)",
        ),
        "step_sizes": pair(number(0)),
    }
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The last gradient, and the size of the step of each weight."""
        return {"prev": zeros(p), "step_size": zeros(p, _NOT_BEGUN)}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        (shrink, grow), (low, high) = group["etas"], group["step_sizes"]
        before, size = state["prev"], state["step_size"]
        start = e.where(size == _NOT_BEGUN, cast(group["lr"], p), size)
        agreement = grad * before
        changed = e.where(
            agreement > 0, start * grow, e.where(agreement < 0, start * shrink, start)
        )
        size.assign(e.clip(changed, low, high))
        grad = e.where(agreement < 0, 0.0, grad)
        p.assign(p - e.sign(grad) * size)
        before.assign(grad)


class Lion(Optimizer):
    """p ← p (1 - lr λ) - lr sign(β₁ m + (1 - β₁) g);  m ← β₂ m + (1 - β₂) g.

    Needs a smaller lr and a larger weight_decay λ than AdamW. Source: Chen et al., "Symbolic
    discovery of optimization algorithms", 2023.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Lion([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.75], requires_grad=True)
    """

    constraints = {k: v for k, v in COMMON.items() if k != "eps"}
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running mean of the gradient."""
        return {"exp_avg": zeros(p)}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        start, grad = decayed(p, grad, group, True)
        beta1, beta2 = group["betas"]
        m = state["exp_avg"]
        change = e.sign(beta1 * m + (1 - beta1) * grad)
        m.assign(beta2 * m + (1 - beta2) * grad)
        p.assign(start - cast(group["lr"], p) * change)
