"""The sweep from a tensor back to its leaves: ``backward``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autodiff import reverse
from ..core import graph as g
from ..core.node import Node, reachable
from ..errors import GradientError, ShapeError
from ..runtime import realize as rt
from .capture import active
from .value import Value, as_tensor, is_held, make, no_value_message, owner_of, use


def backward(
    self: Value, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """Back-propagate: add d self / d leaf to ``.grad`` of every leaf that requires a gradient.

    ``gradient`` (of this tensor's shape) is needed unless the tensor is a scalar.
    ``create_graph``: the gradients can be differentiated again. Raises GradientError where
    there is nothing to do.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """
    retain = create_graph if retain_graph is None else retain_graph
    cotangent = cotangent_of(self, gradient)
    root = self.node
    owned = [(n, tensor) for n in reachable([root]) if (tensor := owner_of(n)) is not None]
    leaves = [(n, tensor) for n, tensor in owned if tensor._requires_grad]
    _forbid_foreign_graph(leaves)
    grads = reverse.gradients([root], [cotangent.node], [n for n, _ in leaves])
    flat = differentiable(root) if None in grads else set()  # what has slope 0 gets zeros
    reached = [
        (t, g.zeros_like(leaf) if n is None else n)
        for (leaf, t), n in zip(leaves, grads, strict=True)
        if n is not None or leaf in flat
    ]
    if active.capture is None and not create_graph:
        rt.require_value([root, cotangent.node], no_value_message)
        rt.realize([root, *(n for _, n in reached)], is_held)
    self._spent = self._spent or not retain
    for tensor, node in reached:
        new = make(node, requires_grad=create_graph)
        old = tensor.grad
        if old is not None:
            new = make(g.add(old.node, new.node), requires_grad=create_graph or old.requires_grad)
        if active.capture is None and not create_graph:
            new._read()
        tensor.grad = new


def cotangent_of(self: Value, gradient: Any) -> Value:
    """``gradient`` of the shape and dtype of a tensor; 1 for None, of a scalar alone."""
    if not self._requires_grad:
        raise GradientError(
            "backward: this tensor does not depend on any tensor with requires_grad=True"
            " (was it computed under no_grad, detached, or returned by a compiled function?)"
        )
    if self._spent:
        raise GradientError(
            "backward was already called on this tensor; to call it again, say"
            " backward(retain_graph=True) the first time"
        )
    if gradient is None:
        if self.shape != () and self.node.size != 1:
            raise GradientError(
                f"backward needs a scalar, this tensor has shape {self.shape}:"
                " reduce it with .sum() or .mean(), or pass gradient="
            )
        return make(g.ones_like(self.node))
    cotangent = as_tensor(gradient, self.dtype)
    if cotangent.shape != self.shape:
        raise ShapeError(
            f"backward: the tensor has shape {self.shape}, gradient= has {cotangent.shape}"
        )
    return make(use(cotangent, self.dtype))


def _forbid_foreign_graph(leaves: Sequence[tuple[Node, Value]]) -> None:
    for _, tensor in leaves:
        if tensor._is_outside() and not tensor.is_leaf:
            raise GradientError(
                f"backward inside a compiled function reaches a tensor of shape {tensor.shape} "
                "that was computed outside from tensors that require a gradient; compute it "
                "inside, or detach it"
            )


def depends_on_leaf(node: Node) -> bool:
    """Whether a gradient flows from ``node`` to a tensor that requires one."""
    seen: set[Node] = set()
    stack = [node]
    while stack:
        n = stack.pop()
        if n in seen or n.dtype.kind != "f" or n.op == "stop_gradient":
            continue
        seen.add(n)
        tensor = owner_of(n)
        if tensor is not None and tensor._requires_grad:
            return True
        stack.extend(n.inputs)
    return False


def differentiable(root: Node) -> set[Node]:
    """The nodes from which ``root`` is computed in floats, without `stop_gradient` between."""
    seen: set[Node] = set()
    stack = [root]
    while stack:
        n = stack.pop()
        if n not in seen and n.dtype.kind == "f" and n.op != "stop_gradient":
            seen.add(n)
            stack.extend(n.inputs)
    return seen
