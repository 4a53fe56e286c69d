"""Movement: each element of the result is an element of an operand, or a fixed value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Shape
from ...errors import OptionError, ShapeError
from ..value import Tensor, as_tensor, make, use, view_of
from ..view import Expand, Flip, Permute, Reshape, reshaped
from .axes import Axis, normalize_axes, normalize_axis, pick
from .elementwise import select
from .operands import broadcast_shapes, operand

# fmt: off
__all__ = [  # what `chainrule` offers
    "broadcast_arrays", "broadcast_tensors", "broadcast_to", "expand_dims", "flatten", "flip",
    "matrix_transpose", "moveaxis", "pad", "permute", "permute_dims", "ravel", "reshape", "roll",
    "squeeze", "swapaxes", "transpose", "unflatten", "unsqueeze",
]
# fmt: on


def sizes(name: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """The lengths in ``f(2, 3)`` or ``f((2, 3))`` as integers."""
    listed = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    try:
        return tuple(n.__index__() for n in listed)
    except AttributeError:
        raise OptionError(f"{name}: lengths are integers, got {tuple(listed)!r}") from None


def chosen(name: str, listed: tuple[Any, ...], keyword: Any, what: str) -> tuple[Any, ...]:
    """The positional arguments ``f(2, 3)``, or those given as one keyword ``f(shape=(2, 3))``."""
    if keyword is None:
        return listed
    if listed:
        raise OptionError(f"{name}: {what} is given twice, as {listed} and as {what}={keyword!r}")
    return (keyword,)


def reshape(x: Any, *lengths: Any, shape: Any = None, copy: bool | None = None) -> Tensor:
    """The same elements in another shape; one length may be -1, it is then worked out. The Array
    API's ``copy`` changes nothing: a write to the result never reaches ``x``.

    A view, as in NumPy; a copy where ``x`` is a view with elements out of order (``x.T``).

    >>> import chainrule as cr
    >>> cr.reshape(cr.arange(6), (2, -1)).shape
    (2, 3)
    """
    tensor = as_tensor(x)
    new = _resolve(tensor.shape, sizes("reshape", chosen("reshape", lengths, shape, "shape")))
    if tensor._view is not None and reshaped(*tensor._view.layout(), new) is None:
        return make(g.reshape(use(tensor), new), tensor)
    return view_of(tensor, Reshape(new))


def view(x: Tensor, *shape: Any) -> Tensor:
    """`reshape`, always as a view (the method of a tensor)."""
    return view_of(x, Reshape(_resolve(x.shape, sizes("view", shape))))


def fresh(x: Tensor) -> Tensor:
    """``x`` as a tensor with elements of its own: changes of it change nothing else."""
    return make(use(x), x)


def _resolve(old: Shape, new: Sequence[int]) -> Shape:
    unknown = [i for i, n in enumerate(new) if n == -1]
    known = math.prod(n for n in new if n != -1)
    size = math.prod(old)
    if len(unknown) > 1 or any(n < -1 for n in new):
        raise ShapeError(f"reshape: at most one length may be -1, and none less, got {tuple(new)}")
    if unknown and (known == 0 or size % known):
        raise ShapeError(f"reshape: {old} has {size} elements, which {tuple(new)} does not divide")
    result = tuple(size // known if n == -1 else n for n in new)
    if math.prod(result) != size:
        raise ShapeError(f"reshape: {old} has {size} elements, {result} has {math.prod(result)}")
    return result


def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` (included) made one.

    >>> import chainrule as cr
    >>> cr.flatten(cr.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    tensor = as_tensor(x)
    if tensor.ndim == 0:
        return reshape(tensor, (1,))
    first = normalize_axis(start_dim, tensor.ndim, "flatten")
    last = normalize_axis(end_dim, tensor.ndim, "flatten")
    if first > last:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    s = tensor.shape
    return reshape(tensor, (*s[:first], math.prod(s[first : last + 1]), *s[last + 1 :]))


def unflatten(x: Any, dim: int, sizes: Sequence[int]) -> Tensor:
    """The axis ``dim`` split into axes of these lengths; one of them may be -1.

    >>> import chainrule as cr
    >>> cr.unflatten(cr.zeros(5, 6), 1, (2, -1)).shape
    (5, 2, 3)
    """
    tensor = as_tensor(x)
    axis, listed = normalize_axis(dim, tensor.ndim, "unflatten"), tuple(sizes)
    known = math.prod(n for n in listed if n != -1)
    length = tensor.shape[axis]
    fits = known == length
    if listed.count(-1) == 1:
        fits = known > 0 and length % known == 0
    if not listed or not fits:
        raise ShapeError(
            f"unflatten: axis {dim} has length {length}, which is not the product of {listed}"
        )
    split = [length // known if n == -1 else n for n in listed]
    return reshape(tensor, (*tensor.shape[:axis], *split, *tensor.shape[axis + 1 :]))


def ravel(x: Any) -> Tensor:
    """All elements in one axis.

    >>> import chainrule as cr
    >>> cr.ravel([[1, 2], [3, 4]])
    tensor([1, 2, 3, 4])
    """
    return reshape(x, (-1,)) if as_tensor(x).node.size else reshape(x, (0,))


def permute_dims(x: Any, *order: Any, axes: Any = None) -> Tensor:
    """The axes in another order; out.shape[i] = x.shape[axes[i]].

    >>> import chainrule as cr
    >>> cr.permute_dims(cr.zeros(2, 3, 4), (2, 0, 1)).shape
    (4, 2, 3)
    """
    tensor = as_tensor(x)
    order = sizes("permute", chosen("permute", order, axes, "axes"))
    found = [normalize_axis(a, tensor.ndim, "permute") for a in order]
    if sorted(found) != list(range(tensor.ndim)):
        raise ShapeError(
            f"permute: {order} does not name each of the {tensor.ndim} axes of {tensor.shape} once"
        )
    return view_of(tensor, Permute(tuple(found)))


permute = permute_dims


def transpose(x: Any, *order: Any, axes: Any = None) -> Tensor:
    """All axes reversed; with two axes, these change places (PyTorch); otherwise as `permute_dims`.

    >>> import chainrule as cr
    >>> cr.transpose([[1, 2], [3, 4]])
    tensor([[1, 3],
            [2, 4]])
    >>> cr.transpose(cr.ones(2, 3, 4), 1, 2).shape
    (2, 4, 3)
    """
    tensor = as_tensor(x)
    if len(order) == 2 and axes is None:
        return swapaxes(tensor, *order)
    given = chosen("transpose", order, axes, "axes")
    if not given or given == (None,):
        return permute_dims(tensor, tuple(reversed(range(tensor.ndim))))
    return permute_dims(tensor, sizes("transpose", given))


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Two axes change places.

    >>> import chainrule as cr
    >>> cr.swapaxes(cr.ones(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    tensor = as_tensor(x)
    order = list(range(tensor.ndim))
    a, b = (normalize_axis(i, tensor.ndim, "swapaxes") for i in (axis1, axis2))
    order[a], order[b] = order[b], order[a]
    return permute_dims(tensor, order)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes ``source`` moved to the places ``destination``; the others keep their order.

    >>> import chainrule as cr
    >>> cr.moveaxis(cr.ones(2, 3, 4), 0, -1).shape
    (3, 4, 2)
    """
    tensor = as_tensor(x)
    listed = [[i] if isinstance(i, int) else list(i) for i in (source, destination)]
    if len(listed[0]) != len(listed[1]):
        raise OptionError(f"moveaxis: {len(listed[0])} axes to {len(listed[1])} places")
    old, new = ([normalize_axis(i, tensor.ndim, "moveaxis") for i in part] for part in listed)
    order = [i for i in range(tensor.ndim) if i not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return permute_dims(tensor, order)


def matrix_transpose(x: Any) -> Tensor:
    """The last two axes change places (``x.mT``)."""
    if as_tensor(x).ndim < 2:
        raise ShapeError(f"mT needs two axes, got shape {as_tensor(x).shape}")
    return swapaxes(x, -1, -2)


def squeeze(x: Any, axis: Axis = None, *, dim: Axis = None) -> Tensor:
    """Without axes of length 1 (all of them, or those named; a named axis of another length stays).

    >>> import chainrule as cr
    >>> cr.squeeze(cr.ones(2, 1, 3)).shape
    (2, 3)
    """
    axis, _ = pick("squeeze", axis, dim, None, None)
    tensor = as_tensor(x)
    axes = normalize_axes(axis, tensor.ndim, "squeeze")
    return reshape(tensor, [n for i, n in enumerate(tensor.shape) if n != 1 or i not in axes])


def expand_dims(
    x: Any, axis: int | Sequence[int] | None = None, *, dim: int | None = None
) -> Tensor:
    """With new axes of length 1 at the places ``axis`` of the result.

    >>> import chainrule as cr
    >>> cr.expand_dims(cr.zeros(3), 0).shape
    (1, 3)
    """
    axis, _ = pick("expand_dims", axis, dim, None, None)
    tensor = as_tensor(x)
    listed = [axis] if isinstance(axis, int) else list(axis or ())
    if not listed:
        raise OptionError("expand_dims: say at which axis")
    axes = normalize_axes(listed, tensor.ndim + len(listed), "expand_dims")
    shape = list(tensor.shape)
    for a in axes:
        shape.insert(a, 1)
    return reshape(tensor, shape)


unsqueeze = expand_dims


_BROADCAST = (
    "the tensor is broadcast, several of its elements are one; change a copy: y = x.clone()"
)


def broadcast_to(x: Any, *lengths: Any, shape: Any = None) -> Tensor:
    """``x`` repeated to ``shape`` by NumPy's rule; -1 keeps a length (PyTorch's ``expand``).

    >>> import chainrule as cr
    >>> cr.broadcast_to([1, 2], (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    tensor = as_tensor(x)
    wanted = sizes("broadcast_to", chosen("broadcast_to", lengths, shape, "shape"))
    missing = len(wanted) - tensor.ndim
    if missing >= 0:
        wanted = tuple(
            tensor.shape[i - missing] if n == -1 and i >= missing else n
            for i, n in enumerate(wanted)
        )
    fits = missing >= 0 and all(
        a in (1, b) for a, b in zip(tensor.shape, wanted[missing:], strict=True)
    )
    if not fits or min(wanted, default=0) < 0:
        raise ShapeError(f"broadcast_to: {tensor.shape} does not broadcast to {wanted}")
    if math.prod(wanted) == math.prod(tensor.shape):
        return view_of(tensor, Reshape(tuple(wanted)))
    return view_of(tensor, Expand(tuple(wanted)), refuses=_BROADCAST)


def broadcast_tensors(*xs: Any) -> tuple[Tensor, ...]:
    """All arguments in their common shape.

    >>> import chainrule as cr
    >>> [t.shape for t in cr.broadcast_tensors(cr.ones(3, 1), cr.ones(4))]
    [(3, 4), (3, 4)]
    """
    tensors = [as_tensor(x) for x in xs]
    shape = broadcast_shapes(*(t.shape for t in tensors), name="broadcast_tensors")
    return tuple(broadcast_to(t, shape) for t in tensors)


def broadcast_arrays(*xs: Any) -> list[Tensor]:
    """`broadcast_tensors` as a list, the Array API's function.

    >>> import chainrule as cr
    >>> [t.shape for t in cr.broadcast_arrays(cr.ones(3, 1), cr.ones(4))]
    [(3, 4), (3, 4)]
    """
    return list(broadcast_tensors(*xs))


# -- edges and directions --------------------------------------------------------------------------
def pad(
    x: Any,
    pad_width: Any,
    mode: str = "constant",
    value: float = 0,
    constant_values: float | None = None,
) -> Tensor:
    """``x``, ``pad_width`` elements added at edges: a number, (low, high), or one pair per axis.

    ``mode``: "constant" (``value``), "reflect", "edge" ("replicate"), "wrap" ("circular").

    >>> import chainrule as cr
    >>> cr.pad([1, 2], (1, 2))
    tensor([0, 1, 2, 0, 0])
    """
    tensor = as_tensor(x)
    pairs = np.broadcast_to(np.asarray(pad_width), (tensor.ndim, 2)).tolist()
    fill = value if constant_values is None else constant_values
    if mode != "constant":
        return _pad_by_index(tensor, pairs, mode)
    low, high = [max(a, 0) for a, _ in pairs], [max(b, 0) for _, b in pairs]
    node = use(tensor)
    starts = [max(-a, 0) for a, _ in pairs]
    stops = [n - max(-b, 0) for n, (_, b) in zip(node.shape, pairs, strict=True)]
    node = g.slice(
        node, starts, [max(a, b) for a, b in zip(starts, stops, strict=True)], [1] * node.ndim
    )
    filling = operand(fill, node.dtype)
    if filling.op == "constant":
        return make(g.pad(node, low, high, filling.params["value"].array.item()), tensor)
    inside = make(g.pad(g.full(node.shape, True, dt.bool_), low, high))
    return select(inside, make(g.pad(node, low, high), tensor), make(filling))


def _pad_by_index(tensor: Tensor, pairs: Sequence[Sequence[int]], mode: str) -> Tensor:
    names = {
        "reflect": "reflect",
        "edge": "edge",
        "replicate": "edge",
        "wrap": "wrap",
        "circular": "wrap",
    }
    if mode not in names:
        raise OptionError(f"pad: mode is one of constant, {', '.join(names)}; got {mode!r}")
    node = use(tensor)
    for axis, (low, high) in enumerate(pairs):
        n = node.shape[axis]
        if not low and not high:
            continue
        if min(low, high) < 0 or n == 0 or (names[mode] == "reflect" and max(low, high) >= n):
            raise ShapeError(
                f"pad: cannot add ({low}, {high}) to axis {axis} of length {n} with mode {mode!r}"
            )
        index = g.constant(np.pad(np.arange(n), (low, high), mode=names[mode]))  # type: ignore[call-overload]
        order = [axis, *(i for i in range(node.ndim) if i != axis)]
        back = [order.index(i) for i in range(node.ndim)]
        node = g.permute(g.gather(g.permute(node, order), index), back)
    return make(node, tensor)


def unfold(x: Any, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` elements, ``step`` apart, along an axis, in a new last axis.

    >>> import chainrule as cr
    >>> cr.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    tensor = as_tensor(x)
    if tensor.ndim == 0:
        raise ShapeError("unfold needs an axis to take windows along, got a scalar")
    axis = normalize_axis(dimension, tensor.ndim, "unfold")
    if size < 1 or step < 1 or size > tensor.shape[axis]:
        raise ShapeError(
            f"unfold: windows of {size} elements, {step} apart, along axis {axis} of shape "
            f"{tensor.shape}; both are at least 1, and the size at most {tensor.shape[axis]}"
        )
    return make(g.window(use(tensor), [axis], [size], [step], [1]), tensor)


def flip(x: Any, axis: Axis = None, *, dim: Axis = None) -> Tensor:
    """The elements in the opposite order along ``axis`` (all axes by default).

    >>> import chainrule as cr
    >>> cr.flip([1, 2, 3])
    tensor([3, 2, 1])
    """
    axis, _ = pick("flip", axis, dim, None, None)
    tensor = as_tensor(x)
    return view_of(tensor, Flip(tuple(normalize_axes(axis, tensor.ndim, "flip"))))


def roll(x: Any, shift: int | Sequence[int], axis: Axis = None, *, dim: Axis = None) -> Tensor:
    """Elements moved ``shift`` places along ``axis``; what leaves at the end comes in at the start.

    >>> import chainrule as cr
    >>> cr.roll([1, 2, 3], 1)
    tensor([3, 1, 2])
    """
    axis, _ = pick("roll", axis, dim, None, None)
    tensor = as_tensor(x)
    if axis is None:
        return fresh(reshape(roll(ravel(tensor), shift, 0), tensor.shape))
    axes = [axis] if isinstance(axis, int) else list(axis)
    shifts = [shift] * len(axes) if isinstance(shift, int) else list(shift)
    if len(shifts) != len(axes):
        raise OptionError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    node = use(tensor)
    for by, along in zip(shifts, axes, strict=True):
        a = normalize_axis(along, node.ndim, "roll")
        cut = -by % node.shape[a] if node.shape[a] else 0
        if cut:
            node = g.concat([g.part(node, a, cut, node.shape[a]), g.part(node, a, 0, cut)], a)
    return make(node, tensor)
