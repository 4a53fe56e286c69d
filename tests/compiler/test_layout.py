"""Permutes of what convolutions make move behind what follows element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler import pipeline
from chainrule.compiler.rewrites.layout import layout
from chainrule.core import graph as g
from chainrule.core.node import Node, reachable
from chainrule.core.signature import Signature

F32 = np.dtype(np.float32)
X, W = g.input((2, 5, 6, 1, 3), F32), g.input((3, 3, 3, 1, 4), F32)
BIAS = g.input((4,), F32)


def conv(x: Node, w: Node, low: Sequence[int] = (1, 1)) -> Node:
    return g.conv(x, w, (1, 1), low, low, (1, 1), (1, 1))


def first(y: Node) -> Node:
    """(N, *T, 1, O) -> (N, O, *T)"""
    return g.permute(g.reshape(y, (*y.shape[:3], y.shape[4])), (0, 3, 1, 2))


def last(y: Node) -> Node:
    return g.reshape(g.permute(y, (0, 2, 3, 1)), (y.shape[0], *y.shape[2:], 1, y.shape[1]))


def per_channel(x: Node, y: Node) -> Node:
    return g.broadcast(g.reshape(x, (1, 4, 1, 1)), y.shape)


H = first(conv(X, W))  # (2, 4, 5, 6)


@pytest.mark.parametrize(
    "out",
    [
        last(g.tanh(H)),
        last(g.add(H, per_channel(BIAS, H))),
        last(g.mul(per_channel(BIAS, H), g.neg(H))),
        last(g.pad(H, (0, 0, 1, 0), (0, 0, 2, 1))),
        last(g.slice(H, (0, 0, 1, 0), (2, 4, 5, 6), (1, 1, 2, 3))),
        last(
            g.sum(
                g.reshape(g.slice(H, (0,) * 4, (2, 4, 4, 6), (1,) * 4), (2, 4, 2, 2, 3, 2)), (3, 5)
            )
        ),
        last(g.reduce_max(g.window(H, (2, 3), (2, 2), (1, 1), (1, 1)), (4, 5))),
        last(g.sub(H, g.broadcast(g.reshape(g.sum(H, (0, 2, 3)), (1, 4, 1, 1)), H.shape))),
        g.sum(g.exp(H), (0, 2, 3)),
    ],
    ids=lambda n: n.op,
)
def test_no_permute_is_left_between_layers(out: Node) -> None:
    if out.ndim == 5:
        out = conv(out, g.input((1, 1, out.shape[-1], 1, 2), F32), (0, 0))
    signature = Signature(tuple(n for n in reachable([out]) if n.op == "input"), (), (), (out,))
    new = pipeline.rewritten(signature)
    large = [n for n in reachable(new.roots) if n.op == "permute" and n.inputs[0].op != "input"]
    assert not large
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in signature.inputs]
    (expected,), (found,) = (InterpretedProgram(s).run(arrays, []) for s in (signature, new))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_what_two_convolutions_pad_alike_is_padded_once() -> None:
    """A layer's input is padded in the order of the layer, for the gradient of its weights too."""
    x = g.input((2, 3, 5, 6), F32)
    forward = conv(last(x), W)
    across = g.reshape(g.permute(x, (1, 2, 3, 0)), (3, 5, 6, 1, 2))
    weights = conv(across, g.input((5, 6, 2, 1, 4), F32))
    roots = (g.sum(forward, range(5)), g.sum(weights, range(5)))
    inputs = tuple(n for n in reachable(roots) if n.op == "input")
    new = pipeline.rewritten(Signature(inputs, (), (), roots))
    assert sum(n.op == "pad" for n in reachable(new.roots)) == 1


def test_what_is_padded_lies_as_the_forward_pass_reads_it() -> None:
    """Whichever result is named first: a program's bits do not depend on that."""
    x = g.input((2, 5, 6, 1, 1), F32)
    forward = g.pad(x, (0, 1, 1, 0, 0), (0, 1, 1, 0, 0), 0.0)
    turned = g.pad(g.permute(x, (4, 1, 2, 3, 0)), (0, 1, 1, 0, 0), (0, 1, 1, 0, 0), 0.0)
    y = conv(forward, g.input((3, 3, 1, 1, 4), F32), (0, 0))
    gradient = conv(turned, g.input((5, 6, 2, 1, 4), F32), (0, 0))
    pads = [
        {n.shape for n in reachable(layout(roots)) if n.op == "pad"}
        for roots in ([y, gradient], [gradient, y])
    ]
    assert pads == [{(2, 7, 8)}, {(2, 7, 8)}]


def test_results_lie_as_they_are_named() -> None:
    (root,) = layout([g.tanh(H)])
    assert root.op == "tanh" and root.shape == H.shape


def test_graphs_without_convolutions_stay() -> None:
    root = g.tanh(g.permute(g.input((2, 3), F32), (1, 0)))
    assert layout([root]) == [root]
