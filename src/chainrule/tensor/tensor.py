"""Tensor: operators and methods. Each is one line that calls the function of the same name."""

from __future__ import annotations

import math
import opcode
import sys
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.host.device import CPU, device
from ..core.node import Array
from ..errors import DTypeError, GradientError, OptionError, ShapeError
from ..habits import no_attribute
from ..runtime import realize as rt
from .interchange import Interchange
from .ops import bits, contract, create, elementwise, joining, shape
from .ops.indexing import index
from .settings import text_of
from .value import Value, as_tensor, make, use, view_of
from .view import Layout, Stop, contiguous, in_order

Operator = Callable[["Tensor", Any], "Tensor"]


def _operator(
    function: Callable[[Any, Any], Tensor], symbol: str
) -> tuple[Operator, Operator, Operator]:
    """The method, the reflected one (operand on the left), and the in-place one."""

    def is_operand(x: Any) -> bool:
        return isinstance(x, Value | np.ndarray | np.generic | bool | int | float | list | tuple)

    def forward(self: Tensor, other: Any) -> Any:
        return function(self, other) if is_operand(other) else NotImplemented

    def reflected(self: Tensor, other: Any) -> Any:
        return function(other, self) if is_operand(other) else NotImplemented

    def in_place(self: Tensor, other: Any) -> Any:
        return self._become(function(self, other), symbol) if is_operand(other) else NotImplemented

    return forward, reflected, in_place


_NAMES = {"reduce_max": "max", "reduce_min": "min"}


def _takes_two_apart(frame: Any) -> bool:
    """Whether the line that runs in ``frame`` is now at ``a, b = …``."""
    code, i = frame.f_code.co_code, frame.f_lasti
    return bool(code[i] == opcode.opmap.get("UNPACK_SEQUENCE") and code[i + 1] == 2)


