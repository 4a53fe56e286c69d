"""Programs: who runs a graph with inputs, outputs and state as often as wanted.

`build` chooses the backend: the compiler where llvmlite is installed, otherwise the interpreter,
which is the meaning of a program (every backend is tested against it).
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Sequence

from ..backends.base import (
    BACKENDS,
    Backend,
    Copy,
    Program,
    Rounds,
    Run,
    backend_named,
)
from ..core.signature import Signature
from ..errors import OptionError
from .cache import Cache, default_folder

_warned = False


def backend() -> str:
    """Who runs programs: "cpu" or "interpreter" (``CHAINRULE_BACKEND`` chooses, default "cpu")."""
    chosen = os.environ.get("CHAINRULE_BACKEND", "cpu")
    if chosen not in BACKENDS:
        raise OptionError(f"CHAINRULE_BACKEND={chosen!r}: expected one of {', '.join(BACKENDS)}")
    return chosen


@functools.cache
def disk_cache() -> Cache | None:
    """The cache of compiled programs all of this process uses; None when it is switched off."""
    folder = default_folder()
    return Cache(folder) if folder is not None else None


def build(signature: Signature) -> Program:
    """A program for ``signature``: compiled where that is possible, otherwise interpreted."""
    return _present(backend_named(backend())).compile(signature, disk_cache())


def interpreted(signature: Signature) -> Program:
    """A program that is evaluated with NumPy, and needs no time to be made."""
    return backend_named("interpreter").compile(signature)


def rounds(parts: Sequence[Run | Copy]) -> Rounds:
    """Steps of programs and copies of arrays, to be run in order again and again without Python."""
    return _present(backend_named(backend())).rounds(parts)


def _present(chosen: Backend) -> Backend:
    """The backend, or the interpreter where it lacks a package; the first time with a warning."""
    global _warned
    missing = chosen.missing()
    if missing is None:
        return chosen
    if not _warned:
        _warned = True
        warnings.warn(
            f"{missing} is not installed: programs are interpreted, which is slow; pip install "
            f"{missing}",
            RuntimeWarning,
            stacklevel=3,
        )
    return backend_named("interpreter")
