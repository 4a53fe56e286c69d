"""Normalization by statistics of each example."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..tensor.ops.create import check_device
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import trail
from .module import Module
from .of_function import OfFunction
from .options import check, integer, number, optional, takes_options
from .parameter import Parameter

_EPS = number(0)


def filled(shape: Any, value: float, device: Any, dtype: Any) -> Parameter:
    """A parameter of ones or zeros."""
    check_device(device)
    return Parameter(np.full(shape, value, dt.dtype_of(dtype or dt.default_float)))


def register_affine(
    module: Module, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any
) -> None:
    """A weight of ones and a bias of zeros, or None in their places."""
    module.register_parameter("weight", filled(shape, 1, device, dtype) if weight else None)
    module.register_parameter("bias", filled(shape, 0, device, dtype) if bias else None)


class LayerNorm(Module):
    """(x - μ) / √(σ² + eps) · weight + bias over the last axes; weight and bias have their shape.

    >>> from chainrule import nn
    >>> nn.LayerNorm(2)([[1.0, 3.0]]).detach()
    tensor([[-1.,  1.]])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check("LayerNorm", {"eps": _EPS}, {"eps": eps})
        shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        register_affine(self, shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(Module):
    """x / √(mean x² + eps) · weight over the last axes; eps None: the dtype's own.

    >>> from chainrule import nn
    >>> nn.RMSNorm(2)([[3.0, 4.0]]).detach()
    tensor([[0.8485, 1.1314]])
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check("RMSNorm", {"eps": optional(_EPS)}, {"eps": eps})
        shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.register_parameter(
            "weight", filled(shape, 1, device, dtype) if elementwise_affine else None
        )

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """(x - μ) / √(σ² + eps) · weight + bias, μ and σ² over groups of channels of each example.

    Channels are axis 1, and all later axes belong to a group too; weight and bias (channels,).
    Source: Wu & He, 2018.

    >>> from chainrule import nn
    >>> nn.GroupNorm(2, 4)([[1.0, 3.0, 5.0, 5.5]]).detach()
    tensor([[-1.    ,  1.    , -0.9999,  0.9999]])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check(
            "GroupNorm",
            {"num_groups": integer(1), "num_channels": integer(1), "eps": _EPS},
            {"num_groups": num_groups, "num_channels": num_channels, "eps": eps},
        )
        if num_channels % num_groups:
            raise OptionError(
                f"GroupNorm: num_channels={num_channels} cannot be divided into "
                f"num_groups={num_groups}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = (
            num_groups,
            num_channels,
            eps,
            affine,
        )
        register_affine(self, num_channels, affine, affine and bias, device, dtype)

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        x = as_tensor(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            fits = x.ndim > 1
            advice = trail.other_channels(x, 1, self.num_channels, "num_channels") if fits else ""
            raise ShapeError(
                f"{trail.title(self)} expects (batch, {self.num_channels}, ...), got {x.shape}"
                f"{advice}"
            )
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(OfFunction):
    """x / (k + alpha m)^beta, m the mean of x² over ``size`` channels around each.

    Source: Krizhevsky, Sutskever & Hinton, 2012.

    >>> from chainrule import nn
    >>> nn.LocalResponseNorm(2, alpha=1.0)([[[1.0], [2.0]]])
    tensor([[[0.7378],
             [0.7816]]])
    """

    constraints = {"size": integer(1), "alpha": number(), "beta": number(), "k": number()}
    function = F.local_response_norm

    @takes_options
    def __init__(
        self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> None: ...

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """x / (k + alpha / size Σ x²)^beta over the channel and (size - 1) // 2 before and behind it.

    For an odd ``size`` it is `LocalResponseNorm`, of images (N, C, H, W) alone. PyTorch's keeps the
    first channel in the sums of all later ones and has a gradient that is not its own; here both
    are those of the formula. Source: Krizhevsky, Sutskever & Hinton, 2012.

    >>> from chainrule import nn
    >>> nn.CrossMapLRN2d(3, alpha=3.0)([[[[1.0]], [[2.0]]]]).flatten()
    tensor([0.2608, 0.5217])
    """

    def forward(self, x: Any) -> Tensor:
        """(N, C, H, W) of the same shape."""
        x = as_tensor(x)
        if x.ndim != 4:
            raise ShapeError(f"{trail.title(self)} expects (batch, channels, h, w), got {x.shape}")
        window = (self.size - 1) // 2 * 2 + 1
        alpha = self.alpha * window / self.size
        return F.local_response_norm(x, window, alpha, self.beta, self.k)
