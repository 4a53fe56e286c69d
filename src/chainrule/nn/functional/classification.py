"""Classifiers' losses: cross-entropy, negative log-likelihood, binary cross-entropy, divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DTypeError, OptionError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.axes import keep
from ...tensor.ops.elementwise import select
from ...tensor.ops.operands import broadcast_shapes
from ...tensor.ranges import check_known, check_later
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, check_reduction, number, used
from .activations import require_float, softplus_node
from .known import known_values
from .numbers import full
from .targets import check_finite, check_labels, check_range, label_numbers, same_shape


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The loss of each element, their mean, or their sum."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def times(factor: Node, x: Node) -> Node:
    """factor · x, where 0 · ±∞ is 0: what counts nothing adds nothing, however wrong it is.

    As p ln p is 0 at p = 0. The infinity is taken out before the product, so gradients of both are
    finite there as well. 0 · NaN stays NaN.
    """
    nothing = g.and_(g.eq(factor, full(factor, 0)), g.eq(g.abs(x), full(x, math.inf)))
    return g.mul(factor, g.where(nothing, g.zeros_like(x), x))


def weighed(loss: Tensor, weight: Tensor) -> Tensor:
    """loss · weight of equal shapes; 0 where the weight is 0 and the loss infinite."""
    shape = broadcast_shapes(loss.shape, weight.shape, name="weight")
    w = g.expand(g.cast(use(weight), loss.dtype), shape)
    return make(times(w, g.expand(use(loss), shape)), loss, weight)


def mean_over(total: Node, count: Node) -> Node:
    """total / count; 0, with gradient 0, where nothing counts."""
    some = g.ne(count, full(count, 0))
    return g.div(
        g.where(some, total, g.zeros_like(total)), g.where(some, count, g.ones_like(count))
    )


def _class_weights(name: str, weight: Any, classes: int, like: Tensor) -> Node | None:
    if weight is None:
        return None
    w = as_tensor(weight)
    if w.shape != (classes,):
        raise ShapeError(
            f"{name}: weight has one entry per class, ({classes},), got shape {w.shape}"
        )
    return g.stop_gradient(g.cast(w.node, like.dtype))


def _log_sum_exp(x: Node, axis: int) -> tuple[Node, Node]:
    """x - max x, and ln Σ exp(x - max x), along ``axis``. Its gradient is softmax(x)."""
    m = g.stop_gradient(g.reduce_max(x, [axis]))
    m = g.where(g.lt(g.abs(m), full(m, math.inf)), m, g.zeros_like(m))
    shifted = g.sub(x, g.broadcast(keep(m, x, [axis]), x.shape))
    return shifted, g.log(g.sum(g.exp(shifted), [axis]))


def _picked(x: Node, label: Node, axis: int) -> Node:
    """x[label] along ``axis`` by comparison, no gather: gradient and loss are one pass over x."""
    wide = g.broadcast(keep(label, x, [axis]), x.shape)
    return g.sum(g.where(g.eq(g.iota(x.shape, axis, dt.int32), wide), x, g.zeros_like(x)), [axis])


def label_weights(
    label: Node, weight: Node | None, ignore_index: int | None, dtype: Any
) -> Node | None:
    """How much each label counts in a mean: its class's weight, 0 if it is ignored. None: all 1."""
    if ignore_index is None:
        return None if weight is None else g.gather(weight, label)
    counted = g.ne(label, full(label, ignore_index))
    if weight is None:
        ones = g.full(label.shape, 1, dtype)
    else:
        ones = g.gather(weight, g.where(counted, label, g.zeros_like(label)))
    return g.where(counted, ones, g.zeros_like(ones))


def counted_labels(
    target: Tensor, weight: Any, ignore_index: int | None, like: Tensor
) -> Tensor | None:
    """`label_weights` of a target, as the losses of predictions ``like`` take them."""
    w = None if weight is None else _class_weights("weight", weight, like.shape[1], like)
    found = label_weights(g.cast(target.node, dt.int32), w, ignore_index, like.dtype)
    return None if found is None else make(found)


