"""Watch: whether what a captured function named from outside is still what it was.

The code of a function says what it can read: globals, cells, defaults, attributes. `watch` follows
these names through functions, modules, optimizers, objects and containers, and notes what it
finds there. A `Watch` compares: objects by identity, plain values by value. It looks at more than
was read, never at less, but for what no name leads to (see `docs/guide/compile.md`).

Modules and optimizers say themselves when they change (`changed`), so that a call need not look
at each of their attributes.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import Any

import numpy as np

from .changes import Changes, Table, Versioned
from .names import Names, names_in
from .value import Value

MANY_ITEMS = 4096
"""The items up to which a list, dict or set is watched."""
LARGE_ARRAY = 1 << 16
"""The bytes up to which the numbers of a NumPy array are watched."""

_PACKAGE = __name__.split(".", 1)[0]
_SITE = tuple({os.path.realpath(sysconfig.get_path(k)) for k in ("purelib", "platlib")})
_PYTHON = os.path.realpath(sysconfig.get_path("stdlib"))
_PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    type(...),
    range,
    slice,
    np.generic,
    np.dtype,
)


# -- comparing -------------------------------------------------------------------------------------
Get = Callable[[Any], Any]
Place = tuple[Any, Any]  # the owner's id, and a name in it; where a value was found


class Found:
    """Values found in places, and how to read them again.

    A value is ``get(key)``, or one of the items of a container; an end mark stands behind the
    items of each, so that the flat sequence of all items says how many each container has.
    """

    def __init__(self) -> None:
        self.gets: list[Get] = []
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.views: list[Any] = []
        self.items: list[Any] = []
        self.places: list[tuple[Place, str]] = []  # of the values
        self.containers: list[tuple[Place, str]] = []

    def value(self, get: Get, key: Any, value: Any, place: Place, label: str) -> None:
        """Note a value."""
        self.gets.append(get)
        self.keys.append(key)
        self.values.append(value)
        self.places.append((place, label))

    def container(self, view: Any, place: Place, label: str) -> None:
        """Note the items of a container (of a dict: of one of its views)."""
        self.views += [view, _END]
        self.items += [*view, *_END]
        self.containers.append((place, label))

    def identical(self) -> bool:
        """Whether all are the same objects; AttributeError, ValueError: one cannot be read."""
        return all(
            map(operator.is_, map(operator.call, self.gets, self.keys), self.values)
        ) and all(map(operator.is_, chain.from_iterable(self.views), self.items))

    def differing(self) -> list[tuple[Place, str]]:
        """The places of what is another now, and its name; equal plain values are taken over."""
        found = []
        for i, (get, key, before) in enumerate(zip(self.gets, self.keys, self.values, strict=True)):
            try:
                now = get(key)
            except (AttributeError, ValueError):
                found.append(self.places[i])
                continue
            if same(now, before):
                self.values[i] = now
            else:
                found.append(self.places[i])
        items: list[Any] = []
        at = 0
        for view, noted in zip(self.views[::2], self.containers, strict=True):
            end = next(i for i in range(at, len(self.items)) if self.items[i] is _END[0])
            now, before = [*view], self.items[at:end]
            if len(now) != len(before) or not all(map(same, now, before)):
                found.append(noted)
                now = before
            items += [*now, *_END]
            at = end + 1
        self.items = items
        return found


_END = (object(),)
_GOES_ON = (
    ": the program goes on with those it was captured with. Make it a tensor, or pass it as an "
    "argument"
)


def same(a: Any, b: Any) -> bool:
    """Whether a captured program cannot tell ``a`` from ``b``: one object, or equal plain values.

    >>> same(0.0, -0.0), same(1, True), same((1, "a"), (1, "a")), same([1], [1])
    (False, False, True, False)
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    return isinstance(a, (*_PLAIN, frozenset)) and bool(a == b)


