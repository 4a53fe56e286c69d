"""Dense: Keras's words for a linear layer and the activation behind it."""

from __future__ import annotations

from typing import Any

from ..errors import OptionError
from . import activation as layers
from .container import Sequential
from .lazy import LazyLinear
from .module import Module

ACTIVATIONS: dict[str, type[Module]] = {
    "relu": layers.ReLU,
    "tanh": layers.Tanh,
    "sigmoid": layers.Sigmoid,
    "softmax": layers.Softmax,
    "log_softmax": layers.LogSoftmax,
    "gelu": layers.GELU,
    "elu": layers.ELU,
    "selu": layers.SELU,
    "silu": layers.SiLU,
    "swish": layers.SiLU,
    "leaky_relu": layers.LeakyReLU,
    "softplus": layers.Softplus,
    "softsign": layers.Softsign,
    "mish": layers.Mish,
}
"""Activations by name, with their defaults."""


class Dense(Sequential):
    """activation(x Wᵀ + b), from (..., inputs) to (..., units).

    ``LazyLinear(units)`` and the activation behind it, as Keras's `Dense`.

    ``activation``: a name of ``relu``, ``tanh``, ``sigmoid``, ``softmax``, ``gelu``, …, a module,
    or None. The number of inputs is that of the first batch. Losses of logits want none at the end.

    Raises OptionError for an unknown activation.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> net = nn.Sequential(nn.Dense(4, activation="relu"), nn.Dense(2))
    >>> net(cr.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True) -> None:
        found = activation
        if isinstance(activation, str) and activation != "linear":
            if activation not in ACTIVATIONS:
                raise OptionError(
                    f"Dense: no activation is called {activation!r}; there are "
                    f"{', '.join(ACTIVATIONS)}, or give a module"
                )
            kind: Any = ACTIVATIONS[activation]
            found = kind(dim=-1) if "softmax" in activation else kind()
        elif activation == "linear":
            found = None
        elif activation is not None and not isinstance(activation, Module):
            raise OptionError(
                f"Dense: activation is a name or a module, got {activation!r}; apply a function in "
                "forward"
            )
        super().__init__(LazyLinear(units, bias=use_bias), *([] if found is None else [found]))