def _over_rows(
    rows: Node,
    label: Node,
    classes: int,
    weight: Node | None,
    ignore_index: int | None,
    reduction: str,
) -> Node:
    """Reduce the loss of each row; ignored rows count 0, the mean divides by the others' weights.

    A label outside the classes makes its row NaN (it is refused as well: before, or in compiled
    functions when they have run).
    """
    inside = g.and_(g.le(full(label, 0), label), g.lt(label, full(label, classes)))
    rows = g.where(inside, rows, full(rows, math.nan))
    w = label_weights(label, weight, ignore_index, rows.dtype)
    if ignore_index is not None:
        rows = g.where(g.ne(label, full(label, ignore_index)), rows, g.zeros_like(rows))
    if reduction == "none":
        return rows
    total = g.sum(rows, range(rows.ndim))
    if reduction == "sum":
        return total
    if w is None:
        return g.div(total, full(total, rows.size))
    return mean_over(total, g.sum(w, range(rows.ndim)))


def _rows(name: str, x: Any) -> tuple[Tensor, int]:
    """The input as a float tensor, and its class axis."""
    x = require_float(name, as_tensor(x))
    if x.ndim == 0:
        raise ShapeError(
            f"{name} expects an input (classes,) or (batch, classes, ...), got a scalar"
        )
    return x, min(x.ndim - 1, 1)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int | None = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-Σ_c q_c ln softmax(z)_c for logits z (N, C, ...), q the one-hot of a label or probabilities.

    ``target``: integer labels (N, ...), or probabilities (N, C, ...) as floats. ``weight`` (C,)
    weighs the classes, and the mean divides by the sum of the weights of the rows. Rows with the
    label ``ignore_index`` do not count; where none counts the mean is 0, and so is its gradient
    (PyTorch: NaN). A class of target or weight 0 adds nothing, also where its logit is -∞ (masked).
    ``label_smoothing`` ε: q becomes (1 - ε) q + ε / C.
    Raises DataError for a label outside the classes, DTypeError and ShapeError for other targets.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.cross_entropy(cr.tensor([[0.0, 0.0], [0.0, 2.0]]), cr.tensor([0, 1]))
    tensor(0.41)
    """
    name = "cross_entropy"
    check_reduction(name, reduction)
    check(name, {"label_smoothing": number(0, 1)}, {"label_smoothing": label_smoothing})
    x, axis = _rows(name, input)
    target = as_tensor(target)
    classes = x.shape[axis]
    w = _class_weights(name, weight, classes, x)
    if dt.is_float(target.dtype) and target.shape == x.shape:
        return _soft_cross_entropy(x, target, axis, w, reduction, label_smoothing)
    check_labels(name, x, target, ignore_index)
    label = label_numbers(target.node)
    shifted, log_sum = _log_sum_exp(use(x), axis)
    rows = g.sub(log_sum, _picked(shifted, label, axis))
    if w is not None:
        rows = times(_row_weight(w, label, classes), rows)
    if used(label_smoothing):
        # ε/C Σ_c w_c (ln Σ e^z - z_c), a second term beside the label's own.
        by_class = g.ones_like(shifted) if w is None else _along(w, shifted, axis)
        spread = times(
            by_class, g.sub(g.broadcast(keep(log_sum, shifted, [axis]), shifted.shape), shifted)
        )
        smooth = g.mul(g.sum(spread, [axis]), full(rows, label_smoothing / classes))
        rows = g.add(times(full(rows, 1 - label_smoothing), rows), smooth)
    return make(_over_rows(rows, label, classes, w, ignore_index, reduction), x)


def _row_weight(w: Node, label: Node, classes: int) -> Node:
    """w[label]; of a label that is no class (ignored, or NaN later) that of the nearest class."""
    inside = g.min(g.max(label, full(label, 0)), full(label, classes - 1))
    return g.gather(w, inside)


def _along(w: Node, like: Node, axis: int) -> Node:
    return g.expand(g.reshape(w, (w.shape[0], *[1] * (like.ndim - axis - 1))), like.shape)


def _soft_cross_entropy(
    x: Tensor, target: Tensor, axis: int, weight: Node | None, reduction: str, smoothing: float
) -> Tensor:
    check_finite("cross_entropy", target)
    q = use(target, x.dtype)
    if used(smoothing):
        q = g.add(g.mul(q, full(q, 1 - smoothing)), full(q, smoothing / x.shape[axis]))
    if weight is not None:
        q = g.mul(q, _along(weight, q, axis))
    shifted, log_sum = _log_sum_exp(use(x), axis)
    spread = g.sub(g.broadcast(keep(log_sum, shifted, [axis]), shifted.shape), shifted)
    rows = g.sum(times(q, spread), [axis])
    return reduced(make(rows, x, target), reduction)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int | None = -100,
    reduction: str = "mean",
) -> Tensor:
    """-z[label] for log-probabilities z (N, C, ...), labels (N, ...); as `cross_entropy`.

    >>> from chainrule.nn import functional as F
    >>> F.nll_loss([[-0.5, -1.0]], [1])
    tensor(1.)
    """
    check_reduction("nll_loss", reduction)
    x, axis = _rows("nll_loss", input)
    target = as_tensor(target)
    classes = x.shape[axis]
    w = _class_weights("nll_loss", weight, classes, x)
    check_labels("nll_loss", x, target, ignore_index)
    label = label_numbers(target.node)
    rows = g.neg(_picked(use(x), label, axis))
    rows = rows if w is None else times(_row_weight(w, label, classes), rows)
    return make(_over_rows(rows, label, classes, w, ignore_index, reduction), x)


# -- two classes -----------------------------------------------------------------------------------
def _binary_target(name: str, x: Tensor, target: Any) -> Tensor:
    t: Tensor = as_tensor(target)
    same_shape(name, x, t)
    check_finite(name, t)
    return t.to(x.dtype)


def _bce_rule(grad: Node, y: Node, x: Node, t: Node) -> list[Node | None]:
    """x̄ = g (x - t) / max(x (1 - x), 1e-12), t̄ = g (ln(1 - x) - ln x), as PyTorch bounds them."""
    one = full(x, 1)
    spread = g.max(g.mul(x, g.sub(one, x)), full(x, 1e-12))
    odds = g.sub(_bounded_log(g.sub(one, x)), _bounded_log(x))
    return [g.div(g.mul(grad, g.sub(x, t)), spread), g.mul(grad, odds)]


def _bounded_log(x: Node) -> Node:
    return g.max(g.log(x), full(x, -100))


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """-t ln x - (1 - t) ln(1 - x) for probabilities x, targets t in [0, 1]; logarithms end at -100.

    ``weight`` multiplies the loss of each element. Raises DataError if x or t leave [0, 1].

    >>> from chainrule.nn import functional as F
    >>> F.binary_cross_entropy([0.5, 0.75], [1.0, 0.0])
    tensor(1.0397)
    """
    name = "binary_cross_entropy"
    check_reduction(name, reduction)
    x = require_float(name, as_tensor(input))
    t = _binary_target(name, x, target)
    hint = "for logits use binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss)"
    check_range(name, x, 0, 1, "input", hint)
    check_range(name, t, 0, 1, "target", "targets are 0, 1 or a probability")
    p, q = use(x), use(t)
    one = full(p, 1)
    y = g.neg(g.add(g.mul(q, _bounded_log(p)), g.mul(g.sub(one, q), _bounded_log(g.sub(one, p)))))
    loss = make(g.custom_vjp(y, [p, q], _bce_rule), x, t)
    return reduced(loss if weight is None else weighed(loss, as_tensor(weight)), reduction)


def _bce_logits_rule(grad: Node, y: Node, x: Node, t: Node, w: Node) -> list[Node | None]:
    """x̄ = g ((w t + 1 - t) σ(x) - w t), t̄ = g ((w - 1) ln(1 + e⁻ˣ) - x)."""
    one, wt = full(x, 1), g.mul(w, t)
    slope = g.sub(g.mul(g.sub(g.add(wt, one), t), g.sigmoid(x)), wt)
    by_target = g.sub(g.mul(g.sub(w, one), softplus_node(g.neg(x))), x)
    return [g.mul(grad, slope), times(grad, by_target), None]


def _plain_bce_logits_rule(grad: Node, y: Node, x: Node, t: Node) -> list[Node | None]:
    """x̄ = g (σ(x) - t), t̄ = -g x."""
    return [g.mul(grad, g.sub(g.sigmoid(x), t)), g.neg(times(grad, x))]


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """(1 - t) x + (1 + (w - 1) t) ln(1 + e⁻ˣ) for logits x, targets t, w the weight of positives.

    ``weight`` multiplies the loss of each element; ``pos_weight`` is broadcast to the input.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.binary_cross_entropy_with_logits(cr.tensor([0.0, 2.0]), cr.tensor([1.0, 1.0]))
    tensor(0.41)
    """
    name = "binary_cross_entropy_with_logits"
    check_reduction(name, reduction)
    x = require_float(name, as_tensor(input))
    t = _binary_target(name, x, target)
    z, q = use(x), use(t)
    one = full(z, 1)
    # As f |x| + (1 + (w - 1) t) ln(1 + e^-|x|), with f = 1 - t where x > 0 and w t elsewhere: only
    # |x| can be infinite, and on the right side f is 0, so the term is. NaN stays in the logarithm.
    size, none = g.abs(z), g.zeros_like(z)
    log = g.log1p(g.exp(g.neg(size)))
    w = None
    if pos_weight is not None:
        w = g.expand(g.stop_gradient(g.cast(as_tensor(pos_weight).node, x.dtype)), z.shape)
    wrong = g.where(g.lt(none, z), g.sub(one, q), q if w is None else g.mul(w, q))
    y = g.where(g.eq(wrong, none), none, g.mul(wrong, size))
    if w is None:
        y = g.custom_vjp(g.add(y, log), [z, q], _plain_bce_logits_rule)
    else:
        factor = g.add(one, g.mul(g.sub(w, one), q))
        y = g.custom_vjp(g.add(y, g.mul(factor, log)), [z, q, w], _bce_logits_rule)
    loss = make(y, x, t)
    return reduced(loss if weight is None else weighed(loss, as_tensor(weight)), reduction)


# -- distributions ---------------------------------------------------------------------------------
def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (ln t - x) for log-probabilities x and probabilities t (logarithms with ``log_target``).

    ``reduction="batchmean"`` divides the sum by the batch: the divergence itself.

    >>> from chainrule.nn import functional as F
    >>> F.kl_div([[-0.5, -1.0]], [[0.5, 0.5]], reduction="batchmean")
    tensor(0.0569)
    """
    check_reduction("kl_div", reduction, ("none", "mean", "sum", "batchmean"))
    x = require_float("kl_div", as_tensor(input))
    target = as_tensor(target)
    same_shape("kl_div", x, target)
    t = target.to(x.dtype)
    if log_target:
        p = e.exp(t)
        difference = t - select((p == 0) & (abs(x) == math.inf), 0.0, x)  # -∞ + ∞ would be NaN
        loss = weighed(difference, p)
    else:
        check_finite("kl_div", target)
        positive = select(t == 0, 1.0, t)  # 0 ln 0 = 0
        loss = select(t == 0, 0.0, t * e.log(positive)) - weighed(x, t)
    if reduction == "batchmean":
        return e.divide(loss.sum(), x.shape[0] if x.ndim else 1)
    return reduced(loss, reduction)


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of binary cross-entropy of logits x (N, C), targets t (N, C).

    >>> from chainrule.nn import functional as F
    >>> F.multilabel_soft_margin_loss([[0.0, 2.0]], [[1.0, 0.0]])
    tensor(1.41)
    """
    check_reduction("multilabel_soft_margin_loss", reduction)
    loss = binary_cross_entropy_with_logits(input, target, reduction="none")
    if weight is not None:
        loss = weighed(loss, as_tensor(weight))
    return reduced(loss.mean(axis=-1), reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Σ_{c ≠ y} max(0, margin - x_y + x_c)^p / C for scores x (N, C) and labels y (N,).

    >>> from chainrule.nn import functional as F
    >>> F.multi_margin_loss([[0.1, 0.9]], [0])
    tensor(0.9)
    """
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise OptionError(f"multi_margin_loss: p must be 1 or 2, got {p!r}")
    x, axis = _rows("multi_margin_loss", input)
    if x.ndim > 2:
        raise ShapeError(f"multi_margin_loss expects an input (batch, classes), got {x.shape}")
    target = as_tensor(target)
    check_labels("multi_margin_loss", x, target, None)
    classes = x.shape[axis]
    label = label_numbers(target.node)
    own = make(_picked(use(x), label, axis), x).unsqueeze(axis)
    others = make(g.iota(x.shape, axis, dt.int32)) != make(label).unsqueeze(axis)
    from_margin = margin - own + x
    loss = select(others & (from_margin > 0), from_margin, 0.0)
    loss = loss if p == 1 else loss * loss
    w = _class_weights("multi_margin_loss", weight, classes, x)
    rows = loss.sum(axis=axis) / classes
    if w is not None:
        rows = weighed(rows, make(_row_weight(w, label, classes)))
    return reduced(rows, reduction)


