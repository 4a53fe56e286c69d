"""What fit, evaluate and predict are given, as data sets that the model was seen to take."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

from ...errors import ShapeError
from ...tensor.tensor import Tensor
from ..measure.meter import metric_key, named_metrics
from ..measure.targets import prepare_targets
from ..rows.arrays import arrays_of
from ..rows.columns import check_columns, columns_of
from ..rows.dataset import Dataset, evaluation_data, training_data
from ..rows.loaders import gives_batches, rows_of
from ..rows.sequences import padded_data
from .steps import Steps


def training_sets(
    steps: Steps,
    x: Any,
    y: Any,
    batch: int,
    shuffle: bool,
    validation_data: Any = None,
    validation_split: float = 0.0,
    **options: Any,
) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and those to validate with; see `training_data`."""
    if gives_batches(validation_data):
        validation_data = rows_of("fit: validation_data", validation_data)[:2]
    task = steps.task
    task._check_parts()
    check_columns("fit", x, task.columns, only_order=True)
    task.columns = columns_of(x) or task.columns
    x, y = _padded("fit", steps, x, y)
    if isinstance(validation_data, tuple | list) and len(validation_data) in (2, 3):
        check_columns("fit: validation_data", validation_data[0], task.columns)
        pair = _padded("fit: validation_data", steps, *validation_data[:2])
        validation_data = (*pair, *validation_data[2:])
    dtype, ignored = task._float_dtype(), steps.objective.ignore_index
    options = {"validation_split": validation_split, "ignore_index": ignored, **options}
    data, validation = training_data(dtype, x, y, batch, shuffle, validation_data, **options)
    data = checked("fit", steps, data)
    if validation is not None:
        where = "fit" if validation_data is None else "fit: validation_data"
        validation = checked(where, steps, validation)
    return data, validation


def evaluation_set(steps: Steps, x: Any, y: Any, sample_weight: Any, batch: int) -> Dataset:
    """The rows to measure, in their order."""
    if gives_batches(x) and y is None:
        x, y = rows_of("evaluate", x)[:2]
    check_columns("evaluate", x, steps.task.columns)
    x, y = _padded("evaluate", steps, x, y)
    dtype, ignored = steps.task._float_dtype(), steps.objective.ignore_index
    data = evaluation_data("evaluate", dtype, x, y, sample_weight, batch, ignored)
    return checked("evaluate", steps, data)


def prediction_set(steps: Steps, x: Any, batch: int) -> Dataset:
    """The rows to predict for; the model has not seen them yet."""
    if gives_batches(x):
        x = rows_of("predict", x).x
    check_columns("predict", x, steps.task.columns)
    x, _ = _padded("predict", steps, x, None)
    arrays = arrays_of("predict", "x", x, steps.task._float_dtype())
    return Dataset(arrays, None, None, batch, False, where="predict")


def with_metrics(steps: Steps, given: Any, data: Dataset, training: bool = True) -> Steps:
    """Steps that measure these metrics: those there are, while the metrics stay.

    ``training``: in training too.
    """
    key = metric_key(given)
    if key != steps.key:
        steps = Steps(steps.task, named_metrics(given, steps.objective, data.y), key)
    steps.prepare_meters(data, training)
    return steps


def _padded(where: str, steps: Steps, x: Any, y: Any) -> tuple[Any, Any]:
    """Lists of sequences as padded arrays, where the model takes lengths."""
    return padded_data(where, steps.task.model, steps.objective.padding_label, x, y)


def checked(where: str, steps: Steps, data: Dataset) -> Dataset:
    """The data after a look at what the model makes of it."""
    with steps.task._mode(False):
        prediction = prediction_of(where, steps, data)
    assert data.y is not None
    y = prepare_targets(where, steps.objective, data.y, prediction)
    same = all(map(operator.is_, y.arrays, data.y.arrays))
    return data if same else replace(data, y=y)


def prediction_of(where: str, steps: Steps, data: Dataset) -> Any:
    """A prediction without numbers.

    Raises ShapeError where ``x`` is one row without the axis of rows: a vector that the model takes
    as a row, but not in any number.
    """
    vectors = [n for n, a in zip(data.x.names, data.x.arrays, strict=True) if a.ndim == 1]
    problem = ""
    try:
        prediction, _ = steps.probe(data)
    except ShapeError as error:
        if not vectors:
            raise
        problem = f": {str(error).splitlines()[0]}"
    if not vectors or not problem and _takes_any_rows(steps, data):
        return prediction
    name, n = vectors[0], data.rows
    raise ShapeError(
        f"{where}: {name} has shape ({n},), {n} rows of one number each, which the model does "
        f"not take; for one row of {n} features write {name}[None], for {n} rows of one feature"
        f" {name}[:, None]{problem}"
    )


def _takes_any_rows(steps: Steps, data: Dataset) -> bool:
    """Whether one row more than a batch has makes one prediction more."""
    try:
        found, _ = steps.probe(data, 1)
    except ShapeError:
        return False
    first = found[0] if isinstance(found, tuple) else found
    rows = min(data.batch, data.rows) + 1
    return not isinstance(first, Tensor) or first.shape[:1] == (rows,)
