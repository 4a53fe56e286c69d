"""Metrics: numbers about predictions, summed up inside the compiled program.

A metric is a pure description: `init` gives the arrays it sums up in (from the shapes of one
batch), `update` adds a batch to them (tensor expressions, part of the program), `compute` makes the
number.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core.node import Array, Shape
from ...errors import OptionError
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, stored
from ..rows.sequences import spread

State = Mapping[str, Any]


def zero(shape: Shape = ()) -> Array:
    """Where a sum or a count begins."""
    return np.zeros(shape, np.float64)


def quotient(sums: Array, counts: Array) -> Array:
    """sum / count; NaN of nothing."""
    if counts.all():
        return sums / counts
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts == 0, np.nan, sums / counts)


class Metric:
    """Base of metrics. Subclasses define `update` and `compute`, `init` unless two scalars do.

    >>> from chainrule.train import Metric
    >>> class MaxError(Metric):
    ...     name = "max_error"
    ...     def init(self, prediction, target):
    ...         import numpy as np
    ...         return {"largest": np.zeros(())}
    ...     def update(self, state, prediction, target):
    ...         import chainrule as cr
    ...         worst = abs(prediction - target).max().double()
    ...         return {"largest": cr.maximum(state["largest"], worst)}
    ...     def compute(self, state):
    ...         return float(state["largest"])
    """

    name: str = "metric"
    ignore_index: int | None = None
    """The label of rows that do not count. The Trainer sets it, on a copy, to that of the loss,
    unless it is set; a subclass of yours leaves these rows out by `counted`."""
    _steps: Tensor | None = None  # (N, T), of a batch of padded targets: which are no padding
    _has_counted = False

    def counted(self, target: Tensor) -> Tensor | None:
        """Which targets count, not ignored, no padding: booleans of the target's shape; None: all.

        >>> import chainrule as cr
        >>> from chainrule.train import Accuracy
        >>> Accuracy(ignore_index=-100).counted(cr.tensor([1, -100]))
        tensor([ True, False])
        """
        found: Tensor | None = None
        if self.ignore_index is not None and not dt.is_float(target.dtype):
            found = target.to(dt.int64) != self.ignore_index
        there = None if self._steps is None else spread(self._steps, target)
        if there is not None:
            self._has_counted = True
            found = there if found is None else found & there
        return found

    def without_padding(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor, steps: Tensor | None
    ) -> dict[str, Tensor]:
        """`update` with a batch of targets (N, T, *); ``steps`` (N, T): which are no padding.

        Raises OptionError if `update` does not ask which targets count.
        """
        own = copy.copy(self)
        own._steps = steps
        found = own.update(state, prediction, target)
        if steps is not None and not own._has_counted:
            raise OptionError(
                f"metric {self.name} would count targets that are padding: let its update leave "
                "them out by self.counted(target); a function gives one number for each target"
            )
        return found

    def init(self, prediction: Shape, target: Shape) -> dict[str, Array]:
        """The state before the first batch, for these shapes of a batch; here a sum and a count."""
        return {"sum": zero(), "count": zero()}

    def update(
        self, state: Mapping[str, Tensor], prediction: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """The state after a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no update method")

    def compute(self, state: Mapping[str, Array]) -> float:
        """The metric over all batches; here sum / count."""
        count = float(state["count"])
        return float(state["sum"]) / count if count else float("nan")

    def computed(self, states: Mapping[str, Array]) -> Array:
        """`compute` of many states: each array has an axis before its own."""
        if type(self).compute is Metric.compute:
            return quotient(states["sum"], states["count"])
        rows = range(len(next(iter(states.values()))))
        found = (float(self.compute({k: v[i, ...] for k, v in states.items()})) for i in rows)
        return np.fromiter(found, np.float64)

    def __call__(self, prediction: Any, target: Any) -> float:
        """The metric of these rows by themselves: arrays or tensors of predictions and targets.

        >>> from chainrule.train import MeanAbsoluteError
        >>> MeanAbsoluteError()([1.0, 2.0], [1.5, 1.0])
        0.75
        """
        p, t = as_tensor(prediction), as_tensor(target)
        state = {k: stored(v) for k, v in self.init(p.shape, t.shape).items()}
        return self.compute({k: v.numpy() for k, v in self.update(state, p, t).items()})
