"""summary: a table of a model's layers: output shapes, parameters, operations, memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.loop import Body, family
from ..core.node import Node, reachable
from ..errors import OptionError
from ..tensor.grad_mode import no_grad
from ..tensor.ops.create import zeros
from ..tensor.value import Value
from .modes import in_mode

if TYPE_CHECKING:
    from .module import Module


@dataclass
class Row:
    """One layer of the table."""

    name: str
    kind: str
    output: str
    parameters: int
    flops: int
    bytes: int
    depth: int


@dataclass
class Summary:
    """The table and its sums; its text form is the table."""

    rows: list[Row] = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    flops: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0

    def __str__(self) -> str:
        head = ["layer", "output shape", "parameters", "flops", "memory"]
        table = [head]
        for row in self.rows:
            label = "  " * row.depth + (f"{row.name}: " if row.name else "") + row.kind
            table.append(
                [label, row.output, f"{row.parameters:,}", _count(row.flops), _size(row.bytes)]
            )
        table.append(
            ["total", "", f"{self.parameters:,}", _count(self.flops), _size(self.activation_bytes)]
        )
        widths = [max(len(line[i]) for line in table) for i in range(len(head))]
        lines = [
            "  ".join(
                c.ljust(w) if i < 2 else c.rjust(w)
                for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in table
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        notes = (
            f"trainable parameters {self.trainable:,}; their memory {_size(self.parameter_bytes)}"
        )
        return "\n".join(
            [*(x.rstrip() for x in [lines[0], rule, *lines[1:-1], rule, lines[-1]]), notes]
        )

    __repr__ = __str__


def summary(model: Module, input_shape: Any, *, dtype: Any = "float32") -> Summary:
    """A table of the layers as called for an input of ``input_shape`` (with a batch, or None).

    ``input_shape`` is a tuple, or a list of tuples for several inputs. Operations of the forward
    pass: 2 for each product in a product of matrices or a convolution, 1 for each element otherwise
    (for each element of a window in pooling), a loop's as often as it runs. Memory: of the outputs.

    >>> from chainrule import nn
    >>> print(nn.summary(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), (2, 4)))
    layer        output shape  parameters  flops  memory
    ----------------------------------------------------
    Sequential   (2, 3)                15     60    24 B
      0: Linear  (2, 3)                15     54    24 B
      1: Tanh    (2, 3)                 0      6    24 B
    ----------------------------------------------------
    total                              15     60    48 B
    trainable parameters 15; their memory 60 B
    """
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    if all(isinstance(s, tuple) for s in shapes):  # None: any number of rows, shown as one
        shapes = [tuple(1 if n is None else n for n in s) for s in shapes]
    if not all(isinstance(s, tuple) and all(isinstance(n, int) for n in s) for s in shapes):
        raise OptionError(f"summary: input_shape is a tuple like (1, 784), got {input_shape!r}")
    result = Summary()
    open_rows: dict[int, Row] = {}  # by the id of the module being called
    handles = []
    for path, module in model.named_modules():

        def before(module: Module, args: Any, path: str = path) -> None:
            depth = path.count(".") + 1 if path else 0
            name = path.rsplit(".", 1)[-1]
            row = Row(name, "", "", 0, 0, 0, depth)
            result.rows.append(row)
            open_rows[id(module)] = row

        def after(module: Module, args: Any, output: Any) -> None:
            row = open_rows[id(module)]
            row.kind, row.parameters = type(module).__name__, _parameters(module)
            tensors = [
                t
                for t in (output if isinstance(output, tuple) else (output,))
                if isinstance(t, Value)
            ]
            row.output = ", ".join(str(t.shape) for t in tensors)
            row.bytes = sum(math.prod(t.shape) * t.dtype.itemsize for t in tensors)
            inputs = {a.node for a in args if isinstance(a, Value)}
            row.flops = _flops([t.node for t in tensors], inputs)

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    try:
        with in_mode(model, False), no_grad():
            model(*(zeros(s, dtype=dtype) for s in shapes))
    finally:
        for handle in handles:
            handle.remove()
    _total(result, model)
    return result


def _total(result: Summary, model: Module) -> None:
    leaves = [
        row
        for row, after in zip(result.rows, [*result.rows[1:], None], strict=True)
        if after is None or after.depth <= row.depth
    ]
    parameters = list(model.parameters())
    result.parameters = sum(math.prod(p.shape) for p in parameters)
    result.trainable = sum(math.prod(p.shape) for p in parameters if p.requires_grad)
    result.parameter_bytes = sum(math.prod(p.shape) * p.dtype.itemsize for p in parameters)
    result.flops = result.rows[0].flops if result.rows else 0
    result.activation_bytes = sum(row.bytes for row in leaves)


def _parameters(module: Module) -> int:
    return sum(math.prod(p.shape) for p in module.parameters())


def _flops(outputs: Sequence[Node], inputs: Iterable[Node]) -> int:
    """Operations between the inputs and the outputs."""
    given = reachable(inputs)
    return sum(map(_cost, _each_loop_once(set(reachable(outputs)).difference(given))))


def _each_loop_once(nodes: Iterable[Node]) -> list[Node]:
    """The nodes, with one for all results of a loop."""
    found = {n if n.op != "scan" else family(n): n for n in nodes}
    return list(found.values())


def _cost(node: Node) -> int:
    """Operations of one node; 2 for each product in a sum of products."""
    if node.primitive.kind == "elementwise":
        return node.size
    if node.primitive.kind == "reduce":
        return node.inputs[0].size
    if node.op == "dot":
        return 2 * node.size * node.inputs[0].shape[-1]
    if node.op == "conv":  # weights (*K, C, G, O): each output is a sum over taps and channels
        return 2 * node.size * math.prod(node.inputs[1].shape[:-2])
    if node.op in ("fold", "scatter_add"):
        return node.inputs[-1].size
    if node.op == "scan":
        body: Body = node.params["body"]
        results = [r.params["result"] for r in body.results]
        roots = [*body.updates, *(r for r in results if isinstance(r, Node))]
        return body.length * _flops(roots, body.inputs)
    return 0


def _count(n: float) -> str:
    for unit in ("", "K", "M", "G", "T"):
        if n < 1000:
            return f"{n:.1f} {unit}" if unit else f"{n:.0f}"
        n /= 1000
    return f"{n:.0f} P"


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} TiB"
