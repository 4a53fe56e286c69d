"""Random sequences of views and changes in place: tensors and NumPy's arrays stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr

VIEWS = [
    lambda x, i, j: x[i % x.shape[0]],
    lambda x, i, j: x[i % x.shape[0] :],
    lambda x, i, j: x[..., : j + 1],
    lambda x, i, j: x[:: i % 3 + 1],
    lambda x, i, j: x[::-1, ...],
    lambda x, i, j: x[i % x.shape[0] :: -1],
    lambda x, i, j: x[..., :: -(j % 2) - 1],
    lambda x, i, j: x[:, None],
    lambda x, i, j: x.reshape(-1),
    lambda x, i, j: x.reshape(2, -1),
    lambda x, i, j: x.reshape(*x.shape[:-1], -1, 1),
    lambda x, i, j: x.T,
    lambda x, i, j: x.swapaxes(i % x.ndim, j % x.ndim),
    lambda x, i, j: x.squeeze(),
]
WRITES = [
    lambda x, i, j: x.__iadd__(i),
    lambda x, i, j: x.__imul__(j - 1),
    lambda x, i, j: x.__setitem__(..., i),
    lambda x, i, j: x.__setitem__(i % x.shape[0], j),
    lambda x, i, j: x[j % x.shape[0] :].__isub__(i),
    lambda x, i, j: x.__setitem__(slice(None), x[::-1] * 1),
    lambda x, i, j: np.asarray(x)[:1].__iadd__(j),
]
small = st.integers(0, 4)
actions = st.lists(
    st.tuples(st.sampled_from([*VIEWS, *WRITES]), st.integers(0, 30), small, small),
    min_size=3,
    max_size=14,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), actions)
def test_tensors_and_arrays_share_alike(shape: list[int], actions: Any) -> None:
    start = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    arrays, tensors = [start], [cr.tensor(start)]
    for action, which, i, j in actions:
        array, tensor = arrays[which % len(arrays)], tensors[which % len(arrays)]
        try:
            expected = action(array, i, j)
        except (ValueError, IndexError, ZeroDivisionError):
            continue  # not of this shape
        found = action(tensor, i, j)
        if action in VIEWS and isinstance(expected, np.ndarray):
            arrays.append(expected)
            tensors.append(found)
        if which % 3 == 0:
            tensor.tolist()
    for expected, found in zip(arrays, tensors, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
