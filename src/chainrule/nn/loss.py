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
from .options import REDUCTIONS, Constraint, check, check_reduction, integer, number, optional


class Loss(Module):
    """Base of the losses: options, and ``reduction`` "none", "mean" or "sum"."""

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
        self.__dict__.update(options)

    def _weight(self, name: str, value: Any) -> None:
        """A tensor of weights, as a buffer that moves with ``to``."""
        self.register_buffer(name, None if value is None else as_tensor(value).detach())


class MSELoss(Loss):
    """(x - t)²; the shapes must be equal.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.MSELoss()(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 4.0]))
    tensor(2.)
    """

    target = "values"

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """|x - t|.

    >>> from chainrule import nn
    >>> nn.L1Loss()([0.5, 2.0], [1.0, 1.0])
    tensor(0.75)
    """

    target = "values"

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """(x - t)² / 2 beta where |x - t| < beta, else |x - t| - beta/2.

    >>> from chainrule import nn
    >>> nn.SmoothL1Loss()([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """

    target = "values"
    constraints = {"beta": number(0)}

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction, beta=beta)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """(x - t)² / 2 where |x - t| ≤ delta, else delta (|x - t| - delta/2).

    >>> from chainrule import nn
    >>> nn.HuberLoss()([0.5, 3.0], [1.0, 1.0])
    tensor(0.8125)
    """

    target = "values"
    constraints = {"delta": number(0, brackets="()")}

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction, delta=delta)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class CrossEntropyLoss(Loss):
    """-Σ_c q_c ln softmax(z)_c of logits (N, C, ...); labels (N, ...), or probabilities (N, C,
    ...).

    Takes logits: no softmax before it. See `nn.functional.cross_entropy`.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CrossEntropyLoss()(cr.tensor([[0.0, 0.0], [0.0, 2.0]]), cr.tensor([0, 1]))
    tensor(0.41)
    """

    prediction, target = "logits", "labels"
    constraints = {"ignore_index": optional(integer()), "label_smoothing": number(0, 1)}

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int | None = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction, ignore_index=ignore_index, label_smoothing=label_smoothing)
        self._weight("weight", weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Logits (N, C, ...), target (N, ...) or (N, C, ...)."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Loss):
    """-z[label] of log-probabilities z (N, C, ...); after LogSoftmax.

    >>> from chainrule import nn
    >>> nn.NLLLoss()([[-0.5, -1.0]], [1])
    tensor(1.)
    """

    prediction, target = "log-probabilities", "labels"
    constraints = {"ignore_index": optional(integer())}

    def __init__(
        self, weight: Any = None, *, ignore_index: int | None = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction, ignore_index=ignore_index)
        self._weight("weight", weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log-probabilities (N, C, ...), labels (N, ...)."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class BCELoss(Loss):
    """-t ln x - (1 - t) ln(1 - x) of probabilities x.

    >>> from chainrule import nn
    >>> nn.BCELoss()([0.5, 0.75], [1.0, 0.0])
    tensor(1.0397)
    """

    prediction, target = "probabilities", "probabilities"

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._weight("weight", weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape, in [0, 1]."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """(1 - t) x + (1 + (w - 1) t) ln(1 + e⁻ˣ) of logits x and targets t in [0, 1].

    The binary cross-entropy of sigmoid(x): no sigmoid before it. ``pos_weight`` w (1 by default, or
    one for each output) weighs the positives; ``weight`` multiplies the loss of each element.

    >>> from chainrule import nn
    >>> nn.BCEWithLogitsLoss()([0.0, 2.0], [1.0, 1.0])
    tensor(0.41)
    """

    prediction, target = "logits", "probabilities"

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(reduction)
        self._weight("weight", weight)
        self._weight("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Logits and targets of one shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Loss):
    """t (ln t - x) of log-probabilities x; use ``reduction="batchmean"`` for the divergence.

    >>> from chainrule import nn
    >>> nn.KLDivLoss(reduction="batchmean")([[-0.5, -1.0]], [[0.5, 0.5]])
    tensor(0.0569)
    """

    reductions = (*REDUCTIONS, "batchmean")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction, log_target=log_target)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(Loss):
    """eˣ - t x for the logarithm x of a rate and counts t.

    >>> from chainrule import nn
    >>> nn.PoissonNLLLoss()([0.5, 2.0], [1.0, 1.0])
    tensor(3.2689)
    """

    target = "values"
    constraints = {"eps": number(0, brackets="()")}

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, log_input=log_input, full=full, eps=eps)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.poisson_nll_loss(
            input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(Loss):
    """(ln v + (x - t)² / v) / 2 for a mean x, a target t and a variance v.

    >>> from chainrule import nn
    >>> nn.GaussianNLLLoss()([0.5, 2.0], [1.0, 1.0], [1.0, 4.0])
    tensor(0.4716)
    """

    constraints = {"eps": number(0, brackets="()")}

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction, full=full, eps=eps)

    def forward(self, input: Any, target: Any, var: Any) -> Tensor:
        """Input and target of one shape; var of that shape, or with 1 or nothing as last axis."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class CosineEmbeddingLoss(Loss):
    """1 - cos(x1, x2) where target = 1, max(0, cos - margin) where it is -1.

    >>> from chainrule import nn
    >>> nn.CosineEmbeddingLoss()([[1.0, 0.0]], [[3.0, 4.0]], [1.0])
    tensor(0.4)
    """

    constraints = {"margin": number()}

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """Inputs (N, D), target (N,) of 1 and -1."""
        return F.cosine_embedding_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )


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

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, margin=margin, p=p, eps=eps, swap=swap)

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """All of one shape (N, D)."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            reduction=self.reduction,
        )


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

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction, margin=margin, swap=swap)
        self.distance_function = distance_function

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """All of one shape (N, D)."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class MarginRankingLoss(Loss):
    """max(0, margin - y (x1 - x2)) for y = 1 or -1.

    >>> from chainrule import nn
    >>> nn.MarginRankingLoss()([0.5, 2.0], [1.0, 1.0], [1.0, -1.0])
    tensor(0.75)
    """

    constraints = {"margin": number()}

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """All of one shape."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(Loss):
    """x where target = 1, max(0, margin - x) where it is -1.

    >>> from chainrule import nn
    >>> nn.HingeEmbeddingLoss()([0.5, 0.25], [1.0, -1.0])
    tensor(0.625)
    """

    constraints = {"margin": number()}

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction, margin=margin)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(Loss):
    """ln(1 + e^(-y x)) for y = 1 or -1.

    >>> from chainrule import nn
    >>> nn.SoftMarginLoss()([0.5, 2.0], [1.0, 1.0])
    tensor(0.3005)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Input and target of one shape."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """Binary cross-entropy of logits (N, C), averaged over the classes.

    >>> from chainrule import nn
    >>> nn.MultiLabelSoftMarginLoss()([[0.0, 2.0]], [[1.0, 0.0]])
    tensor(1.41)
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self._weight("weight", weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Logits and targets (N, C) of 0 and 1."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiMarginLoss(Loss):
    """Σ_{c ≠ y} max(0, margin - x_y + x_c)^p / C.

    >>> from chainrule import nn
    >>> nn.MultiMarginLoss()([[0.1, 0.9]], [0])
    tensor(0.9)
    """

    target = "labels"
    constraints = {"margin": number()}

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction, p=p, margin=margin)
        self._weight("weight", weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores (N, C), labels (N,)."""
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(Loss):
    """Σ_j Σ_{i not a label} max(0, 1 - (x_{y_j} - x_i)) / C; labels of a row end with -1.

    >>> from chainrule import nn
    >>> nn.MultiLabelMarginLoss()([0.1, 0.2, 0.4, 0.8], [3, 0, -1, 1])
    tensor(0.85)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores and labels (N, C)."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class CTCLoss(Loss):
    """Connectionist temporal classification (Graves et al., 2006); see `functional.ctc_loss`.

    Takes log probabilities (T, N, C), targets (N, S) or (ΣL,), and the lengths of both.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nn.CTCLoss()(cr.full((3, 1, 2), 0.5).log(), cr.tensor([[1]]), [3], [1])
    tensor(0.2877)
    """

    constraints = {"blank": integer(0)}

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction, blank=blank, zero_infinity=bool(zero_infinity))

    def forward(
        self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        """log_probs (T, N, C) or (T, C), targets, and how many steps and labels count."""
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


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
