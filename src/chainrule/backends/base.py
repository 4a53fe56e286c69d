"""What a backend is, and the table of those there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ..core.node import Array
from ..core.signature import Signature

if TYPE_CHECKING:  # not needed to say what a backend is, and slow to load
    from ..compiler.loops import LoopProgram


class Program(Protocol):
    """A signature that can be run."""

    def run(self, inputs: Sequence[Array], state: Sequence[Array], steps: int = 1) -> list[Array]:
        """Run ``steps`` steps with the same inputs; returns the last step's outputs (fresh arrays).

        The ``state`` arrays (C-contiguous, of the signature's dtypes) are updated in place. All
        updates of a step read the state as it was when the step began.
        """
        ...


class Run(NamedTuple):
    """Steps of a program, as a part of `Rounds`; ``outputs``: where those of the last step go."""

    program: Program
    inputs: Sequence[Array]
    state: Sequence[Array]
    steps: int
    outputs: Sequence[Array] = ()


class Copy(NamedTuple):
    """Numbers copied from one array into another, as a part of `Rounds`.

    An array with one axis more than the other has a row for each round.
    """

    source: Array
    target: Array


class Rounds(Protocol):
    """Parts that are run in order, round after round. The arrays stay where they are."""

    def run(self, count: int) -> None:
        """Run so many rounds; rows are taken from the first on."""
        ...

    def give(self, inputs: Sequence[Sequence[Array]]) -> None:
        """Other inputs for its runs, those of each in their order. Without any, nothing is kept
        alive, and others are given before it runs again."""
        ...


class Cache(Protocol):
    """Where compiled programs are kept between processes."""

    def get(self, key: str) -> bytes | None: ...
    def put(self, key: str, payload: bytes) -> None: ...


class KernelNote(NamedTuple):
    """How a kernel of a program runs, in words and numbers of one step."""

    name: str
    level: int
    loops: str
    schedule: str
    threads: int  # at most
    flops: float
    bytes: float


class Code(Protocol):
    """What a program was compiled to, for reading."""

    def ir(self) -> str: ...
    def assembly(self) -> str: ...


class Report(NamedTuple):
    """A program's kernels, the nanoseconds that each took and then waited (calls, 2), on all
    threads and on one, and the code."""

    kernels: list[KernelNote]
    threads: int
    together: Array
    alone: Array
    code: Code


class Backend(Protocol):
    """Who runs programs."""

    name: str

    def missing(self) -> str | None:
        """The package that it needs and that is not installed."""
        ...

    def compile(self, signature: Signature, cache: Cache | None = None) -> Program:
        """A program for the signature, from the cache if it is there."""
        ...

    def rounds(self, parts: Sequence[Run | Copy]) -> Rounds:
        """Parts to be run in order, again and again."""
        ...

    def peak(self, dtype: str, threads: int | None = None) -> float:
        """Floating-point operations a second of so many cores; a multiply-add counts as two."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What it knows of the machine."""
        ...

    def report(
        self,
        program: Program,
        graph: Signature,
        loops: LoopProgram,
        inputs: Sequence[Array],
        state: Sequence[Array],
    ) -> Report | None:
        """Run one of its programs and say where the time goes; None where there is nothing to say.

        ``graph`` and ``loops`` are the program's, from the compiler's passes.
        """
        ...


BACKENDS = {"cpu": ".cpu.backend", "interpreter": ".interpreter"}  # modules that define BACKEND


def backend_named(name: str) -> Backend:
    """One of the table, loaded now: a backend may need packages that are not there."""
    return cast(Backend, importlib.import_module(BACKENDS[name], __package__).BACKEND)
