"""A worker process: one mode of one workload, driven by one JSON line after another.

``{"do": "prepare", "mode": …, "workload": …, "threads": n}``, then ``first``, ``check``, ``run``,
``memory``; each is answered with one JSON line. Whatever a library prints goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from .base import Mode
from .workload import Workload

MODES = {
    "chainrule": ("chainrule_mode", "Trainer"),
    "chainrule-compile": ("chainrule_mode", "Compile"),
    "torch": ("torch_mode", "Eager"),
    "torch-last": ("torch_mode", "ChannelsLast"),
    "torch-compile": ("torch_mode", "compiled"),
    "jax": ("jax_mode", "Jit"),
    "jax-scan": ("jax_mode", "Scan"),
    "sklearn": ("sklearn_mode", "ScikitLearn"),
    "numpy": ("numpy_mode", "NumPy"),
}
# Steps from one start: a net that has learned everything only multiplies denormal numbers.
LONGEST = 50_000  # in one go
FRESH = 10_000  # before a start that is new


class Worker:
    """Answers requests."""

    def __init__(self) -> None:
        self.mode: Mode | None = None
        self.size = 0
        self.taken = 0  # steps since the last start

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        if request["do"] == "prepare":
            return self.prepare(request)
        assert self.mode is not None, "prepare comes first"
        if request["do"] == "first":
            return self.first(self.mode)
        if request["do"] == "check":
            return {"losses": self.mode.losses(request["steps"])}
        if request["do"] == "run":
            return self.run(self.mode, request["seconds"])
        return {"peak_bytes": peak_memory()}

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the library, put data and weights into memory."""
        start = time.perf_counter()
        module, name = MODES[request["mode"]]
        kind = getattr(importlib.import_module(f".{module}", __package__), name)
        imported = time.perf_counter()
        self.mode = kind(Workload.from_dict(request["workload"]), request["threads"])
        self.size = self.mode.granularity
        return {"import_seconds": imported - start, "granularity": self.mode.granularity}

    def first(self, mode: Mode) -> dict[str, Any]:
        """Seconds of the first step (of the first ``granularity`` steps), compiling included."""
        start = time.perf_counter()
        loss = mode.steps(mode.granularity)
        self.taken += mode.granularity
        return {"seconds": time.perf_counter() - start, "steps": mode.granularity, "loss": loss}

    def run(self, mode: Mode, seconds: float) -> dict[str, Any]:
        """Train for about so many seconds, starting again when long; returns steps and seconds."""
        steps, spent = 0, 0.0
        while not steps or spent < seconds:
            if self.taken + self.size > FRESH:
                mode.reset()
                self.taken = 0
            start = time.perf_counter()
            mode.steps(self.size)
            took = time.perf_counter() - start
            self.taken += self.size
            steps, spent = steps + self.size, spent + took
            if took < min(seconds, 0.1) and 2 * self.size <= max(LONGEST, mode.granularity):
                self.size *= 2
                steps, spent = 0, 0.0  # short runs only show how long is long enough
        return {"steps": steps, "seconds": spent}


def peak_memory() -> int:
    """Largest resident memory of this process, in bytes."""
    try:  # what getrusage says may include the process that started this one
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def main() -> None:
    """Answer requests from stdin until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
