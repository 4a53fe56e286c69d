"""The primitives' elementwise meanings as LLVM instructions, for scalars and vectors alike.

A bool is an ``i1`` in a register and a byte in memory. Integer division guards the two cases in
which the hardware traps: a zero divisor (the result is 0) and the smallest number by -1 (it wraps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.counter_random import PHILOX_MULTIPLIER, PHILOX_ROUNDS, PHILOX_WEYL, shuffle_rounds
from ...core.dtypes import DType
from . import elementary
from .builder import Function, Value, const, mangled, vector
from .types import REGISTER_OF_DTYPE


def register_type(dtype: DType, lanes: int = 1) -> str:
    return vector(REGISTER_OF_DTYPE[dtype.name], lanes)


def from_memory(f: Function, value: Value, dtype: DType) -> Value:
    """Loaded elements as they lie in a register."""
    return f.compare("ne", value, const(value.type, 0)) if dtype.kind == "b" else value


def to_memory(f: Function, value: Value) -> Value:
    """Elements in a register as they lie in memory."""
    return f.convert("zext", value, vector("i8", value.lanes)) if value.scalar == "i1" else value


def row_number(f: Function, number: Value, dtype: DType, rows: int) -> Value:
    """Indices of rows as i64, clamped to those there are."""
    type_ = vector("i64", number.lanes)
    first, last = const(type_, 0), const(type_, rows - 1)
    if dtype.kind == "u":
        wide = f.convert("zext", number, type_)
        return f.select(f.compare("ugt", wide, last), last, wide)
    wide = f.convert("sext", number, type_)
    low = f.select(f.compare("slt", wide, first), first, wide)
    return f.select(f.compare("sgt", low, last), last, low)


def apply(
    f: Function, op: str, args: Sequence[Value], kind: str, source: DType, result: DType, extra: Any
) -> Value:
    """The value of primitive ``op``; ``kind`` is the operands' NumPy kind (of ``source``)."""
    if op in _COMPARE:
        return compare(f, op, args[0], args[1], kind)
    if op == "cast":
        return cast(f, args[0], source, result)
    if op == "fold_in":
        return _fold_in(f, *args)
    if op == "shuffle":
        return _shuffle(f, args[0], args[1], args[2], extra)
    if op in elementary.UNARY:
        return elementary.UNARY[op](f, args[0])
    return _OPS[op](f, kind, *args)


def spread(f: Function, op: str, args: Sequence[Value], lanes: int) -> list[Value]:
    """Arguments of `apply` in every lane, but a key that all lanes share: it is hashed once."""
    if op == "shuffle" and all(a.lanes == 1 for a in args[1:]):
        return [f.splat(args[0], lanes), *args[1:]]
    return [f.splat(a, lanes) for a in args]


# -- helpers -------------------------------------------------------------------------------------
def _and(f: Function, a: Value, b: Value) -> Value:
    return f.binary("and", a, b)


def _or(f: Function, a: Value, b: Value) -> Value:
    return f.binary("or", a, b)


def _not(f: Function, a: Value) -> Value:
    return f.binary("xor", a, const(a.type, 1))


def _is_nan(f: Function, a: Value) -> Value:
    return f.compare("uno", a, a)


_COMPARE = {
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
}


def compare(f: Function, op: str, a: Value, b: Value, kind: str) -> Value:
    """The four comparisons; an i1 counts as unsigned."""
    float_, signed, unsigned = _COMPARE[op]
    return f.compare(float_ if kind == "f" else signed if kind == "i" else unsigned, a, b)


def cast(f: Function, a: Value, source: DType, result: DType) -> Value:
    """Conversion of dtypes: floats to integers saturate, NaN becomes 0; to bool is ``!= 0``."""
    to = register_type(result, a.lanes)
    if source == result:
        return a
    if result.kind == "b":
        return f.compare("une" if source.kind == "f" else "ne", a, const(a.type, 0))
    if source.kind == "f":
        if result.kind == "f":
            return f.convert("fpext" if result.itemsize > source.itemsize else "fptrunc", a, to)
        name = "fptosi.sat" if result.kind == "i" else "fptoui.sat"
        return f.call(f"llvm.{name}.{mangled(to)}.{mangled(a.type)}", to, a)
    if source.kind == "b":  # LLVM 22 cannot emit every uitofp of a mask, and this is as fast
        return f.select(a, const(to, 1), const(to, 0))
    if result.kind == "f":
        return f.convert("sitofp" if source.kind == "i" else "uitofp", a, to)
    if result.itemsize < source.itemsize:
        return f.convert("trunc", a, to)
    if result.itemsize == source.itemsize:
        return a
    return f.convert("sext" if source.kind == "i" else "zext", a, to)


