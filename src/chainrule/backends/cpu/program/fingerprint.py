"""The name of a compiled program: equal names, equal machine code.

Names cover the graph (operations, parameters, shapes, constants; not the identity of its inputs),
the processor, the versions of LLVM and Python packages involved, and the text of the compiler
itself.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import llvmlite
import numpy as np

from ....core.node import ConstantValue, Node, reachable
from ....core.signature import Signature
from ..machine.target import Target


def fingerprint(signature: Signature, target: Target) -> str:
    """A hexadecimal digest of everything that decides what the program's code is."""
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{_compiler()} {llvmlite.__version__} {np.__version__} {target}\n".encode())
    s = signature
    places = {n: f"i{i}" for i, n in enumerate(s.inputs)}
    places |= {n: f"s{i}" for i, n in enumerate(s.state)}
    numbers: dict[Node, int] = {}
    for number, node in enumerate(reachable([*s.inputs, *s.state, *s.outputs, *s.updates])):
        numbers[node] = number
        if node in places:
            text = places[node]
        else:
            params = ",".join(
                f"{k}={_param(v)}"
                for k, v in node.params.items()
                if k not in ("rule", "id", "name")
            )
            text = f"{node.op}({','.join(str(numbers[i]) for i in node.inputs)};{params})"
        digest.update(f"{text}:{node.dtype.name}{node.shape}\n".encode())
    for nodes in (s.inputs, s.state, s.updates, s.outputs):
        digest.update(f"{[numbers[n] for n in nodes]}\n".encode())
    return digest.hexdigest()


def _param(value: Any) -> str:
    if isinstance(value, ConstantValue):
        return hashlib.blake2b(value.array.tobytes(), digest_size=16).hexdigest()
    return str(value)


@functools.cache
def _compiler() -> str:
    """A digest of the compiler's and this backend's source text."""
    digest = hashlib.blake2b(digest_size=16)
    package = Path(__file__).parents[3]
    for folder in ("core", "compiler", "backends"):
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
