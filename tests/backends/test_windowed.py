"""Convolutions whose sums wait in memory: the gradient of the weights over many positions."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.core import graph as g
from chainrule.core.node import Node
from chainrule.core.signature import Signature

F32 = np.dtype(np.float32)


def weight_gradient(x: Node, y: Node, taps: tuple[int, ...]) -> Node:
    """The gradient of conv's weights, from x (N, *S, 1, C) and the cotangent (N, *T, 1, O)."""
    rank = len(taps)
    across = g.permute(x, (rank + 2, *range(1, rank + 1), rank + 1, 0))
    cotangent = g.permute(y, (*range(1, rank + 1), 0, rank + 1, rank + 2))
    whole = g.reshape(cotangent, (*y.shape[1:-2], y.shape[0], 1, y.shape[-1]))
    ones, zeros = [1] * rank, [0] * rank
    return g.conv(across, whole, ones, zeros, zeros, ones, ones)


def compiled(signature: Signature, inputs: list[np.ndarray], threads: int) -> np.ndarray:
    target = host()
    artifact = build_artifact(signature, target, registers=False)
    program = CompiledProgram(signature, artifact, target)
    (output,), _held = program._point(inputs, [])
    program.loop.run(1, threads)
    return output


@pytest.mark.parametrize("columns_apart", [False, True])
@pytest.mark.parametrize(("size", "taps", "o"), [(12, 3, 16), (12, 3, 70), (10, 1, 33)])
def test_sums_over_more_positions_than_the_cache_holds(
    size: int, taps: int, o: int, columns_apart: bool
) -> None:
    """Whether a cotangent's channels lie side by side or apart, and threads share panels or not."""
    rng, images, channels = np.random.default_rng(0), 64, 19
    inner = size + 1 - taps
    x = g.input((images, size, size, 1, channels), F32)
    shape = (images, inner, inner, 1, o)
    y = g.input((images, 1, o, inner, inner) if columns_apart else shape, F32)
    rows = g.permute(y, (0, 3, 4, 1, 2)) if columns_apart else y
    out = weight_gradient(x, rows, (taps, taps))
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (x, y)]
    signature = Signature((x, y), (), (), (out,))
    (expected,) = InterpretedProgram(signature).run(arrays, [])
    one, two = (compiled(signature, arrays, n) for n in (1, 2))
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(one, two)
