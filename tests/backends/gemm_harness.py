"""Compiles one contraction and runs it on arrays, on guarded memory if asked."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import numpy as np

from chainrule.backends.cpu.emit.contraction.tiled import emit_contraction, scratch_bytes
from chainrule.backends.cpu.machine.compiler import compile_ir
from chainrule.backends.cpu.machine.library import Library
from chainrule.backends.cpu.machine.target import Target
from chainrule.backends.cpu.schedule.contraction import Contraction, Operand
from chainrule.backends.cpu.threads.pool_ir import QUEUE_BYTES
from chainrule.backends.llvm.builder import Function, Module, Value, i64

POINTER = ctypes.c_void_p
ARGTYPES = [POINTER] * 5 + [ctypes.c_int64] * 2


def store_epilogue(c: Contraction, out: Value):
    """out[batch, m, n] = acc, row-major."""

    def epilogue(
        f: Function, batch: Sequence[Value], m: Value, n: Value, acc: Value, count: int
    ) -> None:
        index = i64(0)
        for i, extent in zip([*batch, m], [*c.batch, c.m], strict=True):
            index = f.add(f.mul(index, i64(extent)), i)
        at = f.gep(out, f.add(f.mul(index, i64(c.n)), n), acc.scalar)
        f.store_first(acc, at, count)

    return epilogue


def contraction_ir(c: Contraction, target: Target, make_epilogue=store_epilogue) -> str:
    module = Module("contraction", has_fma=target.has_fma)
    names = ["a", "b", "out", "scratch", "queue"]
    args = [("ptr noalias", n) for n in names] + [("i64", "tid"), ("i64", "nt")]
    f = module.function("k", args)
    a, b, out, scratch, queue, tid, nt = f.args.values()
    emit_contraction(f, c, target, a, b, scratch, tid, nt, make_epilogue(c, out), queue=queue)
    f.ret()
    return str(module)


class Kernel:
    """``kernel(a, b, out, threads)``: a and b are flat arrays the operands' strides refer to."""

    def __init__(self, c: Contraction, target: Target) -> None:
        self.c, self.target = c, target
        self.code = Library(compile_ir([contraction_ir(c, target)], target), target)
        self.entry = ctypes.CFUNCTYPE(None, *ARGTYPES)(self.code.address("k"))
        self.scratch = Guarded(np.zeros(scratch_bytes(c, target), np.uint8), align=64)

    def __call__(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, threads: int = 1) -> None:
        queue = np.zeros(QUEUE_BYTES, np.uint8)
        arrays = (a, b, out, self.scratch.array, queue)
        for tid in range(threads):
            self.entry(*(x.ctypes.data for x in arrays), tid, threads)


def operand(array: np.ndarray, flat: np.ndarray) -> Operand:
    """The Operand that describes ``array``, a view of ``flat`` with (batch..., rows, columns)."""
    start = flat.__array_interface__["data"][0]
    offset = (array.__array_interface__["data"][0] - start) // array.itemsize
    *batch, row, col = (s // array.itemsize for s in array.strides)
    return Operand(row, col, tuple(batch), offset)


def contraction_of(
    a: np.ndarray, a_flat: np.ndarray, b: np.ndarray, b_flat: np.ndarray
) -> Contraction:
    *batch, m, k = a.shape
    return Contraction(
        m, b.shape[-1], k, operand(a, a_flat), operand(b, b_flat), a.dtype.name, tuple(batch)
    )


_LIBC = ctypes.CDLL(None, use_errno=True)
_PAGE = mmap.PAGESIZE


class Guarded:
    """A copy of an array that ends (``at_start``: begins) at a page not to be touched."""

    def __init__(self, array: np.ndarray, at_start: bool = False, align: int = 1) -> None:
        size = -(-array.nbytes // align) * align
        pages = max(-(-size // _PAGE), 1)
        self._memory = mmap.mmap(-1, (pages + 2) * _PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for fence in (base, base + (pages + 1) * _PAGE):
            if _LIBC.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(_PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        begin = _PAGE if at_start else (pages + 1) * _PAGE - size
        self.array = np.frombuffer(self._memory, array.dtype, array.size, begin).reshape(
            array.shape
        )
        self.array[...] = array
