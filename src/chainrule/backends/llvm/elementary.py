"""Elementary functions as inline vector code: exp, log, tanh, sin, pow ... for float and double.

Every function takes values of any lane count and has no branches (sin and cos have one, for
huge arguments), so that it can stand in the middle of a fused kernel. A lane's bits do not depend
on the number of lanes. NaN propagates; zeros keep their sign where the function is odd;
denormal arguments and results are right. Errors are stated in ulp, as measured by the tests.

Nothing here calls libm, so results are the same on every machine that has fused multiply-add, and
on every one that has not. Polynomials are evaluated in Estrin's order (short dependency chains).
Coefficients are minimax fits of our own (Remez exchange; rational functions by iteratively
reweighted least squares), made with 40 to 80 digits and rounded; each table names its function,
interval and error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from .builder import Function, Value, const, i64, vector
from .expression import Format, Var, format_of, parts_of, polynomial

_LN2 = Fraction("0.69314718055994530941723212145817656807550013436025525412068")
# 1/π in binary: 1168 bits after the point reach below the last bit of the largest double.
_INVERSE_PI_BITS = 1168
_INVERSE_PI = int(
    "517cc1b727220a94fe13abe8fa9a6ee06db14acc9e21c820ff28b1d5ef5de2b0db92371d2126e97003249775"
    "04e8c90e7f0ef58e5894d39f74411afa975da24274ce38135a2fbf209cc8eb1cc1a99cfa4e422fc5defc941d"
    "8ffc4bffef02cc07f79788c5ad05368fb69b3f6793e584dba7a31fb34f2ff516ba93dd63f5f2f8bd9e839cfb"
    "c529497535fdafd88fc6ae842b01",
    16,
)
_PI = Fraction(1 << _INVERSE_PI_BITS, _INVERSE_PI)

# --- exp, expm1, sigmoid --------------------------------------------------------------------------

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
_LN2_PARTS = {"float": parts_of(_LN2, 15, 24), "double": parts_of(_LN2, 41, 53)}
_LOG10_E = parts_of(
    Fraction("0.43429448190325182765112891891660508229439700580366656611445"), 53, 53
)
# Where e^x is 0 or inf for certain.
_EXP_RANGE = {"float": (-104.0, 89.0), "double": (-746.0, 710.0)}


def _scaled_powers(x: Var, tail: Var | None = None) -> tuple[Var, Var, Var]:
    """(r, r², 2^m) with x = 2 m ln(2) + r, |r| <= ln(2), and ``tail`` added to x."""
    form = format_of(x)
    high, low = _LN2_PARTS[form.scalar]
    # m plus the bias in the low bits: shifted up they are 2^m
    magic = form.magic + form.bias
    t = x.times_plus(float(1 / (2 * _LN2)), magic)
    m = t - magic
    r = m.times_plus(-2 * low, m.times_plus(-2 * high, x))
    r = r if tail is None else r + tail
    return r, r * r, (t.bits() << form.fraction).number(form.scalar)


def _halved(exp: Sequence[float]) -> list[float]:
    """Coefficients of P(r/2)/4: e^(r/2) = 1 + r/2 + r² P(r/2)/4."""
    return [c * 0.5 ** (k + 2) for k, c in enumerate(exp)]


def _exp(x: Var, tail: Var | None = None) -> Var:
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
    return _exp(Var(f, x)).value


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + e^-x), within 3.75 ulp."""
    # = e^x / (1 + e^x) for x < 0, where e^-x would overflow
    v = Var(f, x)
    e = _exp(-v.magnitude())
    return (e.where(v < 0.0, 1.0) / (e + 1.0)).value


