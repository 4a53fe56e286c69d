"""Normalization: subtract a mean, divide by a standard deviation, over some axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import graph as g
from ...core.node import Node
from ...errors import DataError, OptionError, ShapeError
from ...tensor.grad_mode import no_grad
from ...tensor.ops.operands import float_node
from ...tensor.tensor import Tensor
from ...tensor.value import Value, make, use
from ..options import check, integer
from .numbers import full, number_node


def _mean(x: Node, axes: Sequence[int]) -> Node:
    total = g.sum(x, axes)
    return g.div(total, full(total, math.prod(x.shape[a] for a in axes)))


def _wide(x: Node, like: Node, axes: Sequence[int]) -> Node:
    """A reduced array in the shape it had before."""
    return g.broadcast(
        g.reshape(x, [1 if i in axes else n for i, n in enumerate(like.shape)]), like.shape
    )


def _inverse_root(variance: Node, eps: float | Node) -> Node:
    """1 / √(σ² + ε)."""
    return g.div(full(variance, 1), g.sqrt(g.add(variance, full(variance, eps))))


def _standardized(x: Node, axes: Sequence[int], eps: float) -> Node:
    """(x - μ) / √(σ² + ε) over ``axes``; one division a row, not an element."""
    centred = g.sub(x, _wide(_mean(x, axes), x, axes))
    variance = _mean(g.mul(centred, centred), axes)
    y = g.mul(centred, _wide(_inverse_root(variance, eps), x, axes))
    return g.custom_vjp(y, [x], _StandardizedRule(tuple(axes), number_node(eps)))


@dataclass(frozen=True)
class _StandardizedRule:
    """x̄ = (g - mean g - y mean(g y)) / √(σ² + ε), which needs only y and a number a row."""

    axes: tuple[int, ...]
    eps: float | Node

    def __call__(self, grad: Node, y: Node, x: Node) -> list[Node | None]:
        axes = self.axes
        centred = g.sub(x, _wide(_mean(x, axes), x, axes))
        scale = _inverse_root(_mean(g.mul(centred, centred), axes), self.eps)
        along, mean = (_wide(_mean(v, axes), x, axes) for v in (g.mul(grad, y), grad))
        rest = g.sub(g.sub(grad, mean), g.mul(y, along))
        return [g.mul(_wide(scale, x, axes), rest)]


def _affine(y: Node, weight: Any, bias: Any, view: Sequence[int]) -> Node:
    """y w + b, the two reshaped to ``view`` and broadcast."""
    if weight is not None:
        y = g.mul(y, g.expand(g.reshape(use(weight, y.dtype), view), y.shape))
    if bias is not None:
        y = g.add(y, g.expand(g.reshape(use(bias, y.dtype), view), y.shape))
    return y


def _tensors(*values: Any) -> list[Value]:
    return [v for v in values if isinstance(v, Value)]


def _last_axes(name: str, x: Node, shape: Sequence[int]) -> tuple[tuple[int, ...], list[int]]:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        raise ShapeError(f"{name} normalizes the last axes {wanted}, the input has shape {x.shape}")
    return wanted, list(range(x.ndim - len(wanted), x.ndim))


def layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """(x - μ) / √(σ² + ε) · w + b with mean and variance over the last axes (Ba et al., 2016).

    >>> from chainrule.nn import functional as F
    >>> F.layer_norm([[1.0, 3.0]], (2,))
    tensor([[-1.,  1.]])
    """
    node, x = float_node(x)
    shape, axes = _last_axes("layer_norm", node, normalized_shape)
    return make(
        _affine(_standardized(node, axes, eps), weight, bias, shape), x, *_tensors(weight, bias)
    )


def rms_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Tensor:
    """x / √(mean x² + ε) · w over the last axes (Zhang & Sennrich, 2019); ε None: the dtype's.

    >>> from chainrule.nn import functional as F
    >>> F.rms_norm([[3.0, 4.0]], (2,))
    tensor([[0.8485, 1.1314]])
    """
    node, x = float_node(x)
    shape, axes = _last_axes("rms_norm", node, normalized_shape)
    eps = float(np.finfo(node.dtype).eps) if eps is None else eps
    scale = _inverse_root(_mean(g.mul(node, node), axes), eps)
    y = g.mul(node, _wide(scale, node, axes))
    return make(_affine(y, weight, None, shape), x, *_tensors(weight))


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Channels (axis 1) in groups; mean and variance of each group and later axes (Wu & He, 2018).

    >>> from chainrule.nn import functional as F
    >>> F.group_norm([[1.0, 3.0, 5.0, 5.5]], 2)
    tensor([[-1.    ,  1.    , -0.9999,  0.9999]])
    """
    node, x = float_node(x)
    if node.ndim < 2:
        raise ShapeError(f"group_norm expects (batch, channels, ...), got {node.shape}")
    channels = node.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise OptionError(
            f"group_norm: {channels} channels cannot be divided into {num_groups} groups"
        )
    grouped = g.reshape(
        node, (node.shape[0], num_groups, node.size // max(node.shape[0] * num_groups, 1))
    )
    y = g.reshape(_standardized(grouped, [2], eps), node.shape)
    view = (channels, *[1] * (node.ndim - 2))
    return make(_affine(y, weight, bias, view), x, *_tensors(weight, bias))


def batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - μ) / √(σ² + ε) · w + b per channel (axis 1), over other axes (Ioffe & Szegedy, 2015).

    In training μ and σ² (divided by n) are the batch's, and the running ones (σ² divided by n - 1)
    move by ``momentum`` towards them; otherwise they are the running ones. Raises DataError if a
    channel has only one value in training.

    >>> from chainrule.nn import functional as F
    >>> F.batch_norm([[1.0], [3.0]], None, None, training=True)
    tensor([[-1.],
            [ 1.]])
    """
    node, x = float_node(x)
    if node.ndim < 2:
        raise ShapeError(f"batch_norm expects (batch, channels, ...), got {node.shape}")
    axes = [0, *range(2, node.ndim)]
    view = (node.shape[1], *[1] * (node.ndim - 2))
    count = math.prod(node.shape[a] for a in axes)
    if training:
        if count < 2:
            raise DataError(
                "batch_norm in training needs more than one value per channel, got an input of "
                f"shape {node.shape}; use a larger batch, or .eval()"
            )
        mean = _mean(node, axes)
        centred = g.sub(node, _wide(mean, node, axes))
        variance = _mean(g.mul(centred, centred), axes)
        unbiased = g.mul(variance, full(variance, count / (count - 1)))
        _move(running_mean, mean, momentum)
        _move(running_var, unbiased, momentum)
    else:
        if running_mean is None or running_var is None:
            raise OptionError("batch_norm in evaluation needs running_mean and running_var")
        mean, variance = (use(s, node.dtype) for s in (running_mean, running_var))
        centred = g.sub(node, g.expand(g.reshape(mean, view), node.shape))
        scale = _inverse_root(variance, eps)
        if weight is not None:
            scale = g.mul(scale, use(weight, node.dtype))
        y = g.mul(centred, g.expand(g.reshape(scale, view), node.shape))
        return make(_affine(y, None, bias, view), x, *_tensors(weight, bias))
    y = _standardized(node, axes, eps)
    return make(_affine(y, weight, bias, view), x, *_tensors(weight, bias))


def instance_norm(
    x: Any,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - μ) / √(σ² + ε) · w + b for each channel of each example, over all axes after them.

    Running statistics, if given, move towards the batch's average of μ and σ² (divided by n - 1);
    without ``use_input_stats`` they take the place of μ and σ². Raises DataError if a channel has
    only one value. Source: Ulyanov, Vedaldi & Lempitsky, 2016.

    >>> from chainrule.nn import functional as F
    >>> F.instance_norm([[[1.0, 3.0]]])
    tensor([[[-1.,  1.]]])
    """
    node, x = float_node(x)
    if node.ndim < 3:
        raise ShapeError(f"instance_norm expects (batch, channels, ...), got {node.shape}")
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    axes = list(range(2, node.ndim))
    count = math.prod(node.shape[2:])
    if count < 2:
        raise DataError(
            "instance_norm needs more than one value per channel of an example, got an input of"
            f" shape {node.shape}"
        )
    mean = _mean(node, axes)
    follows = running_mean is not None or running_var is not None
    if follows and node.shape[0]:  # a minibatch of no examples says nothing
        centred = g.sub(node, _wide(mean, node, axes))
        variance = _mean(g.mul(centred, centred), axes)
        _move(running_mean, _mean(mean, [0]), momentum)
        unbiased = g.mul(variance, full(variance, count / (count - 1)))
        _move(running_var, _mean(unbiased, [0]), momentum)
    y = _standardized(node, axes, eps)
    view = (node.shape[1], *[1] * (node.ndim - 2))
    return make(_affine(y, weight, bias, view), x, *_tensors(weight, bias))


