"""Updates in place, decided from the loops."""

from __future__ import annotations

import pytest

from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.compiler.show import show
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.signature import Signature

F = dt.float32
TABLE, NEW, OTHER = g.input((50, 4), F), g.input((50, 4), F), g.input((4, 50), F)
AT, ROW = g.input((), dt.int32), g.input((4,), F)
ROWS, PLACES = g.input((3, 4), F), g.input((3,), dt.int64)


def kernels(updates: list, outputs: tuple = ()) -> list[str]:
    state = (TABLE,) if len(updates) == 1 else (TABLE, NEW)
    inputs = (OTHER, AT, ROW, ROWS, PLACES) + (() if len(updates) == 2 else (NEW,))
    program = compile_loops(Signature(inputs, state, tuple(updates), outputs))
    return [show(kernel) for kernel in program.kernels]


@pytest.mark.parametrize(
    "update",
    [
        g.add(TABLE, NEW),
        g.put(TABLE, AT, ROW),
        g.put(TABLE, AT, g.add(ROW, ROW)),
        g.scatter_add(TABLE, PLACES, ROWS),
    ],
    ids=lambda n: n.op,
)
def test_what_reads_the_old_value_where_it_writes_is_one_kernel_or_none_but_the_change(update):
    found = kernels([update])
    assert not any("copy" in k or "update_state" in k for k in found)
    assert "for i0 in range(200)" not in "".join(found) or update.op == "add"
    assert found[-1].splitlines()[0].startswith(update.op)


@pytest.mark.parametrize(
    "update",
    [
        g.permute(OTHER, (1, 0)),
        g.add(g.flip(TABLE, (0,)), NEW),
        g.put(TABLE, AT, g.reshape(g.slice(TABLE, (0, 0), (1, 4), (1, 1)), (4,))),
        g.scatter_add(NEW, PLACES, ROWS),
    ],
    ids=["another's", "flipped", "put a row of its own", "of another"],
)
def test_other_updates_are_right(update, monkeypatch):
    """Compiled and interpreted, whatever is decided."""
    import numpy as np

    from chainrule.backends.base import backend_named

    inputs = (OTHER, AT, ROW, ROWS, PLACES, NEW)
    signature = Signature(inputs, (TABLE,), (update,), (g.sum(TABLE, (0,)),))
    rng = np.random.default_rng(0)
    given = [rng.normal(size=n.shape).astype(n.dtype) for n in (OTHER, AT, ROW, ROWS)]
    given[1] = np.array(3, np.int32)
    given += [np.array([1, 1, 49]), rng.normal(size=NEW.shape).astype(np.float32)]
    results = []
    for name in ("cpu", "interpreter"):
        state = [np.arange(200, dtype=np.float32).reshape(50, 4)]
        outputs = backend_named(name).compile(signature).run(given, state, 2)
        results.append([*state, *outputs])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_change_that_is_a_result_as_well_is_made_of_a_copy():
    update = g.put(TABLE, AT, ROW)
    assert len(kernels([update], (update,))) == 3  # copy, change, and into the state
