"""Interning, order, source lines, and the text and the checker of graphs."""

from __future__ import annotations

import gc
import inspect

import numpy as np
import pytest

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.node import Node, blame, reachable, source_of
from chainrule.core.primitives.table import TABLE
from chainrule.core.show import show
from chainrule.core.verify import verify
from chainrule.errors import InternalError


def test_equal_nodes_are_the_same_object() -> None:
    x = op.input((2, 3), dt.float32)
    assert op.add(x, x) is op.add(x, x)
    assert op.sum(x, [0, 1]) is op.sum(x, (1, 0))
    assert op.reshape(x, [6]) is op.reshape(x, (6,))
    assert op.constant(1.0, dt.float32) is op.constant(1.0, dt.float32)
    assert op.cast(x, dt.float64) is op.apply("cast", x, dtype=np.dtype("f8"))


def test_unequal_nodes_are_not() -> None:
    assert op.input((2,), dt.float32) is not op.input((2,), dt.float32)
    x = op.input((2, 2), dt.float32)
    assert op.sum(x, [0]) is not op.sum(x, [1])
    assert op.constant(1.0, dt.float32) is not op.constant(1.0, dt.float64)
    assert op.constant(1, dt.int64) is not op.constant(True)
    assert op.constant(0.0) is not op.constant(-0.0)
    assert op.constant([1.0]) is not op.constant(1.0)


def test_nan_constants_are_equal_and_large_constants_are_not_compared() -> None:
    assert op.constant(np.nan) is op.constant(np.nan)
    assert op.constant(np.zeros(100)) is not op.constant(np.zeros(100))


def test_a_constant_does_not_follow_its_array() -> None:
    a = np.zeros(100)
    c = op.constant(a)
    a[:] = 1
    assert not c.params["value"].array.any()
    with pytest.raises(ValueError, match="read-only"):
        c.params["value"].array[0] = 1


def test_nodes_nobody_holds_are_freed() -> None:
    x = op.input((2,), dt.float32)
    first = op.exp(x).id
    gc.collect()
    assert op.exp(x).id > first


def test_movements_that_change_nothing_return_their_input() -> None:
    x = op.input((2, 3), dt.float32)
    assert op.reshape(x, (2, 3)) is x
    assert op.permute(x, (0, 1)) is x
    assert op.expand(x, (2, 3)) is x
    assert op.slice(x, (0, 0), (2, 3), (1, 1)) is x
    assert op.pad(x, (0, 0), (0, 0)) is x
    assert op.flip(x, ()) is x
    assert op.sum(x, ()) is x
    assert op.cast(x, dt.float32) is x
    assert op.concat([x], 0) is x


def test_reachable_is_a_topological_order() -> None:
    x = op.input((2,), dt.float32)
    y = op.mul(op.exp(x), op.sin(x))
    order = reachable([y])
    assert order[-1] is y and set(order) == {x, y, *y.inputs}
    assert all(order.index(i) < order.index(n) for n in order for i in n.inputs)
    assert reachable([y, x], first=y.id) == [y]


def test_a_node_knows_the_line_of_the_user_that_made_it() -> None:
    x = op.input((2,), dt.float32)
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    y = op.exp(x)
    assert source_of(y) == (__file__, line)
    with blame(y):
        z = op.log(y)
    assert source_of(z) == source_of(y)
    assert source_of(op.sin(z)) != source_of(y)


GOLDEN = """\
%0: float32[4, 2] = input "x"
%1: float32[2, 3] = input "w"
%2: float32[4, 3] = dot(%0, %1)
%3: float32[3, 4] = permute(%2) axes=[1,0]
%4: float32[] = constant value=0.5
%5: float32[1, 1] = reshape(%4)
%6: float32[3, 4] = broadcast(%5)
%7: float32[3, 4] = mul(%3, %6)
%8: float32[4] = sum(%7) axes=[0]
return %8, %2
"""


def test_show() -> None:
    half = op.constant(0.5, dt.float32)  # older than the rest, but shown where it is used
    x, w = op.input((4, 2), dt.float32, "x"), op.input((2, 3), dt.float32, "w")
    y = op.dot(x, w)
    z = op.mul(op.permute(y, (1, 0)), op.expand(half, (3, 4)))
    assert show([op.sum(z, [0]), y], lines=False) == GOLDEN
    assert f"= dot(%0, %1){' ' * 41}  # test_node.py:" in show([y])


def broken(node: Node, **changes: object) -> Node:
    """A node that the constructors would not make."""
    wrong = Node()
    for name in ("primitive", "inputs", "params", "shape", "dtype", "id"):
        setattr(wrong, name, changes.get(name, getattr(node, name)))
    return wrong


def test_verify_accepts_what_the_constructors_make() -> None:
    x = op.input((2, 3), dt.float32)
    verify([op.exp(op.sum(x, [0])), op.dot(x, op.permute(x, (1, 0)))])


def test_verify_shows_the_fault_and_its_neighbours() -> None:
    x = op.input((2, 3), dt.float32, "x")
    wrong = broken(op.exp(x), shape=(3, 2), id=10**9)
    user = op.sin(wrong)
    with pytest.raises(InternalError) as error:
        verify([broken(user, id=10**9 + 1)])
    assert str(error.value) == (
        "the rule of exp says float32[2, 3]:\n"
        f"  %1000000000: float32[3, 2] = exp(%{x.id} float32[2, 3])\n"
        "  its inputs:\n"
        f'    %{x.id}: float32[2, 3] = input() "x"\n'
        "  its users:\n"
        "    %1000000001: float32[3, 2] = sin(%1000000000 float32[3, 2])"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ()}, "add takes 2 inputs, has 0"),
        ({"id": 0}, "an input is younger than its user"),
        ({"shape": [2]}, "the shape is not a tuple of int"),
        ({"shape": (np.int64(2),)}, "the shape is not a tuple of int"),
        ({"dtype": np.dtype(np.float16)}, "the dtype is not one of ours"),
        ({"dtype": dt.float64}, r"the rule of add says float32\[2\]"),
        ({"primitive": TABLE["dot"]}, "the rule of dot does not accept it"),
        ({"params": {"axes": [1]}}, "the rule of add does not accept it .*unhashable"),
        ({"id": 10**9}, "there is an equal node already"),
    ],
)
def test_verify_finds_each_fault(changes: dict[str, object], message: str) -> None:
    x = op.input((2,), dt.float32)
    y = op.add(x, x)
    with pytest.raises(InternalError, match=message):
        verify([broken(y, **changes)])
