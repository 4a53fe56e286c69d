"""Objective: from predictions and targets of a batch to the loss, weighted by rows, over one or
several outputs."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..core.node import Array
from ..errors import DataError, DTypeError, OptionError, ShapeError
from ..nn import functional as F  # noqa: N812 - PyTorch's name
from ..nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    Loss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from ..nn.module import Module
from ..tensor.ops import elementwise as e
from ..tensor.tensor import Tensor
from ..tensor.value import make, use
from .arrays import Arrays
from .names import loss_of
from .sequences import spread

LABEL_LOSSES = (CrossEntropyLoss, NLLLoss, MultiMarginLoss)
"""Losses whose target is one label per row."""

ELEMENTWISE_LOSSES = (
    MSELoss,
    L1Loss,
    SmoothL1Loss,
    HuberLoss,
    BCELoss,
    BCEWithLogitsLoss,
    PoissonNLLLoss,
)
"""Losses whose target has the shape of the prediction."""

_FUNCTIONS: dict[Any, Loss] = {
    F.cross_entropy: CrossEntropyLoss(),
    F.nll_loss: NLLLoss(),
    F.binary_cross_entropy: BCELoss(),
    F.binary_cross_entropy_with_logits: BCEWithLogitsLoss(),
}
"""The losses that functions are, for what must be known of them."""

IGNORED = -100
"""The label of padded steps for a function that does not say which one it leaves out."""


@dataclass(frozen=True)
class Part:
    """One loss: of the whole prediction (key None), or of one output."""

    key: Any
    loss: Callable[..., Any]
    weight: float

    @property
    def name(self) -> str:
        """How messages and the history name it."""
        return "" if self.key is None else str(self.key)


@dataclass(frozen=True)
class Mean:
    """The loss of a batch from one `Part`: Σ sᵢ wᵢ lᵢ / ``count``, s weighing rows and w classes.

    ``count`` is Σ wᵢ over the labels that are not ignored, or else the rows; ``counted``, Σ sᵢ wᵢ,
    is what the batch adds to the divisor of the mean over batches. Numbers, or float64 scalars.
    """

    value: Tensor
    count: Any
    counted: Any


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch of ``rows`` rows: of all parts, weighted and added, and of each."""

    total: Tensor
    rows: int
    parts: dict[str, Mean]  # the only one is called ""
    steps: Tensor | None = None  # (N, T): which steps of the targets are no padding

    @property
    def only(self) -> Mean | None:
        """The mean of the only part."""
        return self.parts.get("")

    @property
    def count(self) -> Any:
        """What the gradient of the batch counts among those of other batches."""
        return self.rows if self.only is None else self.only.count

    @property
    def measured(self) -> Tensor:
        """The loss as a mean of this batch alone: divided by what it counts."""
        mean, value = self.only, self.total.detach().double()
        if mean is None or mean.counted is mean.count:
            return value
        found: Tensor = value * mean.count / e.where(mean.counted == 0, 1.0, mean.counted)
        return found


