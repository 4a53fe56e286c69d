"""Weights of a loop are packed at its first turn, and not again while it turns."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.core import graph as g
from chainrule.core.node import Node
from chainrule.core.signature import Signature
from chainrule.tensor.value import make, use

F32 = np.dtype(np.float32)
SIZE, WIDE, STEPS = 48, 80, 3


def looped(x: Node, w: Node, outer: bool) -> Node:
    """h <- tanh(h w) w'; with ``outer``, in a loop over rows of w, which moves between them."""

    def inner(h: cr.Tensor, w: cr.Tensor) -> cr.Tensor:
        return cr.scan(lambda h, _: (cr.tanh(h @ w) @ w.mT, None), h, length=STEPS)[0]

    h, weights = make(x), make(w)
    if outer:
        return use(cr.scan(lambda h, w: (inner(h, w), None), h, weights)[0])
    return use(inner(h, weights))


@pytest.mark.parametrize("outer", [False, True])
def test_other_weights_are_packed_again(outer: bool) -> None:
    rng = np.random.default_rng(0)
    x = g.input((32, SIZE), F32)
    w = g.input((2, SIZE, WIDE) if outer else (SIZE, WIDE), F32)
    signature = Signature((x, w), (), (), (looped(x, w, outer),))
    artifact = build_artifact(signature, host(), registers=False)
    assert artifact.kept_bytes > 0
    program = CompiledProgram(signature, artifact, host())
    found = []
    for threads in (1, 2, 1):
        arrays = [rng.normal(size=n.shape).astype(np.float32) * 0.2 for n in (x, w)]
        (expected,) = InterpretedProgram(signature).run(arrays, [])
        (output,), _held = program._point(arrays, [])
        program.loop.run(1, threads)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
        found.append((arrays, output.copy()))
    arrays, first = found[0]
    (output,), _held = program._point(arrays, [])
    program.loop.run(1, 2)
    np.testing.assert_array_equal(output, first)
