"""The text of the compiler itself, which decides what code it writes."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import llvmlite


@functools.cache
def compiler_digest() -> str:
    """A digest of the compiler's and this backend's source text, and of LLVM's version."""
    digest = hashlib.blake2b(llvmlite.__version__.encode(), digest_size=16)
    package = Path(__file__).parents[3]
    for folder in ("core", "compiler", "backends"):
        for path in sorted(_sources(str(package / folder))):
            with open(path, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


def _sources(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path
