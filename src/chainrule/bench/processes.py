"""Worker processes: which interpreter has which library, starting one, asking it."""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from .. import __version__
from ..errors import ChainruleError, OptionError
from ..runtime.isolated import isolated_python
from .modes.workload import Workload

NEEDS = {
    "chainrule": ("chainrule",),
    "chainrule-compile": ("chainrule",),
    "jax-scan": ("jax",),
    "jax": ("jax",),
    "torch-compile": ("torch",),
    "torch-last": ("torch",),
    "torch": ("torch",),
    "sklearn": ("sklearn",),
    "numpy": ("numpy",),
}
"""The packages of each mode."""

_FOLDER = Path(__file__).parent
_SOURCE = _FOLDER.parent.parent
_MAIN = "from modes.worker import main; main()"
_OWN_MAIN = "from chainrule.bench.modes.worker import main; main()"


class WorkerError(ChainruleError, RuntimeError):
    """A worker process failed; the message is its own."""


def choose(peers: str) -> list[str]:
    """Peers' modes from the text "all", "none", or names with commas: libraries or their modes."""
    known = [m for m in NEEDS if not m.startswith("chainrule")]
    if peers == "all":
        return known
    if peers == "none":
        return []
    wanted = [p.strip() for p in peers.split(",") if p.strip()]
    for name in wanted:
        if name not in known and name != "scikit-learn":
            raise OptionError(
                f"peers: {name!r} is not known; known are all, none, {', '.join(known)}"
            )
    wanted = ["sklearn" if p == "scikit-learn" else p for p in wanted]
    # A library's name alone means all its modes.
    return [m for m in known if m in wanted or (m.split("-")[0] in wanted and m != m.split("-")[0])]


def _command(python: str, code: str) -> list[str]:
    """Run code in an interpreter; this process's one finds the Chainrule that runs here."""
    own = [_SOURCE] if python == sys.executable else []
    return isolated_python(code, python=python, folders=own)


@functools.cache
def packages_of(python: str) -> frozenset[str]:
    """Which of the peers' packages an interpreter can import."""
    names = sorted({n for needed in NEEDS.values() for n in needed})
    code = f"import importlib.util as u; print(*[n for n in {names!r} if u.find_spec(n)])"
    try:
        done = subprocess.run(
            _command(python, code), capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OptionError(
            f"--peers-python {python}: not a Python interpreter that runs: {error}"
        ) from None
    return frozenset(done.stdout.split())


def versions(peers_python: str | None) -> list[str]:
    """Names and versions of what is compared."""
    names = ("torch", "jax", "scikit-learn", "numpy")
    code = (
        f"import importlib.metadata as m\nfor n in {names!r}:\n"
        "  try: print(n, m.version(n))\n  except m.PackageNotFoundError: pass"
    )
    found: dict[str, str] = {}
    for python in filter(None, [sys.executable, peers_python]):
        done = subprocess.run(
            _command(python, code), capture_output=True, text=True, check=True, timeout=60
        )
        for line in done.stdout.splitlines():
            name, version = line.split()
            found.setdefault(name, version)
    return [f"chainrule {__version__}", *(f"{n} {found[n]}" for n in names if n in found)]


def interpreter_of(mode: str, peers_python: str | None) -> str | None:
    """This interpreter or the peers' one, whichever has the mode's packages; None: neither."""
    candidates = (
        [sys.executable] if mode.startswith("chainrule") else [sys.executable, peers_python]
    )
    for python in candidates:
        if python and set(NEEDS[mode]) <= packages_of(python):
            return python
    return None


def environment(threads: int, caches: Path, passive: bool = False) -> dict[str, str]:
    """So many threads in every library, and its compile caches under one folder.

    ``passive``: threads of OpenMP sleep while they wait, instead of spinning.
    """
    count = str(threads)
    return ({"OMP_WAIT_POLICY": "PASSIVE"} if passive else {}) | {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "CHAINRULE_NUM_THREADS": count,
        "CHAINRULE_CACHE": str(caches / "chainrule"),
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "torch"),
        "JAX_COMPILATION_CACHE_DIR": str(caches / "jax"),
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }


@functools.cache
def bytecode() -> None:
    """Compile this package's Python files to bytecode, as pip did with the peers.

    A source tree may have none, and then a first step would wait for it.
    """
    compileall.compile_dir(_FOLDER.parent, quiet=2)


class Process:
    """A worker process with one workload in one mode."""

    def __init__(
        self,
        python: str,
        mode: str,
        workload: Workload,
        threads: int,
        caches: Path,
        passive: bool = False,
    ) -> None:
        self.mode = mode
        self._said = caches / "stderr.txt"
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pin = (lambda: os.sched_setaffinity(0, cpus[:threads])) if threads < len(cpus) else None
        # Peers' interpreters need not have Chainrule: they find the folder of modes alone.
        main, folder = _MAIN, _FOLDER
        if mode.startswith("chainrule"):
            main, folder = _OWN_MAIN, _SOURCE
            bytecode()
        with open(self._said, "w") as said:
            self._process = subprocess.Popen(
                isolated_python(main, python=python, options=["-W", "ignore"], folders=[folder]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                preexec_fn=pin,
                env={**os.environ, **environment(threads, caches, passive)},
            )
        try:
            prepared = self.ask("prepare", mode=mode, workload=asdict(workload), threads=threads)
        except BaseException:
            self.close()
            raise
        self.import_seconds = float(prepared["import_seconds"])

    def ask(self, what: str, **options: Any) -> Mapping[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            WorkerError: the worker says that it failed, or it died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **options}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = self._said.read_text(errors="replace").strip().splitlines()[-3:]
            code = self._process.wait()
            raise WorkerError("\n".join([f"{self.mode}: the worker ended with code {code}", *said]))
        answer = cast("dict[str, Any]", json.loads(line))
        if "error" in answer:
            raise WorkerError(f"{self.mode}: {answer['error']}")
        return answer

    def dismiss(self) -> None:
        """Let the process end by itself when it has answered."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it died, and nobody reads the last request
                self._process.stdin.close()

    def close(self) -> None:
        """End the process."""
        self.dismiss()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def close_all(processes: Sequence[Process]) -> None:
    """End several."""
    for process in processes:
        process.dismiss()
    for process in processes:
        process.close()
