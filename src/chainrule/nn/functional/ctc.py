"""Connectionist temporal classification: a sequence of labels without their times.

Letters: T steps, N sequences, C classes with the blank, S labels of the longest target.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...errors import DataError, DTypeError, ShapeError
from ...tensor.ops import elementwise as e
from ...tensor.ops.create import arange, full, zeros
from ...tensor.ops.elementwise import select
from ...tensor.ops.indexing.gathering import take, take_along_axis
from ...tensor.ops.joining import concatenate, stack
from ...tensor.ops.reductions.cumulative import cumsum
from ...tensor.ops.shape import broadcast_to
from ...tensor.ranges import check_later
from ...tensor.tensor import Tensor
from ...tensor.transform.loops import scan
from ...tensor.value import as_tensor, make, use
from ..options import check, check_reduction, integer
from .known import known_values


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log p(labels | log_probs), summed over all ways to place them in time.

        α_t(s) = log p_t(l'_s) + log Σ exp of α_{t-1}(s), (s-1), and (s-2) where labels may meet
        loss   = -log (exp α_T(2L) + exp α_T(2L-1)),    l' = ∅ l_1 ∅ l_2 … l_L ∅

    log_probs (T, N, C), or (T, C) for one sequence; targets (N, S) padded, or all in one row
    (ΣL,); both lengths (N,). Labels are not ``blank`` and below C. "mean": each loss is divided by
    its number of labels, then the mean over N. A target that does not fit into its steps has the
    loss inf, or 0 with ``zero_infinity``, and no gradient. (Graves et al., 2006.)

    The gradient is that of the formula by log_probs. PyTorch's own adds exp(log_probs) to it, which
    changes nothing behind a log_softmax.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> even = cr.full((3, 1, 2), 0.5).log()  # 6 of the 8 paths of ∅ and 1 collapse to "1"
    >>> F.ctc_loss(even, cr.tensor([[1]]), [3], [1]).exp().item().__round__(4)
    1.3333
    """
    check_reduction("ctc_loss", reduction)
    x = as_tensor(log_probs)
    if x.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss expects log_probs (T, N, C) or (T, C), got {x.shape}")
    if not dt.is_float(x.dtype):
        raise DTypeError(f"ctc_loss expects float log_probs, got {x.dtype}")
    single = x.ndim == 2
    x = x.unsqueeze(1) if single else x
    check("ctc_loss", {"blank": integer(0, x.shape[2] - 1)}, {"blank": blank})
    steps = _lengths("input_lengths", input_lengths, x.shape[1], x.shape[0], "steps of log_probs")
    labels, counts = _padded_targets(targets, target_lengths, x.shape[1], single)
    _check_labels(labels, counts, blank, x.shape[2])
    losses = -_log_likelihood(x, labels, steps, counts, blank)
    if zero_infinity:
        losses = select(losses == math.inf, zeros((), dtype=x.dtype), losses)
    if reduction == "none":
        return losses.squeeze(0) if single else losses
    if reduction == "sum":
        return losses.sum()
    return (losses / e.maximum(counts, 1).to(x.dtype)).mean()


def _log_likelihood(x: Tensor, labels: Tensor, steps: Tensor, counts: Tensor, blank: int) -> Tensor:
    """(N,): the log of the sum over all paths."""
    length, rows, _ = x.shape
    spots = 2 * labels.shape[1] + 1  # of l'
    at = arange(spots)
    used = arange(labels.shape[1]) < counts.unsqueeze(1)  # (N, S)
    inner = select(used, labels, full((), blank, dtype=labels.dtype))
    blanks = full((rows, labels.shape[1]), blank, dtype=labels.dtype)
    pairs = stack([blanks, inner], 2).reshape(rows, spots - 1)
    extended = concatenate([pairs, blanks[:, :1] if labels.shape[1] else _column(rows, blank)], 1)
    may_skip = concatenate(
        [zeros((rows, min(2, spots)), dtype="bool"), extended[:, 2:] != extended[:, :-2]], 1
    )
    may_skip = may_skip & (at % 2 == 1)  # a label, and another one than the last
    index = broadcast_to(extended, (length, rows, spots))
    emitted = take_along_axis(x, index, 2)  # (T, N, 2S + 1)
    alive = arange(length).unsqueeze(1) < steps  # (T, N)
    never = full((), -math.inf, dtype=x.dtype)
    first = broadcast_to(select(at == 0, zeros((), dtype=x.dtype), never), (rows, spots))

    def step(carry: Any, now: Any) -> tuple[Any, None]:
        before, total = (
            carry  # α less its largest, which is summed up apart: nothing is rounded off
        )
        log_p, alive = now
        ways = [before, _moved(before, 1), select(may_skip, _moved(before, 2), never)]
        new = log_p + _log_sum(ways)
        top = _largest([new]).max(1, keepdims=True)
        top = make(g.stop_gradient(use(top)))
        top = select(top == -math.inf, zeros((), dtype=x.dtype), top)
        wide = alive.unsqueeze(1)
        kept = select(wide, new - top, before)
        return (kept, total + select(wide, top, zeros((), dtype=x.dtype))), None

    zero = zeros((rows, 1), dtype=x.dtype)
    (alpha, total), _ = scan(step, (first, zero), (emitted, alive))
    last = 2 * counts.unsqueeze(1)
    ends = [take_along_axis(alpha, last, 1)]
    behind = take_along_axis(alpha, e.maximum(last - 1, 0), 1)
    ends.append(select(last > 0, behind, never))
    found: Tensor = (_log_sum(ends) + total).squeeze(1)
    return found


