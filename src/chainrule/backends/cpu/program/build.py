"""Loops, IR, objects: a signature to the artifact of its program.

Apart from `program`: a process that finds its artifact in the disk cache needs none of this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ....compiler import pipeline
from ....compiler.loops import Contract, Kernel, LoopProgram, Nest, Repeat
from ....core.node import Array
from ....core.signature import Signature
from ....errors import InternalError
from ..emit.kernel import EmittedKernel, emit_kernel
from ..emit.whole_step.kernel import register_program
from ..machine.compiler import compile_ir
from ..machine.target import Target
from ..threads.step_loop_ir import with_thunks
from .artifact import Artifact, Slot
from .step_loop import Call, LoopEnd, Schedule, program_objects

ONE_THREAD_CYCLES = 12_000  # a step with less work than this runs on one thread


class Translation:
    """A loop program in LLVM IR: the distinct kernels by name, and each kernel's name."""

    def __init__(self, loops: LoopProgram, target: Target) -> None:
        self.loops, self.target = loops, target
        self._found: dict[int, tuple[EmittedKernel, str]] = {}
        self.texts: dict[str, str] = {}
        self.kept_bytes = 0

    def emit(self) -> Iterator[tuple[str, int]]:
        """Emit every kernel; those that differ in pointers only share one text. Yields the name of
        each text and how many pointers it takes, the longest first."""
        kernels = flat_kernels(self.loops.kernels)
        fixed = fixed_buffers(self.loops.kernels)
        for i in sorted(range(len(kernels)), key=lambda i: -_length(kernels[i])):
            kernel = emit_kernel(
                kernels[i], self.loops.buffers, self.target, fixed[i], self.kept_bytes
            )
            self.kept_bytes += kernel.kept_bytes
            name = "k" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
            self._found[i] = kernel, name
            if name not in self.texts:
                self.texts[name] = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
                yield name, len(kernel.buffers) + kernel.has_queue

    @property
    def emitted(self) -> list[EmittedKernel]:
        """The kernels in the order of `flat_kernels`."""
        return [self._found[i][0] for i in range(len(self._found))]

    @property
    def names(self) -> list[str]:
        """Their names, in that order."""
        return [self._found[i][1] for i in range(len(self._found))]


