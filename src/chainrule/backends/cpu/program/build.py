"""Plan, emit, compile: a signature to the artifact of its program.

Kept apart from `program` because a process that finds its artifact in the disk cache needs none of
this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ....compiler.loops import Contract, Kernel, Nest
from ....compiler.plan import Plan, make_plan, prepare
from ....core.node import Array, Node
from ....errors import InternalError
from ..emit.kernel import EmittedKernel, emit_kernel
from ..emit.whole_step.kernel import register_program
from ..machine.compiler import compile_ir
from ..machine.target import Target
from ..threads.step_loop_ir import with_thunks
from .compiled import Artifact, SignatureLike, Slot
from .step_loop import Call, Schedule, program_objects

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
        kernels = self.plan.kernels
        for i in sorted(range(len(kernels)), key=lambda i: -_length(kernels[i])):
            kernel = emit_kernel(kernels[i], self.plan.buffers, self.target)
            name = "k" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
            self._found[i] = kernel, name
            if name not in self.texts:
                self.texts[name] = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
                yield name, len(kernel.buffers) + kernel.has_queue

    @property
    def emitted(self) -> list[EmittedKernel]:
        """The kernels in the plan's order."""
        return [self._found[i][0] for i in range(len(self._found))]

    @property
    def names(self) -> list[str]:
        """Their names, in the plan's order."""
        return [self._found[i][1] for i in range(len(self._found))]


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


def schedule_of(translation: Translation) -> tuple[Call, ...]:
    """The calls of a step: barriers between levels, one-thread kernels dealt out among the threads,
    in each level from the first on, which has the least of what they share.

    Queues are the pointers after the plan's buffers."""
    plan, calls, serial, queues = translation.plan, [], 0, 0
    for i, (kernel, name) in enumerate(zip(translation.emitted, translation.names, strict=True)):
        last_of_level = i + 1 == len(plan.levels) or plan.levels[i + 1] != plan.levels[i]
        own = (len(plan.buffers) + queues,) if kernel.has_queue else ()
        calls.append(
            Call(name, kernel.buffers + own, serial if kernel.serial else None, last_of_level)
        )
        serial = 0 if last_of_level else serial + kernel.serial
        queues += kernel.has_queue
    return tuple(calls)


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
        plan.arena_bytes,
        max((k.scratch_bytes for k in translation.emitted), default=0),
        one_thread,
        tuple(objects),
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
