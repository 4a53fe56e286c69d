"""Shape and dtype of each primitive's result, from its inputs and parameters; or an error.

Elementwise primitives take equal shapes and equal dtypes: broadcasting and casting are primitives
of their own, put in by the layer above.
"""

from __future__ import annotations

import math

from ...errors import DTypeError, ShapeError
from .. import dtypes as dt
from ..dtypes import DType
from ..node import Node
from .primitive import Infer, Params, Shape


def same(name: str, kinds: str, result: DType | None = None) -> Infer:
    """Equal shapes and dtypes, of one of ``kinds`` (NumPy kind letters)."""

    def infer(params: Params, *inputs: Node) -> tuple[Shape, DType]:
        first = inputs[0]
        for other in inputs[1:]:
            if other.shape != first.shape:
                raise ShapeError(
                    f"{name} expects equal shapes, got {first.shape} and {other.shape}"
                )
            if other.dtype != first.dtype:
                raise DTypeError(
                    f"{name} expects equal dtypes, got {first.dtype} and {other.dtype}"
                )
        if first.dtype.kind not in kinds:
            raise DTypeError(f"{name} does not take {first.dtype}; cast first")
        return first.shape, result or first.dtype

    return infer


def where(params: Params, condition: Node, a: Node, b: Node) -> tuple[Shape, DType]:
    if not condition.shape == a.shape == b.shape:
        raise ShapeError(f"where expects equal shapes, got {condition.shape}, {a.shape}, {b.shape}")
    if condition.dtype != dt.bool_ or a.dtype != b.dtype:
        raise DTypeError(
            f"where expects bool and two equal dtypes, got {condition.dtype}, {a.dtype}, {b.dtype}"
        )
    return a.shape, a.dtype


def cast(params: Params, x: Node) -> tuple[Shape, DType]:
    return x.shape, params["dtype"]


def reduce(name: str, kinds: str) -> Infer:
    def infer(params: Params, x: Node) -> tuple[Shape, DType]:
        axes = params["axes"]
        if x.dtype.kind not in kinds:
            raise DTypeError(f"{name} does not take {x.dtype}; cast first")
        if list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
            raise ShapeError(f"{name} over axes {axes} of shape {x.shape}")
        if name != "sum" and any(x.shape[a] == 0 for a in axes):
            raise ShapeError(
                f"{name} over an empty axis has no value: shape {x.shape}, axes {axes}"
            )
        return tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype

    return infer


def argmax(params: Params, x: Node) -> tuple[Shape, DType]:
    axis = params["axis"]
    if x.dtype == dt.bool_:
        raise DTypeError("argmax does not take bool; cast first")
    if not 0 <= axis < x.ndim or x.shape[axis] == 0:
        raise ShapeError(f"argmax over axis {axis} of shape {x.shape}")
    return x.shape[:axis] + x.shape[axis + 1 :], dt.int64


def reshape(params: Params, x: Node) -> tuple[Shape, DType]:
    shape = params["shape"]
    if math.prod(shape) != x.size or min(shape, default=0) < 0:
        raise ShapeError(
            f"cannot reshape {x.shape} ({x.size} elements) to {shape} ({math.prod(shape)})"
        )
    return shape, x.dtype


def permute(params: Params, x: Node) -> tuple[Shape, DType]:
    axes = params["axes"]
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"permute: {axes} is not a permutation of the {x.ndim} axes of {x.shape}")
    return tuple(x.shape[a] for a in axes), x.dtype


def broadcast(params: Params, x: Node) -> tuple[Shape, DType]:
    shape = params["shape"]
    if len(shape) != x.ndim or any(a not in (1, b) for a, b in zip(x.shape, shape, strict=True)):
        raise ShapeError(f"cannot broadcast {x.shape} to {shape}")
    return shape, x.dtype


