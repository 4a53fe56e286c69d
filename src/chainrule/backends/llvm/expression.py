"""Formulas over IR values: operators, polynomials, number formats, constants in parts.

A :class:`Var` is a :class:`Value` that knows the function it is emitted into, so that code for an
elementary function reads as its formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .builder import Function, Value, const, vector


@dataclass(frozen=True, slots=True, eq=False)
class Var:
    """A value with operators, so that formulas read as formulas; numbers become literals."""

    f: Function
    value: Value

    def _of(self, other: Operand) -> Value:
        return other.value if isinstance(other, Var) else const(self.value.type, other)

    def new(self, value: Value) -> Var:
        """Another value of the same function."""
        return Var(self.f, value)

    def like(self, number: float) -> Var:
        """The number as a literal of this type."""
        return self.new(const(self.value.type, number))

    def __add__(self, other: Operand) -> Var:
        return self.new(self.f.add(self.value, self._of(other)))

    def __sub__(self, other: Operand) -> Var:
        return self.new(self.f.sub(self.value, self._of(other)))

    def __rsub__(self, other: float) -> Var:
        return self.new(self.f.sub(self._of(other), self.value))

    def __mul__(self, other: Operand) -> Var:
        return self.new(self.f.mul(self.value, self._of(other)))

    def __truediv__(self, other: Operand) -> Var:
        return self.new(self.f.fdiv(self.value, self._of(other)))

    def __neg__(self) -> Var:
        return self.new(self.f.neg(self.value))

    def __and__(self, other: Operand) -> Var:
        return self.new(self.f.binary("and", self.value, self._of(other)))

    def __or__(self, other: Operand) -> Var:
        return self.new(self.f.binary("or", self.value, self._of(other)))

    def __xor__(self, other: Operand) -> Var:
        return self.new(self.f.binary("xor", self.value, self._of(other)))

    def __lshift__(self, count: int) -> Var:
        return self.new(self.f.binary("shl", self.value, self._of(count)))

    def __rshift__(self, count: int) -> Var:
        return self.new(self.f.binary("lshr", self.value, self._of(count)))  # zeros come in

    def __lt__(self, other: Operand) -> Var:
        return self._compare("olt", other)

    def __gt__(self, other: Operand) -> Var:
        return self._compare("ogt", other)

    def equals(self, other: Operand) -> Var:
        return self._compare("oeq", other)

    def _compare(self, predicate: str, other: Operand) -> Var:
        return self.new(self.f.compare(predicate, self.value, self._of(other)))

    def times_plus(self, b: Operand, c: Operand) -> Var:
        """self * b + c."""
        return self.new(self.f.multiply_add(self.value, self._of(b), self._of(c)))

    def bits(self) -> Var:
        """The same bits as integers."""
        return self._as(format_of(self).integer)

    def number(self, scalar: str) -> Var:
        """The same bits as floats."""
        return self._as(scalar)

    def _as(self, scalar: str) -> Var:
        return self.new(self.f.convert("bitcast", self.value, vector(scalar, self.value.lanes)))

    def magnitude(self) -> Var:
        return self.new(self.f.intrinsic("fabs", self.value.type, self.value))

    def with_sign_of(self, other: Var) -> Var:
        return self.new(self.f.intrinsic("copysign", self.value.type, self.value, other.value))

    def where(self, condition: Var, otherwise: Operand) -> Var:
        """self where the condition holds."""
        return self.new(self.f.select(condition.value, self.value, self._of(otherwise)))

    def clamp(self, low: float, high: float) -> Var:
        """One min and one max instruction each; NaN stays (the comparison is false)."""
        x, least = self.at_most(high), self.like(low)
        return least.where(least > x, x)

    def at_most(self, high: float) -> Var:
        """One min instruction; NaN stays."""
        most = self.like(high)
        return most.where(most < self, self)


Operand = Var | float | int


def polynomial(x: Var, coefficients: Sequence[float]) -> Var:
    """sum_k c_k x^k, in Estrin's order: (c0 + c1 x) + x² (c2 + c3 x) + ..."""
    terms: list[Operand] = list(coefficients)
    power = x
    while True:
        pairs = [
            power.times_plus(terms[k + 1], terms[k]) if k + 1 < len(terms) else terms[k]
            for k in range(0, len(terms), 2)
        ]
        if len(pairs) == 1:
            assert isinstance(pairs[0], Var)
            return pairs[0]
        terms, power = pairs, power * power


# --- number formats and constants in parts -------------------------------------------------------


class Format(NamedTuple):
    """A float format: ``fraction`` stored bits, exponent ``bias``."""

    scalar: str
    integer: str
    fraction: int
    bias: int

    @property
    def magic(self) -> float:
        """Adding it rounds a small number to an integer, found in the low bits of the sum."""
        return 1.5 * 2.0**self.fraction

    @property
    def sign(self) -> int:
        """The sign bit, as the signed integer it is."""
        return -1 << self.sign_position

    @property
    def sign_position(self) -> int:
        """Number of the sign bit."""
        return self.fraction + self.bias.bit_length() + 1

    @property
    def exponent_mask(self) -> int:
        """All bits of the exponent field."""
        return (2 * self.bias + 1) << self.fraction

    def pattern(self, number: float) -> int:
        """The bits of a number."""
        kinds = (np.float32, np.uint32) if self.scalar == "float" else (np.float64, np.uint64)
        return int(np.array(number, kinds[0]).view(kinds[1]))


FORMATS = {"float": Format("float", "i32", 23, 127), "double": Format("double", "i64", 52, 1023)}


def format_of(x: Var) -> Format:
    """The format of a float value."""
    return FORMATS[x.value.scalar]


def parts_of(number: Fraction, *widths: int) -> list[float]:
    """Floats of so many bits that sum to ``number``: products with small integers are exact."""
    parts: list[float] = []
    for width in widths:
        magnitude = abs(number)
        if magnitude == 0:
            break
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if magnitude < Fraction(2) ** exponent:
            exponent -= 1
        unit = Fraction(2) ** (exponent + 1 - width)
        # the last part is rounded, the others cut, so that the rest keeps one sign
        count = round(number / unit) if len(parts) + 1 == len(widths) else int(number / unit)
        parts.append(float(count * unit))
        number -= count * unit
    return parts
