"""Rules of the optimizers: how a weight changes by its gradient, in numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...optim.adam import Adam, AdamW
from ...optim.optimizer import Optimizer
from ...optim.sgd import SGD, Backprop1986
from .records import Equation

Numbers = Mapping[str, float]


def optimizer_name(optimizer: Optimizer) -> str:
    """``SGD(lr=0.1, momentum=0.9)``: the options that are not off."""
    group = optimizer.param_groups[0]
    shown = [
        f"{k}={_short(group[k])}"
        for k in ("lr", *sorted(group))
        if k not in ("params", "param_names") and group[k] not in (0, False, None)
    ]
    return f"{type(optimizer).__name__}({', '.join(dict.fromkeys(shown))})"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def update_rule(optimizer: Optimizer) -> str:
    """The letters of the equations; of an optimizer without equations here, its description."""
    options = [k for k, _ in _LETTERS if any(g.get(k) for g in optimizer.param_groups)]
    if type(optimizer) in _RULES:
        letters = _PAPER if isinstance(optimizer, Backprop1986) else dict(_LETTERS)
        return ", ".join(f"{letters[k]}: {_WORDS.get(k, k)}" for k in options)
    words = (type(optimizer).__doc__ or type(optimizer).__name__).split("\n\n")[0]
    return " ".join(words.split()).rstrip(".").replace(" - ", " − ")


_LETTERS = (
    ("lr", "lr"),
    ("momentum", "μ"),
    ("dampening", "τ"),
    ("betas", "β₁, β₂"),
    ("weight_decay", "λ"),
)
_PAPER = {"lr": "ε", "momentum": "α"}
_WORDS = {"lr": "the learning rate", "momentum": "the momentum"}


def optimizer_state(optimizer: Optimizer, p: Any) -> dict[str, Any]:
    """A copy of what the optimizer knows of a parameter."""
    return {k: np.array(t._read()) for k, t in optimizer.state[p].items()}


def at(state: Mapping[str, Any], index: tuple[int, ...]) -> dict[str, float]:
    """The numbers of one element."""
    return {k: float(v[index] if np.ndim(v) else v) for k, v in state.items()}


def explain_update(
    optimizer: Optimizer, group: Any, symbol: str, w: float, g: float, old: Numbers, new: float
) -> list[Equation]:
    """Equations from the gradient to the new weight; ``old``: state before the step."""
    rule = _RULES.get(type(optimizer))
    if rule is None or group.get("amsgrad"):
        return [Equation(symbol, new, f"by the rule, from {symbol} and ∂E/∂{symbol}", relation="←")]
    work = _Work(symbol, w, g, group)
    rule(work, old)
    return [*work.equations[:-1], replace(work.equations[-1], value=new)]


class _Work:
    """One weight on its way: the gradient, as it is called and is by now, and what was written."""

    def __init__(self, symbol: str, w: float, g: float, group: Any) -> None:
        self.w_symbol, self.w, self.g_symbol, self.g = symbol, w, f"∂E/∂{symbol}", g
        self.index = symbol[1:]
        self.group, self.equations = group, list[Equation]()
        if group.get("maximize"):
            self.gradient("−" + self.g_symbol, "−{}", (g,), -g)

    def write(
        self, left: str, value: float, rule: str, template: str, *numbers: float, arrow: bool = True
    ) -> float:
        """Add an equation; returns the value."""
        relation = "←" if arrow else "="
        self.equations.append(Equation(left, value, rule, template, numbers, relation))
        return value

    def gradient(self, rule: str, template: str, numbers: tuple[float, ...], value: float) -> None:
        """The gradient is replaced by something made from it."""
        self.g_symbol = self.name("g")
        self.g = self.write(self.g_symbol, value, rule, template, *numbers, arrow=False)

    def name(self, letter: str) -> str:
        """``m₃₁`` of the weight w₃₁."""
        return f"{letter}{self.index}"

    def decay(self) -> None:
        """g ← g + λ w."""
        rate = self.group.get("weight_decay", 0)
        if rate:
            rule = f"{self.g_symbol} + λ·{self.w_symbol}"
            numbers = (self.g, float(rate), self.w)
            self.gradient(rule, "{} + {}·{}", numbers, self.g + rate * self.w)

    def step(self, symbol: str, value: float) -> None:
        """w ← w - lr · value."""
        lr = float(self.group["lr"])
        rule = f"{self.w_symbol} − lr·{symbol}"
        self.write(self.w_symbol, self.w - lr * value, rule, "{} − {}·{}", self.w, lr, value)


def _sgd(work: _Work, old: Numbers) -> None:
    work.decay()
    if "momentum_buffer" not in old:
        work.step(work.g_symbol, work.g)
        return
    momentum, damp = float(work.group["momentum"]), float(work.group["dampening"])
    before, name = old["momentum_buffer"], work.name("v")
    if damp and old["step"] == 0:
        new = work.write(name, work.g, work.g_symbol, "{}", work.g)
    elif damp:
        rule = f"μ·{name} + (1 − τ)·{work.g_symbol}"
        value = momentum * before + (1 - damp) * work.g
        numbers = (momentum, before, damp, work.g)
        new = work.write(name, value, rule, "{}·{} + (1 − {})·{}", *numbers)
    else:
        value = momentum * before + work.g
        rule = f"μ·{name} + {work.g_symbol}"
        new = work.write(name, value, rule, "{}·{} + {}", momentum, before, work.g)
    if not work.group["nesterov"]:
        work.step(name, new)
        return
    lr, w = float(work.group["lr"]), work.w
    rule = f"{work.w_symbol} − lr·({work.g_symbol} + μ·{name})"
    value = w - lr * (work.g + momentum * new)
    form = "{} − {}·({} + {}·{})"
    work.write(work.w_symbol, value, rule, form, w, lr, work.g, momentum, new)


def _paper(work: _Work, old: Numbers) -> None:
    lr, momentum = float(work.group["lr"]), float(work.group["momentum"])
    name, before = f"Δ{work.w_symbol}", old["delta"]
    value = -lr * work.g + momentum * before
    rule = f"−ε·{work.g_symbol} + α·{name}"
    new = work.write(name, value, rule, "−{}·{} + {}·{}", lr, work.g, momentum, before)
    work.write(work.w_symbol, work.w + new, f"{work.w_symbol} + {name}", "{} + {}", work.w, new)


def _adam(work: _Work, old: Numbers, decoupled: bool = False) -> None:
    if not decoupled:
        work.decay()
    (b1, b2), eps = work.group["betas"], float(work.group["eps"])
    lr, t, g = float(work.group["lr"]), int(old["step"]) + 1, work.g
    m, v = work.name("m"), work.name("v")
    rule = f"β₁·{m} + (1 − β₁)·{work.g_symbol}"
    numbers = (b1, old["exp_avg"], b1, g)
    new_m = b1 * old["exp_avg"] + (1 - b1) * g
    work.write(m, new_m, rule, "{}·{} + (1 − {})·{}", *numbers)
    rule = f"β₂·{v} + (1 − β₂)·{_squared(work.g_symbol)}"
    numbers = (b2, old["exp_avg_sq"], b2, g)
    new_v = b2 * old["exp_avg_sq"] + (1 - b2) * g * g
    work.write(v, new_v, rule, "{}·{} + (1 − {})·{}²", *numbers)
    power = f"^{t}"
    m_hat, v_hat = new_m / (1 - b1**t), new_v / (1 - b2**t)
    names = work.name("m̂"), work.name("v̂")
    work.write(
        names[0], m_hat, f"{m}/(1 − β₁{power})", "{}/(1 − {}" + power + ")", new_m, b1, arrow=False
    )
    work.write(
        names[1], v_hat, f"{v}/(1 − β₂{power})", "{}/(1 − {}" + power + ")", new_v, b2, arrow=False
    )
    rate = float(work.group["weight_decay"]) if decoupled else 0.0
    kept, form = work.w_symbol, "{}"
    shrunk: tuple[float, ...] = (work.w,)
    if rate:
        kept, form, shrunk = f"{kept}·(1 − lr·λ)", "{}·(1 − {}·{})", (work.w, lr, rate)
    value = work.w * (1 - lr * rate) - lr * m_hat / (math.sqrt(v_hat) + eps)
    rule = f"{kept} − lr·{names[0]}/(√({names[1]}) + eps)"
    numbers = (*shrunk, lr, m_hat, v_hat, eps)
    work.write(work.w_symbol, value, rule, form + " − {}·{}/(√({}) + {})", *numbers)


def _squared(symbol: str) -> str:
    return f"({symbol})²" if "/" in symbol else f"{symbol}²"


_RULES: dict[type[Optimizer], Callable[[_Work, Numbers], None]] = {
    SGD: _sgd,
    Backprop1986: _paper,
    Adam: _adam,
    AdamW: lambda work, old: _adam(work, old, decoupled=True),
}
