"""The primitives: one table. All else (softmax, an LSTM cell, attention) is composed of them.

A row is all that compiler and backends may know of a primitive beside its shape rule and meaning;
`Primitive` says what its columns mean. A primitive also has a derivative and a batching rule in
`autodiff` and, unless it is elementwise, a view or a reduction, its loops in `compiler`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import DType, bool_
from ..interpret import scan_meaning
from ..loop import scan_shape
from . import convolution, matrices, meanings, shapes
from .meanings import one, two
from .primitive import Array, Infer, Meaning, Primitive
from .shapes import same

TABLE: dict[str, Primitive] = {}


def define(
    name: str, arity: int | None, kind: str, infer: Infer, meaning: Meaning, **columns: Any
) -> None:
    """One row; see `Primitive` for the columns."""
    TABLE[name] = Primitive(name, arity, kind, infer, meaning, **columns)


def unary(name: str, kinds: str, f: Callable[[Array], Any], **columns: Any) -> None:
    """An elementwise function of one input, whose dtype is of one of these NumPy kinds."""
    define(name, 1, "elementwise", same(name, kinds), one(f), **columns)


def binary(
    name: str,
    kinds: str,
    f: Callable[[Array, Array], Any],
    result: DType | None = None,
    **columns: Any,
) -> None:
    """An elementwise function of two inputs; ``result`` is its dtype where it is not theirs."""
    define(name, 2, "elementwise", same(name, kinds, result), two(f), **columns)


# -- leaves --------------------------------------------------------------------------------------
define("input", 0, "leaf", shapes.declared, meanings.no_value)  # id, name: given from outside
define("constant", 0, "leaf", shapes.constant, lambda p: p["value"].array)
define("iota", 0, "leaf", shapes.iota, meanings.iota)  # out[i] = i[axis]
# Philox, by key and index
define("random_bits", 1, "leaf", shapes.random_bits, meanings.random_bits, cost=50)
# A new key from a key and a number
define("fold_in", 2, "leaf", shapes.fold_in, meanings.fold_in)

# -- elementwise, one input ----------------------------------------------------------------------
unary("neg", "iuf", np.negative)
unary("exp", "f", np.exp, cost=10)
unary("log", "f", np.log, cost=10)
unary("log2", "f", np.log2, cost=11)
unary("log10", "f", meanings.log10, cost=25)
unary("log1p", "f", np.log1p, cost=12)
unary("expm1", "f", np.expm1, cost=12)
unary("sqrt", "f", np.sqrt, cost=4)
unary("tanh", "f", np.tanh, cost=12)
unary("sigmoid", "f", meanings.sigmoid, cost=12)
unary("sin", "f", np.sin, cost=12, traps=True)
unary("cos", "f", np.cos, cost=12, traps=True)
unary("erf", "f", meanings.erf, cost=15)
unary("atan", "f", np.arctan, cost=15)
unary("abs", "iuf", np.abs)
unary("sign", "iuf", np.sign)
unary("floor", "f", np.floor)
unary("copy", "biuf", np.copy, copies=True)
unary("not", "b", np.logical_not)
define("cast", 1, "elementwise", shapes.cast, meanings.cast)

# -- elementwise, two inputs or three ------------------------------------------------------------
# Integer division and modulo round to minus infinity; by zero they give 0. floordiv is that of
# floats: a = b floordiv + mod. Powers of integers wrap.
binary("add", "iuf", np.add)
binary("sub", "iuf", np.subtract)
binary("mul", "iuf", np.multiply)
binary("div", "iuf", meanings.div, cost=4, traps=True)
binary("floordiv", "f", np.floor_divide, cost=20)
binary("pow", "iuf", meanings.pow_, cost=25)
binary("max", "biuf", np.maximum)
binary("min", "biuf", np.minimum)
binary("mod", "iuf", meanings.mod, cost=8, traps=True)
binary("eq", "biuf", np.equal, bool_)
binary("ne", "biuf", np.not_equal, bool_)
binary("lt", "biuf", np.less, bool_)
binary("le", "biuf", np.less_equal, bool_)
binary("and", "biu", np.bitwise_and)
binary("or", "biu", np.bitwise_or)
define("where", 3, "elementwise", shapes.where, meanings.where)

# -- movement ------------------------------------------------------------------------------------
define("reshape", 1, "view", shapes.reshape, lambda p, x: x.reshape(p["shape"]))
define("permute", 1, "view", shapes.permute, lambda p, x: x.transpose(p["axes"]))
define("broadcast", 1, "view", shapes.broadcast, lambda p, x: np.broadcast_to(x, p["shape"]))
define("slice", 1, "view", shapes.slice_, meanings.slice_)
define("flip", 1, "view", shapes.flip, lambda p, x: np.flip(x, p["axes"]))
define("pad", 1, "movement", shapes.pad, meanings.pad, own_kernel=True)
define("concat", None, "movement", shapes.concat, meanings.concat, own_kernel=True, by_parts=True)
# Windows over some axes, and what adds their elements up again: see `convolution`
define("window", 1, "view", convolution.window_shape, convolution.window_meaning)
define("fold", 1, "movement", convolution.fold_shape, convolution.fold_meaning)

# -- reductions ----------------------------------------------------------------------------------
# argmax gives the first of equal maxima; NaN counts as largest, as in NumPy.
define("sum", 1, "reduce", shapes.reduce("sum", "iuf"), meanings.sum_)
define("reduce_max", 1, "reduce", shapes.reduce("reduce_max", "biuf"), meanings.reduce_max)
define("reduce_min", 1, "reduce", shapes.reduce("reduce_min", "biuf"), meanings.reduce_min)
define("argmax", 1, "reduce", shapes.argmax, lambda p, x: np.argmax(x, p["axis"]), cost=4)

# -- contractions --------------------------------------------------------------------------------
# out[b,m,n] = sum_k a[b,m,k] b[b,k,n]
define("dot", 2, "contract", shapes.dot, two(meanings.matmul), in_memory=(0, 1))

# out[n,t,g,o] = sum_kc x[n,t+k,g,c] w[k,c,g,o]: see `convolution`
define("conv", 2, "contract", convolution.conv_shape, convolution.conv_meaning, in_memory=(0, 1))

# -- solutions and decompositions ----------------------------------------------------------------
# Of the matrices in the last two axes: see `matrices`
define("solve", 2, "matrix", matrices.solve_shape, matrices.solve)  # x with a x = b
define("slogdet", 1, "matrix", matrices.slogdet_shape, matrices.slogdet)
define("cholesky", 1, "matrix", matrices.cholesky_shape, matrices.cholesky)  # L with L Lᵀ = a
define("qr", 1, "matrix", matrices.qr_shape, matrices.qr)
define("eigh", 1, "matrix", matrices.eigh_shape, matrices.eigh)
define("svd", 1, "matrix", matrices.svd_shape, matrices.svd)

# -- control -------------------------------------------------------------------------------------
# One node for each result of a loop: see `core.loop`
define(
    "scan",
    None,
    "control",
    scan_shape,
    scan_meaning,
    in_memory=range(sys.maxsize),
    own_kernel=True,
)

# -- positions as data ---------------------------------------------------------------------------
# An index outside the axis is clamped to it, so that nothing else is read or written; tensor.ranges
# makes every index that a user wrote, and that would be clamped, an error.
# out[i..., r...] = x[index[i...], r...]
define("gather", 2, "index", shapes.gather, meanings.gather, in_memory=(0,))
# out = x; out[index[i]] += updates[i]
define(
    "scatter_add",
    3,
    "index",
    shapes.scatter_add,
    meanings.scatter_add,
    in_memory=(1, 2),
    own_kernel=True,
    updates=True,
)
# out = x; out[index] = value
define(
    "put",
    3,
    "index",
    shapes.put,
    meanings.put,
    in_memory=(1, 2),
    own_kernel=True,
    updates=True,
)
# A permutation of range(n), by key
define("shuffle", 2, "index", shapes.shuffle, meanings.shuffle, cost=500, chain=True, traps=True)

# -- identities for the reverse sweep ------------------------------------------------------------
define("stop_gradient", 1, "identity", shapes.first, lambda p, x: x)
define("custom_vjp", None, "identity", shapes.first, lambda p, out, *args: out)  # rule: autodiff
