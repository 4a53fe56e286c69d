"""Dropout layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..tensor.tensor import Tensor
from . import functional as F
from .module import Module
from .options import check, number


class _Dropout(Module):
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check(type(self).__name__, {"p": number(0, 1)}, {"p": p})
        self.p = p

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return type(self).function(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """m x / (1 - p) in training, m = 0 with probability p and else 1 for each element; or else x.

    The mean stays. Source: Hinton et al., 2012.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> y = nn.Dropout(0.25)(cr.ones(1000))
    >>> sorted(set(y.numpy().round(4).tolist()))
    [0.0, 1.333299994468689]
    >>> nn.Dropout(0.25).eval()([1.0, 2.0])
    tensor([1., 2.])
    """

    function = F.dropout


class Dropout1d(_Dropout):
    """`Dropout` of whole channels of (N, C, L) or (C, L).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Dropout1d(0.5)(cr.ones((8, 5))).shape
    (8, 5)
    """

    function = F.dropout1d


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of (N, C, H, W), or of (N, C, L) (Tompson et al., 2015).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Dropout2d(0.5)(cr.ones((2, 8, 3, 3))).shape
    (2, 8, 3, 3)
    """

    function = F.dropout2d


class Dropout3d(_Dropout):
    """`Dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.Dropout3d(0.5)(cr.ones((8, 3, 3, 3))).shape
    (8, 3, 3, 3)
    """

    function = F.dropout3d


class AlphaDropout(_Dropout):
    """a y + b in training, y = d with probability p and else x, for each element; or else x.

    d = -scale · alpha of selu; a = 1 / √((1 - p) (1 + p d²)) and b = -a p d keep mean 0 and
    variance 1 in networks of selu. Source: Klambauer et al., 2017.

    >>> from chainrule import nn
    >>> nn.AlphaDropout(0.25).eval()([1.0, 2.0])
    tensor([1., 2.])
    """

    function = F.alpha_dropout


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...).

    >>> from chainrule import nn
    >>> nn.FeatureAlphaDropout(0.25).eval()([[1.0, 2.0]])
    tensor([[1., 2.]])
    """

    function = F.feature_alpha_dropout
