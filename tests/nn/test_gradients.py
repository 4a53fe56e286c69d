"""Layers and losses against finite differences in float64; PyTorch is not asked."""

from __future__ import annotations

import numpy as np
import pytest
from torch_goldens import cases

import chainrule as cr
from chainrule import nn

# No derivative there, or one that is blocked on purpose (the row of padding).
LEFT_OUT = ("at kinks", "at the ends", "Softshrink", "with padding")
SECOND_ORDER = (
    "Linear",
    "LayerNorm",
    "RMSNorm",
    "BatchNorm1d",
    "GroupNorm",
    "GELU",
    "Mish",
    "Softplus",
    "LeakyReLU",
    "CrossEntropyLoss, mean",
    "BCEWithLogitsLoss, mean",
    "BCEWithLogitsLoss weights, mean",
    "LogSigmoid",
    "Softmax",
    "GLU",
)


def check(case, everything: bool, order: int) -> None:
    module = case.make(nn, lambda x: cr.tensor(x)).double().train(not case.evaluate)
    names = [n for n, _ in module.named_parameters()]
    values = [cases.normal(*p.shape, seed=100 + i) for i, p in enumerate(module.parameters())]
    fixed = [x for i, x in enumerate(case.inputs) if not is_varied(x, i, everything)]
    varied = [x for i, x in enumerate(case.inputs) if is_varied(x, i, everything)]

    def f(*args):
        given, own = args[: len(varied)], args[len(varied) :]
        rest, free = iter(fixed), iter(given)
        inputs = [
            next(free) if is_varied(x, i, everything) else next(rest)
            for i, x in enumerate(case.inputs)
        ]
        for name, value in zip(names, own, strict=True):
            path, _, last = name.rpartition(".")
            owner = module.get_submodule(path)
            owner._parameters[last] = value
        return module(*inputs)

    cr.check_grads(f, [cr.tensor(np.asarray(x)) for x in (*varied, *values)], order=order)


def is_varied(x, i: int, everything: bool) -> bool:
    return np.asarray(x).dtype.kind == "f" and (everything or i == 0)


@pytest.mark.parametrize("name", [n for n in cases.LAYERS if not n.endswith(LEFT_OUT)])
def test_layer(name: str) -> None:
    check(cases.LAYERS[name], True, 2 if name in SECOND_ORDER else 1)


@pytest.mark.parametrize(
    "name", [n for n in cases.LOSSES if n.endswith("mean") and "at the ends" not in n]
)
def test_loss(name: str) -> None:
    check(cases.LOSSES[name], False, 2 if name in SECOND_ORDER else 1)
