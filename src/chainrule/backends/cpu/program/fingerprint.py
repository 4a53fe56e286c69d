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

from ....core.loop import Body
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
    bodies: dict[Body, int] = {}
    for number, node in enumerate(reachable([*s.inputs, *s.state, *s.outputs, *s.updates])):
        numbers[node] = number
        if node in places:
            text = places[node]
        else:
            params = ",".join(
                f"{k}={_param(v)}"
                for k, v in node.params.items()
                if k not in ("rule", "id", "name", "body", "result")
            )
            if "body" in node.params:
                params = _loop(node, bodies)
            text = f"{node.op}({','.join(str(numbers[i]) for i in node.inputs)};{params})"
        digest.update(f"{text}:{node.dtype.name}{node.shape}\n".encode())
    for nodes in (s.inputs, s.state, s.updates, s.outputs):
        digest.update(f"{[numbers[n] for n in nodes]}\n".encode())
    return digest.hexdigest()


def _loop(node: Node, bodies: dict[Body, int]) -> str:
    """A loop's result: which loop of the graph it is of, and that loop's body as a graph."""
    body: Body = node.params["body"]
    result: int | Node = node.params["result"]
    number = bodies.setdefault(body, len(bodies))
    wanted = [*body.updates, *([result] if isinstance(result, Node) else [])]
    names = {p: f"p{i}" for i, p in enumerate(body.inputs)}
    inner: dict[Node, int] = {}
    lines = []
    for at, n in enumerate(reachable([*body.inputs, *wanted])):
        inner[n] = at
        if n in names:
            text = names[n]
        elif "body" in n.params:
            text = f"scan({[inner[i] for i in n.inputs]};{_loop(n, bodies)})"
        else:
            params = {k: _param(v) for k, v in n.params.items() if k not in ("rule", "id", "name")}
            text = f"{n.op}({[inner[i] for i in n.inputs]};{params})"
        lines.append(f"{text}:{n.dtype.name}{n.shape}")
    which = result if isinstance(result, int) else f"n{inner[result]}"
    last = [inner[u] for u in body.updates]
    return f"loop{number} {body} {which} {last} {'|'.join(lines)}"


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
