"""Convolutions with few channels: several steps of the sum lie side by side in a vector."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backends.cpu.emit.contraction.windowed import together
from chainrule.backends.cpu.machine.target import preset, runs_here
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.cpu.schedule.contraction import Digit, Windowed
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.core import graph as g
from chainrule.core.signature import Signature

TARGETS = ["avx512", "avx2"]


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 3, 4, 8])
@pytest.mark.parametrize("channels", [29, 64])
def test_the_same_sums(name: str, dtype: str, outputs: int, channels: int) -> None:
    target = preset(name)
    if not runs_here(target):
        pytest.skip(f"this machine has no {name}")
    rng = np.random.default_rng(0)
    x = g.input((2, 9, 17, 1, channels), np.dtype(dtype))
    w = g.input((3, 3, channels, 1, outputs), np.dtype(dtype))
    out = g.conv(x, w, [1, 1], [1, 1], [1, 0], [1, 1], [1, 1])
    signature = Signature((x, w), (), (), (out,))
    arrays = [rng.normal(size=n.shape).astype(dtype) for n in (x, w)]
    (expected,) = InterpretedProgram(signature).run(arrays, [])
    artifact = build_artifact(signature, target, registers=False)
    program = CompiledProgram(signature, artifact, target)
    found = []
    for threads in (1, 2):
        (output,), _held = program._point(arrays, [])
        program.loop.run(1, threads)
        found.append(output.copy())
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found[0], expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("outputs", "avx512", "avx2"), [(2, 4, 2), (4, 4, 2), (5, 2, 1), (8, 2, 1), (9, 1, 1)]
)
def test_as_many_steps_as_there_is_room_for(outputs: int, avx512: int, avx2: int) -> None:
    batch = (Digit(2, 4000, 0), Digit(30, 640, 0))
    k = (Digit(3, 640, 60 * outputs), Digit(60, 1, outputs))
    c = Windowed(batch, Digit(30, 20, 0), Digit(outputs, 0, 1), k, 0, 0, "float32")
    assert [together(c, preset(name)) for name in TARGETS] == [avx512, avx2]
    assert together(c._replace(k=(k[0], Digit(60, 2, outputs))), preset("avx512")) == 1
