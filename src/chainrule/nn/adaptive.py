"""Softmax over many classes, the rare ones in clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import OptionError, ShapeError
from ..tensor.ops.joining import concat
from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from . import trail
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module
from .options import check, integer, number


class ASMOutput(NamedTuple):
    """What `AdaptiveLogSoftmaxWithLoss` gives: ln p of each target (N,), and the mean loss."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """ln p of classes sorted by frequency: the frequent ones from x, the rare ones by clusters.

    Classes below cutoffs[0] and one entry for each cluster share the first softmax, ``head``; the
    classes of cluster i, from cutoffs[i] on, have a softmax of their own, ``tail[i]``, of x made
    div_value^(i+1) times narrower: p(class) = p(cluster) p(class | cluster). Fewer parameters than
    one softmax; all clusters are computed for all rows. Source: Grave et al., "Efficient softmax
    approximation for GPUs", 2017. Raises OptionError for cutoffs that do not rise below n_classes.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(16, 100, cutoffs=[10, 40])
    >>> layer(cr.zeros(5, 16), cr.tensor([0, 9, 10, 50, 99])).output.shape
    (5,)
    >>> layer.log_prob(cr.zeros(5, 16)).exp().sum(axis=1).numpy().round(4).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "AdaptiveLogSoftmaxWithLoss"
        table = {
            "in_features": integer(1),
            "n_classes": integer(2),
            "div_value": number(0, brackets="()"),
        }
        values = {"in_features": in_features, "n_classes": n_classes, "div_value": div_value}
        check(name, table, values)
        ends = [*cutoffs, n_classes]
        rising = all(a < b for a, b in zip([0, *ends], ends, strict=False))
        if len(ends) < 2 or not rising or not all(integer(1).holds(c) for c in cutoffs):
            raise OptionError(
                f"{name}: cutoffs are whole numbers that rise from at least 1 to below"
                f" n_classes={n_classes}, got {list(cutoffs)}"
            )
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, ends
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = ends[0], len(ends) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            narrow = int(in_features // div_value ** (i + 1))
            if narrow < 1:
                raise OptionError(
                    f"{name}: cluster {i} would have {in_features} // {div_value:g}^{i + 1} = 0"
                    " features; use a smaller div_value or fewer cutoffs"
                )
            self.tail.append(
                Sequential(
                    Linear(in_features, narrow, False, device, dtype),
                    Linear(narrow, ends[i + 1] - ends[i], False, device, dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw the initial numbers again."""
        for layer in self.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def log_prob(self, x: Any) -> Tensor:
        """Ln p of all classes: (N, in_features) -> (N, n_classes)."""
        x = as_tensor(x)
        head = F.log_softmax(self.head(x), -1)
        parts = [head[..., : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(head[..., at : at + 1] + F.log_softmax(cluster(x), -1))
        return concat(parts, -1)

    def predict(self, x: Any) -> Tensor:
        """The most probable class of each row: (N, in_features) -> (N,)."""
        return self.log_prob(x).argmax(axis=-1)

    def forward(self, x: Any, target: Any) -> ASMOutput:
        """X (N, in_features) or (in_features,), labels (N,) or (): (output, loss)."""
        x, target = as_tensor(x), as_tensor(target)
        if x.ndim not in (1, 2) or target.shape != x.shape[:-1]:
            raise ShapeError(
                f"{trail.title(self)} expects x (N, {self.in_features}) and labels (N,),"
                f" got {x.shape} and {target.shape}"
            )
        loss = F.nll_loss(self.log_prob(x), target, ignore_index=None, reduction="none")
        return ASMOutput(-loss, loss.mean())
