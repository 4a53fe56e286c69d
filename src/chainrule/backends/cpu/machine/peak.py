"""What the machine can do: a loop of nothing but independent multiply-adds, timed."""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
import time
from collections.abc import Callable

from ...llvm.builder import Module, const, i64, vector
from ...llvm.types import SCALAR_OF_DTYPE
from .compiler import compile_ir
from .library import Library
from .target import Target, host

_CHAINS = 12  # more than latency x units of any present core, fewer than its registers
_STEPS = 200_000


@functools.cache
def _run(dtype: str, target: Target) -> tuple[Callable[[], None], float]:
    """The loop, and its floating-point operations."""
    module = Module("peak", has_fma=target.has_fma)
    scalar, lanes = SCALAR_OF_DTYPE[dtype], target.lanes(dtype)
    type_ = vector(scalar, lanes)
    f = module.function("peak", [("ptr", "data")])
    data = f.args["data"]
    factor, term = f.load(type_, data), f.load(type_, f.gep(data, lanes, scalar))
    start = [f.add(term, const(type_, chain)) for chain in range(_CHAINS)]
    with f.fold(i64(_STEPS), start) as loop:
        loop.next = [f.multiply_add(v, factor, term) for v in loop.values]
    total = loop.values[0]
    for value in loop.values[1:]:
        total = f.add(total, value)
    f.store(total, f.gep(data, 2 * lanes, scalar))
    f.ret()
    code = Library(compile_ir([str(module)], target), target)
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("peak"))

    def run() -> None:
        assert code  # which owns the machine code
        buffer = (ctypes.c_double * 48)()  # zeros: no operand is denormal
        entry(ctypes.addressof(buffer))

    return run, 2.0 * _CHAINS * lanes * _STEPS


def measure_peak(dtype: str = "float32", target: Target | None = None, repeats: int = 20) -> float:
    """Floating-point operations a second of one core (2 a multiply-add): the best of ``repeats``.

    The most that any kernel of this ``dtype`` can reach; benchmarks give figures as shares of it.
    """
    run, flops = _run(dtype, target or host())
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return flops / best


def measure_peak_together(threads: int, dtype: str = "float32", seconds: float = 0.02) -> float:
    """Floating-point operations a second of ``threads`` cores at once: the sum of what each does
    in its median run, so that being moved or interrupted does not count.

    Two processors that are one core's two threads reach half of twice :func:`measure_peak`.
    """
    run, flops = _run(dtype, host())
    rates, together = [0.0] * threads, threading.Barrier(threads)

    def work(number: int) -> None:
        together.wait()
        times = [time.perf_counter()]
        while times[-1] - times[0] < seconds:
            run()
            times.append(time.perf_counter())
        taken = sorted(b - a for a, b in itertools.pairwise(times))
        rates[number] = flops / taken[len(taken) // 2]

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)
