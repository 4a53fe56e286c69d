"""exp, expm1 and sigmoid."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ..builder import Function, Value
from ..expression import Var, format_of, parts_of, polynomial

LN2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068")

# e^r = 1 + r + r² P(r) for |r| <= ln(2)/2. Errors relative to e^r - 1: 2^-26.1 and 2^-60.7.
_EXP = {
    "float": (
        0.5,
        0.16666539013385773,
        0.04166661202907562,
        0.008367103524506092,
        0.001391765894368291,
    ),
    "double": (
        0.5,
        0.16666666666666677,
        0.0416666666666667,
        0.008333333333321563,
        0.0013888888888866728,
        0.00019841269886328164,
        2.4801587360798625e-05,
        2.755724397907785e-06,
        2.7557242536472543e-07,
        2.5109125534823462e-08,
        2.092451594107976e-09,
    ),
}
# ln(2) in two parts; the first has room for a product with any exponent.
LN2_PARTS = {"float": parts_of(LN2, 15, 24), "double": parts_of(LN2, 41, 53)}
LOG10_E = parts_of(
    Fraction("0.43429448190325182765112891891660508229439700580366656611445"), 53, 53
)
# Where e^x is 0 or inf for certain.
_EXP_RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}


def _scaled_powers(x: Var, tail: Var | None = None) -> tuple[Var, Var, Var]:
    """(r, r², 2^m) with x = 2 m ln(2) + r, |r| <= ln(2), and ``tail`` added to x."""
    form = format_of(x)
    high, low = LN2_PARTS[form.scalar]
    # m plus the bias in the low bits: shifted up they are 2^m
    magic = form.magic + form.bias
    t = x.times_plus(float(1 / (2 * LN2)), magic)
    m = t - magic
    r = m.times_plus(-2 * low, m.times_plus(-2 * high, x))
    r = r if tail is None else r + tail
    return r, r * r, (t.bits() << form.fraction).number(form.scalar)


def _halved(exp: Sequence[float]) -> list[float]:
    """Coefficients of P(r/2)/4: e^(r/2) = 1 + r/2 + r² P(r/2)/4."""
    return [c * 0.5 ** (k + 2) for k, c in enumerate(exp)]


def exp_of(x: Var, tail: Var | None = None) -> Var:
    # e^x = (2^m (1 + a))², 1 + a = e^(r/2): half the exponent always fits; the product with the
    # second 2^m overflows to inf or rounds to a denormal. Squaring 1 + a as 1 + (2a + a²) does not
    # double a rounding.
    # Where the result is 0 (masked scores) nothing is multiplied to denormals, which takes long.
    scalar = x.value.scalar
    least, most = _EXP_RANGE[scalar]
    zero = x < least
    r, square, scale = _scaled_powers(x.like(0.0).where(zero, x.at_most(most)), tail)
    a = square.times_plus(polynomial(r, _halved(_EXP[scalar])), r * 0.5)
    return x.like(0.0).where(zero, (a.times_plus(a, a + a) + 1.0) * scale * scale)


def exp(f: Function, x: Value) -> Value:
    """e^x, within 2 ulp."""
    return exp_of(Var(f, x)).value


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + e^-x), within 3.75 ulp."""
    # = e^x / (1 + e^x) for x < 0, where e^-x would overflow
    v = Var(f, x)
    e = exp_of(-v.magnitude())
    return (e.where(v < 0.0, 1.0) / (e + 1.0)).value


def expm1_of(x: Var) -> Var:
    # x = n ln(2) + r, p = e^r - 1:  e^x - 1 = 2^n p + (2^n - 1), formed from 2^(n-1), which fits.
    form = format_of(x)
    low = -20.0 if form.scalar == "float" else -40.0  # the result is -1 there
    x = x.clamp(low, _EXP_RANGE[form.scalar][1])
    magic = form.magic + form.bias - 1
    t = x.times_plus(float(1 / LN2), magic)
    n = t - magic
    ln2_high, ln2_low = LN2_PARTS[form.scalar]
    r = n.times_plus(-ln2_low, n.times_plus(-ln2_high, x))
    p = (r * r).times_plus(polynomial(r, _EXP[form.scalar]), r)
    half = (t.bits() << form.fraction).number(form.scalar)
    y = p.times_plus(half, half - 0.5) * 2.0
    return p.where(n.equals(0.0), y).with_sign_of(x)  # p: halves of denormals lose bits


def expm1(f: Function, x: Value) -> Value:
    """e^x - 1, within 2.2 ulp."""
    return expm1_of(Var(f, x)).value
