"""Realize: from nodes to numbers with the interpreter. Plain expressions wait for no compiler.

A leaf is an input node with an array. Arrays that are writeable belong to exactly one leaf (a
compiled program may update them in place); what is computed here is read-only, no leaf's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from ..core import graph as g
from ..core.interpret import evaluate
from ..core.loop import family
from ..core.node import Array, Node, inputs_first
from ..errors import CompileError

values: WeakKeyDictionary[Node, Array] = WeakKeyDictionary()
"""Arrays of leaves, and of nodes already computed that somebody still holds."""

placeholders: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
"""Inputs that have no value yet, with the name of what made them: "cr.compile" or "cr.vmap"."""


def leaf(array: Array, name: str = "") -> Node:
    """A new input node that stands for ``array`` (not copied)."""
    node = g.input(array.shape, array.dtype, name)
    values[node] = array
    return node


def placeholder(shape: tuple[int, ...], dtype: np.dtype[np.generic], purpose: str) -> Node:
    """A new input node whose value comes later."""
    node = g.input(shape, dtype)
    placeholders[node] = purpose
    return node


MAPPED = "cr.vmap"
ENDED = "a function that has ended"


def end(nodes: Iterable[Node]) -> None:
    """The function these placeholders were made for has returned: they will never have a value."""
    for node in nodes:
        if node in placeholders:
            placeholders[node] = ENDED


def realize(nodes: Sequence[Node], keep: Callable[[Node], bool] | None = None) -> list[Array]:
    """The values of ``nodes``. Those of nodes for which ``keep`` says yes are remembered.

    Raises CompileError if a node depends on a placeholder.
    """
    known, order = _needed(nodes)
    wanted = list(nodes)
    wanted += _results_beside(order)
    if keep is not None:
        wanted += [n for n in order if n not in known and keep(n)]
    results = evaluate(wanted, known)
    leaves = {id(a) for a in known.values()}
    for node, array in zip(wanted, results, strict=True):
        if node not in values:
            if array.base is not None or id(array) in leaves or not array.flags.c_contiguous:
                array = np.array(array, order="C")
            array.setflags(write=False)
            values[node] = array
    return [values[node] for node in nodes]


def _results_beside(order: Sequence[Node]) -> list[Node]:
    """Other results of the loops that will run: they cost nothing now, and another run later."""
    loops = {family(n): n.params["body"] for n in order if "body" in n.params}
    beside = [n for (body, inputs) in loops for n in body.results if n.inputs == inputs]
    return [n for n in beside if n not in values]


def has_value(nodes: Sequence[Node]) -> bool:
    """Whether ``nodes`` can be computed: they depend on no placeholder."""
    return not any(n in placeholders for n in _needed(nodes)[1])


def _needed(nodes: Sequence[Node]) -> tuple[dict[Node, Array], list[Node]]:
    """Known values the nodes depend on, and nodes that are neither known nor behind a known one."""
    known: dict[Node, Array] = {}

    def inputs_of(node: Node) -> tuple[Node, ...]:
        array = values.get(node)
        if array is None:
            return node.inputs
        known[node] = array
        return ()

    order = inputs_first(nodes, inputs_of)
    return known, [node for node in order if node not in known]


def purpose_of(nodes: Sequence[Node]) -> str | None:
    """What the nodes wait for (see `placeholders`); None if they have a value."""
    for node in _needed(nodes)[1]:
        if node.op == "input":
            return placeholders.get(node, ENDED)
    return None


def waits_for(node: Node, purpose: str) -> bool:
    """Whether one of the placeholders that ``node`` waits for was made by ``purpose``."""
    return any(placeholders.get(n) == purpose for n in _needed([node])[1])


def require_value(nodes: Sequence[Node], message: Callable[[str], str]) -> None:
    """Raise CompileError with ``message(purpose)`` if a node waits for a placeholder."""
    purpose = purpose_of(nodes)
    if purpose is not None:
        raise CompileError(message(purpose))
