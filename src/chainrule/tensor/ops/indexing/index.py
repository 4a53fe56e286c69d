"""Indexing: x[...] by integers, slices, None, Ellipsis, tensors, bool masks; and assignment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ....core import dtypes as dt
from ....core import graph as g
from ....core.interval import interval
from ....core.node import Array, Node, Shape
from ....errors import CompileError, DTypeError, OptionError, OutOfRangeError, ShapeError
from ....runtime import realize as rt
from ...capture import active, user_line
from ...ranges import check_known, check_later
from ...value import Tensor, Value, as_tensor, make, use, view_of
from ...view import Flip, Reshape, Slice, Step, View
from ..operands import broadcast_shapes


def getitem(x: Tensor, key: Any) -> Tensor:
    """x[key], by NumPy's rules: a view for integers, slices, None and ...; otherwise a copy."""
    if _is_mask(key) and mask_values(key).ndim == 0:  # a new axis of length 1 or 0
        count = int(mask_values(key))
        kept = g.reshape(use(x), (1, *x.shape)) if count else g.full((0, *x.shape), 0, x.dtype)
        return make(kept, x)
    items = _expand(x.shape, key)
    steps, arrays, first, contiguous = _basic(x.shape, items)
    if not arrays:
        return view_of(x, *steps)
    node = use(x)
    for step in steps:
        node = step.node(node)
    found = make(_advanced(node, arrays, first, contiguous), x)
    if not any(isinstance(i, _MaskAxis) or (isinstance(i, Value) and i.shape) for i in items):
        return view_of(found, refuses=_CHOSEN)
    return found


_CHOSEN = (
    "x[i] with a tensor i whose value is not known yet is a copy, to change it would not change x; "
    "use x.assign(cr.where(mask, new, x)) with a mask made of comparisons"
)


def is_item(x: Tensor, key: Any, value: Value) -> bool:
    """Whether ``value`` is the view x[key] with what x holds there now."""
    root = None if value._view is None else value._view.root
    if root is not x and (x._view is None or root is not x._view.root):
        return False
    items = _expand(x.shape, key)
    steps, arrays, *_ = _basic(x.shape, items)
    return not arrays and view_of(x, *steps).node is value.node


class Advanced(NamedTuple):
    """An index by position, for one axis of the tensor after the basic part."""

    axis: int
    positions: Node


def _expand(shape: Shape, key: Any) -> list[Any]:
    """One item per axis (None for new ones): the ellipsis filled in, masks made positions."""
    listed = list(key) if isinstance(key, tuple) else [key]
    items: list[Any] = []
    for item in listed:
        items += _masked(item) if _is_mask(item) else [_as_index(item)]
    used = len([i for i in items if i is not None and i is not Ellipsis])
    ellipses = len([i for i in items if i is Ellipsis])
    if ellipses > 1:
        raise ShapeError("an index can have one ellipsis (...)")
    if used > len(shape):
        raise ShapeError(f"too many indices: {used} for a tensor of shape {shape}")
    fill = [slice(None)] * (len(shape) - used)
    if not ellipses:
        return items + fill
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    return items[:at] + fill + items[at + 1 :]


def _as_index(item: Any) -> Any:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, int | np.integer) and not isinstance(item, bool | np.bool_):
        return int(item)
    if isinstance(item, Value) and item.shape == () and dt.is_integer(item.dtype):
        known = known_values(item)  # as a plain integer, so that x[i] is a view
        return item if known is None else int(known)
    if isinstance(item, list | tuple | np.ndarray | Value):
        if isinstance(item, list | tuple) and not item:
            return as_tensor(np.zeros(0, np.int64))
        return integers("an index", as_tensor(item))
    if hasattr(item, "__index__"):
        return int(item.__index__())
    raise DTypeError(
        "an index is an integer, a slice, None, ..., or integers or bools in a tensor; got "
        f"{item!r}"
    )


def integers(name: str, tensor: Tensor) -> Tensor:
    if not dt.is_integer(tensor.dtype):
        raise DTypeError(
            f"{name} is an integer, got a tensor of {tensor.dtype}; convert it with .long()"
        )
    return tensor


def _is_mask(item: Any) -> bool:
    if isinstance(item, bool | np.bool_):
        return True
    if isinstance(item, Value | np.ndarray):
        return item.dtype == dt.bool_
    return (
        isinstance(item, list)
        and bool(item)
        and np.asarray(item, object).ravel()[0].__class__ is bool
    )


