"""A compiled program as plain data, which the disk cache keeps."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from ....core.node import Array
from ..threads.step_loop_ir import Call, LoopEnd


class Slot(NamedTuple):
    """One entry of the pointer table."""

    kind: str  # input, state, output, constant, temporary, part, queue
    number: int  # of the input, state, output, constant or queue; byte offset of the others
    parent: int = -1  # of a part: which entry it is a part of
    steps: tuple[int, ...] = ()  # of a part: bytes it moves on with each loop around its users


class Artifact(NamedTuple):
    """A compiled program as data."""

    slots: tuple[Slot, ...]
    calls: tuple[Call | LoopEnd, ...]
    whole_loop: bool
    constants: tuple[Array, ...]
    arena_bytes: int
    scratch_bytes: int
    one_thread: bool
    kept_bytes: int  # of each thread, for what kernels in loops keep from turn to turn
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
            "kept_bytes": self.kept_bytes,
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
        calls = tuple(
            LoopEnd(*c) if isinstance(c[0], int) else Call(c[0], tuple(c[1]), *c[2:])
            for c in header["calls"]
        )
        return cls(
            tuple(Slot(k, n, p, tuple(s)) for k, n, p, s in header["slots"]),
            calls,
            header["whole_loop"],
            tuple(constants),
            header["arena_bytes"],
            header["scratch_bytes"],
            header["one_thread"],
            header["kept_bytes"],
            tuple(objects),
        )
