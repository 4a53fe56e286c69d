"""`chainrule.autograd`: gradients as values, by PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..autodiff import reverse
from ..core import graph as g
from ..errors import GradientError, ShapeError
from ..habits import answers_of
from ..runtime import realize as rt
from .backward import cotangent_of, differentiable
from .capture import active
from .value import Tensor, Value, make


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d (Σ outputs · grad_outputs) / d inputs, a tuple of one tensor for each of ``inputs``.

    ``.grad`` stays as it is. ``grad_outputs`` is needed for what is no scalar. With
    ``create_graph`` the gradients can be differentiated again. An unused input is a GradientError,
    or None with ``allow_unused``. For a function rather than tensors, see `cr.grad`.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> (slope,) = cr.autograd.grad(x**2, x, create_graph=True)
    >>> slope, cr.autograd.grad(slope, x)
    (tensor(6., requires_grad=True), (tensor(2.),))
    """
    ys, xs = _listed(outputs), _listed(inputs)
    given = [None] * len(ys) if grad_outputs is None else _listed(grad_outputs)
    if len(given) != len(ys):
        raise ShapeError(f"autograd.grad: {len(ys)} outputs, but {len(given)} grad_outputs")
    for i, x in enumerate(xs):
        if not isinstance(x, Value) or not x._requires_grad:
            raise GradientError(
                f"autograd.grad: input {i} does not require a gradient; make it with"
                " requires_grad=True, or call x.requires_grad_() before it is used"
            )
    cotangents = [cotangent_of(y, c).node for y, c in zip(ys, given, strict=True)]
    roots, nodes = [y.node for y in ys], [x.node for x in xs]
    found = reverse.gradients(roots, cotangents, nodes)
    if None in found:
        flat = set().union(*(differentiable(root) for root in roots))
        found = [
            g.zeros_like(n) if f is None and n in flat else f
            for f, n in zip(found, nodes, strict=True)
        ]
    if None in found and not allow_unused:
        raise GradientError(
            f"autograd.grad: the outputs do not depend on input {found.index(None)}; leave it out,"
            " or say allow_unused=True and get None for it"
        )
    later = active.capture is not None or create_graph
    if not later:
        rt.realize([n for n in found if n is not None])
    if not (create_graph if retain_graph is None else retain_graph):
        for y in ys:
            y._spent = True
    result = []
    for node in found:
        tensor = None if node is None else make(node, requires_grad=create_graph)
        if tensor is not None and not later:
            tensor._read()
        result.append(tensor)
    return tuple(result)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """``backward`` of each of ``tensors``: adds to ``.grad`` of the leaves.

    >>> import chainrule as cr
    >>> w = cr.tensor(3.0, requires_grad=True)
    >>> cr.autograd.backward([w * 2, w * 5])
    >>> w.grad
    tensor(7.)
    """
    ys = _listed(tensors)
    given = [None] * len(ys) if grad_tensors is None else _listed(grad_tensors)
    for y, c in zip(ys, given, strict=True):
        y.backward(c, retain_graph, create_graph)


def _listed(given: Any) -> Sequence[Any]:
    return [given] if isinstance(given, Value) or not hasattr(given, "__iter__") else list(given)


if not TYPE_CHECKING:
    __getattr__ = answers_of("chainrule.autograd")