def slice_(params: Params, x: Node) -> tuple[Shape, DType]:
    starts, stops, steps = params["starts"], params["stops"], params["steps"]
    if not len(starts) == len(stops) == len(steps) == x.ndim:
        raise ShapeError(f"slice of {x.shape} needs {x.ndim} starts, stops and steps")
    for n, a, b, s in zip(x.shape, starts, stops, steps, strict=True):
        if not (0 <= a <= b <= n and s >= 1):
            raise ShapeError(f"slice [{a}:{b}:{s}] outside an axis of {n}")
    return tuple(-(-(b - a) // s) for a, b, s in zip(starts, stops, steps, strict=True)), x.dtype


def pad(params: Params, x: Node) -> tuple[Shape, DType]:
    low, high = params["low"], params["high"]
    if not len(low) == len(high) == x.ndim or min((*low, *high), default=0) < 0:
        raise ShapeError(f"pad of {x.shape} by {low} and {high}")
    return tuple(n + a + b for n, a, b in zip(x.shape, low, high, strict=True)), x.dtype


def concat(params: Params, *inputs: Node) -> tuple[Shape, DType]:
    axis, first = params["axis"], inputs[0]
    if not 0 <= axis < first.ndim:
        raise ShapeError(f"concat along axis {axis} of shape {first.shape}")
    for other in inputs[1:]:
        a, b = list(first.shape), list(other.shape)
        if len(a) != len(b) or a[:axis] + a[axis + 1 :] != b[:axis] + b[axis + 1 :]:
            raise ShapeError(
                f"concat along axis {axis}: {first.shape} and {other.shape} differ elsewhere"
            )
        if other.dtype != first.dtype:
            raise DTypeError(f"concat expects equal dtypes, got {first.dtype} and {other.dtype}")
    shape = list(first.shape)
    shape[axis] = sum(i.shape[axis] for i in inputs)
    return tuple(shape), first.dtype


def flip(params: Params, x: Node) -> tuple[Shape, DType]:
    axes = params["axes"]
    if list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
        raise ShapeError(f"flip over axes {axes} of shape {x.shape}")
    return x.shape, x.dtype


def dot(params: Params, a: Node, b: Node) -> tuple[Shape, DType]:
    if a.dtype != b.dtype or a.dtype.kind == "b":
        raise DTypeError(f"dot expects equal numeric dtypes, got {a.dtype} and {b.dtype}")
    if a.ndim < 2 or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"dot expects (*batch, m, k) and (*batch, k, n), got {a.shape} and {b.shape}"
        )
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def gather(params: Params, x: Node, index: Node) -> tuple[Shape, DType]:
    if index.dtype.kind not in "iu":
        raise DTypeError(f"gather expects integer indices, got {index.dtype}")
    if x.ndim < 1 or (x.shape[0] == 0 and index.size):
        raise ShapeError(f"gather from shape {x.shape}: there is nothing to take")
    return index.shape + x.shape[1:], x.dtype


def scatter_add(params: Params, x: Node, index: Node, updates: Node) -> tuple[Shape, DType]:
    if index.dtype.kind not in "iu" or updates.dtype != x.dtype:
        raise DTypeError(
            f"scatter_add: indices {index.dtype}, updates {updates.dtype} into {x.dtype}"
        )
    if x.ndim < 1 or updates.shape != index.shape + x.shape[1:] or (x.shape[0] == 0 and index.size):
        raise ShapeError(
            f"scatter_add into {x.shape}: indices {index.shape}, updates {updates.shape}"
        )
    return x.shape, x.dtype


def put(params: Params, x: Node, index: Node, value: Node) -> tuple[Shape, DType]:
    if index.dtype.kind not in "iu" or value.dtype != x.dtype:
        raise DTypeError(f"put: index {index.dtype}, value {value.dtype} into {x.dtype}")
    if x.ndim < 1 or index.shape != () or value.shape != x.shape[1:] or x.shape[0] == 0:
        raise ShapeError(f"put into {x.shape}: index {index.shape}, value {value.shape}")
    return x.shape, x.dtype


def check_key(name: str, key: Node) -> None:
    if key.dtype != dt.uint32 or key.ndim < 1 or key.shape[-1] != 2:
        raise ShapeError(f"{name} expects a key uint32[..., 2], got {key.dtype}{list(key.shape)}")


def random_bits(params: Params, key: Node) -> tuple[Shape, DType]:
    check_key("random_bits", key)
    return key.shape[:-1] + tuple(params["shape"]), dt.uint32


def fold_in(params: Params, key: Node, data: Node) -> tuple[Shape, DType]:
    check_key("fold_in", key)
    if data.dtype != dt.uint32 or data.shape != key.shape[:-1]:
        raise ShapeError(
            f"fold_in with key {list(key.shape)} expects data uint32{list(key.shape[:-1])}, "
            f"got {data.dtype}{list(data.shape)}"
        )
    return key.shape, dt.uint32


def shuffle(params: Params, position: Node, key: Node) -> tuple[Shape, DType]:
    check_key("shuffle", key)
    if position.dtype != dt.uint32 or position.shape[: key.ndim - 1] != key.shape[:-1]:
        raise ShapeError(
            f"shuffle: position {position.dtype}{list(position.shape)}, key {list(key.shape)}"
        )
    return position.shape, dt.uint32


def declared(params: Params) -> tuple[Shape, DType]:
    shape, dtype = params["shape"], params["dtype"]
    if min(shape, default=0) < 0:
        raise ShapeError(f"a shape has no negative sizes: {shape}")
    if dtype not in dt.ALL:
        raise DTypeError(
            f"dtype {dtype} is not supported; use one of {', '.join(d.name for d in dt.ALL)}"
        )
    return shape, dtype


def constant(params: Params) -> tuple[Shape, DType]:
    array = params["value"].array
    return declared({"shape": array.shape, "dtype": array.dtype})


def iota(params: Params) -> tuple[Shape, DType]:
    if not 0 <= params["axis"] < len(params["shape"]):
        raise ShapeError(f"iota along axis {params['axis']} of shape {params['shape']}")
    return declared(params)


def first(params: Params, first: Node, *_: Node) -> tuple[Shape, DType]:
    return first.shape, first.dtype
