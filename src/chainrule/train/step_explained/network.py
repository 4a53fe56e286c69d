"""The network to be explained: a model read as layers of numbered units, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import OptionError
from ...nn import activation as a
from ...nn.container import Sequential
from ...nn.dropout import Dropout
from ...nn.linear import Flatten, Identity, Linear
from ...nn.module import Module
from ...nn.trail import headline

ROWWISE = (a.Softmax, a.LogSoftmax)
"""Activations whose units look at one another."""
_NOT_ELEMENTWISE = (a.GLU, a.Softmin)


@dataclass(frozen=True)
class Layer:
    """Units ``first``, ``first + 1``, …: a Linear and an activation; one of them may be missing."""

    name: str
    """Of the Linear in the model, for parameters' names."""
    linear: Linear | None
    activation: Module | None
    size: int
    first: int

    @property
    def units(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.size)


def layers_of(model: Module, inputs: int) -> list[Layer]:
    """The layers of a model for ``inputs`` inputs, which are the units 1 to ``inputs``.

    Raises OptionError for what is not a Linear or an elementwise activation.
    """
    found: list[tuple[str, Linear | None, Module | None]] = []
    for name, module in _modules(model, ""):
        if isinstance(module, Linear):
            if any(module is linear for _, linear, _ in found):
                raise OptionError(
                    f"explain_step: {headline(module)} `model{_place(name)}` occurs twice in the "
                    "model; its weights would be of two layers. Give each layer a module of its own"
                )
            found.append((name, module, None))
        elif found and found[-1][2] is None:
            found[-1] = (*found[-1][:2], module)
        else:
            found.append((name, None, module))
    if not any(linear for _, linear, _ in found):
        raise OptionError("explain_step: the model has no Linear, so there is nothing to learn")
    layers: list[Layer] = []
    first, size = inputs + 1, inputs
    for name, linear, activation in found:
        size = linear.out_features if linear is not None else size
        layers.append(Layer(name, linear, activation, size, first))
        first += size
    return layers


def _modules(module: Module, name: str) -> Iterator[tuple[str, Module]]:
    """Linear and activation modules in order; what changes nothing is left out."""
    if isinstance(module, Sequential):
        for key, child in module._modules.items():
            if child is not None:
                yield from _modules(child, f"{name}.{key}".strip("."))
        return
    quiet = isinstance(module, Dropout) and (not module.training or module.p == 0)
    if isinstance(module, Identity | Flatten) or quiet:
        return
    known = isinstance(module, Linear) or (
        isinstance(module, a.Activation) and not isinstance(module, _NOT_ELEMENTWISE)
    )
    if known and type(module).__module__.startswith(a.__name__.rpartition(".")[0] + "."):
        yield name, module
        return
    advice = (
        "; call model.eval() to leave it out"
        if isinstance(module, Dropout)
        else ". It explains Sequential models of Linear, activations, Flatten and Identity"
    )
    raise OptionError(
        f"explain_step: no formulas for {headline(module)} `model{_place(name)}`{advice}"
    )


def _place(name: str) -> str:
    parts = name.split(".") if name else []
    return "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in parts)
