"""Dropout layers."""

from __future__ import annotations

from typing import Any

from ..tensor.tensor import Tensor
from . import functional as F  # noqa: N812 - PyTorch's name
from .module import Module
from .options import check, number


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check(type(self).__name__, {"p": number(0, 1)}, {"p": p})
        self.p = p

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training each element is 0 with probability p, otherwise divided by 1 - p; else the
    identity."""

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.dropout(x, self.p, self.training)


class AlphaDropout(_Dropout):
    """Dropout that keeps mean 0 and variance 1 in selu networks."""

    def forward(self, x: Any) -> Tensor:
        """The same shape."""
        return F.alpha_dropout(x, self.p, self.training)