class Watch:
    """All that a captured function named from outside, as it was; ``told``: in modules and
    optimizers."""

    def __init__(self, walk: _Walk, large: list[Any]) -> None:
        """Of what a walk has found; ``large``: arrays that are not watched."""
        self.found, self.told, self.long, self.large = walk.found, walk.told, walk.long, large
        self.own = walk.own
        self._seen: object = None

    def also(self, guards: Iterable[tuple[object, str, object]]) -> Watch:
        """With attributes that were read: owner, name, value (the first one counts)."""
        known = set()
        for owner, name, value in guards:
            if (id(owner), name) not in known:
                known.add((id(owner), name))
                noted = self.told if isinstance(owner, Versioned | Value) else self.found
                noted.value(operator.attrgetter(name), owner, value, (id(owner), name), name)
        return self

    def unwatched(self, read: Iterable[Any]) -> list[str]:
        """What cannot be watched, in words; of the large arrays those that were ``read``."""
        wanted = set()
        for array in read:
            while array is not None:  # of a view, what it is a view of
                wanted.add(id(array))
                array = getattr(array, "base", None)
        found = [
            f"{label} has {count} items, which are not watched{_GOES_ON}"
            for label, count in self.long
        ]
        found += [
            f"a NumPy array of shape {array.shape} is read, whose numbers are not watched{_GOES_ON}"
            for array in self.large
            if id(array) in wanted
        ]
        return found + [
            f"{counter} was changed while the function was captured: that happens once, not at "
            "each call, and it is not watched. Keep it in a tensor that is assigned, or change it "
            "outside"
            for counter in self._counters()
        ]

    def unchanged(self) -> bool:
        """Whether all is as it was."""
        now = Changes.now
        return self._same(self.found) and (now is self._seen or self._quiet(now))

    def _quiet(self, now: object) -> bool:
        """Whether modules and optimizers are as they were, although some changed."""
        if not self._same(self.told):
            return False
        self._seen = now
        return True

    @staticmethod
    def _same(found: Found) -> bool:
        try:
            if found.identical():
                return True
        except (AttributeError, ValueError, RuntimeError):  # a slot or a cell is empty now
            return False
        return not found.differing()

    def _counters(self) -> list[str]:
        """The names of numbers of the user's that are others now."""
        found = []
        entries = [
            entry
            for noted in (self.found, self.told)
            for entry in zip(noted.gets, noted.keys, noted.values, noted.places, strict=True)
        ]
        for get, key, before, (place, label) in entries:
            if place in self.own and type(before) in (int, float):
                try:
                    now = get(key)
                except (AttributeError, ValueError):
                    continue
                if type(now) in (int, float) and not same(now, before):
                    found.append(label)
        return found

    def outdated(self) -> bool:
        """Whether more changed than modules going to training or evaluation mode."""
        return any(place[1] != "_training" for place, _ in self.differing())

    def differing(self) -> list[tuple[Place, str]]:
        """The places of what is another now, and its name."""
        return self.found.differing() + self.told.differing()


class Part:
    """Some attributes of an object, to be watched in place of all that code names."""

    def __init__(self, owner: object, *names: str) -> None:
        self.owner, self.names = owner, names


