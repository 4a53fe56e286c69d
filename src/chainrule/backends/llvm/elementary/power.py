"""pow."""

from __future__ import annotations

from ..builder import Function, Value, vector
from ..expression import Format, Var, format_of
from .exponential import exp_of
from .logarithm import log_edges, log_in_two, log_of, product, split_positive


def pow(f: Function, x: Value, y: Value) -> Value:
    """x to the power y with C99's special cases, within 0.51 ulp (float) or 2.6 ulp (double)."""
    # |x|^y = exp(y log|x|). float: in doubles, whose 29 extra bits are plenty. double: the
    # logarithm needs more bits than a double has, since the exponent magnifies its error by
    # up to 745; it is kept as a sum of two.
    base, power = Var(f, x), Var(f, y)
    size, scalar = base.magnitude(), base.value.scalar
    form = format_of(base)

    if scalar == "float":
        wide = vector("double", x.lanes)
        a = base.new(f.convert("fpext", size.value, wide))
        b = base.new(f.convert("fpext", y, wide))
        result = exp_of(b * log_edges(log_of(*split_positive(a)), a, 0.0))
        result = base.new(f.convert("fptrunc", result.value, x.type))
    else:
        high, low = log_in_two(size)
        high = log_edges(high, size, 0.0)
        p, p_low = product(power, high)
        p_low = power.times_plus(low, p_low)
        # beyond 1000 the tail is no matter, and may be NaN
        result = exp_of(p, p_low.where(p.magnitude() < 1000.0, 0.0))
    # Even for y = ±inf.
    result = base.like(1.0).where(size.equals(1.0) & (power.equals(power)), result)

    # a negative base: the sign of odd y, NaN for fractions
    whole, odd = _parity(form, power.magnitude())
    flip = (base.bits() & form.sign).where(odd, 0)
    result = (result.bits() ^ flip).number(scalar)
    fraction = (base < 0.0) & (base > -float("inf")) & (whole ^ True)
    result = base.like(float("nan")).where(fraction, result)
    always_one = base.equals(1.0) | power.equals(0.0)
    return base.like(1.0).where(always_one, result).value


def _parity(form: Format, a: Var) -> tuple[Var, Var]:
    """Whether a >= 0 is an integer (inf is, an even one), and whether it is an odd one."""
    unit = 2.0**form.fraction  # from here on all floats are integers

    def is_whole(v: Var) -> Var:
        return ((v + unit) - unit).where(v < unit, v).equals(v)

    whole = is_whole(a)
    half_whole = is_whole(a * 0.5)
    odd = whole & (half_whole ^ True)
    return whole, odd
