"""A compiled program looked at: its kernels, how they run, and where the time of a step goes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ....compiler.loops import Kernel, LoopProgram, Repeat
from ....compiler.show import show
from ....core.node import Array
from ....core.signature import Signature
from ....errors import InternalError
from ...base import KernelNote, Program, Report
from ..emit.whole_step.kernel import register_program
from ..machine import compiler
from ..machine.target import Target
from ..threads.pool import get_num_threads
from .build import translate
from .compiled import CompiledProgram

PROFILE_SECONDS = 0.2
"""Of all ten runs of a profile together."""
ALL = 1 << 30  # threads


class KernelTexts(NamedTuple):
    """The LLVM IR of a program's kernels, as emitted, by function."""

    texts: Mapping[str, str]
    target: Target

    def ir(self) -> str:
        return "\n".join(compiler.optimized_ir(t, self.target) for t in self.texts.values())

    def assembly(self) -> str:
        return "\n".join(compiler.assembly(t, self.target) for t in self.texts.values())


def report(
    program: Program,
    graph: Signature,
    loops: LoopProgram,
    inputs: Sequence[Array],
    state: Sequence[Array],
) -> Report | None:
    """See `Backend.report`. The program runs for about 0.2 s, and changes ``state``."""
    if not isinstance(program, CompiledProgram):
        return None
    count = 1 if program.artifact.one_thread else get_num_threads()
    together, alone = _profile(program, inputs, state)
    whole = program.artifact.whole_loop
    kernels, texts = (_whole if whole else _separate)(program, graph, loops)
    return Report(kernels, count, together, alone, KernelTexts(texts, program.target))


def _separate(
    program: CompiledProgram, graph: Signature, loops: LoopProgram
) -> tuple[list[KernelNote], Mapping[str, str]]:
    """A program of one function per kernel."""
    translation = translate(loops, program.target)
    kernels = zip(with_loops(loops), translation.emitted, strict=True)
    notes = []
    for (k, level, times), e in kernels:
        how = f"{times} times, {e.note}" if times > 1 else e.note
        threads = 1 if e.serial else ALL
        work, moved = times * k.flops, times * k.bytes
        notes.append(KernelNote(k.name, level, show(k), how, threads, work, moved))
    return notes, translation.texts


def with_loops(program: LoopProgram, times: int = 1) -> list[tuple[Kernel, int, int]]:
    """The kernels of a program and of the loops in it: each with the level of the outermost, and
    how often it runs in a step."""
    found: list[tuple[Kernel, int, int]] = []
    for kernel, level in zip(program.kernels, program.levels, strict=True):
        if isinstance(kernel.body, Repeat):
            inside = with_loops(kernel.body.program, times * kernel.body.times)
            found += [(k, level, n) for k, _, n in inside]
        else:
            found.append((kernel, level, times))
    return found


def _whole(
    program: CompiledProgram, graph: Signature, loops: LoopProgram
) -> tuple[list[KernelNote], Mapping[str, str]]:
    """A program whose tensors live in registers: one function with the step loop inside."""
    kernel = register_program(graph, program.target)
    if kernel is None:
        raise InternalError("this graph does not make a program in registers")
    shown = "\n\n".join(map(show, loops.kernels))
    flops, moved = sum(k.flops for k in loops.kernels), sum(k.bytes for k in loops.kernels)
    threads = 1 if kernel.serial else ALL
    note = KernelNote("whole loop", 0, shown, "all tensors in registers", threads, flops, moved)
    return [note], {"KERNEL": kernel.text}


def _profile(
    compiled: CompiledProgram, inputs: Sequence[Array], state: Sequence[Array]
) -> tuple[Array, Array]:
    """Nanoseconds a step of each call and the wait after, (calls, 2): on all threads, and on one.

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