def flat_kernels(kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels of a program and of the loops in it, in the order of the calls."""
    found: list[Kernel] = []
    for kernel in kernels:
        inside = kernel.body
        found += flat_kernels(inside.program.kernels) if isinstance(inside, Repeat) else [kernel]
    return found


def fixed_buffers(
    kernels: Sequence[Kernel], here: frozenset[int] = frozenset()
) -> list[frozenset[int]]:
    """For each of `flat_kernels`: the buffers that are the same at every turn of its loop."""
    found: list[frozenset[int]] = []
    for kernel in kernels:
        body = kernel.body
        if isinstance(body, Repeat):
            fixed = (
                n
                for n, b in enumerate(body.program.buffers)
                if b.kind == "constant" or (b.kind == "input" and b.number >= body.stacked)
            )
            found += fixed_buffers(body.program.kernels, frozenset(fixed))
        else:
            found.append(here)
    return found


def _length(kernel: Kernel) -> int:
    """About how long the kernel's code is: a contraction has tiles of several shapes."""
    body = kernel.body
    if isinstance(body, Contract):
        return 10 + len(body.statements)
    return sum(len(s.statements) for s in body.stages) if isinstance(body, Nest) else 1


def translate(loops: LoopProgram, target: Target) -> Translation:
    """The loop program in LLVM IR, all of it."""
    translation = Translation(loops, target)
    for _ in translation.emit():
        pass
    return translation


SERIAL_BODY_CYCLES = 6_000  # a loop whose iteration has less work than this runs on one thread


def schedule_of(translation: Translation) -> tuple[Call | LoopEnd, ...]:
    """The calls of a step: barriers between levels, one-thread kernels dealt out among the threads,
    in each level from the first on, which has the least of what they share.

    Queues are the pointers after the program's buffers."""
    scheduler = _Scheduler(translation)
    scheduler.add(translation.loops, None, 0, None)
    return tuple(scheduler.calls)


class _Scheduler:
    def __init__(self, translation: Translation) -> None:
        self.calls: list[Call | LoopEnd] = []
        self.queues = len(translation.loops.buffers)
        self.emitted, self.names = translation.emitted, translation.names
        self.at = 0  # the next kernel

    def add(
        self, program: LoopProgram, places: Sequence[int] | None, depth: int, alone: int | None
    ) -> None:
        """The calls of a program; that of a loop numbers its buffers in another way than outside.
        ``alone``: the one thread that runs all of the loop."""
        serial, levels = 0, program.levels
        for i, kernel in enumerate(program.kernels):
            last_of_level = i + 1 == len(levels) or levels[i + 1] != levels[i]
            if isinstance(kernel.body, Repeat):
                serial += self._loop(kernel.body, places, depth, alone, serial, last_of_level)
            else:
                emitted, name = self.emitted[self.at], self.names[self.at]
                self.at += 1
                buffers = (
                    emitted.buffers if places is None else [places[b] for b in emitted.buffers]
                )
                pointers = (*buffers, self.queues) if emitted.has_queue else tuple(buffers)
                self.queues += emitted.has_queue
                own = serial if emitted.serial else None
                self.calls.append(
                    Call(
                        name,
                        pointers,
                        own if alone is None else alone,
                        last_of_level and alone is None,
                        depth,
                    )
                )
                serial += emitted.serial
            serial = 0 if last_of_level else serial

    def _loop(
        self,
        loop: Repeat,
        places: Sequence[int] | None,
        depth: int,
        alone: int | None,
        serial: int,
        last_of_level: bool,
    ) -> bool:
        """The calls of a loop; whether one thread of its own runs it."""
        first = len(self.calls)
        work = _work(loop.program, iter(self.emitted[self.at :]))
        small = alone is None and work < SERIAL_BODY_CYCLES
        inside = loop.places if places is None else [places[p] for p in loop.places]
        self.add(loop.program, inside, depth + 1, serial if small else alone)
        barrier = last_of_level and alone is None
        self.calls.append(LoopEnd(first, loop.times, depth, barrier and small))
        return small


def build_artifact(signature: Signature, target: Target, registers: bool = True) -> Artifact:
    """Compile a signature; ``registers=False`` leaves out the form of tiny, replicated programs."""
    graph = pipeline.rewritten(signature)
    found = register_artifact(graph, target) if registers else None
    if found is not None:
        return found
    loops = pipeline.to_loops(graph)
    translation = Translation(loops, target)
    # The next kernel is translated while LLVM is busy with the one before.
    texts = (with_thunks(translation.texts[n], {n: count}) for n, count in translation.emit())
    objects = compile_ir(texts, target, opt=1)
    calls = schedule_of(translation)
    slots: list[Slot] = []
    constants: list[Array] = []
    for b in loops.buffers:
        if b.kind == "constant":
            slots.append(Slot("constant", len(constants)))
            if b.value is None:
                raise InternalError("a constant without a value")
            constants.append(b.value)
        else:
            place = b.offset if b.kind in ("temporary", "part") else b.number
            slots.append(Slot(b.kind, place, b.parent, b.steps))
    queues = sum(k.has_queue for k in translation.emitted)
    slots += [Slot("queue", n) for n in range(queues)]
    all_serial = all(c.serial is not None for c in calls if isinstance(c, Call))
    one_thread = _work(loops, iter(translation.emitted)) < ONE_THREAD_CYCLES or all_serial
    return Artifact(
        tuple(slots),
        calls,
        False,
        tuple(constants),
        loops.arena_bytes,
        max((k.scratch_bytes for k in translation.emitted), default=0),
        one_thread,
        translation.kept_bytes,
        tuple(objects),
    )


def _work(program: LoopProgram, emitted: Iterator[EmittedKernel]) -> float:
    """Cycles of a step on one thread."""
    return sum(
        k.body.times * _work(k.body.program, emitted)
        if isinstance(k.body, Repeat)
        else next(emitted).cycles
        for k in program.kernels
    )


def register_artifact(graph: Signature, target: Target) -> Artifact | None:
    """The program of a simplified graph as one function with the step loop inside, if it can be."""
    kernel = register_program(graph, target)
    if kernel is None:
        return None
    kinds = (("input", graph.inputs), ("state", graph.state), ("output", graph.outputs))
    slots = tuple(Slot(kind, i) for kind, nodes in kinds for i in range(len(nodes)))
    name = "r" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
    text = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
    serial = 0 if kernel.serial else None
    calls = (Call(name, tuple(range(len(slots))), serial, shared=kernel.shared),)
    objects = program_objects([text], Schedule(calls, whole_loop=True), target, opt=kernel.opt)
    own = (kernel.scratch_bytes, kernel.serial, 0)
    return Artifact(slots, calls, True, (), 0, *own, tuple(objects))
