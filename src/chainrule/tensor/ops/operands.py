"""Operands of elementwise functions: broadcasting, promotion, and what Python numbers become.

Shapes broadcast as in NumPy. Integer and bool arrays meet float arrays at the float dtype, Python
numbers never widen, and float functions take integers as float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.node import Node, Shape
from ...errors import ShapeError
from ..value import Tensor, Value, as_tensor, constant, make, use

__all__ = ["broadcast_shapes"]  # what `chainrule` offers


def broadcast_shapes(*shapes: Shape | int, name: str = "broadcast_shapes") -> Shape:
    """The common shape, by NumPy's rule: axes are matched from the last on, and are equal or 1.

    Raises ShapeError, on behalf of ``name``, with all shapes and the axis that differs.

    >>> import chainrule as cr
    >>> cr.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    result: list[int] = []
    for axis in range(1, max((len(s) for s in given), default=0) + 1):
        lengths = {s[-axis] for s in given if len(s) >= axis} - {1}
        if len(lengths) > 1:
            shown = " and ".join(str(s) for s in given)
            a, b = sorted(lengths)[:2]
            raise ShapeError(
                f"{name}: shapes {shown} do not broadcast: axis -{axis} has lengths {a} and {b}"
                " (they must be equal, or one of them 1)"
            )
        result.append(lengths.pop() if lengths else 1)
    return tuple(reversed(result))


def is_number(x: Any) -> bool:
    """A Python or NumPy scalar, or a tensor made of one: it takes the other operand's dtype."""
    if isinstance(x, Value):
        return x._weak
    return isinstance(x, bool | int | float | np.generic) and not isinstance(
        x, complex | np.complexfloating
    )


def common(name: str, *operands: Any) -> tuple[list[Node], list[Value]]:
    """The operands as nodes of one shape and one dtype, and as tensors."""
    weak = all(map(is_number, operands)) and any(isinstance(x, Value) for x in operands)
    # arithmetic of Python floats is float64
    nodes, used = of_one_dtype(*operands, dtype=dt.float64 if weak else None)
    shape = broadcast_shapes(*(n.shape for n in nodes), name=name)
    return [g.expand(n, shape) for n in nodes], used


def of_one_dtype(*operands: Any, dtype: DType | None = None) -> tuple[list[Node], list[Value]]:
    """The operands as nodes of one dtype, and as tensors. Numbers take the dtype of the others."""
    numbers = [is_number(x) for x in operands]
    used = [x if n else as_tensor(x) for n, x in zip(numbers, operands, strict=True)]
    if dtype is None:
        dtypes = [t.dtype for n, t in zip(numbers, used, strict=True) if not n]
        dtype = dt.promote(*dtypes) if dtypes else None
        for x, n in zip(operands, numbers, strict=True):
            if n:
                dtype = _with_number(x, dtype)
    assert dtype is not None
    return [operand(x, dtype) for x in used], [u for u in used if isinstance(u, Value)]


def _with_number(x: Any, dtype: DType | None) -> DType:
    number = 1.0 if isinstance(x, Value) else x.item() if isinstance(x, np.generic) else x
    if isinstance(number, bool):
        return dtype or dt.bool_
    return dt.weak(number, dtype or dt.bool_)


def operand(x: Any, dtype: DType) -> Node:
    """A tensor or a number as a node of a dtype."""
    if isinstance(x, Value):
        return use(x, dtype)
    return constant(x.item() if isinstance(x, np.generic) else x, dtype)


def finish(node: Node, operands: Sequence[Any], tensors: Sequence[Value]) -> Tensor:
    """The result's tensor; what is made of Python numbers only is a Python number again."""
    result = make(node, *tensors)
    if node.dtype == dt.float64 and node.shape == () and all(is_number(x) for x in operands):
        result._weak = any(isinstance(x, Value) for x in operands)
    return result


def float_node(x: Any) -> tuple[Node, Tensor]:
    """The operand as a float node (integers and bools become float32)."""
    tensor = as_tensor(x)
    node = use(tensor)
    if not dt.is_float(node.dtype):
        node = g.cast(node, dt.default_float)
    return node, tensor
