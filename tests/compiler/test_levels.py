"""Nests over the same loops become one kernel where that means the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from chainrule import nn
from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.machine.target import host
from chainrule.backends.cpu.program.build import build_artifact
from chainrule.backends.cpu.program.compiled import CompiledProgram
from chainrule.backends.interpreter import InterpretedProgram
from chainrule.compiler.loops import Repeat
from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.node import Node
from chainrule.core.signature import Signature
from chainrule.tensor.value import make, use

F = dt.float32
SHAPE = (48, 512)


def compiled(
    inputs: Sequence[Node],
    outputs: Sequence[Node],
    old: Sequence[Node] = (),
    new: Sequence[Node] = (),
) -> list[tuple[str, int]]:
    """The kernels by name and level, once they were seen to compute what the interpreter does."""
    signature = Signature(tuple(inputs), tuple(old), tuple(new), tuple(outputs))
    rng = np.random.default_rng(0)
    given, held = ([rng.normal(size=n.shape).astype(F) for n in x] for x in (inputs, old))
    artifact = build_artifact(signature, host(), registers=False)
    found = []
    for program in (
        InterpretedProgram(signature),
        CompiledProgram(signature, artifact, host()),
    ):
        state = [h.copy() for h in held]
        found.append([*program.run(given, state), *state])
    for want, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    made = compile_loops(signature)
    return list(zip([k.name for k in made.kernels], made.levels, strict=True))


def halves(x: Node) -> list[Node]:
    n = x.shape[1] // 2
    return [g.slice(x, (0, i * n), (x.shape[0], (i + 1) * n), (1, 1)) for i in range(2)]


def test_nests_that_read_the_same_are_one_kernel() -> None:
    x = g.input(SHAPE, F)
    a, b = halves(x)
    t, e = g.tanh(a), g.exp(b)
    assert compiled([x], [t, e, g.mul(t, e)]) == [("tanh_with_1more", 0)]


def test_parts_of_two_concatenations_are_one_kernel() -> None:
    x, y = g.input(SHAPE, F), g.input(SHAPE, F)
    product, t = g.mul(x, y), g.tanh(g.add(x, y))
    outputs = [g.concat([product, t], 1), g.concat([t, x], 1)]
    assert len(compiled([x, y], outputs)) == 1


def test_a_value_that_is_read_at_another_place_is_not_joined() -> None:
    x, y = g.input((64, 64), F), g.input((64, 64), F)
    t = g.tanh(g.mul(x, y))
    outputs = [t, g.add(g.flip(t, (0,)), x)]
    assert [level for _, level in compiled([x, y], outputs)] == [0, 1]


@pytest.mark.parametrize("turned", [False, True])
def test_the_old_state_is_read_before_the_new_one_is_written(turned: bool) -> None:
    x, old = g.input((64, 64), F), g.input((64, 64), F)
    seen = g.permute(old, (1, 0)) if turned else old
    outputs = [g.concat([seen, x], 1), g.concat([g.exp(seen), x], 0)]
    compiled([x], outputs, [old], [g.add(g.mul(old, x), x)])


def test_loops_of_other_lengths_stay_apart() -> None:
    x, y = g.input(SHAPE, F), g.input((48, 256), F)
    assert len(compiled([x, y], [g.tanh(x), g.exp(y)])) == 2


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_step_of_a_recurrence_is_a_product_and_one_nest(kind: type[nn.Module]) -> None:
    """Forward and backward, whatever is kept of the state."""
    net, x = kind(20, 40), g.input((6, 8, 20), F)
    found = net(make(x))[0]
    loss = use((found * found).sum())
    slope = gradients([loss], [g.ones_like(loss)], [x])[0]
    made = compile_loops(Signature((x,), (), (), (loss, slope)))
    steps = [k.body.program for k in made.kernels if isinstance(k.body, Repeat)]
    assert [max(step.levels) for step in steps] == [1, 1]
    assert [len(step.kernels) for step in steps] == [2, 2]
