"""Gradients and vmap of random graphs."""

from __future__ import annotations

import numpy as np
from graphs import Graph, assert_close, graphs, random_graph
from hypothesis import HealthCheck, given, settings

from chainrule.autodiff.batching import vmap_nodes
from chainrule.autodiff.check import check_gradients
from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.interpret import evaluate
from chainrule.core.node import reachable
from chainrule.core.primitives.table import TABLE
from chainrule.core.show import show
from chainrule.core.verify import verify
from chainrule.errors import GradientError

quick = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def check_off_the_kinks(graph: Graph, order: int, tolerance: float) -> None:
    """A finite difference may step over a kink by chance; then a shorter one does not."""
    for step in (1e-5, 1e-6, 1e-7):
        try:
            check_gradients(
                graph.outputs,
                graph.values,
                order=order,
                directions=2,
                step=step,
                rtol=tolerance,
                atol=tolerance,
            )
            return
        except GradientError as error:
            last = error
    raise last


@quick
@given(graphs(smooth=True))
def test_gradients_are_finite_differences(graph: Graph) -> None:
    check_off_the_kinks(graph, 1, 1e-4)


@quick
@given(graphs(smooth=True, steps=6))
def test_second_derivatives_are_finite_differences(graph: Graph) -> None:
    check_off_the_kinks(graph, 2, 1e-3)


@quick
@given(graphs(special=True))
def test_vmap_is_a_loop(graph: Graph) -> None:
    """With a part of the inputs mapped, and a vmap of the vmap."""
    rng = np.random.default_rng(graph.seed)
    some = [x for x in graph.values if rng.random() < 0.7]
    if not some:
        return
    r = 3
    # the examples are the same elements in another order, which keeps special and ordinary values
    stacks = {
        x: np.stack([rng.permutation(v.ravel()).reshape(v.shape) for _ in range(r)])
        for x, v in graph.values.items()
        if x in some
    }
    stacked = {x: op.input((r, *x.shape), x.dtype) for x in some}
    results = vmap_nodes(graph.outputs, stacked)
    nodes = [y for y, _ in results]
    verify(nodes)
    actual = evaluate(nodes, graph.values | {stacked[x]: s for x, s in stacks.items()})
    twice = {s: op.input((2, *s.shape), s.dtype) for s in stacked.values()}
    nested = vmap_nodes(nodes, twice)
    doubled = {twice[stacked[x]]: np.stack([s[::-1], s]) for x, s in stacks.items()}
    outer = evaluate([y for y, _ in nested], graph.values | doubled)
    for i in range(r):
        expected = evaluate(graph.outputs, graph.values | {x: s[i] for x, s in stacks.items()})
        rows = [a[i] if m else a for a, (_, m) in zip(actual, results, strict=True)]
        assert_close(graph, rows, expected)
        rows = [a[1, i] if m else a for a, (_, m) in zip(outer, nested, strict=True)]
        assert_close(graph, rows, expected)


def test_random_graphs_reach_every_primitive_and_are_well_formed() -> None:
    seen = set()
    for seed in range(400):
        graph = random_graph(seed)
        verify(graph.outputs)
        seen |= {node.op for node in reachable(graph.outputs)}
        for y, value in zip(graph.outputs, evaluate(graph.outputs, graph.values), strict=True):
            assert y.dtype.kind != "f" or np.isfinite(value).all(), graph
            assert y.dtype != dt.float64 or value.size == 0 or np.abs(value).max() < 1e5, graph
    assert seen == set(TABLE)


def test_a_seed_is_a_graph() -> None:
    assert show(random_graph(5).outputs) == show(random_graph(5).outputs)
