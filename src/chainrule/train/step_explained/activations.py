"""Rules of the activations: y = f(net) and f′(net), in symbols and with numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...nn import activation as a
from ...nn.module import Module
from .records import Equation, sub


@dataclass(frozen=True)
class Rule:
    """``value`` and ``slope`` with the places {net} and {y}; one text for symbols and numbers."""

    value: str
    slope: str


def _leaky(m: Any, net: float) -> Rule:
    return Rule("{net}", "1") if net > 0 else Rule(f"{m.negative_slope:g}·{{net}}", "{slope}")


def _elu(m: Any, net: float) -> Rule:
    if net > 0:
        return Rule("{net}", "1")
    return Rule(f"{m.alpha:g}·(exp({{net}}) − 1)", f"{m.alpha:g}·exp({{net}})")


def _softplus(m: Any, net: float) -> Rule:
    if m.beta * net > m.threshold:
        return Rule("{net}", "1")
    if m.beta == 1:
        return Rule("log(1 + exp({net}))", "σ({net})")
    return Rule(f"log(1 + exp({m.beta:g}·{{net}}))/{m.beta:g}", f"σ({m.beta:g}·{{net}})")


def _gelu(m: Any, net: float) -> Rule:
    if m.approximate == "tanh":
        return _OTHER
    return Rule("{net}·Φ({net})", "(Φ({net}) + {net}·φ({net}))")


_RULES: dict[type[Module], Callable[[Any, float], Rule]] = {
    a.Tanh: lambda m, net: Rule("tanh({net})", "(1 − {y}²)"),
    a.Sigmoid: lambda m, net: Rule("σ({net})", "{y}·(1 − {y})"),
    a.ReLU: lambda m, net: Rule("max(0, {net})", "1" if net > 0 else "0"),
    a.LeakyReLU: _leaky,
    a.ELU: _elu,
    a.Softplus: _softplus,
    a.GELU: _gelu,
    a.SiLU: lambda m, net: Rule("{net}·σ({net})", "σ({net})·(1 + {net}·(1 − σ({net})))"),
    a.LogSigmoid: lambda m, net: Rule("log(σ({net}))", "(1 − σ({net}))"),
    a.Softsign: lambda m, net: Rule("{net}/(1 + abs({net}))", "1/(1 + abs({net}))²"),
    a.Tanhshrink: lambda m, net: Rule("{net} − tanh({net})", "tanh({net})²"),
}
_OTHER = Rule("", "{slope}")
"""An activation without a formula here: its numbers alone."""


def _rule(module: Module, net: float) -> Rule:
    found = _RULES.get(type(module))
    return _OTHER if found is None else found(module, net)


LEGEND = {
    "σ(": "σ(z) = 1/(1 + exp(−z))",
    "Φ(": "Φ(z): the normal distribution function, φ its density",
    "f′(": "f′: the slope of the activation",
}
"""What must be said of a symbol that occurs."""


def _filled(text: str, numbers: dict[str, float]) -> tuple[str, tuple[float, ...]]:
    """The template with {} in place of {net}, {y}, and the numbers in that order."""
    found: list[float] = []
    pieces = text.split("{")
    template = pieces[0]
    for piece in pieces[1:]:
        name, rest = piece.split("}", 1)
        found.append(numbers[name])
        template += "{}" + rest
    return template, tuple(found)


def output(module: Module, unit: int, net: float, y: float) -> Equation:
    """yⱼ = f(netⱼ)."""
    rule = _rule(module, net)
    if not rule.value:
        return Equation(f"y{sub(unit)}", y, f"{type(module).__name__}(net{sub(unit)})")
    symbols = rule.value.format(net=f"net{sub(unit)}")
    template, numbers = _filled(rule.value, {"net": net})
    name = type(module).__name__
    rule_text = symbols if type(module) in _PLAIN else f"{name}(net{sub(unit)}) = {symbols}"
    return Equation(f"y{sub(unit)}", y, rule_text, template, numbers)


_PLAIN = (a.Tanh, a.Sigmoid, a.ReLU)


def delta(
    module: Module, unit: int, net: float, y: float, slope: float, upstream: float, value: float
) -> Equation:
    """δⱼ = ∂E/∂yⱼ · f′(netⱼ), with the slope as a formula of netⱼ or yⱼ."""
    rule = _rule(module, net)
    index = sub(unit)
    symbols = rule.slope.format(net=f"net{index}", y=f"y{index}", slope=f"f′(net{index})")
    if symbols in ("0", "1"):
        symbols = f"f′(net{index})"
    template, numbers = _filled(
        "{up}·" + rule.slope, {"up": upstream, "net": net, "y": y, "slope": slope}
    )
    return Equation(f"δ{index}", value, f"∂E/∂y{index}·{symbols}", template, numbers)


def rowwise_outputs(
    module: Module, units: range, nets: list[float], ys: list[float]
) -> list[Equation]:
    """Softmax: yⱼ = exp(netⱼ)/Σₖ exp(netₖ); LogSoftmax: its logarithm."""
    total = " + ".join("exp({})" for _ in units)
    log = isinstance(module, a.LogSoftmax)
    form = f"{{}} − log({total})" if log else f"exp({{}})/({total})"
    rule = "net{j} − log(Σₖ exp(netₖ))" if log else "exp(net{j})/Σₖ exp(netₖ)"
    return [
        Equation(f"y{sub(j)}", y, rule.replace("{j}", sub(j)), form, (net, *nets))
        for j, net, y in zip(units, nets, ys, strict=True)
    ]


def rowwise_deltas(
    module: Module, units: range, ys: list[float], upstream: list[float], values: list[float]
) -> list[Equation]:
    """Softmax: δⱼ = yⱼ (∂E/∂yⱼ - Σₖ ∂E/∂yₖ yₖ); LogSoftmax: δⱼ = ∂E/∂yⱼ - exp(yⱼ) Σₖ ∂E/∂yₖ."""
    found = []
    for j, y, up, value in zip(units, ys, upstream, values, strict=True):
        index = sub(j)
        if isinstance(module, a.LogSoftmax):
            rule = f"∂E/∂y{index} − exp(y{index})·Σₖ ∂E/∂yₖ"
            template = "{} − exp({})·(" + " + ".join("{}" for _ in units) + ")"
            numbers = (up, y, *upstream)
        else:
            rule = f"y{index}·(∂E/∂y{index} − Σₖ ∂E/∂yₖ·yₖ)"
            template = "{}·({} − (" + " + ".join("{}·{}" for _ in units) + "))"
            pairs = zip(upstream, ys, strict=True)
            numbers = (y, up, *(n for pair in pairs for n in pair))
        found.append(Equation(f"δ{index}", value, rule, template, numbers))
    return found
