"""Parameter: a tensor that a module trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import dtypes as dt
from ..errors import GradientError
from ..tensor.tensor import Tensor
from ..tensor.value import array_of


class Parameter(Tensor):
    """A tensor that is a module's parameter as soon as it is assigned to one of its attributes.

    ``data`` (array-like) is copied. Raises GradientError if it is no float and ``requires_grad``.

    >>> from chainrule import nn
    >>> p = nn.Parameter([1.0, 2.0])
    >>> p.requires_grad, p.is_leaf
    (True, True)
    """

    __slots__ = ("_waiting",)
    _waiting: tuple[Callable[[], object], ...]  # while it has no numbers: see `nn.uninitialized`

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        array = np.array(array_of(data), order="C")
        if requires_grad and not dt.is_float(array.dtype):
            raise GradientError(
                f"nn.Parameter: only float tensors have gradients, this one is {array.dtype}; "
                "convert it with .float(), or say requires_grad=False"
            )
        super().__init__(array, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that is a module's buffer as soon as it is assigned to one of its attributes.

    ``data`` is copied; ``persistent``: whether it is in the state dict.

    >>> from chainrule import nn
    >>> module = nn.Module()
    >>> module.count = nn.Buffer([0.0])
    >>> list(module.state_dict())
    ['count']
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any = (), *, persistent: bool = True) -> None:
        super().__init__(np.array(array_of(data), order="C"))
        self.persistent = persistent
