"""A signature as a native program: code, memory, and the call that runs n steps.

    signature --compile--> loops --emit_kernel--> IR --compile_ir--> objects --StepLoop--> run(n)

What was compiled is an :class:`Artifact`; a later process that traces the same graph loads it from
the disk cache and compiles nothing.
"""

from __future__ import annotations

import operator
import threading
import weakref
from collections.abc import Sequence

import numpy as np

from ....core.host.forking import free_in_child
from ....core.host.memory import address
from ....core.node import Array
from ....core.signature import Signature
from ....errors import InternalError
from ...base import Cache, Run
from ..machine.target import Target, host
from ..threads import native
from ..threads.pool_ir import LINE, QUEUE_BYTES
from ..threads.tuner import Pace
from .artifact import Artifact
from .fingerprint import fingerprint
from .step_loop import Schedule, StepLoop

PAGE = 4096
"""An arena begins on a page."""


def compile_program(
    signature: Signature, target: Target | None = None, cache: Cache | None = None
) -> CompiledProgram:
    """The native program of a signature; taken from the cache, or compiled now and put there."""
    target = target or host(cache)
    if cache is None:
        return CompiledProgram(signature, _build(signature, target), target)
    native.use_object_cache(cache)
    key = fingerprint(signature, target)
    payload = cache.get(key)
    if payload is not None:
        return CompiledProgram(signature, Artifact.from_bytes(payload), target)
    artifact = _build(signature, target)
    cache.put(key, artifact.to_bytes())
    return CompiledProgram(signature, artifact, target)


def _build(signature: Signature, target: Target) -> Artifact:
    native.begin()
    from .build import build_artifact  # the whole code generator: imported only when it is needed

    return build_artifact(signature, target)


class CompiledProgram:
    """A native program; see `Program`."""

    def __init__(
        self, signature: Signature, artifact: Artifact, target: Target | None = None
    ) -> None:
        self.signature, self.artifact, self.target = signature, artifact, target or host()
        self.schedule = Schedule(artifact.calls, artifact.whole_loop)
        # One run at a time: the pointer table and the arena are shared.
        self.lock = threading.Lock()
        free_in_child(self, "lock")
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
        parts = [(i, s) for i, s in enumerate(artifact.slots) if s.kind == "part"]
        self._parts = np.array([i for i, _ in parts], np.intp)
        self._parents = np.array([s.parent for _, s in parts], np.intp)
        self._offsets = np.array([s.number for _, s in parts], np.uint64)
        self.loop = StepLoop(
            artifact.objects,
            self.schedule,
            self.target,
            self._table,
            artifact.scratch_bytes,
            steps=[slot.steps for slot in artifact.slots],
            kept_bytes=artifact.kept_bytes,
        )
        places: dict[str, list[tuple[int, int]]] = {"input": [], "state": [], "output": []}
        for i, slot in enumerate(artifact.slots):
            if slot.kind in places:
                places[slot.kind].append((slot.number, i))
        self._inputs = [(n, i, signature.inputs[n].dtype) for n, i in places["input"]]
        self._outputs, self._state = places["output"], places["state"]
        self._kinds = [(o.shape, o.dtype) for o in signature.outputs]
        self._known: list[weakref.ref[Array]] = []  # the state of the last run
        self._written: set[int] = set()  # where that lies which is updated
        self._user: weakref.ref[object] | None = None  # whose arrays are pointed at and kept
        self.round_pace = Pace()  # of rounds of which it is the longest part

    def run(self, inputs: Sequence[Array], state: Sequence[Array], steps: int = 1) -> list[Array]:
        """Run ``steps`` steps; updates the state arrays in place, returns the last outputs."""
        with self.lock:
            outputs, held = self._point(inputs, state)
            if steps > 0 and self.artifact.calls:
                self.loop.run(steps, 1 if self.artifact.one_thread else None)
            del held
        return outputs

    def lend(self, user: object, run: Run) -> list[Array]:
        """Point at the arrays that ``user`` has for a run; it keeps them and what is returned, and
        runs `loop` itself while it holds `lock`. Nothing is done if they are pointed at already."""
        if self._user is None or self._user() is not user:
            _, held = self._point(run.inputs, run.state, run.outputs)
            self._user = weakref.ref(user)
            return held
        return []

    def take_back(self, user: object) -> None:
        """Let the next `lend` to ``user`` point anew: the arrays are others."""
        if self._user is not None and self._user() is user:
            self._user = None

    def profile(
        self,
        inputs: Sequence[Array],
        state: Sequence[Array],
        steps: int,
        num_threads: int | None = None,
    ) -> Array:
        """Nanoseconds a step of each call and the wait after it, on thread 0; shape (calls, 2)."""
        with self.lock:
            outputs, held = self._point(inputs, state)
            times = self.loop.profile(steps, 1 if self.artifact.one_thread else num_threads)
            del outputs, held
        return times

    def _point(
        self,
        inputs: Sequence[Array],
        state: Sequence[Array],
        outputs: Sequence[Array] | None = None,
    ) -> tuple[list[Array], list[Array]]:
        """Fill the pointer table; returns the outputs (fresh ones, if none are given) and what must
        stay alive during the run."""
        self._user = None
        table, held = self._table, []
        known = map(operator.call, self._known)
        if len(self._known) != len(state) or not all(map(operator.is_, known, state)):
            self._know(state)
        for number, place, dtype in self._inputs:
            array = np.ascontiguousarray(inputs[number], dtype)
            where = address(array)
            if where in self._written:  # an input that is also updated keeps its old value
                array = array.copy()
                where = address(array)
            held.append(array)
            table[place] = where
        if outputs is None:
            outputs = [np.empty(shape, dtype) for shape, dtype in self._kinds]
        for number, place in self._outputs:
            table[place] = address(outputs[number])
        if len(self._parts):
            table[self._parts] = table[self._parents] + self._offsets
        self.loop.set_pointers(table)
        return list(outputs), held

    def _know(self, state: Sequence[Array]) -> None:
        """Put where the state lies into the table, once it is what the program expects."""
        for number, (array, node) in enumerate(zip(state, self.signature.state, strict=True)):
            usual = array.dtype == node.dtype and array.shape == node.shape
            if not (usual and array.flags.c_contiguous):
                is_not = f"{array.dtype}{list(array.shape)} is not {node}"
                raise InternalError(f"state {number}: {is_not}")
        at = [address(array) for array in state]
        for number, place in self._state:
            self._table[place] = at[number]
        self._written = {at[i] for i in self.signature.changed}
        self._known = [weakref.ref(array) for array in state]
