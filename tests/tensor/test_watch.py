"""What a program was captured with is looked at before every call, so looking must be cheap."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest

from chainrule.tensor.names import attributes_in, names_in
from chainrule.tensor.watch import Found


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
    value, get, change
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
