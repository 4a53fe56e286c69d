"""The primitives: one table. Everything else (softmax, an LSTM cell, attention) is composed of
them.

Each entry has a name, an arity, a class, a rule for shape and dtype, and its meaning in NumPy,
which is the definition every backend is tested against. Elementwise primitives take equal shapes
and equal dtypes: broadcasting and casting are primitives of their own, put in by the layer above.

class         what a backend may assume
leaf          no inputs (or only a key): a value from outside, or made from its own index
elementwise   out[i] depends on inputs[i] only
movement      out[i] is one element of the input, or a fixed value (pad)
reduce        axes disappear
contract      sums of products
index         positions are data
identity      the first input, unchanged (a mark for the reverse sweep)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from . import dtypes as dt
from .counter_random import philox, swap_or_not
from .dtypes import DType
from .node import Array, Node, Shape

Params = Mapping[str, Any]
Infer = Callable[..., tuple[Shape, DType]]
Meaning = Callable[..., Array]


@dataclass(frozen=True, eq=False)
class Primitive:
    """One row of the table."""

    name: str
    arity: int | None  # None: any number of inputs
    kind: str
    infer: Infer
    meaning: Meaning

    def __repr__(self) -> str:
        return self.name


TABLE: dict[str, Primitive] = {}


def _define(name: str, arity: int | None, kind: str, infer: Infer, meaning: Meaning) -> None:
    TABLE[name] = Primitive(name, arity, kind, infer, meaning)


# -- shape and dtype rules -----------------------------------------------------------------------
def _same(name: str, kinds: str, result: DType | None = None) -> Infer:
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


def _where(params: Params, condition: Node, a: Node, b: Node) -> tuple[Shape, DType]:
    if not condition.shape == a.shape == b.shape:
        raise ShapeError(f"where expects equal shapes, got {condition.shape}, {a.shape}, {b.shape}")
    if condition.dtype != dt.bool_ or a.dtype != b.dtype:
        raise DTypeError(
            f"where expects bool and two equal dtypes, got {condition.dtype}, {a.dtype}, {b.dtype}"
        )
    return a.shape, a.dtype


def _reduce(name: str, kinds: str) -> Infer:
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


def _argmax(params: Params, x: Node) -> tuple[Shape, DType]:
    axis = params["axis"]
    if x.dtype == dt.bool_:
        raise DTypeError("argmax does not take bool; cast first")
    if not 0 <= axis < x.ndim or x.shape[axis] == 0:
        raise ShapeError(f"argmax over axis {axis} of shape {x.shape}")
    return x.shape[:axis] + x.shape[axis + 1 :], dt.int64


def _reshape(params: Params, x: Node) -> tuple[Shape, DType]:
    shape = params["shape"]
    if math.prod(shape) != x.size or min(shape, default=0) < 0:
        raise ShapeError(
            f"cannot reshape {x.shape} ({x.size} elements) to {shape} ({math.prod(shape)})"
        )
    return shape, x.dtype


def _permute(params: Params, x: Node) -> tuple[Shape, DType]:
    axes = params["axes"]
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(f"permute: {axes} is not a permutation of the {x.ndim} axes of {x.shape}")
    return tuple(x.shape[a] for a in axes), x.dtype


def _broadcast(params: Params, x: Node) -> tuple[Shape, DType]:
    shape = params["shape"]
    if len(shape) != x.ndim or any(a not in (1, b) for a, b in zip(x.shape, shape, strict=True)):
        raise ShapeError(f"cannot broadcast {x.shape} to {shape}")
    return shape, x.dtype


def _slice(params: Params, x: Node) -> tuple[Shape, DType]:
    starts, stops, steps = params["starts"], params["stops"], params["steps"]
    if not len(starts) == len(stops) == len(steps) == x.ndim:
        raise ShapeError(f"slice of {x.shape} needs {x.ndim} starts, stops and steps")
    for n, a, b, s in zip(x.shape, starts, stops, steps, strict=True):
        if not (0 <= a <= b <= n and s >= 1):
            raise ShapeError(f"slice [{a}:{b}:{s}] outside an axis of {n}")
    return tuple(-(-(b - a) // s) for a, b, s in zip(starts, stops, steps, strict=True)), x.dtype


def _pad(params: Params, x: Node) -> tuple[Shape, DType]:
    low, high = params["low"], params["high"]
    if not len(low) == len(high) == x.ndim or min((*low, *high), default=0) < 0:
        raise ShapeError(f"pad of {x.shape} by {low} and {high}")
    return tuple(n + a + b for n, a, b in zip(x.shape, low, high, strict=True)), x.dtype


def _concat(params: Params, *inputs: Node) -> tuple[Shape, DType]:
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


def _flip(params: Params, x: Node) -> tuple[Shape, DType]:
    axes = params["axes"]
    if list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
        raise ShapeError(f"flip over axes {axes} of shape {x.shape}")
    return x.shape, x.dtype


def _dot(params: Params, a: Node, b: Node) -> tuple[Shape, DType]:
    if a.dtype != b.dtype or a.dtype.kind == "b":
        raise DTypeError(f"dot expects equal numeric dtypes, got {a.dtype} and {b.dtype}")
    if a.ndim < 2 or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"dot expects (*batch, m, k) and (*batch, k, n), got {a.shape} and {b.shape}"
        )
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def _gather(params: Params, x: Node, index: Node) -> tuple[Shape, DType]:
    if index.dtype.kind not in "iu":
        raise DTypeError(f"gather expects integer indices, got {index.dtype}")
    if x.ndim < 1 or (x.shape[0] == 0 and index.size):
        raise ShapeError(f"gather from shape {x.shape}: there is nothing to take")
    return index.shape + x.shape[1:], x.dtype


def _scatter_add(params: Params, x: Node, index: Node, updates: Node) -> tuple[Shape, DType]:
    if index.dtype.kind not in "iu" or updates.dtype != x.dtype:
        raise DTypeError(
            f"scatter_add: indices {index.dtype}, updates {updates.dtype} into {x.dtype}"
        )
    if x.ndim < 1 or updates.shape != index.shape + x.shape[1:] or (x.shape[0] == 0 and index.size):
        raise ShapeError(
            f"scatter_add into {x.shape}: indices {index.shape}, updates {updates.shape}"
        )
    return x.shape, x.dtype


def _key(name: str, key: Node) -> None:
    if key.dtype != dt.uint32 or key.ndim < 1 or key.shape[-1] != 2:
        raise ShapeError(f"{name} expects a key uint32[..., 2], got {key.dtype}{list(key.shape)}")


def _random_bits(params: Params, key: Node) -> tuple[Shape, DType]:
    _key("random_bits", key)
    return key.shape[:-1] + tuple(params["shape"]), dt.uint32


def _fold_in(params: Params, key: Node, data: Node) -> tuple[Shape, DType]:
    _key("fold_in", key)
    if data.dtype != dt.uint32 or data.shape != key.shape[:-1]:
        raise ShapeError(
            f"fold_in with key {list(key.shape)} expects data uint32{list(key.shape[:-1])}, "
            f"got {data.dtype}{list(data.shape)}"
        )
    return key.shape, dt.uint32


def _shuffle(params: Params, position: Node, key: Node) -> tuple[Shape, DType]:
    _key("shuffle", key)
    if position.dtype != dt.uint32 or position.shape[: key.ndim - 1] != key.shape[:-1]:
        raise ShapeError(
            f"shuffle: position {position.dtype}{list(position.shape)}, key {list(key.shape)}"
        )
    return position.shape, dt.uint32


def _declared(params: Params) -> tuple[Shape, DType]:
    shape, dtype = params["shape"], params["dtype"]
    if min(shape, default=0) < 0:
        raise ShapeError(f"a shape has no negative sizes: {shape}")
    if dtype not in dt.ALL:
        raise DTypeError(
            f"dtype {dtype} is not supported; use one of {', '.join(d.name for d in dt.ALL)}"
        )
    return shape, dtype


def _constant(params: Params) -> tuple[Shape, DType]:
    array = params["value"].array
    return _declared({"shape": array.shape, "dtype": array.dtype})


def _iota(params: Params) -> tuple[Shape, DType]:
    if not 0 <= params["axis"] < len(params["shape"]):
        raise ShapeError(f"iota along axis {params['axis']} of shape {params['shape']}")
    return _declared(params)


def _first(params: Params, first: Node, *_: Node) -> tuple[Shape, DType]:
    return first.shape, first.dtype


# -- meanings that are more than a NumPy function ------------------------------------------------
def cast_array(x: Array, dtype: DType) -> Array:
    """Cast; a float outside an integer type's range saturates, NaN becomes 0; bool means ``!=
    0``."""
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


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x.copy()


def _log10(x: Array) -> Array:
    """In float64, as NumPy's of float32 is not exact at powers of ten."""
    return np.asarray(np.log10(x.astype(np.float64)), x.dtype)


