"""A folder of compiled programs, so that the second process does not compile.

An entry is one file, named by the caller's key (hex digits):

    magic 8 bytes | key length u16 | payload length u64 | blake2b-32 of key and payload | key |
    payload

It is written beside its place and moved there, so a reader sees a whole entry or none, whoever else
writes. What does not check out is treated as absent and removed.

The folder holds code that will be run. So the folder and each entry must belong to this user and be
closed to the writing of others; no link is followed, and nothing but a plain file is read. Only a
folder that is new, empty or marked as a cache of ours is used, and in it only files are touched
whose names begin as ours do: ``CHAINRULE_CACHE=.`` harms nothing.

``CHAINRULE_CACHE`` names another folder; ``0`` or ``off`` switches the cache off.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"CRcache\x01"  # the last byte is the version of this format
_HEADER = struct.Struct("<8sHQ32s")
_PREFIX = "chainrule-"
_SUFFIX = ".crc"
_TEMPORARY = ".tmp"
_MARK = "chainrule-cache"  # an empty file of this name says that the folder is a cache of ours
_STALE_SECONDS = 3600.0  # a temporary file this old was left by a process that died
MAX_BYTES = 512 << 20  # of all entries; what was used longest ago goes first
# Not every system has all of them.
_NOFOLLOW, _NONBLOCK, _BINARY = (
    getattr(os, f"O_{name}", 0) for name in ("NOFOLLOW", "NONBLOCK", "BINARY")
)


class CacheStats(NamedTuple):
    """What the cache holds, and how often this process found what it asked for."""

    folder: Path | None
    entries: int
    bytes: int
    hits: int
    misses: int


def default_folder() -> Path | None:
    """Where entries go: ``CHAINRULE_CACHE``, else the user's cache folder; None if switched off."""
    chosen = os.environ.get("CHAINRULE_CACHE", "").strip()
    if chosen.lower() in ("0", "off"):
        return None
    return Path(chosen).expanduser() if chosen else users_folder()


