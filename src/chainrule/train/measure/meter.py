"""Meter: sums of loss and metrics over batches, kept in tensors that the compiled steps update."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Array
from ...errors import OptionError
from ...nn.loss import module_of
from ...tensor.tensor import Tensor
from ...tensor.value import make, stored
from ..kept import write_array
from ..rows.arrays import Arrays
from .batch import BatchLoss
from .metric import Metric, quotient
from .metrics import as_metric
from .objective import Objective, ignored_label, match_target, target_of

RECORD = 1 << 15
"""How many epochs of one step each a native run notes the losses of, at most."""


Measured = tuple[Any, str, Metric]
"""A metric with the output it is about (None: the only one) and its name."""


def scalar(value: float = 0.0) -> Tensor:
    """A float64 tensor that is state."""
    return stored(np.array(value, np.float64))


def named_metrics(given: Any, objective: Objective, y: Arrays | None) -> list[Measured]:
    """What a user gave as metrics."""
    if given is None:
        return []
    if not objective.single and not isinstance(given, Mapping):
        raise OptionError(
            "metrics: the model has several outputs; give a dict such as "
            f"{{{objective.parts[0].key!r}: ['mae']}}"
        )
    table = given if isinstance(given, Mapping) else {None: given}
    found: list[Measured] = []
    for key, items in table.items():
        parts = [p for p in objective.parts if p.key == key]
        if not parts:
            raise OptionError(
                f"metrics: there is no output {key!r}; the losses are for "
                f"{[p.key for p in objective.parts]}"
            )
        loss = parts[0].loss
        listed = [items] if isinstance(items, str | Metric) or callable(items) else list(items)
        for item in listed:
            logits = getattr(module_of(loss), "prediction", "") != "probabilities"
            metric = as_metric(item, logits)
            if getattr(metric, "multilabel", True) is None:
                metric = _of_labels(metric, _is_multilabel(loss, y, key), y)
            if metric.ignore_index is None and ignored_label(loss) is not None:
                metric = copy.copy(metric)
                metric.ignore_index = ignored_label(loss)
            name = metric.name if key is None else f"{key}_{metric.name}"
            if any(n == name for _, n, _ in found):
                raise OptionError(f"metrics: {name!r} occurs twice")
            found.append((key, name, metric))
    return found


def metric_key(given: Any) -> Any:
    """What makes two lists of metrics the same."""
    if isinstance(given, Mapping):
        return tuple((k, metric_key(v)) for k, v in given.items())
    if isinstance(given, list | tuple):
        return tuple(metric_key(v) for v in given)
    return given


def _is_multilabel(loss: Any, y: Arrays | None, key: Any) -> bool:
    """Whether the rows have several yes-or-no targets for the output ``key``."""
    if y is None or target_of(loss) != "probabilities":
        return False
    arrays = dict(zip(y.keys or range(len(y.arrays)), y.arrays, strict=True))
    own = y.arrays[0] if key is None else arrays.get(key if y.keys is None else str(key))
    return own is not None and own.ndim > 1 and own.shape[1] > 1


def _of_labels(metric: Any, several: bool, y: Arrays | None) -> Metric:
    """The metric of rows with several yes-or-no targets, or with one; those of steps are one kind
    of target."""
    found = copy.copy(metric)
    found.multilabel = several
    if several and y is not None and y.padded and getattr(found, "average", "") == "auto":
        found.average = "binary"
    own: Metric = found
    return own


class Meter:
    """Loss and metrics of one pass over a data set."""

    def __init__(self, objective: Objective, metrics: Sequence[Measured]) -> None:
        """``metrics``: as `named_metrics` gives them."""
        self.objective, self.metrics = objective, list(metrics)
        self.loss = scalar()
        self.parts = {p.name: scalar() for p in objective.parts} if not objective.single else {}
        self.counts = {p.name: scalar() for p in objective.parts}
        self._counting: set[str] = set()
        """The parts whose batches do not count by their rows, but by ``counts``."""
        self.states: list[dict[str, Tensor]] = []
        self.record = stored(np.zeros(RECORD))
        self.slot = stored(np.zeros((), np.uint32))
        self.rows = 0.0
        """What the batches so far count, as far as it is known without looking at numbers."""
        self._made: dict[Any, tuple[list[dict[str, Array]], list[dict[str, Tensor]]]] = {}
        self._zeros: list[dict[str, Array]] = []

    def prepare(self, prediction: Any, target: Any) -> None:
        """Make the metrics' tensors for the shapes of a batch (kept while only the rows differ)."""
        pairs = [self._pair(key, name, prediction, target) for key, name, _ in self.metrics]
        shapes = [
            (p.shape[1:], t.shape[1:]) if isinstance(p, Tensor) and isinstance(t, Tensor) else None
            for p, t in pairs
        ]
        key = tuple(shapes)
        if (
            key not in self._made
        ):  # steps already compiled go on using the tensors they were compiled with
            zeros = []
            for (_, _, metric), (p, t) in zip(self.metrics, pairs, strict=True):
                start = metric.init(getattr(p, "shape", ()), getattr(t, "shape", ()))
                zeros.append({k: np.array(v, order="C") for k, v in start.items()})
            states = [{k: stored(v.copy()) for k, v in z.items()} for z in zeros]
            self._made[key] = (zeros, states)
        self._zeros, self.states = self._made[key]

    def _pair(self, key: Any, name: str, prediction: Any, target: Any) -> tuple[Any, Any]:
        if key is None:
            loss = self.objective.parts[0].loss
            return prediction, match_target(loss, prediction, target)
        for part, p, t in self.objective.pairs(prediction, target):
            if part.key == key:
                return p, match_target(part.loss, p, t)
        raise OptionError(f"metric {name}: there is no loss, so no target, for output {key!r}")

    def add(self, loss: BatchLoss, prediction: Any, target: Any) -> None:
        """Add a batch; called while a step is traced."""
        batch, sums, total = loss.batch, self.objective.sums, loss.total.detach().double()
        for name, mean in batch.parts.items():
            value = mean.value.detach().double()
            if isinstance(mean.counted, Tensor) and not sums:
                self._counting.add(name)
                self.counts[name].assign(self.counts[name] + mean.counted)
                total = total - value * self._weight(name) if name else total
            if name:
                factor = 1.0 if sums else mean.count
                self.parts[name].assign(self.parts[name] + value * factor)
        self.loss.assign(self.loss + total * (1.0 if sums else loss.count))
        if prediction is None:
            return
        for (key, name, metric), state in zip(self.metrics, self.states, strict=True):
            p, t = self._pair(key, name, prediction, target)
            p = p.detach() if isinstance(p, Tensor) else p
            if batch.steps is None:
                new = metric.update(state, p, t)
            else:
                new = metric.without_padding(state, p, t, batch.steps)
            for k, value in new.items():
                state[k].assign(value)

    def note(self, loss: BatchLoss) -> None:
        """Write the loss into its place in the record; called while a step is traced."""
        record, value = self.record, loss.measured
        record.assign(make(g.put(record.node, self.slot.node, value.node)))
        self.slot.assign(make(g.add(self.slot.node, g.constant(1, dt.uint32))))

    def start_record(self) -> None:
        """The next loss goes to the first place."""
        write_array(self.slot, np.zeros((), np.uint32))

    def noted(self, n: int) -> Array:
        """The ``n`` losses since `start_record`."""
        return self.record._read()[:n].copy()

    def say_noted(self, n: int, rows: int) -> None:
        """Let `logs` say the last of the ``n`` losses noted, of an epoch of so many rows.

        `total` is then the first that is not finite, if there is one.
        """
        losses = self.record._read()[:n]
        finite = np.isfinite(losses)
        loss = losses[-1] if finite.all() else losses[finite.argmin()]
        self.rows = float(rows)
        write_array(self.loss, np.array(loss * (1.0 if self.objective.sums else rows)))
        write_array(self.counts[self.objective.parts[0].name], np.array(float(rows)))

    def reset(self) -> None:
        """Start again from nothing."""
        self.rows = 0.0
        for tensor, value in self.beginning():
            write_array(tensor, value)

    def beginning(self) -> list[tuple[Tensor, Array]]:
        """All tensors, with the numbers they begin with."""
        zero = np.zeros(())
        found = [(t, zero) for t in (self.loss, *self.counts.values(), *self.parts.values())]
        for state, zeros in zip(self.states, self._zeros, strict=True):
            found += [(t, zeros[k]) for k, t in state.items()]
        return found

    def set_total(self, value: float) -> None:
        """Make it the sum of the losses."""
        write_array(self.loss, np.array(value))

    @property
    def total(self) -> float:
        """The sum of the losses: NaN or infinite from the first bad step on."""
        return float(self.loss.item())

    def logs(self, prefix: str = "") -> dict[str, float]:
        """The means so far."""
        numbers = {k: np.array(t._read())[None] for k, t in self.tensors().items()}
        return {name: float(column[0]) for name, column in self.columns(numbers, prefix).items()}

    def columns(self, numbers: Mapping[str, Array], prefix: str = "") -> dict[str, Array]:
        """The means after several passes over so many rows as now, by name.

        ``numbers``: those of `tensors`, each with an axis of passes before its own.
        """
        means = {name: self._mean(name, numbers[f"part.{name}"], numbers) for name in self.parts}
        mean = self._mean("", numbers["loss"], numbers)
        for name in self._counting - {""}:  # the others are in the sum of the whole loss
            mean = mean + self._weight(name) * means[name]
        found = {f"{prefix}loss": mean}
        found |= {f"{prefix}{name}_loss": value for name, value in means.items()}
        for i, (_, name, metric) in enumerate(self.metrics):
            state = {k: numbers[f"metric.{i}.{k}"] for k in self.states[i]}
            found[f"{prefix}{name}"] = metric.computed(state) if self.rows else mean * math.nan
        return found

    def _mean(self, name: str, sums: Array, numbers: Mapping[str, Array]) -> Array:
        if self.objective.sums:
            return sums
        if name in self._counting:
            return quotient(sums, numbers[f"count.{name}"])
        return sums / self.rows if self.rows else sums * math.nan

    def _weight(self, name: str) -> float:
        return next(p.weight for p in self.objective.parts if p.name == name)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, for a checkpoint."""
        found = {"loss": self.loss}
        found |= {f"count.{k}": t for k, t in self.counts.items()}
        found |= {f"part.{k}": t for k, t in self.parts.items()}
        for i, state in enumerate(self.states):
            found |= {f"metric.{i}.{k}": t for k, t in state.items()}
        return found
