"""Tensors for other libraries: NumPy's protocols, DLPack, the Array API's namespace."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ..core.node import Array
from ..errors import OptionError
from .methods import Methods
from .ops import bits, contract, create, elementwise
from .value import Tensor

_SAME = """
    add subtract multiply divide floor_divide remainder power maximum minimum logaddexp equal
    not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not exp expm1 log log1p log2 log10 exp2 arcsin arccos arctan arctan2 arcsinh arccosh
    arctanh hypot copysign nextafter signbit positive sqrt reciprocal sin cos tan sinh cosh tanh
    negative absolute sign square floor ceil trunc isnan isinf isfinite
"""
UFUNCS: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(elementwise, name) for name in _SAME.split()},
    "matmul": contract.matmul,
    "bitwise_and": bits.bitwise_and,
    "bitwise_or": bits.bitwise_or,
    "bitwise_xor": bits.bitwise_xor,
    "invert": bits.bitwise_invert,
    "left_shift": bits.bitwise_left_shift,
    "right_shift": bits.bitwise_right_shift,
    "rint": elementwise.round,
    "fabs": elementwise.absolute,
}


class Interchange(Methods):
    """What NumPy and others ask of an array."""

    __slots__ = ()

    def numpy(self) -> Array:
        """The numbers as a NumPy array in the same memory: who writes to it changes the tensor.

        It is a copy, and read-only, where a write could not reach the tensor: if that was computed
        from tensors that require a gradient, is broadcast, or is an entry of a state dict. An array
        of your own is ``x.numpy().copy()`` or ``np.array(x)``.

        >>> import chainrule as cr
        >>> x = cr.zeros(3)
        >>> x.numpy()[0] = 5
        >>> x
        tensor([5., 0., 0.])
        """
        shared = self._share()
        if shared is None:
            shared = self._copied()
            shared.setflags(write=False)
        return shared

    def _copied(self) -> Array:
        """The numbers as an array of their own."""
        return np.array(self._read(), dtype=self.dtype, order="C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._read()
        if copy is False:
            if dtype is not None and np.dtype(dtype) != array.dtype:
                raise ValueError(
                    f"np.asarray(tensor, {dtype}, copy=False) of {array.dtype} needs a copy"
                )
            view = array.view()
            view.setflags(write=False)
            return view
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            return np.array(array, dtype=dtype or self.dtype)
        return self.numpy()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        function = UFUNCS.get(ufunc.__name__)
        if method != "__call__" or options or function is None:
            raise TypeError(
                f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method} does not take "
                "a tensor; convert it with .numpy(), or use the function of chainrule"
            )
        return function(*inputs)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        given: dict[str, Any] = {
            "max_version": max_version,
            "dl_device": dl_device,
            "copy": copy,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        return self.numpy().__dlpack__(stream=stream, **asked)

    def __dlpack_device__(self) -> Any:
        return (1, 0)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module `chainrule`, which has the functions of the Array API standard."""
        module = importlib.import_module(__name__.split(".", 1)[0])
        if api_version not in (None, module.__array_api_version__):
            raise OptionError(
                f"__array_namespace__: version {module.__array_api_version__} of the standard is"
                f" there, got {api_version!r}"
            )
        return module

    def to_device(self, device: Any, /, *, stream: Any = None) -> Self:
        """The tensor itself: there is the CPU only."""
        create.check_device(device)
        return self
