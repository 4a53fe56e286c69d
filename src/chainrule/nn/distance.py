"""Distances and similarities as layers."""

from __future__ import annotations

from typing import Any

from ..tensor.tensor import Tensor
from . import functional as F
from .module import Module
from .options import check, integer, number


class CosineSimilarity(Module):
    """Σ x1 x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along ``dim``.

    >>> from chainrule import nn
    >>> nn.CosineSimilarity(dim=0)([1.0, 0.0], [3.0, 4.0])
    tensor(0.6)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        check("CosineSimilarity", {"dim": integer(), "eps": number(0)}, {"dim": dim, "eps": eps})
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """Both of one shape; the axis ``dim`` goes."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """‖x1 - x2 + eps‖ₚ along the last axis.

    >>> from chainrule import nn
    >>> nn.PairwiseDistance(eps=0)([3.0, 4.0], [0.0, 0.0])
    tensor(5.)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        table = {"p": number(0, brackets="(]"), "eps": number(0)}
        check("PairwiseDistance", table, {"p": p, "eps": eps})
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """Both (..., D); result (...), or with ``keepdim`` (..., 1)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
