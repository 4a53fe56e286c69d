"""Normalization layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core import dtypes as dt
from ..errors import OptionError, ShapeError
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor, stored
from . import functional as F  # noqa: N812 - PyTorch's name
from . import init, trail
from .module import Module
from .options import check, integer, number, optional
from .parameter import Parameter

_EPS = number(0)


def _parameter(shape: Any, value: float, dtype: Any) -> Parameter:
    return Parameter(np.full(shape, value, dt.dtype_of(dtype or dt.default_float)))


class LayerNorm(Module):
    """(x - μ) / √(σ² + eps) · weight + bias over the last axes; weight and bias have their
    shape."""

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
        self.register_parameter(
            "weight", _parameter(shape, 1, dtype) if elementwise_affine else None
        )
        self.register_parameter(
            "bias", _parameter(shape, 0, dtype) if elementwise_affine and bias else None
        )

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class RMSNorm(Module):
    """x / √(mean x² + eps) · weight over the last axes; eps None: the dtype's own."""

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
            "weight", _parameter(shape, 1, dtype) if elementwise_affine else None
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
    """Mean and variance over groups of channels (axis 1) and all later axes; weight, bias
    (channels,)."""

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
        self.register_parameter("weight", _parameter(num_channels, 1, dtype) if affine else None)
        self.register_parameter("bias", _parameter(num_channels, 0, dtype) if affine else None)

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        x = as_tensor(x)
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(
                f"{trail.title(self)} expects (batch, {self.num_channels}, ...), got {x.shape}"
            )
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _BatchNorm(Module):
    """(x - μ) / √(σ² + eps) · weight + bias for each channel.

    In training μ and σ² are the batch's, and running_mean and running_var follow them by
    ``momentum`` (None: their plain average so far). In evaluation the running ones are used.
    """

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    ranks: ClassVar[tuple[int, ...]]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options = {"num_features": num_features, "eps": eps, "momentum": momentum}
        table = {"num_features": integer(1), "eps": _EPS, "momentum": optional(number(0, 1))}
        check(type(self).__name__, table, options)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter("weight", _parameter(num_features, 1, dtype) if affine else None)
        self.register_parameter("bias", _parameter(num_features, 0, dtype) if affine else None)
        kind = dt.dtype_of(dtype or dt.default_float)
        tracked = track_running_stats
        self.register_buffer(
            "running_mean", stored(np.zeros(num_features, kind)) if tracked else None
        )
        self.register_buffer(
            "running_var", stored(np.ones(num_features, kind)) if tracked else None
        )
        self.register_buffer(
            "num_batches_tracked", stored(np.zeros((), np.int64)) if tracked else None
        )

    def reset_running_stats(self) -> None:
        """Forget the running mean and variance."""
        if self.running_mean is not None and self.running_var is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
        if self.num_batches_tracked is not None:
            init.zeros_(self.num_batches_tracked)

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        x = as_tensor(x)
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            shapes = " or ".join(
                f"(batch, {self.num_features}{', n' * (r - 2)})" for r in self.ranks
            )
            raise ShapeError(f"{trail.title(self)} expects {shapes}, got {x.shape}")
        training = self.training
        momentum: Any = self.momentum
        counter = self.num_batches_tracked
        if training and counter is not None:
            counter.assign(counter + 1)
            if momentum is None:
                momentum = 1.0 / counter.double()
        use_batch = training or self.running_mean is None
        mean, var = (
            (self.running_mean, self.running_var) if training or not use_batch else (None, None)
        )
        return F.batch_norm(
            x,
            mean,
            var,
            self.weight,
            self.bias,
            use_batch,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def headline(self) -> str:
        """The layer in one short line."""
        return f"{type(self).__name__}({self.num_features})"

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L) (Ioffe & Szegedy, 2015).

    Parameters weight and bias (C,); buffers running_mean, running_var (C,), num_batches_tracked.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W)."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (N, C, D, H, W)."""

    ranks = (5,)
