"""Views: movements that only change how an index is computed.

`through(node, index)` takes the index of an element of a view to the index of the element of its
input. Indices are affine in loop variables, one per axis, so a chain of views costs nothing at run
time. A reshape that *merges* axes would need a division; it is free only over a buffer (row-major
by construction), where the flat address is all that matters.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.graph import WINDOW
from ..core.node import Node, Shape
from .loops import ZERO, Affine, strides_of

Index = tuple[Affine, ...]


def is_view(node: Node) -> bool:
    return node.primitive.kind == "view"


def is_buffer(node: Node) -> bool:
    """Leaves that lie in memory: inputs, and constants of more than one element."""
    return node.op == "input" or (node.op == "constant" and node.size != 1)


def is_computed(node: Node) -> bool:
    """Whether some kernel makes the node: it is neither a view nor a leaf that needs no key."""
    return not is_view(node) and bool(node.inputs)


def base_of(node: Node) -> tuple[Node, list[Node]]:
    """The node below a chain of views, and the views from it upwards."""
    views: list[Node] = []
    while is_view(node):
        views.append(node)
        node = node.inputs[0]
    return node, views[::-1]


def flat(index: Sequence[Affine], shape: Shape) -> Affine:
    """The row-major address of an element."""
    address = ZERO
    for i, stride in zip(index, strides_of(shape), strict=True):
        address = address + i * stride
    return address


def axis_groups(a: Shape, b: Shape) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of axes of two shapes that hold the same elements; axes of size 1 go alone.

    (2, 3, 4) and (6, 1, 4): ([0, 1], [0]), ([], [1]), ([2], [2])
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and a[i] == 1:
            groups.append(([i], []))
            i += 1
        elif j < len(b) and b[j] == 1:
            groups.append(([], [j]))
            j += 1
        else:
            left, right = [i], [j]
            p, q = a[i], b[j]
            i, j = i + 1, j + 1
            while p != q:
                if p < q:
                    left.append(i)
                    p *= a[i]
                    i += 1
                else:
                    right.append(j)
                    q *= b[j]
                    j += 1
            groups.append((left, right))
    return groups


def merges(node: Node) -> bool:
    """Whether a reshape makes one axis out of several (element order kept)."""
    (x,) = node.inputs
    if 0 in node.shape:
        return False
    return any(len(left) > 1 for left, _ in axis_groups(x.shape, node.shape))


def is_merge(node: Node) -> bool:
    """Whether a node is a reshape that merges axes."""
    return node.op == "reshape" and merges(node)


def through(node: Node, index: Index) -> Index:
    """The input's index for a view's index; the reshape must not merge axes."""
    (x,) = node.inputs
    match node.op:
        case "permute":
            result = [ZERO] * x.ndim
            for out_axis, in_axis in enumerate(node.params["axes"]):
                result[in_axis] = index[out_axis]
            return tuple(result)
        case "broadcast":
            return tuple(ZERO if n == 1 else i for n, i in zip(x.shape, index, strict=True))
        case "window":
            axes, _, strides, dilation = (node.params[p] for p in WINDOW)
            found = list(index[: x.ndim])
            for a, s, d, inside in zip(axes, strides, dilation, index[x.ndim :], strict=True):
                found[a] = found[a] * s + inside * d
            return tuple(found)
        case "slice":
            starts, steps = node.params["starts"], node.params["steps"]
            return tuple(i * s + a for i, a, s in zip(index, starts, steps, strict=True))
        case "flip":
            axes = node.params["axes"]
            return tuple(
                i * -1 + (n - 1) if a in axes else i
                for a, (i, n) in enumerate(zip(index, x.shape, strict=True))
            )
        case "reshape":
            result = [ZERO] * x.ndim
            if 0 in x.shape:
                return tuple(result)  # there is no element to find
            for left, right in axis_groups(x.shape, node.shape):
                if left and right:
                    (axis,) = left
                    result[axis] = flat(
                        [index[j] for j in right], tuple(node.shape[j] for j in right)
                    )
            return tuple(result)
    raise AssertionError(node)


# Per axis: the outer loop it is bound to, or None (size 1, or inside).
Bind = tuple[int | None, ...]


def push_bind(view: Node, bind: Bind) -> Bind | None:
    """The outer loops that a view's axes run through, given its input's; None: not row by row."""
    (x,) = view.inputs
    match view.op:
        case "permute":
            return tuple(bind[a] for a in view.params["axes"])
        case "broadcast":
            return bind
        case "slice":
            whole = (
                a == 0 and b == n and s == 1
                for a, b, s, n in zip(
                    view.params["starts"],
                    view.params["stops"],
                    view.params["steps"],
                    x.shape,
                    strict=True,
                )
            )
            return bind if all(w or b is None for w, b in zip(whole, bind, strict=True)) else None
        case "window":
            moved = view.params["axes"]
            inside = (None,) * len(moved)
            return (*bind, *inside) if all(bind[a] is None for a in moved) else None
        case "flip":
            return bind if all(bind[a] is None for a in view.params["axes"]) else None
        case "reshape":
            if 0 in x.shape:
                return None
            result: list[int | None] = [None] * view.ndim
            for left, right in axis_groups(x.shape, view.shape):
                if len(left) == 1 and len(right) == 1:
                    result[right[0]] = bind[left[0]]
                elif left and right and (len(left) > 1 or bind[left[0]] is not None):
                    return None
            return tuple(result)
    raise AssertionError(view)
