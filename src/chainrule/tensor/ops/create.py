"""Creation: tensors from data, from a shape, from a range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.host.device import device
from ...core.host.memory import aligned
from ...core.node import Node
from ...errors import OptionError
from ..value import Tensor, Value, array_of, as_tensor, constant, make, stored, use
from .shape import chosen, sizes

# fmt: off
__all__ = [  # what `chainrule` offers
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full",
    "full_like", "linspace", "meshgrid", "ones", "ones_like", "tensor", "zeros", "zeros_like",
]
# fmt: on


def _dtype(dtype: Any, default: DType = dt.default_float) -> DType:
    return default if dtype is None else dt.dtype_of(dtype)


def _finish(tensor: Tensor, requires_grad: bool) -> Tensor:
    return tensor.requires_grad_() if requires_grad else tensor


def check_device(given: Any) -> None:
    """Accept the only device there is."""
    if given is not None:
        device(str(given))


def dtype_asked_for(args: Sequence[Any], dtype: Any, device: Any) -> Any:
    """What ``x.to(*args)`` converts to: a dtype, that of a tensor, or None for no other."""
    for arg in args:
        if isinstance(arg, Value):
            dtype = arg.dtype
        elif isinstance(arg, str) and arg.split(":")[0] in ("cpu", "cuda", "mps", "gpu"):
            device = arg
        elif arg is not None:
            dtype = arg
    check_device(device)
    return dtype


def _of_tensors(data: Any) -> Any:
    """A list that holds tensors as one tensor; anything else as it is."""
    if isinstance(data, list | tuple) and any(isinstance(i, Value) for i in data):
        return as_tensor(data)
    return data


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """A tensor with a copy of ``data``: numbers, nested lists, arrays (their dtype stays), tensors.

    Python floats become float32, Python integers int64.

    >>> import chainrule as cr
    >>> cr.tensor([[1, 2], [3, 4]], dtype="float32")
    tensor([[1., 2.],
            [3., 4.]])
    """
    check_device(device)
    wanted = None if dtype is None else dt.dtype_of(dtype)
    data = _of_tensors(data)
    if isinstance(data, Value):
        copy = make(g.stop_gradient(use(data, wanted or data.dtype)))
        return _finish(copy, requires_grad)
    return _finish(stored(aligned(array_of(data, wanted))), requires_grad)


def asarray(data: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """``data`` as a tensor, without a copy where possible: do not change an array afterwards.

    A change of the tensor leaves the array as it is. ``copy=True`` copies in any case;
    ``copy=False`` raises OptionError where a copy is needed.

    >>> import chainrule as cr
    >>> cr.asarray([1, 2], dtype='float32')
    tensor([1., 2.])
    """
    check_device(device)
    wanted = None if dtype is None else dt.dtype_of(dtype)
    data = _of_tensors(data)
    if isinstance(data, Value):
        found = as_tensor(data)
        same = wanted is None or wanted == found.dtype
        _check_copy(copy, same)
        return found.clone() if copy and same else found if same else found.astype(wanted)
    array = array_of(data, wanted)
    shared = isinstance(data, np.ndarray) and np.may_share_memory(array, data)
    _check_copy(copy, shared)
    array = aligned(array) if copy and shared else array.view()
    array.setflags(write=False)
    return stored(array)


def _check_copy(copy: bool | None, is_shared: bool) -> None:
    if copy is False and not is_shared:
        raise OptionError(
            "asarray: copy=False, but this data or dtype needs a copy; leave copy out, or give an"
            " array of that dtype"
        )


def from_numpy(array: Any) -> Tensor:
    """``array`` as a tensor, not copied: do not change it afterwards.

    A change of the tensor leaves the array as it is (PyTorch's tensor shares its memory).

    >>> import chainrule as cr
    >>> import numpy as np
    >>> cr.from_numpy(np.array([1.0, 2.0]))
    tensor([1., 2.], dtype=float64)
    """
    return asarray(array)


def from_dlpack(x: Any, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of any object that has ``__dlpack__``, without a copy where possible.

    >>> import chainrule as cr
    >>> import numpy as np
    >>> cr.from_dlpack(np.array([1.0, 2.0]))
    tensor([1., 2.], dtype=float64)
    """
    check_device(device)
    return asarray(x if isinstance(x, Value) else np.from_dlpack(x), copy=copy)


def _filled(
    name: str, shape: Sequence[Any], value: Any, dtype: DType, requires_grad: bool
) -> Tensor:
    lengths = sizes(name, shape)
    if min(lengths, default=0) < 0:
        raise OptionError(f"{name}: lengths are not negative, got {lengths}")
    return _finish(make(g.expand(constant(value, dtype), lengths)), requires_grad)


def zeros(
    *lengths: Any,
    shape: Any = None,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """All elements 0, float32 by default.

    >>> import chainrule as cr
    >>> cr.zeros(2, 2)
    tensor([[0., 0.],
            [0., 0.]])
    """
    check_device(device)
    return _filled(
        "zeros", chosen("zeros", lengths, shape, "shape"), 0, _dtype(dtype), requires_grad
    )


def ones(
    *lengths: Any,
    shape: Any = None,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """All elements 1, float32 by default.

    >>> import chainrule as cr
    >>> cr.ones(2, 3)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    check_device(device)
    return _filled("ones", chosen("ones", lengths, shape, "shape"), 1, _dtype(dtype), requires_grad)


empty = zeros


def full(
    shape: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """All elements ``fill_value``, whose dtype is taken unless one is given.

    >>> import chainrule as cr
    >>> cr.full((2, 2), 7.0)
    tensor([[7., 7.],
            [7., 7.]])
    """
    check_device(device)
    if isinstance(fill_value, Value):
        value = as_tensor(fill_value)
        cast = use(value, _dtype(dtype, value.dtype))
        return _finish(make(g.expand(cast, sizes("full", (shape,)))), requires_grad)
    kind = as_tensor(fill_value).dtype
    lengths = [shape] if isinstance(shape, int) else shape
    return _filled("full", (lengths,), fill_value, _dtype(dtype, kind), requires_grad)


def zeros_like(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """All elements 0, with the shape (and dtype) of ``x``.

    >>> import chainrule as cr
    >>> cr.zeros_like(cr.tensor([4, 5]))
    tensor([0, 0])
    """
    check_device(device)
    t = as_tensor(x)
    return _filled("zeros_like", (t.shape,), 0, _dtype(dtype, t.dtype), False)


def ones_like(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """All elements 1, with the shape (and dtype) of ``x``.

    >>> import chainrule as cr
    >>> cr.ones_like(cr.tensor([4, 5]))
    tensor([1, 1])
    """
    check_device(device)
    t = as_tensor(x)
    return _filled("ones_like", (t.shape,), 1, _dtype(dtype, t.dtype), False)


def full_like(x: Any, fill_value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """All elements ``fill_value``, with the shape (and dtype) of ``x``.

    >>> import chainrule as cr
    >>> cr.full_like(cr.ones(2), 7)
    tensor([7., 7.])
    """
    check_device(device)
    t = as_tensor(x)
    return full(t.shape, fill_value, _dtype(dtype, t.dtype))


empty_like = zeros_like


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, … up to, not including, ``stop``; int64 of integers, else float32.

    >>> import chainrule as cr
    >>> cr.arange(3), cr.arange(0, 1, 0.25)
    (tensor([0, 1, 2]), tensor([0.  , 0.25, 0.5 , 0.75]))
    """
    check_device(device)
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise OptionError("arange: the step cannot be 0")
    whole = all(isinstance(i, int | np.integer) for i in (start, stop, step))
    kind = _dtype(dtype, dt.default_int if whole else dt.default_float)
    count = max(math.ceil((stop - start) / step), 0)
    if whole:
        count = len(range(int(start), int(stop), int(step)))
        line = _affine(count, dt.int64, int(start), int(step))
        return make(g.cast(line, kind))
    return make(g.cast(_affine(count, dt.float64, start, step), kind))


def _affine(count: int, dtype: DType, start: float, step: float) -> Node:
    line = g.iota((count,), 0, dtype)
    if step != 1:
        line = g.mul(line, g.full((count,), step, dtype))
    return line if start == 0 else g.add(line, g.full((count,), start, dtype))


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    steps: int | None = None,
    device: Any = None,
) -> Tensor:
    """``num`` numbers from ``start`` to ``stop``, evenly spaced.

    >>> import chainrule as cr
    >>> cr.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    check_device(device)
    count = num if steps is None else steps
    if count < 0:
        raise OptionError(f"linspace: num is not negative, got {count}")
    return asarray(np.linspace(start, stop, count, endpoint=endpoint), dtype=_dtype(dtype))


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = None, device: Any = None) -> Tensor:
    """1 on the k-th diagonal, 0 elsewhere; n rows, m columns (n by default).

    >>> import chainrule as cr
    >>> cr.eye(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    check_device(device)
    shape = (n, n if m is None else m)
    rows, columns = g.iota(shape, 0, dt.int64), g.iota(shape, 1, dt.int64)
    outside = max(*shape, 1)  # where a diagonal has no element any more
    on = g.eq(g.sub(columns, rows), g.full(shape, min(max(k, -outside), outside), dt.int64))
    return make(g.cast(on, _dtype(dtype)))


def meshgrid(*xs: Any, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids of 1-d tensors; "xy" (NumPy's default) or "ij".

    >>> import chainrule as cr
    >>> x, y = cr.meshgrid([1, 2, 3], [4, 5])
    >>> x, y
    (tensor([[1, 2, 3],
            [1, 2, 3]]), tensor([[4, 4, 4],
            [5, 5, 5]]))
    """
    if indexing not in ("xy", "ij"):
        raise OptionError(f'meshgrid: indexing is "xy" or "ij", got {indexing!r}')
    tensors = [as_tensor(x).reshape(-1) for x in xs]
    order = list(range(len(tensors)))
    if indexing == "xy" and len(tensors) > 1:
        order[0], order[1] = 1, 0
    shape = [0] * len(tensors)
    for t, place in zip(tensors, order, strict=True):
        shape[place] = t.shape[0]
    apart = [
        g.reshape(use(t), [t.shape[0] if i == place else 1 for i in range(len(shape))])
        for t, place in zip(tensors, order, strict=True)
    ]
    return [make(g.broadcast(n, shape), t) for n, t in zip(apart, tensors, strict=True)]