def maximum(f: Function, kind: str, a: Value, b: Value) -> Value:
    """max; NaN if one is NaN."""
    return _or(f, a, b) if kind == "b" else _extreme(f, kind, a, b, "gt")


def minimum(f: Function, kind: str, a: Value, b: Value) -> Value:
    """min; NaN if one is NaN."""
    return _and(f, a, b) if kind == "b" else _extreme(f, kind, a, b, "lt")


def _extreme(f: Function, kind: str, a: Value, b: Value, than: str) -> Value:
    if kind != "f":
        return f.select(f.compare(("s" if kind == "i" else "u") + than, a, b), a, b)
    if not b.text.startswith("%") and "7FF" not in b.text:  # a literal, and not NaN
        return f.select(f.compare("u" + than, a, b), a, b)  # unordered only if a is NaN: keep it
    return f.select(_or(f, f.compare("o" + than, a, b), _is_nan(f, a)), a, b)


def is_larger(f: Function, kind: str, a: Value, b: Value) -> Value:
    """Whether a is larger than b; NaN is larger than all numbers."""
    if kind != "f":
        return f.compare("sgt" if kind == "i" else "ugt", a, b)
    more = f.compare("ogt", a, b)
    return _or(f, more, _and(f, _is_nan(f, a), f.compare("ord", b, b)))


def is_same(f: Function, kind: str, a: Value, b: Value) -> Value:
    """Whether a and b are equal; NaN equals NaN."""
    if kind != "f":
        return f.compare("eq", a, b)
    return _or(f, f.compare("oeq", a, b), _and(f, _is_nan(f, a), _is_nan(f, b)))


def _divide(f: Function, kind: str, a: Value, b: Value) -> Value:
    if kind == "f":
        return f.fdiv(a, b)
    quotient, remainder, zero, wraps = _safe_divide(f, kind, a, b)
    if kind == "u":
        return f.select(zero, const(a.type, 0), quotient)
    above = _is_above_floor(f, kind, remainder, b)
    down = f.select(above, f.sub(quotient, const(a.type, 1)), quotient)
    return f.select(zero, const(a.type, 0), f.select(wraps, f.neg(a), down))


def _modulo(f: Function, kind: str, a: Value, b: Value) -> Value:
    if kind == "f":
        remainder = f.binary("frem", a, b)
        above = _is_above_floor(f, kind, remainder, b)
        shifted = f.select(above, f.add(remainder, b), remainder)
        zero = f.intrinsic("copysign", a.type, const(a.type, 0.0), b)
        is_zero = f.compare("oeq", remainder, const(a.type, 0.0))
        return f.select(is_zero, zero, shifted)
    _, remainder, zero, wraps = _safe_divide(f, kind, a, b)
    if kind == "u":
        return f.select(zero, const(a.type, 0), remainder)
    above = _is_above_floor(f, kind, remainder, b)
    shifted = f.select(above, f.add(remainder, b), remainder)
    return f.select(_or(f, zero, wraps), const(a.type, 0), shifted)


def _floor_divide(f: Function, kind: str, a: Value, b: Value) -> Value:
    """The whole number of times b fits into a, of floats, with the special cases of NumPy."""
    remainder = f.binary("frem", a, b)
    zero = const(a.type, 0.0)
    quotient = f.fdiv(f.sub(a, remainder), b)
    above = _is_above_floor(f, kind, remainder, b)
    down = f.select(above, f.sub(quotient, const(a.type, 1)), quotient)
    low = f.intrinsic("floor", a.type, down)
    more = f.compare("ogt", f.sub(down, low), const(a.type, 0.5))
    whole = f.select(more, f.add(low, const(a.type, 1)), low)
    plain = f.fdiv(a, b)
    signed_zero = f.intrinsic("copysign", a.type, zero, plain)
    result = f.select(f.compare("oeq", down, zero), signed_zero, whole)
    return f.select(f.compare("oeq", b, zero), plain, result)


