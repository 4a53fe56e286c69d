"""Arithmetic of indices (i64). Nothing is emitted for what is known: less for LLVM to do."""

from __future__ import annotations

from .builder import Function, Value, i64


def known(*values: Value) -> bool:
    """Whether all are literals."""
    return not any(v.text.startswith("%") for v in values)


def divide(f: Function, value: Value, by: int) -> tuple[Value, Value]:
    """Quotient and remainder of a count."""
    if by == 1:
        return value, i64(0)
    if known(value):
        return i64(int(value.text) // by), i64(int(value.text) % by)
    return f.emit("i64", f"udiv {value}, {by}"), f.emit("i64", f"urem {value}, {by}")


def divide_up(f: Function, value: Value, by: int) -> Value:
    """value / by, rounded up, of a count."""
    return divide(f, plus(f, value, by - 1), by)[0]


def plus(f: Function, a: Value, b: Value | int) -> Value:
    """a + b of indices."""
    b = i64(b) if isinstance(b, int) else b
    if known(a, b):
        return i64(int(a.text) + int(b.text))
    return b if a.text == "0" else a if b.text == "0" else f.add(a, b)


def minus(f: Function, a: Value | int, b: Value) -> Value:
    """a - b of indices."""
    a = i64(a) if isinstance(a, int) else a
    if known(a, b):
        return i64(int(a.text) - int(b.text))
    return a if b.text == "0" else f.sub(a, b)


def scaled(f: Function, value: Value, by: int) -> Value:
    """value * by of indices."""
    if known(value):
        return i64(int(value.text) * by)
    return i64(0) if by == 0 else value if by == 1 else f.mul(value, i64(by))


def least(f: Function, a: Value | int, b: Value | int) -> Value:
    """The lesser index."""
    a, b = (i64(v) if isinstance(v, int) else v for v in (a, b))
    if known(a, b):
        return min(a, b, key=lambda v: int(v.text))
    return f.select(f.compare("slt", a, b), a, b)
