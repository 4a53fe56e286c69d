"""Look-up of rows of a table, one by one and in bags."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import DataError, DTypeError, OptionError, OutOfRangeError, ShapeError
from ...tensor.grad_mode import no_grad
from ...tensor.ops import elementwise as e
from ...tensor.ops.elementwise import select
from ...tensor.ops.indexing.gathering import one_hot as build_one_hot
from ...tensor.ops.reductions.norm import norm
from ...tensor.ranges import check_later
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, choice, number, optional
from .known import known_values

_OPTIONS = {
    "max_norm": optional(number(0, brackets="()")),
    "norm_type": number(0, brackets="(]"),
    "mode": choice("sum", "mean", "max"),
}


def check_embedding(name: str, sparse: bool, **options: Any) -> None:
    """Raise OptionError for a wrong option of an embedding."""
    check(name, _OPTIONS, options)
    if sparse:
        raise OptionError(
            f"{name}: sparse=True is not possible, gradients are dense here; leave it out"
        )


def embedding(
    index: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[index]: index (...) of integers below V, weight (V, D); result (..., D).

    Row ``padding_idx`` gets no gradient. ``max_norm``: rows that are looked up and have a larger
    ``norm_type`` norm are first made that short, in place. ``scale_grad_by_freq`` divides the
    gradient of a row by how often it is looked up. Raises DTypeError for indices that are no
    integers, OutOfRangeError for an index outside the table.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.embedding(cr.tensor([1, 0]), cr.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    check_embedding("embedding", sparse, max_norm=max_norm, norm_type=norm_type)
    index, weight = as_tensor(index), as_tensor(weight)
    _check_index("embedding", index, weight)
    counts = None
    if max_norm is not None or scale_grad_by_freq:
        zeros = g.full((weight.shape[0],), 0, weight.dtype)
        ones = g.full(index.shape, 1, weight.dtype)
        counts = g.scatter_add(zeros, index.node, ones)
        if max_norm is not None:
            _shorten(weight, make(counts), max_norm, norm_type)
    found = g.gather(use(weight), index.node)
    if counts is not None and scale_grad_by_freq:
        often = g.reshape(g.gather(counts, index.node), (*index.shape, 1))
        found = g.custom_vjp(found, [found, g.broadcast(often, found.shape)], _by_frequency)
    row = None if padding_idx is None else padding_idx % weight.shape[0]
    if row is not None and weight.requires_grad and row <= np.iinfo(index.dtype).max:
        padded = g.eq(index.node, g.full(index.shape, row, index.dtype))
        wide = g.broadcast(g.reshape(padded, (*index.shape, 1)), found.shape)
        found = g.where(wide, g.stop_gradient(found), found)
    return make(found, weight)


def _by_frequency(grad: Node, y: Node, x: Node, often: Node) -> list[Node | None]:
    """x̄ = g / how often its row is looked up."""
    return [g.div(grad, often), None]


def _check_index(name: str, index: Tensor, weight: Tensor) -> None:
    if not dt.is_integer(index.dtype):
        raise DTypeError(
            f"{name} expects integer indices, got {index.dtype}; convert them with .long()"
        )
    if weight.ndim != 2:
        raise ShapeError(f"{name} expects a table (rows, features), got {weight.shape}")
    rows = weight.shape[0]
    known = known_values(index)
    if known is None:
        text = f"{name}: index {{}} is outside the table of {rows} rows (0 … {rows - 1})"
        check_later(index.node, 0, rows, text)
    elif known.size and (known.min() < 0 or known.max() >= rows):
        wrong = int(known.min()) if known.min() < 0 else int(known.max())
        at = tuple(int(i) for i in np.argwhere(known == wrong)[0])
        error = OutOfRangeError(
            f"{name}: index {wrong} at position {at} is outside the table of {rows} rows (0 … "
            f"{rows - 1})"
        )
        error.place = at, known.shape
        raise error


def _shorten(weight: Tensor, counts: Tensor, max_norm: float, norm_type: float) -> None:
    """Make the rows that are looked up at most ``max_norm`` long."""
    with no_grad():
        size = norm(weight, norm_type, -1, keepdims=True)
        long = (size > max_norm) & (counts.unsqueeze(-1) > 0)
        weight.assign(weight * select(long, max_norm / (size + 1e-7), 1.0))


def embedding_bag(
    index: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows weight[i] over each bag of indices: (bags, D).

    ``index`` (bags, length), or all bags in one vector, bag b from offsets[b] on (with
    ``include_last_offset`` the last one is only an end). An empty bag gives 0. Entries
    ``padding_idx`` do not count. ``per_sample_weights``, of the shape of ``index``, for sums.
    Other options as in `embedding`. Raises ShapeError and OptionError for what does not fit.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.embedding_bag([[0, 1]], cr.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[2.0, 3.0]]
    """
    name = "embedding_bag"
    check_embedding(name, sparse, mode=mode)
    if scale_grad_by_freq and mode == "max":
        raise OptionError(f"{name}: scale_grad_by_freq is not possible with mode='max'")
    index, weight = as_tensor(index), as_tensor(weight)
    _check_index(name, index, weight)
    rows = embedding(index, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        factors = as_tensor(per_sample_weights)
        if mode != "sum":
            raise OptionError(f"{name}: per_sample_weights are for mode='sum', got mode={mode!r}")
        if factors.shape != index.shape:
            raise ShapeError(
                f"{name}: per_sample_weights have shape {factors.shape}, the index {index.shape}"
            )
        rows = rows * factors.unsqueeze(-1)
    counted = None if padding_idx is None else index.long() != padding_idx % weight.shape[0]
    member = _members(index, offsets, include_last_offset)  # (bags, n), or None: all of a row
    if index.ndim == 1:
        rows = rows.unsqueeze(0)  # (1, n, D)
        counted = member if counted is None else member & counted
    return _bags(rows, counted, mode)


def _bags(rows: Tensor, counted: Tensor | None, mode: str) -> Tensor:
    """Reduce rows (bags or 1, n, D) over n, where ``counted`` (bags, n)."""
    if counted is None:
        counted = as_tensor(np.ones(rows.shape[:2], np.bool_))
    inside = counted.unsqueeze(-1)
    count = inside.to(rows.dtype).sum(axis=1)  # (bags, 1)
    if mode == "max":
        best = select(inside, rows, -np.inf).max(axis=1) if rows.shape[1] else count * rows[:, :0]
        return select(count > 0, best, 0.0)
    total = select(inside, rows, 0.0).sum(axis=1)
    return total if mode == "sum" else total / e.maximum(count, 1.0)


def _members(index: Tensor, offsets: Any, include_last: bool) -> Tensor | None:
    """Which entries of a vector of indices belong to each bag: (bags, n)."""
    name = "embedding_bag"
    if index.ndim == 2:
        if offsets is not None:
            raise OptionError(
                f"{name}: bags that are rows of a matrix {index.shape} have no offsets"
            )
        return None
    if index.ndim != 1:
        raise ShapeError(f"{name} expects indices (bags, length) or (n,), got {index.shape}")
    if offsets is None:
        raise OptionError(f"{name}: a vector of indices needs offsets, where each bag begins")
    starts = as_tensor(offsets)
    if not dt.is_integer(starts.dtype) or starts.ndim != 1:
        raise ShapeError(
            f"{name}: offsets are a vector of integers, got {starts.dtype}{list(starts.shape)}"
        )
    known = known_values(starts)
    if known is None:
        text = f"{name}: offset {{}} is not among the {index.shape[0]} indices"
        check_later(starts.node, 0, index.shape[0] + 1, text)
    else:
        wrong = not known.size or known[0] != 0 or (np.diff(known) < 0).any()
        if wrong or known[-1] > index.shape[0]:
            raise DataError(
                f"{name}: offsets begin with 0, do not fall, and are at most the number of indices"
                f" {index.shape[0]}, got {known.tolist()}"
            )
    bags = starts.shape[0] - include_last
    position = as_tensor(np.arange(index.shape[0]))
    bag = (starts.unsqueeze(-1) <= position).long().sum(axis=0) - 1
    return as_tensor(bag == as_tensor(np.arange(bags)).unsqueeze(-1))


def one_hot(index: Any, num_classes: int = -1) -> Tensor:
    """1 at the position ``index``, 0 elsewhere, in a new last axis, int64.

    >>> from chainrule.nn import functional as F
    >>> F.one_hot([0, 2]).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    return build_one_hot(index, num_classes)
