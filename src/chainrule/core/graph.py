"""Constructors of nodes: one function per primitive, no broadcasting and no promotion.

Movements that change nothing return their input, so rules can be written without special cases.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .dtypes import DType
from .loop import Body
from .node import ConstantValue, Node, Shape, intern
from .primitives.table import TABLE

_input_ids = itertools.count()
CONV = ("strides", "low", "high", "hole", "dilation")
WINDOW = ("axes", "sizes", "strides", "dilation")


def apply(op: str, *inputs: Node, **params: Any) -> Node:
    """The node of a primitive by name; parameters must be hashable and in the table's order."""
    return intern(TABLE[op], inputs, params)


# -- leaves --------------------------------------------------------------------------------------
def input(shape: Shape, dtype: DType, name: str = "") -> Node:
    """A new input: every call makes a different one."""
    return apply("input", id=next(_input_ids), name=name, shape=tuple(shape), dtype=dtype)


def constant(value: Any, dtype: DType | None = None) -> Node:
    return apply("constant", value=ConstantValue(np.asarray(value, dtype)))


def full(shape: Shape, value: Any, dtype: DType) -> Node:
    """A scalar constant, broadcast."""
    return expand(constant(value, dtype), shape)


def zeros_like(x: Node) -> Node:
    return full(x.shape, 0, x.dtype)


def ones_like(x: Node) -> Node:
    return full(x.shape, 1, x.dtype)


def iota(shape: Shape, axis: int, dtype: DType) -> Node:
    return apply("iota", shape=tuple(shape), axis=axis, dtype=dtype)


def random_bits(key: Node, shape: Shape) -> Node:
    return apply("random_bits", key, shape=tuple(shape))


def fold_in(key: Node, data: Node) -> Node:
    return apply("fold_in", key, data)


# -- elementwise ---------------------------------------------------------------------------------
def _unary(op: str) -> Callable[[Node], Node]:
    return lambda x: apply(op, x)


def _binary(op: str) -> Callable[[Node, Node], Node]:
    return lambda a, b: apply(op, a, b)


neg, exp, log, log1p, expm1, sqrt = map(_unary, ("neg", "exp", "log", "log1p", "expm1", "sqrt"))
log2, log10, atan = map(_unary, ("log2", "log10", "atan"))
tanh, sigmoid, sin, cos, erf = map(_unary, ("tanh", "sigmoid", "sin", "cos", "erf"))
abs, sign, floor, not_ = map(_unary, ("abs", "sign", "floor", "not"))
add, sub, mul, div, pow = map(_binary, ("add", "sub", "mul", "div", "pow"))
max, min, mod, floordiv = map(_binary, ("max", "min", "mod", "floordiv"))
eq, ne, lt, le, and_, or_ = map(_binary, ("eq", "ne", "lt", "le", "and", "or"))


def where(condition: Node, a: Node, b: Node) -> Node:
    return apply("where", condition, a, b)


def copy(x: Node) -> Node:
    return apply("copy", x)


def cast(x: Node, dtype: DType) -> Node:
    return x if x.dtype == dtype else apply("cast", x, dtype=dtype)


# -- movement ------------------------------------------------------------------------------------
def reshape(x: Node, shape: Sequence[int]) -> Node:
    return x if x.shape == tuple(shape) else apply("reshape", x, shape=tuple(shape))


def permute(x: Node, axes: Sequence[int]) -> Node:
    return x if list(axes) == list(range(x.ndim)) else apply("permute", x, axes=tuple(axes))


def broadcast(x: Node, shape: Sequence[int]) -> Node:
    """Repeat axes of size 1; the rank stays."""
    return x if x.shape == tuple(shape) else apply("broadcast", x, shape=tuple(shape))


def expand(x: Node, shape: Sequence[int]) -> Node:
    """NumPy's broadcast_to: axes are added on the left, then repeated."""
    missing = len(shape) - x.ndim
    return broadcast(reshape(x, (1,) * missing + x.shape), shape)