class _MaskAxis(NamedTuple):
    """Positions a mask selects along an axis whose length must be ``length``."""

    positions: Tensor
    length: int


def _masked(mask: Any) -> list[Any]:
    values = mask_values(mask)
    if values.ndim == 0:
        raise OptionError(
            "a single True or False is no index beside others; use where, or a mask of the"
            " tensor's shape"
        )
    return [
        _MaskAxis(as_tensor(i.astype(np.int64)), n)
        for i, n in zip(np.nonzero(values), values.shape, strict=True)
    ]


def mask_values(mask: Any) -> Array:
    """The values of a mask; a clear error where a tensor has none yet."""
    if isinstance(mask, Value) and (mask._is_outside() or rt.purpose_of([mask.node]) is not None):
        raise CompileError(
            f"{user_line()} selects by a mask inside "
            f"{active.capture.name if active.capture else 'cr.vmap'}:"
            " the shape of the result would depend on values. Use cr.where(mask, x, 0) and keep "
            "the shape"
        )
    return np.asarray(mask, bool) if not isinstance(mask, Value) else mask._read()


def _basic(
    whole: Shape, items: Sequence[Any]
) -> tuple[tuple[Step, ...], list[Advanced], int, bool]:
    """Slices, flips, new axes; then advanced indices, where their axes go, if together."""
    has_arrays = any(isinstance(i, Value | _MaskAxis) for i in items)
    starts, stops, steps, flips = [], [], [], []
    shape: list[int] = []
    advanced: list[tuple[int, Any]] = []
    places: list[int] = []
    axis = 0
    for place, item in enumerate(items):
        if item is None:
            shape.append(1)
            continue
        n = whole[axis]
        start, stop, step = 0, n, 1
        if isinstance(item, slice):
            start, stop, step, flipped = _slice(item, n, axis)
            if flipped:
                flips.append(axis)
            shape.append(-(-(stop - start) // step))
        elif isinstance(item, int) and not has_arrays:
            start = _position(item, n, axis)
            stop = start + 1
        else:
            advanced.append((len(shape), _checked(item, n, axis)))
            places.append(place)
            shape.append(n)
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
    taken: tuple[Step, ...] = (
        Slice(tuple(starts), tuple(stops), tuple(steps)),
        *([Flip(tuple(flips))] if flips else []),
        Reshape(tuple(shape)),
    )
    arrays = [Advanced(a, index) for a, index in advanced]
    together = places == list(range(places[0], places[-1] + 1)) if places else True
    return taken, arrays, arrays[0].axis if arrays else 0, together


def _slice(item: slice, n: int, axis: int) -> tuple[int, int, int, bool]:
    """Start, stop and step > 0 of what a slice selects, and whether the order is reversed."""
    try:
        start, stop, step = item.indices(n)
    except TypeError:
        raise DTypeError(f"slice of axis {axis}: bounds are integers, got {item}") from None
    except ValueError:
        raise OptionError(f"slice of axis {axis}: the step cannot be 0") from None
    count = len(range(start, stop, step))
    if count == 0:
        return 0, 0, 1, False
    last = start + (count - 1) * step
    return (start, last + 1, step, False) if step > 0 else (last, start + 1, -step, True)


def _position(i: int, n: int, axis: int) -> int:
    if not -n <= i < n:
        raise OutOfRangeError(f"index {i} is outside axis {axis} of length {n}")
    return i % n


def _checked(item: Any, n: int, axis: int) -> Node:
    """The index as int64 positions from 0; checked here if its values are known."""
    if isinstance(item, int):
        return g.constant(_position(item, n, axis), dt.int64)
    if isinstance(item, _MaskAxis):
        if item.length != n:
            raise OutOfRangeError(
                f"the mask has length {item.length} where the tensor's axis {axis} has {n}"
            )
        return item.positions.node
    return wrap_index(item, n, axis)


def wrap_index(index: Value, n: int, axis: int) -> Node:
    """Positions from 0 for indices that may be negative; others are refused (see `ranges`)."""
    text = f"index {{}} is outside axis {axis} of length {n}"
    known = known_values(index)
    if known is not None:
        if check_known(known, -n, n, text) < 0:
            return g.constant(np.where(known < 0, known.astype(np.int64) + n, known), dt.int64)
        return g.cast(index.node, dt.int64)
    check_later(index.node, -n, n, text)
    node = g.cast(index.node, dt.int64)
    if interval(node)[0] >= 0:
        return node
    return g.where(
        g.lt(node, g.zeros_like(node)), g.add(node, g.full(node.shape, n, dt.int64)), node
    )


def known_values(index: Value) -> Array | None:
    """The values of a tensor if they are known now; None inside traced functions."""
    if index._is_outside():
        return None
    if index._array is not None:
        return index._array
    node = index.node
    if node in rt.values:
        return rt.values[node]
    if active.capture is None and rt.purpose_of([node]) is None:
        return index._read()
    return node.params["value"].array if node.op == "constant" else None


def _advanced(node: Node, arrays: Sequence[Advanced], first: int, together: bool) -> Node:
    """Gather by the indices' linear position over their axes, then put them in place."""
    axes = [a.axis for a in arrays]
    shape = broadcast_shapes(*(a.positions.shape for a in arrays), name="index")
    rest = [i for i in range(node.ndim) if i not in axes]
    lengths = [node.shape[a] for a in axes]
    moved = g.permute(node, [*axes, *rest])
    table = g.reshape(moved, (math.prod(lengths), *(node.shape[i] for i in rest)))
    linear: Node | None = None
    for a, n in zip(arrays, lengths, strict=True):
        index = g.expand(a.positions, shape)
        linear = (
            index if linear is None else g.add(g.mul(linear, g.full(shape, n, dt.int64)), index)
        )
    assert linear is not None
    if table.shape[0] == 0 and linear.size == 0:
        result = g.full((*shape, *table.shape[1:]), 0, node.dtype)
    else:
        result = g.gather(table, linear)
    if not together or first == 0:
        return result
    k = len(shape)
    order = [*range(k, k + first), *range(k), *range(k + first, result.ndim)]
    return g.permute(result, order)


# -- assignment ------------------------------------------------------------------------------------
def setitem(x: Tensor, key: Any, value: Any) -> Tensor:
    """``x`` with x[key] replaced by ``value`` (broadcast); the positions must be known."""
    new = as_tensor(value, x.dtype)
    masks = isinstance(key, Value) and key.dtype == dt.bool_ and key.shape == x.shape
    if masks and new.node.size == 1 and new.ndim <= x.ndim:  # the mask need not be known
        return make(g.where(key.node, _filled(x, x.shape, new), use(x)), x, new)
    if _is_mask(key) and mask_values(key).ndim == 0:  # all of x, or nothing
        filled = _filled(x, x.shape, new)
        return make(filled if mask_values(key) else use(x), x, new)
    items = _expand(x.shape, key)
    steps, arrays, *_ = _basic(x.shape, items)
    if not arrays:
        part = View(x, steps)
        filled = _filled(x, part.layout()[0], new)
        return make(part.put(filled), x, new)
    key = _static(key)
    try:
        positions = np.arange(math.prod(x.shape)).reshape(x.shape)[key]
    except IndexError as error:
        raise OutOfRangeError(f"x[...] = value: {error}") from None
    filled = g.reshape(_filled(x, positions.shape, new), (positions.size,))
    if not positions.size:
        return make(use(x), x, new)
    size = math.prod(x.shape)
    inside = np.zeros(size, bool)
    source = np.zeros(size, np.int64)
    inside[positions.ravel()] = True
    source[positions.ravel()] = np.arange(positions.size)
    chosen = g.reshape(g.gather(filled, g.constant(source)), x.shape)
    return make(g.where(g.constant(inside.reshape(x.shape)), chosen, use(x)), x, new)


def _filled(x: Tensor, shape: Shape, new: Tensor) -> Node:
    """``new`` as the elements of x[...], which has ``shape``."""
    if dt.is_float(new.dtype) and not dt.is_float(x.dtype):
        raise DTypeError(
            f"x[...] = value: x is {x.dtype}, the value {new.dtype}; convert one with .to()"
        )
    if broadcast_shapes(shape, new.shape, name="x[...] = value") != shape:
        raise ShapeError(f"x[...] = value: x[...] has shape {shape}, the value {new.shape}")
    return g.expand(use(new, x.dtype), shape)


def _static(key: Any) -> Any:
    """The key with tensors as arrays."""
    if isinstance(key, tuple):
        return tuple(_static(k) for k in key)
    if not isinstance(key, Value):
        return key
    known = known_values(key)
    if known is None:
        raise CompileError(
            f"{user_line()} assigns to positions that are not known yet, inside a compiled "
            "function; use cr.where(mask, new, x) with a mask made of comparisons"
        )
    return known
