"""Programs follow what is read by text, through other containers, or found in classes."""

from __future__ import annotations

import array
import collections
import contextvars
import functools
import random
import sys
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

X = np.array([[1.0, -2.0, 0.5]], "float32")
Case = tuple[Callable[..., Any], Callable[[], Any]]
CASES: dict[str, Callable[[], Case]] = {}


def case(f: Callable[[], Case]) -> Callable[[], Case]:
    CASES[f.__name__] = f
    return f


class Base:
    scale = 1.0

    def by(self, x: Any) -> Any:
        return x * self.scale


def of_kind(*bases: type, **entries: Any) -> Any:
    """A new class, so that no case changes that of another."""
    return type("Kind", bases or (Base,), entries)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        return self.extra(y) if hasattr(self, "extra") else y


# -- names that are texts, and attributes that may be missing --------------------------------------
@case
def text_names_an_attribute_of_the_class() -> Case:
    kind = of_kind()
    thing, name = kind(), "sca" + "le"
    return lambda x: x * getattr(thing, name), lambda: setattr(kind, name, 2.0)


@case
def default_of_getattr() -> Case:
    thing = of_kind()()
    return lambda x: x * getattr(thing, "more", 1.0), lambda: setattr(thing, "more", 2.0)


@case
def default_of_getattr_and_the_class() -> Case:
    kind = of_kind()
    thing = kind()
    return lambda x: x * getattr(thing, "more", 1.0), lambda: setattr(kind, "more", 2.0)


@case
def asked_by_hasattr() -> Case:
    space = types.SimpleNamespace()
    return (
        lambda x: x * (space.more if hasattr(space, "more") else 1.0),
        lambda: setattr(space, "more", 2.0),
    )


@case
def asked_by_attribute_error() -> Case:
    thing = of_kind()()

    def f(x: Any) -> Any:
        try:
            return x * thing.more
        except AttributeError:
            return x

    return f, lambda: setattr(thing, "more", 2.0)


@case
def layer_that_was_not_there() -> Case:
    net = Net()
    return lambda x: net(x), lambda: setattr(net, "extra", nn.Tanh())


@case
def all_attributes() -> Case:
    thing = of_kind()()
    thing.a = 1.0
    return lambda x: x * sum(vars(thing).values()), lambda: setattr(thing, "b", 2.0)


@case
def class_pattern() -> Case:
    thing = of_kind()()

    def f(x: Any) -> Any:
        match thing:
            case Base(scale=1.0):
                return x
            case _:
                return x * 2

    return f, lambda: setattr(thing, "scale", 2.0)


@case
def text_names_a_name_of_a_module() -> Case:
    module = types.ModuleType("settings")
    return lambda x: x * getattr(module, "SCALE", 1.0), lambda: setattr(module, "SCALE", 2.0)


@case
def module_replaced_that_is_imported_inside() -> Case:
    def made(by: float) -> None:
        sys.modules["replaced_module"] = module = types.ModuleType("replaced_module")
        module.by = by  # type: ignore[attr-defined]

    made(1.0)

    def f(x: Any) -> Any:
        import replaced_module  # type: ignore[import-not-found]

        return x * replaced_module.by

    return f, lambda: made(2.0)


# -- classes ---------------------------------------------------------------------------------------
@case
def method_hidden_by_a_new_one() -> Case:
    kind = of_kind()
    thing = kind()
    return lambda x: thing.by(x), lambda: setattr(kind, "by", lambda self, x: x * 5)


@case
def method_of_a_module_hidden() -> Case:
    kind = of_kind(Net)
    net = kind()
    return lambda x: net(x), lambda: setattr(kind, "forward", lambda self, x: x * 5)


@case
def special_method_added() -> Case:
    kind = of_kind(Base, __len__=lambda self: 1)
    thing = kind()
    return lambda x: x * (1 if thing else 2), lambda: setattr(kind, "__bool__", lambda self: False)


@case
def class_of_an_object_replaced() -> Case:
    thing = of_kind()()
    return lambda x: thing.by(x), lambda: setattr(thing, "__class__", of_kind(Base, scale=2.0))


@case
def class_of_a_module_replaced() -> Case:
    class Twice(Net):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    net = Net()
    return lambda x: net(x), lambda: setattr(net, "__class__", Twice)


@case
def bases_replaced() -> Case:
    kind = of_kind(of_kind())
    thing = kind()
    change = of_kind(Base, scale=2.0)
    return lambda x: thing.by(x), lambda: setattr(kind, "__bases__", (change,))


@case
def method_with_a_cache() -> Case:
    @functools.cache
    def scale() -> float:
        return thing.scale

    thing = of_kind()()

    def change() -> None:
        thing.scale = 2.0
        scale.cache_clear()

    return lambda x: x * scale(), change


@case
def method_for_each_kind() -> Case:
    class Thing(Base):
        @functools.singledispatchmethod
        def of(self, value: Any, x: Any) -> Any:
            return x * self.scale

    thing = Thing()
    return lambda x: thing.of(1, x), lambda: setattr(thing, "scale", 2.0)


# -- containers ------------------------------------------------------------------------------------
@case
def read_only_view_of_a_dict() -> Case:
    table = {"a": 1.0}
    view = types.MappingProxyType(table)
    return lambda x: x * view["a"], lambda: table.update(a=2.0)


