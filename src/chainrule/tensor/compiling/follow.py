"""Follow: what the code of a function can read from outside, and where it is.

The code says it: globals, cells, defaults, attributes. `follow` goes after these names through
functions, modules, optimizers, objects and containers, and notes what it finds there, to be
watched. That is more than was read, less only where no name leads (see `docs/guide/compile.md`).
"""

from __future__ import annotations

import array
import contextvars
import functools
import operator
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from ..changes import Table, Versioned
from ..value import Value
from .names import (
    PACKAGE,
    Names,
    is_library,
    library_names,
    machinery,
    names_in,
    names_of_method,
    own_names,
)
from .watch import PLAIN, Found, Get, Place, Watch

MANY_ITEMS = 4096
"""The items up to which a list, dict or set is watched."""
LARGE_ARRAY = 1 << 16
"""The bytes up to which the numbers of a NumPy array are watched."""


class Part:
    """Some attributes of an object, to be watched in place of all that code names."""

    def __init__(self, owner: object, *names: str) -> None:
        self.owner, self.names = owner, names


def follow(roots: Callable[[], Iterable[Any]], without: set[Place] | None = None) -> Watch:
    """Follow the names from ``roots``. Nothing is noted at the places ``without``."""
    names = Names()
    while True:  # a name found late may be that of an attribute seen before
        size = names.size()
        walk = _Walk(names, without or set())
        for root in roots():
            walk.visit(root)
        if names.size() == size:
            return walk.watch()


