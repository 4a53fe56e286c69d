"""Indexing: x[...] by integers, slices, None, Ellipsis, tensors, bool masks; and its relatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.interval import interval
from ...core.node import Array, Node, Shape
from ...errors import CompileError, DTypeError, OptionError, OutOfRangeError, ShapeError
from ...runtime import realize as rt
from ..capture import active, user_line
from ..ranges import check_known, check_later
from ..value import Tensor, Value, array_of, as_tensor, make, use, view_of
from ..view import Flip, Reshape, Slice, Step, View
from .elementwise import broadcast_shapes
from .reduce import normalize_axis, pick

# fmt: off
__all__ = [  # what `chainrule` offers
    "argsort", "gather", "index_add", "index_select", "masked_select", "one_hot", "scatter",
    "scatter_add", "searchsorted", "sort", "take", "take_along_axis", "topk",
]
# fmt: on


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
        known = known_now(item)  # as a plain integer, so that x[i] is a view
        return item if known is None else int(known)
    if isinstance(item, list | tuple | np.ndarray | Value):
        if isinstance(item, list | tuple) and not item:
            return as_tensor(np.zeros(0, np.int64))
        return _integers("an index", as_tensor(item))
    if hasattr(item, "__index__"):
        return int(item.__index__())
    raise DTypeError(
        "an index is an integer, a slice, None, ..., or integers or bools in a tensor; got "
        f"{item!r}"
    )


def _integers(name: str, tensor: Tensor) -> Tensor:
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
    known = known_now(index)
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


def known_now(index: Value) -> Array | None:
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
    known = known_now(key)
    if known is None:
        raise CompileError(
            f"{user_line()} assigns to positions that are not known yet, inside a compiled "
            "function;"
            " use cr.where(mask, new, x) with a mask made of comparisons"
        )
    return known


# -- take and its relatives ------------------------------------------------------------------------
def take(x: Any, indices: Any, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """The elements (slices) at ``indices`` along ``axis``; of the flattened tensor if None.

    >>> import chainrule as cr
    >>> cr.take([10, 20, 30], [2, 0])
    tensor([30, 10])
    """
    axis, _ = pick("take", axis, dim, None, None)
    tensor = as_tensor(x)
    index = _integers("an index", as_tensor(indices))
    node = use(tensor)
    if axis is None:
        node, axis = g.reshape(node, (node.size,)), 0
    along = normalize_axis(axis, node.ndim, "take")
    positions = wrap_index(index, node.shape[along], along)
    return make(_gather(node, positions, along), tensor)


def index_select(x: Any, dim: int, index: Any) -> Tensor:
    """PyTorch's name for ``take(x, index, axis=dim)``.

    >>> import chainrule as cr
    >>> cr.index_select(cr.tensor([[1, 2, 3], [4, 5, 6]]), 1, [0, 2])
    tensor([[1, 3],
            [4, 6]])
    """
    return take(x, index, dim)


def masked_select(x: Any, mask: Any) -> Tensor:
    """PyTorch's name for ``x[mask]``, with x and mask broadcast to one shape: the elements where
    ``mask`` holds, (n,). n must be known: not in compiled functions.

    >>> import chainrule as cr
    >>> cr.masked_select(cr.tensor([[1, 2], [3, 4]]), cr.tensor([True, False]))
    tensor([1, 3])
    """
    tensor, chosen = as_tensor(x), as_tensor(mask)
    if chosen.dtype != dt.bool_:
        raise DTypeError(f"masked_select: the mask has bools, got {chosen.dtype}")
    shape = broadcast_shapes(tensor.shape, chosen.shape, name="masked_select")
    wide = make(g.expand(use(tensor), shape), tensor)
    return getitem(wide, make(g.expand(use(chosen), shape)))


def _gather(node: Node, index: Node, axis: int) -> Node:
    order = [axis, *(i for i in range(node.ndim) if i != axis)]
    found = g.gather(g.permute(node, order), index)
    k = index.ndim
    return g.permute(found, [*range(k, k + axis), *range(k), *range(k + axis, found.ndim)])


def take_along_axis(x: Any, indices: Any, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """out[…, i, …] = x[…, indices[…, i, …], …]: one index for each element (PyTorch's ``gather``).

    >>> import chainrule as cr
    >>> cr.take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1)
    tensor([[2],
            [3]])
    """
    tensor = as_tensor(x)
    index = _integers("an index", as_tensor(indices))
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "take_along_axis")
    if index.ndim != tensor.ndim:
        raise ShapeError(
            f"take_along_axis: x has shape {tensor.shape}, indices {index.shape}; equal ranks "
            "expected"
        )
    last = tensor.ndim - 1
    others = [i for i in range(tensor.ndim) if i != along]
    shape = broadcast_shapes(
        tuple(tensor.shape[i] for i in others),
        tuple(index.shape[i] for i in others),
        name="take_along_axis",
    )
    n = tensor.shape[along]
    order = [*others, along]
    table = g.expand(g.permute(use(tensor), order), (*shape, n))
    positions = g.expand(
        g.permute(wrap_index(index, n, along), order), (*shape, index.shape[along])
    )
    rows = math.prod(shape)
    k = positions.shape[-1]
    flat = g.reshape(positions, (rows, k))
    linear = g.add(g.mul(g.iota((rows, k), 0, dt.int64), g.full((rows, k), n, dt.int64)), flat)
    if not linear.size:
        found = g.full((*shape, k), 0, table.dtype)
    else:
        found = g.reshape(g.gather(g.reshape(table, (rows * n,)), linear), (*shape, k))
    back = [*range(along), last, *range(along, last)]
    return make(g.permute(found, back), tensor)


def gather(x: Any, dim: int, index: Any) -> Tensor:
    """PyTorch's ``gather``: for dim 0 ``out[i, j] = x[index[i, j], j]``; index may be shorter.

    >>> import chainrule as cr
    >>> cr.gather(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    tensor, positions = as_tensor(x), as_tensor(index)
    along = normalize_axis(dim, tensor.ndim, "gather")
    if positions.ndim != tensor.ndim:
        raise ShapeError(
            f"gather: x has shape {tensor.shape}, index {positions.shape}; equal ranks expected"
        )
    key = tuple(slice(None) if i == along else slice(0, n) for i, n in enumerate(positions.shape))
    return take_along_axis(getitem(tensor, key), positions, along)


def scatter(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """PyTorch's ``scatter``: a copy of x in which, for dim 0, x[index[i, j], j] = src[i, j]; src is
    a number or has at least the shape of index. Of equal places the last one counts.

    >>> import chainrule as cr
    >>> cr.scatter(cr.zeros(2, 3), 1, [[2], [0]], 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    tensor, positions, new = as_tensor(x), as_tensor(index), as_tensor(src)
    along = normalize_axis(dim, tensor.ndim, "scatter")
    _check_ranks("scatter", tensor, positions, new)
    grid: list[Any] = [
        np.arange(n).reshape([-1 if a == i else 1 for a in range(tensor.ndim)])
        for i, n in enumerate(positions.shape)
    ]
    grid[along] = positions
    if new.ndim:
        new = getitem(new, tuple(slice(0, n) for n in positions.shape))
    return setitem(tensor, tuple(grid), new)


def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """PyTorch's ``scatter_add``: x, to which for dim 0 src[i, j] is added at [index[i, j], j]; src
    is a number or has at least the shape of index. Equal places add up.

    >>> import chainrule as cr
    >>> cr.scatter_add(cr.zeros(2, 3), 1, [[2, 2], [0, 1]], cr.tensor([[1.0, 5.0], [3.0, 4.0]]))
    tensor([[0., 0., 6.],
            [3., 4., 0.]])
    """
    tensor, new = as_tensor(x), as_tensor(src)
    positions = _integers("an index", as_tensor(index))
    along = normalize_axis(dim, tensor.ndim, "scatter_add")
    _check_ranks("scatter_add", tensor, positions, new)
    shape = positions.shape
    wrong = [
        i
        for i, n in enumerate(shape)
        if (i != along and n > tensor.shape[i]) or (new.ndim and n > new.shape[i])
    ]
    if wrong:
        raise ShapeError(
            f"scatter_add: index has length {shape[wrong[0]]} in axis {wrong[0]}, where x has "
            f"{tensor.shape[wrong[0]]}{f' and src {new.shape[wrong[0]]}' if new.ndim else ''}; an "
            f"index is no longer than src, and than x except along dim {along}"
        )
    if new.ndim:
        new = getitem(new, tuple(slice(0, n) for n in shape))
    place = g.full(shape, 0, dt.int64)
    for axis, n in enumerate(tensor.shape):
        at = g.iota(shape, axis, dt.int64)
        if axis == along:
            at = wrap_index(positions, n, axis)
        place = g.add(g.mul(place, g.full(shape, n, dt.int64)), at)
    count = math.prod(shape)
    added = g.reshape(g.expand(use(new, tensor.dtype), shape), (count,))
    flat = g.reshape(use(tensor), (math.prod(tensor.shape),))
    found = g.scatter_add(flat, g.reshape(place, (count,)), added) if count else flat
    return make(g.reshape(found, tensor.shape), tensor, new)


def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
    """x, to which alpha · source[i] is added at x[index[i]] (for dim 0); index is (n,), equal
    indices add up. ``source`` broadcasts to the shape of x with n in place of the length of dim.

    >>> import chainrule as cr
    >>> cr.index_add(cr.zeros(3, 2), 0, [0, 2, 2], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    tensor([[ 1.,  2.],
            [ 0.,  0.],
            [ 8., 10.]])
    """
    tensor, new = as_tensor(x), as_tensor(source)
    positions = _integers("an index", as_tensor(index))
    along = normalize_axis(dim, tensor.ndim, "index_add")
    if positions.ndim != 1:
        raise ShapeError(f"index_add: an index of shape (n,) is expected, got {positions.shape}")
    shape = (*tensor.shape[:along], positions.shape[0], *tensor.shape[along + 1 :])
    if new.ndim > len(shape) or any(
        n not in (1, m) for n, m in zip(new.shape[::-1], shape[::-1], strict=False)
    ):
        raise ShapeError(
            f"index_add: {positions.shape[0]} positions along axis {along} of x {tensor.shape} need"
            f" a source of shape {shape}, got {new.shape}"
        )
    wide = g.expand(use(new, tensor.dtype), shape)
    if alpha != 1:
        wide = g.mul(wide, g.full(shape, alpha, tensor.dtype))
    front = [along, *(i for i in range(tensor.ndim) if i != along)]
    back = [front.index(i) for i in range(tensor.ndim)]
    found = g.scatter_add(
        g.permute(use(tensor), front),
        wrap_index(positions, tensor.shape[along], along),
        g.permute(wide, front),
    )
    return make(g.permute(found, back), tensor, new)


def _check_ranks(name: str, tensor: Value, index: Value, src: Value) -> None:
    if index.ndim != tensor.ndim or (src.ndim and src.ndim != tensor.ndim):
        raise ShapeError(
            f"{name}: x has shape {tensor.shape}, index {index.shape}, src {src.shape}; equal"
            " ranks expected"
        )


def one_hot(x: Any, num_classes: int = -1, dtype: Any = None) -> Tensor:
    """1 at position x[...], 0 elsewhere, in a new last axis of ``num_classes``; int64 unless given.

    >>> import chainrule as cr
    >>> cr.one_hot([0, 2], 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    index = _integers("one_hot: a class", as_tensor(x))
    known = known_now(index)
    if known is None and num_classes < 0:
        raise CompileError(f"{user_line()}: one_hot needs num_classes= inside a compiled function")
    if known is not None and known.size and num_classes < 0:
        num_classes = max(int(known.max()) + 1, 0)
    text = f"one_hot: class {{}} is outside 0 … {num_classes - 1}"
    if known is not None:
        check_known(known, 0, num_classes, text)
    else:
        check_later(index.node, 0, num_classes, text)
    shape = (*index.shape, max(num_classes, 0))
    wide = g.expand(g.reshape(g.cast(index.node, dt.int64), (*index.shape, 1)), shape)
    hot = g.eq(wide, g.iota(shape, len(shape) - 1, dt.int64))
    return make(g.cast(hot, dt.dtype_of(dtype or dt.default_int)))


def searchsorted(
    boundaries: Any, x: Any, side: str = "left", right: bool = False, sorter: Any = None
) -> Tensor:
    """Where ``x`` would be inserted into the sorted 1-d ``boundaries`` to keep them sorted,
    int64. NaN comes last. ``sorter``: the positions that sort the boundaries, if they are not.

    >>> import chainrule as cr
    >>> cr.searchsorted([1.0, 2.0, 3.0], [0.5, 2.5])
    tensor([0, 2])
    """
    sorted_, tensor = as_tensor(boundaries), as_tensor(x)
    sorted_ = sorted_ if sorter is None else take(sorted_, sorter)
    if sorted_.ndim != 1 or side not in ("left", "right"):
        raise OptionError(f"searchsorted: boundaries of shape {sorted_.shape}, side {side!r}")
    dtype = dt.promote(sorted_.dtype, tensor.dtype)
    shape = (*tensor.shape, sorted_.shape[0])
    a = g.expand(g.cast(sorted_.node, dtype), shape)
    b = g.expand(g.reshape(g.cast(tensor.node, dtype), (*tensor.shape, 1)), shape)
    is_last = g.ne(b, b)  # NaN
    if right or side == "right":
        before = g.or_(g.le(a, b), is_last)
    else:
        before = g.or_(g.lt(a, b), g.and_(is_last, g.eq(a, a)))
    return make(g.sum(g.cast(before, dt.int64), (len(shape) - 1,)))


# -- order (needs the values) ----------------------------------------------------------------------
class Sorted(NamedTuple):
    """What ``sort(dim=...)`` and ``topk`` return, as in PyTorch."""

    values: Tensor
    indices: Tensor


def argsort(
    x: Any, axis: int = -1, *, dim: int | None = None, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions that would sort ``x`` along ``axis``; equal ones keep their order, NaN is last.

    >>> import chainrule as cr
    >>> cr.argsort([3.0, 1.0, 2.0])
    tensor([1, 2, 0])
    """
    tensor = as_tensor(x)
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "argsort")
    values = array_of(tensor)
    if not descending:
        return as_tensor(np.argsort(values, along, kind="stable"))
    backwards = np.argsort(np.flip(values, along), along, kind="stable")
    return as_tensor(np.flip(values.shape[along] - 1 - backwards, along))


def sort(
    x: Any, axis: int = -1, *, dim: int | None = None, descending: bool = False, stable: bool = True
) -> Any:
    """``x`` sorted along ``axis``. With ``dim=`` (PyTorch): the pair (values, indices).

    >>> import chainrule as cr
    >>> cr.sort([3.0, 1.0, 2.0])
    tensor([1., 2., 3.])
    >>> cr.sort([3.0, 1.0, 2.0], descending=True)
    tensor([3., 2., 1.])
    """
    order = argsort(x, axis, dim=dim, descending=descending)
    values = take_along_axis(x, order, axis, dim=dim)
    return values if dim is None else Sorted(values, order)


def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The ``k`` largest (or smallest) elements along ``dim``, in order, and their positions.

    >>> import chainrule as cr
    >>> values, indices = cr.topk([3.0, 1.0, 2.0], 2)
    >>> values, indices
    (tensor([3., 2.]), tensor([0, 2]))
    """
    tensor = as_tensor(x)
    along = normalize_axis(dim, tensor.ndim, "topk")
    if not 0 <= k <= tensor.shape[along]:
        raise OptionError(f"topk: k = {k}, axis {along} has length {tensor.shape[along]}")
    order = argsort(tensor, along, descending=largest)
    key = (*[slice(None)] * along, slice(0, k))
    index = getitem(order, key)
    return Sorted(take_along_axis(tensor, index, along), index)
