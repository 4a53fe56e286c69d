"""Objective: from predictions and targets of a batch to the loss, weighted by rows and outputs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ...core import dtypes as dt
from ...errors import OptionError, ShapeError
from ...nn import functional as F
from ...nn.loss import Loss, module_of
from ...nn.module import Module
from ...tensor.ops import elementwise as e
from ...tensor.tensor import Tensor
from ...tensor.value import make, use
from ..names import loss_of
from ..rows.sequences import spread
from .batch import Batch, BatchLoss, Mean

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
        return all(getattr(module_of(p.loss), "reduction", "") == "sum" for p in self.parts)

    def pairs(self, prediction: Any, target: Any) -> list[tuple[Part, Any, Any]]:
        """Each loss with its prediction and its target."""
        if self.single:
            return [(self.parts[0], prediction, target)]
        return [
            (p, pick("prediction", prediction, p.key), pick("target y", target, p.key))
            for p in self.parts
        ]

    def __call__(self, prediction: Any, batch: Batch) -> BatchLoss:
        """The loss of a batch; its parts are noted in ``batch``."""
        total: Any = None
        batch.parts.clear()
        for part, p, y in self.pairs(prediction, batch.y):
            mean = mean_loss(part.loss, p, match_target(part.loss, p, y), batch)
            batch.parts[part.name] = mean
            value = mean.value if part.weight == 1.0 else mean.value * part.weight
            total = value if total is None else total + value
        return BatchLoss(total, batch)

    @property
    def ignore_index(self) -> int | None:
        """The label that does not count, if there is one loss, and one of labels."""
        return ignored_label(self.parts[0].loss) if self.single else None

    @property
    def padding_label(self) -> int | None:
        """The label of padded steps, if there is one loss: the one that does not count.

        Where all count, one that every loss takes: padded steps are left out of its mean.
        """
        if not self.single:
            return None
        known = isinstance(module_of(self.parts[0].loss), Loss)
        return self.ignore_index if self.ignore_index is not None else 0 if known else IGNORED


def pick(what: str, values: Any, key: Any) -> Any:
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


def target_of(loss: Any) -> str:
    """What the loss compares with: see `Loss.target`, which a function may have as well."""
    found = getattr(module_of(loss), "target", "")
    return found if isinstance(found, str) else ""


def is_label_loss(loss: Any) -> bool:
    """Whether the target of ``loss`` is one label per row."""
    return target_of(loss) == "labels"


def loss_name(loss: Any) -> str:
    """How messages and headings call it."""
    return type(loss).__name__ if isinstance(loss, Module) else getattr(loss, "__name__", "loss")


def match_target(loss: Any, prediction: Any, y: Any) -> Any:
    """The target with the axis of length 1 that the loss expects, or without one it does not."""
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


def mean_loss(loss: Any, prediction: Any, y: Any, batch: Batch) -> Mean:
    """The loss of a batch as a scalar (over ``batch.steps``, if there are), and what it counts."""
    name, rows, row_weight, steps = loss_name(loss), batch.rows, batch.weight, batch.steps
    weights = _label_weights(loss, prediction, y)
    padded = steps is not None and not _ignores(loss, y)
    if row_weight is None and not padded:
        value = _scalar(name, loss(prediction, y))
        count = rows if weights is None else weights.sum().double()
        return Mean(value, count, count)
    each, reduction = _each(loss, prediction, y)
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
        if reduction not in ("sum", "batchmean"):  # the mean over steps and their elements
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
    if reduction != "sum":  # the mean over the rows, and over the elements of a row
        total = total / (rows if reduction == "batchmean" else each.node.size)
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


def _each(loss: Any, prediction: Any, y: Any) -> tuple[Any, str]:
    """The loss of each row (or of each of its elements), and how the loss reduces them."""
    if isinstance(loss, Loss):
        single: Loss = copy.copy(loss)
        single.reduction = "none"
        return single(prediction, y), loss.reduction
    reduction = getattr(module_of(loss), "reduction", "mean")
    try:
        return loss(prediction, y, reduction="none"), reduction
    except TypeError:
        return loss(prediction, y), reduction


_DEFAULT_LABELS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Of functions: to ask for a signature takes a tenth of a short `fit`."""


def _default_label(function: Any) -> Any:
    if function not in _DEFAULT_LABELS:
        option = inspect.signature(function).parameters.get("ignore_index")
        _DEFAULT_LABELS[function] = None if option is None else option.default
    return _DEFAULT_LABELS[function]


def ignored_label(loss: Any) -> int | None:
    """The label of rows that do not count in this loss, a module or a function; None: all do."""
    known = module_of(loss)
    found = getattr(known, "ignore_index", None)
    if found is None and inspect.isfunction(getattr(known, "func", known)):
        found = _default_label(known)
    return found if isinstance(found, int) else None


def _label_weights(loss: Any, prediction: Any, y: Any) -> Tensor | None:
    """How much each label counts in the mean of a loss of labels; None: all the same."""
    loss = module_of(loss)
    counts = isinstance(loss, Loss) and loss.target == "labels" and hasattr(loss, "ignore_index")
    if not counts or loss.reduction != "mean":
        return None
    if not isinstance(y, Tensor) or dt.is_float(y.dtype):
        return None
    return F.classification.counted_labels(y, loss.weight, loss.ignore_index, prediction)
