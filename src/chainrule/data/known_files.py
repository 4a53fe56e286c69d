"""Files of well-known data sets: where they are looked for, and whether they are whole.

Nothing is fetched unless the user says ``download=True``. A file counts by its checksum only, so it
does not matter who put it where.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.host.whole_file import whole_file
from ..errors import DataError
from ..runtime.cache import users_folder
from .unpacking import unpacked

CHUNK = 1 << 20
"""Bytes beyond its size after which a download is given up."""


@dataclass(frozen=True)
class KnownFile:
    """A file of a data set: its name, and the checksum of its ``size`` bytes as published.

    With ``.gz``: of what is in it, if ``inner``.
    """

    name: str
    size: int
    checksum: str
    inner: bool = False

    def names(self) -> tuple[str, ...]:
        """The names it may have: packed and unpacked."""
        plain = self.name.removesuffix(".gz")
        return (self.name, plain) if self.inner and plain != self.name else (self.name,)

    def check(self, path: Path, data: bytes) -> None:
        """Raise DataError unless ``data``, read from ``path``, is this file."""
        found = hashlib.new("md5" if len(self.checksum) == 32 else "sha256", data).hexdigest()
        if len(data) != self.size or found != self.checksum:
            raise DataError(
                f"{path}: not the file it should be: {len(data):,} bytes with checksum {found}, "
                f"expected {self.size:,} with {self.checksum}; it is damaged, or of another data "
                "set: remove it and fetch it again"
            )


def files_of(table: str, inner: bool = False) -> tuple[KnownFile, ...]:
    """The files of a table, in each line a name, a size and a checksum.

    >>> files_of("names.txt 12 0a30", inner=True)
    (KnownFile(name='names.txt', size=12, checksum='0a30', inner=True),)
    """
    rows = map(str.split, table.strip().splitlines())
    return tuple(KnownFile(name, int(size), checksum, inner) for name, size, checksum in rows)


@dataclass(frozen=True)
class KnownSet:
    """A data set: the folders it may be in, its files, and where they come from."""

    title: str
    folders: tuple[str, ...]
    files: tuple[KnownFile, ...]
    source: str  # an address for people
    licence: str
    urls: tuple[str, ...] = ()  # what a file's name is appended to, to fetch it

    def find(self, file: KnownFile, folder: str | Path | None, download: bool) -> Path:
        """Where ``file`` is. Raises DataError that says where it was looked for, and what to do."""
        looked = search_path(self.folders, folder)
        for place in looked:
            for name in file.names():
                if (place / name).is_file():
                    return place / name
        if download:
            target = Path(folder) if folder is not None else users_folder() / "data"
            target = target if folder is not None else target / self.folders[0]
            return self._fetch(file, target)
        raise DataError(self._missing(file, looked))

    def read(self, file: KnownFile, folder: str | Path | None, download: bool) -> bytes:
        """The bytes of ``file``, unpacked if it is ``inner``, and checked."""
        path = self.find(file, folder, download)
        if file.inner:
            data = unpacked(path, file.size)
            file.check(path, data)
            return data
        data = path.read_bytes()
        file.check(path, data)
        return data

    def _missing(self, file: KnownFile, looked: Sequence[Path]) -> str:
        places = "\n      ".join(map(str, looked))
        names = "\n      ".join(f.name for f in self.files)
        fetch = (
            f"or call it with download=True ({self.urls[0]})"
            if self.urls
            else "it is not fetched by itself"
        )
        return (
            f"{self.title}: {file.name} is in none of\n      {places}\n"
            f"    The files are\n      {names}\n"
            f"    Source: {self.source}\n    Licence: {self.licence}\n"
            f"    Put them into one of these folders, name a folder of yours (folder=, or the "
            f"variable CHAINRULE_DATA), {fetch}."
        )

    def _fetch(self, file: KnownFile, target: Path) -> Path:
        if not self.urls:
            raise DataError(
                f"{self.title} is not fetched by itself; get {file.name} from {self.source} and "
                f"put it into {target}"
            )
        failures = []
        for base in self.urls:
            url = base + file.name
            try:
                data = _body(url, limit=file.size + CHUNK)
                inner = unpacked(Path(url), file.size, data) if file.inner else data
                file.check(Path(file.name), inner)
            except (OSError, DataError) as error:
                failures.append(f"{url}: {error}")
                continue
            target.mkdir(parents=True, exist_ok=True)
            with whole_file(target / file.name) as out:
                out.write(data)
            return target / file.name
        raise DataError(f"{self.title} could not be fetched:\n    " + "\n    ".join(failures))


def _body(url: str, limit: int) -> bytes:
    """What is at ``url``, over https only, and no more than it should be."""
    if not url.startswith("https://"):
        raise DataError(f"{url}: only https is fetched")
    import urllib.request  # half of the time that importing this file would take

    with urllib.request.urlopen(url, timeout=60) as response:
        data: bytes = response.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"{url}: more than the {limit:,} bytes it should have")
    return data


def search_path(names: Sequence[str], folder: str | Path | None) -> list[Path]:
    """The folders in which a data set of these names is looked for, the first one first.

    A folder that is given is the only one. Otherwise: CHAINRULE_DATA, ``data`` here and one level
    up (also in ``shared``), the user's cache.
    """
    if folder is not None:
        roots = [Path(folder)]
        return [p for root in roots for p in (root, *(root / n for n in names))]
    roots = [Path("data"), Path("../data"), Path("../shared/data"), users_folder() / "data"]
    variable = os.environ.get("CHAINRULE_DATA", "").strip()
    if variable:
        roots.insert(0, Path(variable).expanduser())
    return [root / n for root in roots for n in names]
