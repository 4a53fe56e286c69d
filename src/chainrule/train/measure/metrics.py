"""Metrics by name: shares of right rows, errors, areas; and functions as metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Array, Shape
from ...errors import OptionError, ShapeError
from ...nn.functional.targets import label_numbers
from ...tensor.ops import elementwise as e
from ...tensor.tensor import Tensor
from ...tensor.value import make
from .metric import Metric, zero


class _Mean(Metric):
    """The mean of one number per row or element."""

    def values(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The numbers to average."""
        raise NotImplementedError

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Add sum and number."""
        values = self.values(prediction, target)
        # Within a batch float32 is exact enough (and exact for counts); the sum over batches is
        # float64.
        kind = values.dtype if dt.is_float(values.dtype) else dt.float32
        return _with_batch(state, values.to(kind), self.counted(target))


def _with_batch(
    state: Mapping[str, Tensor], values: Tensor, counted: Tensor | None
) -> dict[str, Tensor]:
    """Sum and count with the values of a batch, of those that count where there is one for each."""
    count: Any = float(values.node.size)
    if counted is not None and counted.node.size == values.node.size:
        counted = counted.reshape(values.shape)
        values = e.where(counted, values, 0.0)
        count = counted.to(dt.float32).sum().double()
    return {"sum": state["sum"] + values.sum().double(), "count": state["count"] + count}


def _decisions(
    name: str, prediction: Tensor, target: Tensor, from_logits: bool
) -> tuple[Tensor, Tensor, int]:
    """Predicted and true classes as integers of equal shapes, and how many classes there are.

    One output per row (or one per target element) is a yes or no; several are one score per class.
    """
    if _is_binary(prediction, target):
        yes = prediction.reshape(target.shape) > (0.0 if from_logits else 0.5)
        return (
            yes.to(dt.int32),
            (target > 0.5).to(dt.int32) if dt.is_float(target.dtype) else _labels(target),
            2,
        )
    if prediction.ndim < 2:
        raise ShapeError(
            f"{name}: the prediction has shape {prediction.shape}, the target {target.shape}"
        )
    chosen = prediction.argmax(axis=1).to(dt.int32)
    if target.shape == prediction.shape:
        truth = target.argmax(axis=1).to(dt.int32)
    elif target.shape == chosen.shape or target.node.size == chosen.node.size:
        truth = _labels(target.reshape(chosen.shape))
    else:
        raise ShapeError(
            f"{name}: the prediction has shape {prediction.shape}, the target {target.shape}"
        )
    return chosen, truth, prediction.shape[1]


def _is_binary(prediction: Tensor, target: Tensor) -> bool:
    if prediction.ndim > 1 and prediction.shape[1] > 1 and target.shape == prediction.shape:
        return False  # one-hot, or several labels: see Accuracy
    return prediction.node.size == target.node.size


class Accuracy(_Mean):
    """The share of rows that are right.

    By the argmax of several outputs, or one output above its threshold.

    ``multilabel``: several outputs are independent yes-or-no answers, and each counts; None: as the
    Trainer's loss takes them.
    ``from_logits``: the threshold is 0; otherwise outputs are probabilities and it is 0.5.
    ``ignore_index``: the label of rows that do not count, by default that of the Trainer's loss.

    >>> from chainrule.train import Accuracy
    >>> Accuracy()([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]], [0, 1, 1])
    0.666...
    """

    name = "accuracy"

    multilabel: bool | None

    def __init__(
        self,
        from_logits: bool = True,
        multilabel: bool | None = None,
        ignore_index: int | None = None,
    ) -> None:
        """See the class."""
        self.from_logits, self.multilabel = from_logits, multilabel
        self.ignore_index = ignore_index

    def values(self, prediction: Tensor, target: Tensor) -> Tensor:
        """1 where right."""
        if self.multilabel:
            yes = prediction > (0.0 if self.from_logits else 0.5)
            return yes == (target.reshape(prediction.shape) > 0.5)
        chosen, truth, _ = _decisions(self.name, prediction, target, self.from_logits)
        return chosen == truth


class TopKAccuracy(_Mean):
    """The share of rows whose class is among the k highest scores. Ties count for the row.

    >>> from chainrule.train import TopKAccuracy
    >>> TopKAccuracy(2)([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]], [1, 0])
    0.5
    """

    def __init__(self, k: int = 5, ignore_index: int | None = None) -> None:
        """``k`` ≥ 1; ``ignore_index`` as in `Accuracy`."""
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise OptionError(f"TopKAccuracy: k is at least 1, got {k!r}")
        self.k, self.name, self.ignore_index = k, f"top{k}_accuracy", ignore_index
        self.multilabel: bool | None = None

    def values(self, prediction: Tensor, target: Tensor) -> Tensor:
        """1 where fewer than k scores are higher than that of the true class."""
        if self.multilabel:
            raise OptionError(f"{self.name} is for one class a row; the rows have several labels")
        _, truth, classes = _decisions(self.name, prediction, target, True)
        hot = _one_hot(truth, classes)
        own = e.where(hot, prediction, 0.0).sum(axis=1, keepdims=True)
        lower: Tensor = prediction <= own  # not "not higher": NaN is no score
        found: Tensor = (~lower).to(dt.int32).sum(axis=1) < self.k
        return found


def _labels(target: Tensor) -> Tensor:
    """Labels as int32; one that does not fit stays different from every class."""
    if not dt.is_integer(target.dtype):
        return target.to(dt.int32)
    return make(label_numbers(target.node))


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N, ...) to bool (N, classes, ...)."""
    shape = (labels.shape[0], classes, *labels.shape[1:])
    numbers = make(g.iota(shape, 1, dt.int32))
    return labels.reshape((labels.shape[0], 1, *labels.shape[1:])) == numbers


