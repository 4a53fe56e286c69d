"""What a loop keeps for the loop backwards lies where its input lay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.backends.base import backend_named
from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.interpret import evaluate
from chainrule.core.signature import Signature

T, N, H = 50, 3, 8
ROW = T * N * H * 4  # bytes of one number a unit, row and step


def signature_of(layer: nn.Module, x: Any) -> Any:
    """The signature of a step, and the values of its inputs and its state."""
    trace, leaves = cr.compile(gradients_of(layer))._find((x,), {})
    state = [t.numpy().copy() for t in trace.state]
    return trace.signature, [leaves[i].numpy() for i in trace.arguments], state


def gradients_of(layer: nn.Module) -> Any:
    def f(x: Any) -> Any:
        def loss(x: Any) -> Any:
            return (layer(x)[0] ** 2).sum()

        return cr.value_and_grad(loss)(x)

    return f


def test_an_lstm_keeps_eight_numbers_a_unit_and_step() -> None:
    layer = nn.LSTM(H, H)
    x = cr.tensor(np.random.default_rng(0).normal(size=(T, N, H)).astype("f"))
    program = compile_loops(signature_of(layer, x)[0])
    # i, f, g, o in the projected input; tanh c, c, the output and its cotangent; 4 of the gates'.
    assert program.arena_bytes < 12.5 * ROW


@pytest.mark.parametrize(
    ("kind", "options"),
    [("RNN", {}), ("LSTM", {"bidirectional": True}), ("GRU", {}), ("GRU", {"remat": True})],
)
def test_gradients_are_those_without_sharing(
    kind: str, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cr.manual_seed(0)
    layer = getattr(nn, kind)(H, H, **options)
    x = cr.tensor(np.random.default_rng(0).normal(size=(T, N, H)).astype("f"))
    signature, inputs, state = signature_of(layer, x)
    found = backend_named("cpu").compile(signature).run(inputs, state)
    monkeypatch.setattr("chainrule.compiler.pipeline.share_rows", lambda placed: placed)
    apart = backend_named("cpu").compile(signature).run(inputs, state)
    for a, b in zip(found, apart, strict=True):
        assert a.tobytes() == b.tobytes()


def loop_of(update: Any, result: Any, carry: Any, row: Any, times: int = 5) -> tuple[Any, Any]:
    """A scan over the rows of an array that is computed first; its result is used by a sum."""
    from chainrule.autodiff.recurrence import loop

    x = g.input((times, *row.shape), row.dtype)
    first = g.input(carry.shape, carry.dtype)
    made = loop([carry], [row], [update], [result], [first], [g.mul(x, x)], length=times)
    return (x, first), made


@pytest.mark.parametrize("late", [False, True], ids=["read first", "read last"])
def test_only_rows_that_were_read_before_are_written_over(late: bool) -> None:
    """The result of a step may take the row's place only if nothing reads the row behind it."""
    f = dt.float32
    carry, row, w = g.input((4, 4), f), g.input((4, 4), f), g.input((4, 4), f)
    product = g.dot(carry, w)  # a kernel of its own, and a level
    update = g.dot(g.tanh(product), row) if late else g.dot(g.tanh(g.add(product, row)), w)
    (x, first), made = loop_of(update, g.tanh(product), carry, row)
    roots = (*made.carries, g.sum(made.stacked[0], (0,)))
    signature = Signature((x, first, w), (), (), roots)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=n.shape).astype("f") for n in (x, first, w)]
    found = backend_named("cpu").compile(signature).run(values, [])
    wanted = evaluate(roots, dict(zip((x, first, w), values, strict=True)))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_empty_arrays_go_through_loops() -> None:
    def body(c: Any, x: Any) -> Any:
        return (c[0] + x.sum(), c[1] * 2), (c[1].exp(), x * c[0])

    def f(x: Any, empty: Any) -> Any:
        (a, b), (c, d) = cr.scan(body, (cr.zeros(()), empty), x)
        return a, b, c, d

    x, empty = cr.ones(4, 3), cr.zeros(7, 0)
    for a, b in zip(cr.compile(f)(x, empty), f(x, empty), strict=True):
        assert a.shape == b.shape
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_products_of_no_terms_whose_right_side_is_shared() -> None:
    a, b = g.input((3, 4, 0), dt.float32), g.input((0, 5), dt.float32)
    product = g.dot(a, g.broadcast(g.reshape(b, (1, 0, 5)), (3, 0, 5)))
    root = g.add(product, g.full(product.shape, 1, product.dtype))
    values = [np.zeros(n.shape, "f") for n in (a, b)]
    (found,) = backend_named("cpu").compile(Signature((a, b), (), (), (root,))).run(values, [])
    assert (found == 1).all()


def test_all_rows_of_a_buffer_are_as_far_apart() -> None:
    layer = nn.GRU(H, H)
    x = cr.tensor(np.ones((T, N, H), "f"))
    program = compile_loops(signature_of(layer, x)[0])
    parts = [b for b in program.buffers if b.kind == "part" and b.steps and b.steps[0]]
    strides = {(b.parent, abs(b.steps[0])) for b in parts}
    assert len({p for p, _ in strides}) == len(strides)