def _column(rows: int, value: int) -> Tensor:
    return full((rows, 1), value, dtype="int64")


def _moved(x: Tensor, by: int) -> Tensor:
    """x[..., s - by], -inf in front."""
    by = min(by, x.shape[1])
    front = full((x.shape[0], by), -math.inf, dtype=x.dtype)
    return concatenate([front, x[:, : x.shape[1] - by]], 1)


def _largest(xs: list[Tensor]) -> Tensor:
    top = xs[0]
    for x in xs[1:]:
        top = e.maximum(top, x)
    return make(g.stop_gradient(use(top)))


def _log_sum(xs: list[Tensor]) -> Tensor:
    """log Σ exp, elementwise; -inf, without a gradient, where all are -inf."""
    top = _largest(xs)
    zero, one = zeros((), dtype=top.dtype), full((), 1, dtype=top.dtype)
    possible = top > -math.inf
    top = select(possible, top, zero)
    total = e.exp(xs[0] - top)
    for x in xs[1:]:
        total = total + e.exp(x - top)
    return select(
        possible,
        top + e.log(select(possible, total, one)),
        full((), -math.inf, dtype=top.dtype),
    )


# -- checks ----------------------------------------------------------------------------------------
def _lengths(name: str, given: Any, rows: int, most: int, what: str) -> Tensor:
    lengths = as_tensor(given)
    lengths = lengths.reshape(1) if lengths.ndim == 0 else lengths
    if not dt.is_integer(lengths.dtype):
        raise DTypeError(f"ctc_loss: {name} must be integers, got {lengths.dtype}")
    if lengths.shape != (rows,):
        raise ShapeError(
            f"ctc_loss: {name} has shape {lengths.shape}, log_probs have N={rows} sequences: "
            f"expected ({rows},)"
        )
    known = known_values(lengths)
    if known is not None:
        outside = np.flatnonzero((known < 0) | (known > most))
        if outside.size:
            at = int(outside[0])
            raise DataError(
                f"ctc_loss: {name}[{at}] = {known[at]} is not in 0 … {most}, the {what}"
            )
    else:
        wrong = f"{{}} in {name} is not in 0 … {most}, the {what}"
        check_later(lengths.node, 0, most + 1, f"ctc_loss: {wrong}")
    return lengths.to("int64")


def _padded_targets(targets: Any, lengths: Any, rows: int, single: bool) -> tuple[Tensor, Tensor]:
    """Labels (N, S) and their numbers (N,)."""
    labels = as_tensor(targets)
    if not dt.is_integer(labels.dtype):
        raise DTypeError(
            f"ctc_loss: targets are integer labels, got {labels.dtype}; convert them with .long()"
        )
    labels = labels.to("int64")
    if single and labels.ndim == 1:
        labels = labels.unsqueeze(0)
    if labels.ndim == 2:
        if labels.shape[0] != rows:
            raise ShapeError(
                f"ctc_loss: targets {labels.shape} have {labels.shape[0]} sequences, log_probs "
                f"have {rows}; padded targets are (N, S), all in one row (sum of target_lengths,)"
            )
        return labels, _lengths(
            "target_lengths", lengths, rows, labels.shape[1], "labels of the padded targets"
        )
    if labels.ndim != 1:
        raise ShapeError(f"ctc_loss expects targets (N, S) or one row, got {labels.shape}")
    number = labels.shape[0]
    counts = _lengths("target_lengths", lengths, rows, number, "labels in targets")
    known = known_values(counts)
    if known is not None and int(known.sum()) != number:
        raise ShapeError(
            f"ctc_loss: target_lengths sum to {int(known.sum())}, targets have {number} labels"
        )
    longest = number if known is None else int(known.max(initial=0))
    start = cumsum(counts, 0) - counts
    index = e.minimum(start.unsqueeze(1) + arange(longest), max(number - 1, 0))
    if not number:
        return zeros((rows, 0), dtype="int64"), counts
    return take(labels, index.reshape(rows * longest), 0).reshape(rows, longest), counts


def _check_labels(labels: Tensor, counts: Tensor, blank: int, classes: int) -> None:
    known, numbers = known_values(labels), known_values(counts)
    if known is None or numbers is None:
        return
    used = np.arange(known.shape[1]) < numbers[:, None]
    wrong = used & ((known < 0) | (known >= classes) | (known == blank))
    if wrong.any():
        row, at = (int(i) for i in np.argwhere(wrong)[0])
        label = int(known[row, at])
        why = "the blank" if label == blank else f"not in 0 … {classes - 1}"
        hint = (
            "labels of the targets are the other classes"
            if label == blank
            else ("log_probs have too few classes, or padding lies within target_lengths")
        )
        raise DataError(
            f"ctc_loss: label {label} at position {at} of target {row} is {why}; {hint}"
        )
