"""Activations as functions, with the names and choices of ``torch.nn.functional``.

Where a derivative jumps, the choice is PyTorch's: relu'(0) = 0, and 0 at both ends of hardtanh.
Rules that need only the result (relu, leaky_relu) say so, and the argument need not be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...core import graph as g
from ...core.dtypes import is_float
from ...core.node import Node
from ...errors import DTypeError, OptionError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.axes import normalize_axis
from ...tensor.ops.elementary import relu as relu_node
from ...tensor.ops.elementwise import select
from ...tensor.ops.operands import float_node
from ...tensor.ops.reductions.norm import norm
from ...tensor.ops.reductions.softmax import log_softmax as log_softmax_
from ...tensor.ops.reductions.softmax import softmax as softmax_
from ...tensor.tensor import Tensor
from ...tensor.value import Value, as_tensor, make, use
from ..options import check, check_order, choice, number
from .numbers import full, number_node

SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al., 2017
SELU_SCALE = 1.0507009873554804934193349852946


# -- piecewise linear ------------------------------------------------------------------------------
def relu(x: Any, inplace: bool = False) -> Tensor:
    """max(x, 0).

    >>> from chainrule.nn import functional as F
    >>> F.relu([-1.0, 0.0, 2.0]).tolist()
    [0.0, 0.0, 2.0]
    """
    node, tensor = float_node(x)
    return make(relu_node(node), tensor)


@dataclass(frozen=True)
class _SlopeRule:
    """x̄ = g where y > 0, else slope · g."""

    slope: float | Node

    def __call__(self, grad: Node, y: Node, x: Node) -> list[Node | None]:
        return [g.where(g.lt(full(x, 0), x), grad, g.mul(grad, full(grad, self.slope)))]


def leaky_relu(x: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x.

    >>> from chainrule.nn import functional as F
    >>> F.leaky_relu([-2.0, 0.0, 2.0])
    tensor([-0.02,  0.  ,  2.  ])
    """
    check("leaky_relu", {"negative_slope": number()}, {"negative_slope": negative_slope})
    node, tensor = float_node(x)
    y = g.where(g.lt(full(node, 0), node), node, g.mul(node, full(node, negative_slope)))
    return make(g.custom_vjp(y, [node], _SlopeRule(number_node(negative_slope))), tensor)


def prelu(x: Any, weight: Any) -> Tensor:
    """x where x > 0, else weight · x; weight has one element, or one for each channel (axis 1).

    >>> from chainrule.nn import functional as F
    >>> F.prelu([-2.0, 0.0, 2.0], [0.25])
    tensor([-0.5,  0. ,  2. ])
    """
    x, weight = as_tensor(x), as_tensor(weight)
    if weight.ndim != 1:
        raise ShapeError(f"prelu: weight has shape (1,) or (channels,), got {weight.shape}")
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape[0] not in (1, channels):
        raise ShapeError(
            f"prelu: weight has {weight.shape[0]} slopes, the input {x.shape} has {channels} "
            f"channels; set num_parameters={channels} or 1"
        )
    if x.ndim > 2 and weight.shape[0] != 1:
        weight = weight.reshape(-1, *[1] * (x.ndim - 2))
    negative = e.clip(x, None, 0)  # so that the weight gets nothing from ∞, which is not below 0
    return select(x > 0, x, weight * negative)


@dataclass(frozen=True)
class _InsideRule:
    """x̄ = g where low < x < high, else 0."""

    low: float | Node
    high: float | Node

    def __call__(self, grad: Node, y: Node, x: Node) -> list[Node | None]:
        outside = g.or_(g.le(y, full(y, self.low)), g.le(full(y, self.high), y))
        return [g.where(outside, g.zeros_like(grad), grad)]


def hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x, but at least min_val and at most max_val.

    >>> from chainrule.nn import functional as F
    >>> F.hardtanh([-2.0, 0.0, 2.0])
    tensor([-1.,  0.,  1.])
    """
    check_order("hardtanh", "min_val", min_val, "max_val", max_val)
    node, tensor = float_node(x)
    y = g.min(g.max(node, full(node, min_val)), full(node, max_val))
    rule = _InsideRule(number_node(min_val), number_node(max_val))
    return make(g.custom_vjp(y, [node], rule), tensor)


def relu6(x: Any, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6).

    >>> from chainrule.nn import functional as F
    >>> F.relu6([-2.0, 0.0, 2.0])
    tensor([0., 0., 2.])
    """
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: Any, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6.

    >>> from chainrule.nn import functional as F
    >>> F.hardsigmoid([-2.0, 0.0, 2.0])
    tensor([0.1667, 0.5   , 0.8333])
    """
    return relu6(e.add(x, 3.0)) * (1 / 6)


def hardswish(x: Any, inplace: bool = False) -> Tensor:
    """x · relu6(x + 3) / 6.

    >>> from chainrule.nn import functional as F
    >>> F.hardswish([-2.0, 0.0, 2.0])
    tensor([-0.3333,  0.    ,  1.6667])
    """
    node, tensor = float_node(x)
    y = g.mul(node, use(hardsigmoid(make(node))))
    return make(g.custom_vjp(y, [node], _hardswish_rule), tensor)


def _hardswish_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g (2x + 3) / 6 where -3 < x < 3, g above, 0 below."""
    inside = g.mul(grad, g.add(g.mul(x, full(x, 1 / 3)), full(x, 0.5)))
    above = g.where(g.le(full(x, 3), x), grad, inside)
    return [g.where(g.le(x, full(x, -3)), g.zeros_like(grad), above)]


def threshold(x: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value.

    >>> from chainrule.nn import functional as F
    >>> F.threshold([-2.0, 0.0, 2.0], 0.5, -1.0)
    tensor([-1., -1.,  2.])
    """
    x = as_tensor(x)
    return select(x <= threshold, value, x)


def hardshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> from chainrule.nn import functional as F
    >>> F.hardshrink([-2.0, 0.0, 2.0])
    tensor([-2.,  0.,  2.])
    """
    x = as_tensor(x)
    return select(e.abs(x) <= lambd, 0.0, x)


def softshrink(x: Any, lambd: float = 0.5) -> Tensor:
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0.

    >>> from chainrule.nn import functional as F
    >>> F.softshrink([-2.0, 0.0, 2.0])
    tensor([-1.5,  0. ,  1.5])
    """
    check("softshrink", {"lambd": number(0)}, {"lambd": lambd})
    x = as_tensor(x)
    return select(e.abs(x) <= lambd, 0.0, x - e.sign(x) * lambd)


# -- of exponentials -------------------------------------------------------------------------------
def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e⁻ˣ).

    >>> from chainrule.nn import functional as F
    >>> F.sigmoid([-2.0, 0.0, 2.0])
    tensor([0.1192, 0.5   , 0.8808])
    """
    return e.sigmoid(x)


def tanh(x: Any) -> Tensor:
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ).

    >>> from chainrule.nn import functional as F
    >>> F.tanh([-2.0, 0.0, 2.0])
    tensor([-0.964,  0.   ,  0.964])
    """
    return e.tanh(x)


def _softplus_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g sigmoid(x)."""
    return [g.mul(grad, g.sigmoid(x))]


def softplus_node(x: Node) -> Node:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|), without overflow."""
    y = g.add(g.max(x, full(x, 0)), g.log1p(g.exp(g.neg(g.abs(x)))))
    return g.custom_vjp(y, [x], _softplus_rule)


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta x)) / beta; x itself where beta x > threshold.

    >>> from chainrule.nn import functional as F
    >>> F.softplus([-2.0, 0.0, 2.0])
    tensor([0.1269, 0.6931, 2.1269])
    """
    check("softplus", {"beta": number(0, brackets="()")}, {"beta": beta})
    node, tensor = float_node(x)
    plain = not isinstance(beta, Value) and beta == 1
    scaled = node if plain else g.mul(node, full(node, beta))
    y = softplus_node(scaled)
    y = y if plain else g.mul(y, full(y, 1 / beta))
    return make(g.where(g.lt(full(node, threshold), scaled), node, y), tensor)


