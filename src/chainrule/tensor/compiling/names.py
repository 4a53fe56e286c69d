"""Names: what a code object can read from outside, by its instructions; and whose code it is."""

from __future__ import annotations

import dis
import functools
import itertools
import os
import sys
import sysconfig
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..changes import Versioned

PACKAGE = __name__.split(".", 1)[0]

WHOLE = ("whole", "")
"""A use of a name by which anything in the object may be read."""

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"}
_READS = {
    dis.opmap[name]: flags
    for name, flags in {
        "LOAD_ATTR": int(sys.version_info >= (3, 12)),
        "LOAD_METHOD": 0,
        "LOAD_SUPER_ATTR": 2,
        "IMPORT_FROM": 0,
    }.items()
    if 0 < dis.opmap.get(name, 0) < 256
}
"""Operations that read an attribute, and the bits below the number of its name."""
_SILENT = {"CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOP"}
_BY_TEXT = {"getattr", "vars", "attrgetter", "methodcaller", "__dict__", "__getattribute__"}
"""Names by whose help an attribute is read whose name is not in the code."""
_TEXTS = {"eval", "exec", "globals", "__import__"}
"""Functions of Python's that read what a text names."""


@dataclass
class Names:
    """The names in some code, that of nested functions included."""

    globals: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    uses: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """How a name goes on: ("attribute", "scale"), ("item", "key") or `WHOLE`."""
    any_attribute: bool = False
    """Whether an attribute may be read whose name is not in the code."""
    asked_for: bool = False
    """Whether it is asked for an attribute that may not be there."""
    by_text: set[str] = field(default_factory=set)
    """What runs code, or reads names, that are texts."""

    def add(self, other: Names) -> None:
        """Take over the names of other code."""
        self.globals |= other.globals
        self.attributes |= other.attributes
        self.imports |= other.imports
        self.any_attribute |= other.any_attribute
        self.asked_for |= other.asked_for
        self.by_text |= other.by_text
        for name, uses in other.uses.items():
            self.uses.setdefault(name, set()).update(uses)

    def size(self) -> int:
        """A number that grows with every name that is new."""
        return len(self.attributes) + sum(map(len, self.uses.values())) + self.asked_for

    def after(self, name: str | None, kind: str) -> set[str] | None:
        """The attributes or items of ``name`` that are read, or None if any of them may be."""
        uses = self.uses.get(name, {WHOLE}) if name is not None else {WHOLE}
        return {to for _, to in uses} if all(k == kind for k, _ in uses) else None


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> Names:
    """The names in ``code``."""
    found = Names()
    listed = [i for i in dis.get_instructions(code) if i.opname not in _SILENT]
    for at, instruction in enumerate(listed):
        kind, name = instruction.opname, instruction.argval
        if kind == "IMPORT_NAME":
            found.imports.add(name)
        elif kind == "IMPORT_FROM" or kind in _ATTRIBUTE:
            found.attributes.add(name)
            found.by_text |= {name} & {"import_module"}
        elif kind in _GLOBAL:
            found.globals.add(name)
            found.by_text |= {name} & _TEXTS
        elif kind == "MATCH_CLASS":
            found.any_attribute = found.asked_for = True
        elif "DEREF" not in kind or not kind.startswith("LOAD"):
            continue
        found.uses.setdefault(name, set()).add(_use(listed[at + 1 : at + 3]))
        found.any_attribute |= name in _BY_TEXT
        found.asked_for |= name in _BY_TEXT or name in ("hasattr", "AttributeError")
    for nested in code.co_consts:
        if isinstance(nested, types.CodeType):
            found.add(names_in(nested))
    return found


def attributes_in(code: types.CodeType) -> set[str]:
    """The attributes that ``code`` reads: those of `names_in`, thirty times as quickly, which a
    first step has to wait for where all code of a class is looked at."""
    found: set[str] = set()
    high, raw, names = 0, code.co_code, code.co_names
    for operation, low in zip(raw[::2], raw[1::2], strict=True):
        number = high | low
        high = number << 8 if operation == dis.EXTENDED_ARG else 0
        if operation in _READS:
            found.add(names[number >> _READS[operation]])
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return found.union(*map(attributes_in, nested))


def _use(following: list[dis.Instruction]) -> tuple[str, str]:
    first, second = [*following, None, None][:2]
    if first is not None and first.opname in _ATTRIBUTE:
        return "attribute", first.argval
    if (
        first is not None
        and second is not None
        and first.opname == "LOAD_CONST"
        and isinstance(first.argval, str)
        and (second.opname in ("BINARY_SUBSCR", "STORE_SUBSCR") or second.argrepr == "[]")
    ):
        return "item", first.argval
    return WHOLE