def local_response_norm(
    x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + α m)^β, m the mean of x² over ``size`` channels around (Krizhevsky et al., 2012).

    Channels beyond the first and the last count as 0.

    >>> from chainrule.nn import functional as F
    >>> F.local_response_norm([[[1.0], [2.0]]], 2, alpha=1.0)
    tensor([[[0.7378],
             [0.7816]]])
    """
    check("local_response_norm", {"size": integer(1)}, {"size": size})
    node, x = float_node(x)
    if node.ndim < 3:
        raise ShapeError(f"local_response_norm expects (batch, channels, ...), got {node.shape}")
    square = g.mul(node, node)
    low, high = [0] * node.ndim, [0] * node.ndim
    low[1], high[1] = size // 2, (size - 1) // 2
    padded = g.pad(square, low, high)
    total = g.part(padded, 1, 0, node.shape[1])
    for i in range(1, size):
        total = g.add(total, g.part(padded, 1, i, i + node.shape[1]))
    scale = g.add(g.mul(total, full(total, alpha / size)), full(total, k))
    return make(g.div(node, g.pow(scale, full(scale, beta))), x)


def _move(running: Tensor | None, new: Node, momentum: Any) -> None:
    """running ← running + momentum (new - running)."""
    if running is None:
        return
    with no_grad():
        target = make(g.cast(g.stop_gradient(new), running.dtype))
        strong = isinstance(momentum, Value) and not momentum._weak
        weight = momentum.to(running.dtype) if strong else momentum
        running.assign(running * (1 - weight) + target * weight)
