"""Machine code that all programs share: the pool's workers, the barrier, the step loop.

Compiled once (or taken from the disk cache) and never unloaded: workers wait inside it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from typing import Any

from ....core.host.forking import free_in_child
from ...base import Cache
from ..machine.compiler import Library, compile_ir
from ..machine.target import host
from .pool_ir import code_ir
from .step_loop_ir import loop_ir

_cache: Cache | None = None
_compiling = threading.Lock()
free_in_child(sys.modules[__name__], "_compiling")


def use_object_cache(cache: Cache | None) -> None:
    """Keep the shared machine code there, so that a process starts without compiling it."""
    global _cache
    _cache = cache


def begin() -> None:
    """Compile it in the background, for who has something else to compile first."""
    if not _objects.cache_info().currsize:
        threading.Thread(target=objects, name="chainrule-native").start()


def objects() -> tuple[bytes, ...]:
    """The object files: with ``@chainrule_barrier`` and the pool, and with the loops."""
    with _compiling:
        return _objects()


@functools.cache
def _objects() -> tuple[bytes, ...]:
    return tuple(compile_ir([code_ir(), loop_ir()], host(), opt=1, cache=_cache))


@functools.cache
def library() -> Library:
    """The shared code in this process."""
    return Library(objects(), host())


def function(name: str, *argtypes: Any, restype: Any = None) -> Any:
    """A function of the shared code as a ctypes callable."""
    return ctypes.CFUNCTYPE(restype, *argtypes)(library().address(name))