def logsigmoid(x: Any) -> Tensor:
    """ln(1 / (1 + e⁻ˣ)), without overflow.

    >>> from chainrule.nn import functional as F
    >>> F.logsigmoid([-2.0, 0.0, 2.0])
    tensor([-2.1269, -0.6931, -0.1269])
    """
    node, tensor = float_node(x)
    return make(g.neg(softplus_node(g.neg(node))), tensor)


def _below(x: Tensor) -> Tensor:
    """x where it is not positive, else 0: what e^x - 1 is taken of without overflow."""
    return select(x > 0, 0.0, x)


def elu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (eˣ - 1).

    >>> from chainrule.nn import functional as F
    >>> F.elu([-2.0, 0.0, 2.0])
    tensor([-0.8647,  0.    ,  2.    ])
    """
    x = as_tensor(x)
    return select(x > 0, x, alpha * e.expm1(_below(x)))


def selu(x: Any, inplace: bool = False) -> Tensor:
    """scale · elu(x, alpha), with constants that keep mean 0, variance 1 (Klambauer et al., 2017).

    >>> from chainrule.nn import functional as F
    >>> F.selu([-2.0, 0.0, 2.0])
    tensor([-1.5202,  0.    ,  2.1014])
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (e^(x/alpha) - 1).

    >>> from chainrule.nn import functional as F
    >>> F.celu([-2.0, 0.0, 2.0])
    tensor([-0.8647,  0.    ,  2.    ])
    """
    if not isinstance(alpha, Value) and alpha == 0:
        raise OptionError("celu: alpha must not be 0")
    x = as_tensor(x)
    return select(x > 0, x, alpha * e.expm1(_below(x) * (1 / alpha)))


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution's; "tanh": the approximation of Hendrycks & Gimpel, 2016.

    >>> from chainrule.nn import functional as F
    >>> F.gelu([-1.0, 0.0, 1.0])
    tensor([-0.1587,  0.    ,  0.8413])
    """
    check("gelu", {"approximate": choice("none", "tanh")}, {"approximate": approximate})
    node, tensor = float_node(x)
    if approximate == "tanh":  # x (1 + tanh z) / 2 = x sigmoid(2z), also right for small results
        cubic = g.mul(g.mul(node, node), full(node, 0.044715))
        slope = g.mul(node, g.add(full(node, 1), cubic))
        twice = g.mul(slope, full(node, 2 * math.sqrt(2 / math.pi)))
        return make(g.mul(node, g.sigmoid(twice)), tensor)
    inner = g.erf(g.mul(node, full(node, math.sqrt(0.5))))
    half = g.mul(node, full(node, 0.5))
    y = g.mul(half, g.add(inner, full(node, 1)))
    return make(g.custom_vjp(y, [node], _gelu_rule), tensor)


def _gelu_rule(grad: Node, y: Node, x: Node) -> list[Node | None]:
    """x̄ = g (Φ(x) + x φ(x)): the factor is computed beside the value, and only it is kept."""
    root = g.mul(x, full(x, math.sqrt(0.5)))
    below = g.mul(g.add(g.erf(root), full(x, 1)), full(x, 0.5))
    density = g.mul(g.exp(g.neg(g.mul(root, root))), full(x, 1 / math.sqrt(2 * math.pi)))
    return [g.mul(grad, g.add(below, g.mul(x, density)))]


def silu(x: Any, inplace: bool = False) -> Tensor:
    """x sigmoid(x), also called swish.

    >>> from chainrule.nn import functional as F
    >>> F.silu([-2.0, 0.0, 2.0])
    tensor([-0.2384,  0.    ,  1.7616])
    """
    return e.multiply(x, e.sigmoid(x))


