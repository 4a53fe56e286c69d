"""Programs: state in place, functional updates, steps, backends; both backends mean the same."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np
import pytest

from chainrule.backends.interpreter import InterpretedProgram
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.node import Array
from chainrule.errors import InternalError, OptionError
from chainrule.runtime import program as p
from chainrule.runtime import realize as rt


@pytest.fixture(params=["interpreter", "cpu"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHAINRULE_BACKEND", request.param)
    return p.build


def inputs(*shapes: tuple[int, ...], dtype: dt.DType = dt.float64):
    return tuple(g.input(s, dtype) for s in shapes)


def run(
    program: p.Program, given: Sequence[Array], state: Sequence[Array], steps: int = 1
) -> list[Array]:
    return program.run(given, state, steps)


def test_state_is_updated_in_place_and_outputs_are_of_the_last_step(build) -> None:
    x, s = inputs((2,), (2,))
    new = g.add(s, x)
    program = build(p.Signature((x,), (s,), (new,), (g.mul(new, new), s)))
    state = np.array([1.0, 2.0])
    square, before = run(program, [np.array([10.0, 0.0])], [state], 3)
    np.testing.assert_array_equal(state, [31.0, 2.0])
    np.testing.assert_array_equal(square, [961.0, 4.0])
    np.testing.assert_array_equal(before, [21.0, 2.0])
    assert not np.shares_memory(before, state)


def test_updates_read_the_state_at_the_beginning_of_the_step(build) -> None:
    a, b = inputs((3,), (3,))
    program = build(p.Signature((), (a, b), (b, a), ()))
    x, y = np.zeros(3), np.ones(3)
    assert run(program, [], [x, y], 5) == []
    np.testing.assert_array_equal(x, 1)
    np.testing.assert_array_equal(y, 0)


def test_an_update_may_be_a_view_of_another_state(build) -> None:
    a, b = inputs((2, 3), (3, 2))
    program = build(
        p.Signature((), (a, b), (g.permute(b, (1, 0)), g.permute(g.flip(a, (0,)), (1, 0))), ())
    )
    x = np.arange(6.0).reshape(2, 3)
    y = np.arange(6.0, 12.0).reshape(3, 2)
    wanted = y.T.copy(), x[::-1].T.copy()
    run(program, [], [x, y])
    np.testing.assert_array_equal(x, wanted[0])
    np.testing.assert_array_equal(y, wanted[1])


def test_state_that_is_only_read_does_not_change_and_inputs_neither(build) -> None:
    x, table, total = inputs((2,), (2,), ())
    update = g.add(total, g.sum(g.mul(x, table), (0,)))
    program = build(p.Signature((x,), (table, total), (table, update), (x, table)))
    given, kept, state = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array(0.0)
    found = run(program, [given], [kept, state], 2)
    assert state == 22
    np.testing.assert_array_equal(given, [1.0, 2.0])
    np.testing.assert_array_equal(kept, [3.0, 4.0])
    np.testing.assert_array_equal(found, [given, kept])
    assert not any(np.shares_memory(f, a) for f in found for a in (given, kept))


def test_random_numbers_by_counter_differ_by_step_and_replay(build) -> None:
    key, counter = g.input((2,), dt.uint32), g.input((), dt.uint32)
    bits = g.random_bits(g.fold_in(key, counter), (4,))
    program = build(
        p.Signature((), (key, counter), (key, g.add(counter, g.constant(1, dt.uint32))), (bits,))
    )
    seed, count = np.array([1, 2], np.uint32), np.zeros((), np.uint32)
    one_by_one = [run(program, [], [seed, count])[0] for _ in range(3)]
    assert count == 3
    assert len({tuple(b) for b in one_by_one}) == 3
    count[...] = 0
    np.testing.assert_array_equal(run(program, [], [seed, count], 3)[0], one_by_one[2])


def test_signature_checks_its_updates() -> None:
    (s,) = inputs((2,))
    with pytest.raises(InternalError):
        p.Signature((), (s,), (g.sum(s, (0,)),), ())
    with pytest.raises(InternalError):
        p.Signature((), (s,), (), ())


def test_pruned() -> None:
    x, unused, read, dead, written = inputs((2,), (2,), (2,), (2,), (2,))
    signature = p.Signature((x, unused), (read, dead, written), (read, dead, x), (g.neg(read),))
    assert signature.used() == ((True, False), (True, False, True))
    small = signature.pruned()
    assert (small.inputs, small.state, small.updates) == ((x,), (read, written), (read, x))


def test_choice_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    (x,) = inputs((2,))
    signature = p.Signature((x,), (), (), (g.neg(x),))
    monkeypatch.setenv("CHAINRULE_BACKEND", "interpreter")
    assert isinstance(p.build(signature), InterpretedProgram)
    monkeypatch.setenv("CHAINRULE_BACKEND", "cuda")
    with pytest.raises(
        OptionError, match="CHAINRULE_BACKEND='cuda': expected one of cpu, interpreter"
    ):
        p.build(signature)


def test_without_llvmlite_programs_are_interpreted_and_say_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.delenv("CHAINRULE_BACKEND", raising=False)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "llvmlite" else find(n, *a)
    )
    monkeypatch.setattr(p, "_warned", False)
    (x,) = inputs((2,))
    signature = p.Signature((x,), (), (), (g.neg(x),))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert isinstance(p.build(signature), InterpretedProgram)
        assert isinstance(p.build(signature), InterpretedProgram)
    assert [str(w.message) for w in caught] == [
        "llvmlite is not installed: programs are interpreted, which is slow; pip install llvmlite"
    ]


# -- realize ---------------------------------------------------------------------------------------
def test_realize_never_shares_memory_with_a_leaf() -> None:
    array = np.arange(6.0).reshape(2, 3)
    x = rt.leaf(array)
    nodes = [
        g.permute(x, (1, 0)),
        g.stop_gradient(x),
        g.broadcast(g.reshape(x, (2, 3, 1)), (2, 3, 2)),
    ]
    for node, found in zip(nodes, rt.realize(nodes), strict=True):
        assert found.shape == node.shape
        assert not np.shares_memory(found, array)
        assert found.flags.c_contiguous
        assert not found.flags.writeable
    assert rt.realize([x])[0] is array


def test_realize_remembers_what_it_is_told_to_keep() -> None:
    x = rt.leaf(np.ones(2))
    inner = g.exp(x)
    outer = g.neg(inner)
    rt.realize([outer], lambda n: n is inner)
    assert inner in rt.values
    np.testing.assert_allclose(rt.values[inner], np.e)


def test_values_are_forgotten_with_their_nodes() -> None:
    before = len(rt.values)
    x = rt.leaf(np.ones(2))
    rt.realize([g.exp(x)])
    del x
    assert len(rt.values) == before


def test_placeholders_have_no_value() -> None:
    x = rt.placeholder((2,), dt.float64, "cr.vmap")
    assert not rt.has_value([g.exp(x)])
    assert rt.purpose_of([g.exp(x)]) == "cr.vmap"
    assert rt.purpose_of([g.exp(rt.leaf(np.ones(2)))]) is None
