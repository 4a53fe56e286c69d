"""Evaluator: the compiled steps of a task, and what its model is worth and predicts."""

from __future__ import annotations

from typing import Any

from ..habits import EVALUATE, EVALUATE_SYNONYMS, PREDICT, PREDICT_SYNONYMS, knows
from ..nn.options import check, integer
from .alone import one_thread
from .measure.measures import Measures
from .measure.probabilities import probabilities
from .rows.dataset import EVALUATION_BATCH, Dataset
from .step import given
from .step.prediction import outputs_of
from .step.steps import Steps
from .task import Task


class Evaluator(Task):
    """A task that measures its model and predicts with it; the `Trainer` is one with `fit`."""

    def __init__(self, *task: Any, metrics: Any = None) -> None:
        """``task``: the arguments of a `Task`."""
        super().__init__(*task)
        self.metrics = metrics

    def __getstate__(self) -> dict[str, Any]:
        """All but the compiled steps: a copy makes its own."""
        return {name: part for name, part in self.__dict__.items() if name != "_compiled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.metrics = self._metrics

    @property
    def metrics(self) -> Any:
        """The metrics given last, to the Trainer or to `fit`; others hold from the next call on."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics, self._compiled = metrics, Steps(self)

    @property
    def _steps(self) -> Steps:
        """The compiled steps for the loss that there is now."""
        if self._compiled.objective is not self.objective:
            self.metrics = self._metrics
        return self._compiled

    @property
    def measures(self) -> list[str]:
        """The names of what `fit` measures in each epoch."""
        own = ["loss", *(f"{p.name}_loss" for p in self.objective.parts if p.name)]
        own += [name for _, name, _ in self._steps.meter.metrics]
        return own + ([f"val_{name}" for name in own] if self.has_validation else [])

    @knows(EVALUATE, EVALUATE_SYNONYMS)
    @one_thread()
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = EVALUATION_BATCH,
        *,
        sample_weight: Any = None,
        metrics: Any = None,
    ) -> dict[str, float]:
        """Loss and metrics over the rows of ``x`` and ``y``; nothing is changed.

        The result does not depend on ``batch_size``: it is over all rows that count. A dict by
        name; unpacking it is a TypeError. ``metrics``: others than the Trainer's, in this call.
        """
        check("evaluate", {"batch_size": integer(1)}, {"batch_size": batch_size})
        data = given.evaluation_set(self._steps, x, y, sample_weight, int(batch_size))
        wanted = self.metrics if metrics is None else metrics
        self._compiled = given.with_metrics(self._steps, wanted, data, training=False)
        return Measures(self._evaluate(data))

    def _evaluate(self, data: Dataset) -> Any:
        return self._steps.measure(data)

    @knows(PREDICT, PREDICT_SYNONYMS)
    @one_thread()
    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH) -> Any:
        """The model's outputs for the rows of ``x``, in evaluation mode, as NumPy arrays.

        A last batch that is smaller is filled up with copies of its last row, so that few sizes are
        compiled.
        """
        check("predict", {"batch_size": integer(1)}, {"batch_size": batch_size})
        data = given.prediction_set(self._steps, x, int(batch_size))
        with self._mode(False):
            prediction = given.prediction_of("predict", self._steps, data)
            return outputs_of(data, int(batch_size), prediction, self._predicted)

    @knows(PREDICT, PREDICT_SYNONYMS)
    def predict_proba(self, x: Any, batch_size: int = EVALUATION_BATCH) -> Any:
        """Probabilities, as the loss understands the outputs.

        The softmax of logits over axis 1 (``CrossEntropyLoss``), their sigmoid
        (``BCEWithLogitsLoss``), the exponential of log-probabilities (``NLLLoss``).

        Raises OptionError for another loss, or several.
        """
        loss = self.objective.parts[0].loss if self.objective.single else self.loss
        return probabilities(loss, self.predict(x, batch_size))

    def _predicted(self, data: Dataset, tensors: Any) -> Any:
        return self._steps.run_prediction(data, tensors)
