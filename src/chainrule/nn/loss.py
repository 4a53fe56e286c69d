"""Losses as modules: each calls the function of `nn.functional` with its options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from ..tensor.tensor import Tensor
from ..tensor.value import as_tensor
from . import functional as F
from .module import Module
from .options import (
    REDUCTIONS,
    Constraint,
    check,
    check_reduction,
    integer,
    number,
    optional,
    takes_options,
)


class Loss(Module):
    """Base of the losses: options, and ``reduction`` "none", "mean" or "sum"."""

    function: ClassVar[Callable[..., Tensor]]
    constraints: ClassVar[dict[str, Constraint]] = {}
    reductions: ClassVar[tuple[str, ...]] = REDUCTIONS
    prediction: ClassVar[str] = ""
    """What it takes: "logits", "probabilities" or "log-probabilities"; "": any numbers."""
    target: ClassVar[str] = ""
    """What it is compared with: "labels", one a row, or numbers of the prediction's shape, "values"
    or, from 0 to 1, "probabilities"; "": something else."""

    def __init__(self, reduction: str = "mean", **options: Any) -> None:
        super().__init__()
        name = type(self).__name__
        check_reduction(name, reduction, self.reductions)
        check(name, self.constraints, options)
        self.reduction = reduction
        for option, value in options.items():
            setattr(self, option, value)

    def _take(self, options: dict[str, Any]) -> None:
        self._options = tuple(options)
        weights = {k: options.pop(k) for k in ("weight", "pos_weight") if k in options}
        Loss.__init__(self, **options)
        for name, value in weights.items():  # buffers, which move with `to`
            self.register_buffer(name, None if value is None else as_tensor(value).detach())

    def _loss(self, *given: Any) -> Tensor:
        return type(self).function(*given, **{k: getattr(self, k) for k in self._options})


class _Compared(Loss):
    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target, of one shape unless the class says otherwise."""
        return self._loss(input, target)


class MSELoss(_Compared):
    """(x - t)²; the shapes must be equal.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.MSELoss()(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """

    target = "values"
    function = F.mse_loss

    @takes_options
    def __init__(self, *, reduction: str = "mean") -> None: ...


class L1Loss(_Compared):
    """|x - t|.

    >>> from chainrule import nn
    >>> nn.L1Loss()([0.5, 2.0], [1.0, 1.0])
    tensor(0.75)
    """

    target = "values"
    function = F.l1_loss

    @takes_options
    def __init__(self, *, reduction: str = "mean") -> None: ...


class SmoothL1Loss(_Compared):
    """(x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta/2.

    >>> from chainrule import nn
    >>> nn.SmoothL1Loss()([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """

    target = "values"
    constraints = {"beta": number(0)}
    function = F.smooth_l1_loss

    @takes_options
    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None: ...


class HuberLoss(_Compared):
    """(x - t)² / 2 where |x - t| ≤ delta, else delta (|x - t| - delta/2).

    >>> from chainrule import nn
    >>> nn.HuberLoss()([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """

    target = "values"
    constraints = {"delta": number(0, brackets="()")}
    function = F.huber_loss

    @takes_options
    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None: ...


class CrossEntropyLoss(_Compared):
    """-Σ_c q_c ln softmax(z)_c of logits z (N, C, ...); q: labels (N, ...) or probabilities.

    Takes logits: no softmax before it. See `nn.functional.cross_entropy`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CrossEntropyLoss()(cr.tensor([[0.0, 0.0], [0.0, 2.0]]), cr.tensor([0, 1]))
    tensor(0.41)
    """

    prediction, target = "logits", "labels"
    constraints = {"ignore_index": optional(integer()), "label_smoothing": number(0, 1)}
    function = F.cross_entropy

    @takes_options
    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int | None = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None: ...


class NLLLoss(_Compared):
    """-z[label] of log-probabilities z (N, C, ...), labels (N, ...); after LogSoftmax.

    >>> from chainrule import nn
    >>> nn.NLLLoss()([[-0.5, -1.0]], [1])
    tensor(1.)
    """

    prediction, target = "log-probabilities", "labels"
    constraints = {"ignore_index": optional(integer())}
    function = F.nll_loss

    @takes_options
    def __init__(
        self, weight: Any = None, *, ignore_index: int | None = -100, reduction: str = "mean"
    ) -> None: ...


