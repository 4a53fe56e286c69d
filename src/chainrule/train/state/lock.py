"""FolderLock: at most one process (and one fit of it) writes into a folder.

The lock is the system's own on an open file, so it ends with the process, however that dies; the
file's text only tells others who holds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import CheckpointError

NAME = ".lock"
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the text, which others may read
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for a block. Raises CheckpointError if another holds it.

    A file system without locks is used without one.
    """
    path = folder / NAME
    handle = _held(path)
    try:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, f"{os.getpid()} {platform.node()}".encode())
        yield
    finally:
        # Removed while it is held: whoever opened it meanwhile sees that it is no longer there.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)
        if sys.platform == "win32":  # where no open file can be removed
            with contextlib.suppress(OSError):
                path.unlink()


def _held(path: Path) -> int:
    """The open file, locked, and still the one of that name."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(handle)
            if sys.platform == "win32" or _same(handle, path):
                return handle
            os.close(handle)  # its holder removed it in between
        except OSError as error:
            if error.errno not in _BUSY:  # no locks here
                return handle
            holder = _holder(handle)
            os.close(handle)
            raise CheckpointError(
                f"checkpoint: the folder {path.parent} is in use by {holder}; wait for it or end "
                "it, or choose another folder"
            ) from None


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        number, _, host = os.read(handle, 300).decode("utf-8", "replace").partition(" ")
    except OSError:
        number, host = "", ""
    if not number.isdigit():
        return "another process"
    if host != platform.node():
        return f"process {number} of {host!r}"
    return "another fit of this process" if int(number) == os.getpid() else f"process {number}"
