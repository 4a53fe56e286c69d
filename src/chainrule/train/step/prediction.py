"""The outputs of a model for all rows of a data set, batch by batch, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import ShapeError
from ...tensor.tensor import Tensor
from ...tensor.value import Value, stored
from ..rows.dataset import Dataset
from .steps import tensors_in

Predict = Callable[[Dataset, tuple[Tensor, ...]], Any]


def outputs_of(data: Dataset, most: int, prediction: Any, predict: Predict) -> Any:
    """What ``predict`` makes of each batch, joined; ``prediction``: of one batch, for its shapes.

    A last batch that is smaller is filled up with copies of its last row, so that few sizes are
    compiled.
    """
    for t in tensors_in(prediction):
        if t.shape[:1] != (data.batch,):
            raise ShapeError(
                f"predict: the model returns shape {t.shape} for {data.batch} rows; the first axis "
                "must count the rows"
            )
    outputs: list[Any] = []
    for start in range(0, data.rows, data.batch):
        stop = min(start + data.batch, data.rows)
        padded = min(1 << (stop - start - 1).bit_length(), most)
        tensors = tuple(stored(_rows(a, start, stop, padded)) for a in data.x.arrays)
        outputs.append(_numpy(predict(data, tensors), stop - start))
    return _joined(outputs)


def _rows(array: Array, start: int, stop: int, padded: int) -> Array:
    part = array[start:stop]
    if padded > stop - start:
        part = np.concatenate([part, np.repeat(part[-1:], padded - (stop - start), axis=0)])
    part = part.view()
    part.setflags(write=False)
    return part


def _numpy(output: Any, rows: int) -> Any:
    if isinstance(output, Mapping):
        return {k: _numpy(v, rows) for k, v in output.items()}
    if isinstance(output, tuple | list):
        return tuple(_numpy(v, rows) for v in output)
    return np.asarray(output._read())[:rows] if isinstance(output, Value) else output


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {k: _joined([p[k] for p in parts]) for k in first}
    if isinstance(first, tuple):
        return tuple(_joined(list(p)) for p in zip(*parts, strict=True))
    return np.concatenate(parts) if len(parts) > 1 else np.array(first)
