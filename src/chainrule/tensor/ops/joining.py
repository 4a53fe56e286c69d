"""Tensors put together, taken apart and repeated."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from ...core import graph as g
from ...core.node import Node
from ...errors import OptionError, ShapeError
from ..value import Tensor, as_tensor, make, use, view_of
from ..view import Slice
from .axes import normalize_axis, pick
from .operands import of_one_dtype
from .shape import ravel, reshape, sizes, squeeze

# fmt: off
__all__ = [  # what `chainrule` offers
    "cat", "chunk", "concat", "concatenate", "hstack", "repeat", "repeat_interleave", "split",
    "stack", "tile", "unbind", "unstack", "vstack",
]
# fmt: on


def _part(x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """x[..., start:stop:step, ...] along one axis, a view."""
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return view_of(x, Slice(tuple(starts), tuple(stops), tuple(steps)))


def _same_dtype(xs: Sequence[Any], name: str) -> tuple[list[Node], list[Any]]:
    if not xs:
        raise OptionError(f"{name} needs at least one tensor")
    return of_one_dtype(*xs)


def concatenate(xs: Sequence[Any], axis: int | None = 0, *, dim: int | None = None) -> Tensor:
    """The tensors one after the other along ``axis``; the other lengths are equal.

    >>> import chainrule as cr
    >>> cr.concatenate([[1, 2], [3]])
    tensor([1, 2, 3])
    """
    nodes, tensors = _same_dtype(list(xs), "concatenate")
    if axis is None and dim is None:
        nodes, axis = [g.reshape(n, (n.size,)) for n in nodes], 0
    along = normalize_axis(axis if dim is None else dim, nodes[0].ndim, "concatenate")  # type: ignore[arg-type]
    for i, n in enumerate(nodes):
        same = n.ndim == nodes[0].ndim
        if not same or any(
            a != b
            for k, (a, b) in enumerate(zip(n.shape, nodes[0].shape, strict=True))
            if k != along
        ):
            raise ShapeError(
                f"concatenate along axis {along}: tensor 0 has shape {nodes[0].shape}, tensor {i} "
                f"has {n.shape}; all other axes must be equal"
            )
    return make(g.concat(nodes, along), *tensors)


concat = cat = concatenate


def stack(xs: Sequence[Any], axis: int = 0, *, dim: int | None = None) -> Tensor:
    """The tensors (of one shape) side by side along a new axis.

    >>> import chainrule as cr
    >>> cr.stack([[1, 2], [3, 4]], axis=1)
    tensor([[1, 3],
            [2, 4]])
    """
    nodes, tensors = _same_dtype(list(xs), "stack")
    shape = nodes[0].shape
    for i, n in enumerate(nodes):
        if n.shape != shape:
            raise ShapeError(
                f"stack: tensor 0 has shape {shape}, tensor {i} has {n.shape}; equal ones expected"
            )
    along = normalize_axis(axis if dim is None else dim, len(shape) + 1, "stack")
    single = (*shape[:along], 1, *shape[along:])
    return make(g.concat([g.reshape(n, single) for n in nodes], along), *tensors)


def vstack(xs: Sequence[Any]) -> Tensor:
    """The tensors one below the other, along axis 0; a vector is a row.

    >>> import chainrule as cr
    >>> cr.vstack([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    tensors = [as_tensor(x) for x in xs]
    return concatenate([reshape(t, (1, t.numel())) if t.ndim < 2 else t for t in tensors])


def hstack(xs: Sequence[Any]) -> Tensor:
    """The tensors side by side, along axis 1; vectors one after the other.

    >>> import chainrule as cr
    >>> cr.hstack([[1, 2], [3]])
    tensor([1, 2, 3])
    """
    tensors = [ravel(x) if as_tensor(x).ndim == 0 else as_tensor(x) for x in xs]
    return concatenate(tensors, 1 if tensors and tensors[0].ndim > 1 else 0)


def narrow(x: Any, dim: int, start: int, length: int) -> Tensor:
    """x[start:start + length] along ``dim``; a negative start counts from the end.

    >>> import chainrule as cr
    >>> cr.tensor([1, 2, 3, 4]).narrow(0, 1, 2)
    tensor([2, 3])
    """
    tensor = as_tensor(x)
    along = normalize_axis(dim, tensor.ndim, "narrow")
    n = tensor.shape[along]
    first = start + n if start < 0 else start
    if not (0 <= first and 0 <= length and first + length <= n):
        raise ShapeError(f"narrow: {start} and length {length} leave axis {along} of length {n}")
    return _part(tensor, along, first, first + length)


def split(
    x: Any, indices_or_sections: int | Sequence[int], axis: int = 0, *, dim: int | None = None
) -> list[Tensor]:
    """Parts along ``axis``: a number of equal parts, or the positions to cut at (as in NumPy).

    With ``dim=``, as in PyTorch: the length of each part, or the lengths of the parts.

    >>> import chainrule as cr
    >>> [p.shape for p in cr.split(cr.zeros(6), 3)]
    [(2,), (2,), (2,)]
    >>> [p.shape for p in cr.split(cr.zeros(6), 4, dim=0)]
    [(4,), (2,)]
    """
    tensor = as_tensor(x)
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "split")
    n = tensor.shape[along]
    if dim is not None:
        return _split_by_length(tensor, indices_or_sections, along)
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections < 1 or n % sections:
            raise ShapeError(
                f"split: axis {along} of length {n} has no {sections} equal parts; see chunk"
            )
        cuts = [i * n // sections for i in range(1, sections)]
    else:
        cuts = [min(max(c + n if c < 0 else c, 0), n) for c in indices_or_sections]
    edges = [0, *cuts, n]
    return [_part(tensor, along, a, max(a, b)) for a, b in zip(edges, edges[1:], strict=False)]


def _split_by_length(tensor: Tensor, lengths: int | Sequence[int], along: int) -> list[Tensor]:
    n = tensor.shape[along]
    if isinstance(lengths, int):
        if lengths < 1:
            raise OptionError(f"split: a part has at least length 1, got {lengths}")
        lengths = [min(lengths, n - i) for i in range(0, n, lengths)] or [0]
    if builtins.sum(lengths) != n:
        raise ShapeError(
            f"split: the lengths {list(lengths)} sum to {builtins.sum(lengths)}, axis {along} has "
            f"length {n}"
        )
    result, start = [], 0
    for length in lengths:
        result.append(_part(tensor, along, start, start + length))
        start += length
    return result


def chunk(x: Any, chunks: int, axis: int = 0, *, dim: int | None = None) -> list[Tensor]:
    """At most ``chunks`` parts of equal length along ``axis``; the last may be shorter.

    >>> import chainrule as cr
    >>> cr.chunk(cr.arange(5), 2)
    [tensor([0, 1, 2]), tensor([3, 4])]
    """
    tensor = as_tensor(x)
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "chunk")
    if chunks < 1:
        raise OptionError(f"chunk: at least 1 part, got {chunks}")
    return _split_by_length(tensor, max(-(-tensor.shape[along] // chunks), 1), along)


def unstack(x: Any, axis: int = 0, *, dim: int | None = None) -> tuple[Tensor, ...]:
    """The slices along ``axis``, without it.

    >>> import chainrule as cr
    >>> cr.unstack([[1, 2], [3, 4]])
    (tensor([1, 2]), tensor([3, 4]))
    """
    tensor = as_tensor(x)
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "unstack")
    return tuple(squeeze(_part(tensor, along, i, i + 1), along) for i in range(tensor.shape[along]))


unbind = unstack


def tile(x: Any, *repeats: Any) -> Tensor:
    """``x`` repeated as a block, ``repeats[i]`` times along axis i.

    >>> import chainrule as cr
    >>> cr.tile([1, 2], 2)
    tensor([1, 2, 1, 2])
    """
    tensor = as_tensor(x)
    times = sizes("tile", repeats)
    shape = (1,) * (len(times) - tensor.ndim) + tensor.shape
    times = (1,) * (len(shape) - len(times)) + times
    pairs = [n for pair in zip([1] * len(shape), shape, strict=True) for n in pair]
    wide = [n for pair in zip(times, shape, strict=True) for n in pair]
    node = g.broadcast(g.reshape(use(tensor), pairs), wide)
    return make(g.reshape(node, [a * b for a, b in zip(times, shape, strict=True)]), tensor)


def repeat(
    x: Any, repeats: int | Sequence[int], axis: int | None = None, *, dim: int | None = None
) -> Tensor:
    """Each element repeated, as in NumPy (PyTorch's ``repeat_interleave``; its ``repeat``: `tile`).

    >>> import chainrule as cr
    >>> cr.repeat([1, 2], 2)
    tensor([1, 1, 2, 2])
    """
    axis, _ = pick("repeat", axis, dim, None, None)
    tensor = as_tensor(x)
    if axis is None:
        tensor, axis = ravel(tensor), 0
    along = normalize_axis(axis, tensor.ndim, "repeat")
    if isinstance(repeats, int):
        s = tensor.shape
        apart = g.reshape(use(tensor), (*s[: along + 1], 1, *s[along + 1 :]))
        wide = g.broadcast(apart, (*s[: along + 1], repeats, *s[along + 1 :]))
        return make(g.reshape(wide, (*s[:along], s[along] * repeats, *s[along + 1 :])), tensor)
    counts = [int(r) for r in repeats]
    if len(counts) == 1:  # for all
        return repeat(tensor, counts[0], along)
    if len(counts) != tensor.shape[along]:
        raise ShapeError(
            f"repeat: {len(counts)} counts for axis {along} of length {tensor.shape[along]}"
        )
    if not counts:
        return tensor
    node = use(tensor)
    pieces = [
        repeat(make(g.part(node, along, i, i + 1), tensor), r, along) for i, r in enumerate(counts)
    ]
    return concatenate(pieces, along)


repeat_interleave = repeat
