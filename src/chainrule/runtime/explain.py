"""What a program consists of and where its time goes: passes, kernels as loops, rates, machine
code."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..compiler import pipeline
from ..compiler.fuse import Group, in_order
from ..compiler.loops import Kernel, LoopProgram, Repeat
from ..compiler.show import show as show_loops
from ..core.memory import aligned
from ..core.node import Array, Node
from ..core.show import by_structure, show
from ..core.signature import Signature
from .program import Program

PROFILE_SECONDS = 0.2


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
    texts: dict[str, str] = field(default_factory=dict)  # LLVM IR as emitted, by function
    opt: int = 2
    target: Any = None

    def ir(self) -> str:
        """The LLVM IR of all kernels after LLVM's passes."""
        engine: Any = importlib.import_module("chainrule.backends.cpu.machine.compiler")
        return "\n".join(engine.optimized_ir(t, self.target, self.opt) for t in self.texts.values())

    def assembly(self) -> str:
        """The machine code of all kernels, as assembly."""
        engine: Any = importlib.import_module("chainrule.backends.cpu.machine.compiler")
        return "\n".join(engine.assembly(t, self.target, self.opt) for t in self.texts.values())

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
        """One line a kernel, in the order they run; a rule where all threads wait for each
        other."""
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
                f"{k.share:>6.1%}"
                f" {k.gflops:>8.1f} {k.gbytes:>7.1f} {k.of_peak:>7.1%}  {k.schedule}"
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
    if not hasattr(program, "profile"):
        start = time.perf_counter()
        program.run(inputs, state, 1)
        return Explanation(name, "interpreter", 1, (time.perf_counter() - start) * 1e6, passes)
    compiled: Any = program
    count = 1 if compiled.artifact.one_thread else _threads()
    times, alone = _profile(compiled, inputs, state)
    found = Explanation(
        name, "cpu", count, float(times.sum()) / 1e3, passes, target=compiled.target
    )
    peak = peak_flops(dtype) / 1e9
    if compiled.artifact.whole_loop:
        kernels, found.texts = _whole(compiled, seen["simplify"], lowered)
    else:
        kernels, found.texts = _separate(compiled, lowered)
    total = float(times.sum()) or 1.0
    for row, (label, level, loops, schedule, threads, flops, moved) in enumerate(kernels):
        used = min(threads, count)
        wait = float(times[row, 1])
        # Which thread runs a kernel of one thread is not said: its time is that of a run on one
        # thread.
        ns = float(times[row, 0] if used == count else alone[row, 0])
        rate = flops / ns if ns else 0.0
        found.kernels.append(
            KernelReport(
                label,
                level,
                loops,
                schedule,
                used,
                ns / 1e3,
                wait / 1e3,
                ns / total,
                rate,
                moved / ns if ns else 0.0,
                rate / (peak * used),
            )
        )
    return found


_Described = tuple[
    str, int, str, str, int, float, float
]  # name, level, loops, schedule, threads, flops, bytes


def _separate(compiled: Any, loops: LoopProgram) -> tuple[list[_Described], dict[str, str]]:
    """A program of one function per kernel."""
    build: Any = importlib.import_module("chainrule.backends.cpu.program.build")
    translation = build.translate(loops, compiled.target)
    found: list[_Described] = []
    described = zip(_with_loops(loops), translation.emitted, strict=True)
    for (kernel, level, times), emitted in described:
        threads = 1 if emitted.serial else 1 << 30
        note = f"{times} times, {emitted.note}" if times > 1 else emitted.note
        flops, moved = times * kernel.flops, times * kernel.bytes
        found.append((kernel.name, level, show_loops(kernel), note, threads, flops, moved))
    return found, dict(translation.texts)


def _with_loops(program: LoopProgram, times: int = 1) -> list[tuple[Kernel, int, int]]:
    """The kernels of a program and of the loops in it: each with the level of the outermost, and
    how often it runs in a step."""
    found: list[tuple[Kernel, int, int]] = []
    for kernel, level in zip(program.kernels, program.levels, strict=True):
        if isinstance(kernel.body, Repeat):
            inside = _with_loops(kernel.body.program, times * kernel.body.times)
            found += [(k, level, n) for k, _, n in inside]
        else:
            found.append((kernel, level, times))
    return found


def _whole(
    compiled: Any, graph: Signature, loops: LoopProgram
) -> tuple[list[_Described], dict[str, str]]:
    """A program whose tensors live in registers: one function with the step loop inside."""
    registers: Any = importlib.import_module("chainrule.backends.cpu.emit.whole_step.kernel")
    kernel = registers.register_program(graph, compiled.target)
    shown = "\n\n".join(show_loops(k) for k in loops.kernels)
    threads = 1 if kernel.serial else 1 << 30
    flops, moved = sum(k.flops for k in loops.kernels), sum(k.bytes for k in loops.kernels)
    described = ("whole loop", 0, shown, "all tensors in registers", threads, flops, moved)
    return [described], {"KERNEL": kernel.text}


def _profile(compiled: Any, inputs: Sequence[Array], state: Sequence[Array]) -> tuple[Array, Array]:
    """Nanoseconds a step of each call and of the wait after it, (calls, 2): on all threads, and on
    one.

    The quickest of five runs each.
    """
    start = time.perf_counter()
    compiled.run(inputs, state, 1)
    steps = max(1, min(100_000, int(PROFILE_SECONDS / 10 / max(time.perf_counter() - start, 1e-7))))
    best: list[Array] = []
    for count in (None, 1):
        runs = [compiled.profile(inputs, state, steps, count) for _ in range(5)]
        best.append(min(runs, key=np.sum))
    return best[0], best[1]


def _threads() -> int:
    threads: Any = importlib.import_module("chainrule.backends.cpu.threads.pool")
    return int(threads.get_num_threads())


@functools.cache
def peak_flops(dtype: str = "float32") -> float:
    """Floating-point operations a second of one core, a multiply-add counted as two: the best of
    many runs."""
    peak: Any = importlib.import_module("chainrule.backends.cpu.machine.peak")
    return float(peak.measure_peak(dtype, repeats=40))


def peak_flops_together(threads: int, dtype: str = "float32") -> float:
    """Floating-point operations a second of that many cores at once, just now."""
    peak: Any = importlib.import_module("chainrule.backends.cpu.machine.peak")
    return float(peak.measure_peak_together(threads, dtype))


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