def mish(x: Any, inplace: bool = False) -> Tensor:
    """x tanh(ln(1 + eˣ)) (Misra, 2019).

    >>> from chainrule.nn import functional as F
    >>> F.mish([-2.0, 0.0, 2.0])
    tensor([-0.2525,  0.    ,  1.944 ])
    """
    node, tensor = float_node(x)
    return make(g.mul(node, g.tanh(softplus_node(node))), tensor)


def softsign(x: Any) -> Tensor:
    """x / (1 + |x|).

    >>> from chainrule.nn import functional as F
    >>> F.softsign([-2.0, 0.0, 2.0])
    tensor([-0.6667,  0.    ,  0.6667])
    """
    return e.divide(x, 1.0 + e.abs(x))


def tanhshrink(x: Any) -> Tensor:
    """x - tanh(x).

    >>> from chainrule.nn import functional as F
    >>> F.tanhshrink([-2.0, 0.0, 2.0])
    tensor([-1.036,  0.   ,  1.036])
    """
    return e.subtract(x, e.tanh(x))


def glu(x: Any, dim: int = -1) -> Tensor:
    """a · sigmoid(b), where x is split along ``dim`` into a and b (Dauphin et al., 2016).

    >>> from chainrule.nn import functional as F
    >>> F.glu([1.0, 2.0, 0.0, 4.0])
    tensor([0.5  , 1.964])
    """
    node, tensor = float_node(x)
    axis = normalize_axis(dim, node.ndim, "glu")
    half, odd = divmod(node.shape[axis], 2)
    if odd:
        raise ShapeError(f"glu halves axis {dim}: its length must be even, got shape {node.shape}")
    a, b = g.part(node, axis, 0, half), g.part(node, axis, half, 2 * half)
    return make(g.mul(a, g.sigmoid(b)), tensor)


# -- along an axis ---------------------------------------------------------------------------------
def _axis(name: str, x: Any, dim: int | None, dtype: Any) -> tuple[Tensor, int]:
    x = as_tensor(x) if dtype is None else as_tensor(x).to(dtype)
    if dim is None and x.ndim > 2:
        raise OptionError(
            f"{name}: say which axis sums to 1, as in dim=-1; the input has {x.ndim} axes: "
            f"{x.shape}"
        )
    return x, -1 if dim is None else dim


def softmax(x: Any, dim: int | None = None, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ along ``dim``; of vectors and matrices along the last axis if None.

    ``dtype``: converted to it first.

    >>> from chainrule.nn import functional as F
    >>> F.softmax([0.0, 1.0], dim=0)
    tensor([0.2689, 0.7311])
    """
    x, axis = _axis("softmax", x, dim, dtype)
    return softmax_(x, axis)


def softmin(x: Any, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x).

    >>> from chainrule.nn import functional as F
    >>> F.softmin([0.0, 1.0], dim=0)
    tensor([0.7311, 0.2689])
    """
    x, axis = _axis("softmin", x, dim, dtype)
    return softmax_(-x, axis)


def log_softmax(x: Any, dim: int | None = None, dtype: Any = None) -> Tensor:
    """ln softmax(x), computed as x - ln Σ eˣ.

    >>> from chainrule.nn import functional as F
    >>> F.log_softmax([0.0, 1.0], dim=0)
    tensor([-1.3133, -0.3133])
    """
    x, axis = _axis("log_softmax", x, dim, dtype)
    return log_softmax_(x, axis)


def normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, eps) along ``dim``.

    >>> from chainrule.nn import functional as F
    >>> F.normalize([[3.0, 4.0]])
    tensor([[0.6, 0.8]])
    """
    x = as_tensor(x)
    return e.divide(x, e.maximum(norm(x, p, dim, keepdims=True), eps))


def require_float(name: str, x: Tensor) -> Tensor:
    """``x``, or DTypeError."""
    if not is_float(x.dtype):
        raise DTypeError(f"{name} expects a float tensor, got {x.dtype}; convert it with .float()")
    return x
