"""One pass of any model as a tape: the values on the way from the weights to the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...autodiff.reverse import gradients, nodes_between
from ...core import graph as op
from ...core.interpret import evaluate
from ...core.node import Array, Node, reachable
from ...errors import OptionError
from ...nn.module import Module
from ...nn.trail import headline
from ...runtime import realize as rt
from ...tensor.grad_mode import enable_grad
from ...tensor.ops.create import asarray
from ...tensor.value import Value
from ..measure.batch import Batch
from ..measure.objective import Objective

VIEWS = ("reshape", "permute", "broadcast", "slice", "flip", "window")
SEEN_THROUGH = ("copy", "stop_gradient", "custom_vjp")
"""Their value is that of their first input."""
_INLINE = ("add", "sub", "mul", "div", "neg", "sum", "dot", "conv", "cast", "where", "scatter_add")
"""Written out inside of the value that uses them, if that is the only one."""


@dataclass
class Tape:
    """A graph from parameters to the error with all its numbers.

    ``names``: what to call a node; ``steps``: the values that get an equation, in order;
    ``slopes``: ∂E/∂ of each of them and of each parameter; ``results``: what modules returned, by
    the name of the module; ``made_by``: of which module a node is the result; ``layouts``: where
    that shows the node's elements on other axes, their flat places.
    """

    error: Node
    names: dict[Node, str]
    steps: list[Node]
    slopes: dict[Node, Node]
    results: dict[str, Node]
    made_by: dict[Node, str]
    layouts: dict[Node, Array]
    parameters: dict[str, Node]
    numbers: dict[Node, Array] = field(default_factory=dict)


def record(model: Module, x: Array, objective: Objective, target: Array) -> Tape:
    """Run the model once on ``x`` and go back through all that it computed."""
    results: dict[str, Node] = {}
    given, wanted = asarray(x), asarray(target)
    handles = [
        m.register_forward_hook(_note(results, name, m)) for name, m in model.named_modules()
    ]
    try:
        with enable_grad():
            out = model(given)
            prediction = out[0] if isinstance(out, tuple) else out
            error = objective(prediction, Batch(None, wanted, len(x))).total.node
    finally:
        for handle in handles:
            handle.remove()
    parameters = {name: p.node for name, p in model.named_parameters() if p.requires_grad}
    path = nodes_between(list(parameters.values()), [error])
    if error not in path:
        raise OptionError("explain_step: the loss does not depend on the model's parameters")
    ends: dict[Node, str] = {}
    for name, result in results.items():
        ends.setdefault(base_of(result), name)  # a Sequential returns what its last module did
    results = {name: results[name] for name in ends.values()}
    steps = _steps(path, error, set(parameters.values()), set(ends))
    ruled = [node for node in path if node.op == "custom_vjp"]
    asked = [*steps, *parameters.values(), *results.values(), *ruled]
    found = gradients([error], [op.ones_like(error)], asked)
    slopes = {node: g for node, g in zip(asked, found, strict=True) if g is not None}
    for node in ruled:  # what it passes on has no gradient of its own
        if node in slopes:
            slopes.setdefault(node.inputs[0], slopes[node])
    steps = [node for node in steps if node in slopes]
    names: dict[Node, str] = {node: name for name, node in parameters.items()}
    names |= {b.node: name for name, b in model.named_buffers()}
    names |= {given.node: "x", wanted.node: "t"}
    names |= {node: f"v{k}" for k, node in enumerate(steps[:-1], 1)} | {error: "E"}
    ends = {node: name for node, name in ends.items() if node in slopes}
    layouts = {base: _layout(results[name]) for base, name in ends.items()}
    layouts = {b: a for b, a in layouts.items() if a.size == b.size}
    tape = Tape(error, names, steps, slopes, results, ends, layouts, parameters)
    order = reachable([error, *slopes.values()])
    leaves = {n: rt.values[n] for n in order if n in rt.values}
    tape.numbers = dict(zip(order, evaluate(order, leaves), strict=True))
    return tape


def _layout(result: Node) -> Array:
    """For each element of ``result`` the flat place of it in `base_of`."""
    chain = [result]
    while chain[-1].op in VIEWS or chain[-1].op in SEEN_THROUGH:
        chain.append(chain[-1].inputs[0])
    places = np.arange(chain[-1].size).reshape(chain[-1].shape)
    for node in reversed(chain[:-1]):
        if node.op in VIEWS:
            places = np.asarray(node.primitive.meaning(node.params, places))
    return places


def _note(results: dict[str, Node], name: str, module: Module) -> Any:
    def hook(_: Module, __: Any, result: Any) -> None:
        first = result[0] if isinstance(result, tuple) and result else result
        if isinstance(first, Value):
            title = f"{name}: {headline(module)}" if name else headline(module)
            results.setdefault(title, first.node)

    return hook


def base_of(node: Node) -> Node:
    """The node whose elements these are."""
    while node.op in VIEWS or node.op in SEEN_THROUGH:
        node = node.inputs[0]
    return node


def _steps(path: Sequence[Node], error: Node, parameters: set[Node], ends: set[Node]) -> list[Node]:
    """What gets an equation: results of modules and of functions, and what is used twice."""
    users: dict[Node, set[Node]] = {}
    for node in path:
        bases = [base_of(i) for i in node.inputs]
        if node.op in VIEWS or node.op in SEEN_THROUGH:
            continue
        for base in bases:
            users.setdefault(base, set()).add(node)
    found = []
    for node in path:
        if node in parameters or node.op in VIEWS or node.op in SEEN_THROUGH:
            continue
        alone = node.op in _INLINE and len(users.get(node, ())) < 2 and node not in ends
        if node is error or not (alone or node.op in ("pad", "concat", "gather")):
            found.append(node)
    return found
