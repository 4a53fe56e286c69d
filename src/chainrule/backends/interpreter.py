"""Programs run node by node with NumPy: the definition of what a program does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.interpret import evaluate
from ..core.node import Array
from ..core.signature import Signature
from .base import Backend, Cache, Copy, Program, Rounds, Run

if TYPE_CHECKING:
    from ..compiler.loops import LoopProgram


class InterpretedProgram:
    """A program that is evaluated."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def run(self, inputs: Sequence[Array], state: Sequence[Array], steps: int = 1) -> list[Array]:
        signature = self.signature
        changed = signature.changed
        outputs: list[Array] = []
        for step in range(steps):
            known = dict(zip(signature.inputs, inputs, strict=True))
            known.update(zip(signature.state, state, strict=True))
            last = signature.outputs if step == steps - 1 else ()
            results = evaluate([*(signature.updates[i] for i in changed), *last], known)
            # An update may be a view of another state's buffer: copy all before writing any.
            fresh = [np.array(a, order="C") for a in results]
            for i, value in zip(changed, fresh, strict=False):
                np.copyto(state[i], value)
            outputs = fresh[len(changed) :]
        return outputs


class InterpretedRounds:
    """Rounds that run part by part: the definition of what they do."""

    def __init__(self, parts: Sequence[Run | Copy]) -> None:
        self.parts = list(parts)

    def give(self, inputs: Sequence[Sequence[Array]]) -> None:
        given = iter(inputs)
        for i, part in enumerate(self.parts):
            if isinstance(part, Run):
                self.parts[i] = part._replace(inputs=next(given, ()))

    def run(self, count: int) -> None:
        for i in range(count):
            for part in self.parts:
                if isinstance(part, Run):
                    found = part.program.run(part.inputs, part.state, part.steps)
                    for output, array in zip(part.outputs, found, strict=True):
                        output[...] = array
                else:
                    source, target = part
                    from_, to = source.ndim > target.ndim, target.ndim > source.ndim
                    target[i if to else ...] = source[i if from_ else ...]


class Interpreter:
    """The backend that is always there."""

    name = "interpreter"

    def missing(self) -> str | None:
        return None

    def compile(self, signature: Signature, cache: Cache | None = None) -> Program:
        return InterpretedProgram(signature)

    def rounds(self, parts: Sequence[Run | Copy]) -> Rounds:
        return InterpretedRounds(parts)

    def peak(self, dtype: str, threads: int | None = None) -> float:
        return float("inf")

    def facts(self) -> Mapping[str, Any]:
        return {}

    def report(
        self,
        program: Program,
        graph: Signature,
        loops: LoopProgram,
        inputs: Sequence[Array],
        state: Sequence[Array],
    ) -> None:
        return None


BACKEND: Backend = Interpreter()
