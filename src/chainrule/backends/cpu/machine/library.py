"""Library: object files in this process."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from typing import Any

from ....errors import InternalError
from .elf import loaded
from .target import Target, machine

_numbers = itertools.count()


class Library:
    """Object files linked and loaded into this process; the code lives as long as this object.

    Objects may call one another and the C library.

    Raises:
        InternalError: on :meth:`address`, when a symbol is missing.
    """

    def __init__(self, objects: Sequence[bytes], target: Target) -> None:
        self._code = loaded(objects)
        self._linked = None if self._code is not None else _Linked(objects, target)

    def address(self, name: str) -> int:
        """The address of a function or global defined in the objects."""
        if self._linked is not None:
            return self._linked.address(name)
        assert self._code is not None
        found = self._code.addresses.get(name)
        if found is None:
            raise InternalError(f"no code for {name!r}: no object has this symbol")
        return found


class _Linked:
    """The objects as LLVM loads them."""

    def __init__(self, objects: Sequence[bytes], target: Target) -> None:
        import llvmlite.binding as llvm

        self._name = f"chainrule{next(_numbers)}"
        # A JIT of its own: when it goes, its memory goes.
        self._jit = llvm.create_lljit_compiler(machine(target), suppress_errors=True)
        builder = llvm.JITLibraryBuilder().add_current_process()
        for payload in objects:
            builder.add_object_img(payload)
        try:
            self._code = builder.link(self._jit, self._name)
        except RuntimeError as error:
            raise InternalError(f"compiled objects do not link: {error}") from error
        self._addresses: dict[str, tuple[int, Any]] = {}
        # The garbage collector takes the parts of a cycle in any order; LLVM needs the code gone
        # before its JIT.
        end = weakref.finalize(self, _free, self._jit, self._code, self._addresses)
        end.atexit = False  # threads may still wait inside; the process takes its memory with it

    def address(self, name: str) -> int:
        if name not in self._addresses:
            try:
                found = self._jit.lookup(self._name, name)
            except RuntimeError as error:
                raise InternalError(f"no code for {name!r}: {error}") from error
            self._addresses[name] = (found[name], found)
        return self._addresses[name][0]


def _free(jit: Any, code: Any, addresses: dict[str, tuple[int, Any]]) -> None:
    for _, found in addresses.values():
        found.close()
    code.close()
    jit.close()