@case
def bytes_in_place() -> Case:
    numbers = bytearray([1, 2])
    return lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 9)


@case
def memory_in_place() -> Case:
    numbers = bytearray([1, 2])
    view = memoryview(numbers)
    return lambda x: x * view[0], lambda: numbers.__setitem__(0, 9)


@case
def array_of_python_in_place() -> Case:
    numbers = array.array("d", [1.0, 2.0])
    return lambda x: x * numbers[0], lambda: numbers.__setitem__(0, 9.0)


@case
def list_in_an_array_of_objects() -> Case:
    inner = [1.0]
    outer = np.empty(1, object)
    outer[0] = inner
    return lambda x: x * outer[0][0], lambda: inner.__setitem__(0, 2.0)


@case
def attribute_of_a_list_of_ones_own() -> Case:
    class Numbers(list[float]):
        scale = 1.0

    numbers = Numbers([1.0])
    return lambda x: x * numbers[0] * numbers.scale, lambda: setattr(numbers, "scale", 2.0)


@case
def attribute_of_a_key() -> Case:
    table = {of_kind()(): 1}
    return (
        lambda x: x * sum(key.scale for key in table),
        lambda: setattr(next(iter(table)), "scale", 2.0),
    )


@case
def weak_reference() -> Case:
    thing = of_kind()()
    found = weakref.ref(thing)
    return lambda x: x * found().scale, lambda: setattr(thing, "scale", 2.0)


@case
def context_variable() -> Case:
    scale = contextvars.ContextVar("scale", default=1.0)
    return lambda x: x * scale.get(), lambda: scale.set(2.0)


@case
def order_of_a_dict() -> Case:
    table = collections.OrderedDict(a=1.0, b=2.0)
    return lambda x: x * next(iter(table.values())), lambda: table.move_to_end("a")


@case
def column_of_pandas() -> Case:
    pandas = pytest.importorskip("pandas")
    column = pandas.Series([1.0, 2.0], index=["a", "b"])
    return lambda x: x * float(column["a"]), lambda: column.__setitem__("a", 3.0)


@case
def table_of_polars() -> Case:
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"a": [1.0]})
    return lambda x: x * table["a"][0], lambda: table.__setitem__((0, "a"), 3.0)


# -- what tensors are ------------------------------------------------------------------------------
@case
def whether_a_weight_is_trained() -> Case:
    layer = nn.Linear(3, 3)
    return (
        lambda x: x * (1 if layer.weight.requires_grad else 2),
        lambda: layer.requires_grad_(False),
    )


@case
def dtype_of_a_weight() -> Case:
    layer = nn.Linear(3, 3)
    return lambda x: x * (1 if layer.weight.dtype == cr.float32 else 2), layer.double


@pytest.mark.parametrize("name", CASES)
def test_the_next_call_sees_the_change(name: str) -> None:
    f, change = CASES[name]()
    compiled, x = cr.compile(lambda x: f(x)), cr.tensor(X)
    before = compiled(x).numpy().copy()
    compiled(x)
    assert sum(map(len, compiled.traces.values())) == 1
    change()
    after = compiled(x).numpy()
    np.testing.assert_allclose(after, f(x).numpy(), rtol=1e-5)
    assert not np.allclose(after, before)


def test_the_shape_of_an_array_is_watched_whatever_its_size() -> None:
    for shape in ((2, 3), (300, 200)):
        numbers = np.zeros(shape)
        compiled = cr.compile(lambda x, numbers=numbers: x * numbers.shape[0])
        assert compiled(cr.ones(())).item() == shape[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy wants reshape
            numbers.shape = shape[::-1]
        assert compiled(cr.ones(())).item() == shape[1]


# -- what cannot be watched is said ----------------------------------------------------------------
@pytest.mark.parametrize(
    "draw",
    [
        np.random.rand,
        random.random,
        np.random.default_rng(0).random,
        np.random.RandomState(0).rand,
        random.Random(0).random,
    ],
    ids=["np.random", "random", "Generator", "RandomState", "Random"],
)
def test_random_numbers_of_others_are_drawn_once_and_it_is_said(draw: Any) -> None:
    source = getattr(draw, "__self__", None)  # what a user's code would hold
    drawn = cr.compile(lambda x: x * getattr(source, draw.__name__)())
    with pytest.warns(RuntimeWarning, match=r"random numbers are drawn from .*cr\.rand"):
        first = drawn(cr.ones(2))
    assert drawn(cr.ones(2)).tolist() == first.tolist()


def test_a_generator_that_is_not_drawn_from_is_not_named() -> None:
    source = np.random.default_rng(0)
    cr.compile(lambda x: x if source is not None else x * 2)(cr.ones(2))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * eval("1.0"),
        lambda x: x * len(globals()),
        lambda x: x * __import__("importlib").import_module("math").pi,
    ],
    ids=["eval", "globals", "import_module"],
)
def test_names_that_only_a_text_says_are_named(f: Any) -> None:
    with pytest.warns(RuntimeWarning, match=r"\(\.\.\.\) is called, and what the text names"):
        cr.compile(f)(cr.ones(2))
