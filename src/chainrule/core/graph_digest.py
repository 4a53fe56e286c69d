"""The text of a graph, for digests: equal texts, equal computations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .loop import Body
from .node import ConstantValue, Node, reachable
from .signature import Signature

_NOT_MEANT = ("rule", "id", "name")  # parameters that say nothing of the values


def add_graph(digest: Any, signature: Signature) -> None:
    """Add a graph to a digest of hashlib: operations, parameters, shapes, constants.

    Not the identity of its inputs, nor who made it when.
    """
    s = signature
    names = {n: f"i{i}" for i, n in enumerate(s.inputs)}
    names |= {n: f"s{i}" for i, n in enumerate(s.state)}
    lines, numbers = _lines([*s.inputs, *s.state, *s.outputs, *s.updates], names, {})
    lines += [str([numbers[n] for n in nodes]) for nodes in (s.inputs, s.state, s.updates)]
    lines.append(str([numbers[n] for n in s.outputs]))
    for line in lines:
        digest.update(f"{line}\n".encode())


def _lines(
    roots: Sequence[Node], names: Mapping[Node, str], bodies: dict[Body, int]
) -> tuple[list[str], dict[Node, int]]:
    """A line for each node, and the number of each."""
    numbers: dict[Node, int] = {}
    lines: list[str] = []
    for number, node in enumerate(reachable(roots)):
        numbers[node] = number
        text = names.get(node)
        if text is None:
            params = _loop(node, bodies) if "body" in node.params else _params(node)
            text = f"{node.op}({','.join(str(numbers[i]) for i in node.inputs)};{params})"
        lines.append(f"{text}:{node.dtype.name}{node.shape}")
    return lines, numbers


def _loop(node: Node, bodies: dict[Body, int]) -> str:
    """A loop's result: which loop of the graph it is of, and that loop's body as a graph."""
    body: Body = node.params["body"]
    result: int | Node = node.params["result"]
    which = bodies.setdefault(body, len(bodies))
    wanted = [*body.updates, *([result] if isinstance(result, Node) else [])]
    names = {p: f"p{i}" for i, p in enumerate(body.inputs)}
    lines, numbers = _lines([*body.inputs, *wanted], names, bodies)
    ends = [numbers[n] for n in wanted], result if isinstance(result, int) else ""
    return f"loop {which} {body.length} {body.reverse} {ends} {'|'.join(lines)}"


def _params(node: Node) -> str:
    shown = {k: v for k, v in node.params.items() if k not in _NOT_MEANT}
    return ",".join(f"{k}={_param(v)}" for k, v in shown.items())


def _param(value: Any) -> str:
    if isinstance(value, ConstantValue):
        return hashlib.blake2b(value.array.tobytes(), digest_size=16).hexdigest()
    return str(value)
