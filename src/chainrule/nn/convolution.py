"""Convolutional layers, with PyTorch's names, weight layouts and initial numbers."""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, ShapeError
from ..tensor.ops.shape import pad
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import init, trail
from .functional.convolution import (
    Sizes,
    convolution,
    padding_of,
    sizes,
    transposed_convolution,
)
from .linear import empty_parameter
from .module import Module
from .options import check, choice, integer
from .parameter import Parameter

MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What all of them have: options, weight, bias, and their checks."""

    rank: int
    transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Any,
        dilation: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        values = {"in_channels": in_channels, "out_channels": out_channels, "groups": groups}
        check(name, dict.fromkeys(values, integer(1)), values)
        modes = ("zeros",) if self.transposed else MODES
        check(name, {"padding_mode": choice(*modes)}, {"padding_mode": padding_mode})
        for which, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise OptionError(
                    f"{name}: {which}={channels} cannot be divided into groups={groups}"
                )
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.groups, self.padding_mode = int(groups), padding_mode
        self.kernel_size = sizes(name, "kernel_size", kernel_size, self.rank, 1)
        self.stride = sizes(name, "stride", stride, self.rank, 1)
        self.dilation = sizes(name, "dilation", dilation, self.rank, 1)
        if not isinstance(padding, str):
            padding = sizes(name, "padding", padding, self.rank, 0)
        padding_of(name, padding, self.rank, self.kernel_size, self.dilation, self.stride)
        self.padding = padding
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        shape = (first, second // self.groups, *self.kernel_size)
        self.weight = empty_parameter(shape, device, dtype)
        self.register_parameter(
            "bias", empty_parameter((self.out_channels,), device, dtype) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again: uniform on ±1/√(weight.shape[1] · taps)."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def _checked(self, given: Any) -> Tensor:
        x = as_tensor(given)
        positions = ", ".join("DHW"[-self.rank :]) if self.rank > 1 else "L"
        if x.ndim not in (self.rank + 1, self.rank + 2):
            raise ShapeError(
                f"{trail.title(self)} expects (N, {self.in_channels}, {positions}) or "
                f"({self.in_channels}, {positions}), got {x.shape}{self._origin(x)}"
            )
        axis = x.ndim - self.rank - 1
        if x.shape[axis] != self.in_channels:
            advice = trail.other_channels(x, axis, self.in_channels, "in_channels")
            raise ShapeError(
                f"{trail.title(self)} expects {self.in_channels} channels, got {x.shape[axis]}: "
                f"input {x.shape}{advice}"
            )
        trail.check_dtype(self, x, self.weight.dtype)
        return x

    @staticmethod
    def _origin(x: Tensor) -> str:
        origin = trail.origin(x)
        return f"\n    {origin}" if origin else ""

    def headline(self) -> str:
        """In one line: Conv2d(1, 6, kernel_size=5)."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The arguments that are not defaults."""

        def short(value: Any) -> Any:
            same = isinstance(value, tuple) and len(set(value)) == 1
            return value[0] if same else value

        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts.append(f"kernel_size={short(self.kernel_size)}")
        plain = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
        for name, default in plain.items():
            value = short(getattr(self, name, default))
            parts += [f"{name}={value!r}"] if value != default else []
        parts += ["bias=False"] if self.bias is None else []
        parts += [f"padding_mode={self.padding_mode!r}"] if self.padding_mode != "zeros" else []
        return ", ".join(parts)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
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
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, x: Any) -> Tensor:
        """The convolution of x (N, C, *S), or of one example (C, *S)."""
        x, padding = self._checked(x), self.padding
        if self.padding_mode != "zeros":
            around = padding_of(
                type(self).__name__,
                padding,
                self.rank,
                self.kernel_size,
                self.dilation,
                self.stride,
            )
            x = pad(x, [(0, 0)] * (x.ndim - self.rank) + around, mode=self.padding_mode)
            padding = 0
        return convolution(
            trail.headline(self),
            x,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            self.rank,
        )


class Conv1d(_Conv):
    """y[n, o, t] = b[o] + Σ x[n, c, t stride + k dilation - padding] w[o, c, k] over c and k.

    x (N, C, L) or (C, L): y (N, O, T), T = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1.
    weight (O, C / groups, K) and bias (O,) start uniform on ±1/√(C / groups · K). ``padding``: a
    number, "valid" or "same"; ``padding_mode``: "zeros", "reflect", "replicate" or "circular".
    Raises ShapeError for another number of channels, or a kernel longer than the padded input.
    Shared weights: Rumelhart, Hinton & Williams 1986 (T-C problem); LeCun et al., 1989.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Conv1d(3, 8, 5, padding="same")(cr.zeros(2, 3, 20)).shape
    (2, 8, 20)
    """

    rank = 1


class Conv2d(_Conv):
    """`Conv1d` over two positions: x (N, C, H, W), weight (O, C / groups, K, K).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Conv2d(1, 6, 5)(cr.zeros(2, 1, 28, 28)).shape
    (2, 6, 24, 24)
    """

    rank = 2


class Conv3d(_Conv):
    """`Conv1d` over three positions: x (N, C, D, H, W), weight (O, C / groups, K, K, K).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Conv3d(1, 2, 3, stride=2)(cr.zeros(2, 1, 9, 9, 9)).shape
    (2, 2, 4, 4, 4)
    """

    rank = 3


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
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
    ) -> None:
        name = type(self).__name__
        more = sizes(name, "output_padding", output_padding, self.rank, 0)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self.output_padding = more

    def forward(self, x: Any, output_size: Any = None) -> Tensor:
        """Transposed convolution; ``output_size``: positions of y, where stride leaves a choice."""
        x = self._checked(x)
        more = self.output_padding if output_size is None else self._missing(x, output_size)
        return transposed_convolution(
            trail.headline(self),
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            more,
            self.groups,
            self.dilation,
            self.rank,
        )

    def _missing(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        wanted = tuple(output_size)[-self.rank :]
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                x.shape[-self.rank :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        more = tuple(w - n for w, n in zip(wanted, least, strict=True))
        if any(not 0 <= m < s for m, s in zip(more, self.stride, strict=True)):
            most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
            raise ShapeError(
                f"{trail.title(self)}: output_size={wanted} is not between {tuple(least)} and "
                f"{most} for input {x.shape}"
            )
        return more


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of Conv1d: y[n, o, s stride + k dilation - padding] += x[n, c, s] w[c, o, k].

    x (N, C, L): y (N, O, T), T = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding +
    1. weight (C, O / groups, K) and bias (O,) start uniform on ±1/√(O / groups · K), as PyTorch's.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConvTranspose1d(3, 8, 4, stride=2, padding=1)(cr.zeros(2, 3, 10)).shape
    (2, 8, 20)
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """`ConvTranspose1d` over two positions, (N, C, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConvTranspose2d(3, 8, 2, stride=2)(cr.zeros(2, 3, 7, 7)).shape
    (2, 8, 14, 14)
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    """`ConvTranspose1d` over three positions, (N, C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConvTranspose3d(1, 2, 2)(cr.zeros(1, 1, 3, 3, 3)).shape
    (1, 2, 4, 4, 4)
    """

    rank = 3