class Objective:
    """A loss, or a list or dict of losses for a model with several outputs; weighted and added."""

    def __init__(self, loss: Any, loss_weights: Any = None, where: str = "Trainer") -> None:
        """Raises OptionError for what is not a loss; ``where`` is who asks."""
        if isinstance(loss, Mapping):
            items = list(loss.items())
        elif isinstance(loss, list | tuple):
            items = list(enumerate(loss))
        else:
            items = [(None, loss)]
        if not items:
            raise OptionError(f"{where}: loss is empty; give at least one loss")
        weights = self._weights(items, loss_weights)
        self.parts = [
            Part(k, self._checked(where, v), w) for (k, v), w in zip(items, weights, strict=True)
        ]

    @staticmethod
    def _weights(items: list[tuple[Any, Any]], given: Any) -> list[float]:
        if given is None:
            return [1.0] * len(items)
        table = dict(given) if isinstance(given, Mapping) else dict(enumerate(given))
        keys = [0 if k is None else k for k, _ in items]
        if set(table) != set(keys):
            raise OptionError(
                f"Trainer: loss_weights has {sorted(map(str, table))}, the losses are "
                f"{sorted(map(str, keys))}"
            )
        return [float(table[k]) for k in keys]

    @staticmethod
    def _checked(where: str, loss: Any) -> Any:
        loss = loss_of(where, loss)
        if isinstance(loss, type):
            raise OptionError(
                f"{where}: loss is the class {loss.__name__}; add parentheses: {loss.__name__}()"
            )
        if not callable(loss):
            raise OptionError(
                f"{where}: loss must be a function of (prediction, target), got {loss!r}"
            )
        return loss

    @property
    def single(self) -> bool:
        """Whether there is one loss, of the whole prediction."""
        return len(self.parts) == 1 and self.parts[0].key is None

    @property
    def sums(self) -> bool:
        """Whether the loss of several batches is the sum, and not the mean, of theirs."""
        return all(getattr(_known(p.loss), "reduction", "") == "sum" for p in self.parts)

    def pairs(self, prediction: Any, target: Any) -> list[tuple[Part, Any, Any]]:
        """Each loss with its prediction and its target."""
        if self.single:
            return [(self.parts[0], prediction, target)]
        return [
            (p, _pick("prediction", prediction, p.key), _pick("target y", target, p.key))
            for p in self.parts
        ]

    def __call__(
        self,
        prediction: Any,
        target: Any,
        rows: int,
        row_weight: Tensor | None,
        steps: Tensor | None = None,
    ) -> BatchLoss:
        """The loss of a batch of ``rows`` rows; ``steps`` (N, T): which are no padding."""
        total: Any = None
        parts: dict[str, Mean] = {}
        for part, p, y in self.pairs(prediction, target):
            y = match_target(part.loss, p, y)
            parts[part.name] = mean = mean_loss(part.loss, p, y, rows, row_weight, steps)
            value = mean.value if part.weight == 1.0 else mean.value * part.weight
            total = value if total is None else total + value
        return BatchLoss(total, rows, parts, steps)

    @property
    def ignore_index(self) -> int | None:
        """The label that does not count, if there is one loss, and one of labels."""
        return ignored_label(self.parts[0].loss) if self.single else None

    @property
    def padding_label(self) -> int | None:
        """The label of padded steps, if there is one loss: the one that does not count; where all
        labels count, one that every loss takes (padded steps are left out of its mean)."""
        if not self.single:
            return None
        known = isinstance(_known(self.parts[0].loss), Loss)
        return self.ignore_index if self.ignore_index is not None else 0 if known else IGNORED


def _known(loss: Any) -> Any:
    """The module that a loss function is, also with options bound by `functools.partial`."""
    if isinstance(loss, functools.partial) and not loss.args and loss.func in _FUNCTIONS:
        return type(_FUNCTIONS[loss.func])(**loss.keywords)
    return _FUNCTIONS.get(loss, loss) if inspect.isfunction(loss) else loss


def _pick(what: str, values: Any, key: Any) -> Any:
    if isinstance(values, Mapping):
        if key not in values:
            raise OptionError(
                f"Trainer: there is a loss for {key!r}, the {what} has "
                f"{', '.join(map(repr, values))}"
            )
        return values[key]
    if isinstance(values, tuple | list) and isinstance(key, int) and key < len(values):
        return values[key]
    kind = (
        f"a {type(values).__name__} of {len(values)}"
        if isinstance(values, tuple | list)
        else "one tensor"
    )
    raise OptionError(f"Trainer: there is a loss for output {key!r}, the {what} is {kind}")


def is_label_loss(loss: Any) -> bool:
    """Whether the target of ``loss`` is one label per row."""
    return isinstance(_known(loss), LABEL_LOSSES)


def wants_probabilities(loss: Any) -> bool:
    """Whether the prediction is a probability, and not a logit."""
    return isinstance(_known(loss), BCELoss)


def match_target(loss: Any, prediction: Any, y: Any) -> Any:
    """The target with the axis of length 1 that the loss expects, or without the one it does
    not."""
    if not isinstance(prediction, Tensor) or not isinstance(y, Tensor):
        return y
    if is_label_loss(loss):
        if y.ndim == 2 and y.shape[1] == 1 and prediction.ndim == 2 and not dt.is_float(y.dtype):
            return y.reshape(y.shape[:1])
        return y
    if y.shape != prediction.shape and [n for n in y.shape if n != 1] == [
        n for n in prediction.shape if n != 1
    ]:
        return y.reshape(prediction.shape)
    return y


