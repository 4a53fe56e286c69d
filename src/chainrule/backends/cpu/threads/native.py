"""Machine code that all programs share: the pool's workers, the barrier, the step loop.

Compiled once (or taken from the disk cache) and never unloaded: workers wait inside it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import sys
import threading
from typing import Any

from ....core.host.forking import free_in_child
from ...base import Cache
from ..machine.library import Library
from ..machine.sources import compiler_digest
from ..machine.target import host

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
    if _cache is None:
        return _compiled()
    name = f"native {compiler_digest()} {host()}".encode()
    key = hashlib.blake2b(name, digest_size=20).hexdigest()
    payload = _cache.get(key)
    if payload is not None:
        end = 8 + int.from_bytes(payload[:8], "little")
        return payload[8:end], payload[end:]
    first, second = _compiled()
    _cache.put(key, len(first).to_bytes(8, "little") + first + second)
    return first, second


def _compiled() -> tuple[bytes, ...]:
    from ..machine.compiler import compile_ir  # and LLVM, which a process may never need
    from .pool_ir import code_ir
    from .step_loop_ir import loop_ir

    return tuple(compile_ir([code_ir(), loop_ir()], host(), opt=1))


@functools.cache
def library() -> Library:
    """The shared code in this process."""
    return Library(objects(), host())


def function(name: str, *argtypes: Any, restype: Any = None) -> Any:
    """A function of the shared code as a ctypes callable."""
    return ctypes.CFUNCTYPE(restype, *argtypes)(library().address(name))