class _Walk:
    """One way through everything that the names lead to."""

    def __init__(self, names: Names, without: set[Place]) -> None:
        self.names, self.without = names, without
        self.seen: dict[Any, Any] = {}
        self.noted: set[Place] = set()
        self.own: set[Place] = set()  # in globals, closures and objects of the user's classes
        self.long: list[tuple[str, int]] = []  # containers of too many items, and how many
        self.found, self.told = Found(), Found()
        self.arrays: list[Any] = []
        self.generators: list[tuple[str, Any]] = []

    # -- noting ------------------------------------------------------------------------------------
    def note(self, owner: object, get: Get, key: Any, label: str, told: bool = False) -> Any:
        """Note what ``get(key)`` is, and return it."""
        value = get(key)
        place = (id(owner), key if isinstance(key, str) else id(key))
        changing = place in self.without and _is_plain(value)
        if not changing and place not in self.noted:
            self.noted.add(place)
            (self.told if told else self.found).value(get, key, value, place, label)
        return value

    def items(self, owner: Any, label: str, told: bool = False) -> None:
        """Note which items a container has."""
        place = (id(owner), None)
        if place not in self.without or told:
            found = self.told if told else self.found
            pairs = isinstance(owner, dict | types.MappingProxyType)
            for view in [owner.keys(), owner.values()] if pairs else [owner]:
                found.container(view, place, label)

    def watch(self) -> Watch:
        """All that was noted."""
        large = []
        for x in self.arrays:
            if x.nbytes <= LARGE_ARRAY:
                self.note(x, _numbers, x, "an array")
            else:
                self.note(x, _shape, x, "an array")
                large.append(x)
        draws = [*_SHARED.items(), *self.generators]
        return Watch(self.found, self.told, self.own, self.long, large, draws, self.names.by_text)

    # -- going on ----------------------------------------------------------------------------------
    def visit(self, value: Any, name: str | None = None) -> None:
        """Note what the names in code can reach from ``value``, which is called ``name``."""
        kind = type(value)
        if isinstance(value, (*PLAIN, Watch)):  # what was noted is nothing to note
            return
        if isinstance(value, Value):
            for attribute in ("_requires_grad", "dtype"):
                self.note(value, functools.partial(getattr, value), attribute, attribute, told=True)
            return
        if isinstance(value, Part):
            self.part(value)
            return
        items = self.names.after(name, "item") if kind is dict else None
        key = (id(value), None if items is None else frozenset(items))
        if key in self.seen:
            return
        self.seen[key] = value
        if isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, types.MethodType):
            self.method(value.__self__, value.__func__)
            self.visit(value.__func__)
        elif isinstance(value, functools.partial | functools.partialmethod):
            for part in (value.func, value.args, value.keywords):
                self.visit(part)
        elif isinstance(value, type):
            self.kind(value)
        elif isinstance(value, types.ModuleType):
            self.python_module(value, name)
        elif isinstance(value, np.ndarray):
            self.arrays.append(value)
            if value.dtype == object:
                self.visit(value.tolist())
        elif isinstance(value, bytearray | memoryview | array.array):
            self.numbers(value, memoryview(value).nbytes, bytes, name)
        elif isinstance(value, dict | types.MappingProxyType):
            self.dictionary(value, name, items)
            self.subclass(value, dict)
        elif isinstance(value, list | tuple | set | frozenset | deque):
            self.container(value, name)
            self.subclass(value, list, tuple, set, frozenset, deque)
        elif isinstance(value, property | functools.cached_property):
            self.visit(value.fget if isinstance(value, property) else value.func)
        elif isinstance(value, staticmethod | classmethod):
            self.visit(value.__func__)
        elif isinstance(value, functools.singledispatchmethod):
            self.visit(value.dispatcher)
        elif isinstance(value, weakref.ref):
            self.visit(self.note(value, operator.call, value, name or "a weak reference"), name)
        elif isinstance(value, contextvars.ContextVar):
            self.visit(self.note(value, _in_context, value, name or value.name), name)
        elif isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
            self.generators.append((name or "a random generator", value))
        elif isinstance(value, operator.attrgetter | operator.methodcaller):
            listed: Any = value.__reduce__()[1]
            self.names.attributes |= {part for name in listed for part in str(name).split(".")}
        else:
            self.object(value)

    def part(self, part: Part) -> None:
        entries = part.owner.__dict__
        for name in part.names:
            self.visit(self.note(entries, entries.get, name, name), name)
        kind: Any = type(part.owner)
        self.visit(kind)
        self.attributes(part.owner, own_names(kind), False)

    def function(self, f: types.FunctionType) -> None:
        code, own = f.__code__, not is_library(f.__globals__.get("__name__"))
        for cell, name in zip(f.__closure__ or (), code.co_freevars, strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            if own and name != "__class__":
                self.note(_contents, _contents, cell, name)
                self.own.add((id(_contents), id(cell)))
            self.visit(value, name)
        for value in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self.visit(value)
        self.visit(f.__dict__.get("__wrapped__"))
        if not own:
            return
        self.note(_code, _code, f, f.__name__)
        if f.__defaults__:
            self.note(_defaults, _defaults, f, f"the defaults of {f.__name__}")
        if f.__kwdefaults__:
            self.items(f.__kwdefaults__, f"the defaults of {f.__name__}")
        names = names_in(code)
        self.names.add(names)
        entries = f.__globals__
        for name in sorted(names.globals):
            self.own.add((id(entries), name))
            self.visit(self.note(entries, entries.get, name, name), name)
        for name in sorted(names.imports):
            if not is_library(name):
                self.note(sys.modules, sys.modules.get, name, name)
            self.visit(sys.modules.get(name))
        self.attributes(f, self.names.attributes, False)

    def python_module(self, module: types.ModuleType, name: str | None) -> None:
        entries = module.__dict__
        used = self.names.after(name, "attribute")
        if used is None and is_library(module.__name__):
            return
        if used is None:
            used = {*entries} if self.names.any_attribute else self.names.attributes
            used &= entries.keys()
            if self.names.asked_for:
                self.number(module, module.__name__)
        for key in sorted(used):
            self.visit(self.note(entries, entries.get, key, f"{module.__name__}.{key}"), key)

    def dictionary(
        self, value: Mapping[Any, Any], name: str | None, items: set[str] | None
    ) -> None:
        label = name or "a dict"
        if isinstance(value, Table):
            self.items(value, label, told=True)
        elif items is not None:
            for key in sorted(items):
                self.visit(self.note(value, value.get, key, f"{label}[{key!r}]"), None)
            return
        elif not self.too_many(value, label):
            self.items(value, label)
        else:
            return
        for item in [*value, *value.values()]:
            self.visit(item)

    def container(self, value: Any, name: str | None) -> None:
        label = name or f"a {type(value).__name__}"
        if self.too_many(value, label):
            return
        if isinstance(value, set):
            self.note(value, frozenset, value, label)
        elif not isinstance(value, tuple | frozenset):
            self.items(value, label)
        for item in [*value]:
            self.visit(item)

    def too_many(self, value: Any, label: str) -> bool:
        if len(value) > MANY_ITEMS:
            self.long.append((label, len(value)))
        return len(value) > MANY_ITEMS

    def subclass(self, value: Any, *kinds: type) -> None:
        """Note what an object of a user's kind of container has besides its items."""
        if type(value) not in (*kinds, types.MappingProxyType):
            self.object(value)

    def numbers(self, value: Any, size: int, get: Get, name: str | None) -> None:
        """Note the numbers of what is no NumPy array, ``size`` bytes of them."""
        label = name or f"a {type(value).__name__}"
        if size <= LARGE_ARRAY:
            self.note(value, get, value, label)
        else:
            self.long.append((label, len(value)))

    def number(self, owner: Any, label: str, told: bool = False) -> None:
        """Note which names ``owner`` has."""
        place = (id(owner), None)
        if place not in self.noted:
            self.noted.add(place)
            (self.told if told else self.found).number(owner.__dict__, place, label)

    # -- objects -----------------------------------------------------------------------------------
    def object(self, value: Any) -> None:
        kind: Any = type(value)
        self.visit(kind)
        if not is_library(kind.__module__):
            self.note(value, type, value, kind.__name__, isinstance(value, Versioned))
        elif hasattr(kind, "__array__") and hasattr(kind, "to_numpy"):  # a column, or a table
            self.numbers(value, np.asarray(value).nbytes, _in_numpy, None)
        self.visit(getattr(value, "__dict__", {}).get("__wrapped__"))  # of a function with a cache
        watched = getattr(kind, "_watched_", None)
        names: Set[str] = self.names.attributes | library_names(kind)
        if watched is not None:
            names = set(watched)
        elif isinstance(value, Mapping | Sequence | Set):  # its items are in it somewhere
            names = names | getattr(value, "__dict__", {}).keys()
        self.attributes(value, names, isinstance(value, Versioned))

    def attributes(self, value: Any, names: Set[str], told: bool) -> None:
        """Note the attributes with these names, in the object itself."""
        entries = getattr(value, "__dict__", None)
        if isinstance(entries, dict):
            if self.names.asked_for:
                self.number(value, type(value).__name__, told)
            unwatched = getattr(type(value), "_unwatched_", ())
            cls: Any = type(value)
            any_name = {*entries} - machinery(cls) if self.names.any_attribute else set()
            for name in sorted((names & entries.keys()) | any_name):
                if name not in _OWN and name not in unwatched:
                    label = f"{type(value).__name__}.{name}"
                    if not is_library(type(value).__module__):
                        self.own.add((id(entries), name))
                    self.visit(self.note(entries, entries.get, name, label, told), name)
            if not isinstance(value, type | types.FunctionType):
                below: set[str] = set().union(*(k.__dict__ for k in type(value).__mro__[:-1]))
                below &= self.names.attributes | {"forward"}
                hidden = sorted(n for n in below - entries.keys() if n[:2] != "__")
                for name in hidden:  # an attribute of the class, which the object may get as well
                    of_class = getattr(type(value), name, None)
                    label = f"{type(value).__name__}.{name}"
                    if _is_plain(of_class):
                        self.note(value, functools.partial(getattr, value), name, label, told)
                    elif not hasattr(of_class, "__set__"):
                        self.note(entries, entries.get, name, label, told)
        for kind in type(value).__mro__:
            listed = kind.__dict__.get("__slots__", ())
            for name in names & {*([listed] if isinstance(listed, str) else listed)}:
                get = functools.partial(getattr, value)
                if hasattr(value, name):
                    label = f"{type(value).__name__}.{name}"
                    self.visit(self.note(value, get, name, label, told), name)

    def method(self, owner: Any, function: Any) -> None:
        """Note what a method reads of its object: of a class of this library no more than that."""
        kind: Any = type(owner)
        plain = not isinstance(owner, type | Versioned) and not hasattr(kind, "_watched_")
        ours = plain and kind.__module__.split(".", 1)[0] == PACKAGE
        names = names_of_method(kind, function) if ours else None
        if names is None:
            self.visit(owner)
        elif (id(owner), function) not in self.seen:
            self.seen[id(owner), function] = owner
            self.visit(kind)
            self.attributes(owner, self.names.attributes | names, False)

    def kind(self, cls: type) -> None:
        """Note what a class has under the names that are used."""
        self.visit(type(cls))
        if not is_library(cls.__module__):
            self.note(cls, _order, cls, f"the bases of {cls.__name__}")
        bases = cls.__mro__[:-1]
        if is_library(next((b.__module__ for b in bases if "forward" in b.__dict__), None)):
            self.note(_forward, _forward, cls, f"{cls.__name__}.forward")
        below: set[str] = set()  # what the library calls of a class made from one of its own
        for kind in bases:
            if is_library(kind.__module__) and str(kind.__module__).startswith(PACKAGE):
                below |= kind.__dict__.keys()
        for kind in bases:
            if is_library(kind.__module__):
                continue
            entries = kind.__dict__
            self.number(kind, kind.__name__)  # a method may be hidden by a new one
            any_name = self.names.any_attribute
            for name, value in [*entries.items()]:
                special = name.startswith("__") and isinstance(value, types.FunctionType)
                named = name in self.names.attributes or (any_name and name[:2] != "__")
                if named or name in below or special:
                    if name in _OWN or (special and value.__code__.co_filename == "<string>"):
                        continue
                    label = f"{kind.__name__}.{name}"
                    self.visit(self.note(kind, entries.get, name, label), name)


_contents: Get = operator.attrgetter("cell_contents")
_code: Get = operator.attrgetter("__code__")
_defaults: Get = operator.attrgetter("__defaults__")
_forward: Get = operator.attrgetter("forward")
_shape: Get = operator.attrgetter("shape")
_order: Get = operator.attrgetter("__mro__")
_in_context: Get = operator.methodcaller("get", None)


def _numbers(array: Any) -> Any:
    return array.shape, array.tobytes()


def _in_numpy(table: Any) -> Any:
    return np.asarray(table).tobytes()


_OWN = {"__dict__", "__weakref__", "__module__", "__doc__", "__init_subclass__", "__wrapped__"}

_SHARED = {"random of Python": random.getstate.__self__, "np.random": np.random.get_state.__self__}  # type: ignore[attr-defined]


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*PLAIN, list, dict, set, tuple, deque))
