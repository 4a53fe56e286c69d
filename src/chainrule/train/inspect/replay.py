"""Replay: one step with the interpreter, node by node, to see where it goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...autodiff.reverse import gradients
from ...core import graph as g
from ...core.interpret import evaluate_node
from ...core.node import Array, Node, reachable, source_of
from ...nn.module import Module
from ...nn.trail import headline
from ...runtime import realize as rt
from ...tensor.value import use
from ..rows.dataset import Dataset
from ..step.steps import Steps
from .diagnosis import place_of


class Replay:
    """One step with the interpreter, looking for where it goes wrong."""

    def __init__(self, steps: Steps, data: Dataset, rows: Array) -> None:
        self.task, self.rows = steps.task, rows
        self.spans: list[tuple[int, int, Module, str]] = []
        self.values: dict[Node, Array] = {}
        batch = steps.given(data, rows, weigh=True)
        with self._watched():
            loss, _ = self.task.loss_of(batch)
        self.loss = use(loss.total)
        self.params = self.task.trained
        self.grads = gradients([self.loss], [g.ones_like(self.loss)], [p.node for p in self.params])

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note which nodes are made while which module runs."""
        handles: list[Any] = []
        open_: list[int] = []
        named = list(self.task.model.named_modules())
        named += [("loss", m) for m in self.task._modules[1:]]
        for name, module in named:

            def enter(m: Module, args: Any) -> None:
                open_.append(g.input((), np.dtype(np.float32)).id)

            def leave(m: Module, args: Any, out: Any, name: str = name) -> None:
                self.spans.append((open_.pop(), g.input((), np.dtype(np.float32)).id, m, name))

            handles += [
                module.register_forward_pre_hook(enter),
                module.register_forward_hook(leave),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def lines(self) -> list[str]:
        """What was found, for a message."""
        roots = [self.loss, *(n for n in self.grads if n is not None)]
        with np.errstate(all="ignore"):
            for node in reachable(roots):
                known = rt.values.get(node)
                self.values[node] = (
                    known
                    if known is not None
                    else evaluate_node(node, *(self.values[i] for i in node.inputs))
                )
        if not self._finite(self.loss):
            return self._described(self._origin(self.loss), "it begins")
        for p, gradient in zip(self.params, self.grads, strict=True):
            if gradient is not None and not self._finite(gradient):
                name = self.task.name_of(p)
                found = self._described(self._origin(gradient), "it begins")
                return [f"the loss is still finite, the gradient of {name} is not:", *found]
        return self._overflow()

    def _overflow(self) -> list[str]:
        sizes = [
            (float(np.abs(self.values[n]).max()), self.task.name_of(p))
            for p, n in zip(self.params, self.grads, strict=True)
            if n is not None and n.size
        ]
        largest = max(sizes, default=(0.0, "none"))
        return [
            "loss and gradients of this step are finite when computed one by one; the update, or "
            "rounding, overflows."
            f" The largest gradient is {largest[0]:.3g}, of {largest[1]}"
        ]

    def _finite(self, node: Node) -> bool:
        array = self.values[node]
        return array.dtype.kind != "f" or bool(np.isfinite(array).all())

    def _origin(self, node: Node) -> Node:
        """Back along what is not finite (NaN before infinity) to where all inputs are finite."""
        while True:
            wrong = [i for i in node.inputs if not self._finite(i)]
            if not wrong:
                return node
            nan = [i for i in wrong if np.isnan(self.values[i]).any()]
            node = (nan or wrong)[0]

    def _described(self, node: Node, verb: str) -> list[str]:
        array = self.values[node]
        if node.op == "input":
            for p in self.params:
                if p.node is node:
                    return [
                        f"{verb} in the parameter {self.task.name_of(p)}, which is not finite "
                        "before this step"
                    ]
            return [f"{verb} in an array that is not finite before this step"]
        module = self._module(node)
        source = source_of(node)
        line = f", line {source[0].rsplit('/', 1)[-1]}:{source[1]}" if source else ""
        lines = [f"{verb} in the operation {node.op}{f' in {module}' if module else ''}{line}"]
        bad = ~np.isfinite(array)
        kind = "NaN" if np.isnan(array).any() else "infinite"
        rows = ""
        if array.ndim and array.shape[0] == len(self.rows):
            which = self.rows[np.flatnonzero(bad.reshape(len(bad), -1).any(1))]
            more = f" and {len(which) - 5} more" if len(which) > 5 else ""
            rows = (
                f", for {'row' if len(which) == 1 else 'rows'} "
                f"{', '.join(map(str, which[:5]))}{more} of the data"
            )
        shape = f"{array.dtype}{list(array.shape)}"
        lines.append(
            f"its result {shape} is {kind} in {int(bad.sum())} of {array.size} elements{rows}"
        )
        for i, source_node in enumerate(node.inputs):
            a = self.values[source_node]
            if a.size:
                lines.append(
                    f"operand {i + 1} {a.dtype}{list(a.shape)} is from {a.min():.6g} to "
                    f"{a.max():.6g}"
                )
        return lines

    def _module(self, node: Node) -> str:
        """The innermost module that ran when the node was made."""
        inside = [
            (end - start, m, name) for start, end, m, name in self.spans if start < node.id < end
        ]
        if not inside:
            return ""
        _, module, name = min(inside, key=lambda s: s[0])
        if module in self.task._modules[1:]:
            return f"the loss {headline(module)}"
        return place_of(module, name)