def _expm1(x: Var) -> Var:
    # x = n ln(2) + r, p = e^r - 1:  e^x - 1 = 2^n p + (2^n - 1), formed from 2^(n-1), which fits.
    form = format_of(x)
    low = -20.0 if form.scalar == "float" else -40.0  # the result is -1 there
    x = x.clamp(low, _EXP_RANGE[form.scalar][1])
    magic = form.magic + form.bias - 1
    t = x.times_plus(float(1 / _LN2), magic)
    n = t - magic
    ln2_high, ln2_low = _LN2_PARTS[form.scalar]
    r = n.times_plus(-ln2_low, n.times_plus(-ln2_high, x))
    p = (r * r).times_plus(polynomial(r, _EXP[form.scalar]), r)
    half = (t.bits() << form.fraction).number(form.scalar)
    y = p.times_plus(half, half - 0.5) * 2.0
    return p.where(n.equals(0.0), y).with_sign_of(x)  # p: halves of denormals lose bits


def expm1(f: Function, x: Value) -> Value:
    """e^x - 1, within 2.2 ulp."""
    return _expm1(Var(f, x)).value


# --- log, log1p -----------------------------------------------------------------------------------

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
    """Bits whose exponent field is that of x / sqrt(1/2), and whose fraction is x's distance from
    it."""
    return x.bits() + (form.pattern(1.0) - form.pattern(0.5**0.5))


def _split_positive(x: Var) -> tuple[Var, Var]:
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


def _log_of(e: Var, f: Var) -> Var:
    """e ln(2) + log(1 + f)."""
    high, low = _LN2_PARTS[e.value.scalar]
    square = f * f
    if e.value.scalar == "float":
        rest = (square * f).times_plus(polynomial(f, _LOG_FLOAT), e * low)
        return e.times_plus(high, f + square.times_plus(-0.5, rest))
    # log(1 + f) = f - (h - s (h + z R)), h = f²/2: the small term h is right to the last bit
    s = f / (f + 2.0)
    z, h = s * s, square * 0.5
    rest = s.times_plus(z.times_plus(polynomial(z, _LOG_DOUBLE), h), e * low)
    return e.times_plus(high, f - (h - rest))


def _log_edges(y: Var, x: Var, edge: float) -> Var:
    """y for edge < x < inf; -inf at the edge, NaN below it, x itself for inf and NaN."""
    y = y.where(x < float("inf"), x)
    at_edge = y.like(-float("inf")).where(x.equals(edge), float("nan"))
    return y.where(x > edge, at_edge)


def log(f: Function, x: Value) -> Value:
    """Natural logarithm, within 1 ulp."""
    v = Var(f, x)
    return _log_edges(_log_of(*_split_positive(v)), v, 0.0).value


def log2(f: Function, x: Value) -> Value:
    """Logarithm to base 2, within 2.1 ulp, exact at powers of two."""
    v = Var(f, x)
    e, m = _split_positive(v)
    y = e + _log_of(v.like(0.0), m) * float(1 / _LN2)  # a power of two has m = 0
    return _log_edges(y, v, 0.0).value


def log10(f: Function, x: Value) -> Value:
    """Logarithm to base 10, within 0.51 ulp, exact at powers of ten."""
    v = Var(f, x)
    high, low = _LOG10_E
    if v.value.scalar == "float":  # in doubles: what is exact in a float survives the rounding
        wide = v.new(f.convert("fpext", x, vector("double", x.lanes)))
        y = _log_of(*_split_positive(wide)) * high
        y = v.new(f.convert("fptrunc", y.value, x.type))
    else:
        ln, ln_low = _log_in_two(v)
        y, y_low = _product(ln, ln.like(high))
        y = y + (y_low + ln.times_plus(low, ln_low * high))
    return _log_edges(y, v, 0.0).value


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
    return _log_edges(_log_of(e, g).with_sign_of(v), v, -1.0).value


# --- tanh, erf ------------------------------------------------------------------------------------

