"""What a program is and where its time goes: passes, kernels as loops, rates, machine code."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..backends.base import Code, Program, backend_named
from ..compiler import pipeline
from ..compiler.fuse import Group, in_order
from ..core.host.memory import aligned
from ..core.node import Array, Node
from ..core.show import by_structure, show
from ..core.signature import Signature
from .program import backend


@dataclass(frozen=True)
class Pass:
    """The graph after a pass of the compiler; ``text`` is as of `core.show`."""

    name: str
    text: str
    nodes: int


@dataclass(frozen=True)
class KernelReport:
    """One kernel: its loops, how it runs, and what was measured (times of one step).

    ``threads``: on how many it runs; those of one thread run beside others, so shares may add to
    more than 1. ``wait_microseconds``: how long the first thread then waits for the others.
    ``gflops``,
    ``gbytes``: 10⁹ floating-point operations and bytes a second. ``of_peak``: gflops as a share of
    what its threads can reach with multiply-adds.
    """

    name: str
    level: int
    loops: str
    schedule: str
    threads: int
    microseconds: float
    wait_microseconds: float
    share: float
    gflops: float
    gbytes: float
    of_peak: float


@dataclass
class Explanation:
    """A program, explained. ``print(explanation)`` shows the kernels."""

    name: str
    backend: str
    threads: int
    microseconds: float
    passes: list[Pass]
    kernels: list[KernelReport] = field(default_factory=list)
    code: Code | None = None

    def ir(self) -> str:
        """The LLVM IR of all kernels after LLVM's passes."""
        return self.code.ir() if self.code is not None else ""

    def assembly(self) -> str:
        """The machine code of all kernels, as assembly."""
        return self.code.assembly() if self.code is not None else ""

    def graph(self) -> str:
        """The graph after each pass."""
        return "\n".join(f"== {p.name} ({p.nodes} nodes)\n{p.text}" for p in self.passes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "backend": self.backend,
            "threads": self.threads,
            "microseconds": self.microseconds,
            "kernels": [vars(k) for k in self.kernels],
            "passes": [vars(p) for p in self.passes],
        }

    def table(self) -> str:
        """One line a kernel, in the order they run; a rule where threads wait for each other."""
        lines = [
            f"{self.name}: {self.microseconds:.4g} µs a step, "
            f"{_plural(len(self.kernels), 'kernel')},"
            f" {_plural(self.threads, 'thread')}, {self.backend}"
        ]
        if not self.kernels:
            return lines[0]
        width = max(len(k.name) for k in self.kernels)
        head = f"  # {'kernel':<{width}}        µs     wait  share  GFLOP/s    GB/s of peak"
        lines.append(f"{head}  schedule")
        level = self.kernels[0].level
        for i, k in enumerate(self.kernels):
            if k.level != level:
                lines.append("    " + "┈" * (len(head) - 4))
                level = k.level
            lines.append(
                f"{i:>3} {k.name:<{width}} {k.microseconds:>9.4g} {k.wait_microseconds:>8.3g} "
                f"{k.share:>6.1%} {k.gflops:>8.1f} {k.gbytes:>7.1f} {k.of_peak:>7.1%}  {k.schedule}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        loops = "\n\n".join(f"# {i}\n{k.loops}" for i, k in enumerate(self.kernels))
        return f"{self.table()}\n\n{loops}" if loops else self.table()


def _plural(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def explain_program(
    program: Program,
    signature: Signature,
    inputs: Sequence[Array],
    state: Sequence[Array],
    name: str = "program",
    dtype: str = "float32",
) -> Explanation:
    """Explain a program by running it on ``inputs`` and on copies of ``state`` for about 0.2 s.

    ``dtype``: whose peak the shares refer to.
    """
    seen: dict[str, Any] = {"as captured": signature}
    lowered = pipeline.compile(signature, seen.__setitem__)
    passes = _passes(seen)
    state = [aligned(a) for a in state]
    chosen = backend_named(backend())
    report = chosen.report(program, seen["simplify"], lowered, inputs, state)
    if report is None:
        start = time.perf_counter()
        program.run(inputs, state, 1)
        return Explanation(name, "interpreter", 1, (time.perf_counter() - start) * 1e6, passes)
    times, alone, count = report.together, report.alone, report.threads
    found = Explanation(
        name, chosen.name, count, float(times.sum()) / 1e3, passes, code=report.code
    )
    peak = peak_flops(dtype) / 1e9
    total = float(times.sum()) or 1.0
    for row, kernel in enumerate(report.kernels):
        used = min(kernel.threads, count)
        # Which thread runs a kernel of one thread is not said: its time is that of a run on one
        # thread.
        ns = float(times[row, 0] if used == count else alone[row, 0])
        rate = kernel.flops / ns if ns else 0.0
        found.kernels.append(
            KernelReport(
                kernel.name,
                kernel.level,
                kernel.loops,
                kernel.schedule,
                used,
                ns / 1e3,
                float(times[row, 1]) / 1e3,
                ns / total,
                rate,
                kernel.bytes / ns if ns else 0.0,
                rate / (peak * used),
            )
        )
    return found


@functools.cache
def peak_flops(dtype: str = "float32") -> float:
    """Floating-point operations a second of one core (2 a multiply-add): the best of many runs."""
    return backend_named("cpu").peak(dtype)


def peak_flops_together(threads: int, dtype: str = "float32") -> float:
    """Floating-point operations a second of that many cores at once, just now."""
    return backend_named("cpu").peak(dtype, threads)


# -- passes ----------------------------------------------------------------------------------------
def _passes(seen: Mapping[str, Any]) -> list[Pass]:
    """The graph as captured, after each pass that rewrites it, and divided into kernels."""
    graphs = {name: graph for name, graph in seen.items() if isinstance(graph, Signature)}
    texts = {name: show(graph.roots) for name, graph in graphs.items()}
    passes = [Pass(name, text, _count(text)) for name, text in texts.items()]
    groups: Sequence[Group] = seen["fuse"]
    last = list(graphs.values())[-1]
    members = sum(len(group.members) for group in groups)
    return [*passes, Pass("fuse", _groups(last.roots, groups), members)]


def _count(text: str) -> int:
    return text.count("\n") - 1  # the last line is the return


def _groups(roots: Sequence[Node], groups: Sequence[Group]) -> str:
    """Each group (one kernel), its frame, and its members, numbered as in the pass before."""
    text = dict(zip(by_structure(roots), show(roots, lines=False).splitlines(), strict=False))
    lines = []
    for group in in_order(groups):
        frame = " x ".join(map(str, group.frame)) or "one element"
        lines.append(f"group {group.number}: frame {frame}")
        lines += [f"    {text[m]}" for m in group.members]
    return "\n".join(lines) + "\n"