def _power(f: Function, kind: str, a: Value, b: Value) -> Value:
    """Of integers: squares and products over the bits of b; a negative b gives 1/a^|b| cut to an
    integer."""
    if kind == "f":
        return elementary.pow(f, a, b)
    bits = int(a.scalar[1:])
    zero, one = const(a.type, 0), const(a.type, 1)
    base, power, product = (f.alloca(a.type) for _ in range(3))
    for value, place in ((a, base), (b, power), (one, product)):
        f.store(value, place)
    with f.for_range(0, bits):
        square, left, result = (f.load(a.type, p) for p in (base, power, product))
        odd = f.compare("ne", f.binary("and", left, one), zero)
        f.store(f.select(odd, f.mul(result, square), result), product)
        f.store(f.mul(square, square), base)
        f.store(_shift_right(f, left, 1), power)
    result = f.load(a.type, product)
    if kind == "u":
        return result
    odd = f.compare("ne", f.binary("and", b, one), zero)
    minus = f.select(odd, const(a.type, -1), one)
    units = f.select(f.compare("eq", a, const(a.type, -1)), minus, zero)
    units = f.select(f.compare("eq", a, one), one, units)
    return f.select(f.compare("slt", b, zero), units, result)


def _is_above_floor(f: Function, kind: str, remainder: Value, b: Value) -> Value:
    """Whether a quotient that was cut is above its floor: the remainder has not b's sign."""
    zero = const(b.type, 0)
    inexact = compare(f, "ne", remainder, zero, kind)
    if kind == "f":
        signs = f.binary("xor", f.compare("olt", remainder, zero), f.compare("olt", b, zero))
    else:
        signs = f.compare("slt", f.binary("xor", remainder, b), zero)
    return _and(f, inexact, signs)


def _safe_divide(f: Function, kind: str, a: Value, b: Value) -> tuple[Value, Value, Value, Value]:
    zero = f.compare("eq", b, const(b.type, 0))
    wraps = f.compare("eq", b, const(b.type, -1)) if kind == "i" else zero
    safe = f.select(_or(f, zero, wraps), const(b.type, 1), b)
    divide, rest = ("sdiv", "srem") if kind == "i" else ("udiv", "urem")
    return f.binary(divide, a, safe), f.binary(rest, a, safe), zero, wraps


def _absolute(f: Function, kind: str, a: Value) -> Value:
    if kind == "f":
        return f.intrinsic("fabs", a.type, a)
    return a if kind == "u" else f.select(f.compare("slt", a, const(a.type, 0)), f.neg(a), a)


def _sign(f: Function, kind: str, a: Value) -> Value:
    zero, one = const(a.type, 0), const(a.type, 1)
    if kind == "u":
        return f.select(f.compare("ne", a, zero), one, zero)
    less, more = ("olt", "ogt") if kind == "f" else ("slt", "sgt")
    result = f.select(
        f.compare(more, a, zero), one, f.select(f.compare(less, a, zero), const(a.type, -1), zero)
    )
    return f.select(_is_nan(f, a), a, result) if kind == "f" else result


_OPS: dict[str, Callable[..., Value]] = {
    "neg": lambda f, kind, a: f.neg(a),
    "sqrt": lambda f, kind, a: f.intrinsic("sqrt", a.type, a),
    "floor": lambda f, kind, a: f.intrinsic("floor", a.type, a),
    "abs": _absolute,
    "sign": _sign,
    "copy": lambda f, kind, a: a,
    "not": lambda f, kind, a: _not(f, a),
    "add": lambda f, kind, a, b: f.add(a, b),
    "sub": lambda f, kind, a, b: f.sub(a, b),
    "mul": lambda f, kind, a, b: f.mul(a, b),
    "div": _divide,
    "mod": _modulo,
    "floordiv": _floor_divide,
    "pow": _power,
    "max": maximum,
    "min": minimum,
    "and": lambda f, kind, a, b: _and(f, a, b),
    "or": lambda f, kind, a, b: _or(f, a, b),
    "where": lambda f, kind, c, a, b: f.select(c, a, b),
}


# -- reductions ----------------------------------------------------------------------------------
def identity_of(combine: str, dtype: DType) -> Any:
    """The number that changes nothing in a sum, maximum or minimum."""
    if combine == "sum":
        return 0
    largest = combine == "reduce_min"
    if dtype.kind == "f":
        return np.inf if largest else -np.inf
    if dtype.kind == "b":
        return largest
    return np.iinfo(dtype).max if largest else np.iinfo(dtype).min