# tanh(x) = x (1 + u S(u)), u = x² < 0.36; error 2^-28.4.
_TANH_NEAR = (
    -0.33333298001791,
    0.13331924115336224,
    -0.05378382928931844,
    0.020795968394575367,
    -0.005895154370807986,
)
_TANH_NEAR_END = 0.36
# Above: tanh(x) = 2 t / (1 + t²) with t = tanh(x/2) = N / (2 Q), N = x P(u), Q = Q(u): in one
# division N Q / (Q² + N²/4). Where tanh is near 1, t counts only by (1 - t²) / (1 + t²), so that
# small P and Q are enough. They serve for |x| <= 9, where this gives 1; error 2^-27. Their
# common factor is one for which roundings are small and never lead beyond 1.
_TANH_P = (1.534999966621399, 0.04570835828781128, 0.00017550092888996005)
_TANH_Q = (1.534999966621399, 0.17362497746944427, 0.0018526373896747828, 1.8890925730374875e-06)
_TANH_END = 9.0
# erf(x) = x + x P(x²) for x below, relative errors 2^-26 and 2^-56.9; erf rounds to 1 at the end.
_ERF_NEAR = {
    "float": (
        0.1283791499621207,
        -0.376124964607573,
        0.11281845951359475,
        -0.02676771983165275,
        0.004994830134117989,
        -0.0005999404865626807,
    ),
    "double": (
        0.12837916709551257,
        -0.3761263890318352,
        0.11283791670944185,
        -0.026866170643111458,
        0.005223977606118393,
        -0.0008548325929310457,
        0.00012055293576777468,
        -1.4924712299609983e-05,
        1.6447131541262487e-06,
        -1.620631352519064e-07,
        1.3710979372067498e-08,
        -7.779466538474252e-10,
    ),
}
_ERF_NEAR_END = {"float": 0.9, "double": 1.0}
_ERF_END = {"float": 3.95, "double": 6.0}
# float: erf(x) = 1 - exp(R(x)) above; error 2^-29.
_ERFC_LOG = (
    -0.00015055926362551368,
    -1.1278625338515649,
    -0.6368668663211682,
    -0.10420881302132683,
    0.022360703951245033,
    -0.0030768087811126,
    0.00019936418810142365,
)
# double: erf(x) = 1 - exp(-x²) P(x) / Q(x) above; error 2^-59.5.
_ERFC_P = (
    0.9999998875387068,
    1.3904829828348817,
    0.9494024344828861,
    0.37352812128685675,
    0.0843260398460587,
    0.008926837783049611,
)
_ERFC_Q = (
    1.0,
    2.5188609646576645,
    2.7916386286421164,
    1.756927729033699,
    0.6700321408448445,
    0.1494601039843466,
    0.01582253064262413,
)


def tanh(f: Function, x: Value) -> Value:
    """Hyperbolic tangent, within 3.6 ulp (float) or 2.8 ulp (double), never beyond ±1."""
    v = Var(f, x)
    if v.value.scalar == "float":
        v = v.clamp(-_TANH_END, _TANH_END)
        u = v * v
        near = v * u.times_plus(polynomial(u, _TANH_NEAR), 1.0)  # keeps -0
        p, q = polynomial(u, _TANH_P), polynomial(u, _TANH_Q)
        n = v * p
        denominator = q.times_plus(q, v * 0.25 * p * n)
        # chosen before the division: LLVM would make a branch around it for one lane
        is_near = u < _TANH_NEAR_END
        return (near.where(is_near, n * q) / v.like(1.0).where(is_near, denominator)).value
    # with w = exp(-2|x|) - 1 in (-1, 0]:  tanh |x| = -w / (w + 2)
    w = _expm1(v.magnitude() * -2.0)
    return (w / (w + 2.0)).with_sign_of(v).value


def erf(f: Function, x: Value) -> Value:
    """Error function 2/sqrt(π) ∫_0^x exp(-t²) dt, within 2 ulp, never beyond ±1."""
    v = Var(f, x)
    scalar = v.value.scalar
    a = v.magnitude().clamp(0.0, _ERF_END[scalar])
    u = a * a
    near = a.times_plus(polynomial(u, _ERF_NEAR[scalar]), a)
    if scalar == "float":
        rest = _exp(polynomial(a, _ERFC_LOG))
    else:
        rest = _exp(-u) * (polynomial(a, _ERFC_P) / polynomial(a, _ERFC_Q))
    return near.where(a < _ERF_NEAR_END[scalar], 1.0 - rest).with_sign_of(v).value


