"""The passes of the compiler, in their order: a graph to a loop program.

Each takes a value and returns a new one, and tells it to an observer by its name (``chainrule
explain`` is one). A backend may also start from `rewritten`, the graph before it becomes kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.signature import Signature
from .fuse import fuse
from .loops import LoopProgram
from .lower import lower
from .order import order
from .place import place
from .rewrites.layout import layout
from .rewrites.legalize import legalize
from .rewrites.matrices import written_out
from .rewrites.simplify import simplify
from .share_rows import share_rows

See = Callable[[str, Any], None]


def compile(signature: Signature, see: See = lambda name, value: None) -> LoopProgram:
    """The loop program of a signature."""
    return to_loops(rewritten(signature, see), see)


def rewritten(signature: Signature, see: See = lambda name, value: None) -> Signature:
    """Another graph of the same meaning, with less to do."""
    graph = signature.rewritten(written_out).rewritten(simplify)
    see("simplify", graph)
    laid_out = graph.rewritten(layout)
    if laid_out.roots != graph.roots:
        graph = laid_out.rewritten(simplify)
        see("layout", graph)
    return graph


def to_loops(graph: Signature, see: See = lambda name, value: None) -> LoopProgram:
    """The loop program of a rewritten graph."""
    graph = graph.rewritten(legalize)
    see("legalize", graph)
    groups = fuse(graph)
    see("fuse", groups)
    lowered = lower(graph, groups, compile)  # which compiles the bodies of loops
    see("lower", lowered)
    placed = share_rows(place(graph, groups, lowered))
    see("place", placed)
    program = order(placed)
    see("order", program)
    return program
