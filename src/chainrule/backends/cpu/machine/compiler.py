"""From IR text to machine code: compile on all cores.

    texts --compile_ir--> object files (bytes, fit for a disk cache) --Library--> addresses

LLVM itself runs in parallel as long as each thread has its own context; llvmlite puts one lock
around every call, so the four long calls (parse, verify, optimize, emit) go past that lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from ....core.host.forking import Gate
from ....errors import InternalError
from ...base import Cache
from .target import Target, machine

# The long LLVM calls without llvmlite's lock; the prototypes were set by llvmlite on the same
# library.
_raw: Any = getattr(llvm.ffi.lib, "_lib", llvm.ffi.lib)

# No fork while a thread is inside LLVM, with or without llvmlite's lock: in the child LLVM's own
# locks would be held for ever.
_lock: Any = getattr(llvm.ffi.lib, "_lock", contextlib.nullcontext())
_compiling = Gate(_lock.__enter__, lambda: _lock.__exit__(None, None, None))

_PIPELINE_VERSION = 2  # part of every cache key: raise it when the passes below change


def object_key(text: str, target: Target, opt: int = 2) -> str:
    """Names the object that ``text`` compiles to: equal keys, equal machine code."""
    parts = (
        llvmlite.__version__,
        llvm.get_process_triple(),
        str(_PIPELINE_VERSION),
        target.cpu,
        target.features,
        str(opt),
        text,
    )
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=20).hexdigest()


def compile_ir(
    texts: Iterable[str],
    target: Target,
    opt: int | Iterable[int] = 2,
    jobs: int = 2,
    cache: Cache | None = None,
) -> list[bytes]:
    """Compile each IR module text to an object file, up to ``jobs`` at a time.

    A generator of texts is asked for the next one while earlier ones are being compiled. ``opt``
    (one for all, or one a text) is 1: clean up only, which is all that tiled and vectorized
    kernels gain from, in a quarter of the time; or 2: also hoist, number values, fold.

    Raises:
        InternalError: the text is not valid IR; the message shows the line.
    """
    levels = itertools.repeat(opt) if isinstance(opt, int) else opt
    queue, lock = zip(texts, levels, strict=False), threading.Lock()
    keys: list[str] = []
    found: dict[str, bytes] = {}
    errors: list[BaseException] = []

    def work() -> None:
        try:
            machines: dict[int, Any] = {}  # a TargetMachine serves one thread at a time
            while not errors:
                with lock:
                    item = next(queue, None)
                    if item is None:
                        return
                    text, level = item
                    key = object_key(text, target, level)
                    keys.append(key)
                    if key in found:
                        continue
                    payload = cache.get(key) if cache is not None else None
                    found[key] = payload or b""
                if payload is None:
                    if level not in machines:
                        machines[level] = machine(target, level)
                    found[key] = _compile_one(text, machines[level], level)
                    if cache is not None:
                        cache.put(key, found[key])
        except BaseException as error:  # re-raised below, in the caller's thread
            errors.append(error)

    most = len(texts) if isinstance(texts, Sequence) else jobs
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(jobs, most) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors.pop()  # and leave no cycle through its traceback
    return [found[key] for key in keys]


def optimized_ir(text: str, target: Target, opt: int = 2) -> str:
    """The IR after LLVM's passes, for reading."""
    code = machine(target, opt)
    with _module(text) as module:
        _optimize(module, code, opt)
        return str(module)


def assembly(text: str, target: Target, opt: int = 2) -> str:
    """The assembly that ``text`` compiles to, for reading."""
    code = machine(target, opt)
    with _module(text) as module:
        _optimize(module, code, opt)
        return str(code.emit_assembly(module))


def _compile_one(text: str, code: Any, opt: int) -> bytes:
    with _module(text) as module:
        _optimize(module, code, opt)
        with llvm.ffi.OutputString() as message:
            buffer = _raw.LLVMPY_TargetMachineEmitToMemory(code, module, 1, message)
            if not buffer:
                raise InternalError(f"LLVM cannot emit code: {message}")
        try:
            return ctypes.string_at(
                _raw.LLVMPY_GetBufferStart(buffer), _raw.LLVMPY_GetBufferSize(buffer)
            )
        finally:
            _raw.LLVMPY_DisposeMemoryBuffer(buffer)


def _optimize(module: Any, code: Any, opt: int) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=opt)
    # kernels are written as vectors, and unrolled as far as it pays
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(code, options)
    if opt == 2:
        passes = builder.getFunctionPassManager()
        for function in module.functions:
            if not function.is_declaration:
                _raw.LLVMPY_RunNewFunctionPassManager(passes, function, builder)
        return
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    _raw.LLVMPY_RunNewModulePassManager(passes, module, builder)


@contextmanager
def _module(text: str) -> Iterator[Any]:
    """The parsed and verified module, in a context of its own: what LLVM's threads may not share.

    Both are closed here, not by the garbage collector, which may take a context before its module.
    """
    with _compiling.inside(), llvm.create_context() as context:
        with llvm.ffi.OutputString() as message:
            pointer = _raw.LLVMPY_ParseAssembly(context, text.encode(), message)
            if not pointer:
                raise InternalError(f"the IR cannot be parsed: {message}")
        with llvm.ModuleRef(pointer, context) as module:
            with llvm.ffi.OutputString() as message:
                if _raw.LLVMPY_VerifyModule(module, message):
                    said = str(message).strip()
                    raise InternalError(f"the IR is not valid: {said}{_located(said, text)}")
            yield module


def _located(message: str, text: str) -> str:
    """The line of ``text`` that a verifier message quotes."""
    quoted = {re.sub(r"\s+", " ", line).strip() for line in message.splitlines()[1:]} - {""}
    for number, line in enumerate(text.splitlines(), 1):
        if re.sub(r"\s+", " ", line).strip() in quoted:
            return f"\n(line {number}: {line.strip()})"
    return ""
