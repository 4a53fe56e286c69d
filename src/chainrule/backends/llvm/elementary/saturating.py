"""tanh and erf."""

from __future__ import annotations

from ..builder import Function, Value
from ..expression import Var, polynomial
from .exponential import exp_of, expm1_of

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
    w = expm1_of(v.magnitude() * -2.0)
    return (w / (w + 2.0)).with_sign_of(v).value


def erf(f: Function, x: Value) -> Value:
    """Error function 2/sqrt(π) ∫_0^x exp(-t²) dt, within 2 ulp, never beyond ±1."""
    v = Var(f, x)
    scalar = v.value.scalar
    a = v.magnitude().clamp(0.0, _ERF_END[scalar])
    u = a * a
    near = a.times_plus(polynomial(u, _ERF_NEAR[scalar]), a)
    if scalar == "float":
        rest = exp_of(polynomial(a, _ERFC_LOG))
    else:
        rest = exp_of(-u) * (polynomial(a, _ERFC_P) / polynomial(a, _ERFC_Q))
    return near.where(a < _ERF_NEAR_END[scalar], 1.0 - rest).with_sign_of(v).value