# --- atan -----------------------------------------------------------------------------------------

# atan(x) = x + x z P(z), z = x², |x| <= tan(π/8); errors relative to atan: 2^-28.6 and 2^-58.
_ATAN = {
    "float": (
        -0.33333331760434554,
        0.1999954031495797,
        -0.14263949753605723,
        0.10743668324830098,
        -0.06451718869358958,
    ),
    "double": (
        -0.3333333333333333,
        0.19999999999999804,
        -0.14285714285659779,
        0.11111111105150588,
        -0.09090908753259112,
        0.07692296368042296,
        -0.0666642476020052,
        0.05878927554473807,
        -0.05230443640686948,
        0.045515447340221615,
        -0.03456931506332609,
        0.016284375050043393,
    ),
}
_TAN_EIGHTH, _TAN_THREE_EIGHTHS = 2**0.5 - 1, 2**0.5 + 1
_HALF_PI = {"float": parts_of(_PI / 2, 24, 24), "double": parts_of(_PI / 2, 53, 53)}


def atan(f: Function, x: Value) -> Value:
    """Inverse tangent, within 2.3 ulp."""
    # a = |x|:  atan a = π/2 + atan(-1/a) = π/4 + atan((a - 1) / (a + 1)), one of them near 0
    v = Var(f, x)
    scalar = v.value.scalar
    a = v.magnitude()
    high, low = _HALF_PI[scalar]
    far, middle = a > _TAN_THREE_EIGHTHS, a > _TAN_EIGHTH
    top = a.like(-1.0).where(far, (a - 1.0).where(middle, a))
    below = a.where(far, (a + 1.0).where(middle, 1.0))
    r = top / below
    z = r * r
    y = (r * z).times_plus(polynomial(z, _ATAN[scalar]), r)
    start = a.like(high).where(far, a.like(high / 2).where(middle, 0.0))
    rest = a.like(low).where(far, a.like(low / 2).where(middle, 0.0))
    return (start + (y + rest)).with_sign_of(v).value


# --- sin, cos -------------------------------------------------------------------------------------

# sin(r) = r + r u S(u), u = r², |r| <= π/2. Relative errors 2^-27.3 and 2^-61.6.
_SIN = {
    "float": (
        -0.16666659712791443,
        0.008333069272339344,
        -0.00019809773948509246,
        2.606081807243754e-06,
    ),
    "double": (
        -0.16666666666666666,
        0.008333333333333193,
        -0.0001984126984120885,
        2.755731921107215e-06,
        -2.505210686668397e-08,
        1.6058939390939212e-10,
        -7.642983109252159e-13,
        2.7210848785431817e-15,
    ),
}
# π in parts and how far they serve, with and without fused multiply-add. Half-integers below the
# end times a part must be exact without it; with it only the difference must be.
_PI_PARTS = {
    ("float", True): (parts_of(_PI, 24, 24, 24), 2.0**16),
    ("float", False): (parts_of(_PI, 12, 12, 12, 24), 2.0**12),
    ("double", True): (parts_of(_PI, 53, 53, 53), 2.0**25),
    ("double", False): (parts_of(_PI, 26, 26, 26, 53), 2.0**25),
}
_REDUCE = "reduce_by_pi"


def _sine_of(x: Var, cosine: bool) -> Var:
    """sin(x) = ± sin(x - m π) with m the nearest integer; cos(x) = ± sin(m π - x), m ending in
    1/2."""
    form = format_of(x)
    parts, end = _PI_PARTS[form.scalar, x.f.module.has_fma]
    if cosine:
        t = x.times_plus(float(1 / _PI), -0.5) + form.magic
        m = t - form.magic + 0.5
        r = -x
    else:
        t = x.times_plus(float(1 / _PI), form.magic)
        m = t - form.magic
        r = x
    for part in parts:
        r = m.times_plus(part if cosine else -part, r)
    odd = t.bits() << form.sign_position  # the sign bit of odd m
    r = _reduce_huge(x, (r.bits() ^ odd).number(form.scalar), end, cosine)
    u = r * r
    return (r * u).times_plus(polynomial(u, _SIN[form.scalar]), r)


