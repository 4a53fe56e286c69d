"""Elementary functions as inline vector code: exp, log, tanh, sin, pow ... for float and double.

Every function takes values of any lane count and has no branches (sin and cos have one, for
huge arguments), so that it can stand in the middle of a fused kernel. A lane's bits do not depend
on the number of lanes. NaN propagates; zeros keep their sign where the function is odd;
denormal arguments and results are right. Errors are stated in ulp, as measured by the tests.

Nothing here calls libm, so results are the same on every machine that has fused multiply-add, and
on every one that has not. Polynomials are evaluated in Estrin's order (short dependency chains).
Coefficients are minimax fits of our own (Remez exchange; rational functions by iteratively
reweighted least squares); each table names its function, interval and error.
"""

from __future__ import annotations

from collections.abc import Callable

from ..builder import Function, Value
from .exponential import exp, expm1, sigmoid
from .logarithm import log, log1p, log2, log10
from .power import pow as pow
from .saturating import erf, tanh
from .trigonometric import atan, cos, sin

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
