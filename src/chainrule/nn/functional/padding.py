"""Elements around an array, in PyTorch's order: the last axis first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core import graph as g
from ...errors import DTypeError, OptionError, ShapeError
from ...tensor.ops import shape
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import check, choice, integer

MODES = ("constant", "reflect", "replicate", "circular")


def pad(
    input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """x with elements before and after its last axes.

    ``pad`` = (before, after) of the last axis, then of the one before it, and so on; less than 0
    cuts off.

    ``mode``: "constant" (``value``, 0 if None), "reflect", "replicate" or "circular". Cuts come
    first. Raises ShapeError where nothing is left, or reflect reaches farther than the axis.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.pad(cr.tensor([[1.0, 2.0, 3.0]]), (2, 1), "reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    >>> F.pad(cr.ones(1, 2), (1, -1, 0, 1), value=7.0)
    tensor([[7., 1.],
            [7., 7.]])
    """
    check("pad", {"mode": choice(*MODES)}, {"mode": mode})
    x = as_tensor(input)
    widths: list[Any] = list(pad) if isinstance(pad, list | tuple) else [pad]
    if not widths or len(widths) % 2 or not all(integer().holds(w) for w in widths):
        raise OptionError(
            "pad: pad must be (before, after) of the last axis, then of the one before, and so on;"
            f" got {pad!r}"
        )
    if len(widths) > 2 * x.ndim:
        raise ShapeError(f"pad: {len(widths)} numbers for a tensor of shape {x.shape}")
    if mode != "constant" and value is not None and value != 0:
        raise OptionError(f"pad: value={value!r} belongs to mode 'constant', not {mode!r}")
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2)
    pairs += [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]
    return around(x, pairs, mode, 0 if value is None else value)


def around(x: Tensor, pairs: Sequence[tuple[int, int]], mode: str, value: float) -> Tensor:
    """x with (before, after) elements at each axis; less than 0 cuts off."""
    node = use(x)
    starts = [max(-a, 0) for a, _ in pairs]
    stops = [n - max(-b, 0) for n, (_, b) in zip(node.shape, pairs, strict=True)]
    new = [n + a + b for n, (a, b) in zip(node.shape, pairs, strict=True)]
    if min(new, default=0) < 0 or any(a > b for a, b in zip(starts, stops, strict=True)):
        raise ShapeError(
            f"pad: {[p for p in pairs if p != (0, 0)]} cuts more than there is off a tensor of "
            f"shape {node.shape}"
        )
    cut = g.slice(node, starts, stops, [1] * node.ndim)
    low, high = [max(a, 0) for a, _ in pairs], [max(b, 0) for _, b in pairs]
    if mode == "constant":
        if node.dtype.kind in "iub" and value != node.dtype.type(value):
            raise DTypeError(f"pad: value {value!r} is no {node.dtype}; convert the input first")
        return make(g.pad(cut, low, high, value), x)
    for axis, n in enumerate(cut.shape):
        if mode == "circular" and max(low[axis], high[axis]) > n:
            raise ShapeError(
                f"pad: ({low[axis]}, {high[axis]}) goes round axis {axis} of length {n} more than "
                "once with mode 'circular'"
            )
    return shape.pad(make(cut, x), list(zip(low, high, strict=True)), mode=mode)
