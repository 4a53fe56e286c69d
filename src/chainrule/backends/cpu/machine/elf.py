"""Object files of LLVM's put into memory without LLVM, whose loading takes longer than theirs.

Code for memory refers to all that may lie anywhere by 64-bit addresses. So on Linux and x86-64 an
object (ELF, System V ABI) is copied, those addresses are filled in, and its pages are made
executable. What has anything else in it is left to LLVM.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import struct
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")

_OBJECT, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_UNWIND = 0x70000001  # for exceptions, which no kernel has
_WRITABLE, _IN_MEMORY, _EXECUTABLE, _THREAD_LOCAL = 1, 2, 4, 0x400
_UNDEFINED, _SPECIAL = 0, 0xFF00
_LOCAL, _FILE = 0, 4
_ADDRESS_64 = 1  # R_X86_64_64
_PAGE = mmap.PAGESIZE


class Section(NamedTuple):
    """A section's header."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Symbol(NamedTuple):
    """A name, where it is (section, offset), and whether other objects see it."""

    name: str
    section: int
    value: int
    is_local: bool


class Unknown(Exception):
    """There is something in an object that only LLVM can load."""


class Object:
    """An object file, looked at."""

    def __init__(self, payload: bytes) -> None:
        """Raises Unknown, or struct.error where the file ends too early."""
        self.payload = payload
        magic, kind, machine, *_, at, _, _, _, _, size, count, _ = _HEADER.unpack_from(payload)
        if magic[:6] != b"\x7fELF\x02\x01" or (kind, machine) != (_OBJECT, _X86_64):
            raise Unknown("no object of this machine")
        if size != _SECTION.size or len(payload) < at + count * size:
            raise Unknown("section headers")
        self.sections = [
            Section(*_SECTION.unpack_from(payload, at + i * size)) for i in range(count)
        ]
        self.loaded = [
            i
            for i, s in enumerate(self.sections)
            if s.flags & _IN_MEMORY and s.size and s.kind != _UNWIND
        ]
        for i in self.loaded:
            section = self.sections[i]
            if section.kind not in (_PROGBITS, _NOBITS) or section.flags & _THREAD_LOCAL:
                raise Unknown("a section")
        tables = [s for s in self.sections if s.kind == _SYMTAB]
        self.symbols = list(self._symbols(tables[0])) if tables else []

    def _symbols(self, table: Section) -> Iterator[Symbol]:
        names = self.content(self.sections[table.link])
        for at in range(0, table.size, _SYMBOL.size):
            name, info, _, section, value, _ = _SYMBOL.unpack_from(self.payload, table.offset + at)
            if section >= _SPECIAL and info & 15 != _FILE:
                raise Unknown("a symbol without a section")
            text = names[name : names.index(b"\0", name)].decode()
            yield Symbol(text, section, value, info >> 4 == _LOCAL)

    def content(self, section: Section) -> bytes:
        """The bytes of a section."""
        found = self.payload[section.offset : section.offset + section.size]
        if len(found) != section.size:
            raise Unknown("an end that came too early")
        return found

    def relocations(self) -> Iterator[tuple[int, int, Symbol, int]]:
        """Where addresses are to be filled in: section, offset, the symbol, what is added."""
        for table in self.sections:
            if table.kind != _RELA or table.info not in self.loaded:
                continue
            for offset, info, more in _RELOCATION.iter_unpack(self.content(table)):
                if info & 0xFFFFFFFF != _ADDRESS_64:
                    raise Unknown("a relocation")
                yield table.info, offset, self.symbols[info >> 32], more


class Code:
    """Objects in memory; it goes with this object, but not at exit: threads may wait inside."""

    def __init__(self, objects: Sequence[Object]) -> None:
        """Raises Unknown."""
        places, executable, size = _laid_out(objects)
        self._at = _map(size)
        end = weakref.finalize(self, _system().munmap, self._at, size)
        end.atexit = False
        self.addresses: dict[str, int] = {}
        for number, one in enumerate(objects):
            for symbol in one.symbols:
                place = places.get((number, symbol.section))
                if not symbol.is_local and place is not None:
                    self.addresses.setdefault(symbol.name, self._at + place + symbol.value)
        image = bytearray(size)
        for number, one in enumerate(objects):
            self._write(image, number, one, places)
        ctypes.memmove(self._at, bytes(image), size)
        if _system().mprotect(self._at, executable, mmap.PROT_READ | mmap.PROT_EXEC):
            raise Unknown("pages that may not be executed")

    def _write(
        self, image: bytearray, number: int, one: Object, places: Mapping[tuple[int, int], int]
    ) -> None:
        for i in one.loaded:
            section, place = one.sections[i], places[number, i]
            if section.kind == _PROGBITS:
                image[place : place + section.size] = one.content(section)
        for section_, offset, symbol, more in one.relocations():
            if symbol.section == _UNDEFINED:
                where = self.addresses.get(symbol.name) or _outside(symbol.name)
            else:
                where = self._at + places[number, symbol.section] + symbol.value
            if offset + 8 > one.sections[section_].size:
                raise Unknown("a relocation outside of its section")
            struct.pack_into("<Q", image, places[number, section_] + offset, where + more)


def loaded(objects: Sequence[bytes]) -> Code | None:
    """The objects in memory, ready to run; None where only LLVM can load them."""
    if sys.platform != "linux":
        return None
    try:
        return Code([Object(payload) for payload in objects])
    except (Unknown, struct.error, IndexError, KeyError, ValueError):
        return None  # and LLVM says what is wrong with it, if anything is


def _laid_out(objects: Sequence[Object]) -> tuple[dict[tuple[int, int], int], int, int]:
    """Where each (object, section) begins; the length of what is executable, and of all."""
    places: dict[tuple[int, int], int] = {}
    size = executable = 0
    for wanted in (_EXECUTABLE, 0):
        for number, one in enumerate(objects):
            for i in one.loaded:
                section = one.sections[i]
                if section.flags & _EXECUTABLE == wanted:
                    if wanted and section.flags & _WRITABLE or section.alignment > _PAGE:
                        raise Unknown("a section")
                    size += -size % max(section.alignment, 1)
                    places[number, i] = size
                    size += section.size
        size += -size % _PAGE
        executable = executable or size
    return places, executable, max(size, _PAGE)


@functools.cache
def _system() -> Any:
    """The C library, with all else that this process has loaded for everybody."""
    found = ctypes.CDLL(None, use_errno=True)
    p, n = ctypes.c_void_p, ctypes.c_size_t
    found.mmap.restype, found.mmap.argtypes = p, [p, n, *[ctypes.c_int] * 3, ctypes.c_long]
    found.mprotect.argtypes, found.munmap.argtypes = [p, n, ctypes.c_int], [p, n]
    return found


def _map(size: int) -> int:
    """Fresh pages."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    at = _system().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if at is None or at == ctypes.c_void_p(-1).value:
        raise Unknown("no memory")
    return int(at)


def _outside(name: str) -> int:
    """The address of a function of the C library."""
    try:
        return ctypes.cast(getattr(_system(), name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise Unknown(name) from None
