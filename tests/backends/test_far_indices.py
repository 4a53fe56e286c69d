"""Indices far outside of their axis are its first or its last row, in programs of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.build import build_artifact, register_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.signature import Signature


@pytest.mark.parametrize("computed", [False, True], ids=["given", "computed"])
@pytest.mark.parametrize("dtype", [dt.int8, dt.uint8, dt.int32, dt.uint32, dt.int64, dt.uint64])
def test_far_indices(dtype: DType, computed: bool) -> None:
    info = np.iinfo(dtype)
    index = np.array([info.min, info.max, info.max // 2 + 1, info.max - 4, 1, 2, 3], dtype)
    rows = np.where(index < 0, 0, np.minimum(index, dtype.type(2))).astype(int)
    table = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    x, i, one = op.input((3, 2), dt.float32), op.input((7,), dtype), op.input((), dtype)
    at, which = (op.neg(op.neg(i)), op.neg(op.neg(one))) if computed else (i, one)
    looked_up, last = op.gather(x, at), op.gather(x, which)
    outputs = [looked_up, op.scatter_add(x, at, looked_up), op.put(x, which, op.neg(last))]
    signature = Signature((x, i, one), (), (), tuple(outputs))
    expected = [table[rows], table.copy(), table.copy()]
    np.add.at(expected[1], rows, table[rows])
    expected[2][rows[2]] *= -1

    target = host()
    registers = register_artifact(signature, target)
    assert registers is not None
    for program in (
        InterpretedProgram(signature),
        CompiledProgram(signature, build_artifact(signature, target, registers=False), target),
        CompiledProgram(signature, registers, target),
    ):
        for found, wanted in zip(program.run([table, index, index[2]], []), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
