"""What a program was captured with is looked at before every call, so looking must be cheap."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.experiments.networks import layered
from chainrule.experiments.replicas import Replicas
from chainrule.tensor.compiling.names import attributes_in, names_in, names_of_method, own_names
from chainrule.tensor.compiling.watch import Found


def functions() -> Iterator[types.FunctionType]:
    """Those of this library's modules and classes that are loaded."""
    for name, module in [*sys.modules.items()]:
        for value in [*vars(module).values()] if name.startswith("chainrule") else ():
            for part in (value, *(vars(value).values() if isinstance(value, type) else ())):
                if isinstance(part, types.FunctionType):
                    yield part


def test_attributes_are_those_that_the_instructions_read() -> None:
    codes = [f.__code__ for f in functions()][::20]
    assert len(codes) > 50
    for code in codes:
        assert attributes_in(code) == names_in(code).attributes, code


def test_attributes_with_large_numbers_and_in_nested_code() -> None:
    text = "\n".join(f"    g{i}.a{i}" for i in range(300))
    code = compile(f"def f(x):\n{text}\n    x.stored = lambda: x.inner", "a text", "exec")
    assert attributes_in(code) == {*(f"a{i}" for i in range(300)), "inner"}


@pytest.mark.parametrize(
    ("value", "get", "change"),
    [
        (np.arange(3.0), lambda a: a.tobytes(), lambda a: a.__setitem__(0, 5.0)),
        ({1, 2}, frozenset, lambda s: s.add(3)),
        ([1000.5], lambda x: (x[0] + 0.0, "a"), lambda x: x.__setitem__(0, 7.0)),
    ],
    ids=["numbers of an array", "a set", "a property"],
)
def test_what_is_made_anew_when_read_is_the_same_object_from_the_second_look_on(
    value: Any, get: Callable[[Any], Any], change: Callable[[Any], None]
) -> None:
    found = Found()
    found.value(get, value, get(value), (id(value), ""), "noted")
    assert not found.identical() and not [*found.differing()]
    assert found.identical()
    change(value)
    assert [*found.differing()] == [((id(value), ""), "noted")]


def test_a_container_with_an_item_that_is_equal_and_new_is_the_same_from_the_second_look_on() -> (
    None
):
    items: list[object] = [1000.5, "a"]
    found = Found()
    found.container(items, (1, None), "items")
    found.container([3], (2, None), "others")
    items[0] = float("1000.5")
    assert not found.identical() and not [*found.differing()]
    assert found.identical()
    items[0] = 2.0
    assert [label for _, label in found.differing()] == ["items"]
    items.append("b")
    assert [label for _, label in found.differing()] == ["items"]


class Timed:
    """Its step writes when it ran; only its report reads that."""

    def __init__(self) -> None:
        self.ran, self.by = 0.0, 2.0

    def step(self, x: Any) -> Any:
        self.ran = 1.0
        return self.scaled(x)

    def scaled(self, x: Any) -> Any:
        return [by * x for by in (self.by,)][0]

    def report(self) -> float:
        return self.ran

    def handed_on(self, x: Any) -> Any:
        return [Timed.scaled(me, x) for me in (self,)]

    def counted(self) -> None:
        self.ran += 1


def test_what_a_step_writes_and_never_reads_is_not_watched() -> None:
    timed = Timed()
    compiled = cr.compile(timed.step)
    for i in range(3):
        assert compiled(cr.ones(())).item() == 2
        timed.ran = i + 0.5
    assert compiled._made == 1
    timed.by = 3.0
    assert compiled(cr.ones(())).item() == 3


def test_a_method_of_the_library_watches_what_it_reads() -> None:
    xor = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    nets = Replicas(layered(2, 2, 1), xor, xor[:, :1] ^ xor[:, 1:], seeds=3, init=0.5)
    for _ in range(3):
        nets.train(4, 0.5, 0.9)
    assert nets.seconds > 0 and nets._step._made == 1
    nets._freeze = False
    nets.train(4, 0.5, 0.9)
    assert nets._step._made == 2


def test_names_of_a_method_and_of_those_that_it_names() -> None:
    assert names_of_method(Timed, Timed.step) == {"scaled", "by"}
    assert names_of_method(Timed, Timed.report) == names_of_method(Timed, Timed.counted) == {"ran"}
    assert names_of_method(Timed, Timed.handed_on) is None


def test_names_of_what_a_users_class_replaces() -> None:
    class Own(cr.Trainer):
        def training_step(self, batch: Any) -> Any:
            return self.penalized(batch)

        def penalized(self, batch: Any) -> Any:
            return self.compute_loss(self.forward(batch.x), batch) + self.penalty

        def report(self) -> Any:
            return self.runs

    names = own_names(Own)
    assert {"penalized", "penalty", "forward"} <= names and "runs" not in names
