"""Gradient descent with momentum, with averages, and the paper's own rule."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from ..nn.options import number, takes_options, used
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from ..tensor.value import stored
from .group import ParamGroup, Switches, cast, scalar
from .optimizer import Optimizer, State, require, zeros


class SGD(Optimizer):
    """b ← μ b + (1 - τ) g; p ← p - lr b, g = ∂L/∂p + λ p, momentum μ, dampening τ, weight_decay λ.

    The first b is g itself. Nesterov: p ← p - lr (g + μ b). Without momentum: p ← p - lr g.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.SGD([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    constraints = {
        "lr": number(0, brackets="[)"),
        "momentum": number(0),
        "dampening": number(),
        "weight_decay": number(0),
    }
    shared = {}

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def check_group(self, group: ParamGroup) -> None:
        """Nesterov's rule needs momentum and no dampening."""
        require(
            not group["nesterov"] or (group["momentum"] > 0 and group["dampening"] == 0),
            "SGD: nesterov=True needs momentum > 0 and dampening = 0,"
            f" got momentum={group['momentum']}, dampening={group['dampening']}",
        )

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The running sum of gradients; a count of steps where the first is another."""
        if not group["momentum"]:
            return {}
        buffer = {"momentum_buffer": zeros(p)}
        return {"step": stored(np.zeros((), np.int64)), **buffer} if group["dampening"] else buffer

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        if used(group["weight_decay"]):
            grad = grad + cast(group["weight_decay"], p) * p
        if "momentum_buffer" in state:
            buffer, momentum = state["momentum_buffer"], cast(group["momentum"], p)
            if "step" in state:
                damped = momentum * buffer + (1 - group["dampening"]) * grad
                buffer.assign(e.where(state["step"] == 0, grad, damped))
                state["step"].assign(state["step"] + 1)
            else:
                buffer.assign(momentum * buffer + grad)
            grad = grad + momentum * buffer if group["nesterov"] else buffer
        p.assign(p - cast(group["lr"], p) * grad)


class ASGD(Optimizer):
    """p ← p (1 - λ η) - η g;  ax ← ax + μ (p - ax): descent, and beside it the average ax.

    η = lr / (1 + λ lr t)^α and μ = 1 / max(1, t - t0), with t the steps before this one (the first
    η is lr); until step t0 the average is p itself. It is ``optimizer.state[p]["ax"]``; p is not
    changed by it. ``weight_decay`` adds to the gradient. Source: Polyak & Juditsky, 1992; Bottou,
    2010 (the rate).

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.ASGD([p], lr=0.25, lambd=0.0, t0=0)
    >>> for _ in range(2):
    ...     p.grad = None
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.tolist(), optimizer.state[p]["ax"].tolist()
    ([0.25], [0.25])
    """

    constraints = {
        "lr": number(0, brackets="[)"),
        "lambd": number(),
        "alpha": number(),
        "t0": number(),
        "weight_decay": number(0),
    }

    @takes_options
    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **switches: Unpack[Switches],
    ) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The average, and the rates of the next step."""
        return {"eta": scalar(0.0), "mu": scalar(1.0), "ax": zeros(p)}

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """Whether this is the first step, and the rates η and μ of the one after it."""
        t, lr = scalars["step"].double(), group["lr"]
        eta = lr / (1 + group["lambd"] * lr * t) ** group["alpha"]
        return t == 1, eta, 1 / e.maximum(t - group["t0"], 1.0)

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter, and the average."""
        if used(group["weight_decay"]):
            grad = grad + cast(group["weight_decay"], p) * p
        first, *rates = common
        eta = cast(e.where(first, group["lr"], state["eta"]), p)
        mu, average = cast(state["mu"], p), state["ax"]
        p.assign(p * (1 - group["lambd"] * eta) - eta * grad)
        average.assign(e.where(mu == 1, p, average + mu * (p - average)))
        for name, value in zip(("eta", "mu"), rates, strict=True):
            state[name].assign(value)


class Backprop1986(Optimizer):
    """Δw(t) = -ε ∂E/∂w(t) + α Δw(t-1);  w ← w + Δw(t): the rule of the paper, lr ε and momentum α.

    Unlike SGD's, a step keeps the learning rate it was made with when ε changes later.
    Source: Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
    Nature 323 (1986), equation 9. The gradients should be of an error summed over the cases.

    >>> from chainrule import nn, optim
    >>> p = nn.Parameter([1.0])
    >>> optimizer = optim.Backprop1986([p], lr=0.25, momentum=0.9)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    constraints = {"lr": number(0, brackets="[)"), "momentum": number(0, 1, "[)")}
    shared = {}

    @takes_options
    def __init__(self, params: Any, lr: Any = 0.1, momentum: float = 0.9) -> None: ...

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The last change."""
        return {"delta": zeros(p)}

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter."""
        delta = state["delta"]
        delta.assign(cast(group["momentum"], p) * delta - cast(group["lr"], p) * grad)
        p.assign(p + delta)
