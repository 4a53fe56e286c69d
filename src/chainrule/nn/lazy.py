"""Layers that take their number of inputs from the first input, with PyTorch's names."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ShapeError
from ..tensor.capture import outside
from ..tensor.value import as_tensor
from . import trail
from .batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from .convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .functional.convolution import Sizes
from .linear import Linear
from .module import Module
from .options import takes_options
from .uninitialized import Uninitialized, UninitializedBuffer, UninitializedParameter


class LazyModule(Module):
    """A layer without numbers until it is called, when it becomes one of the class ``becomes``.

    Its parameters are then drawn as that class draws them. Until then they have no shape: asking
    for it raises ShapeError. What has been loaded with `load_state_dict` stays.
    """

    becomes: ClassVar[type[Module]]
    inferred: ClassVar[str]
    """The argument that follows from the input."""
    _arguments: dict[str, Any]

    def _take(self, arguments: dict[str, Any]) -> None:
        """Check the arguments and forget the numbers."""
        groups = arguments.get("groups", 1)
        least = groups if isinstance(groups, int) else 1
        self.becomes.__init__(self, **{self.inferred: least}, **arguments)
        setattr(self, self.inferred, 0)
        self._arguments = arguments
        for name, p in self._parameters.items():
            if p is not None:
                self._parameters[name] = UninitializedParameter(dtype=p.dtype)
        for name, b in self._buffers.items():
            if b is not None and b.ndim:
                self._buffers[name] = UninitializedBuffer(dtype=b.dtype)

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or a buffer has no numbers yet."""
        held = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(tensor, Uninitialized) for tensor in held)

    def reset_parameters(self) -> None:
        """Nothing: numbers are drawn when the layer is called."""

    def _axis(self, ndim: int) -> int | None:
        """The axis of channels of an input with ``ndim`` axes; None where that does not fit."""
        raise NotImplementedError

    def _loaded(self) -> int | None:
        """The number of channels that loaded parameters have; None if nothing is loaded."""
        raise NotImplementedError

    def initialize_parameters(self, x: Any) -> None:
        """Take the number of inputs from ``x``, draw the numbers, and become a common layer.

        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> layer = nn.LazyLinear(3)
        >>> layer.initialize_parameters(cr.zeros(5, 2))
        >>> layer
        Linear(in_features=2, out_features=3, bias=True)
        """
        tensor = as_tensor(x)
        axis, channels = self._axis(tensor.ndim), self._loaded()
        if axis is None:
            raise ShapeError(
                f"{trail.title(self)}: an input of shape {tensor.shape} does not tell "
                f"{self.inferred}; nn.{self.becomes.__name__} says what shapes there are"
            )
        channels = tensor.shape[axis] if channels is None else channels
        with outside():
            made = self.becomes(**{self.inferred: channels}, **self._arguments)
            for table in ("_parameters", "_buffers"):
                for name, own in getattr(self, table).items():
                    if isinstance(own, Uninitialized):
                        own.materialize(getattr(made, table)[name])
        setattr(self, self.inferred, getattr(made, self.inferred))
        del self._arguments
        self.__class__ = self.becomes  # type: ignore[assignment]

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Become a common layer, and do what that does."""
        self.initialize_parameters(x)
        return self.forward(x, *args, **kwargs)


class LazyLinear(LazyModule, Linear):
    """`Linear` whose in_features are those of its first input, (..., in_features).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2))
    >>> net(cr.zeros(5, 3)).shape
    (5, 2)
    >>> net[0]
    Linear(in_features=3, out_features=4, bias=True)
    """

    becomes = Linear
    inferred = "in_features"

    @takes_options
    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None: ...

    def _axis(self, ndim: int) -> int | None:
        return -1 if ndim else None

    def _loaded(self) -> int | None:
        return None if isinstance(self.weight, Uninitialized) else self.weight.shape[1]


class _LazyConv(LazyModule):
    inferred = "in_channels"
    rank: int
    groups: int
    transposed: bool
    weight: Any

    @takes_options
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Any = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None: ...

    def _axis(self, ndim: int) -> int | None:
        return -self.rank - 1 if ndim in (self.rank + 1, self.rank + 2) else None

    def _loaded(self) -> int | None:
        if isinstance(self.weight, Uninitialized):
            return None
        shape: tuple[int, ...] = self.weight.shape
        return shape[0] if self.transposed else shape[1] * self.groups


class _LazyConvTranspose(_LazyConv):
    @takes_options
    def __init__(
        self,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None: ...


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` whose in_channels are those of its first input, (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyConv1d(8, 5)(cr.zeros(2, 3, 20)).shape
    (2, 8, 16)
    """

    becomes = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` whose in_channels are those of its first input, (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.LazyConv2d(6, 5)
    >>> layer(cr.zeros(2, 1, 28, 28)).shape
    (2, 6, 24, 24)
    >>> layer
    Conv2d(1, 6, kernel_size=5)
    """

    becomes = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` whose in_channels are those of its first input, (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyConv3d(2, 3)(cr.zeros(2, 1, 5, 5, 5)).shape
    (2, 2, 3, 3, 3)
    """

    becomes = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """`ConvTranspose1d` whose in_channels are those of its first input, (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyConvTranspose1d(8, 4, stride=2, padding=1)(cr.zeros(2, 3, 10)).shape
    (2, 8, 20)
    """

    becomes = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """`ConvTranspose2d` whose in_channels are those of its first input, (N, C, H, W) or (C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyConvTranspose2d(8, 2, stride=2)(cr.zeros(2, 3, 7, 7)).shape
    (2, 8, 14, 14)
    """

    becomes = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """`ConvTranspose3d` whose in_channels are those of its first input, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyConvTranspose3d(2, 2)(cr.zeros(1, 1, 3, 3, 3)).shape
    (1, 2, 4, 4, 4)
    """

    becomes = ConvTranspose3d


class _LazyNorm(LazyModule):
    inferred = "num_features"
    ranks: Any

    @takes_options
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None: ...

    def _axis(self, ndim: int) -> int | None:
        return 1 if ndim in self.ranks else None

    def _loaded(self) -> int | None:
        held = (*self._parameters.values(), *self._buffers.values())
        known = (t for t in held if t is not None and not isinstance(t, Uninitialized) and t.ndim)
        return next((t.shape[0] for t in known), None)


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """`BatchNorm1d` whose num_features are the channels of its first input, (N, C) or (N, C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.LazyBatchNorm1d()
    >>> y = layer(cr.zeros(2, 3))
    >>> layer.running_mean.shape
    (3,)
    """

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """`BatchNorm2d` whose num_features are the channels of its first input, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyBatchNorm2d()(cr.zeros(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """`BatchNorm3d` whose num_features are the channels of its first input, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyBatchNorm3d()(cr.zeros(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    becomes = BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
    def _axis(self, ndim: int) -> int | None:
        rank = self.ranks[0]
        return {rank - 1: 0, rank: 1}.get(ndim)


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """`InstanceNorm1d` whose num_features are the channels of its first input, (N, C, L).

    As in PyTorch, it has weight, bias and running statistics, which `InstanceNorm1d` has on demand.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyInstanceNorm1d()(cr.zeros(2, 3, 4)).shape
    (2, 3, 4)
    """

    becomes = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """`InstanceNorm2d` whose num_features are the channels of its first input, (N, C, H, W).

    It has weight, bias and running statistics (see `LazyInstanceNorm1d`).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyInstanceNorm2d()(cr.zeros(2, 3, 4, 4)).shape
    (2, 3, 4, 4)
    """

    becomes = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """`InstanceNorm3d` whose num_features are the channels of its first input, (N, C, D, H, W).

    It has weight, bias and running statistics (see `LazyInstanceNorm1d`).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.LazyInstanceNorm3d()(cr.zeros(2, 3, 4, 4, 4)).shape
    (2, 3, 4, 4, 4)
    """

    becomes = InstanceNorm3d
