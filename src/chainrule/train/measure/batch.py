"""Batch: the rows of one step, and what they count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ...tensor.ops import elementwise as e
from ...tensor.tensor import Tensor


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
class Batch:
    """The rows of one step: ``x`` and ``y`` as the user gave them, of ``rows`` rows.

    ``weight`` (N,): of each row, with the mean 1 over the data set. ``steps`` (N, T): which steps
    of the targets are no padding. ``x, y = batch`` takes it apart.
    """

    x: Any
    y: Any
    rows: int
    weight: Tensor | None = None
    steps: Tensor | None = None
    parts: dict[str, Mean] = field(default_factory=dict)
    """What the loss found, by the names of its parts (the only one is called "")."""

    def replace(self, x: Any = None, y: Any = None) -> Batch:
        """The same rows with another ``x`` or ``y``, changed at random or cut out of them."""
        return replace(self, x=self.x if x is None else x, y=self.y if y is None else y)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.y))


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch: of all parts, weighted and added, and of each."""

    total: Tensor
    batch: Batch

    @property
    def only(self) -> Mean | None:
        """The mean of the only part."""
        return self.batch.parts.get("")

    @property
    def count(self) -> Any:
        """What the gradient of the batch counts among those of other batches."""
        return self.batch.rows if self.only is None else self.only.count

    @property
    def measured(self) -> Tensor:
        """The loss as a mean of this batch alone: divided by what it counts."""
        mean, value = self.only, self.total.detach().double()
        if mean is None or mean.counted is mean.count:
            return value
        found: Tensor = value * mean.count / e.where(mean.counted == 0, 1.0, mean.counted)
        return found
