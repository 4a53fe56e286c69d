"""A toy program whose every kernel reads what other threads wrote, and what it must compute."""

from __future__ import annotations

import numpy as np

from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.step_loop import (
    Call,
    Schedule,
    StepLoop,
    program_objects,
)
from chainrule.backends.llvm.builder import Function, Module, i64

N = 64  # elements; thread t owns every nt-th


def kernel(name: str, pointers: int) -> tuple[Module, Function]:
    module = Module(name)
    args = [("ptr noalias", f"p{k}") for k in range(pointers)]
    return module, module.function(name, [*args, ("ptr", "scratch"), ("i64", "tid"), ("i64", "nt")])


def mirror_ir() -> str:
    """``y[i] = x[N-1-i] + 1`` for the thread's own i: reads what another thread wrote."""
    module, f = kernel("mirror", 2)
    with f.for_range(f.args["tid"], N, f.args["nt"]) as i:
        x = f.load("i64", f.gep(f.args["p0"], f.sub(i64(N - 1), i), "i64"))
        f.store(f.add(x, i64(1)), f.gep(f.args["p1"], i, "i64"))
    f.ret()
    return str(module)


def total_ir() -> str:
    """``p1 += sum(p0)``, by one thread; also notes in p2 that it saw tid 0 of 1."""
    module, f = kernel("total", 3)
    with f.for_range(0, N) as i:
        x = f.load("i64", f.gep(f.args["p0"], i, "i64"))
        f.store(f.add(f.load("i64", f.args["p1"]), x), f.args["p1"])
    f.store(f.args["tid"], f.args["p2"])
    f.store(f.args["nt"], f.gep(f.args["p2"], 1, "i64"))
    f.ret()
    return str(module)


def addresses(*arrays: np.ndarray) -> list[int]:
    return [a.ctypes.data for a in arrays]


SCHEDULE = Schedule(
    (
        Call("mirror", (0, 1)),
        Call("mirror", (1, 0), barrier_after=False),
        Call("total", (1, 2, 3), serial=1),
    )
)


def toy() -> tuple[StepLoop, tuple[np.ndarray, ...]]:
    arrays = (np.arange(N), np.zeros(N, np.int64), np.zeros(1, np.int64), np.full(2, -1))
    objects = program_objects([mirror_ir(), total_ir()], SCHEDULE, host())
    return StepLoop(objects, SCHEDULE, host(), addresses(*arrays)), arrays


def expected(steps: int) -> tuple[np.ndarray, int]:
    x, total = np.arange(N), 0
    for _ in range(steps):
        y = x[::-1] + 1
        x = y[::-1] + 1
        total += int(y.sum())
    return x, total
