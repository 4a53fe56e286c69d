"""Hyper-parameters with a number of its own for each seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError
from ...nn.module import Module
from ...nn.options import check, number
from ...optim.optimizer import Optimizer
from ...tensor.value import Value, array_of, stored
from .stack import Stack

OPTIMIZER = ("lr", "weight_decay", "momentum")
VARIED = (*OPTIMIZER, "dropout", "gain")
_OWN = {"dropout": number(0, 1), "gain": number(0, brackets="()")}


def varied(given: Any, seeds: int) -> dict[str, Array]:
    """Hyper-parameters by name, (R,) each. Raises OptionError for what is none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise OptionError(
            f'Trainer: vary is a dict such as {{"lr": rates}}, got {type(given).__name__}'
        )
    found = {}
    for name, values in given.items():
        if name not in VARIED:
            raise OptionError(
                f"Trainer: vary has {name!r}; what may differ between seeds is {', '.join(VARIED)}"
            )
        array = np.asarray(array_of(values) if isinstance(values, Value) else values, np.float64)
        if array.shape != (seeds,):
            raise OptionError(
                f"Trainer: vary[{name!r}] has one number for each of {seeds} seeds, got shape "
                f"{array.shape}; for a grid give each pair a place: np.repeat and np.tile"
            )
        for value in array.tolist():
            check(f"Trainer: vary[{name!r}]", _OWN, {name: value})
        found[name] = array
    return found


def vary_optimizer(optimizer: Optimizer, stack: Stack, values: Mapping[str, Array]) -> None:
    """Let the options of an optimizer be numbers that the step reads, each seed its own."""
    for name in OPTIMIZER:
        if name not in values:
            continue
        for group in optimizer.param_groups:
            owner = type(optimizer).__name__
            if name not in group:
                raise OptionError(f"Trainer: vary[{name!r}]: {owner} has no {name}")
            if name == "momentum" and not group[name]:
                raise OptionError(
                    f"Trainer: vary['momentum']: {owner} was made without momentum, and keeps no "
                    "running sum; make it with a momentum above 0"
                )
            for value in values[name].tolist():
                check(owner, optimizer.constraints, {name: value})
            group.track(name)
            stack.put(group._tensors[name], values[name])


def vary_dropout(model: Module, stack: Stack, p: Array) -> None:
    """Let the dropout layers of a model read their probability, each seed its own."""
    layers = _dropout_layers(model)
    if not layers:
        raise OptionError(
            "Trainer: vary['dropout']: the model has no layer nn.Dropout (1d, 2d, 3d included)"
        )
    probability = stored(np.zeros(()))
    for layer in layers:
        layer.p = probability
    stack.put(probability, p)


def set_dropout(model: Module, p: float) -> None:
    """Give the dropout layers of one net their number."""
    for layer in _dropout_layers(model):
        layer.p = p


def _dropout_layers(model: Module) -> list[Any]:
    return [m for m in model.modules() if getattr(m, "p_varies", False)]
