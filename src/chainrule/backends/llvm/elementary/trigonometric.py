"""atan, sin and cos."""

from __future__ import annotations

from fractions import Fraction

from ..builder import Function, Value, const, i64
from ..expression import Var, format_of, parts_of, polynomial

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
    """sin(x) = ± sin(x - m π), m the nearest integer; cos(x) = ± sin(m π - x), m ending in 1/2."""
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
    """The function (x, sine) that maps |x| >= 2 to r with sin(r) = sin(x), or cos(x) if not sine.

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
