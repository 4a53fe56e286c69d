"""Parameters and buffers whose shape is not known yet: those of `nn.LazyLinear` and its kin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

import numpy as np

from ..core import dtypes as dt
from ..core.host.memory import aligned
from ..errors import ShapeError
from ..tensor.capture import outside
from ..tensor.tensor import Tensor
from ..tensor.value import array_of
from .parameter import Parameter


def _unknown(self: Any, *_: Any) -> NoReturn:
    raise ShapeError(
        f"this {self.what} has no shape yet, for no input has been through its layer: call the "
        "model with a batch first, as in model(x[:1])"
    )


class Uninitialized(Tensor):
    """A tensor without shape and numbers; `materialize` makes it one of class ``becomes``."""

    __slots__ = ()
    becomes: ClassVar[type[Tensor]]
    what: ClassVar[str]

    shape = property(_unknown)
    node = property(_unknown)
    _exact_node = property(_unknown)
    _read = _unknown
    _storage_for_update = _unknown

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        with outside():
            empty = np.empty(0, dt.dtype_of(dtype or dt.default_float))
            Tensor.__init__(self, empty, requires_grad=requires_grad)

    def materialize(self, data: Any) -> None:
        """Take shape and numbers of ``data`` (array-like), in the dtype that this has."""
        self._array = aligned(array_of(data).astype(self.dtype))
        self.__class__ = self.becomes  # type: ignore[assignment]

    def convert(self, dtype: dt.DType) -> None:
        """Have another dtype."""
        self._array = np.empty(0, dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> Any:
        return type(self), (self._requires_grad, None, self.dtype.name)

    def __deepcopy__(self, memo: Any) -> Any:
        copied = memo[id(self)] = type(self)(self._requires_grad, None, self.dtype)
        return copied


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter whose shape follows from the first input of its layer.

    That of a `LazyLinear` will be (out_features, in_features). To ask for shape or numbers before
    raises ShapeError. An optimizer may have it; its state is made with the numbers.

    >>> from chainrule import nn
    >>> nn.LazyLinear(3).weight
    <UninitializedParameter>
    """

    __slots__ = ()
    becomes = Parameter
    what = "parameter"

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(requires_grad, device, dtype)
        self._waiting = ()

    def when_materialized(self, function: Callable[[], object]) -> None:
        """Call ``function`` as soon as the parameter has numbers."""
        self._waiting = (*self._waiting, function)

    def __deepcopy__(self, memo: Any) -> Any:
        copied = super().__deepcopy__(memo)
        copied._waiting = copy.deepcopy(self._waiting, memo)
        return copied

    def materialize(self, data: Any) -> None:
        """Take shape and numbers of ``data`` (array-like), in the dtype that this has."""
        waiting, self._waiting = self._waiting, ()
        super().materialize(data)
        for function in waiting:
            function()


class UninitializedBuffer(Uninitialized):
    """A buffer whose shape follows from the first input of its layer, as (num_features,).

    >>> from chainrule import nn
    >>> nn.LazyBatchNorm1d().running_mean
    <UninitializedBuffer>
    """

    __slots__ = ()
    becomes = Tensor
    what = "buffer"

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        super().__init__(False, device, dtype)
