"""Objective: from predictions and targets of a batch to the loss, weighted by rows, over one or
several outputs."""

from __future__ import annotations

import copy
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
from ..tensor import elementwise as e
from ..tensor.index import take
from ..tensor.tensor import Tensor
from .arrays import Arrays
from .sequences import Padding, counted, ignored_label

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

_FUNCTIONS = {
    F.cross_entropy: CrossEntropyLoss,
    F.nll_loss: NLLLoss,
    F.binary_cross_entropy: BCELoss,
    F.binary_cross_entropy_with_logits: BCEWithLogitsLoss,
}


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
class BatchLoss:
    """The loss of a batch, and how much it counts among other batches: rows, or the sum of
    weights."""

    total: Tensor
    count: Any  # a number or a float64 scalar tensor
    parts: dict[str, Tensor]
    padding: Padding | None = None


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
        if isinstance(loss, type):
            raise OptionError(
                f"{where}: loss is the class {loss.__name__}; add parentheses: {loss.__name__}()"
            )
        if isinstance(loss, str):
            raise OptionError(
                f"{where}: loss is the text {loss!r}; give a loss of nn, such as "
                "nn.CrossEntropyLoss()"
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
        return all(getattr(p.loss, "reduction", "") == "sum" for p in self.parts)

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
        padding: Padding | None = None,
    ) -> BatchLoss:
        """The loss of a batch of ``rows`` rows; ``padding``: of the targets."""
        total: Any = None
        parts: dict[str, Tensor] = {}
        count: Any = rows
        for part, p, y in self.pairs(prediction, target):
            y = match_target(part.loss, p, y)
            mask = counted(part.loss, is_label_loss(part.loss), y, padding)
            value = scalar_loss(part.loss, p, y, rows, row_weight, mask)
            if len(self.parts) == 1 and (row_weight is None or mask is not None):
                count = _count(part.loss, y, rows, mask)
            if not self.single:
                parts[part.name] = value
            value = value if part.weight == 1.0 else value * part.weight
            total = value if total is None else total + value
        return BatchLoss(total, count, parts, padding)


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
    return isinstance(loss, LABEL_LOSSES) or _FUNCTIONS.get(loss) in LABEL_LOSSES


def wants_probabilities(loss: Any) -> bool:
    """Whether the prediction is a probability, and not a logit."""
    return isinstance(loss, BCELoss) or (
        not isinstance(loss, Module) and _FUNCTIONS.get(loss) is BCELoss
    )


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


def scalar_loss(
    loss: Any,
    prediction: Any,
    y: Any,
    rows: int,
    row_weight: Tensor | None,
    mask: Tensor | None = None,
) -> Tensor:
    """The loss as a scalar; with weights (mean 1 over the data set), Σ wᵢ lᵢ / rows.

    ``mask``: which targets count; then the mean is over these. Losses of labels leave the others
    out by themselves.
    """
    name = type(loss).__name__ if isinstance(loss, Module) else getattr(loss, "__name__", "loss")
    alone = mask is None or not isinstance(y, Tensor) or not dt.is_float(y.dtype)
    if row_weight is None and alone:
        value = loss(prediction, y)
        if not isinstance(value, Tensor):
            raise OptionError(
                f"the loss {name} returned {type(value).__name__}; a scalar tensor is expected"
            )
        if value.shape != () and value.node.size != 1:
            raise ShapeError(
                f"the loss {name} has shape {value.shape}; a scalar is expected: use "
                'reduction="mean", or end with .mean()'
            )
        return value.reshape(()) if value.shape else value
    if isinstance(loss, Loss):
        each: Loss = copy.copy(loss)
        each.reduction = "none"
        value = each(prediction, y)
        divide = loss.reduction != "sum"
    else:
        try:
            value = loss(prediction, y, reduction="none")
        except TypeError:
            value = loss(prediction, y)
        divide = True
    if mask is not None:
        return _masked_mean(name, value, mask, row_weight, divide)
    assert row_weight is not None
    if value.ndim == 0 or value.shape[0] != rows:
        raise OptionError(
            f"sample_weight and class_weight need the loss of each row: {name} gives shape "
            f"{value.shape}; let it take"
            f' reduction="none" and return shape ({rows},)'
        )
    per_row = value.reshape((rows, -1)).mean(axis=1) if value.ndim > 1 and divide else value
    if per_row.ndim > 1:
        per_row = per_row.reshape((rows, -1)).sum(axis=1)
    weighted = (per_row * row_weight.to(per_row.dtype)).sum()
    total: Tensor = weighted / rows if divide else weighted
    return total