def sin(f: Function, x: Value) -> Value:
    """Sine of an angle in radians, however large, within 2.5 ulp."""
    v = Var(f, x)
    return v.where(v.equals(0.0), _sine_of(v, cosine=False)).value  # keeps -0


def cos(f: Function, x: Value) -> Value:
    """Cosine of an angle in radians, however large, within 2.8 ulp."""
    return _sine_of(Var(f, x), cosine=True).value


def _reduce_huge(x: Var, r: Var, end: float, cosine: bool) -> Var:
    """r, where |x| > end replaced by the result of exact reduction: a branch that is hardly ever
    taken."""
    f, lanes, type_ = x.f, x.value.lanes, x.value.type
    scalar = x.value.scalar
    huge = x.magnitude() > end
    if lanes > 1:
        any_huge = f.intrinsic("vector.reduce.or", "i1", huge.value, mangle=f"v{lanes}i1")
    else:
        any_huge = huge.value
    arguments, results = f.alloca(type_), f.alloca(type_)
    before, rare, after = f.block, f.new_label("huge"), f.new_label("reduced")
    f.branch_if(any_huge, rare, after)
    f.start_block(rare)
    f.store(x.value, arguments)
    f.store(r.value, results)
    with f.for_range(0, lanes) as lane:
        one = Var(f, f.load(scalar, f.gep(arguments, lane, scalar)))
        inside = (one.magnitude() > end) & (one.magnitude() < float("inf"))
        with f.if_then(inside.value):
            wide = f.convert("fpext", one.value, "double")
            reduced = f.call_local(_reduction(f), "double", wide, i64(0 if cosine else 1))
            f.store(f.convert("fptrunc", reduced, scalar), f.gep(results, lane, scalar))
    changed = f.load(type_, results)
    last = f.block
    f.branch(after)
    f.start_block(after)
    text = f"phi {type_} [ {r.value.text}, %{before} ], [ {changed.text}, %{last} ]"
    return x.new(f.emit(type_, text))


def _reduction(caller: Function) -> str:
    """The module's function (x, sine) that maps |x| >= 2 to r with sin(r) = sin(x), or cos(x) if
    not sine.

    Payne and Hanek's method in integers. x is an integer M < 2^53 times 2^e, so of 1/π only the 192
    bits from 2^-e·2 on matter: those above contribute even integers to x/π. The product with M is
    x/π modulo 2 with 191 bits after the point, exact but for its last 54 bits.
    """
    module = caller.module
    if any(function.name == _REDUCE for function in module.functions):
        return _REDUCE
    table = _INVERSE_PI.to_bytes(192, "little")  # zeros on top: windows start above the point
    text = "".join(f"\\{byte:02X}" for byte in table)
    module.globals.append(f'@inverse_pi = internal constant [192 x i8] c"{text}"')
    f = module.function(
        _REDUCE, [("double", "x"), ("i64", "sine")], "internal double", "nounwind noinline cold"
    )
    x, sine = f.args["x"], f.args["sine"]

    def wide(opcode: str, a: Value, b: int | Value) -> Value:
        return f.binary(opcode, a, const(a.type, b) if isinstance(b, int) else b)

    bits = f.convert("bitcast", x, "i64")
    biased = wide("and", wide("lshr", bits, 52), 2047)
    mantissa = wide("or", wide("and", bits, (1 << 52) - 1), 1 << 52)
    # e = biased - 1075; the window's lowest bit is bit 1168 + 1 - e - 192 of the table
    first = f.sub(i64(_INVERSE_PI_BITS - 191 + 1075), biased)
    start = f.gep(Value("ptr", "@inverse_pi"), wide("lshr", first, 3), "i8")
    loaded = f.load("i256", start, align=1)
    window = wide("lshr", loaded, f.convert("zext", wide("and", first, 7), "i256"))
    product = f.mul(f.convert("trunc", window, "i192"), f.convert("zext", mantissa, "i192"))
    negative = f.compare("slt", bits, i64(0))
    turns = f.select(negative, f.neg(product), product)  # x/π, two's complement, modulo 2
    # sine: nearest integer n, x/π = n + part. cosine: x/π - 1/2 = n + part.
    half = 1 << 190
    shifted = f.add(turns, f.mul(f.convert("zext", sine, "i192"), const("i192", half)))
    odd = wide("lshr", shifted, 191)
    part = f.sub(wide("and", shifted, (1 << 191) - 1), const("i192", half))
    high = f.convert("sitofp", f.convert("trunc", wide("ashr", part, 128), "i64"), "double")
    low = f.convert("uitofp", f.convert("trunc", wide("lshr", part, 64), "i64"), "double")
    fraction = f.add(f.mul(high, const("double", 2.0**-63)), f.mul(low, const("double", 2.0**-127)))
    r = f.mul(fraction, const("double", float(_PI)))
    # sin(x) = (-1)^n sin(r), cos(x) = -(-1)^n sin(r)
    minus = wide("xor", f.convert("trunc", odd, "i64"), f.sub(i64(1), sine))
    f.ret(f.select(f.compare("ne", minus, i64(0)), f.neg(r), r))
    return _REDUCE


