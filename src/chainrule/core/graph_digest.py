"""The text of a graph, for digests: equal texts, equal computations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .node import ConstantValue, Node, reachable


def add_graph(
    digest: Any,
    inputs: Sequence[Node],
    state: Sequence[Node],
    updates: Sequence[Node],
    outputs: Sequence[Node],
) -> None:
    """Add a graph to a digest of hashlib: operations, parameters, shapes, constants; not the
    identity of its inputs, nor who made it when."""
    places = {n: f"i{i}" for i, n in enumerate(inputs)} | {n: f"s{i}" for i, n in enumerate(state)}
    numbers: dict[Node, int] = {}
    for number, node in enumerate(reachable([*inputs, *state, *outputs, *updates])):
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
    for nodes in (inputs, state, updates, outputs):
        digest.update(f"{[numbers[n] for n in nodes]}\n".encode())


def _param(value: Any) -> str:
    if isinstance(value, ConstantValue):
        return hashlib.blake2b(value.array.tobytes(), digest_size=16).hexdigest()
    return str(value)
