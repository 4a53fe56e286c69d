"""What groups become: a graph, and its loops as text."""

from __future__ import annotations

from typing import get_args

import pytest

from chainrule.compiler import loops
from chainrule.compiler.pipeline import compile as compile_loops
from chainrule.compiler.show import show
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.signature import Signature

F = dt.float32
X, Y = g.input((6, 4), F), g.input((4, 6), F)
AT = g.input((), dt.int32)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (
            g.exp(g.permute(Y, (1, 0))),
            """exp:
  for i0 in range(6):  # parallel
    for i1 in range(4):  # parallel
      b3[4*i0 + i1] = exp(b1[i0 + 6*i1])""",
        ),
        (
            g.sum(X, (1,)),
            """sum:
  for i0 in range(6):  # parallel
    for i1 in range(4):
      acc0 = sum(acc0, b0[4*i0 + i1])
    b3[i0] = acc0""",
        ),
        (
            g.tanh(g.dot(X, Y)),
            """dot_tanh:
  acc0 = sum over i2 of b0[4*i0 + i2] * b1[i1 + 6*i2]  # 6 x 6 x 4
  b3[6*i0 + i1] = tanh(acc0)""",
        ),
        (
            g.gather(X, AT),
            """gather:
  for i0 in range(4):  # parallel
    b3[i0] = b0[b2[0] * 4 + i0]""",
        ),
    ],
    ids=lambda v: v.op if hasattr(v, "op") else "",
)
def test_loops_of_a_graph(root, expected):
    program = compile_loops(Signature((X, Y, AT), (), (), (root,)))
    assert "\n".join(map(show, program.kernels)) == expected


@pytest.mark.parametrize("union", [loops.Expr, loops.Statement, loops.Body])
def test_the_grammar_at_the_head_of_the_module_names_every_part(union):
    for part in get_args(union):
        assert f" {part.__name__} " in loops.__doc__


def test_rows_are_scattered_from_any_shape_of_what_lies_in_memory() -> None:
    """No copy of the updates, or of the numbers of their rows, is made for a reshape."""
    x, where = g.input((4, 6, 40), dt.float32), g.input((4, 6), dt.int64)
    updates, rows = g.reshape(g.tanh(x), (24, 40)), g.reshape(where, (24,))
    table = g.full((7, 40), 1.0, dt.float32)
    made = compile_loops(Signature((x, where), (), (), (g.scatter_add(table, rows, updates),)))
    assert [type(k.body).__name__ for k in made.kernels].count("Nest") == 2  # tanh, and the table
