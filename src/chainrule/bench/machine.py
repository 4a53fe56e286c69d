"""What this machine offers: versions, processor, caches, cores, speed, the disk cache."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..backends.base import backend_named
from ..backends.cpu.machine.name import processor_name
from ..runtime.cache import Cache, default_folder
from ..runtime.explain import peak_flops
from ..runtime.threads import get_num_threads


@dataclass(frozen=True)
class Check:
    """One thing that must hold for Chainrule to work; ``detail``: what was found, what to do."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Extra:
    """An optional part: the packages it needs and those that are not there."""

    name: str
    packages: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"pip install 'chainrule[{self.name}]'"


@dataclass
class Machine:
    """Facts in groups, each a flat dictionary, and the checks."""

    versions: dict[str, str]
    processor: dict[str, Any]
    speed: dict[str, Any]
    cache: dict[str, Any]
    extras: list[Extra]
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing essential is broken."""
        return all(c.ok for c in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        extras = [asdict(e) | {"install": e.install} for e in self.extras]
        return asdict(self) | {"extras": extras, "ok": self.ok}


def describe(measure: bool = True) -> Machine:
    """Look at the machine; with ``measure``, also time it (about a second)."""
    has_llvm = importlib.util.find_spec("llvmlite") is not None
    return Machine(
        versions=versions(),
        processor=processor(),
        speed=speed() if measure and has_llvm else {},
        cache=cache_state(),
        extras=extras(),
        checks=checks(has_llvm),
    )


def versions() -> dict[str, str]:
    """Of Python and what Chainrule stands on."""
    found = {
        "chainrule": __version__,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "llvmlite": _version("llvmlite"),
    }
    if importlib.util.find_spec("llvmlite") is not None:
        found["llvm"] = backend_named("cpu").facts()["llvm"]
    return found | {"platform": platform.platform()}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# -- processor -------------------------------------------------------------------------------------
def processor() -> dict[str, Any]:
    """Name, vector width, caches, and how many cores may be used."""
    facts: dict[str, Any] = {"name": processor_name(), "cpus": os.cpu_count() or 1}
    if hasattr(os, "sched_getaffinity"):
        facts["cpus_by_affinity"] = len(os.sched_getaffinity(0))
    found = dict(backend_named("cpu").facts())
    found.pop("llvm", None)
    return facts | found | caches()


def caches(cpu: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """Bytes of each data cache, ``{"l1d_bytes": 32768, ...}``; empty if the system does not say."""
    sizes: dict[str, int] = {}
    for index in sorted(cpu.glob("index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = (index / "level").read_text().strip()
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 0)
        if kind != "Instruction" and scale and size[:-1].isdecimal():
            sizes[f"l{level}{'d' if kind == 'Data' else ''}_bytes"] = int(size[:-1]) * scale
    return sizes


# -- measured speed --------------------------------------------------------------------------------
def speed() -> dict[str, Any]:
    """Peak GFLOP/s of a core, and nanoseconds of a barrier between the threads in use."""
    return {
        "peak_gflops_float32": peak_flops("float32") / 1e9,
        "peak_gflops_float64": peak_flops("float64") / 1e9,
        "barrier_ns": barrier_ns(),
    }


def barrier_ns(
    threads: int | None = None, calls: int = 8, steps: int = 2000, repeats: int = 7
) -> float | None:
    """Nanoseconds from barrier to barrier of so many ``threads`` (default: all); None for one."""
    from ..backends.cpu.machine.target import host  # llvmlite may be missing
    from ..backends.cpu.program.step_loop import Call, Schedule, StepLoop, program_objects

    target, count = host(), threads or get_num_threads()
    if count == 1:
        return None
    text = "define void @nothing(ptr %scratch, i64 %tid, i64 %nt) {\n  ret void\n}\n"
    schedule = Schedule(tuple(Call("nothing", ()) for _ in range(calls)))
    loop = StepLoop(program_objects([text], schedule, target), schedule, target, [])
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter_ns()
        loop.run(steps, count)
        best = min(best, (time.perf_counter_ns() - start) / (steps * calls))
    return best


# -- cache, extras, checks -------------------------------------------------------------------------
def cache_state() -> dict[str, Any]:
    """Folder, number and size of the compiled programs on disk."""
    folder = default_folder()
    if folder is None:
        return {
            "folder": None,
            "state": "switched off by CHAINRULE_CACHE",
            "entries": 0,
            "bytes": 0,
        }
    if not folder.exists():
        return {"folder": str(folder), "state": "not made yet", "entries": 0, "bytes": 0}
    stats = Cache(folder).stats()
    state = "usable" if stats.folder is not None and os.access(folder, os.W_OK) else "not usable"
    return {"folder": str(folder), "state": state, "entries": stats.entries, "bytes": stats.bytes}


def extras() -> list[Extra]:
    """The optional parts that the package declares, without those for development."""
    needs: dict[str, list[str]] = {}
    try:
        declared = importlib.metadata.requires("chainrule") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source, not installed
        declared = []
    for line in declared:
        found = re.match(r"([\w.-]+)[^;]*;\s*extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if found and found[2] not in ("all", "dev"):
            needs.setdefault(found[2], []).append(found[1])
    return [
        Extra(name, tuple(packages), tuple(p for p in packages if _version(p) == "not installed"))
        for name, packages in needs.items()
    ]


def checks(has_llvm: bool) -> list[Check]:
    """What must hold, tried out."""
    found = [
        Check(
            "Python",
            sys.version_info >= (3, 11),
            f"{platform.python_version()}, 3.11 or newer is needed",
        ),
        Check(
            "NumPy",
            _number(np.__version__) >= (1, 26),
            f"{np.__version__}, 1.26 or newer is needed",
        ),
    ]
    interpreter = os.environ.get("CHAINRULE_BACKEND") == "interpreter"
    if interpreter:
        found.append(Check("compiler", True, "not used: CHAINRULE_BACKEND=interpreter"))
    elif not has_llvm:
        missing = "llvmlite is missing, programs are interpreted (slow): pip install llvmlite"
        found.append(Check("compiler", False, missing))
    else:
        found.append(_compiles())
    state = cache_state()["state"]
    found.append(Check("cache folder", state != "not usable", state))
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _compiles() -> Check:
    """Compile a small program and compare it with the interpreter."""
    from ..backends.interpreter import InterpretedProgram
    from ..core import dtypes as dt  # what a broken installation may fail to import
    from ..core import graph as g
    from ..core.signature import Signature

    x, w = g.input((3, 4), dt.float32), g.input((4,), dt.float32)
    new = g.sub(w, g.sum(g.tanh(g.mul(x, g.expand(w, x.shape))), (0,)))
    signature = Signature((x,), (w,), (new,), (g.sum(new, (0,)),))
    data = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    states = [np.ones(4, np.float32), np.ones(4, np.float32)]
    try:
        got = backend_named("cpu").compile(signature).run([data], [states[0]], 3)
    except Exception as error:  # whatever it is, it is the finding
        return Check(
            "compiler", False, f"compiling a small program failed: {type(error).__name__}: {error}"
        )
    want = InterpretedProgram(signature).run([data], [states[1]], 3)
    same = np.allclose(states[0], states[1], rtol=1e-5) and np.allclose(got[0], want[0], rtol=1e-5)
    return Check(
        "compiler",
        bool(same),
        "a small program compiles and agrees with the interpreter"
        if same
        else f"a small program gives {states[0]}, the interpreter {states[1]}; please report it",
    )
