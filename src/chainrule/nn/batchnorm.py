"""Normalization by statistics of the batch, or of each example, that can be followed."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..core import dtypes as dt
from ..errors import ShapeError
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor, stored
from . import functional as F
from . import init, trail
from .module import Module
from .normalization import register_affine
from .options import check, integer, number, optional
from .parameter import Parameter


class _Tracked(Module):
    """A normalization of channels with statistics that it follows in training."""

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
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        options = {"num_features": num_features, "eps": eps, "momentum": momentum}
        table = {"num_features": integer(1), "eps": number(0), "momentum": optional(number(0, 1))}
        check(type(self).__name__, table, options)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        register_affine(self, num_features, affine, affine and bias, device, dtype)
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

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def headline(self) -> str:
        """The layer in one short line."""
        return f"{type(self).__name__}({self.num_features})"

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracked):
    """(x - μ) / √(σ² + eps) · weight + bias for each channel.

    In training μ and σ² are the batch's, and running_mean and running_var follow them by
    ``momentum`` (None: their plain average so far). In evaluation the running ones are used.
    """

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        x = as_tensor(x)
        if x.ndim not in self.ranks or x.shape[1] != self.num_features:
            shapes = " or ".join(
                f"(batch, {self.num_features}{', n' * (r - 2)})" for r in self.ranks
            )
            fits = x.ndim in self.ranks
            advice = trail.other_channels(x, 1, self.num_features, "num_features") if fits else ""
            raise ShapeError(f"{trail.title(self)} expects {shapes}, got {x.shape}{advice}")
        training = self.training
        momentum: Any = self.momentum
        counter = self.num_batches_tracked
        if training and counter is not None and momentum is None:
            momentum = 1.0 / (counter + 1).double()
        use_batch = training or self.running_mean is None
        mean, var = (
            (self.running_mean, self.running_var) if training or not use_batch else (None, None)
        )
        y = F.batch_norm(
            x,
            mean,
            var,
            self.weight,
            self.bias,
            use_batch,
            0.0 if momentum is None else momentum,
            self.eps,
        )
        if training and counter is not None:  # not before: an input that is refused is not counted
            counter.assign(counter + 1)
        return y


class BatchNorm1d(_BatchNorm):
    """Batch normalization of (N, C) or (N, C, L) (Ioffe & Szegedy, 2015).

    Parameters weight and bias (C,); buffers running_mean, running_var (C,), num_batches_tracked.

    >>> from chainrule import nn
    >>> layer = nn.BatchNorm1d(1)
    >>> layer([[1.0], [3.0]]).detach()
    tensor([[-1.],
            [ 1.]])
    >>> layer.running_mean, layer.running_var
    (tensor([0.2]), tensor([1.1]))
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalization of (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.BatchNorm2d(3)(cr.zeros((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalization of (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.BatchNorm3d(3)(cr.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    ranks = (5,)


class _InstanceNorm(_Tracked):
    """(x - μ) / √(σ² + eps) · weight + bias for each channel of each example.

    With ``track_running_stats`` running_mean and running_var follow the averages of μ and σ² over
    the batch in training, and take their place in evaluation.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check(type(self).__name__, {"momentum": number(0, 1)}, {"momentum": momentum})
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, x: Any) -> Tensor:
        """The same shape; without the first axis it is one example."""
        x = as_tensor(x)
        alone = x.ndim == self.ranks[0] - 1
        batch: Any = x.unsqueeze(0) if alone else x
        if batch.ndim not in self.ranks or batch.shape[1] != self.num_features:
            pixels = ", n" * (self.ranks[0] - 2)
            axis = 0 if alone else 1
            fits = batch.ndim in self.ranks and x.shape[1] != self.num_features
            advice = trail.other_channels(x, axis, self.num_features, "num_features")
            raise ShapeError(
                f"{trail.title(self)} expects (batch, {self.num_features}{pixels}), or that without"
                f" the batch, got {x.shape}{advice if fits else ''}"
            )
        y = F.instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self.momentum,
            self.eps,
        )
        return y.squeeze(0) if alone else y


class InstanceNorm1d(_InstanceNorm):
    """Instance normalization of (N, C, L) or (C, L) (Ulyanov et al., 2016).

    >>> from chainrule import nn
    >>> nn.InstanceNorm1d(1)([[[1.0, 3.0]]])
    tensor([[[-1.,  1.]]])
    """

    ranks = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalization of (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.InstanceNorm2d(3)(cr.zeros((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ranks = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalization of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.InstanceNorm3d(3)(cr.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 4, 4, 4)
    """

    ranks = (5,)
