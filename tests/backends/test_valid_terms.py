"""Convolutions leave out terms that multiply padding, where a tile has the same in all rows."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler.loops import Contract, Valid
from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.core import graph as g
from chainrule.core.node import Node
from chainrule.core.signature import Signature

F32 = np.dtype(np.float32)


def padded(
    shape: tuple[int, ...], taps: int, outputs: int, low: int, high: int, stride: int, dilation: int
) -> tuple[Signature, list[np.ndarray]]:
    """conv of x (N, *S, 1, C), with so many zeros around each axis."""
    rng, rank = np.random.default_rng(0), len(shape) - 2
    x = g.input((*shape[:-1], 1, shape[-1]), F32)
    w = g.input((*[taps] * rank, shape[-1], 1, outputs), F32)
    params = ([n] * rank for n in (stride, low, high, 1, dilation))
    out = g.conv(x, w, *params)
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (x, w)]
    return Signature((x, w), (), (), (out,)), arrays


def valid_of(signature: Signature) -> list[Valid]:
    kernels = compile_loops(signature).kernels
    return [v for k in kernels if isinstance(k.body, Contract) for v in k.body.valid]


def run(signature: Signature, arrays: list[np.ndarray], threads: int) -> np.ndarray:
    program = CompiledProgram(signature, build_artifact(signature, host(), registers=False), host())
    (output,), _held = program._point(arrays, [])
    program.loop.run(1, threads)
    return output


@pytest.mark.parametrize(
    ("shape", "taps", "outputs", "low", "high", "stride", "dilation"),
    [
        ((3, 9, 10, 20), 3, 20, 1, 1, 1, 1),
        ((2, 8, 8, 17), 4, 70, 3, 2, 1, 1),
        ((2, 11, 9, 16), 3, 5, 2, 4, 2, 3),
        ((2, 3, 9, 16), 3, 16, 5, 5, 1, 1),  # some outputs meet no element of x at all
        ((1, 5, 6, 9, 16), 3, 16, 1, 1, 1, 1),
        ((4, 40, 40, 3), 3, 16, 1, 1, 2, 1),
    ],
)
def test_the_same_sums_without_the_terms_outside(
    shape: tuple[int, ...],
    taps: int,
    outputs: int,
    low: int,
    high: int,
    stride: int,
    dilation: int,
) -> None:
    signature, arrays = padded(shape, taps, outputs, low, high, stride, dilation)
    assert valid_of(signature)
    (expected,) = InterpretedProgram(signature).run(arrays, [])
    one, two = (run(signature, arrays, n) for n in (1, 2))
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(one, two)


def test_the_share_that_is_left() -> None:
    """Ten of fourteen rows of x lie inside, five taps: half of the terms of a whole correlation."""
    signature, _ = padded((64, 10, 10, 16), 5, 32, 4, 4, 1, 1)
    (kernel,) = [k for k in compile_loops(signature).kernels if isinstance(k.body, Contract)]
    (valid,) = kernel.body.valid  # that of columns differs from row to row of a tile
    assert valid.share({v: n for v, n in zip((1, valid.var), (14, 5), strict=True)}) == 50 / 70
    assert kernel.flops >= 2.0 * 64 * 14 * 14 * 32 * 400 * 50 / 70


def test_other_numbers_around_are_terms() -> None:
    x, w = g.input((2, 9, 9, 1, 16), F32), g.input((3, 3, 16, 1, 16), F32)
    ones = g.pad(x, (0, 1, 1, 0, 0), (0, 1, 1, 0, 0), value=1.0)
    out = g.conv(ones, w, [1, 1], [0, 0], [0, 0], [1, 1], [1, 1])
    assert not valid_of(Signature((x, w), (), (), (out,)))


def test_a_batch_that_lies_innermost() -> None:
    """Rows of a tile are channels, so no axis of the images has to stay whole."""

    def whole(x: Node, w: Node) -> Node:
        return g.conv(x, w, [1, 1], [2, 2], [2, 2], [1, 1], [1, 1])

    rng = np.random.default_rng(0)
    x, w = g.input((64, 10, 10, 1, 2), F32), g.input((3, 3, 2, 1, 4), F32)
    v = g.input((3, 3, 4, 1, 2), F32)
    signature = Signature((x, w, v), (), (), (whole(g.tanh(whole(x, w)), v),))
    found = valid_of(signature)
    assert len({v.var for v in found}) > 1
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (x, w, v)]
    (expected,) = InterpretedProgram(signature).run(arrays, [])
    one, two = (run(signature, arrays, n) for n in (1, 2))
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(one, two)
