"""Compiled = interpreted, on random graphs: values, gradients, state, threads, instruction sets,
memory."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import run_compiled, run_guarded, signature_of
from graphs import assert_close, random_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.autodiff.reverse import gradients
from chainrule.backends.cpu.target import preset, runs_here
from chainrule.core import graph as g
from chainrule.core.interpret import evaluate
from chainrule.runtime.program import InterpretedProgram, Signature

seeds = st.integers(0, 2**31)


def plain(graph):
    return Signature(tuple(graph.values), (), (), tuple(graph.outputs)), list(graph.values.values())


@settings(max_examples=350)
@given(seeds)
def test_values(seed):
    graph = random_graph(seed, steps=4 + seed % 14, special=seed % 3 == 0)
    signature, values = plain(graph)
    outputs, _ = run_compiled(signature, values, [], threads=1 + seed % 2)
    assert_close(graph, outputs, evaluate(graph.outputs, graph.values))


@settings(max_examples=100)
@given(seeds)
def test_gradients(seed):
    graph = random_graph(seed, steps=4 + seed % 10, smooth=True)
    wrt = [n for n in graph.values if n.dtype.kind == "f"]
    outputs = [o for o in graph.outputs if o.dtype.kind == "f"]
    found = gradients(outputs, [g.ones_like(o) for o in outputs], wrt)
    graph.outputs = [n for n in found if n is not None]
    if not graph.outputs:
        return
    signature, values = plain(graph)
    got, _ = run_compiled(signature, values, [])
    for a, e in zip(got, evaluate(graph.outputs, graph.values), strict=True):
        np.testing.assert_allclose(
            a, e, rtol=1e-7, atol=1e-7 * max(1.0, np.abs(e).max(initial=0.0))
        )


@settings(max_examples=80)
@given(seeds)
def test_state_in_place(seed):
    """Two steps, state updated in place, equal to the interpreter's functional updates."""
    graph = random_graph(seed, steps=4 + seed % 10, special=False)
    signature, inputs, state = signature_of(graph, np.random.default_rng(seed))
    _, one = run_compiled(signature, inputs, state, steps=1, threads=2)
    expected = [s.copy() for s in state]
    InterpretedProgram(signature).run(inputs, expected, 1)
    for a, e, u in zip(one, expected, signature.updates, strict=True):
        tolerance = 1e-4 if u.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(
            a, e, rtol=tolerance, atol=tolerance * max(1.0, np.abs(e).max(initial=0.0))
        )


@settings(max_examples=40)
@given(seeds)
def test_same_bits_at_any_thread_count(seed):
    graph = random_graph(seed, steps=8)
    signature, inputs, state = signature_of(graph, np.random.default_rng(seed))
    runs = [run_compiled(signature, inputs, state, steps=2, threads=t) for t in (1, 2)]
    for a, b in zip(runs[0][0] + runs[0][1], runs[1][0] + runs[1][1], strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2"])
@settings(max_examples=30)
@given(seeds)
def test_every_instruction_set(name, seed):
    target = preset(name)
    if not runs_here(target):
        pytest.skip(f"this processor has no {name}")
    graph = random_graph(seed, steps=8, special=True)
    signature, values = plain(graph)
    outputs, _ = run_compiled(signature, values, [], target=target)
    assert_close(graph, outputs, evaluate(graph.outputs, graph.values))


@settings(max_examples=60)
@given(seeds)
def test_no_access_outside_the_buffers(seed):
    graph = random_graph(seed, steps=6 + seed % 8)
    signature, inputs, state = signature_of(graph, np.random.default_rng(seed))
    for at_end in (True, False):
        outputs, _ = run_guarded(signature, inputs, state, at_end)
        assert_close(graph, outputs, evaluate(graph.outputs, graph.values))


@settings(max_examples=120)
@given(seeds)
def test_register_programs(seed):
    """The form for tiny programs, with state over two steps."""
    graph = random_graph(seed, steps=3 + seed % 6, special=False)
    signature, inputs, state = signature_of(graph, np.random.default_rng(seed))
    outputs, after = run_compiled(
        signature, inputs, state, steps=1, threads=1 + seed % 2, registers=True
    )
    assert_close(graph, outputs, evaluate(graph.outputs, graph.values))
    _, plain_after = run_compiled(signature, inputs, state, steps=1)
    for a, e in zip(after, plain_after, strict=True):
        np.testing.assert_allclose(
            a, e, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(e).max(initial=0.0))
        )
