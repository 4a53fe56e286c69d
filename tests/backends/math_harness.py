"""Compile one elementary function as a kernel over arrays; errors in units of the last place."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import preset
from chainrule.backends.llvm import elementary as vector_math
from chainrule.backends.llvm.builder import Function, Module, Value, vector
from chainrule.backends.llvm.types import SCALAR_OF_DTYPE

ARITY = {name: 1 for name in vector_math.UNARY} | {"pow": 2}


class Kernel:
    """``kernel(x[, y])`` maps arrays (a whole number of vectors long) through the function."""

    def __init__(self, name: str, dtype: str, lanes: int, target: str = "host") -> None:
        chosen = preset(target)
        self.dtype, self.lanes, self.arity = np.dtype(dtype), lanes, ARITY[name]
        module = Module(f"{name}_{dtype}_{lanes}_{target}", has_fma=chosen.has_fma)
        args = [("ptr", "x"), ("ptr", "y"), ("ptr", "out"), ("i64", "count")]
        f = module.function("map", args)
        scalar = SCALAR_OF_DTYPE[dtype]
        emit: Callable[..., Value] = vector_math.pow if name == "pow" else vector_math.UNARY[name]
        with f.for_range(0, f.args["count"], lanes) as i:
            pointers = [f.gep(f.args[a], i, scalar) for a in ("x", "y")[: self.arity]]
            operands = [f.load(vector(scalar, lanes), p) for p in pointers]
            f.store(emit(f, *operands), f.gep(f.args["out"], i, scalar))
        f.ret()
        if self.arity == 1:
            self._chain(module, emit, scalar)
        self.ir, self.target = str(module), chosen
        self.code = Library(compile_ir([self.ir], chosen), chosen)
        self._map = self.function("map", [ctypes.c_void_p] * 3 + [ctypes.c_int64])

    def function(self, name: str, argtypes: list[Any]) -> Any:
        """A function of the module, to be called while this object lives."""
        return ctypes.CFUNCTYPE(None, *argtypes)(self.code.address(name))

    def _chain(self, module: Module, emit: Callable[[Function, Value], Value], scalar: str) -> None:
        """``chain(p, count)``: x = f(x) count times, each call waiting for the one before."""
        f = module.function("chain", [("ptr", "x"), ("i64", "count")])
        type_ = vector(scalar, self.lanes)
        with f.for_range(0, f.args["count"]):
            f.store(emit(f, f.load(type_, f.args["x"])), f.args["x"])
        f.ret()

    def __call__(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        other = x if y is None else y
        assert len(x) % self.lanes == 0 and x.dtype == self.dtype and other.dtype == self.dtype
        out = np.empty_like(x)
        self._map(x.ctypes.data, other.ctypes.data, out.ctypes.data, len(x))
        return out


def ulp_errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got - exact| in units of the last place of ``got``'s dtype at ``exact`` (of a wider dtype).

    Where exact overflows the dtype, inf is right; NaN, zeros' signs and infinities must agree,
    else the error is inf.
    """
    dtype = got.dtype
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        _, exponent = np.frexp(exact)
        unit = np.ldexp(np.ones_like(exact), np.maximum(exponent - 1, info.minexp) - info.nmant)
        error = np.abs(got.astype(exact.dtype) - exact) / unit
        finite = np.isfinite(rounded) & np.isfinite(got)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
        # the largest number for a result that rounds to inf, and the reverse, is one ulp
        edge = (np.abs(got) == info.max) | (np.abs(rounded) == info.max)
        edge &= (np.isinf(got) | np.isinf(rounded)) & (np.signbit(got) == np.signbit(rounded))
        error = np.where(finite, error, np.where(same, 0, np.where(edge, 1, np.inf)))
        wrong_sign = (got == 0) & (exact == 0) & (np.signbit(got) != np.signbit(exact))
    return np.where(wrong_sign, np.inf, error)
