"""The network to be explained: a model read as layers of numbered units, if it is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...nn import activation as a
from ...nn.container import Sequential
from ...nn.dropout import Dropout
from ...nn.linear import Flatten, Identity, Linear
from ...nn.module import Module

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


def layers_of(model: Module, inputs: int) -> list[Layer] | None:
    """The layers of a model for ``inputs`` inputs, which are the units 1 to ``inputs``.

    None where it is not a row of Linear layers and elementwise activations.
    """
    found: list[tuple[str, Linear | None, Module | None]] = []
    for name, module in _modules(model, ""):
        if type(module) is Linear:
            if any(module is linear for _, linear, _ in found):
                return None
            found.append((name, module, None))
        elif not _is_activation(module):
            return None
        elif found and found[-1][2] is None:
            found[-1] = (*found[-1][:2], module)
        else:
            found.append((name, None, module))
    layers: list[Layer] = []
    first, size = inputs + 1, inputs
    for name, linear, activation in found:
        size = linear.out_features if linear is not None else size
        layers.append(Layer(name, linear, activation, size, first))
        first += size
    return layers


def _modules(module: Module, name: str) -> Iterator[tuple[str, Module]]:
    """The modules in order; what changes nothing is left out."""
    if type(module) is Sequential:
        for key, child in module._modules.items():
            if child is not None:
                yield from _modules(child, f"{name}.{key}".strip("."))
        return
    quiet = isinstance(module, Dropout) and (not module.training or module.p == 0)
    if not (isinstance(module, Identity | Flatten) or quiet):
        yield name, module


def _is_activation(module: Module) -> bool:
    ours = type(module).__module__.startswith(a.__name__.rpartition(".")[0] + ".")
    return ours and isinstance(module, a.Activation) and not isinstance(module, _NOT_ELEMENTWISE)
