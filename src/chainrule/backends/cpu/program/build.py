"""Loops, IR, objects: a signature to the artifact of its program.

Kept apart from `program` because a process that finds its artifact in the disk cache needs none of
this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ....compiler import pipeline
from ....compiler.loops import Contract, Kernel, LoopProgram, Nest
from ....core.node import Array
from ....core.signature import Signature
from ....errors import InternalError
from ..emit.kernel import EmittedKernel, emit_kernel
from ..emit.whole_step.kernel import register_program
from ..machine.compiler import compile_ir
from ..machine.target import Target
from ..threads.step_loop_ir import with_thunks
from .artifact import Artifact, Slot
from .step_loop import Call, Schedule, program_objects

ONE_THREAD_CYCLES = 12_000  # a step with less work than this runs on one thread


class Translation:
    """A loop program in LLVM IR: the distinct kernels by name, and each kernel's name."""

    def __init__(self, loops: LoopProgram, target: Target) -> None:
        self.loops, self.target = loops, target
        self._found: dict[int, tuple[EmittedKernel, str]] = {}
        self.texts: dict[str, str] = {}

    def emit(self) -> Iterator[tuple[str, int]]:
        """Emit every kernel; those that differ in pointers only share one text. Yields the name of
        each text and how many pointers it takes, the longest first."""
        kernels = self.loops.kernels
        for i in sorted(range(len(kernels)), key=lambda i: -_length(kernels[i])):
            kernel = emit_kernel(kernels[i], self.loops.buffers, self.target)
            name = "k" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
            self._found[i] = kernel, name
            if name not in self.texts:
                self.texts[name] = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
                yield name, len(kernel.buffers) + kernel.has_queue

    @property
    def emitted(self) -> list[EmittedKernel]:
        """The kernels in the program's order."""
        return [self._found[i][0] for i in range(len(self._found))]

    @property
    def names(self) -> list[str]:
        """Their names, in the program's order."""
        return [self._found[i][1] for i in range(len(self._found))]


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


def schedule_of(translation: Translation) -> tuple[Call, ...]:
    """The calls of a step: barriers between levels, one-thread kernels dealt out among the threads,
    in each level from the first on, which has the least of what they share.

    Queues are the pointers after the program's buffers."""
    loops, calls, serial, queues = translation.loops, [], 0, 0
    for i, (kernel, name) in enumerate(zip(translation.emitted, translation.names, strict=True)):
        last_of_level = i + 1 == len(loops.levels) or loops.levels[i + 1] != loops.levels[i]
        own = (len(loops.buffers) + queues,) if kernel.has_queue else ()
        calls.append(
            Call(name, kernel.buffers + own, serial if kernel.serial else None, last_of_level)
        )
        serial = 0 if last_of_level else serial + kernel.serial
        queues += kernel.has_queue
    return tuple(calls)


def build_artifact(signature: Signature, target: Target, registers: bool = True) -> Artifact:
    """Compile a signature; ``registers=False`` leaves out the form for tiny and replicated
    programs."""
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
            slots.append(Slot(b.kind, b.offset if b.kind == "temporary" else b.number))
    queues = sum(k.has_queue for k in translation.emitted)
    slots += [Slot("queue", n) for n in range(queues)]
    work = sum(k.cycles for k in translation.emitted)
    one_thread = work < ONE_THREAD_CYCLES or all(k.serial for k in translation.emitted)
    return Artifact(
        tuple(slots),
        calls,
        False,
        tuple(constants),
        loops.arena_bytes,
        max((k.scratch_bytes for k in translation.emitted), default=0),
        one_thread,
        tuple(objects),
    )


def register_artifact(graph: Signature, target: Target) -> Artifact | None:
    """The program of a simplified graph as one function with the step loop inside, if it is of that
    form."""
    kernel = register_program(graph, target)
    if kernel is None:
        return None
    kinds = (("input", graph.inputs), ("state", graph.state), ("output", graph.outputs))
    slots = tuple(Slot(kind, i) for kind, nodes in kinds for i in range(len(nodes)))
    name = "r" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
    text = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
    calls = (Call(name, tuple(range(len(slots))), 0 if kernel.serial else None, True),)
    objects = program_objects([text], Schedule(calls, whole_loop=True), target, opt=kernel.opt)
    return Artifact(slots, calls, True, (), 0, kernel.scratch_bytes, kernel.serial, tuple(objects))