class _Counts(Metric):
    """Per class or label: right (true positives), predicted, and true rows."""

    def __init__(
        self,
        average: str = "auto",
        from_logits: bool = True,
        ignore_index: int | None = None,
        multilabel: bool | None = None,
    ) -> None:
        """``average``: "binary" (class 1), "macro" (mean over classes), "auto" (by their number).

        Of several labels "binary" is of all that are yes, "macro" the mean over labels.
        ``ignore_index`` and ``multilabel`` as in `Accuracy`.
        """
        if average not in ("auto", "binary", "macro"):
            raise OptionError(
                f'{type(self).__name__}: average is "binary", "macro" or "auto", got {average!r}'
            )
        self.average, self.from_logits = average, from_logits
        self.ignore_index, self.multilabel = ignore_index, multilabel

    @property
    def _of_labels(self) -> bool:
        """Whether each label has counts of its own."""
        return bool(self.multilabel) and self.average != "binary"

    def init(self, prediction: Shape, target: Shape) -> dict[str, Array]:
        """Three counts per class."""
        several = len(prediction) > 1 and prediction[1] > 1
        pooled = self.multilabel and not self._of_labels
        classes = prediction[1] if several and not pooled else 2
        return {k: zero((classes,)) for k in ("right", "predicted", "true")}

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Count."""
        if self.multilabel:
            yes = prediction > (0.0 if self.from_logits else 0.5)
            there = target.reshape(prediction.shape) > 0.5
        if self._of_labels:
            return self._of_each_label(state, yes, there, self.counted(target))
        if self.multilabel:
            chosen, truth, classes = yes.to(dt.int32), there.to(dt.int32), 2
        else:
            chosen, truth, classes = _decisions(self.name, prediction, target, self.from_logits)
        p, t = _one_hot(chosen.reshape(-1), classes), _one_hot(truth.reshape(-1), classes)
        counted = self.counted(target)
        if counted is not None and counted.node.size == truth.node.size:
            counted = counted.reshape((-1, 1))
            p, t = p & counted, t & counted
        return {
            k: state[k] + v.to(dt.float32).sum(axis=0).double()
            for k, v in (("right", p & t), ("predicted", p), ("true", t))
        }

    @staticmethod
    def _of_each_label(
        state: Mapping[str, Tensor], yes: Tensor, there: Tensor, counted: Tensor | None
    ) -> dict[str, Tensor]:
        if counted is not None:
            counted = counted.reshape(yes.shape)
            yes, there = yes & counted, there & counted
        axes = (0, *range(2, yes.ndim))
        return {
            k: state[k] + v.to(dt.float32).sum(axis=axes).double()
            for k, v in (("right", yes & there), ("predicted", yes), ("true", there))
        }

    def scores(self, right: Array, predicted: Array, true: Array) -> Array:
        """One score per class; 0/0 is 0."""
        raise NotImplementedError

    def compute(self, state: Mapping[str, Array]) -> float:
        """Class 1, or the mean over the classes that occur."""
        right, predicted, true = (np.asarray(state[k]) for k in ("right", "predicted", "true"))
        scores = self.scores(right, predicted, true)
        two = self.average == "auto" and len(right) == 2 and not self.multilabel
        if self.average == "binary" or two:
            return float(scores[1])
        occurs = (true + predicted) > 0
        return float(scores[occurs].mean()) if occurs.any() else float("nan")


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


class Precision(_Counts):
    """Right among the rows predicted as a class: TP / (TP + FP).

    >>> from chainrule.train import Precision
    >>> Precision()([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    0.666...
    """

    name = "precision"

    def scores(self, right: Array, predicted: Array, true: Array) -> Array:
        """TP / predicted."""
        return _ratio(right, predicted)


class Recall(_Counts):
    """Found among the rows of a class: TP / (TP + FN).

    >>> from chainrule.train import Recall
    >>> Recall()([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    0.666...
    """

    name = "recall"

    def scores(self, right: Array, predicted: Array, true: Array) -> Array:
        """TP / true."""
        return _ratio(right, true)


class F1(_Counts):
    """The harmonic mean of precision and recall: 2 TP / (predicted + true).

    >>> from chainrule.train import F1
    >>> F1()([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    0.666...
    """

    name = "f1"

    def scores(self, right: Array, predicted: Array, true: Array) -> Array:
        """2 TP / (predicted + true)."""
        return _ratio(2 * right, predicted + true)


class MeanSquaredError(_Mean):
    """The mean of (prediction - target)².

    >>> from chainrule.train import MeanSquaredError
    >>> MeanSquaredError()([1.0, 2.0], [1.0, 3.0])
    0.5
    """

    name = "mse"

    def values(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Squares."""
        d = _difference(self.name, prediction, target)
        return d * d


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of (prediction - target)².

    >>> from chainrule.train import RootMeanSquaredError
    >>> RootMeanSquaredError()([1.0, 2.0], [1.0, 3.0])
    0.707...
    """

    name = "rmse"

    def compute(self, state: Mapping[str, Array]) -> float:
        """√mse."""
        return float(np.sqrt(super().compute(state)))


class MeanAbsoluteError(_Mean):
    """The mean of |prediction - target|.

    >>> from chainrule.train import MeanAbsoluteError
    >>> MeanAbsoluteError()([1.0, 2.0], [1.0, 3.0])
    0.5
    """

    name = "mae"

    def values(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Sizes."""
        return e.abs(_difference(self.name, prediction, target))


def _difference(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    if prediction.node.size != target.node.size:
        raise ShapeError(
            f"{name}: the prediction has shape {prediction.shape}, the target {target.shape}"
        )
    return prediction - target.reshape(prediction.shape).to(prediction.dtype)


class R2(Metric):
    """The share of the target's variance that is explained: 1 - Σ(t - p)² / Σ(t - mean t)².

    The mean over the outputs. Sums are about the first row's target, so large means cost no digits.

    >>> from chainrule.train import R2
    >>> R2()([1.0, 2.0], [1.0, 3.0])
    0.5
    """

    name = "r2"

    def init(self, prediction: Shape, target: Shape) -> dict[str, Array]:
        """Sums per output."""
        outputs = int(np.prod(prediction[1:], dtype=np.int64))
        return {k: zero((outputs,)) for k in ("error", "sum", "squares", "origin")} | {
            "count": zero()
        }

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Add the batch's sums."""
        rows = prediction.shape[0]
        d = _difference(self.name, prediction, target).reshape((rows, -1))
        t = target.reshape((rows, -1)).double()
        origin = e.where(state["count"] == 0, t[0], state["origin"])
        t = t - origin
        return {
            "error": state["error"] + (d * d).sum(axis=0).double(),
            "sum": state["sum"] + t.sum(axis=0),
            "squares": state["squares"] + (t * t).sum(axis=0),
            "origin": origin,
            "count": state["count"] + float(rows),
        }

    def compute(self, state: Mapping[str, Array]) -> float:
        """1 - error / variance, averaged; an output that is constant scores 1 if exact, else 0."""
        spread = state["squares"] - state["sum"] ** 2 / max(float(state["count"]), 1.0)
        error = state["error"]
        with np.errstate(all="ignore"):
            scores = np.where(spread > 0, 1 - error / spread, np.where(error == 0, 1.0, 0.0))
        return float(scores.mean())


class AUC(Metric):
    """The area under the ROC curve, from a histogram of the scores with ``bins`` bins.

    Scores are logits z (of two outputs: their difference; of probabilities: their log-odds), binned
    evenly in z / (1 + |z|); rows in one bin count as ties, so the error is at most the share of
    pairs of a positive and a negative row that share a bin, halved.

    >>> from chainrule.train import AUC
    >>> AUC()([2.0, 1.0, -1.0, 3.0], [1, 0, 0, 1])
    1.0
    """

    name = "auc"

    def __init__(
        self, from_logits: bool = True, bins: int = 4096, ignore_index: int | None = None
    ) -> None:
        """``bins`` ≥ 2; ``ignore_index`` as in `Accuracy`."""
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
            raise OptionError(f"AUC: bins is at least 2, got {bins!r}")
        self.from_logits, self.bins, self.ignore_index = from_logits, bins, ignore_index

    def init(self, prediction: Shape, target: Shape) -> dict[str, Array]:
        """One histogram for negatives, one for positives."""
        if len(prediction) > 1 and prediction[1] > 2:
            raise OptionError(f"auc is for two classes, the model has {prediction[1]} outputs")
        return {"histogram": zero((2 * self.bins,))}

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Count the rows of each bin."""
        if prediction.ndim > 1 and prediction.shape[1] == 2:
            z = prediction[:, 1] - prediction[:, 0]
            truth = target[:, 1] if target.shape == prediction.shape else target
        else:
            z, truth = prediction, target
        z = z.reshape(-1)
        if not self.from_logits and prediction.node.size == z.node.size:
            z = e.log(e.maximum(z, 1e-30)) - e.log(e.maximum(1.0 - z, 1e-30))
        size = e.minimum(e.abs(z), 1e30)  # of an infinite score too
        place = (e.where(z < 0, -size, size) / (1.0 + size) * 0.5 + 0.5) * float(self.bins)
        place = e.minimum(e.maximum(place, 0.0), float(self.bins - 1))
        known = z == z  # a score that is NaN makes the area NaN
        counted = self.counted(truth)
        truth = truth.reshape(-1)
        index = (
            e.where(known, place, 0.0).to(dt.int32)
            + (truth > 0.5 if dt.is_float(truth.dtype) else truth > 0).to(dt.int32) * self.bins
        )
        rows = e.where(known, 1.0, float("nan")).double()
        if counted is not None:
            rows = e.where(counted.reshape(-1), rows, 0.0)
        return {"histogram": make(g.scatter_add(state["histogram"].node, index.node, rows.node))}

    def compute(self, state: Mapping[str, Array]) -> float:
        """P(score of a positive > score of a negative) + P(tie) / 2."""
        negative, positive = state["histogram"].reshape(2, self.bins)
        pairs = negative.sum() * positive.sum()
        below = np.concatenate([[0.0], np.cumsum(negative)[:-1]])
        return float((positive * (below + negative / 2)).sum() / pairs) if pairs else float("nan")


class FunctionMetric(Metric):
    """A function f(prediction, target) of the user's.

    It gives a scalar (the mean of a batch) or one number per row (or per label).

    Of numbers per row those of ignored labels are left out. A scalar counts by the rows of its
    batch; a function that gives one sees ignored labels in ``target`` and must leave them out.
    """

    def __init__(self, function: Callable[..., Any], name: str = "") -> None:
        """``name``: how the history calls it, by default the function's name."""
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Weigh the batch by its rows."""
        value = self.function(prediction, target)
        first = prediction if isinstance(prediction, Tensor) else next(iter(_leaves(prediction)))
        rows = first.shape[0]
        if not isinstance(value, Tensor) or (value.ndim and value.shape[0] != rows):
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise OptionError(
                f"metric {self.name}: a scalar tensor or one number per row is expected, got {got}"
            )
        if value.ndim:
            counted = self.counted(target) if isinstance(target, Tensor) else None
            return _with_batch(state, value.double(), counted)
        total = value.double() * float(rows)
        return {"sum": state["sum"] + total, "count": state["count"] + float(rows)}


def _leaves(values: Any) -> list[Tensor]:
    return list(values.values()) if isinstance(values, Mapping) else list(values)


_NAMES: dict[str, Callable[[bool], Metric]] = {
    "accuracy": lambda logits: Accuracy(logits),
    "acc": lambda logits: Accuracy(logits),
    "precision": lambda logits: Precision(from_logits=logits),
    "recall": lambda logits: Recall(from_logits=logits),
    "f1": lambda logits: F1(from_logits=logits),
    "auc": lambda logits: AUC(logits),
    "mae": lambda _: MeanAbsoluteError(),
    "mse": lambda _: MeanSquaredError(),
    "rmse": lambda _: RootMeanSquaredError(),
    "r2": lambda _: R2(),
    "top_k_accuracy": lambda _: TopKAccuracy(),
    "top5_accuracy": lambda _: TopKAccuracy(5),
    "top3_accuracy": lambda _: TopKAccuracy(3),
}
_SYNONYMS = {
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "sparse_categorical_accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "binary_accuracy": "accuracy",
    "sparse_top_k_categorical_accuracy": "top_k_accuracy",
    "top_k_categorical_accuracy": "top_k_accuracy",
    "r2_score": "r2",
    "roc_auc": "auc",
    "f1_score": "f1",
}
"""What other libraries call them."""
METRICS = tuple(_NAMES)
"""Names that stand for metrics."""


def as_metric(given: Any, from_logits: bool = True) -> Metric:
    """A metric from a name, a Metric, or a function of (prediction, target)."""
    if isinstance(given, Metric):
        return given
    if isinstance(given, str):
        given = _SYNONYMS.get(given, given)
        if given not in _NAMES:
            raise OptionError(
                f"metrics: no metric is called {given!r}; there are {', '.join(METRICS)}"
            )
        return _NAMES[given](from_logits)
    if callable(given) and not isinstance(given, type):
        return FunctionMetric(given)
    hint = " (a class: add parentheses)" if isinstance(given, type) else ""
    raise OptionError(
        "metrics: expected a name, a Metric or a function (prediction, target), got "
        f"{given!r}{hint}"
    )