# --- pow ------------------------------------------------------------------------------------------

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


def _product(a: Var, b: Var) -> tuple[Var, Var]:
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


def _log_in_two(x: Var) -> tuple[Var, Var]:
    """log(x) of doubles as an unevaluated sum, relative error about 2^-63."""
    e, g = _split_positive(x)
    # log(1 + g) = 2 atanh(s), s = g / (2 + g), everything that matters in two parts
    d, d_low = _sum(g.like(2.0), g)
    s = g / d
    p, p_low = _product(s, d)
    s_low = ((g - p) - p_low - s * d_low) / d
    z, z_low = _product(s, s)
    z_low = z_low + s * s_low * 2.0
    third, third_low = _product(z, z.like(_THIRD[0]))
    third_low = third_low + z.times_plus(_THIRD[1], z_low * _THIRD[0])
    w, w_low = _sum(third, z * z * polynomial(z, _ATANH))
    w_low = w_low + third_low
    twice = s * 2.0
    q, q_low = _product(twice, w)
    q_low = q_low + (twice * w_low + (s_low * 2.0) * (w + 1.0))
    small, small_low = _sum(twice, q)
    high, low = _LN2_PARTS["double"]
    top, top_low = _sum(e * high, small)
    return top, top_low + (small_low + q_low + e * low)


def pow(f: Function, x: Value, y: Value) -> Value:
    """x to the power y with the special cases of C99, within 0.51 ulp (float) or 2.6 ulp
    (double)."""
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
        result = _exp(b * _log_edges(_log_of(*_split_positive(a)), a, 0.0))
        result = base.new(f.convert("fptrunc", result.value, x.type))
    else:
        high, low = _log_in_two(size)
        high = _log_edges(high, size, 0.0)
        p, p_low = _product(power, high)
        p_low = power.times_plus(low, p_low)
        # beyond 1000 the tail is no matter, and may be NaN
        result = _exp(p, p_low.where(p.magnitude() < 1000.0, 0.0))
    result = base.like(1.0).where(
        size.equals(1.0) & (power.equals(power)), result
    )  # even for y = ±inf

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


UNARY: dict[str, Callable[[Function, Value], Value]] = {
    "exp": exp,
    "log": log,
    "log2": log2,
    "log10": log10,
    "log1p": log1p,
    "expm1": expm1,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "sin": sin,
    "cos": cos,
    "erf": erf,
    "atan": atan,
}
