"""Dropout: random zeros in training, the identity in evaluation."""

from __future__ import annotations

from typing import Any

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node, Shape
from ...tensor.elementwise import float_node
from ...tensor.random import Generator, default_generator
from ...tensor.tensor import Tensor
from ...tensor.value import make
from ..options import check, number
from .activations import SELU_ALPHA, SELU_SCALE

_OPTIONS = {"p": number(0, 1)}


def keep_mask(shape: Shape, p: float, generator: Generator | None) -> Node:
    """True with probability 1 - p: random words, compared as they are with p · 2³²."""
    bits = g.random_bits((generator or default_generator).next_key(), shape)
    return g.le(g.full(shape, min(round(p * 2**32), 2**32 - 1), dt.uint32), bits)


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """In training: 0 with probability p, otherwise x / (1 - p), so that the mean stays (Hinton et
    al., 2012).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> y = F.dropout(cr.ones(1000), 0.25, generator=cr.Generator(0))
    >>> sorted(set(y.numpy().astype(float).round(4).tolist())), 0.9 < y.mean().item() < 1.1
    ([0.0, 1.3333], True)
    """
    check("dropout", _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    if not training or p == 0:
        return make(node, tensor)
    zero = g.zeros_like(node)
    if p == 1:
        return make(g.mul(node, zero), tensor)
    scaled = g.mul(node, g.full(node.shape, 1 / (1 - p), node.dtype))
    return make(g.where(keep_mask(node.shape, p, generator), scaled, zero), tensor)


def alpha_dropout(
    x: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Dropout for selu networks: dropped elements become -scale·alpha, then an affine map restores
    mean 0 and variance 1 (Klambauer et al., 2017)."""
    check("alpha_dropout", _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    if not training or p == 0:
        return make(node, tensor)
    if p == 1:
        return make(g.mul(node, g.zeros_like(node)), tensor)
    low = -SELU_ALPHA * SELU_SCALE
    a = ((1 - p) * (1 + p * low**2)) ** -0.5
    b = -a * p * low

    def full(value: float) -> Node:
        return g.full(node.shape, value, node.dtype)

    kept = g.where(keep_mask(node.shape, p, generator), node, full(low))
    return make(g.add(g.mul(kept, full(a)), full(b)), tensor)
