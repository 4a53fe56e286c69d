"""log, log2, log10 and log1p."""

from __future__ import annotations

from fractions import Fraction

from ..builder import Function, Value, vector
from ..expression import Format, Var, format_of, parts_of, polynomial
from .exponential import LN2, LN2_PARTS, LOG10_E

# log(1 + f) = f - f²/2 + f³ P(f) for sqrt(1/2) <= 1 + f < sqrt(2), error relative to f: 2^-27.3.
_LOG_FLOAT = (
    0.3333331669339218,
    -0.2500079817673617,
    0.20002291394998437,
    -0.1662491451212575,
    0.14181181401783116,
    -0.13125640562270033,
    0.12881073642973026,
    -0.07866808685911937,
)
# log(1 + f) = 2 s + s z R(z), s = f / (2 + f), z = s² on the same interval; error 2^-57.6.
_LOG_DOUBLE = (
    0.6666666666666698,
    0.39999999999611885,
    0.2857142870386656,
    0.22222202139519837,
    0.1818339416004626,
    0.1531809695412344,
    0.1475797657000544,
)


def _exponent_bits(form: Format, x: Var) -> Var:
    """Bits whose exponent field is that of x / sqrt(1/2), the fraction x's distance from it."""
    return x.bits() + (form.pattern(1.0) - form.pattern(0.5**0.5))


def split_positive(x: Var) -> tuple[Var, Var]:
    """(e, f) with x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for normal and denormal x > 0."""
    form = format_of(x)
    tiny = x < 2.0 ** (1 - form.bias)
    shift = form.fraction + 1
    bits = _exponent_bits(form, (x * 2.0**shift).where(tiny, x))
    offset = 2.0**form.fraction + form.bias
    exponent = ((bits >> form.fraction) | form.pattern(2.0**form.fraction)).number(form.scalar)
    e = exponent - x.like(offset + shift).where(tiny, offset)
    m = ((bits & ((1 << form.fraction) - 1)) + form.pattern(0.5**0.5)).number(form.scalar)
    return e, m - 1.0


def log_of(e: Var, f: Var) -> Var:
    """e ln(2) + log(1 + f)."""
    high, low = LN2_PARTS[e.value.scalar]
    square = f * f
    if e.value.scalar == "float":
        rest = (square * f).times_plus(polynomial(f, _LOG_FLOAT), e * low)
        return e.times_plus(high, f + square.times_plus(-0.5, rest))
    # log(1 + f) = f - (h - s (h + z R)), h = f²/2: the small term h is right to the last bit
    s = f / (f + 2.0)
    z, h = s * s, square * 0.5
    rest = s.times_plus(z.times_plus(polynomial(z, _LOG_DOUBLE), h), e * low)
    return e.times_plus(high, f - (h - rest))


def log_edges(y: Var, x: Var, edge: float) -> Var:
    """y for edge < x < inf; -inf at the edge, NaN below it, x itself for inf and NaN."""
    y = y.where(x < float("inf"), x)
    at_edge = y.like(-float("inf")).where(x.equals(edge), float("nan"))
    return y.where(x > edge, at_edge)


def log(f: Function, x: Value) -> Value:
    """Natural logarithm, within 1 ulp."""
    v = Var(f, x)
    return log_edges(log_of(*split_positive(v)), v, 0.0).value


def log2(f: Function, x: Value) -> Value:
    """Logarithm to base 2, within 2.1 ulp, exact at powers of two."""
    v = Var(f, x)
    e, m = split_positive(v)
    y = e + log_of(v.like(0.0), m) * float(1 / LN2)  # a power of two has m = 0
    return log_edges(y, v, 0.0).value


def log10(f: Function, x: Value) -> Value:
    """Logarithm to base 10, within 0.51 ulp, exact at powers of ten."""
    v = Var(f, x)
    high, low = LOG10_E
    if v.value.scalar == "float":  # in doubles: what is exact in a float survives the rounding
        wide = v.new(f.convert("fpext", x, vector("double", x.lanes)))
        y = log_of(*split_positive(wide)) * high
        y = v.new(f.convert("fptrunc", y.value, x.type))
    else:
        ln, ln_low = log_in_two(v)
        y, y_low = product(ln, ln.like(high))
        y = y + (y_low + ln.times_plus(low, ln_low * high))
    return log_edges(y, v, 0.0).value


def log1p(f: Function, x: Value) -> Value:
    """log(1 + x), within 1.5 ulp also for small x."""
    # 1 + x = 2^e (1 + g) with e from the rounded sum but g = 2^-e x + (2^-e - 1) from x itself.
    v = Var(f, x)
    form = format_of(v)
    bits = _exponent_bits(form, v + 1.0)
    exponent = ((bits >> form.fraction) | form.pattern(2.0**form.fraction)).number(form.scalar)
    e = exponent - (2.0**form.fraction + form.bias)
    # 4 · 2^-e, because 2^-e itself may be denormal
    scale = (((2 * form.bias + 2) << form.fraction) - (bits & form.exponent_mask)).number(
        form.scalar
    )
    g = (v * scale).times_plus(0.25, scale.times_plus(0.25, -1.0))
    return log_edges(log_of(e, g).with_sign_of(v), v, -1.0).value


# atanh(s)/s = 1 + z/3 + z² Q(z), z = s² <= 0.0295; error of the whole 2^-68.
_ATANH = (
    0.19999999999999998,
    0.14285714285716908,
    0.11111111109992926,
    0.09090909299904698,
    0.07692286813250698,
    0.06667863807032186,
    0.05842923449593053,
    0.0595195549719992,
)
_THIRD = parts_of(Fraction(1, 3), 53, 53)


def product(a: Var, b: Var) -> tuple[Var, Var]:
    """(p, e) with p + e = a b exactly, p = a b rounded."""
    p = a * b
    if a.f.module.has_fma:
        return p, a.times_plus(b, -p)

    def halves(v: Var) -> tuple[Var, Var]:  # Veltkamp: 26 bits each
        t = v * (2.0**27 + 1)
        top = t - (t - v)
        return top, v - top

    (a1, a0), (b1, b0) = halves(a), halves(b)
    return p, ((a1 * b1 - p) + a1 * b0 + a0 * b1) + a0 * b0


def _sum(large: Var, small: Var) -> tuple[Var, Var]:
    """(s, e) with s + e = large + small exactly, for |large| >= |small| or large = 0."""
    s = large + small
    return s, small - (s - large)


def log_in_two(x: Var) -> tuple[Var, Var]:
    """log(x) of doubles as an unevaluated sum, relative error about 2^-63."""
    e, g = split_positive(x)
    # log(1 + g) = 2 atanh(s), s = g / (2 + g), everything that matters in two parts
    d, d_low = _sum(g.like(2.0), g)
    s = g / d
    p, p_low = product(s, d)
    s_low = ((g - p) - p_low - s * d_low) / d
    z, z_low = product(s, s)
    z_low = z_low + s * s_low * 2.0
    third, third_low = product(z, z.like(_THIRD[0]))
    third_low = third_low + z.times_plus(_THIRD[1], z_low * _THIRD[0])
    w, w_low = _sum(third, z * z * polynomial(z, _ATANH))
    w_low = w_low + third_low
    twice = s * 2.0
    q, q_low = product(twice, w)
    q_low = q_low + (twice * w_low + (s_low * 2.0) * (w + 1.0))
    small, small_low = _sum(twice, q)
    high, low = LN2_PARTS["double"]
    top, top_low = _sum(e * high, small)
    return top, top_low + (small_low + q_low + e * low)