def users_folder() -> Path:
    """The folder in which this user keeps what can be made or fetched again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG rule: relative paths are ignored.
        base = base if os.path.isabs(base) else "~/.cache"
    return Path(base).expanduser() / "chainrule"


class Cache:
    """Byte strings by key, on disk; least recently used entries go beyond ``max_bytes``.

    Never raises for what happens on disk: without a usable folder it warns once and forgets.

        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = Cache(Path(folder) / "cache")
        ...     cache.put("c0ffee", b"code")
        ...     cache.get("c0ffee"), cache.get("beef")
        (b'code', None)
    """

    def __init__(self, folder: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._checked = False
        self._writable = True
        self._hits = self._misses = 0
        self._bytes: int | None = (
            None  # estimate: what was there at the first put, plus what we wrote
        )

    def get(self, key: str) -> bytes | None:
        """The payload stored under ``key``, or None."""
        payload = None
        if self._usable():
            path = self._path(key)
            try:
                entry = self._read(path)
                payload = None if entry is None else _payload(entry, key)
                if payload is None:
                    path.unlink()
                else:
                    os.utime(path)  # mark as used
            except OSError:
                pass  # absent, taken away meanwhile, or read-only: the content decides
        self._hits += payload is not None
        self._misses += payload is None
        return payload

    def put(self, key: str, payload: bytes) -> None:
        """Store ``payload`` under ``key``, replacing what was there."""
        path = self._path(key)
        if not self._usable() or not self._writable:
            return
        entry = _entry(key, payload)
        if len(entry) > self.max_bytes:
            return
        try:
            self._write(path, entry)
        except OSError as error:
            self._writable = False  # what is there can still be read
            self._warn(f"cannot write there ({error.strerror or error})")
            return
        if self._bytes is None:
            self._bytes = sum(size for _, _, size in self._entries())
        else:
            self._bytes += len(entry)
        if self._bytes > self.max_bytes:
            self._evict()

    def clear(self) -> None:
        """Remove all entries."""
        if self._usable():
            for item in self._files(_SUFFIX, _TEMPORARY):
                with contextlib.suppress(OSError):  # another process may be faster
                    os.unlink(item.path)
        self._bytes = None

    def stats(self) -> CacheStats:
        """Number and size of the entries on disk; hits and misses of this process."""
        entries = self._entries() if self._usable() else []
        size = sum(size for _, _, size in entries)
        folder = self.folder if self._usable() else None
        return CacheStats(folder, len(entries), size, self._hits, self._misses)

    def _path(self, key: str) -> Path:
        if not 2 <= len(key) <= 200 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"cache key {key!r}: expected lowercase hex digits")
        return (self.folder or Path()) / (_PREFIX + key + _SUFFIX)

    @staticmethod
    def _write(path: Path, entry: bytes) -> None:
        # Readable by us only.
        handle, temporary = tempfile.mkstemp(prefix=_PREFIX, suffix=_TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(entry)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _read(self, path: Path) -> bytes | None:
        """The bytes of an entry; None, and a warning, if somebody else may have written it."""
        try:  # without O_NONBLOCK, to open a pipe would wait for a writer
            handle = os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            self._refuse(path, "it is a link")
            return None
        try:
            state = os.fstat(handle)
            why = "" if stat.S_ISREG(state.st_mode) else "it is not a plain file"
            why = why or _foreign(state)
            if why:
                self._refuse(path, why)
            if why or state.st_size > self.max_bytes:
                return None
            with os.fdopen(os.dup(handle), "rb") as file:
                return file.read()
        finally:
            os.close(handle)

    def _refuse(self, path: Path, why: str) -> None:
        warnings.warn(
            f"a compiled program is not used: {path}: {why}. It was removed; if you did not put "
            f"it there, remove the folder {self.folder}",
            RuntimeWarning,
            stacklevel=4,
        )

    def _files(self, *suffixes: str) -> list[os.DirEntry[str]]:
        """What lies in the folder under a name of ours."""
        try:
            with os.scandir(self.folder) as listing:
                return [
                    item
                    for item in listing
                    if item.name.startswith(_PREFIX) and item.name.endswith(suffixes)
                ]
        except OSError:
            return []

    def _entries(self) -> list[tuple[float, Path, int]]:
        """(last use, path, size) of the entries; removes temporary files of processes that died."""
        found: list[tuple[float, Path, int]] = []
        for item in self._files(_SUFFIX, _TEMPORARY):
            with contextlib.suppress(OSError):  # gone meanwhile
                state = item.stat(follow_symlinks=False)
                if item.name.endswith(_SUFFIX):
                    found.append((state.st_mtime, Path(item.path), state.st_size))
                elif state.st_mtime < time.time() - _STALE_SECONDS:
                    os.unlink(item.path)
        return found

    def _evict(self) -> None:
        """Remove the least recently used entries until a tenth of the room is free."""
        entries = sorted(self._entries())
        self._bytes = sum(size for _, _, size in entries)
        for _, path, size in entries:
            if self._bytes <= self.max_bytes * 9 // 10:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            self._bytes -= size

    def _usable(self) -> bool:
        if self.folder is None or self._checked:
            return self.folder is not None
        self._checked = True
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            why = _foreign(self.folder.stat()) or _foreign_link(self.folder)
            if why:
                return self._give_up(f"{why}, and may have put code in it; remove the folder")
            mark, own = self.folder / _MARK, self.folder == users_folder()
            if not own and any(self.folder.iterdir()) and not mark.exists():
                return self._give_up("it holds other files; name a new or an empty folder")
            with contextlib.suppress(OSError):  # what is there can still be read
                mark.touch(mode=0o600)
        except OSError as error:
            return self._give_up(f"cannot make or read it ({error.strerror or error})")
        return True

    def _give_up(self, why: str) -> bool:
        self._warn(why)
        self.folder = None
        return False

    def _warn(self, why: str) -> None:
        warnings.warn(
            f"compiled programs are not kept: cache folder {self.folder}: {why}; "
            "set CHAINRULE_CACHE to another folder, or to 0 to do without",
            RuntimeWarning,
            stacklevel=4,
        )


def _foreign(state: os.stat_result) -> str:
    """Why somebody else may have written what ``state`` is of; empty if nobody can."""
    if hasattr(os, "getuid"):
        if state.st_uid != os.getuid():
            return f"it belongs to user {state.st_uid}, not to you"
        if state.st_mode & 0o022:
            return "other users can write to it"
    return ""


def _foreign_link(folder: Path) -> str:
    """Why somebody else may have chosen the folder that a link leads to."""
    owner = folder.lstat().st_uid
    trusted = not folder.is_symlink() or not hasattr(os, "getuid") or owner in (0, os.getuid())
    return "" if trusted else f"it is a link of user {owner}"


def _entry(key: str, payload: bytes) -> bytes:
    name = key.encode()
    return _HEADER.pack(_MAGIC, len(name), len(payload), _checksum(name, payload)) + name + payload


def _payload(entry: bytes, key: str) -> bytes | None:
    """The payload of an entry that is whole and is this key's; None otherwise."""
    if len(entry) < _HEADER.size:
        return None
    magic, key_length, length, checksum = _HEADER.unpack_from(entry)
    name = entry[_HEADER.size : _HEADER.size + key_length]
    payload = entry[_HEADER.size + key_length :]
    if magic != _MAGIC or name != key.encode() or len(payload) != length:
        return None
    return payload if checksum == _checksum(name, payload) else None


def _checksum(name: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(len(name).to_bytes(8, "little"), digest_size=32)
    digest.update(name)
    digest.update(payload)
    return digest.digest()