class BCELoss(_Compared):
    """-t ln x - (1 - t) ln(1 - x) of probabilities x and targets t in [0, 1].

    >>> from chainrule import nn
    >>> nn.BCELoss()([0.5, 0.75], [1.0, 0.0])
    tensor(1.0397)
    """

    prediction, target = "probabilities", "probabilities"
    function = F.binary_cross_entropy

    @takes_options
    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None: ...


class BCEWithLogitsLoss(_Compared):
    """(1 - t) x + (1 + (w - 1) t) ln(1 + e⁻ˣ) of logits x and targets t in [0, 1].

    The binary cross-entropy of sigmoid(x): no sigmoid before it. ``pos_weight`` w (1 by default, or
    one for each output) weighs the positives; ``weight`` multiplies the loss of each element.

    >>> from chainrule import nn
    >>> nn.BCEWithLogitsLoss()([0.0, 2.0], [1.0, 1.0])
    tensor(0.41)
    """

    prediction, target = "logits", "probabilities"
    function = F.binary_cross_entropy_with_logits

    @takes_options
    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None: ...


class KLDivLoss(_Compared):
    """t (ln t - x) of log-probabilities x; use ``reduction="batchmean"`` for the divergence.

    >>> from chainrule import nn
    >>> nn.KLDivLoss(reduction="batchmean")([[-0.5, -1.0]], [[0.5, 0.5]])
    tensor(0.0569)
    """

    reductions = (*REDUCTIONS, "batchmean")
    function = F.kl_div

    @takes_options
    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None: ...


class PoissonNLLLoss(_Compared):
    """eˣ - t x for the logarithm x of a rate and counts t.

    >>> from chainrule import nn
    >>> nn.PoissonNLLLoss()([0.5, 2.0], [1.0, 1.0])
    tensor(3.2689)
    """

    target = "values"
    constraints = {"eps": number(0, brackets="()")}
    function = F.poisson_nll_loss

    @takes_options
    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None: ...


class GaussianNLLLoss(Loss):
    """(ln v + (x - t)² / v) / 2 for a mean x, a target t and a variance v.

    >>> from chainrule import nn
    >>> nn.GaussianNLLLoss()([0.5, 2.0], [1.0, 1.0], [1.0, 4.0])
    tensor(0.4716)
    """

    constraints = {"eps": number(0, brackets="()")}
    function = F.gaussian_nll_loss

    @takes_options
    def __init__(
        self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
    ) -> None: ...

    def forward(self, input: Any, target: Any, var: Any) -> Tensor:
        """Input and target of one shape; var of that shape, or with 1 or nothing as last axis."""
        return self._loss(input, target, var)


class CosineEmbeddingLoss(Loss):
    """1 - cos(x1, x2) where target = 1, max(0, cos - margin) where it is -1.

    >>> from chainrule import nn
    >>> nn.CosineEmbeddingLoss()([[1.0, 0.0]], [[3.0, 4.0]], [1.0])
    tensor(0.4)
    """

    constraints = {"margin": number()}
    function = F.cosine_embedding_loss

    @takes_options
    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None: ...

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """Inputs (N, D), target (N,) of 1 and -1."""
        return self._loss(input1, input2, target)


class TripletMarginLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)).

    >>> from chainrule import nn
    >>> nn.TripletMarginLoss()([[0.0, 0.0]], [[1.0, 0.0]], [[3.0, 4.0]])
    tensor(0.)
    """

    constraints = {
        "margin": number(0, brackets="()"),
        "p": number(0, brackets="()"),
        "eps": number(0),
    }
    function = F.triplet_margin_loss

    @takes_options
    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None: ...

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """All of one shape (N, D)."""
        return self._loss(anchor, positive, negative)


class TripletMarginWithDistanceLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) with a distance of your own.

    ``distance_function`` takes two tensors (N, D) and gives (N,); the Euclidean one if None.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> steps = lambda a, b: (a - b).abs().sum(-1)
    >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=steps)
    >>> loss(cr.zeros(1, 2), cr.ones(1, 2), 2 * cr.ones(1, 2))
    tensor(0.)
    """

    constraints = {"margin": number(0, brackets="()")}
    function = F.triplet_margin_with_distance_loss

    @takes_options
    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None: ...

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """All of one shape (N, D)."""
        return self._loss(anchor, positive, negative)


