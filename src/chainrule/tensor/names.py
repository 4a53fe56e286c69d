"""Names: what a code object can read from outside of itself, found in its instructions."""

from __future__ import annotations

import dis
import functools
import types
from dataclasses import dataclass, field

WHOLE = ("whole", "")
"""A use of a name by which anything in the object may be read."""

_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"}
_SILENT = {"CACHE", "EXTENDED_ARG", "PRECALL", "PUSH_NULL", "NOP"}
_BY_TEXT = {"getattr", "vars", "attrgetter", "methodcaller", "__dict__", "__getattribute__"}
"""Names by whose help an attribute is read whose name is not in the code."""


@dataclass
class Names:
    """The names in some code, that of nested functions included."""

    globals: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    uses: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """How a name goes on: ("attribute", "scale"), ("item", "key") or `WHOLE`."""
    any_attribute: bool = False

    def add(self, other: Names) -> None:
        """Take over the names of other code."""
        self.globals |= other.globals
        self.attributes |= other.attributes
        self.imports |= other.imports
        self.any_attribute |= other.any_attribute
        for name, uses in other.uses.items():
            self.uses.setdefault(name, set()).update(uses)

    def size(self) -> int:
        """A number that grows with every name that is new."""
        return len(self.attributes) + sum(map(len, self.uses.values())) + self.any_attribute

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
        elif kind in _GLOBAL:
            found.globals.add(name)
        elif "DEREF" not in kind or not kind.startswith("LOAD"):
            continue
        found.uses.setdefault(name, set()).add(_use(listed[at + 1 : at + 3]))
        found.any_attribute |= name in _BY_TEXT
    for nested in code.co_consts:
        if isinstance(nested, types.CodeType):
            found.add(names_in(nested))
    return found


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
