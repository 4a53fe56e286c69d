"""What is random in training: dropout, and activations with random slopes or noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node, Shape
from ...errors import ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.elementwise import select
from ...tensor.ops.operands import float_node
from ...tensor.ops.random import Generator, next_key, rand
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make
from ..options import check, check_order, number
from .activations import SELU_ALPHA, SELU_SCALE, leaky_relu, softmax
from .numbers import full

_OPTIONS = {"p": number(0, 1)}


def keep_mask(shape: Shape, p: Any, generator: Generator | None) -> Node:
    """True with probability 1 - p: random words, compared as they are with p · 2³²."""
    bits = g.random_bits(next_key(generator), shape)
    if isinstance(p, Tensor):
        words = e.minimum(e.round(p.double() * 2.0**32), 2.0**32 - 1).to(dt.uint32)
        return g.le(g.expand(words.node, shape), bits)
    return g.le(g.full(shape, min(round(p * 2**32), 2**32 - 1), dt.uint32), bits)


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """In training: 0 with probability p, else x / (1 - p): the mean stays (Hinton et al., 2012).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> y = F.dropout(cr.ones(1000), 0.25, generator=cr.Generator(0))
    >>> sorted(set(y.numpy().astype(float).round(4).tolist())), 0.9 < y.mean().item() < 1.1
    ([0.0, 1.3333], True)
    """
    check("dropout", _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    return make(_dropped(node, node.shape, p, training, generator), tensor)


def _dropped(node: Node, mask: Shape, p: Any, training: bool, generator: Generator | None) -> Node:
    """``node``, dropped where a random array of shape ``mask``, broadcast, says so."""
    if not training:
        return node
    zero = g.zeros_like(node)
    if isinstance(p, Tensor):  # a probability that the program is given
        kept = 1 - p.double()
        scale = e.where(kept == 0, 0.0, 1 / e.where(kept == 0, 1.0, kept)).to(node.dtype)
        scaled = g.mul(node, g.expand(scale.node, node.shape))
        return g.where(g.expand(keep_mask(mask, p, generator), node.shape), scaled, zero)
    if p == 0:
        return node
    if p == 1:
        return g.mul(node, zero)
    scaled = g.mul(node, g.full(node.shape, 1 / (1 - p), node.dtype))
    return g.where(g.expand(keep_mask(mask, p, generator), node.shape), scaled, zero)


def _drop_channels(
    name: str, x: Any, p: float, training: bool, generator: Generator | None, ranks: dict[int, int]
) -> Tensor:
    """Drop whole channels; ``ranks``: for each number of axes, how many come before the pixels."""
    check(name, _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    if node.ndim not in ranks:
        allowed = " or ".join(map(str, ranks))
        raise ShapeError(f"{name} expects {allowed} axes (channels, ...), got {node.shape}")
    lead = ranks[node.ndim]
    mask = (*node.shape[:lead], *[1] * (node.ndim - lead))
    return make(_dropped(node, mask, p, training, generator), tensor)


def dropout1d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """`dropout` of whole channels of (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.dropout1d(cr.ones((8, 5)), 0.5).shape
    (8, 5)
    """
    return _drop_channels("dropout1d", x, p, training, generator, {2: 1, 3: 2})


def dropout2d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W), or of (N, C, L) (Tompson et al., 2015).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.dropout2d(cr.ones((2, 8, 3, 3)), 0.5).shape
    (2, 8, 3, 3)
    """
    return _drop_channels("dropout2d", x, p, training, generator, {3: 2, 4: 2})


def dropout3d(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.dropout3d(cr.ones((8, 3, 3, 3)), 0.5).shape
    (8, 3, 3, 3)
    """
    return _drop_channels("dropout3d", x, p, training, generator, {4: 1, 5: 2})


def alpha_dropout(
    x: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Dropout for selu networks (Klambauer et al., 2017).

    Dropped elements become -scale·alpha, then an affine map restores mean 0 and variance 1.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.alpha_dropout(cr.ones(3), 0.5).tolist()
    [1.0, 1.0, 1.0]
    """
    check("alpha_dropout", _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    return make(_alpha_dropped(node, node.shape, p, training, generator), tensor)


def feature_alpha_dropout(
    x: Any,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...).

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.feature_alpha_dropout(cr.ones(1, 2), 0.5).tolist()
    [[1.0, 1.0]]
    """
    check("feature_alpha_dropout", _OPTIONS, {"p": p})
    node, tensor = float_node(x)
    if node.ndim < 2:
        raise ShapeError(f"feature_alpha_dropout expects (batch, channels, ...), got {node.shape}")
    mask = (*node.shape[:2], *[1] * (node.ndim - 2))
    return make(_alpha_dropped(node, mask, p, training, generator), tensor)


def _alpha_dropped(
    node: Node, mask: Shape, p: Any, training: bool, generator: Generator | None
) -> Node:
    known = not isinstance(p, Tensor)
    if not training or (known and p == 0):
        return node
    if known and p == 1:
        return g.mul(node, g.zeros_like(node))
    low = -SELU_ALPHA * SELU_SCALE
    a = ((1 - p) * (1 + p * low**2)) ** -0.5
    b = -a * p * low

    kept = g.where(g.expand(keep_mask(mask, p, generator), node.shape), node, full(node, low))
    return g.add(g.mul(kept, full(node, a)), full(node, b))


# -- activations -----------------------------------------------------------------------------------
def rrelu(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """x where x > 0, else a · x; in training a is uniform on [lower, upper), otherwise their mean.

    Source: Xu et al., 2015.

    >>> from chainrule.nn import functional as F
    >>> F.rrelu([-2.0, 0.0, 2.0], 0.25, 0.75)
    tensor([-1.,  0.,  2.])
    """
    check_order("rrelu", "lower", lower, "upper", upper)
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    x = as_tensor(float_node(x)[1])
    slopes = lower + (upper - lower) * rand(x.shape, dtype=x.dtype, generator=generator)
    return select(x > 0, x, slopes * x)


def gumbel_softmax(
    logits: Any,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """softmax((z + n) / tau) of logits z along ``dim``, with noise n = -ln(-ln u), u uniform.

    A sample of the distribution softmax(z) that has a gradient; ``hard``: the one-hot of its
    largest element, with the gradient of the soft one. ``eps`` is not used, as in PyTorch.
    Source: Jang, Gu & Poole, 2017.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.gumbel_softmax(cr.zeros(4, 3), hard=True).sum(axis=1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    check("gumbel_softmax", {"tau": number(0, brackets="()")}, {"tau": tau})
    z = as_tensor(float_node(logits)[1])
    tiny = float(np.finfo(z.dtype).tiny)
    u = e.maximum(rand(z.shape, dtype=z.dtype, generator=generator), tiny)
    soft: Tensor = softmax((z - e.log(-e.log(u))) / tau, dim)
    if not hard:
        return soft
    best = as_tensor(soft.argmax(axis=dim)).unsqueeze(dim)
    position = make(g.iota(soft.shape, dim % soft.ndim, dt.int64))
    return (position == best).to(soft.dtype) - soft.detach() + soft
