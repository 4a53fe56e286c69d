"""Program: a graph with inputs, outputs and state, ready to run as often as wanted.

`build` chooses who runs it: the compiler of `backends.cpu` where llvmlite is installed, otherwise
the interpreter, which is the meaning of a program (every backend is tested against it).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from ..core.interpret import evaluate
from ..core.node import Array
from ..core.signature import Signature
from ..errors import OptionError
from .cache import Cache, default_folder

BACKENDS = ("cpu", "interpreter")


class Program(Protocol):
    """A signature that can be run."""

    @property
    def whole_loop(self) -> bool:
        """Whether the loop over the steps is one with the step: between steps nothing is in
        memory, and what changes one element of a state is one store."""
        ...

    def run(self, inputs: Sequence[Array], state: Sequence[Array], steps: int = 1) -> list[Array]:
        """Run ``steps`` steps with the same inputs; returns the outputs of the last step (fresh
        arrays).

        The ``state`` arrays (C-contiguous, of the signature's dtypes) are updated in place. All
        updates of a step read the state as it was when the step began.
        """
        ...


class InterpretedProgram:
    """A program run node by node with NumPy: the definition of what a program does."""

    whole_loop = False

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


_warned = False


def backend() -> str:
    """Who runs programs: "cpu" or "interpreter" (``CHAINRULE_BACKEND`` chooses, default "cpu")."""
    chosen = os.environ.get("CHAINRULE_BACKEND", "cpu")
    if chosen not in BACKENDS:
        raise OptionError(f"CHAINRULE_BACKEND={chosen!r}: expected one of {', '.join(BACKENDS)}")
    return chosen


@functools.cache
def disk_cache() -> Cache | None:
    """The cache of compiled programs all of this process uses; None when it is switched off."""
    folder = default_folder()
    return Cache(folder) if folder is not None else None


def build(signature: Signature) -> Program:
    """A program for ``signature``: compiled where that is possible, otherwise interpreted."""
    global _warned
    if backend() == "interpreter":
        return InterpretedProgram(signature)
    if importlib.util.find_spec("llvmlite") is None:
        if not _warned:
            _warned = True
            warnings.warn(
                "llvmlite is not installed: programs are interpreted, which is slow; pip install "
                "llvmlite",
                RuntimeWarning,
                stacklevel=2,
            )
        return InterpretedProgram(signature)
    module = importlib.import_module("chainrule.backends.cpu.program.compiled")
    return cast(Program, module.compile_program(signature, cache=disk_cache()))
