"""Contractions of the shapes that networks have: GFLOP/s of one thread and its share of the
measured peak, beside NumPy's BLAS held to one thread.

    python benchmarks/gemm.py [--only TEXT] [--repeats N] [--target host|avx2|sse2] [--opt 1|2|3]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np

from chainrule.backends.cpu.emit.contraction.tiled import emit_contraction, scratch_bytes
from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.peak import measure_peak
from chainrule.backends.cpu.machine.target import preset
from chainrule.backends.cpu.schedule.contraction import Contraction, Operand
from chainrule.backends.llvm.builder import Module, i64

# (what, m, n, k, layout, batch); layout: which of a, b is stored transposed
SHAPES = [
    *[
        ("x W'", *s, "nt", ())
        for s in [
            (128, 300, 784),
            (128, 100, 300),
            (128, 10, 100),
            (256, 256, 14),
            (256, 128, 256),
            (256, 64, 128),
            (256, 2, 64),
            (512, 2048, 1024),
            (512, 2048, 2048),
            (512, 1024, 2048),
            (32, 100, 64),
            (32, 10, 100),
        ]
    ],
    *[
        ("dZ W", *s, "nn", ())
        for s in [
            (128, 300, 100),
            (128, 100, 10),
            (512, 2048, 2048),
            (512, 2048, 1024),
            (32, 100, 10),
            (256, 256, 128),
        ]
    ],
    *[
        ("dZ' x", *s, "tn", ())
        for s in [
            (300, 784, 128),
            (100, 300, 128),
            (10, 100, 128),
            (2048, 1024, 512),
            (2048, 2048, 512),
            (100, 64, 32),
            (10, 100, 32),
            (256, 14, 256),
        ]
    ],
    ("vector", 1, 1024, 1024, "nt", ()),
    ("vector", 1, 1024, 1024, "nn", ()),
    ("vector", 1, 300, 784, "nt", ()),
    ("vector", 1024, 1, 1024, "nn", ()),
    ("few", 4, 300, 784, "nt", ()),
    ("few", 8, 1024, 256, "nt", ()),
    ("tiny", 4, 2, 2, "nt", ()),
    ("tiny", 4, 1, 2, "nt", ()),
    ("tiny", 2, 2, 4, "tn", ()),
    ("q k'", 64, 64, 32, "nt", (12, 4)),
    ("p v", 64, 32, 64, "nn", (12, 4)),
    ("p' g", 64, 32, 64, "tn", (12, 4)),
    ("square", 512, 512, 512, "nn", ()),
    ("square", 1024, 1024, 1024, "nn", ()),
    ("long k", 64, 64, 16384, "tn", ()),
    ("lstm", 32, 1024, 256, "nt", ()),
    ("lstm", 32, 256, 1024, "nn", ()),
    ("lstm", 1024, 256, 2048, "tn", ()),
]


def best_time(call, repeats: int) -> float:
    """The least seconds a call took; short calls are repeated inside a measurement."""
    start = time.perf_counter()
    call()
    inner = max(1, int(2e-4 / max(time.perf_counter() - start, 1e-9)))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        best = min(best, (time.perf_counter() - start) / inner)
    return best


def compiled(c: Contraction, target, rounds: int, opt: int):
    """The kernel as a function (a, b, out, scratch) of so many ``rounds``; its compile time."""
    module = Module("bench", has_fma=target.has_fma)
    f = module.function(
        "k",
        [("ptr noalias", n) for n in ("a", "b", "out", "scratch")]
        + [("i64", "tid"), ("i64", "nt")],
    )
    a, b, out, scratch, tid, nt = f.args.values()

    def epilogue(f, batch, m, n, acc, count):
        index = i64(0)
        for i, extent in zip([*batch, m], [*c.batch, c.m], strict=True):
            index = f.add(f.mul(index, i64(extent)), i)
        f.store_first(acc, f.gep(out, f.add(f.mul(index, i64(c.n)), n), acc.scalar), count)

    emit_contraction(f, c, target, a, b, scratch, tid, nt, epilogue)
    f.ret()
    loop = module.function("loop", [("ptr", n) for n in ("a", "b", "out", "scratch")])
    with loop.for_range(0, rounds):
        loop.call_local("k", "void", *loop.args.values(), i64(0), i64(1))
        loop.line('call void asm sideeffect "", "~{memory}"()')
    loop.ret()
    start = time.perf_counter()
    objects = compile_ir([str(module)], target, opt, jobs=1)
    seconds = time.perf_counter() - start
    return Library(objects, target), seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--target", default="host")
    parser.add_argument("--opt", type=int, default=1, help="LLVM passes, as compile_ir takes them")
    options = parser.parse_args()
    target = preset(options.target)
    peak = max(measure_peak(target=target) for _ in range(3))
    print(f"peak {peak / 1e9:.1f} GFLOP/s a core ({target.name}, {target.cpu})")
    head = f"{'':8}{'m x n x k':>22} {'layout':6} {'us':>9} {'GFLOP/s':>8} {'peak':>6}"
    print(f"{head} {'NumPy':>8} {'compile':>9}")
    rng = np.random.default_rng(0)
    for what, m, n, k, layout, batch in SHAPES:
        name = f"{'x'.join(map(str, batch))}{' ' if batch else ''}{m} {n} {k}"
        if options.only not in f"{what} {name}":
            continue
        a = rng.standard_normal((*batch, *((k, m) if layout[0] == "t" else (m, k))), np.float32)
        b = rng.standard_normal((*batch, *((n, k) if layout[1] == "t" else (k, n))), np.float32)
        a_view = a.swapaxes(-1, -2) if layout[0] == "t" else a
        b_view = b.swapaxes(-1, -2) if layout[1] == "t" else b
        operands = []
        for x in (a_view, b_view):
            *outer, row, col = (s // 4 for s in x.strides)
            operands.append(Operand(row, col, tuple(outer)))
        c = Contraction(m, n, k, *operands, "float32", batch)
        flops = 2.0 * m * n * k * int(np.prod(batch, dtype=int))
        rounds = max(1, int(2e6 / flops))
        code, seconds = compiled(c, target, rounds, options.opt)
        entry = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(code.address("loop"))
        out = np.zeros((*batch, m, n), np.float32)
        scratch = np.zeros(scratch_bytes(c, target) + 64, np.uint8)
        at = -(-scratch.ctypes.data // 64) * 64
        args = [a.ctypes.data, b.ctypes.data, out.ctypes.data, at]
        ours = best_time(lambda args=args, entry=entry: entry(*args), options.repeats) / rounds
        theirs = best_time(
            lambda a=a_view, b=b_view, o=out: np.matmul(a, b, out=o), options.repeats
        )
        rate = flops / ours
        print(
            f"{what:8}{name:>22} {layout:6} {ours * 1e6:9.2f} {rate / 1e9:8.1f} {rate / peak:6.0%}"
            f" {flops / theirs / 1e9:8.1f} {seconds * 1e3:6.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
