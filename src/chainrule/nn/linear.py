"""Linear layers, and changes of shape."""

from __future__ import annotations

import math
from typing import Any

from ..errors import OptionError, ShapeError
from ..habits import LINEAR, knows
from ..tensor.ops.create import check_device, zeros
from ..tensor.tensor import Tensor
from ..tensor.value import Value, as_tensor
from . import functional as F
from . import init, trail
from .module import Module
from .options import check, integer
from .parameter import Parameter

_LENGTH = integer(1)


def empty_parameter(shape: tuple[int, ...], device: Any, dtype: Any) -> Parameter:
    """A parameter to be initialized."""
    check_device(device)
    return Parameter(zeros(shape, dtype=dtype))


def single_tensor(module: Module, x: Any) -> Tensor:
    """``x`` as a tensor; a tuple of tensors is not one, although their shapes may be equal."""
    if isinstance(x, tuple) and any(isinstance(i, Value | tuple) for i in x):
        raise ShapeError(
            f"{trail.title(module)} expects one tensor, got a tuple of {len(x)}\n    a recurrent "
            "layer returns (outputs, last state): take the first, as in x, _ = layer(x)"
        )
    return as_tensor(x)


class Identity(Module):
    """Returns its input. Takes any arguments, so that it can replace any layer.

    >>> from chainrule import nn
    >>> nn.Identity()(3.0)
    3.0
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """X itself."""
        return x


class Linear(Module):
    """y = x Wᵀ + b for x (..., in_features).

    weight (out, in) and bias (out,) start uniform on ±1/√in. Raises ShapeError if x has another
    number of features, DTypeError if it has another float type.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Linear(3, 2)(cr.zeros(5, 3)).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    @knows(LINEAR)
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        values = {"in_features": in_features, "out_features": out_features}
        check(type(self).__name__, dict.fromkeys(values, _LENGTH), values)
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.weight = empty_parameter((self.out_features, self.in_features), device, dtype)
        self.register_parameter(
            "bias", empty_parameter((self.out_features,), device, dtype) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any) -> Tensor:
        """X (..., in_features) -> (..., out_features)."""
        x = single_tensor(self, x)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ShapeError(self._wrong_features(x))
        trail.check_dtype(self, x, self.weight.dtype)
        return F.linear(x, self.weight, self.bias)

    def _wrong_features(self, x: Tensor) -> str:
        if x.ndim == 0:
            return f"{trail.title(self)} expects {self.in_features} features, got a scalar"
        lines = [
            f"{trail.title(self)} expects {self.in_features} features, got "
            f"{x.shape[-1]}{trail.product(x)}"
        ]
        origin = trail.origin(x)
        if origin:
            lines.append(origin)
        elif x.ndim > 2 and math.prod(x.shape[1:]) == self.in_features:
            return "\n    ".join([*lines, f"input {x.shape}: put nn.Flatten() before it"])
        else:
            lines.append(f"input {x.shape}")
        return "\n    ".join([*lines, f"set in_features={x.shape[-1]}"])

    def headline(self) -> str:
        """The layer in one short line."""
        return f"Linear({self.in_features}, {self.out_features})"

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """y_k = x1ᵀ W_k x2 + b_k for x1 (..., in1), x2 (..., in2).

    weight (out, in1, in2) and bias (out,) start uniform on ±1/√in1.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Bilinear(3, 4, 2)(cr.zeros(5, 3), cr.zeros(5, 4)).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        values = {
            "in1_features": in1_features,
            "in2_features": in2_features,
            "out_features": out_features,
        }
        check("Bilinear", dict.fromkeys(values, _LENGTH), values)
        self.in1_features, self.in2_features, self.out_features = (
            in1_features,
            in2_features,
            out_features,
        )
        self.weight = empty_parameter((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter(
            "bias", empty_parameter((out_features,), device, dtype) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """x1 (..., in1), x2 (..., in2) -> (..., out)."""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features},"
            f" out_features={self.out_features}, bias={self.bias is not None}"
        )


class Flatten(Module):
    """Makes one axis of the axes start_dim … end_dim: (N, C, H, W) -> (N, C·H·W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Flatten()(cr.zeros(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        check(
            "Flatten",
            {"start_dim": integer(), "end_dim": integer()},
            {"start_dim": start_dim, "end_dim": end_dim},
        )
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Tensor:
        """X (N, ...) -> (N, features)."""
        return as_tensor(x).flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits the axis ``dim`` into axes of the given lengths; one of them may be -1.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Unflatten(1, (2, -1))(cr.zeros(5, 6)).shape
    (5, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        check("Unflatten", {"dim": integer()}, {"dim": dim})
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)
        if not self.unflattened_size:
            raise OptionError("Unflatten: unflattened_size needs at least one length")

    def forward(self, x: Any) -> Tensor:
        """X (..., n, ...) -> (..., *unflattened_size, ...)."""
        return as_tensor(x).unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
