"""Layers and losses against finite differences in float64; PyTorch is not asked."""

from __future__ import annotations

import exports
import numpy as np
import pytest
from torch_goldens import cases

import chainrule as cr
from chainrule import nn

# No derivative there, or one that is not the value's: PyTorch's choice, or blocked on purpose.
LEFT_OUT = {
    " at kinks": "no derivative",
    " at the ends": "no derivative",
    "Softshrink": "an input of the case is at its kink",
    " with padding": "the row of padding has no gradient",
    " sum padding": "the row of padding has no gradient",
    " below eps": "eps bounds the values, not the gradients",
    " frequencies": "the gradient is divided by how often a row is looked up",
    " max_norm": "rows are shortened in place",
}
# Second derivatives are 0 or not defined where pieces are linear; these have none to check.
FIRST_ORDER_ONLY = ("PairwiseDistance 1", "EmbeddingBag max")
STACKS = ("TransformerEncoder", "TransformerDecoder", "Transformer", "LSTM deep, packed")


def is_checked(name: str) -> bool:
    return not name.endswith(tuple(LEFT_OUT))


def check(case, everything: bool, order: int, directions: int | None = None) -> None:
    """First derivatives by every element, second ones along a few random directions: by every
    element as well they take most of the time, so that is done with what is slow."""
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

    arrays = [cr.tensor(np.asarray(x)) for x in (*varied, *values)]
    cr.check_grads(f, arrays)
    if order == 2:
        cr.check_grads(f, arrays, order=2, directions=directions)


def is_varied(x, i: int, everything: bool) -> bool:
    return np.asarray(x).dtype.kind == "f" and (everything or i == 0)


def order(name: str) -> int:
    return 1 if name.startswith(FIRST_ORDER_ONLY) else 2


def layers() -> list:
    """The cases; what is made of layers that are checked alone is slow to check."""
    names = [n for n in cases.LAYERS if is_checked(n)]
    return [pytest.param(n, marks=pytest.mark.slow) if n in STACKS else n for n in names]


FUNCTIONS = [n for n in cases.FUNCTIONS if is_checked(n) and "none" not in n]
LOSSES = [n for n in cases.LOSSES if n.endswith("mean") and "at the ends" not in n]
DIRECTIONS = 3


@pytest.mark.parametrize("name", layers())
def test_layer(name: str) -> None:
    check(cases.LAYERS[name], True, order(name), DIRECTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    check(cases.FUNCTIONS[name], True, order(name), DIRECTIONS)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    check(cases.LOSSES[name], False, order(name), DIRECTIONS)


@pytest.mark.slow
def test_every_second_derivative() -> None:
    for table, names in (
        (cases.LAYERS, [n for n in cases.LAYERS if is_checked(n)]),
        (cases.FUNCTIONS, FUNCTIONS),
        (cases.LOSSES, LOSSES),
    ):
        for name in names:
            check(table[name], table is not cases.LOSSES, order(name))


def test_no_module_is_left_out() -> None:
    checked = exports.named(n for n in cases.LAYERS if is_checked(n))
    checked |= exports.named(n for n in cases.LOSSES if n.endswith("mean"))
    assert exports.MODULES - checked == set(exports.WITHOUT_CASE)