# -- whose code it is ------------------------------------------------------------------------------
@functools.lru_cache(maxsize=1024)
def is_library(module: Any) -> bool:
    """Whether functions and classes whose ``__module__`` this is are not the user's: Python's own,
    this library's, and those of installed packages that know nothing of this library."""
    if module is None or module == "__main__":
        return False
    if not isinstance(module, str):  # a kind that was compiled from C may have a descriptor there
        return True
    top = module.split(".", 1)[0]
    if top == PACKAGE or module in sys.builtin_module_names:
        return True
    known = sys.modules.get(module)
    file = getattr(known, "__file__", None)
    if file is None:
        return top in sys.stdlib_module_names
    path = os.path.realpath(file)
    if not path.startswith((_installed("purelib"), _installed("platlib"))):
        inside: bool = path.startswith(_installed("stdlib"))
        return inside
    return not any(map(_is_ours, [*vars(known).values()]))


@functools.cache
def _installed(kind: str) -> str:
    """A folder of this Python's."""
    return os.path.realpath(sysconfig.get_path(kind))


def _is_ours(value: Any) -> bool:
    name = value.__name__ if isinstance(value, types.ModuleType) else None
    name = name or getattr(type(value) if not callable(value) else value, "__module__", None)
    return isinstance(name, str) and name.split(".", 1)[0] == PACKAGE


def library_names(cls: Any) -> set[str]:
    """The attributes read by the code of the classes of this library that ``cls`` is made from."""
    kinds = (k for k in cls.__mro__ if str(k.__module__).split(".", 1)[0] == PACKAGE)
    return set().union(*map(_read_by, kinds))


@functools.lru_cache(maxsize=1024)
def _read_by(kind: Any) -> set[str]:
    """The attributes read by the code of one class, and the options its constructor keeps."""
    found: set[str] = set()
    for value in kind.__dict__.values():
        function = value.fget if isinstance(value, property) else value
        if isinstance(function, types.FunctionType):
            found |= attributes_in(function.__code__) | getattr(function, "options", set())
    return found


@functools.lru_cache(maxsize=1024)
def machinery(cls: Any) -> frozenset[str]:
    """The attributes in which the classes of this library that ``cls`` is made from keep their own
    affairs: all that their code names. None of modules and optimizers, which say what changes."""
    kinds = [k for k in cls.__mro__ if str(k.__module__).split(".", 1)[0] == PACKAGE]
    if Versioned in kinds:
        return frozenset()
    parts = (v.fget if isinstance(v, property) else v for k in kinds for v in vars(k).values())
    codes = (f.__code__ for f in parts if isinstance(f, types.FunctionType))
    return frozenset().union(*(code.co_names for code in codes))


@functools.lru_cache(maxsize=1024)
def names_of_method(cls: Any, method: types.FunctionType) -> frozenset[str] | None:
    """The attributes that a method reads of its object, and those of the methods that it names;
    None if it hands the object on, to where any attribute may be read."""
    named = _followed(cls.__mro__[:-1], attributes_in(method.__code__))
    for code in (f.__code__ for f in [method, *named]):
        if not code.co_argcount or _hands_on(code, code.co_varnames[:1]):
            return None
    return frozenset().union(*(attributes_in(f.__code__) for f in [method, *named]))


@functools.lru_cache(maxsize=1024)
def own_names(cls: Any) -> frozenset[str]:
    """The attributes read by the methods by which a user's class replaces those of one of this
    library, and by the methods that they name."""
    kinds = [k for k in cls.__mro__[:-1] if not is_library(k.__module__)]
    ours: set[str] = set().union(*(k.__dict__ for k in cls.__mro__[:-1] if k not in kinds))
    functions = _followed(kinds, ours)
    return frozenset(set().union(*(names_in(f.__code__).attributes for f in functions)))


def _followed(kinds: Sequence[Any], names: set[str]) -> list[types.FunctionType]:
    """What these classes have under some names, and under the names in the code of that."""
    found: list[types.FunctionType] = []
    seen: set[str] = set()
    while names:
        seen |= names
        held = [k.__dict__[name] for name in sorted(names) for k in kinds if name in k.__dict__]
        held = [f.fget if isinstance(f, property) else getattr(f, "__func__", f) for f in held]
        new = [f for f in held if isinstance(f, types.FunctionType)]
        names = set().union(*(attributes_in(f.__code__) for f in new)) - seen
        found += new
    return found


def _hands_on(code: types.CodeType, own: tuple[str, ...]) -> bool:
    """Whether the variable ``own`` is used for more than its attributes."""
    listed = [i for i in dis.get_instructions(code) if i.opname not in (*_SILENT, "COPY")]
    for first, second in itertools.pairwise(listed):
        last = first.argval[-1:] if isinstance(first.argval, tuple) else (first.argval,)
        taken = first.opname.startswith("LOAD") and first.opname != "LOAD_CLOSURE" and last == own
        if taken and second.opname not in (*_ATTRIBUTE, "STORE_ATTR", "DELETE_ATTR"):
            return True
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return any(_hands_on(c, own) for c in nested if own and own[0] in c.co_freevars)
