"""Permutes of what convolutions make move behind what follows element by element."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler import pipeline
from chainrule.compiler.rewrites.layout import layout
from chainrule.core import graph as g
from chainrule.core.node import Node, reachable
from chainrule.core.signature import Signature
from chainrule.core.verify import verify
from chainrule.runtime.program import build

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


def turned(axes: Sequence[int]) -> Node:
    """What a convolution makes, its axes in another order."""
    return g.tanh(g.permute(H, axes))


LOW, HIGH = (0, 1, 2, 3), (3, 0, 1, 2)


def _pairs(x: Node, axes: Sequence[int]) -> Node:
    """Windows of 2 by 2."""
    return g.window(x, axes, (2, 2), (1, 1), (1, 1))


RULES: dict[str, Callable[[Node], Node]] = {
    "window": lambda x: g.window(x, (0, 2, 3), (1, 2, 2), (1, 1, 2), (1, 1, 1)),
    "window of one axis": lambda x: g.window(x, (1,), (2,), (1,), (1,)),
    "windows of a window": lambda x: g.sum(
        g.window(_pairs(x, (0, 1)), (1, 3, 4), (1, 2, 2), (1, 1, 1), (1, 1, 1)), (5, 7)
    ),
    "pad": lambda x: g.pad(x, LOW, HIGH, 0.5),
    "slice": lambda x: g.slice(x, (0, 1, 0, 1), x.shape, (1, 2, 2, 1)),
    "sum": lambda x: g.sum(x, (0, 3)),
    "largest": lambda x: g.reduce_max(g.reduce_min(x, (2,)), (0, 1)),
    "argmax": lambda x: g.argmax(x, 1),
    "broadcast": lambda x: g.broadcast(
        g.reshape(g.sum(x, (1, 2)), (x.shape[0], 1, 1, x.shape[3])), (x.shape[0], 3, 2, x.shape[3])
    ),
    "reshape": lambda x: g.reshape(x, (1, x.shape[0] * x.shape[1], 1, *x.shape[2:], 1)),
    "reshape apart": lambda x: g.reshape(
        g.reshape(x, (x.shape[0], x.shape[1] * x.shape[2], x.shape[3])), x.shape
    ),
    "permute": lambda x: g.permute(g.neg(x), (3, 1, 0, 2)),
    "flip": lambda x: g.flip(x, (0, 3)),
    "concat": lambda x: g.concat([x, g.neg(x)], 2),
    "gather": lambda x: g.gather(x, g.constant(np.array([1, 0, 1], np.int64))),
    "fold": lambda x: g.fold(_pairs(x, (0, 3)), x.shape, (0, 3), (2, 2), (1, 1), (1, 1)),
    "where": lambda x: g.where(g.lt(x, g.zeros_like(x)), x, g.broadcast(g.sum(x, ()), x.shape)),
    "dot": lambda x: g.dot(x, g.permute(x, (0, 1, 3, 2))),
}


@pytest.mark.parametrize("name", RULES)
def test_in_every_order_of_the_axes(name: str) -> None:
    """A rule says by the program's axes what is done to those of the core, in whose order they
    lie; the result is a graph that the primitives accept, and equal."""
    orders = list(itertools.permutations(range(4)))
    roots = tuple(RULES[name](turned(axes)) for axes in orders)
    new = layout(roots)
    verify(new)
    signatures = [Signature((X, W), (), (), tuple(r)) for r in (roots, new)]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (X, W)]
    expected, found = (InterpretedProgram(s).run(arrays, []) for s in signatures)
    for want, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_padded_in_every_order_of_the_axes() -> None:
    """What no convolution made lies as the first that pads it wants it."""
    x = g.input((2, 3, 1, 4), F32)
    roots = []
    for axes in itertools.permutations(range(4)):
        low, high = ([n * (a != 2) for n, a in zip(p, axes, strict=True)] for p in (LOW, HIGH))
        roots.append(g.pad(g.permute(x, axes), low, high))
    roots.append(conv(X, W))
    new = layout(roots)
    verify(new)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (x, X, W)]
    signatures = [Signature((x, X, W), (), (), tuple(r)) for r in (roots, new)]
    expected, found = (InterpretedProgram(s).run(arrays, []) for s in signatures)
    for want, got in zip(expected, found, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("axes", [(3, 1, 0, 2), (2, 3, 1, 0), (1, 3, 2, 0)])
def test_compiled_windows_over_turned_axes(axes: tuple[int, ...]) -> None:
    window = g.window(turned(axes), (0, 1, 2), (1, 2, 2), (1, 1, 2), (1, 1, 1))
    signature = Signature((X, W), (), (), (g.reduce_max(window, (4, 5)), g.sum(window, (2, 6))))
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n.shape).astype(np.float32) for n in (X, W)]
    expected = InterpretedProgram(signature).run(arrays, [])
    for want, got in zip(expected, build(signature).run(arrays, []), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


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
