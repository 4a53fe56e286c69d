"""The shape rules' refusals, with the text a user meets."""
# ruff: noqa: E501 - one refusal a line

from __future__ import annotations

import numpy as np
import pytest

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.node import Node
from chainrule.errors import DTypeError, ShapeError

F, I, B = dt.float32, dt.int64, dt.bool_  # noqa: E741


def x(*shape: int, dtype: dt.DType = F) -> Node:
    return op.input(shape, dtype)


KEY = op.input((2,), dt.uint32)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: op.add(x(2), x(3)), ShapeError, "add expects equal shapes, got (2,) and (3,)"),
        (
            lambda: op.add(x(2), x(2, dtype=I)),
            DTypeError,
            "add expects equal dtypes, got float32 and int64",
        ),
        (lambda: op.exp(x(2, dtype=I)), DTypeError, "exp does not take int64; cast first"),
        (lambda: op.add(x(dtype=B), x(dtype=B)), DTypeError, "add does not take bool; cast first"),
        (lambda: op.not_(x(2)), DTypeError, "not does not take float32; cast first"),
        (
            lambda: op.where(x(2, dtype=B), x(2), x(3)),
            ShapeError,
            "where expects equal shapes, got (2,), (2,), (3,)",
        ),
        (
            lambda: op.where(x(2), x(2), x(2)),
            DTypeError,
            "where expects bool and two equal dtypes, got float32,",
        ),
        (lambda: op.sum(x(2), [1]), ShapeError, "sum over axes (1,) of shape (2,)"),
        (lambda: op.sum(x(2), [-1]), ShapeError, "sum over axes (-1,) of shape (2,)"),
        (lambda: op.sum(x(2), [0, 0]), ShapeError, "sum over axes (0, 0) of shape (2,)"),
        (lambda: op.sum(x(2, dtype=B), [0]), DTypeError, "sum does not take bool; cast first"),
        (
            lambda: op.reduce_max(x(2, 0), [1]),
            ShapeError,
            "reduce_max over an empty axis has no value: shape (2, 0)",
        ),
        (lambda: op.argmax(x(2, 0), 1), ShapeError, "argmax over axis 1 of shape (2, 0)"),
        (lambda: op.argmax(x(2, dtype=B), 0), DTypeError, "argmax does not take bool"),
        (
            lambda: op.reshape(x(2, 3), (4,)),
            ShapeError,
            "cannot reshape (2, 3) (6 elements) to (4,) (4)",
        ),
        (
            lambda: op.reshape(x(2, 3), (-2, -3)),
            ShapeError,
            "cannot reshape (2, 3) (6 elements) to (-2, -3)",
        ),
        (
            lambda: op.permute(x(2, 3), (0, 0)),
            ShapeError,
            "(0, 0) is not a permutation of the 2 axes of (2, 3)",
        ),
        (lambda: op.broadcast(x(2), (3,)), ShapeError, "cannot broadcast (2,) to (3,)"),
        (
            lambda: op.slice(x(3), (0,), (4,), (1,)),
            ShapeError,
            "slice [0:4:1] outside an axis of 3",
        ),
        (
            lambda: op.slice(x(3), (0,), (3,), (0,)),
            ShapeError,
            "slice [0:3:0] outside an axis of 3",
        ),
        (
            lambda: op.slice(x(3), (), (), ()),
            ShapeError,
            "slice of (3,) needs 1 starts, stops and steps",
        ),
        (lambda: op.pad(x(3), (-1,), (0,)), ShapeError, "pad of (3,) by (-1,) and (0,)"),
        (lambda: op.flip(x(3), (1,)), ShapeError, "flip over axes (1,) of shape (3,)"),
        (lambda: op.flip(x(3), (0, 0)), ShapeError, "flip over axes (0, 0) of shape (3,)"),
        (
            lambda: op.concat([x(2, 3), x(3, 3)], 1),
            ShapeError,
            "concat along axis 1: (2, 3) and (3, 3) differ",
        ),
        (lambda: op.concat([x(2), x(2)], -1), ShapeError, "concat along axis -1 of shape (2,)"),
        (lambda: op.concat([x(), x()], 0), ShapeError, "concat along axis 0 of shape ()"),
        (lambda: op.concat([x(2), x(2, dtype=I)], 0), DTypeError, "concat expects equal dtypes"),
        (
            lambda: op.dot(x(2, 3), x(2, 3)),
            ShapeError,
            "dot expects (*batch, m, k) and (*batch, k, n), got (2, 3)",
        ),
        (
            lambda: op.dot(x(2, 3), x(3, 2, dtype=I)),
            DTypeError,
            "dot expects equal numeric dtypes, got float32 and",
        ),
        (lambda: op.gather(x(3), x(2)), DTypeError, "gather expects integer indices, got float32"),
        (
            lambda: op.gather(x(0), x(2, dtype=I)),
            ShapeError,
            "gather from shape (0,): there is nothing to take",
        ),
        (
            lambda: op.scatter_add(x(3), x(2, dtype=I), x(3)),
            ShapeError,
            "scatter_add into (3,): indices (2,), updates",
        ),
        (lambda: op.scatter_add(x(3), x(2), x(2)), DTypeError, "scatter_add: indices float32"),
        (
            lambda: op.put(x(3), x(), x()),
            DTypeError,
            "put: index float32, value float32 into float32",
        ),
        (
            lambda: op.put(x(3), x(1, dtype=I), x()),
            ShapeError,
            "put into (3,): index (1,), value ()",
        ),
        (
            lambda: op.put(x(3, 2), x(dtype=I), x(3)),
            ShapeError,
            "put into (3, 2): index (), value (3,)",
        ),
        (
            lambda: op.random_bits(x(2), (3,)),
            ShapeError,
            "random_bits expects a key uint32[..., 2], got float32[2]",
        ),
        (
            lambda: op.fold_in(KEY, x(3, dtype=dt.uint32)),
            ShapeError,
            "fold_in with key [2] expects data uint32[],",
        ),
        (lambda: op.shuffle(x(3), KEY, 5), ShapeError, "shuffle: position float32[3], key [2]"),
        (lambda: op.iota((2,), 1, I), ShapeError, "iota along axis 1 of shape (2,)"),
        (lambda: x(2, -1), ShapeError, "a shape has no negative sizes: (2, -1)"),
        (
            lambda: op.constant(np.float16(1)),
            DTypeError,
            "dtype float16 is not supported; use one of bool, uint8",
        ),
    ],
)
def test_what_does_not_fit_is_refused(build, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        build()
    assert message in str(caught.value)
