"""Nests: faults that were found, each with the graph that showed it."""

from __future__ import annotations

import numpy as np
from compiled import run_guarded
from graphs import Graph, assert_close

from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.interpret import evaluate
from chainrule.core.signature import Signature

F = dt.float32


def test_stages_do_not_inherit_loop_variables():
    """A clipped update: loops over (8,), then (3, 8) collapsed to one, then (8, 6), in one
    kernel."""
    shapes = [(3, 8), (8,), (8, 6), (3,)]
    weights = [g.input(s, F) for s in shapes]
    gradients = [g.input(s, F) for s in shapes]
    total = None
    for x in gradients:
        square = g.sum(g.mul(x, x), tuple(range(x.ndim)))
        total = square if total is None else g.add(total, square)
    scale = g.div(g.constant(1.0, F), g.sqrt(total))
    updates = [
        g.sub(w, g.mul(x, g.expand(scale, x.shape)))
        for w, x in zip(weights, gradients, strict=True)
    ]
    rng = np.random.default_rng(0)
    values = {n: rng.normal(size=n.shape).astype(np.float32) for n in (*weights, *gradients)}
    signature = Signature(tuple(gradients), tuple(weights), tuple(updates), (total,))
    expected = evaluate([total, *updates], values)
    for at_end in (True, False):
        outputs, state = run_guarded(
            signature,
            [values[n] for n in gradients],
            [values[n] for n in weights],
            at_end,
            threads=1,
        )
        assert_close(Graph([total, *updates], values, 0), outputs + state, expected)