def watch(roots: Callable[[], Iterable[Any]], without: set[Place] | None = None) -> Watch:
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
            for view in [owner.keys(), owner.values()] if isinstance(owner, dict) else [owner]:
                found.container(view, place, label)

    def watch(self) -> Watch:
        """All that was noted."""
        large = []
        for array in self.arrays:
            if array.nbytes <= LARGE_ARRAY:
                self.note(array, _numbers, array, "an array")
            else:
                large.append(array)
        return Watch(self, large)

    # -- going on ----------------------------------------------------------------------------------
    def visit(self, value: Any, name: str | None = None) -> None:
        """Note what the names in code can reach from ``value``, which is called ``name``."""
        kind = type(value)
        if isinstance(value, (*_PLAIN, Value)):
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
            self.visit(value.__self__)
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
        elif isinstance(value, dict):
            self.dictionary(value, name, items)
        elif isinstance(value, list | tuple | set | frozenset | deque):
            self.container(value, name)
        elif isinstance(value, property | functools.cached_property):
            self.visit(value.fget if isinstance(value, property) else value.func)
        elif isinstance(value, staticmethod | classmethod):
            self.visit(value.__func__)
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
        self.attributes(part.owner, _own_names(kind), False)

    def function(self, f: types.FunctionType) -> None:
        code, own = f.__code__, not is_library(f.__globals__.get("__name__"))
        for cell, name in zip(f.__closure__ or (), code.co_freevars, strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            if own:
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
            self.visit(sys.modules.get(name))
        self.attributes(f, self.names.attributes, False)

    def python_module(self, module: types.ModuleType, name: str | None) -> None:
        entries = module.__dict__
        used = self.names.after(name, "attribute")
        if used is None:
            used = set() if is_library(module.__name__) else self.names.attributes
        for key in sorted(used & entries.keys()):
            self.visit(self.note(entries, entries.get, key, f"{module.__name__}.{key}"), key)

    def dictionary(self, value: dict[Any, Any], name: str | None, items: set[str] | None) -> None:
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
        for item in [*value.values()]:
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

    # -- objects -----------------------------------------------------------------------------------
    def object(self, value: Any) -> None:
        kind: Any = type(value)
        self.visit(kind)
        watched = getattr(kind, "_watched_", None)
        names: Set[str] = self.names.attributes | _library_names(kind)
        if watched is not None:
            names = set(watched)
        elif isinstance(value, Mapping | Sequence | Set):  # its items are in it somewhere
            names = names | getattr(value, "__dict__", {}).keys()
        self.attributes(value, names, isinstance(value, Versioned))

    def attributes(self, value: Any, names: Set[str], told: bool) -> None:
        """Note the attributes with these names, in the object itself."""
        entries = getattr(value, "__dict__", None)
        if isinstance(entries, dict):
            unwatched = getattr(type(value), "_unwatched_", ())
            for name in [*entries] if self.names.any_attribute else sorted(names & entries.keys()):
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

    def kind(self, cls: type) -> None:
        """Note what a class has under the names that are used."""
        self.visit(type(cls))
        if hasattr(cls, "forward"):
            self.note(_forward, _forward, cls, f"{cls.__name__}.forward")
        bases = cls.__mro__[:-1]
        below: set[str] = set()  # what the library calls of a class made from one of its own
        for kind in bases:
            if is_library(kind.__module__) and kind.__module__.startswith(_PACKAGE):
                below |= kind.__dict__.keys()
        for kind in bases:
            if is_library(kind.__module__):
                continue
            entries = kind.__dict__
            for name, value in [*entries.items()]:
                special = name.startswith("__") and isinstance(value, types.FunctionType)
                if name in self.names.attributes or name in below or special:
                    if name in _OWN or (special and value.__code__.co_filename == "<string>"):
                        continue
                    label = f"{kind.__name__}.{name}"
                    self.visit(self.note(kind, entries.get, name, label), name)


_contents: Get = operator.attrgetter("cell_contents")
_code: Get = operator.attrgetter("__code__")
_defaults: Get = operator.attrgetter("__defaults__")
_forward: Get = operator.attrgetter("forward")
_OWN = {"__dict__", "__weakref__", "__module__", "__doc__", "__init_subclass__", "__wrapped__"}


def _numbers(array: Any) -> bytes:
    return bytes(array.tobytes())


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, list, dict, set, tuple, deque))


@functools.lru_cache(maxsize=1024)
def is_library(module: str | None) -> bool:
    """Whether functions and classes of this module are not the user's: Python's own, this
    library's, and those of installed packages that know nothing of this library."""
    if module is None or module == "__main__":
        return False
    top = module.split(".", 1)[0]
    if top == _PACKAGE or module in sys.builtin_module_names:
        return True
    known = sys.modules.get(module)
    file = getattr(known, "__file__", None)
    if file is None:
        return top in sys.stdlib_module_names
    path = os.path.realpath(file)
    if not path.startswith(_SITE):
        return bool(path.startswith(_PYTHON))
    return not any(map(_is_ours, [*vars(known).values()]))


def _is_ours(value: Any) -> bool:
    name = value.__name__ if isinstance(value, types.ModuleType) else None
    name = name or getattr(type(value) if not callable(value) else value, "__module__", None)
    return isinstance(name, str) and name.split(".", 1)[0] == _PACKAGE


@functools.lru_cache(maxsize=1024)
def _library_names(cls: Any) -> frozenset[str]:
    """The attributes named by the code of the classes of this library that ``cls`` is made from."""
    found: set[str] = set()
    for kind in cls.__mro__:
        if kind.__module__.split(".", 1)[0] == _PACKAGE:
            for value in kind.__dict__.values():
                function = value.fget if isinstance(value, property) else value
                if isinstance(function, types.FunctionType):
                    found |= names_in(function.__code__).attributes
    return frozenset(found)


@functools.lru_cache(maxsize=1024)
def _own_names(cls: Any) -> frozenset[str]:
    """The attributes named by the code that a user's class adds to one of this library."""
    found: set[str] = set()
    for kind in cls.__mro__[:-1]:
        if not is_library(kind.__module__):
            for value in kind.__dict__.values():
                if isinstance(value, types.FunctionType):
                    found |= names_in(value.__code__).attributes
    return frozenset(found)
