"""The CPU as a backend. What needs llvmlite is loaded when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core.node import Array
from ...core.signature import Signature
from ..base import Backend, Cache, Copy, Program, Report, Rounds, Run
from .threads import pool

if TYPE_CHECKING:  # a program from the cache is run without it
    from ...compiler.loops import LoopProgram


class CPU:
    """Programs compiled through LLVM."""

    name = "cpu"

    def missing(self) -> str | None:
        return None if importlib.util.find_spec("llvmlite") else "llvmlite"

    def compile(self, signature: Signature, cache: Cache | None = None) -> Program:
        program: Program = _part("program.compiled").compile_program(signature, cache=cache)
        return program

    def rounds(self, parts: Sequence[Run | Copy]) -> Rounds:
        found: Rounds = _part("program.rounds").native_rounds(parts)
        return found

    def peak(self, dtype: str, threads: int | None = None) -> float:
        peak = _part("machine.peak")
        if threads is None:
            return float(peak.measure_peak(dtype, repeats=40))
        return float(peak.measure_peak_together(threads, dtype))

    def facts(self) -> Mapping[str, Any]:
        return {
            "cpus_usable": pool.available_cpus(),
            "threads": pool.get_num_threads(),
            **({} if self.missing() else _part("machine.target").facts()),
        }

    def report(
        self,
        program: Program,
        graph: Signature,
        loops: LoopProgram,
        inputs: Sequence[Array],
        state: Sequence[Array],
    ) -> Report | None:
        if self.missing():
            return None
        found: Report = _part("program.report").report(program, graph, loops, inputs, state)
        return found


def _part(name: str) -> Any:
    return importlib.import_module(f".{name}", __package__)


BACKEND: Backend = CPU()