def _pow(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":  # of views NumPy's last bits are other ones
        return np.asarray(np.power(np.asarray(a, order="C"), np.asarray(b, order="C")))
    if a.dtype.kind == "u":
        return np.asarray(np.power(a, b))
    # An integer to a negative power is 1/a^|b| without its fraction: 0 but for a = 1 and -1.
    units = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b & 1), 0))
    return np.where(b < 0, units, np.power(a, np.maximum(b, 0))).astype(a.dtype)


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b))).astype(a.dtype)


def _mod(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.mod(a, b)
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))).astype(a.dtype)


# Sums and products do not depend on how their operands lie in memory (NumPy's do): the last bits
# are the same whether an operand was computed before or is a view made now.
ADDED_IN_A_ROW = 32  # numbers; more than that are added as a sum of sums
LONG_PRODUCT = 1024  # terms; a longer one is the sum of several


def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    """NumPy adds pairwise along the last axes only; along others in blocks, blocks of blocks, …,
    so that the error grows like the logarithm of their length."""
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


def _matmul(a: Array, b: Array) -> Array:
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


def _clamp(index: Array, n: int) -> Array:
    """Indices moved into range(n); in int64, as n - 1 may not fit the index's own type."""
    return np.clip(index.astype(np.int64), 0, max(n - 1, 0))