def slice(x: Node, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int]) -> Node:
    if not any(starts) and tuple(stops) == x.shape and all(s == 1 for s in steps):
        return x
    return apply("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))


def part(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """x[..., start:stop:step, ...] along one axis."""
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return slice(x, starts, stops, steps)


def flip(x: Node, axes: Sequence[int]) -> Node:
    return apply("flip", x, axes=tuple(sorted(axes))) if axes else x


def pad(x: Node, low: Sequence[int], high: Sequence[int], value: Any = 0) -> Node:
    """Zeros, or another value, around ``x``."""
    if not any(low) and not any(high):
        return x
    return apply("pad", x, low=tuple(low), high=tuple(high), value=x.dtype.type(value).item())


def window(
    x: Node,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Node:
    """Windows over some axes; the elements of each window lie along new axes at the end."""
    if not axes:
        return x
    parts = map(tuple, (axes, sizes, strides, dilation))
    return apply("window", x, **dict(zip(WINDOW, parts, strict=True)))


def fold(
    y: Node,
    shape: Sequence[int],
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Node:
    """The adjoint of `window`: each element of a window is added to its place in ``shape``."""
    if not axes:
        return y
    parts = map(tuple, (shape, axes, sizes, strides, dilation))
    names = ("shape", *WINDOW)
    return apply("fold", y, **dict(zip(names, parts, strict=True)))


def concat(inputs: Sequence[Node], axis: int) -> Node:
    return inputs[0] if len(inputs) == 1 else apply("concat", *inputs, axis=axis)


# -- reduce, contract, index ---------------------------------------------------------------------
def sum(x: Node, axes: Sequence[int]) -> Node:
    return apply("sum", x, axes=tuple(sorted(axes))) if axes else x


def reduce_max(x: Node, axes: Sequence[int]) -> Node:
    return apply("reduce_max", x, axes=tuple(sorted(axes))) if axes else x


def reduce_min(x: Node, axes: Sequence[int]) -> Node:
    return apply("reduce_min", x, axes=tuple(sorted(axes))) if axes else x


def argmax(x: Node, axis: int) -> Node:
    return apply("argmax", x, axis=axis)


def dot(a: Node, b: Node) -> Node:
    return apply("dot", a, b)


def conv(
    x: Node,
    w: Node,
    strides: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
    hole: Sequence[int],
    dilation: Sequence[int],
) -> Node:
    """(N, *S, G, C) by (*K, C, G, O): see `convolution.py`."""
    parts = map(tuple, (strides, low, high, hole, dilation))
    return apply("conv", x, w, **dict(zip(CONV, parts, strict=True)))


def gather(x: Node, index: Node) -> Node:
    return apply("gather", x, index)


def scatter_add(x: Node, index: Node, updates: Node) -> Node:
    return apply("scatter_add", x, index, updates)


def put(x: Node, index: Node, value: Node) -> Node:
    """x with ``value`` as its row ``index`` (a scalar)."""
    return apply("put", x, index, value)


def shuffle(position: Node, key: Node, n: int) -> Node:
    return apply("shuffle", position, key, n=n)


# -- solutions and decompositions ------------------------------------------------------------------
def solve(a: Node, b: Node, triangular: str | None = None) -> Node:
    """x with a x = b; of a only the triangle "lower" or "upper" if one is named."""
    return apply("solve", a, b, triangular=triangular)


def slogdet(a: Node) -> Node:
    return apply("slogdet", a)


def cholesky(a: Node) -> Node:
    return apply("cholesky", a)


def qr(a: Node, complete: bool = False) -> Node:
    return apply("qr", a, complete=complete)


def eigh(a: Node) -> Node:
    return apply("eigh", a)


def svd(a: Node) -> Node:
    return apply("svd", a)


# -- control -------------------------------------------------------------------------------------
def scan(inputs: Sequence[Node], body: Body, result: int | Node) -> Node:
    """One result of a loop: carry number ``result``'s last value, or a node's at every step.

    The node ``result`` is one of the body.
    """
    node = apply("scan", *inputs, body=body, result=result)
    body.results.add(node)
    return node


# -- identities ----------------------------------------------------------------------------------
def stop_gradient(x: Node) -> Node:
    return apply("stop_gradient", x)


def custom_vjp(out: Node, args: Sequence[Node], rule: Any) -> Node:
    """``out``, with a gradient rule of the user's: rule(g, out, *args) -> cotangents of args."""
    return apply("custom_vjp", out, *args, rule=rule)
