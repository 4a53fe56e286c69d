"""Plan, emit, compile: a signature to the artifact of its program.

Kept apart from `program` because a process that finds its artifact in the disk cache needs none of
this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ....compiler.loops import Contract, Kernel, Nest, Repeat
from ....compiler.plan import Plan, make_plan, prepare
from ....core.node import Array, Node
from ....errors import InternalError
from ..emit.kernel import EmittedKernel, emit_kernel
from ..emit.whole_step.kernel import register_program
from ..machine.compiler import compile_ir
from ..machine.target import Target
from ..threads.step_loop_ir import with_thunks
from .compiled import Artifact, SignatureLike, Slot
from .step_loop import Call, LoopEnd, Schedule, program_objects

ONE_THREAD_CYCLES = 12_000  # a step with less work than this runs on one thread


def make_plan_of(signature: SignatureLike, prepared: Sequence[Node] | None = None) -> Plan:
    s = signature
    return make_plan(s.inputs, s.state, s.updates, s.outputs, prepared)


def prepared_roots(signature: SignatureLike) -> list[Node]:
    """The signature's graph, simplified."""
    return prepare(signature.inputs, signature.state, signature.updates, signature.outputs)


class Translation:
    """A plan in LLVM IR: the distinct kernels by name, and each planned kernel's name."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target
        self._found: dict[int, tuple[EmittedKernel, str]] = {}
        self.texts: dict[str, str] = {}

    def emit(self) -> Iterator[tuple[str, int]]:
        """Emit every kernel; those that differ in pointers only share one text. Yields the name of
        each text and how many pointers it takes, the longest first."""
        kernels = flat_kernels(self.plan.kernels)
        for i in sorted(range(len(kernels)), key=lambda i: -_length(kernels[i])):
            kernel = emit_kernel(kernels[i], self.plan.buffers, self.target)
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
    """The kernels of a plan and of the loops in it, in the order of the calls."""
    found: list[Kernel] = []
    for kernel in kernels:
        inside = kernel.body
        found += flat_kernels(inside.kernels) if isinstance(inside, Repeat) else [kernel]
    return found


def _length(kernel: Kernel) -> int:
    """About how long the kernel's code is: a contraction has tiles of several shapes."""
    body = kernel.body
    if isinstance(body, Contract):
        return 10 + len(body.statements)
    return sum(len(s.statements) for s in body.stages) if isinstance(body, Nest) else 1


def translate(plan: Plan, target: Target) -> Translation:
    """The plan in LLVM IR, all of it."""
    translation = Translation(plan, target)
    for _ in translation.emit():
        pass
    return translation


SERIAL_BODY_CYCLES = 6_000  # a loop whose iteration has less work than this runs on one thread


def schedule_of(translation: Translation) -> tuple[Call | LoopEnd, ...]:
    """The calls of a step: barriers between levels, one-thread kernels dealt out among the threads,
    in each level from the first on, which has the least of what they share.

    Queues are the pointers after the plan's buffers."""
    plan = translation.plan
    scheduler = _Scheduler(translation)
    scheduler.add(plan.kernels, plan.levels, None, 0, None)
    return tuple(scheduler.calls)


class _Scheduler:
    def __init__(self, translation: Translation) -> None:
        self.calls: list[Call | LoopEnd] = []
        self.queues = len(translation.plan.buffers)
        self.emitted, self.names = translation.emitted, translation.names
        self.at = 0  # the next kernel

    def add(
        self,
        kernels: Sequence[Kernel],
        levels: Sequence[int],
        places: Sequence[int] | None,
        depth: int,
        alone: int | None,
    ) -> None:
        """The calls of a plan, or of a loop's body, whose buffers are numbered in another way
        outside; ``alone``: the one thread that runs all of the loop."""
        serial = 0
        for i, kernel in enumerate(kernels):
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
        work = _work(loop.kernels, iter(self.emitted[self.at :]))
        small = alone is None and work < SERIAL_BODY_CYCLES
        inside = loop.places if places is None else [places[p] for p in loop.places]
        self.add(loop.kernels, loop.levels, inside, depth + 1, serial if small else alone)
        barrier = last_of_level and alone is None
        self.calls.append(LoopEnd(first, loop.times, depth, barrier and small))
        return small


def build_artifact(signature: SignatureLike, target: Target, registers: bool = True) -> Artifact:
    """Compile a signature; ``registers=False`` leaves out the form for tiny and replicated
    programs."""
    prepared = prepared_roots(signature)
    found = register_artifact(signature, prepared, target) if registers else None
    if found is not None:
        return found
    plan = make_plan_of(signature, prepared)
    translation = Translation(plan, target)
    # The next kernel is translated while LLVM is busy with the one before.
    texts = (with_thunks(translation.texts[n], {n: count}) for n, count in translation.emit())
    objects = compile_ir(texts, target, opt=1)
    calls = schedule_of(translation)
    slots: list[Slot] = []
    constants: list[Array] = []
    for b in plan.buffers:
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
    one_thread = _work(plan.kernels, iter(translation.emitted)) < ONE_THREAD_CYCLES or all_serial
    return Artifact(
        tuple(slots),
        calls,
        False,
        tuple(constants),
        plan.arena_bytes,
        max((k.scratch_bytes for k in translation.emitted), default=0),
        one_thread,
        tuple(objects),
    )


def _work(kernels: Sequence[Kernel], emitted: Iterator[EmittedKernel]) -> float:
    """Cycles of a step on one thread."""
    return sum(
        k.body.times * _work(k.body.kernels, emitted)
        if isinstance(k.body, Repeat)
        else next(emitted).cycles
        for k in kernels
    )


def register_artifact(
    signature: SignatureLike, prepared: Sequence[Node], target: Target
) -> Artifact | None:
    """The program as one function with the step loop inside, if it is of that form."""
    inputs, state, outputs = signature.inputs, signature.state, signature.outputs
    changed = [
        i for i, (s, u) in enumerate(zip(state, signature.updates, strict=True)) if u is not s
    ]
    updates = list(state)
    for i, root in zip(changed, prepared[len(outputs) :], strict=True):
        updates[i] = root
    kernel = register_program(inputs, state, updates, prepared[: len(outputs)], target)
    if kernel is None:
        return None
    kinds = (("input", inputs), ("state", state), ("output", outputs))
    slots = tuple(Slot(kind, i) for kind, nodes in kinds for i in range(len(nodes)))
    name = "r" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
    text = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
    calls = (Call(name, tuple(range(len(slots))), 0 if kernel.serial else None, True),)
    objects = program_objects([text], Schedule(calls, whole_loop=True), target, opt=kernel.opt)
    return Artifact(slots, calls, True, (), 0, kernel.scratch_bytes, kernel.serial, tuple(objects))