def _gather_meaning(params: Params, x: Array, index: Array) -> Array:
    return np.asarray(x[_clamp(index, x.shape[0])])


def _scatter_add_meaning(params: Params, x: Array, index: Array, updates: Array) -> Array:
    out = x.copy()
    if index.size:
        np.add.at(out, _clamp(index, x.shape[0]), updates)
    return out


def _random_bits_meaning(params: Params, key: Array) -> Array:
    count = math.prod(params["shape"])
    index = np.arange(count, dtype=np.uint32).reshape(params["shape"])
    extra = (...,) + (None,) * index.ndim
    return philox(index, key[..., 0][extra], key[..., 1][extra])[0]


def _fold_in_meaning(params: Params, key: Array, data: Array) -> Array:
    return np.stack(philox(data, key[..., 0], key[..., 1]), axis=-1)


def _shuffle_meaning(params: Params, position: Array, key: Array) -> Array:
    extra = (...,) + (None,) * (position.ndim - key.ndim + 1)
    return swap_or_not(position, key[..., 0][extra], key[..., 1][extra], params["n"])


def _iota_meaning(params: Params) -> Array:
    shape, axis = params["shape"], params["axis"]
    line = np.arange(shape[axis]).astype(params["dtype"])
    return np.broadcast_to(line.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def _slice_meaning(params: Params, x: Array) -> Array:
    triples = zip(params["starts"], params["stops"], params["steps"], strict=True)
    return x[tuple(slice(a, b, s) for a, b, s in triples)]


def _where_meaning(params: Params, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


def _no_value(params: Params) -> Array:
    raise ValueError("an input has no value of its own; give one to the interpreter")


def _one(f: Callable[[Array], Any]) -> Meaning:
    return lambda params, x: f(x)


def _two(f: Callable[[Array, Array], Any]) -> Meaning:
    return lambda params, a, b: f(a, b)


# -- the table -----------------------------------------------------------------------------------
# Leaves.
_define("input", 0, "leaf", _declared, _no_value)  # id, name: a value given from outside
_define("constant", 0, "leaf", _constant, lambda p: p["value"].array)
_define("iota", 0, "leaf", _iota, _iota_meaning)  # out[i] = i[axis]
_define("random_bits", 1, "leaf", _random_bits, _random_bits_meaning)  # Philox, by key and index
_define("fold_in", 2, "leaf", _fold_in, _fold_in_meaning)  # a new key from a key and a number

# Elementwise, one input.
_define("neg", 1, "elementwise", _same("neg", "iuf"), _one(np.negative))
_define("exp", 1, "elementwise", _same("exp", "f"), _one(np.exp))
_define("log", 1, "elementwise", _same("log", "f"), _one(np.log))
_define("log2", 1, "elementwise", _same("log2", "f"), _one(np.log2))
_define("log10", 1, "elementwise", _same("log10", "f"), _one(_log10))
_define("log1p", 1, "elementwise", _same("log1p", "f"), _one(np.log1p))
_define("expm1", 1, "elementwise", _same("expm1", "f"), _one(np.expm1))
_define("sqrt", 1, "elementwise", _same("sqrt", "f"), _one(np.sqrt))
_define("tanh", 1, "elementwise", _same("tanh", "f"), _one(np.tanh))
_define("sigmoid", 1, "elementwise", _same("sigmoid", "f"), _one(_sigmoid))
_define("sin", 1, "elementwise", _same("sin", "f"), _one(np.sin))
_define("cos", 1, "elementwise", _same("cos", "f"), _one(np.cos))
_define("erf", 1, "elementwise", _same("erf", "f"), _one(_erf))
_define("atan", 1, "elementwise", _same("atan", "f"), _one(np.arctan))
_define("abs", 1, "elementwise", _same("abs", "iuf"), _one(np.abs))
_define("sign", 1, "elementwise", _same("sign", "iuf"), _one(np.sign))
_define("floor", 1, "elementwise", _same("floor", "f"), _one(np.floor))
_define("copy", 1, "elementwise", _same("copy", "biuf"), _one(np.copy))  # a buffer of its own
_define("not", 1, "elementwise", _same("not", "b"), _one(np.logical_not))
_define(
    "cast",
    1,
    "elementwise",
    lambda p, x: (x.shape, p["dtype"]),
    lambda p, x: cast_array(x, p["dtype"]),
)

# Elementwise, two inputs. Integer division and modulo round to minus infinity; by zero they give 0.
# floordiv is that of floats: a = b floordiv + mod. Powers of integers wrap.
_define("add", 2, "elementwise", _same("add", "iuf"), _two(np.add))
_define("sub", 2, "elementwise", _same("sub", "iuf"), _two(np.subtract))
_define("mul", 2, "elementwise", _same("mul", "iuf"), _two(np.multiply))
_define("div", 2, "elementwise", _same("div", "iuf"), _two(_div))
_define("floordiv", 2, "elementwise", _same("floordiv", "f"), _two(np.floor_divide))
_define("pow", 2, "elementwise", _same("pow", "iuf"), _two(_pow))
_define("max", 2, "elementwise", _same("max", "biuf"), _two(np.maximum))
_define("min", 2, "elementwise", _same("min", "biuf"), _two(np.minimum))
_define("mod", 2, "elementwise", _same("mod", "iuf"), _two(_mod))
_define("eq", 2, "elementwise", _same("eq", "biuf", dt.bool_), _two(np.equal))
_define("ne", 2, "elementwise", _same("ne", "biuf", dt.bool_), _two(np.not_equal))
_define("lt", 2, "elementwise", _same("lt", "biuf", dt.bool_), _two(np.less))
_define("le", 2, "elementwise", _same("le", "biuf", dt.bool_), _two(np.less_equal))
_define("and", 2, "elementwise", _same("and", "biu"), _two(np.bitwise_and))
_define("or", 2, "elementwise", _same("or", "biu"), _two(np.bitwise_or))
_define("where", 3, "elementwise", _where, _where_meaning)

# Movement.
_define("reshape", 1, "movement", _reshape, lambda p, x: x.reshape(p["shape"]))
_define("permute", 1, "movement", _permute, lambda p, x: x.transpose(p["axes"]))
_define("broadcast", 1, "movement", _broadcast, lambda p, x: np.broadcast_to(x, p["shape"]))
_define("slice", 1, "movement", _slice, _slice_meaning)
_define("flip", 1, "movement", _flip, lambda p, x: np.flip(x, p["axes"]))
_define(
    "pad", 1, "movement", _pad, lambda p, x: np.pad(x, list(zip(p["low"], p["high"], strict=True)))
)
_define("concat", None, "movement", _concat, lambda p, *xs: np.concatenate(xs, p["axis"]))

# Reductions. argmax gives the first of equal maxima; NaN counts as largest, as in NumPy.
_define("sum", 1, "reduce", _reduce("sum", "iuf"), lambda p, x: _sum(x, p["axes"]))
_define("reduce_max", 1, "reduce", _reduce("reduce_max", "biuf"), lambda p, x: np.max(x, p["axes"]))
_define("reduce_min", 1, "reduce", _reduce("reduce_min", "biuf"), lambda p, x: np.min(x, p["axes"]))
_define("argmax", 1, "reduce", _argmax, lambda p, x: np.argmax(x, p["axis"]))

# Contractions.
_define("dot", 2, "contract", _dot, _two(_matmul))  # out[b,m,n] = sum_k a[b,m,k] b[b,k,n]

# Positions as data. An index outside the axis is clamped to it (the layer above checks what it can
# see).
_define("gather", 2, "index", _gather, _gather_meaning)  # out[i..., r...] = x[index[i...], r...]
_define(
    "scatter_add", 3, "index", _scatter_add, _scatter_add_meaning
)  # out = x; out[index[i]] += updates[i]
_define("shuffle", 2, "index", _shuffle, _shuffle_meaning)  # a permutation of range(n), by key

# Identities for the reverse sweep.
_define("stop_gradient", 1, "identity", _first, lambda p, x: x)
_define("custom_vjp", None, "identity", _first, lambda p, out, *args: out)  # rule: see autodiff
