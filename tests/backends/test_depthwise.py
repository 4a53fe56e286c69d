"""Depthwise convolutions and their gradients: nests whose taps or positions run side by side."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.machine.target import preset, runs_here
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.cpu.schedule.nest import plan_nest
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler import pipeline
from chainrule.compiler.loops import Nest
from chainrule.core import graph as g
from chainrule.core.signature import Signature

F32 = np.dtype(np.float32)


def depthwise(shape: tuple[int, ...], taps: int, strides: int, dilation: int) -> Signature:
    """conv of x (N, *S, C, 1) with a kernel (C, *K) for each channel, and both gradients."""
    rank = len(shape) - 3
    x, w = g.input(shape, F32), g.input((shape[-2], *[taps] * rank), F32)
    kernel = g.reshape(g.permute(w, (*range(1, rank + 1), 0)), (*w.shape[1:], 1, shape[-2], 1))
    low = [taps // 2] * rank
    y = g.conv(x, kernel, [strides] * rank, low, low, [1] * rank, [dilation] * rank)
    loss = g.sum(g.mul(y, y), range(y.ndim))
    return Signature((x, w), (), (), (y, *gradients([loss], [g.ones_like(loss)], [x, w])))


CASES = {
    "images": depthwise((3, 9, 8, 37, 1), 3, 1, 1),
    "strides": depthwise((2, 11, 9, 16, 1), 3, 2, 1),
    "dilation": depthwise((2, 11, 13, 5, 1), 3, 1, 2),
    "many positions": depthwise((16, 33, 34, 21, 1), 3, 1, 1),
    "one axis": depthwise((9, 50, 40, 1), 5, 1, 1),
}


@pytest.mark.parametrize("target", ["avx512", "avx2"])
@pytest.mark.parametrize("name", CASES)
def test_compiled_as_interpreted(name: str, target: str) -> None:
    if not runs_here(preset(target)):
        pytest.skip(f"this processor has no {target}")
    signature = CASES[name]
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=x.shape).astype(np.float32) / 2 for x in signature.inputs]
    artifact = build_artifact(signature, preset(target), registers=False)
    program = CompiledProgram(signature, artifact, preset(target))
    expected = InterpretedProgram(signature).run(inputs, [])
    bits = []
    for threads in (1, 2):
        outputs, _held = program._point(inputs, [])
        program.loop.run(1, threads)
        bits.append([a.tobytes() for a in outputs])
    assert bits[0] == bits[1]
    for a, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(a, wanted, rtol=1e-4, atol=1e-4 * max(1, np.abs(wanted).max()))


def test_taps_of_the_gradient_are_summed_side_by_side() -> None:
    """A cotangent is read once for all taps of a kernel."""
    program = pipeline.compile(CASES["many positions"])
    nests = [k.body for k in program.kernels if isinstance(k.body, Nest)]
    jammed = [[loop.extent for loop in plan_nest(n, preset("avx512")).jammed] for n in nests]
    assert [3, 3] in jammed