def _check_listed(name: str, target: Tensor, classes: int) -> None:
    """Labels that are listed and ended by -1 are classes."""
    text = f"{name}: label {{}}, but the input has {classes} classes (0 … {classes - 1})"
    known = known_values(target)
    if known is None:
        check_later(target.node, np.iinfo(np.int64).min, classes, text)
    else:
        check_known(known, np.iinfo(np.int64).min, classes, text)


def multilabel_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """Σ_j Σ_{i not a label} max(0, 1 - (x_{y_j} - x_i)) / C for scores x (N, C).

    ``target`` (N, C): the labels of each row, ended by -1.

    >>> from chainrule.nn import functional as F
    >>> F.multilabel_margin_loss([0.1, 0.2, 0.4, 0.8], [3, 0, -1, 1])
    tensor(0.85)
    """
    name = "multilabel_margin_loss"
    check_reduction(name, reduction)
    x = require_float(name, as_tensor(input))
    target = as_tensor(target)
    if not dt.is_integer(target.dtype):
        raise DTypeError(f"{name}: labels are integers, got {target.dtype}")
    same_shape(name, x, target)
    classes = x.shape[-1]
    _check_listed(name, target, x.shape[-1])
    valid = (target < 0).to(dt.int32).cumsum(axis=-1) == 0  # before the first -1
    every = make(g.iota((classes,), 0, dt.int64))
    hot = (target.long().unsqueeze(-1) == every) & valid.unsqueeze(-1)  # (..., j, c)
    is_label = hot.any(axis=-2)
    picked = select(hot, x.unsqueeze(-2), 0.0).sum(axis=-1)  # (..., j): x[y_j]
    gap = 1.0 - picked.unsqueeze(-1) + x.unsqueeze(-2)
    counts = valid.unsqueeze(-1) & ~is_label.unsqueeze(-2) & (gap > 0)
    return reduced(select(counts, gap, 0.0).sum(axis=(-2, -1)) / classes, reduction)
