"""Plan, emit, compile: a signature to the artifact of its program.

Kept apart from `program` because a process that finds its artifact in the disk cache needs none of this.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ...compiler.plan import Plan, make_plan
from ...core.node import Array
from ...errors import InternalError
from .driver import Call, Schedule, program_objects
from .kernels import EmittedKernel, emit_kernel
from .program import Artifact, SignatureLike, Slot
from .target import Target

ONE_THREAD_CYCLES = 12_000  # a step with less work than this runs on one thread


def make_plan_of(signature: SignatureLike) -> Plan:
    return make_plan(signature.inputs, signature.state, signature.updates, signature.outputs)


@dataclass(frozen=True)
class Translation:
    """A plan in LLVM IR: the distinct kernels by name, and each planned kernel's name."""

    plan: Plan
    emitted: list[EmittedKernel]
    names: list[str]
    texts: dict[str, str]


def translate(plan: Plan, target: Target) -> Translation:
    """Emit every kernel; kernels that differ in pointers only share one text."""
    emitted = [emit_kernel(k, plan.buffers, target) for k in plan.kernels]
    names, texts = [], {}
    for kernel in emitted:
        name = "k" + hashlib.blake2b(kernel.text.encode(), digest_size=8).hexdigest()
        names.append(name)
        texts[name] = kernel.text.replace("@KERNEL(", f"@{name}(", 1)
    return Translation(plan, emitted, names, texts)


def schedule_of(translation: Translation) -> tuple[Call, ...]:
    """The calls of a step: barriers between levels, one-thread kernels dealt out among the threads."""
    plan, calls, serial = translation.plan, [], 0
    for i, (kernel, name) in enumerate(zip(translation.emitted, translation.names, strict=True)):
        last_of_level = i + 1 == len(plan.levels) or plan.levels[i + 1] != plan.levels[i]
        calls.append(Call(name, kernel.buffers, serial if kernel.serial else None, last_of_level))
        serial += kernel.serial
    return tuple(calls)


def build_artifact(signature: SignatureLike, target: Target) -> Artifact:
    plan = make_plan_of(signature)
    translation = translate(plan, target)
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
    work = sum(k.cycles for k in translation.emitted)
    one_thread = work < ONE_THREAD_CYCLES or all(k.serial for k in translation.emitted)
    objects = program_objects(list(translation.texts.values()), Schedule(calls), target)
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
