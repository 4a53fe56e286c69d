"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ...errors import WriteError

TEMPORARY = ".writing-"
"""What the names of files in the making begin with."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to write bytes to; it appears at ``path``, synced, when the block ends without error.

    Until then, and after an error, what was there stays as it was. Raises WriteError, with the
    path, where the system cannot write it.
    """
    path = Path(path)
    check_place(path)
    with _made_beside(path) as temporary:
        with io.BufferedWriter(_Output(temporary, path)) as file:
            yield file
            file.flush()
            with naming(path):
                os.fsync(file.fileno())
        with naming(path):
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
    _sync_folder(path.parent)


def check_writable(path: str | Path) -> None:
    """Raise WriteError if no file can be written at ``path``: to be asked before long work.

    Only an attempt tells (read-only file systems, quotas), so an empty file is made beside it.
    """
    path = Path(path)
    check_place(path)
    with _made_beside(path):
        pass


def check_place(path: Path) -> None:
    """Raise WriteError unless ``path`` is a file, or a new name, in a folder that exists."""
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"{path} cannot be written: {str(folder)!r} is no folder")
    if not folder.is_dir():
        raise WriteError(f"{path} cannot be written: the folder {str(folder)!r} does not exist")
    if path.is_dir():
        raise WriteError(f"{path} cannot be written: it is a folder")


@contextmanager
def _made_beside(path: Path) -> Iterator[str]:
    """An empty file in the same folder, gone at the end unless it was renamed."""
    with naming(path):
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        os.close(handle)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


class _Output(io.FileIO):
    """A file whose errors name the path it is for."""

    def __init__(self, temporary: str, path: Path) -> None:
        super().__init__(temporary, "wb")
        self.path = path

    def write(self, data: Any, /) -> int:
        with naming(self.path):
            return super().write(data)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system says against writing, with the path the user knows."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        found = WriteError(f"{path} cannot be written: {error.strerror or error}")
        found.errno = error.errno
        raise found from error


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk as well, where folders can be synced."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