def _masked_mean(
    name: str, each: Tensor, mask: Tensor, row_weight: Tensor | None, divide: bool
) -> Tensor:
    """Σ w l over what counts, divided by how much that is."""
    if each.shape[: mask.ndim] != mask.shape:
        raise OptionError(
            f"sequences of unequal length need the loss of each step: {name} gives shape "
            f'{each.shape}; let it take reduction="none" and return shape {mask.shape}'
        )
    wide = mask.reshape((*mask.shape, *[1] * (each.ndim - mask.ndim)))
    each = e.where(wide, each, 0.0)
    if row_weight is not None:
        each = each * row_weight.to(each.dtype).reshape((-1, *[1] * (each.ndim - 1)))
    total = each.sum()
    if not divide:
        return total
    number = mask.to(each.dtype).sum() * (each.node.size // max(mask.node.size, 1))
    return total / e.maximum(number, 1.0)


def _count(loss: Any, y: Any, rows: int, mask: Tensor | None = None) -> Any:
    """What the mean of a batch was divided by: Σ of class weights where there are some, else the
    rows."""
    weight = getattr(loss, "weight", None)
    ignore = getattr(loss, "ignore_index", None)
    if (
        not isinstance(loss, CrossEntropyLoss | NLLLoss)
        or loss.reduction != "mean"
        or dt.is_float(y.dtype)
    ):
        return rows if mask is None else mask.double().sum()
    if weight is None:
        if (
            y.ndim > 1 and ignore is not None
        ):  # sequences with padding: only what is not ignored counts
            return (y != ignore).double().sum()
        return rows if mask is None else mask.double().sum()
    labels = y.long() if ignore is None else e.where(y == ignore, 0, y.long())
    each = take(weight.double(), labels)
    return (each if ignore is None else e.where(y == ignore, 0.0, each)).sum()


# -- checks on the whole data ----------------------------------------------------------------------
def prepare_targets(where: str, objective: Objective, y: Arrays, prediction: Any) -> Arrays:
    """Targets checked against the predictions' shapes; whole floats where labels are expected
    become int64."""
    if objective.single:
        if not y.single or not isinstance(prediction, Tensor):
            return y
        part = objective.parts[0]
        y = replace(y, padding=y.padding or _ignores(part.loss, y.arrays[0]))
        return y.map(lambda a: _prepared(where, part.loss, y.names[0], a, prediction))
    arrays = dict(zip(y.keys or range(len(y.arrays)), y.arrays, strict=True))
    names = dict(zip(arrays, y.names, strict=True))
    for part in objective.parts:
        p = _pick("prediction", prediction, part.key)
        key = part.key if y.keys is None else str(part.key)
        if key in arrays and isinstance(p, Tensor):
            arrays[key] = _prepared(where, part.loss, names[key], arrays[key], p)
    ignoring = any(_ignores(p.loss, arrays.get(p.key, ())) for p in objective.parts)
    return replace(y, arrays=tuple(arrays.values()), padding=y.padding or ignoring)


def _ignores(loss: Any, y: Any) -> bool:
    """Whether there are labels that the loss leaves out."""
    ignored = ignored_label(loss)
    labels = is_label_loss(loss) and ignored is not None and getattr(y, "dtype", None) is not None
    return bool(labels and y.dtype.kind in "iu" and (y == ignored).any())


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
