"""Convolutions of few channels: the batch lies innermost and is the vector. Compiled = interpreted,
with equal bits on one and on two threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.machine.target import preset, runs_here
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler.pipeline import rewritten
from chainrule.compiler.rewrites.layout import batch_axes
from chainrule.core import graph as g
from chainrule.core.node import Node, reachable
from chainrule.core.signature import Signature

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def two_layers(
    shape: tuple[int, ...],
    taps: int,
    outputs: tuple[int, int],
    groups: int = 1,
    strides: int = 1,
    low: int = 0,
    hole: int = 1,
    dilation: int = 1,
    dtype: np.dtype = F32,
) -> Signature:
    """tanh(conv(tanh(conv(x)))) and its gradients; x is (N, C, *S)."""
    rank = len(shape) - 2
    x = g.input(shape, dtype)
    weights = []
    value, channels = g.permute(x, (0, *range(2, rank + 2), 1)), shape[1]
    for layer, out in enumerate(outputs):
        g_ = groups if layer else 1
        w = g.input((out, channels // g_, *[taps] * rank), dtype)
        weights.append(w)
        value = g.reshape(value, (*value.shape[:-1], g_, channels // g_))
        kernel = g.reshape(w, (g_, out // g_, *w.shape[1:]))
        kernel = g.permute(kernel, (*range(3, 3 + rank), 2, 0, 1))
        params = [[p] * rank for p in (strides, low, low, hole if layer else 1, dilation)]
        value = g.conv(value, kernel, *params)
        value = g.tanh(g.reshape(value, (*value.shape[:-2], out)))
        channels = out
    loss = g.sum(g.mul(value, value), range(value.ndim))
    found = gradients([loss], [g.ones_like(loss)], [x, *weights])
    return Signature((x, *weights), (), (), (value, *found))


def compiled(signature: Signature, inputs: list[np.ndarray], target: str, threads: int) -> list:
    chosen = preset(target)
    artifact = build_artifact(signature, chosen, registers=False)
    program = CompiledProgram(signature, artifact, chosen)
    outputs, _held = program._point(inputs, [])
    program.loop.run(1, threads)
    return outputs


CASES = {
    "lenet": two_layers((32, 1, 12, 12), 5, (6, 16), low=2),
    "odd batch": two_layers((37, 3, 9, 8), 3, (5, 2)),
    "strides": two_layers((16, 2, 11, 9), 3, (4, 6), strides=2, low=1),
    "dilation": two_layers((24, 1, 13, 12), 3, (3, 3), dilation=2, low=2),
    "hole": two_layers((16, 1, 6, 7), 3, (2, 3), hole=2, low=1),
    "groups": two_layers((40, 2, 8, 8), 3, (4, 6), groups=2, low=1),
    "one axis": two_layers((33, 4, 30), 5, (7, 6)),
    "float64": two_layers((17, 5, 33), 3, (8, 8), dtype=F64),
    "three axes": two_layers((17, 1, 5, 6, 5), 2, (3, 2), low=1),
}


def roots(signature: Signature) -> list[Node]:
    return reachable(rewritten(signature).roots)


def cases_on_targets() -> list[Any]:
    """Every case for the widest vectors, and in the quick suite each for one of the others."""
    found = []
    for n, target in enumerate(["avx512", "avx2", "sse2"]):
        for i, name in enumerate(CASES):
            marks = [] if n == 0 or i % 2 == n - 1 else pytest.mark.slow
            found.append(pytest.param(name, target, marks=marks, id=f"{name}-{target}"))
    return found


@pytest.mark.parametrize(("name", "target"), cases_on_targets())
def test_few_channels(name: str, target: str) -> None:
    if not runs_here(preset(target)):
        pytest.skip(f"this processor has no {target}")
    signature = CASES[name]
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=x.shape).astype(x.dtype) / 2 for x in signature.inputs]
    expected = InterpretedProgram(signature).run(inputs, [])
    one, two = (compiled(signature, inputs, target, n) for n in (1, 2))
    for a, b, wanted in zip(one, two, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, wanted, rtol=1e-4, atol=2e-4 * max(1, np.abs(wanted).max()))


def test_the_batch_lies_innermost_where_channels_are_few() -> None:
    assert batch_axes(roots(CASES["lenet"]))
    assert batch_axes(roots(CASES["groups"]))


@pytest.mark.parametrize(
    ("batch", "channels"), [(1, 6), (3, 6), (32, 16), (32, 31), (300, 6)], ids=str
)
def test_channels_lie_innermost_where_the_batch_would_fill_no_vector(
    batch: int, channels: int
) -> None:
    signature = two_layers((batch, channels, 12, 12), 3, (channels, channels))
    assert not batch_axes(roots(signature))