def mean_loss(
    loss: Any,
    prediction: Any,
    y: Any,
    rows: int,
    row_weight: Tensor | None,
    steps: Tensor | None = None,
) -> Mean:
    """The loss of a batch as a scalar, and what it counts; row weights have the mean 1 over the
    data set. ``steps`` (N, T): which are no padding; then the mean is over these."""
    name = type(loss).__name__ if isinstance(loss, Module) else getattr(loss, "__name__", "loss")
    weights = _label_weights(loss, prediction, y)
    padded = steps is not None and not _ignores(loss, y)
    if row_weight is None and not padded:
        value = _scalar(name, loss(prediction, y))
        count = rows if weights is None else weights.sum().double()
        return Mean(value, count, count)
    each, divide = _each(loss, prediction, y)
    each = _tensor(name, each)
    if padded and steps is not None:
        if row_weight is None and each.ndim == 0 and not _is_float(y):
            count = steps.double().sum()  # a function of labels that leaves those of padding out
            return Mean(each, count, count)
        there = spread(steps, each)
        if there is None:
            raise OptionError(
                f"sequences of unequal length need the loss of each step: {name} gives shape "
                f'{each.shape}; let it take reduction="none" and return shape {steps.shape}'
            )
        each = e.where(there, each, 0.0)
        if divide:  # the mean over the elements of a step, and over the steps
            each = each / (each.node.size // steps.node.size)
            weights = e.where(steps, 1.0 if weights is None else weights, 0.0).to(each.dtype)
    if each.ndim == 0 or each.shape[0] != rows:
        raise OptionError(
            f"sample_weight and class_weight need the loss of each row: {name} gives shape "
            f'{each.shape}; let it take reduction="none" and return shape ({rows},)'
        )
    total = each.sum()
    if row_weight is not None:
        total = F.classification.weighed(each, _by_row(row_weight, each)).sum()
    if weights is not None:
        count, counted = weights.sum(), weights
        if row_weight is not None:
            counted = weights * _by_row(row_weight, weights)
        value = make(F.classification.mean_over(use(total), use(count)), total)
        return Mean(value, count.double(), counted.sum().double())
    if divide:  # the mean over the elements of a row, and over the rows
        total = total / each.node.size
    return Mean(total, rows, rows)


def _by_row(weight: Tensor, like: Tensor) -> Tensor:
    return weight.to(like.dtype).reshape((-1, *[1] * (like.ndim - 1)))


def _is_float(y: Any) -> bool:
    return not isinstance(y, Tensor) or dt.is_float(y.dtype)


def _ignores(loss: Any, y: Any) -> bool:
    """Whether the loss leaves padded steps out by itself: their label is its ``ignore_index``."""
    return is_label_loss(loss) and ignored_label(loss) is not None and not _is_float(y)


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise OptionError(
            f"the loss {name} returned {type(value).__name__}; a scalar tensor is expected"
        )
    return value


def _scalar(name: str, value: Any) -> Tensor:
    value = _tensor(name, value)
    if value.shape != () and value.node.size != 1:
        raise ShapeError(
            f"the loss {name} has shape {value.shape}; a scalar is expected: use "
            'reduction="mean", or end with .mean()'
        )
    found: Tensor = value.reshape(()) if value.shape else value
    return found


def _each(loss: Any, prediction: Any, y: Any) -> tuple[Any, bool]:
    """The loss of each row (or of each of its elements), and whether the loss is their mean."""
    if isinstance(loss, Loss):
        single: Loss = copy.copy(loss)
        single.reduction = "none"
        return single(prediction, y), loss.reduction != "sum"
    divide = getattr(_known(loss), "reduction", "mean") != "sum"
    try:
        return loss(prediction, y, reduction="none"), divide
    except TypeError:
        return loss(prediction, y), divide


def ignored_label(loss: Any) -> int | None:
    """The label of rows that do not count in this loss, also of a function that takes
    ``ignore_index``; None if all do."""
    known = _known(loss)
    found = getattr(known, "ignore_index", None)
    if found is None and inspect.isfunction(getattr(known, "func", known)):
        option = inspect.signature(known).parameters.get("ignore_index")
        found = None if option is None else option.default
    return found if isinstance(found, int) else None


def _label_weights(loss: Any, prediction: Any, y: Any) -> Tensor | None:
    """How much each label counts in the mean of a loss of labels; None: all the same."""
    loss = _known(loss)
    if not isinstance(loss, CrossEntropyLoss | NLLLoss) or loss.reduction != "mean":
        return None
    if not isinstance(y, Tensor) or dt.is_float(y.dtype):
        return None
    return F.classification.counted_labels(y, loss.weight, loss.ignore_index, prediction)


# -- checks on the whole data ----------------------------------------------------------------------
def prepare_targets(where: str, objective: Objective, y: Arrays, prediction: Any) -> Arrays:
    """Targets checked against the predictions' shapes; whole floats where labels are expected
    become int64."""
    if objective.single:
        if not y.single or not isinstance(prediction, Tensor):
            return y
        part = objective.parts[0]
        return y.map(lambda a: _prepared(where, part.loss, y.names[0], a, prediction))
    arrays = dict(zip(y.keys or range(len(y.arrays)), y.arrays, strict=True))
    names = dict(zip(arrays, y.names, strict=True))
    for part in objective.parts:
        p = _pick("prediction", prediction, part.key)
        key = part.key if y.keys is None else str(part.key)
        if key in arrays and isinstance(p, Tensor):
            arrays[key] = _prepared(where, part.loss, names[key], arrays[key], p)
    return replace(y, arrays=tuple(arrays.values()))


def _prepared(where: str, loss: Any, name: str, y: Array, prediction: Tensor) -> Array:
    if not is_label_loss(loss):
        if isinstance(loss, ELEMENTWISE_LOSSES):
            _check_rows(where, name, y, prediction)
        if wants_probabilities(loss) or isinstance(loss, BCEWithLogitsLoss):
            _check_interval(where, loss, name, y)
        return y
    if y.dtype.kind == "f" and y.shape[1:] == prediction.shape[1:] and prediction.ndim > 1:
        return y  # probabilities
    if y.dtype.kind == "b":
        y = y.view(np.uint8)
    if y.dtype.kind == "f":
        whole = y == np.floor(y)
        if not whole.all():
            at = np.argwhere(~whole)[0]
            raise DTypeError(
                f"{where}: {name} holds {y[tuple(at)]:g} at row {at[0]}, not a class number; class "
                "labels are integers"
                " (for regression use nn.MSELoss())"
            )
        y = y.astype(np.int64)
    classes = prediction.shape[1] if prediction.ndim > 1 else 1
    ignore = ignored_label(loss)
    low, high = int(y.min()), int(y.max())
    if ignore is not None and low == high == ignore:
        raise DataError(
            f"{where}: every label in {name} is {ignore}, which stands for rows that do not count "
            "(ignore_index); at least one row must count"
        )
    if low >= 0 and high < classes:
        return y
    wrong = (y < 0) | (y >= classes)
    if ignore is not None:
        wrong &= y != ignore
    if not wrong.any():
        return y
    at = np.argwhere(wrong)[0]
    label = int(y[tuple(at)])
    hint = f"; set the outputs of the last layer to {high + 1}" if label >= classes else ""
    if label < 0:
        hint = f"; rows to leave out have the label {ignore} (ignore_index)"
    if low == 1 and high == classes:
        hint = "; classes count from 0: subtract 1"
    if classes == 1:
        hint = "; with one output use nn.BCEWithLogitsLoss()"
    raise DataError(
        f"{where}: {name} has the label {label} at row {at[0]} ({int(wrong.sum())} of {y.size} "
        "labels are outside),"
        f" the model has {classes} {'output' if classes == 1 else 'outputs'}: labels are 0 to "
        f"{classes - 1}{hint}"
    )


def _check_rows(where: str, name: str, y: Array, prediction: Tensor) -> None:
    """The rows of target and prediction have the same shape, but for axes of length 1."""
    wanted, got = prediction.shape[1:], y.shape[1:]
    if [n for n in wanted if n != 1] == [n for n in got if n != 1]:
        return
    hint = (
        f"; set the outputs of the last layer to {got[0] if got else 1}"
        if len(wanted) == 1 and len(got) <= 1
        else ""
    )
    raise ShapeError(
        f"{where}: {name} has rows of shape {got}, the model's predictions {wanted}{hint}"
    )


def _check_interval(where: str, loss: Any, name: str, y: Array) -> None:
    low, high = y.min(), y.max()
    if low >= 0 and high <= 1:
        return
    wrong = (y < 0) | (y > 1)
    at = np.argwhere(wrong)[0]
    hint = (
        "; for classes numbered 0, 1, 2, ... use nn.CrossEntropyLoss()"
        if y.dtype.kind in "iu" or y.ndim == 1
        else ""
    )
    if set(np.unique(y[:1000]).tolist()) <= {-1, 1}:
        hint = "; for labels -1 and 1 use nn.SoftMarginLoss(), or (y + 1) / 2"
    raise DataError(
        f"{where}: {name} is {y[tuple(at)]:g} at row {at[0]}; {type(loss).__name__} needs targets "
        f"between 0 and 1{hint}"
    )
