"""A signature as a native program: plan, code, memory, and the call that runs n steps.

    signature --make_plan--> kernels --emit_kernel--> IR --compile_ir--> objects --StepLoop-->
    run(n)

What was compiled is an :class:`Artifact`, plain data that the disk cache keeps; a later process
that traces the same graph loads it and plans nothing.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ...core.forking import free_in_child
from ...core.node import Array, Node
from ...errors import InternalError
from . import native
from .driver import Call, Schedule, StepLoop
from .fingerprint import fingerprint
from .target import Target, host
from .threads_ir import LINE, QUEUE_BYTES

PAGE = 4096


class SignatureLike(Protocol):
    """What is asked of a signature (runtime.program has the class)."""

    @property
    def inputs(self) -> tuple[Node, ...]: ...
    @property
    def state(self) -> tuple[Node, ...]: ...
    @property
    def updates(self) -> tuple[Node, ...]: ...
    @property
    def outputs(self) -> tuple[Node, ...]: ...


class Slot(NamedTuple):
    """One entry of the pointer table."""

    kind: str  # input, state, output, constant, temporary, queue
    number: int  # of the input, state, output, constant or queue; byte offset of a temporary


class Artifact(NamedTuple):
    """A compiled program as data."""

    slots: tuple[Slot, ...]
    calls: tuple[Call, ...]
    whole_loop: bool
    constants: tuple[Array, ...]
    arena_bytes: int
    scratch_bytes: int
    one_thread: bool
    objects: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """Header (JSON), then constants and objects one after another."""
        header = {
            "slots": self.slots,
            "calls": self.calls,
            "whole_loop": self.whole_loop,
            "arena_bytes": self.arena_bytes,
            "scratch_bytes": self.scratch_bytes,
            "one_thread": self.one_thread,
            "constants": [[c.dtype.name, list(c.shape)] for c in self.constants],
            "objects": [len(o) for o in self.objects],
        }
        text = json.dumps(header).encode()
        parts = [
            len(text).to_bytes(8, "little"),
            text,
            *(c.tobytes() for c in self.constants),
            *self.objects,
        ]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Artifact:
        size = int.from_bytes(payload[:8], "little")
        header: dict[str, Any] = json.loads(payload[8 : 8 + size])
        at = 8 + size
        constants = []
        for name, shape in header["constants"]:
            dtype = np.dtype(name)
            count = int(np.prod(shape, dtype=np.int64))
            constants.append(np.frombuffer(payload, dtype, count, at).reshape(shape).copy())
            at += count * dtype.itemsize
        objects = []
        for length in header["objects"]:
            objects.append(payload[at : at + length])
            at += length
        calls = tuple(Call(k, tuple(p), s, b) for k, p, s, b in header["calls"])
        return cls(
            tuple(Slot(k, n) for k, n in header["slots"]),
            calls,
            header["whole_loop"],
            tuple(constants),
            header["arena_bytes"],
            header["scratch_bytes"],
            header["one_thread"],
            tuple(objects),
        )


class Cache(Protocol):
    """Where artifacts are kept between processes."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, payload: bytes) -> None: ...


def compile_program(
    signature: SignatureLike, target: Target | None = None, cache: Cache | None = None
) -> CompiledProgram:
    """The native program of a signature; taken from the cache, or compiled now and put there."""
    target = target or host()
    if cache is None:
        return CompiledProgram(signature, _build(signature, target), target)
    native.use_object_cache(cache)
    key = fingerprint(
        signature.inputs, signature.state, signature.updates, signature.outputs, target
    )
    payload = cache.get(key)
    if payload is not None:
        return CompiledProgram(signature, Artifact.from_bytes(payload), target)
    artifact = _build(signature, target)
    cache.put(key, artifact.to_bytes())
    return CompiledProgram(signature, artifact, target)


def _build(signature: SignatureLike, target: Target) -> Artifact:
    native.begin()
    from .build import build_artifact  # the whole code generator: imported only when it is needed

    return build_artifact(signature, target)


