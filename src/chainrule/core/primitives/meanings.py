"""What each primitive computes, in NumPy: the definition every backend is tested against.

Those that are one NumPy function stand in the table itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..counter_random import philox, swap_or_not
from ..dtypes import DType
from .primitive import Array, Meaning, Params


def cast_array(x: Array, dtype: DType) -> Array:
    """Cast; a float outside an integer type's range saturates, NaN is 0; bool means ``!= 0``."""
    if dtype.kind == "b":
        return np.asarray(x != 0)
    if x.dtype.kind == "f" and dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = float(info.min), float(info.max)
        most = high if int(high) == info.max else np.nextafter(high, 0)  # a float that fits
        inside = np.where(np.isnan(x), 0.0, np.trunc(x.astype(np.float64)))
        result = np.clip(inside, low, most).astype(dtype)
        return np.where(inside >= high, info.max, result).astype(dtype)
    return x.astype(dtype)


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x.copy()


def log10(x: Array) -> Array:
    """In float64, as NumPy's of float32 is not exact at powers of ten."""
    return np.asarray(np.log10(x.astype(np.float64)), x.dtype)


def pow_(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":  # of views NumPy's last bits are other ones
        return np.asarray(np.power(np.asarray(a, order="C"), np.asarray(b, order="C")))
    if a.dtype.kind == "u":
        return np.asarray(np.power(a, b))
    # An integer to a negative power is 1/a^|b| without its fraction: 0 but for a = 1 and -1.
    units = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b & 1), 0))
    return np.where(b < 0, units, np.power(a, np.maximum(b, 0))).astype(a.dtype)


def div(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b))).astype(a.dtype)


def mod(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.mod(a, b)
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))).astype(a.dtype)


def clamp(index: Array, n: int) -> Array:
    """Indices moved into range(n); in 64 bits, as n - 1 may not fit the index's own type."""
    wide = index.astype(np.uint64 if index.dtype.kind == "u" else np.int64)
    return np.clip(wide, 0, max(n - 1, 0)).astype(np.int64)


def gather(params: Params, x: Array, index: Array) -> Array:
    return np.asarray(x[clamp(index, x.shape[0])])


def scatter_add(params: Params, x: Array, index: Array, updates: Array) -> Array:
    out = x.copy()
    if index.size:
        np.add.at(out, clamp(index, x.shape[0]), updates)
    return out


def put(params: Params, x: Array, index: Array, value: Array) -> Array:
    out = x.copy()
    out[clamp(index, x.shape[0])] = value
    return out


def random_bits(params: Params, key: Array) -> Array:
    count = math.prod(params["shape"])
    index = np.arange(count, dtype=np.uint32).reshape(params["shape"])
    extra = (...,) + (None,) * index.ndim
    return philox(index, key[..., 0][extra], key[..., 1][extra])[0]


def fold_in(params: Params, key: Array, data: Array) -> Array:
    return np.stack(philox(data, key[..., 0], key[..., 1]), axis=-1)


def shuffle(params: Params, position: Array, key: Array) -> Array:
    extra = (...,) + (None,) * (position.ndim - key.ndim + 1)
    return swap_or_not(position, key[..., 0][extra], key[..., 1][extra], params["n"])


def iota(params: Params) -> Array:
    shape, axis = params["shape"], params["axis"]
    line = np.arange(shape[axis]).astype(params["dtype"])
    return np.broadcast_to(line.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def slice_(params: Params, x: Array) -> Array:
    triples = zip(params["starts"], params["stops"], params["steps"], strict=True)
    return x[tuple(slice(a, b, s) for a, b, s in triples)]


def where(params: Params, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


def cast(params: Params, x: Array) -> Array:
    return cast_array(x, params["dtype"])


def pad(params: Params, x: Array) -> Array:
    widths = list(zip(params["low"], params["high"], strict=True))
    return np.pad(x, widths, constant_values=x.dtype.type(params["value"]))


def concat(params: Params, *inputs: Array) -> Array:
    return np.concatenate(inputs, params["axis"])


# Sums and products do not depend on how their operands lie in memory (NumPy's do): the last bits
# are the same whether an operand was computed before or is a view made now.
ADDED_IN_A_ROW = 32  # numbers; more than that are added as a sum of sums
LONG_PRODUCT = 1024  # terms; a longer one is the sum of several


def sum_(params: Params, x: Array) -> Array:
    return _sum(x, params["axes"])


def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    """Sums whose error grows like the logarithm of their length.

    NumPy adds pairwise along the last axes only; along others it is done in blocks, blocks of
    blocks, …
    """
    x, shape = np.asarray(x, order="C"), x.shape
    last_kept = max((a for a in range(x.ndim) if a not in axes), default=-1)
    long = [a for a in axes if a < last_kept and shape[a] > ADDED_IN_A_ROW]
    if not long or not x.size:
        return np.asarray(np.sum(x, axes, dtype=x.dtype))
    axis, before = long[0], (slice(None),) * long[0]
    count, rest = divmod(shape[axis], ADDED_IN_A_ROW)
    whole = x[(*before, slice(count * ADDED_IN_A_ROW))]
    blocks = whole.reshape(*shape[:axis], count, ADDED_IN_A_ROW, *shape[axis + 1 :])
    sums = [np.sum(blocks, axis + 1, dtype=x.dtype)]
    if rest:
        tail = x[(*before, slice(count * ADDED_IN_A_ROW, None))]
        sums.append(np.sum(tail, axis, dtype=x.dtype, keepdims=True))
    return _sum(np.concatenate(sums, axis), axes)


def matmul(a: Array, b: Array) -> Array:
    if b.shape[-2] <= LONG_PRODUCT:
        return _product(a, b)
    # BLAS adds the terms of vectors in several rows, those of matrices in one
    is_vector = a.shape[-2] == 1 or b.shape[-1] == 1
    return _in_halves(a, b, LONG_PRODUCT if is_vector else 4 * ADDED_IN_A_ROW)


def _product(a: Array, b: Array) -> Array:
    return np.asarray(np.matmul(np.asarray(a, order="C"), np.asarray(b, order="C")))


def _in_halves(a: Array, b: Array, most: int) -> Array:
    """A product over a long axis is the sum of those over its halves."""
    k = b.shape[-2]
    if k <= most:
        return _product(a, b)
    low, high = slice(k // 2), slice(k // 2, None)
    left = _in_halves(a[..., low], b[..., low, :], most)
    return np.asarray(left + _in_halves(a[..., high], b[..., high, :], most))


def reduce_max(params: Params, x: Array) -> Array:
    return np.asarray(np.max(x, params["axes"]))


def reduce_min(params: Params, x: Array) -> Array:
    return np.asarray(np.min(x, params["axes"]))


def no_value(params: Params) -> Array:
    raise ValueError("an input has no value of its own; give one to the interpreter")


def one(f: Callable[[Array], Any]) -> Meaning:
    return lambda params, x: f(x)


def two(f: Callable[[Array, Array], Any]) -> Meaning:
    return lambda params, a, b: f(a, b)
