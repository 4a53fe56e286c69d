"""Packed files, unpacked in memory, within bounds: no more bytes than were announced."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from pathlib import Path, PurePosixPath

from ..errors import DataError

GZIP = b"\x1f\x8b"


def unpacked(path: Path, limit: int, data: bytes | None = None) -> bytes:
    """The bytes of a file, unpacked if it is a gzip file.

    Raises DataError for more than ``limit``, and for a damaged file.
    """
    if data is None:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        if not path.is_file():
            raise DataError(f"{path}: not a file")
    try:
        with io.BytesIO(data) if data is not None else path.open("rb") as file:
            packed = file.read(2) == GZIP
            file.seek(0)
            found = (gzip.open(file) if packed else file).read(limit + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: damaged gzip file ({error})") from None
    if len(found) > limit:
        raise DataError(f"{path}: more than the {limit:,} bytes that are expected")
    return found


def check_member(archive: str | Path, name: str) -> PurePosixPath:
    """The path of a file in an archive. Raises DataError if it leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise DataError(f"{archive}: refused: the name {name!r} leads out of the archive")
    return path
