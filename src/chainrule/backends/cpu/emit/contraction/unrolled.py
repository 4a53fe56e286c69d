"""Contractions of a few elements: all in registers, unrolled, no packing and no calls."""

from __future__ import annotations

from ....llvm.builder import Function, Value, const, i64, vector
from ...machine.target import Target
from ...schedule.contraction import Contraction, Epilogue, base, batch_indices, batches
from ...schedule.panels import panel_of
from ..shares import equal_share
from .packing import strided_load

MOST_STEPS = 96  # multiply-adds of vectors written out
MOST_EPILOGUES = 8  # vectors of results, each with what follows it


def suits(c: Contraction, target: Target) -> bool:
    """Whether ``c`` is so small that its code is shorter written out than as loops."""
    vectors = c.m * -(-c.n // target.lanes(c.dtype))
    return vectors <= MOST_EPILOGUES and vectors * c.k <= MOST_STEPS


def emit(
    f: Function,
    c: Contraction,
    target: Target,
    a: Value,
    b: Value,
    tid: Value,
    nt: Value,
    epilogue: Epilogue,
) -> None:
    """Emit thread ``tid``'s matrices of the batch."""
    panel = panel_of(c.n, target.lanes(c.dtype), 2)
    with equal_share(f, batches(c), tid, nt) as batch:
        indices = batch_indices(f, c, batch)
        at_a, at_b = base(f, c, a, c.a, indices), base(f, c, b, c.b, indices)
        columns = [
            [
                strided_load(
                    f,
                    c.scalar,
                    f.gep(at_b, k * c.b.row_stride + v.offset * c.b.col_stride, c.scalar),
                    v.lanes,
                    v.count,
                    c.b.col_stride,
                )
                for v in panel.vectors
            ]
            for k in range(c.k)
        ]
        results = []
        for m in range(c.m):
            sums = [const(vector(c.scalar, v.lanes), 0) for v in panel.vectors]
            for k in range(c.k):
                at = f.gep(at_a, m * c.a.row_stride + k * c.a.col_stride, c.scalar)
                element = f.load(c.scalar, at)
                sums = [
                    f.multiply_add(f.splat(element, v.lanes), column, total)
                    for v, column, total in zip(panel.vectors, columns[k], sums, strict=True)
                ]
            results.append(sums)
        for m, sums in enumerate(results):
            for v, total in zip(panel.vectors, sums, strict=True):
                epilogue(f, indices, i64(m), i64(v.offset), total, v.count)