class CompiledProgram:
    """A native program; see :class:`chainrule.runtime.program.Program`."""

    def __init__(
        self, signature: SignatureLike, artifact: Artifact, target: Target | None = None
    ) -> None:
        self.signature, self.artifact, self.target = signature, artifact, target or host()
        self.schedule = Schedule(artifact.calls, artifact.whole_loop)
        self._lock = (
            threading.Lock()
        )  # one run at a time: the pointer table and the arena are shared
        free_in_child(self, "_lock")
        self._constants = [np.ascontiguousarray(c) for c in artifact.constants]
        self._arena = np.empty(artifact.arena_bytes + PAGE, np.uint8)
        base = self._arena.ctypes.data + -self._arena.ctypes.data % PAGE
        queues = sum(slot.kind == "queue" for slot in artifact.slots)
        self._queues = np.zeros(queues * QUEUE_BYTES + LINE, np.uint8)
        first = self._queues.ctypes.data + -self._queues.ctypes.data % LINE
        pointers = []
        for slot in artifact.slots:
            at = {"temporary": base + slot.number, "queue": first + slot.number * QUEUE_BYTES}
            if slot.kind == "constant":
                pointers.append(self._constants[slot.number].ctypes.data)
            else:
                pointers.append(at.get(slot.kind, 0))
        self._table = np.array(pointers, np.uint64)
        self.loop = StepLoop(
            artifact.objects, self.schedule, self.target, self._table, artifact.scratch_bytes
        )
        self._places: dict[str, list[tuple[int, int]]] = {"input": [], "state": [], "output": []}
        for i, slot in enumerate(artifact.slots):
            if slot.kind in self._places:
                self._places[slot.kind].append((slot.number, i))
        self._known: dict[int, tuple[weakref.ref[Array], int]] = {}  # state: its array, and where
        self._changed = [
            i
            for i, (s, u) in enumerate(zip(signature.state, signature.updates, strict=True))
            if s is not u
        ]

    @property
    def whole_loop(self) -> bool:
        """See `Program`."""
        return self.artifact.whole_loop

    def run(self, inputs: Sequence[Array], state: Sequence[Array], steps: int = 1) -> list[Array]:
        """Run ``steps`` steps; the state arrays are updated in place, the last step's outputs
        returned."""
        with self._lock:
            outputs, held = self._point(inputs, state)
            if steps > 0 and self.artifact.calls:
                self.loop.run(steps, 1 if self.artifact.one_thread else None)
            del held
        return outputs

    def profile(
        self,
        inputs: Sequence[Array],
        state: Sequence[Array],
        steps: int,
        num_threads: int | None = None,
    ) -> Array:
        """Nanoseconds a step of each call and of the wait after it on the first thread, shape
        (calls, 2)."""
        with self._lock:
            outputs, held = self._point(inputs, state)
            times = self.loop.profile(steps, 1 if self.artifact.one_thread else num_threads)
            del outputs, held
        return times

    def _point(
        self, inputs: Sequence[Array], state: Sequence[Array]
    ) -> tuple[list[Array], list[Array]]:
        """Fill the pointer table; returns fresh outputs and what must stay alive during the run."""
        table, held = self._table, []
        at = [self._address(i, array) for i, array in enumerate(state)]
        written = {at[i] for i in self._changed}
        for number, place in self._places["input"]:
            array = np.ascontiguousarray(inputs[number], self.signature.inputs[number].dtype)
            where = array.ctypes.data
            if where in written:  # an input that is also updated state keeps its old value
                array = array.copy()
                where = array.ctypes.data
            held.append(array)
            table[place] = where
        for number, place in self._places["state"]:
            table[place] = at[number]
        outputs = [np.empty(o.shape, o.dtype) for o in self.signature.outputs]
        for number, place in self._places["output"]:
            table[place] = outputs[number].ctypes.data
        self.loop.set_pointers(table)
        return outputs, held

    def _address(self, number: int, array: Array) -> int:
        """Where a state array lies, once it is seen to be as the program expects it."""
        known = self._known.get(number)
        if known is not None and known[0]() is array:
            return known[1]
        node = self.signature.state[number]
        if array.dtype != node.dtype or array.shape != node.shape or not array.flags.c_contiguous:
            raise InternalError(f"state {number}: {array.dtype}{list(array.shape)} is not {node}")
        self._known[number] = (weakref.ref(array), array.ctypes.data)
        return self._known[number][1]
