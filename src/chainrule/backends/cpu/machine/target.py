"""The machine code is made for: vector width, registers, caches, and the way from IR text to code.

>>> preset("avx2").lanes("float32")
8
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import numpy as np

from ...base import Cache


class Target(NamedTuple):
    """A processor as the emitters see it.

    ``features`` is LLVM's feature string; ``vector_bytes`` the widest vector worth using;
    ``vector_registers`` how many of them there are; ``l2_bytes`` is of one core.
    """

    name: str
    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    has_fma: bool
    l2_bytes: int = 512 << 10

    def lanes(self, dtype: str) -> int:
        """Elements of ``dtype`` in one vector."""
        return self.vector_bytes // np.dtype(dtype).itemsize


def runs_here(target: Target) -> bool:
    """Whether this processor has the instructions of a preset."""
    return target.vector_bytes <= host().vector_bytes and (host().has_fma or not target.has_fma)


def preset(name: str) -> Target:
    """``"avx512"``, ``"avx2"``, ``"sse2"``: that instruction set; ``"host"``: this machine."""
    if name == "host":
        return host()
    return {
        # LLVM halves 512-bit vectors on some processors unless told not to.
        "avx512": Target("avx512", "x86-64-v4", "-prefer-256-bit", 64, 32, True),
        "avx2": Target("avx2", "x86-64-v3", "", 32, 16, True),
        "sse2": Target("sse2", "x86-64", "", 16, 16, False),
    }[name]


_host: list[Target] = []


def host(cache: Cache | None = None) -> Target:
    """The machine this process runs on. A cache keeps what LLVM says of it."""
    if not _host:
        _host.append(_remembered(cache) if cache is not None else _as_llvm_says())
    return _host[0]


def _remembered(cache: Cache) -> Target:
    key = _processor_key()
    if key is None:
        return _as_llvm_says()
    known = cache.get(key)
    if known is not None:
        return Target(*json.loads(known))
    found = _as_llvm_says()
    cache.put(key, json.dumps(found).encode())
    return found


def _processor_key() -> str | None:
    """Names this processor as Linux describes it, and LLVM's version; None elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return None
    what = f"{Target._fields} {llvmlite.__version__} {re.sub('cpu MHz.*', '', text)}"
    return hashlib.blake2b(what.encode(), digest_size=20).hexdigest()


def _llvm() -> Any:
    """LLVM, loaded when it is asked for."""
    import llvmlite.binding as llvm

    return llvm


def _as_llvm_says() -> Target:
    llvm = _llvm()
    _initialize()
    features = llvm.get_host_cpu_features()
    text = features.flatten()
    l2 = _l2_bytes()
    if not llvm.get_process_triple().startswith(("x86_64", "amd64")):
        return Target("host", llvm.get_host_cpu_name(), text, 16, 32, True, l2)
    has_fma = bool(features.get("fma"))
    avx512 = all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq", "avx512bw"))
    size, registers = (64, 32) if avx512 else (32, 16) if features.get("avx2") else (16, 16)
    return Target(
        "host",
        llvm.get_host_cpu_name(),
        f"{text},-prefer-256-bit",
        size,
        registers,
        has_fma,
        l2,
    )


def _l2_bytes(default: int = 512 << 10) -> int:
    """The second cache of a core; the default where a machine does not say, for any plausible size
    only costs speed."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (index / "level").read_text().strip() == "2":
                size = (index / "size").read_text().strip()
                return int(size[:-1]) << {"K": 10, "M": 20}[size[-1]]
        except (OSError, ValueError, KeyError):
            return default
    return default


@functools.cache
def _initialize() -> None:
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def machine(target: Target, level: int = 2) -> Any:
    """LLVM's TargetMachine for ``target`` at optimization ``level``."""
    _initialize()
    llvm = _llvm()
    chosen = llvm.Target.from_triple(llvm.get_process_triple())
    return chosen.create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, jit=True
    )


def facts() -> dict[str, Any]:
    """LLVM's version, and what it knows of this processor."""
    here = host()
    return {
        "llvm": ".".join(map(str, _llvm().llvm_version_info)),
        "llvm_cpu": here.cpu,
        "vector_bits": 8 * here.vector_bytes,
        "vector_registers": here.vector_registers,
        "fma": here.has_fma,
    }