class Tensor(Interchange):
    """An n-dimensional array of numbers of one dtype, with automatic differentiation.

    Operations build a graph at once and compute numbers when they are asked for. Names are NumPy's
    and the Array API's, and PyTorch's where it has another. Make one with `cr.tensor`: the class
    itself, called with a list, makes a float32 tensor, as in PyTorch.

    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x @ x).sum().backward()
    >>> x.grad
    tensor([[ 7., 11.],
            [ 9., 13.]])
    """

    __slots__ = ()
    __array_priority__ = 100

    def __init__(
        self, data: Any, dtype: Any = None, requires_grad: bool = False, name: str = ""
    ) -> None:
        if isinstance(data, int) and not isinstance(data, bool):
            raise OptionError(
                f"Tensor({data}) would be a tensor of shape ({data},) in PyTorch; write "
                f"cr.tensor({data}) for the number, cr.zeros({data}) for the shape"
            )
        wanted = None if dtype is None else dt.dtype_of(dtype)
        if wanted is None and isinstance(data, list | tuple):
            wanted = dt.default_float  # cr.tensor keeps integers
        made = create.tensor(data, wanted)
        self._array, self._node, self._grad = made._array, made._node, None
        self._serial, self._requires_grad = made._serial, False
        self._spent = self._weak = False
        self._view = self._shared = None
        self.name = name
        if requires_grad:
            self.requires_grad_()

    # -- numbers -----------------------------------------------------------------------------------
    def item(self) -> Any:
        """The only element, as a Python number."""
        array = self._read()
        if array.size != 1:
            raise ShapeError(
                f"item() needs a tensor with one element, this one has shape {self.shape}"
            )
        return array.item()

    def tolist(self) -> Any:
        """The numbers as nested lists."""
        return self._read().tolist()

    def __bool__(self) -> bool:
        array = self._read()
        if array.size != 1:
            raise ShapeError(
                f"the truth value of a tensor of shape {self.shape} is ambiguous; use .any() or "
                ".all()"
            )
        return bool(array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if not dt.is_integer(self.dtype) or self.shape != ():
            raise DTypeError(
                f"only an integer scalar is an index, this tensor is {self.dtype}{list(self.shape)}"
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a scalar tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a scalar tensor")
        largest = self._node is not None and _NAMES.get(self._node.op)
        if largest and _takes_two_apart(sys._getframe(1)):
            raise TypeError(
                f"x.{largest}(axis) is the values alone, as in NumPy, and not PyTorch's pair: "
                f"write values, indices = x.{largest}(dim=axis); to take its rows apart, .unbind()"
            )
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, item: Any) -> bool:
        return bool(elementwise.equal(self, item).any())

    def __repr__(self) -> str:
        extra = ", requires_grad=True" if self._requires_grad else ""
        if self._is_outside() or rt.purpose_of([self.node]) is not None:
            return f"tensor(shape={self.shape}, dtype={self.dtype}, no value yet{extra})"
        array = self._read()
        text = text_of(array, "tensor(")
        plain = self.dtype in (dt.default_float, dt.default_int, dt.bool_) and array.size > 0
        shown = (
            ""
            if plain
            else f", dtype={self.dtype}" + (f", shape={self.shape}" if array.size == 0 else "")
        )
        return f"tensor({text}{shown}{extra})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.shape == () else format(repr(self), spec)

    def __reduce__(self) -> Any:
        return _restore, (type(self), self._copied(), self._requires_grad, self.name)

    def __copy__(self) -> Tensor:
        return make(self.node, self)

    def __deepcopy__(self, memo: Any) -> Tensor:
        copy = _restore(type(self), self._copied(), self._requires_grad, self.name)
        memo[id(self)] = copy
        return copy

    # -- kinds and copies --------------------------------------------------------------------------
    def to(self, *args: Any, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
        """Converted to a dtype (or to that of another tensor); "cpu" does nothing."""
        wanted = create.dtype_asked_for(args, dtype, device)
        return self if wanted is None else self.astype(wanted)

    def astype(self, dtype: Any) -> Tensor:
        """Converted to ``dtype``; floats outside an integer type's range are clamped to it."""
        wanted = dt.dtype_of(dtype)
        return self if wanted == self.dtype else make(use(self, wanted), self)

    type = astype

    def float(self) -> Tensor:
        """Converted to float32."""
        return self.astype(dt.float32)

    def double(self) -> Tensor:
        """Converted to float64."""
        return self.astype(dt.float64)

    def int(self) -> Tensor:
        """Converted to int32."""
        return self.astype(dt.int32)

    def long(self) -> Tensor:
        """Converted to int64."""
        return self.astype(dt.int64)

    def bool(self) -> Tensor:
        """Whether each element is not zero."""
        return self.astype(dt.bool_)

    def cpu(self) -> Self:
        """The tensor itself."""
        return self

    def contiguous(self) -> Tensor:
        """The tensor itself; a copy if it is a view whose elements do not lie in their order."""
        if self._view is None or in_order(*self._view.layout()):
            return self
        return self.clone()

    def _layout(self) -> Layout:
        """Shape and strides, in elements."""
        return (self.shape, contiguous(self.shape)) if self._view is None else self._view.layout()

    def is_contiguous(self) -> Any:
        """Whether the elements lie in their order (see `contiguous`)."""
        return in_order(*self._layout())

    def stride(self, dim: Any = None) -> Any:
        """How many elements lie from one to the next along each axis, or along ``dim``."""
        return self._layout()[1] if dim is None else self._layout()[1][dim]

    def clone(self) -> Tensor:
        """A tensor of its own with the same value; gradients flow through."""
        return make(g.copy(use(self)), self)

    copy = clone

    def detach(self) -> Tensor:
        """The same elements, without gradient: a view, so to change it is to change the tensor."""
        return view_of(self, Stop(bypass=True))

    def detach_(self) -> Self:
        """Becomes a constant to every gradient. A view cannot: its elements are another's."""
        if self._view is not None:
            raise GradientError("detach_: this tensor is a view; write y = x.detach()")
        if self._requires_grad and self.is_leaf:
            return self.requires_grad_(False)
        return self._become(make(g.stop_gradient(self.node)), "detach_")

    @property
    def data(self) -> Tensor:
        """The same elements, without gradient (see `detach`); setting it assigns (see `assign`)."""
        return self.detach()

    @data.setter
    def data(self, new: Any) -> None:
        if isinstance(new, Value) and new._view is not None:
            if new.node is g.stop_gradient(self.node):  # x.data += 1 has changed x already
                return
        self.assign(new)

    def size(self, dim: Any = None) -> Any:
        """The shape, or the length of axis ``dim``."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> Any:
        """The number of elements."""
        return math.prod(self.shape)

    def dim(self) -> Any:
        """The number of axes."""
        return self.ndim

    @property
    def nbytes(self) -> Any:
        """The size of the numbers in bytes."""
        return self.numel() * self.dtype.itemsize

    nelement = numel
    ndimension = dim

    def element_size(self) -> Any:
        """The size of an element in bytes."""
        return self.dtype.itemsize

    @property
    def device(self) -> device:
        """Always ``cr.device("cpu")``, which equals "cpu"."""
        return CPU

    @property
    def is_cuda(self) -> Any:
        """False."""
        return False

    def is_floating_point(self) -> Any:
        """Whether the dtype is a float."""
        return dt.is_float(self.dtype)

    def type_as(self, other: Any) -> Tensor:
        """Converted to the dtype of ``other``."""
        return self.astype(other.dtype)

    # -- new tensors of this dtype -----------------------------------------------------------------
    def new_tensor(self, data: Any, dtype: Any = None, requires_grad: Any = False) -> Tensor:
        """``data`` as a tensor of this dtype."""
        return create.tensor(data, dtype or self.dtype, requires_grad)

    def new_zeros(self, *lengths: Any, dtype: Any = None, **options: Any) -> Tensor:
        """Zeros of this dtype."""
        return create.zeros(*lengths, dtype=dtype or self.dtype, **options)

    def new_ones(self, *lengths: Any, dtype: Any = None, **options: Any) -> Tensor:
        """Ones of this dtype."""
        return create.ones(*lengths, dtype=dtype or self.dtype, **options)

    def new_full(self, size: Any, value: Any, dtype: Any = None, **options: Any) -> Tensor:
        """``value`` in this dtype, in the shape ``size``."""
        return create.full(size, value, dtype=dtype or self.dtype, **options)

    new_empty = new_zeros

    # -- with a factor, as PyTorch's optimizers are written ----------------------------------------
    def add(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self + alpha · other."""
        return elementwise.add(self, other if alpha == 1 else elementwise.multiply(other, alpha))

    def sub(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self - alpha · other."""
        scaled = other if alpha == 1 else elementwise.multiply(other, alpha)
        return elementwise.subtract(self, scaled)

    subtract = sub

    def addcmul(self, a: Any, b: Any, *, value: Any = 1) -> Tensor:
        """self + value · a · b."""
        return self.add(elementwise.multiply(a, b), alpha=value)

    def addcdiv(self, a: Any, b: Any, *, value: Any = 1) -> Tensor:
        """self + value · a / b."""
        return self.add(elementwise.divide(a, b), alpha=value)

    # -- shape with PyTorch's argument habits ------------------------------------------------------
    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return shape.transpose(self)

    @property
    def mT(self) -> Tensor:
        """The last two axes change places."""
        return shape.matrix_transpose(self)

    def view(self, *lengths: Any) -> Tensor:
        """The same elements in another shape (see `cr.reshape`), always as a view."""
        return shape.view(self, *lengths)

    def view_as(self, other: Any) -> Tensor:
        """In the shape of ``other``, as a view."""
        return shape.view(self, other.shape)

    def expand_as(self, other: Any) -> Tensor:
        """Broadcast to the shape of ``other``."""
        return shape.broadcast_to(self, other.shape)

    def repeat(self, *repeats: Any, axis: Any = None) -> Tensor:
        """PyTorch's ``repeat``: as `tile`, one count per axis. With ``axis=``, `cr.repeat`."""
        if axis is not None:
            return joining.repeat(self, repeats[0] if len(repeats) == 1 else repeats, axis)
        counts = shape.sizes("repeat", repeats)
        if len(counts) < self.ndim or (len(counts) == 1 and self.ndim == 1):
            raise OptionError(
                "x.repeat is tile in PyTorch and repeats each element in NumPy: write x.tile(...),"
                " x.repeat_interleave(n, axis) or x.repeat(n, axis=...)"
            )
        return joining.tile(self, counts)

    def split(self, split_size: Any, dim: Any = 0) -> list[Tensor]:
        """Parts of the given length (or lengths) along ``dim``, as in PyTorch."""
        return joining.split(self, split_size, dim=dim)

    def narrow(self, dim: Any, start: Any, length: Any) -> Tensor:
        """x[start:start + length] along ``dim``, a view."""
        return joining.narrow(self, dim, start, length)

    def select(self, dim: Any, index: Any) -> Tensor:
        """x[index] along ``dim``, a view."""
        return self.moveaxis(dim, 0)[index]

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """``value`` where ``mask`` holds, otherwise the tensor."""
        return elementwise.select(mask, as_tensor(value, self.dtype).to(self.dtype), self)

    def where(self, condition: Any, other: Any) -> Tensor:
        """The tensor where ``condition`` holds, otherwise ``other``."""
        return elementwise.select(condition, self, other)

    # -- items -------------------------------------------------------------------------------------
    def __getitem__(self, key: Any) -> Tensor:
        return index.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, Value) and value._view is not None and index.is_item(self, key, value):
            return  # x[key] += 1 has changed the view x[key], and so x
        self._become(index.setitem(self, key, value), "x[...] =")

    def __getattr__(self, name: str) -> Any:
        """In-place methods (``add_``, ``clamp_``, …): the tensor becomes the method's result."""
        if name.endswith("_") and not name.startswith("_"):
            method = getattr(type(self), name[:-1], None)
            if callable(method):

                def in_place(*args: Any, **options: Any) -> Tensor:
                    return self._become(method(self, *args, **options), name)

                return in_place
        raise no_attribute("a Tensor", "Tensor", name)

    def zero_(self) -> Self:
        """All elements become 0."""
        return self._become(create.zeros_like(self), "zero_")

    def fill_(self, value: Any) -> Self:
        """All elements become ``value``."""
        return self._become(create.full_like(self, value), "fill_")

    def copy_(self, other: Any) -> Self:
        """Becomes ``other``, broadcast and converted."""
        source = as_tensor(other, self.dtype).to(self.dtype)
        return self._become(shape.broadcast_to(source, self.shape), "copy_")

    def normal_(self, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> Self:
        """Becomes random numbers of the normal distribution."""
        drawn = self.draws["normal"](mean, std, self.shape, self.dtype, generator)
        return self._become(drawn, "normal_")

    def uniform_(self, low: Any = 0.0, high: Any = 1.0, *, generator: Any = None) -> Self:
        """Becomes random numbers, uniform in [low, high)."""
        drawn = self.draws["uniform"](low, high, self.shape, self.dtype, generator)
        return self._become(drawn, "uniform_")

    # -- operators ---------------------------------------------------------------------------------
    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return elementwise.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return elementwise.absolute(self)

    def __invert__(self) -> Tensor:
        return bits.bitwise_invert(self)

    def __round__(self, ndigits: Any = None) -> Tensor:
        return elementwise.round(self, ndigits or 0)

    # -- operators with two operands ----------------------------------------
    __add__, __radd__, __iadd__ = _operator(elementwise.add, "+")
    __sub__, __rsub__, __isub__ = _operator(elementwise.subtract, "-")
    __mul__, __rmul__, __imul__ = _operator(elementwise.multiply, "*")
    __truediv__, __rtruediv__, __itruediv__ = _operator(elementwise.divide, "/")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operator(elementwise.floor_divide, "//")
    __mod__, __rmod__, __imod__ = _operator(elementwise.remainder, "%")
    __pow__, __rpow__, __ipow__ = _operator(elementwise.power, "**")
    __matmul__, __rmatmul__, __imatmul__ = _operator(contract.matmul, "@")
    __and__, __rand__, __iand__ = _operator(bits.bitwise_and, "&")
    __or__, __ror__, __ior__ = _operator(bits.bitwise_or, "|")
    __xor__, __rxor__, __ixor__ = _operator(bits.bitwise_xor, "^")
    __lshift__, __rlshift__, __ilshift__ = _operator(bits.bitwise_left_shift, "<<")
    __rshift__, __rrshift__, __irshift__ = _operator(bits.bitwise_right_shift, ">>")
    __eq__ = _operator(elementwise.equal, "==")[0]  # type: ignore[assignment]
    __ne__ = _operator(elementwise.not_equal, "!=")[0]  # type: ignore[assignment]
    __lt__ = _operator(elementwise.less, "<")[0]
    __le__ = _operator(elementwise.less_equal, "<=")[0]
    __gt__ = _operator(elementwise.greater, ">")[0]
    __ge__ = _operator(elementwise.greater_equal, ">=")[0]


def _restore(kind: Any, array: Array, requires_grad: bool, name: str) -> Tensor:
    tensor: Tensor = object.__new__(kind)
    Tensor.__init__(tensor, array, requires_grad=requires_grad, name=name)
    return tensor


Value.kind = Tensor
