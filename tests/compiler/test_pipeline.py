"""The loop program of a signature follows from the signature alone."""

import gc

import numpy as np
import pytest
from compiled import graph_of, signature_of

from chainrule.compiler import pipeline
from chainrule.compiler.show import show
from chainrule.core import graph as g
from chainrule.core.node import reachable


def _text(signature):
    seen = {}
    program = pipeline.compile(signature, seen.__setitem__)
    buffers = [(b.kind, b.shape, b.dtype.name, b.number, b.offset) for b in program.buffers]
    return seen["legalize"].roots, "\n".join([*map(repr, buffers), *map(show, program.kernels)])


@pytest.mark.parametrize("seed", range(0, 60))
def test_what_is_left_of_an_earlier_program_changes_nothing(seed):
    """Equal nodes are one node while one of them is alive, and then it is older than its peers."""
    signature = signature_of(graph_of(seed), np.random.default_rng(seed))[0]
    roots, first = _text(signature)
    left = reachable(roots)[::2]
    del roots
    gc.collect()
    assert _text(signature)[1] == first
    del left


def test_order_of_nodes_is_that_of_the_graph():
    x = g.input((3,), np.dtype(np.float32))
    late = g.exp(x)
    early = g.tanh(x)
    assert reachable([g.add(early, late)])[:3] == [x, early, late]