def combine(f: Function, how: str, kind: str, a: Value, b: Value) -> Value:
    if how == "sum":
        return f.add(a, b)
    return maximum(f, kind, a, b) if how == "reduce_max" else minimum(f, kind, a, b)


ADDED_IN_A_ROW = 64  # numbers; more than that are added as a sum of sums


def sum_exactly(f: Function, total: Value, lost: Value, more: Value) -> tuple[Value, Value]:
    """``total + more`` and ``lost``, to which what the sum's rounding took is added (Knuth's
    two-sum): sums of a few numbers are added so, and the error does not grow with them."""
    result = f.add(total, more)
    part = f.sub(result, total)
    error = f.add(f.sub(total, f.sub(result, part)), f.sub(more, part))
    return result, f.add(lost, error)


def with_lost(f: Function, total: Value, lost: Value) -> Value:
    """The sum made by `sum_exactly`. After an infinity ``lost`` is NaN, and does not count."""
    return f.select(f.compare("ord", lost, lost), f.add(total, lost), total)


def horizontal(f: Function, how: str, kind: str, a: Value) -> Value:
    """All lanes into one, by halves: a fixed order."""
    lanes = a.lanes
    while lanes > 1:
        half = lanes // 2
        low = f.shuffle(a, None, range(half)) if half > 1 else f.extract(a, 0)
        high = f.shuffle(a, None, range(half, lanes)) if half > 1 else f.extract(a, 1)
        a, lanes = combine(f, how, kind, low, high), half
    return a


# -- random numbers by counter -------------------------------------------------------------------
def _shift_right(f: Function, a: Value, bits: int) -> Value:
    return f.binary("lshr", a, const(a.type, bits))


def philox(f: Function, counter: Value, word: Value, key: Value) -> tuple[Value, Value]:
    """Philox2x32-10 on vectors of i32 (see core.counter_random)."""
    low, high = counter, word
    wide = vector("i64", counter.lanes)
    for r in range(PHILOX_ROUNDS):
        product = f.mul(f.convert("zext", low, wide), const(wide, PHILOX_MULTIPLIER))
        top = f.convert("trunc", _shift_right(f, product, 32), low.type)
        low, high = (
            f.binary("xor", f.binary("xor", top, key), high),
            f.convert("trunc", product, low.type),
        )
        if r + 1 < PHILOX_ROUNDS:
            key = f.add(key, const(key.type, PHILOX_WEYL))
    return low, high


def _fold_in(f: Function, word: Value, key: Value, data: Value, which: Value) -> Value:
    first, second = philox(f, data, word, key)
    return f.select(f.compare("eq", which, const(which.type, 0)), first, second)


def _hash32(f: Function, x: Value) -> Value:
    x = f.binary("xor", x, _shift_right(f, x, 16))
    x = f.mul(x, const(x.type, 0x7FEB352D))
    x = f.binary("xor", x, _shift_right(f, x, 15))
    x = f.mul(x, const(x.type, 0x846CA68B))
    return f.binary("xor", x, _shift_right(f, x, 16))


def _shuffle(f: Function, position: Value, word: Value, key: Value, n: int) -> Value:
    """swap_or_not (see core.counter_random); the rounds are a loop."""
    if n <= 1:
        return const(position.type, 0)
    first, second = philox(f, const(key.type, 0xFFFFFFFF), word, key)
    place = f.alloca(position.type)
    f.store(position, place)
    size = const(position.type, n)
    with f.for_range(0, shuffle_rounds(n)) as r:
        step = f.mul(f.convert("trunc", r, "i32"), const("i32", PHILOX_WEYL))
        step = f.splat(step, key.lanes)
        offset = f.binary("urem", _hash32(f, f.add(first, step)), const(key.type, n))
        salt = _hash32(f, f.add(second, step))
        if key.lanes != position.lanes:
            offset, salt = f.splat(offset, position.lanes), f.splat(salt, position.lanes)
        x = f.load(position.type, place)
        below = f.sub(offset, x)
        partner = f.select(f.compare("uge", offset, x), below, f.add(below, size))
        larger = f.select(f.compare("ugt", x, partner), x, partner)
        swap = f.compare("slt", _hash32(f, f.binary("xor", larger, salt)), const(x.type, 0))
        f.store(f.select(swap, partner, x), place)
    return f.load(position.type, place)
