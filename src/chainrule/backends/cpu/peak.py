"""What the machine can do: a loop of nothing but independent multiply-adds, timed."""

from __future__ import annotations

import ctypes
import time

from chainrule.backends.cpu.blocks import SCALAR_OF_DTYPE, Module, const, i64, vector
from chainrule.backends.cpu.engine import Library, compile_ir
from chainrule.backends.cpu.microkernel import fold, multiply_add
from chainrule.backends.cpu.target import Target, host

_CHAINS = 12  # more than latency x units of any present core, fewer than its registers
_STEPS = 200_000


def measure_peak(dtype: str = "float32", target: Target | None = None, repeats: int = 20) -> float:
    """Floating-point operations a second of one core (a multiply-add counts two): the best of
    ``repeats``.

    The most that any kernel of this ``dtype`` can reach; benchmarks give their figures as shares of
    it.
    """
    target = target or host()
    module = Module("peak")
    scalar, lanes = SCALAR_OF_DTYPE[dtype], target.lanes(dtype)
    type_ = vector(scalar, lanes)
    f = module.function("peak", [("ptr", "data")])
    data = f.args["data"]
    factor, term = f.load(type_, data), f.load(type_, f.gep(data, lanes, scalar))
    start = [f.add(term, const(type_, chain)) for chain in range(_CHAINS)]
    with fold(f, i64(_STEPS), start) as loop:
        loop.next = [multiply_add(f, target, v, factor, term) for v in loop.values]
    total = loop.values[0]
    for value in loop.values[1:]:
        total = f.add(total, value)
    f.store(total, data)
    f.ret()
    code = Library(compile_ir([str(module)], target), target)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("peak"))
    buffer = (ctypes.c_double * 32)()  # zeros: no operand is denormal
    best = float("inf")
    for _ in range(repeats):
        start_time = time.perf_counter()
        run(ctypes.addressof(buffer))
        best = min(best, time.perf_counter() - start_time)
    return 2.0 * _CHAINS * lanes * _STEPS / best
