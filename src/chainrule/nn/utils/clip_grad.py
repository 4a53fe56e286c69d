"""Clipping of gradients: between ``backward`` and ``step``, eager and compiled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ...core import dtypes as dt
from ...errors import GradientError
from ...tensor.grad_mode import no_grad
from ...tensor.ops import elementwise as e
from ...tensor.ops.create import tensor
from ...tensor.ops.joining import stack
from ...tensor.ops.reductions.norm import norm as p_norm
from ...tensor.tensor import Tensor
from ...tensor.value import Value
from ..options import check, number


def _gradients(parameters: Any) -> list[tuple[Value, Tensor]]:
    listed = [parameters] if isinstance(parameters, Value) else list(parameters)
    return [(p, p.grad) for p in listed if p.grad is not None]


def get_total_norm(
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """The norm of all elements of all tensors as one vector.

    Raises GradientError for NaN or infinity if ``error_if_nonfinite`` (not in compiled functions).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.utils.get_total_norm([cr.tensor([3.0]), cr.tensor([4.0])])
    tensor(5.)
    """
    check("get_total_norm", {"norm_type": number(0, brackets="(]")}, {"norm_type": norm_type})
    tensors = list(tensors)
    if not tensors:
        return tensor(0.0)
    with no_grad():
        norm = _total_norm(tensors, norm_type, error_if_nonfinite)
        return norm.to(dt.promote(*(t.dtype for t in tensors)))


def _total_norm(tensors: list[Tensor], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    """The norm in float64, where no square of a float32 overflows."""
    if norm_type == 2.0 and all(t.dtype != dt.float64 for t in tensors):
        total: Any = 0.0
        for t in tensors:
            wide = t.double()
            total = total + (wide * wide).sum()
        norm = e.sqrt(total)
    else:
        norm = p_norm(stack([p_norm(t.double(), norm_type) for t in tensors]), norm_type)
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise GradientError(
            f"the norm of the gradients is {norm.item()}: one of them has NaN or infinite elements;"
            " lower the learning rate, or look for the step where it began"
        )
    return norm


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale gradients together so that their norm is at most ``max_norm``; returns the norm before.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> p = nn.Parameter([3.0, 4.0])
    >>> (p * p).sum().backward()
    >>> nn.utils.clip_grad_norm_([p], 1.0), p.grad
    (tensor(10.), tensor([0.6, 0.8]))
    """
    check("clip_grad_norm_", {"max_norm": number(0, brackets="[]")}, {"max_norm": max_norm})
    check("clip_grad_norm_", {"norm_type": number(0, brackets="(]")}, {"norm_type": norm_type})
    pairs = _gradients(parameters)
    if not pairs:
        return tensor(0.0)
    with no_grad():
        norm = _total_norm([grad for _, grad in pairs], norm_type, error_if_nonfinite)
        factor = e.minimum(max_norm / (norm + 1e-6), 1.0)
        for p, grad in pairs:
            p.grad = grad * factor.to(grad.dtype)
        return norm.to(dt.promote(*(grad.dtype for _, grad in pairs)))


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Clip each element of each gradient to [-clip_value, clip_value].

    >>> from chainrule import nn
    >>> p = nn.Parameter([3.0, 0.1])
    >>> (p * p).sum().backward()
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([1. , 0.2])
    """
    check("clip_grad_value_", {"clip_value": number(0)}, {"clip_value": clip_value})
    with no_grad():
        for p, grad in _gradients(parameters):
            p.grad = e.clip(grad, -clip_value, clip_value)