class MarginRankingLoss(Loss):
    """max(0, margin - y (x1 - x2)) for y = 1 or -1.

    >>> from chainrule import nn
    >>> nn.MarginRankingLoss()([0.5, 2.0], [1.0, 1.0], [1.0, -1.0])
    tensor(0.75)
    """

    constraints = {"margin": number()}
    function = F.margin_ranking_loss

    @takes_options
    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None: ...

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """All of one shape."""
        return self._loss(input1, input2, target)


class HingeEmbeddingLoss(_Compared):
    """x where target = 1, max(0, margin - x) where it is -1.

    >>> from chainrule import nn
    >>> nn.HingeEmbeddingLoss()([0.5, 0.25], [1.0, -1.0])
    tensor(0.625)
    """

    constraints = {"margin": number()}
    function = F.hinge_embedding_loss

    @takes_options
    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None: ...


class SoftMarginLoss(_Compared):
    """ln(1 + e^(-y x)) for y = 1 or -1.

    >>> from chainrule import nn
    >>> nn.SoftMarginLoss()([0.5, 2.0], [1.0, 1.0])
    tensor(0.3005)
    """

    function = F.soft_margin_loss

    @takes_options
    def __init__(self, *, reduction: str = "mean") -> None: ...


class MultiLabelSoftMarginLoss(_Compared):
    """Binary cross-entropy of logits and targets (N, C) of 0 and 1, averaged over the classes.

    >>> from chainrule import nn
    >>> nn.MultiLabelSoftMarginLoss()([[0.0, 2.0]], [[1.0, 0.0]])
    tensor(1.41)
    """

    function = F.multilabel_soft_margin_loss
    prediction, target = "logits", "probabilities"

    @takes_options
    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None: ...


class MultiMarginLoss(_Compared):
    """Σ_{c ≠ y} max(0, margin - x_y + x_c)^p / C of scores x (N, C), labels y (N,).

    >>> from chainrule import nn
    >>> nn.MultiMarginLoss()([[0.1, 0.9]], [0])
    tensor(0.9)
    """

    target = "labels"
    constraints = {"margin": number()}
    function = F.multi_margin_loss

    @takes_options
    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None: ...


class MultiLabelMarginLoss(_Compared):
    """Σ_j Σ_{i not a label} max(0, 1 - (x_{y_j} - x_i)) / C; labels y (N, C) of a row end with -1.

    >>> from chainrule import nn
    >>> nn.MultiLabelMarginLoss()([0.1, 0.2, 0.4, 0.8], [3, 0, -1, 1])
    tensor(0.85)
    """

    function = F.multilabel_margin_loss

    @takes_options
    def __init__(self, *, reduction: str = "mean") -> None: ...


class CTCLoss(Loss):
    """Connectionist temporal classification (Graves et al., 2006); see `functional.ctc_loss`.

    Takes log probabilities (T, N, C), targets (N, S) or (ΣL,), and the lengths of both.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CTCLoss()(cr.full((3, 1, 2), 0.5).log(), cr.tensor([[1]]), [3], [1])
    tensor(0.2877)
    """

    constraints = {"blank": integer(0)}
    function = F.ctc_loss

    @takes_options
    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None: ...

    def forward(
        self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """log_probs (T, N, C) or (T, C), targets, and how many steps and labels count."""
        return self._loss(log_probs, targets, input_lengths, target_lengths)


FUNCTIONS: dict[Callable[..., Any], type[Loss]] = {
    F.mse_loss: MSELoss,
    F.l1_loss: L1Loss,
    F.cross_entropy: CrossEntropyLoss,
    F.nll_loss: NLLLoss,
    F.binary_cross_entropy: BCELoss,
    F.binary_cross_entropy_with_logits: BCEWithLogitsLoss,
}
"""The losses that functions are, for what must be known of them."""


def module_of(loss: Any) -> Any:
    """The module of a loss function, also of a `functools.partial` of one; others as they are.

    >>> from chainrule.nn import functional as F
    >>> from chainrule.nn.loss import module_of
    >>> module_of(F.cross_entropy).target
    'labels'
    """
    if isinstance(loss, functools.partial) and not loss.args and loss.func in FUNCTIONS:
        kind = FUNCTIONS[loss.func]
        taken = inspect.signature(kind).parameters
        return kind(**{k: v for k, v in loss.keywords.items() if k in taken})
    return FUNCTIONS[loss]() if inspect.isfunction(loss) and loss in FUNCTIONS else loss
