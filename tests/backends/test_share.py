"""Threads take units from each other: each unit is taken once, whoever is slow."""

import ctypes
import threading

import numpy as np
import pytest
from gemm_harness import Kernel, contraction_of

from chainrule.backends.cpu.emit.contraction import tiled as gemm
from chainrule.backends.cpu.emit.shares import pieces
from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import preset
from chainrule.backends.cpu.schedule import tiling
from chainrule.backends.cpu.schedule.contraction import Contraction, Operand
from chainrule.backends.cpu.threads.pool_ir import QUEUE_BYTES, WORD_BYTES
from chainrule.backends.llvm.builder import Module, i64

UNITS = 1000


def marker(smallest, worth):
    """A function (queue, out, start, stop, tid, nt) that adds 1 to ``out`` at each unit it takes,
    as often as ``out``'s last element says."""
    module = Module("marker")
    names = [("ptr", "queue"), ("ptr", "out")]
    names += [("i64", n) for n in ("start", "stop", "tid", "nt")]
    f = module.function("mark", names)
    queue, out, start, stop, tid, nt = f.args.values()
    with pieces(f, queue, start, stop, tid, nt, smallest, worth) as (first, last):
        with f.for_range(first, last) as unit:
            with f.for_range(0, f.load("i64", f.gep(out, UNITS, "i64"))):
                at = f.gep(out, unit, "i64")
                f.store(f.add(f.load("i64", at), i64(1)), at)
    f.ret()
    code = Library(compile_ir([str(module)], preset("host")), preset("host"))
    kinds = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 4
    function = ctypes.CFUNCTYPE(None, *kinds)(code.address("mark"))
    function.code = code
    return function


def queue_of(ranges=()):
    queue = np.zeros(QUEUE_BYTES // 8, np.int64)
    for thread, (front, back) in enumerate(ranges):
        queue[thread * WORD_BYTES // 8] = back << 32 | front
    return queue


def marks(times=1):
    out = np.zeros(UNITS + 1, np.int64)
    out[UNITS] = times
    return out


@pytest.mark.parametrize("smallest", [1, 7, 5000])
def test_one_thread_takes_all_at_once(smallest):
    mark, queue, out = marker(smallest, 2), queue_of(), marks()
    mark(queue.ctypes.data, out.ctypes.data, 3, UNITS, 0, 1)
    assert (out[:3] == 0).all()
    assert (out[3:UNITS] == 1).all()
    assert queue[0] >> 32 == queue[0] & 0xFFFFFFFF


@pytest.mark.parametrize("smallest", [1, 3])
def test_who_is_done_takes_from_the_others(smallest):
    mark, out = marker(smallest, 2), marks()
    queue = queue_of([(0, 0), (100, 500), (500, UNITS)])
    mark(queue.ctypes.data, out.ctypes.data, 0, 100, 0, 3)
    left = sum(int(q >> 32) - int(q & 0xFFFFFFFF) for q in queue[:: WORD_BYTES // 8])
    assert out[:UNITS].sum() == UNITS - left
    assert left <= 2  # fewer than are worth taking, for each of the two
    assert (out[:UNITS] <= 1).all()


def test_few_units_stay_where_they_are():
    mark, out = marker(1, 50), marks()
    queue = queue_of([(0, 0), (900, 940)])
    mark(queue.ctypes.data, out.ctypes.data, 0, 10, 0, 2)
    assert out[:UNITS].sum() == 10


@pytest.mark.parametrize("threads", [2, 5])
def test_each_unit_is_taken_once_by_real_threads(threads):
    mark, queue = marker(1, 2), queue_of()
    for _ in range(100):
        out = marks(times=50)
        cuts = [UNITS * t // threads for t in range(threads + 1)]
        started = threading.Barrier(threads)

        def work(tid, out=out, cuts=cuts, started=started):
            started.wait()
            mark(queue.ctypes.data, out.ctypes.data, cuts[tid], cuts[tid + 1], tid, threads)

        workers = [threading.Thread(target=work, args=(t,)) for t in range(threads)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        assert (out[:UNITS] == 50).all()
        words = queue[:: WORD_BYTES // 8]
        assert (words >> 32 == words & 0xFFFFFFFF).all()


def test_large_contractions_are_shared():
    c = Contraction(128, 300, 784, Operand(784, 1), Operand(1, 784))
    small = Contraction(32, 100, 64, Operand(64, 1), Operand(1, 64))
    assert gemm.is_shared(c, preset("host"))
    assert not gemm.is_shared(small, preset("host"))


@pytest.mark.parametrize("seed", range(12))
def test_shared_contractions_have_the_same_bits(seed, monkeypatch):
    """By rows and by columns, a transposed or not: on one thread and on three that take from each
    other."""
    rng = np.random.default_rng(seed)
    m, n, k = (int(rng.integers(low, high)) for low, high in ((30, 150), (20, 200), (5, 90)))
    transposed = bool(seed % 2)
    a = rng.normal(size=(k, m)).astype("float32").T if transposed else None
    a = rng.normal(size=(m, k)).astype("float32") if a is None else a
    b = rng.normal(size=(n, k)).astype("float32").T if seed % 3 else rng.normal(size=(k, n))
    b = np.asarray(b, "float32")
    flat_a, flat_b = a.T if transposed else a, b if b.flags.c_contiguous else b.T
    c = contraction_of(a, flat_a, b, flat_b)
    monkeypatch.setattr(tiling, "SHARED_FLOPS", 0)
    monkeypatch.setattr(tiling, "FEWEST_SHARED", 2)
    monkeypatch.setattr(gemm, "SMALLEST_PIECE", 1)
    tiling.plan_of.cache_clear()
    try:
        kernel = Kernel(c, preset("host"))
        assert gemm.is_shared(c, preset("host")) or tiling.plan_of(c, preset("host")).pack_a
        expected = np.zeros((m, n), "float32")
        kernel(flat_a, flat_b, expected)
        np.testing.assert_allclose(expected, a @ b, rtol=2e-4, atol=1e-4)
        queue = queue_of()
        for _ in range(20):
            out, started = np.full((m, n), np.nan, "float32"), threading.Barrier(3)

            def work(tid, out=out, started=started):
                scratch = np.zeros(gemm.scratch_bytes(c, preset("host")) + 64, np.uint8)
                at = scratch.ctypes.data + -scratch.ctypes.data % 64
                started.wait()
                data = [x.ctypes.data for x in (flat_a, flat_b, out)]
                kernel.entry(*data, at, queue.ctypes.data, tid, 3)

            workers = [threading.Thread(target=work, args=(t,)) for t in range(3)]
            for w in workers:
                w.start()
            for w in workers:
                w.join()
            np.testing.assert_array_equal(out, expected)
    finally:
        tiling.plan_of.cache_clear()
