"""Layers that put elements around an array, with PyTorch's names and order of the numbers."""

from __future__ import annotations

from typing import Any

from ..errors import OptionError, ShapeError
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import trail
from .module import Module
from .options import integer


class _Pad(Module):
    """Elements around the last axes of (N, C, *S) or (C, *S)."""

    rank: int
    mode = "constant"
    value: float = 0

    def __init__(self, padding: Any) -> None:
        super().__init__()
        given = tuple(padding) if isinstance(padding, list | tuple) else (padding,) * 2 * self.rank
        if len(given) != 2 * self.rank or not all(integer().holds(p) for p in given):
            names = ("left, right", "top, bottom", "front, back")[: self.rank]
            raise OptionError(
                f"{type(self).__name__}: padding must be an integer or ({', '.join(names)}), got "
                f"{padding!r}"
            )
        self.padding = given

    def forward(self, x: Any) -> Tensor:
        """The array with elements around its last axes."""
        x = as_tensor(x)
        if x.ndim not in (self.rank + 1, self.rank + 2):
            positions = ", ".join("DHW"[-self.rank :]) if self.rank > 1 else "L"
            raise ShapeError(
                f"{trail.headline(self)} expects (N, C, {positions}) or (C, {positions}), got "
                f"{x.shape}"
            )
        return F.pad(x, self.padding, self.mode, self.value)

    def headline(self) -> str:
        """In one line: ZeroPad2d((1, 1, 1, 1))."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """The argument."""
        return str(self.padding)


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad1d(_Pad):
    """Zeros around the last axis of (N, C, L).

    ``padding``: a number, or (left, right); less than 0 cuts off. x may be one example (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ZeroPad1d((1, 2))(cr.tensor([[3.0, 4.0]]))
    tensor([[0., 3., 4., 0., 0.]])
    """

    rank = 1


class ZeroPad2d(_Pad):
    """`ZeroPad1d` for (N, C, H, W).

    ``padding`` is a number, or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ZeroPad2d(1)(cr.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    rank = 2


class ZeroPad3d(_Pad):
    """`ZeroPad1d` for (N, C, D, H, W).

    ``padding`` is a number, or (left, right, top, bottom, front, back).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ZeroPad3d(1)(cr.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    rank = 3


class ConstantPad1d(_ConstantPad):
    """A number, ``value``, around the last axis of (N, C, L).

    ``padding``: a number, or (left, right); less than 0 cuts off. x may be one example (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConstantPad1d(1, 7.0)(cr.tensor([[3.0, 4.0]]))
    tensor([[7., 3., 4., 7.]])
    """

    rank = 1


class ConstantPad2d(_ConstantPad):
    """`ConstantPad1d` for (N, C, H, W).

    ``padding`` is a number, or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConstantPad2d(1, 7.0)(cr.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    rank = 2


class ConstantPad3d(_ConstantPad):
    """`ConstantPad1d` for (N, C, D, H, W).

    ``padding`` is a number, or (left, right, top, bottom, front, back).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ConstantPad3d(1, 7.0)(cr.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    rank = 3


class ReflectionPad1d(_Pad):
    """The elements in the opposite order, without the one at the edge, around (N, C, L).

    ``padding``: a number, or (left, right); less than 0 cuts off. x may be one example (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReflectionPad1d(1)(cr.tensor([[3.0, 4.0]]))
    tensor([[4., 3., 4., 3.]])
    """

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """`ReflectionPad1d` for (N, C, H, W): ``padding`` is a number, or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReflectionPad2d(1)(cr.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    rank = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """`ReflectionPad1d` for (N, C, D, H, W).

    ``padding`` is a number, or (left, right, top, bottom, front, back).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReflectionPad3d(1)(cr.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    rank = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The elements at the edges, repeated, around the last axis of (N, C, L).

    ``padding``: a number, or (left, right); less than 0 cuts off. x may be one example (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReplicationPad1d(1)(cr.tensor([[3.0, 4.0]]))
    tensor([[3., 3., 4., 4.]])
    """

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """`ReplicationPad1d` for (N, C, H, W): ``padding`` is a number, or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReplicationPad2d(1)(cr.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    rank = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """`ReplicationPad1d` for (N, C, D, H, W).

    ``padding`` is a number, or (left, right, top, bottom, front, back).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.ReplicationPad3d(1)(cr.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    rank = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """The elements of the other end around the last axis of (N, C, L).

    ``padding``: a number, or (left, right); less than 0 cuts off. x may be one example (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CircularPad1d(1)(cr.tensor([[3.0, 4.0]]))
    tensor([[4., 3., 4., 3.]])
    """

    rank = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """`CircularPad1d` for (N, C, H, W).

    ``padding`` is a number, or (left, right, top, bottom).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CircularPad2d(1)(cr.ones(1, 2, 3)).shape
    (1, 4, 5)
    """

    rank = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """`CircularPad1d` for (N, C, D, H, W).

    ``padding`` is a number, or (left, right, top, bottom, front, back).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CircularPad3d(1)(cr.ones(1, 2, 3, 4)).shape
    (1, 4, 5, 6)
    """

    rank = 3
    mode = "circular"
