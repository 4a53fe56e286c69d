"""Value: what a Tensor is, without operators and methods: a buffer of numbers, or a node."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from ..core import dtypes as dt
from ..core import graph as g
from ..core.dtypes import DType
from ..core.host.memory import aligned
from ..core.host.plain import listed_numbers, plain_numbers, refuse_kind
from ..core.node import Array, Node, Shape
from ..errors import CompileError, DTypeError, GradientError, OptionError, ShapeError
from ..runtime import realize as rt
from .capture import Capture, active, user_line
from .changes import changed
from .view import Step, Stop, View

if TYPE_CHECKING:  # what is made of the functions below it has all of them as methods
    from .tensor import Tensor as Tensor

_owners: WeakKeyDictionary[Node, weakref.ref[Value]] = WeakKeyDictionary()
"""Leaf nodes of tensors that require a gradient."""
_held: WeakValueDictionary[int, Value] = WeakValueDictionary()
"""By node id: a tensor that holds the node, so its value is worth remembering."""


class Value:
    """A tensor's state. Either ``_array`` is its storage (then ``_node`` is that leaf's node, made
    when first needed), or ``_array`` is None and ``_node`` is an expression; of a view, the one it
    was when last looked at.

    A writeable ``_array`` belongs to this tensor alone: a program may update it in place, and
    `numpy` lets the user write to it.
    """

    __slots__ = (
        "__weakref__",
        "_array",
        "_grad",
        "_node",
        "_requires_grad",
        "_serial",
        "_shared",
        "_spent",
        "_view",
        "_weak",
        "name",
    )

    kind: ClassVar[type[Tensor]]  # set where Tensor is defined
    draws: ClassVar[dict[str, Any]]  # random numbers by distribution, set where those are defined

    _array: Array | None
    _node: Node | None
    _grad: Tensor | None
    _requires_grad: bool
    _serial: int  # of the capture it was made in; 0: outside
    _shared: weakref.ref[Array] | None  # what `numpy` gave away: the user may write to the storage
    _spent: bool  # backward() has been called
    _view: View | None  # the tensor whose elements these are; None: it has elements of its own
    _weak: bool  # stands for a Python float: never widens other operands
    name: str

    # -- what it is --------------------------------------------------------------------------------
    @property
    def shape(self) -> Shape:
        """The length of each axis."""
        return self._array.shape if self._array is not None else self._node.shape  # type: ignore[union-attr]

    @property
    def dtype(self) -> DType:
        """The data type, a NumPy dtype."""
        found = self._array.dtype if self._array is not None else self._node.dtype  # type: ignore[union-attr]
        return dt.default_float if self._weak else found

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def node(self) -> Node:
        """The node of this tensor, as the code that runs now may use it."""
        if self._view is not None:
            return self._node_of_view(self._view)
        return g.cast(self._exact_node, dt.default_float) if self._weak else self._exact_node

    @property
    def _exact_node(self) -> Node:
        """`node`; of what stands for a Python float, in float64."""
        if self._view is not None:
            return self._node_of_view(self._view)
        capture = active.capture
        if capture is not None and self._serial != capture.serial:
            return capture.slot(self).current
        if self._node is None:
            assert self._array is not None
            if self._is_shared():  # the user may change the storage: this node means what it is now
                return self._own_leaf(aligned(self._array))
            self._node = self._own_leaf(self._array)
        return self._node

    def _own_leaf(self, array: Array) -> Node:
        node = rt.leaf(array, self.name)
        if self._requires_grad:
            _owners[node] = weakref.ref(self)
        return node

    def _node_of_view(self, view: View) -> Node:
        root = view.root.node
        seen = view.seen
        if seen is not None and seen[0] == root.id:
            return seen[1]
        node = root
        for step in view.steps:
            node = step.node(node)
        if view.tape is not None:
            node = g.custom_vjp(node, [view.tape], _passed_on)
        view.seen = root.id, node
        self._node = node
        self._requires_grad = view.tape is not None or (view.root._requires_grad and not view.stops)
        if active.capture is None:
            _held[node.id] = self
        return node

    def _is_outside(self) -> bool:
        return active.capture is not None and self._serial != active.capture.serial

    # -- numbers -----------------------------------------------------------------------------------
    def _read(self) -> Array:
        """The numbers (not to be written to), computed now if they were not."""
        if active.capture is not None:
            self._forbid_in_capture(active.capture)
        elif self._array is not None:
            return self._array
        elif self._view is not None:
            self._view.root._read()  # whose graph is not needed any more
        node = self.node
        if node not in rt.values:
            rt.require_value([node], no_value_message)
            rt.realize([node], is_held)
        array = rt.values[node]
        settled = self._array is not None or self._requires_grad or array.flags.writeable
        if not (settled or self._view is not None) and active.capture is None:
            self._array, self._node = array, None  # the graph behind it is not needed any more
        return array

    def _forbid_in_capture(self, capture: Capture) -> None:
        if (self._is_outside() and self._view is None) or rt.purpose_of([self.node]) is not None:
            raise CompileError(no_value_message(capture.name))

    def _storage(self) -> Array:
        """The array of a tensor that programs read: C-contiguous."""
        array = self._array if self._array is not None else self._read()
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
            array.setflags(write=False)
            if self._array is not None:
                self._array, self._node = array, None
        return array

    def _storage_for_update(self) -> Array:
        """The array a program may update in place. Expressions that use the old value keep it."""
        if self._view is not None:
            self._separate()
        array = self._array
        if array is None:
            array = self._read()
        node, self._node = self._node, None
        if not (array.flags.writeable and array.flags.c_contiguous):
            array = aligned(array)
        elif node is not None:
            reference = weakref.ref(node)
            del node
            old = reference()
            if old is not None:
                kept = array.copy()
                kept.setflags(write=False)
                rt.values[old] = kept
        self._array = array
        return array

    # -- views -------------------------------------------------------------------------------------
    @property
    def root(self) -> Value:
        """The tensor that has the elements: itself, or what it is a view of."""
        found: Value = self
        while found._view is not None:
            found = found._view.root
        return found

    def _separate(self) -> None:
        """A view becomes a tensor with elements of its own."""
        if self._view is not None:
            self._node, self._view = self.node, None
            self._serial = active.capture.serial if active.capture is not None else 0

    def _is_shared(self) -> bool:
        """Whether the user holds an array that is this tensor's storage."""
        if self._shared is not None and self._shared() is None:
            self._shared = None
        return self._shared is not None

    def _share(self) -> Array | None:
        """An array that is this tensor's storage, to read and to write; None if it cannot be had.

        As long as the user holds it, nodes of this tensor stand for a copy of what it was when they
        were made, and changes of the tensor are written into the storage.
        """
        view = self._view
        if view is not None:
            root = None if view.refuses or view.tape is not None else view.root._share()
            return None if root is None else view.array(root)
        if active.capture is not None or self._weak:
            return None
        if self._requires_grad and self._array is None:  # it was computed, or is a tracer
            return None
        array = self._shared() if self._shared is not None else None
        if array is None:
            # Its base is no array: so views of it keep this very array alive, not the storage only.
            array = np.asarray(self._storage_for_update().data)
            self._shared = weakref.ref(array)
        shared: Array = array[...]
        return shared

    def _write(self, view: View, new: Value, what: str) -> Self:
        """In-place change of a view: of the elements of its root."""
        root = view.root
        if view.refuses:
            raise OptionError(f"{what} in place: {view.refuses}")
        if view.bypasses:
            value = make(view.put(g.stop_gradient(new.node)), requires_grad=False)
            if root._requires_grad:
                root._unnoticed(value)
            else:
                root._become(value, what)
            if active.grad_enabled:
                view.tape, view.seen = new.node if new._requires_grad else None, None
            return self
        if view.stops and active.grad_enabled and (new._requires_grad or root._requires_grad):
            raise GradientError(
                f"{what} in place on a view without gradient, which changes the tensor behind it; "
                f"{_instead(what)}"
            )
        requires_grad = active.grad_enabled and (root._requires_grad or new._requires_grad)
        root._become(make(view.put(use(new)), requires_grad=requires_grad), what)
        return self

    def _changes_inside(self) -> None:
        """Note that a function that runs on tracers changes this tensor."""
        if active.changed is not None:
            active.changed.append(self)

    def _without_tracers(self, replace: Callable[[Sequence[Node]], Sequence[Node]]) -> None:
        """The function that changed this tensor is over: ``replace`` puts arguments for tracers."""
        capture = active.capture
        if capture is not None and self._is_outside():
            slot = capture.slots[id(self)]
            if slot.current in capture.cuts:
                [capture.cuts[slot.current]] = replace([capture.cuts[slot.current]])
            else:
                [slot.current] = replace([slot.current])
        elif self._array is None and self._node is not None and self._view is None:
            [self._node] = replace([self._node])
            _held[self._node.id] = self

    def _forbid_mapped(self, new: Value, what: str) -> None:
        """A tensor from outside a mapped function does not become one value for each example."""
        if rt.waits_for(new.node, rt.MAPPED) and not rt.waits_for(self.node, rt.MAPPED):
            how = what if what == "assign" else f"{what} in place"
            raise CompileError(
                f"{user_line()} ({how}) gives a tensor from outside a value that differs "
                "between the examples of cr.vmap; return the value from the function"
            )

    def _unnoticed(self, new: Value) -> Self:
        """Becomes ``new``, and back-propagation does not see it."""
        if self.is_leaf or self._is_outside():
            return self.assign(new)
        self._node = g.custom_vjp(new.node, [self.node], _passed_on)
        _held[self._node.id] = self
        return self

    # -- state -------------------------------------------------------------------------------------
    def assign(self, new: Any) -> Self:
        """Give this tensor a new value (same shape and dtype); expressions made before keep the old
        one.

        No gradient flows through an assignment. In compiled functions it updates state.
        """
        value = as_tensor(new, self.dtype)
        if value.shape != self.shape:
            raise ShapeError(
                f"assign: this tensor has shape {self.shape}, the new value {value.shape}"
            )
        if value.dtype != self.dtype:
            if dt.is_float(value.dtype) and not dt.is_float(self.dtype):
                raise DTypeError(
                    f"assign: this tensor is {self.dtype}, the new value {value.dtype}; convert it "
                    "with .to()"
                )
        if value._weak or value.dtype != self.dtype:
            value = make(use(value, self.dtype))
        if self._view is not None:
            if self._view.refuses:
                raise OptionError(f"assign: {self._view.refuses}")
            self._view.root.assign(make(self._view.put(value.node)))
            return self
        if active.transforms:
            self._changes_inside()
            self._forbid_mapped(value, "assign")
            if active.capture is None and rt.waits_for(value.node, rt.MAPPED):
                self._node = value.node  # an argument of a mapped function: see `cr.vmap`
                return self
        if active.capture is not None:
            node = value.node
            if self._is_outside():
                active.capture.assign(self, node)
            else:
                self._node = active.capture.cut(node, self) if self._requires_grad else node
            return self
        array = value._read()
        if self._is_shared():
            np.copyto(self._storage_for_update(), array)
            return self
        if array.flags.writeable or value._array is None:
            array = aligned(array)
        self._array, self._node = array, None
        return self

    def _put(self, numbers: Any) -> None:
        """`assign` plain numbers of this shape, where possible in place: programs that are bound to
        the array stay so."""
        if active.capture is not None or active.transforms:
            self.assign(stored(np.array(numbers, self.dtype)))
        else:
            self._storage_for_update()[...] = numbers

    def _become(self, new: Value, what: str) -> Self:
        """In-place change ``what``: this tensor object now means ``new``."""
        if new.shape != self.shape:
            raise ShapeError(
                f"{what} in place: the tensor has shape {self.shape}, the result {new.shape}"
            )
        if new.dtype != self.dtype:
            raise DTypeError(
                f"{what} in place: the tensor is {self.dtype}, the result {new.dtype}; "
                f"{_instead(what)}"
            )
        if active.transforms:
            self._changes_inside()
            self._forbid_mapped(new, what)
        if self._view is not None:
            return self._write(self._view, new, what)
        if self._requires_grad and self.is_leaf:
            if active.grad_enabled:
                raise GradientError(
                    f"{what} in place on a tensor that requires a gradient: the gradient would be "
                    f"of the old value; put it under `with cr.no_grad():`, or {_instead(what)}"
                )
            return self.assign(new)
        if self._is_outside():
            return self.assign(new)
        if self._requires_grad and not active.grad_enabled:
            return self._unnoticed(new)
        if self._is_shared():
            if new._requires_grad:
                raise GradientError(
                    f"{what} in place with a result that requires a gradient, on a tensor whose "
                    f".numpy() array is in use: it would no longer share it; {_instead(what)}"
                )
            return self.assign(new)
        if self._requires_grad != new.requires_grad:
            self._requires_grad = new.requires_grad
            changed()
        made = new._weak or new._array is None
        self._array, self._node = new._array, new.node if made else new._node
        if self._array is not None and self._array.flags.writeable:
            self._array, self._node = None, new.node
        if self._node is not None:
            _held[self._node.id] = self
        return self

    # -- gradients ---------------------------------------------------------------------------------
    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not computed from tensors that require a gradient."""
        if not self._requires_grad or self._array is not None:
            return True
        node = self._node
        return node is not None and owner_of(node) is self and node.op == "input"

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` computes a gradient for it, or for something it was computed from."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for (or no longer for) a gradient; returns the tensor itself."""
        if self._view is not None:
            self._node_of_view(self._view)  # the root may have changed
        if requires_grad == self._requires_grad:
            return self
        if requires_grad and not dt.is_float(self.dtype):
            raise GradientError(
                f"only float tensors have gradients, this one is {self.dtype}; use .float()"
            )
        if not requires_grad:
            if not self.is_leaf:
                raise GradientError("only a leaf can stop requiring a gradient; use x.detach()")
            self._requires_grad = False
            changed()
            return self
        self._separate()
        if active.capture is not None:
            if not self._is_outside():
                self._node = active.capture.cut(self.node, self)
            else:
                _owners[self.node] = weakref.ref(self)
        elif self._array is None:
            array = self._read()
            if self._array is None:
                self._array, self._node = aligned(array), None
        elif self._node is not None:
            _owners[self._node] = weakref.ref(self)
        self._requires_grad = True
        changed()
        return self

    def retain_grad(self) -> None:
        """Let `backward` set ``.grad`` of this tensor although it is not a leaf."""
        if not self._requires_grad:
            raise GradientError("retain_grad: this tensor does not require a gradient")
        _owners[self.node] = weakref.ref(self)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has summed up; None if there was none."""
        if self._is_outside():
            assert active.capture is not None
            slot = active.capture.grad_slot(self, self._grad)
            slot.read, slot.used = slot.read or not slot.changed, slot.changed
            return slot.current  # type: ignore[return-value]
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and value.shape != self.shape:
            raise ShapeError(
                f"grad of a tensor of shape {self.shape} cannot have shape {value.shape}"
            )
        if self._is_outside():
            assert active.capture is not None
            slots = active.capture.grads
            slot = slots.get(id(self))
            if slot is None:  # set before it was read: what it was does not matter
                slot = active.capture.grad_slot(self, None)
            slot.current, slot.changed = value, True
            slot.used = slot.spent = False
        else:
            self._grad = value


if not TYPE_CHECKING:
    Tensor = Value  # for annotations


def _instead(what: str) -> str:
    """What to write in place of the in-place change ``what``: an operator, method or assignment."""
    if what.endswith("=") or what in ("zero_", "fill_", "copy_"):
        return "change a copy: y = x.clone()"
    return f"write x = x.{what[:-1]}(...)" if what.endswith("_") else f"write x = x {what} y"


def _passed_on(cotangent: Node, out: Node, old: Node) -> list[Node | None]:
    return [cotangent]  # the rule of `Value._unnoticed`


def is_held(node: Node) -> bool:
    """Whether a tensor holds the node, so that its value is worth remembering."""
    return node.id in _held


def no_value_message(purpose: str) -> str:
    """What to say where a tensor has no value yet, or none any more."""
    if purpose == rt.ENDED:
        return (
            f"{user_line()}: this tensor was made inside a function that cr.compile or cr.vmap "
            "traced and has no value outside it; return it from the function"
        )
    return (
        f"{user_line()} asks for the value of a tensor inside {purpose}, where it has none yet. "
        "Choose with cr.where instead of if, keep shapes static, return the tensor, or move the "
        "line out of the function"
    )


def make(node: Node, *operands: Value, requires_grad: bool | None = None) -> Tensor:
    """A tensor for ``node``; requires a gradient if one of ``operands`` does (and grad mode)."""
    tensor = object.__new__(Value.kind)
    tensor._node, tensor._array, tensor._grad = node, None, None
    if requires_grad is None:
        requires_grad = any(o._requires_grad for o in operands) and active.grad_enabled
    tensor._requires_grad = requires_grad and node.dtype.kind == "f"
    tensor._serial = active.capture.serial if active.capture is not None else 0
    tensor._spent = tensor._weak = False
    tensor._view = tensor._shared = None
    tensor.name = ""
    _held[node.id] = tensor
    return tensor


def as_number(x: Value) -> Tensor:
    """A float64 of no axes, to be used as a Python number is: it widens nothing."""
    found = make(x._exact_node, requires_grad=False)
    found._weak = True
    return found


def view_of(x: Value, *steps: Step, refuses: str = "") -> Tensor:
    """A view of ``x``: it sees later changes of x, and a change of the view changes x."""
    node, before = x.node, x._view
    own = before is None or before.bypasses  # a detached tensor may get gradients of its own
    root, taken = (x, ()) if own or before is None else (before.root, before.steps)
    if x._requires_grad and not active.grad_enabled:
        steps = (Stop(bypass=False), *steps)
    view = View(root, (*taken, *steps), refuses or (before.refuses if before is not None else ""))
    for step in steps:
        node = step.node(node)
    tensor = make(node, requires_grad=root._requires_grad and not view.stops)
    view.seen = root.node.id, node
    tensor._view = view
    return tensor


def snapshot(x: Value, refuses: str) -> Tensor:
    """What ``x`` is now, without gradient; nobody may write to it, ``refuses`` says why."""
    return view_of(make(g.stop_gradient(x.node), requires_grad=False), refuses=refuses)


def stored(array: Array) -> Tensor:
    """A tensor with ``array`` as its storage (not copied; read-only arrays are never written)."""
    if active.capture is not None:
        return make(g.constant(array))
    tensor = object.__new__(Value.kind)
    tensor._node, tensor._array, tensor._grad = None, array, None
    tensor._requires_grad = tensor._spent = tensor._weak = False
    tensor._view = tensor._shared = None
    tensor._serial = 0
    tensor.name = ""
    return tensor


def register_leaf(node: Node, tensor: Value) -> None:
    """Let `backward` find ``tensor`` when it reaches ``node``."""
    _owners[node] = weakref.ref(tensor)


def owner_of(node: Node) -> Value | None:
    """The tensor whose leaf ``node`` is."""
    owner = _owners.get(node)
    return owner() if owner is not None else None


def use(value: Value, dtype: DType | None = None) -> Node:
    """The node of an operand, converted to ``dtype``: without gradient where gradients are off."""
    node = value.node if dtype is None else g.cast(value._exact_node, dtype)
    return g.stop_gradient(node) if value._requires_grad and not active.grad_enabled else node


def lent(array: Array) -> bool:
    """Whether ``array`` came from `Tensor.numpy`: a program may change it with its tensor."""
    base = array.base
    return isinstance(base.base if isinstance(base, np.ndarray) else base, memoryview)


def array_of(data: Any, dtype: DType | None = None) -> Array:
    """A NumPy array of a supported dtype from anything array-like. May share memory with ``data``.

    Python floats become float32, Python integers int64; arrays keep their dtype.
    """
    if isinstance(data, Value):
        array = data._read()
    elif isinstance(data, np.ndarray | np.generic) or hasattr(data, "__array__"):
        array = plain_numbers(data, "the array")
        if lent(array):
            array = array.copy()
        if active.capture is not None:
            active.capture.arrays[id(data)] = data
    elif hasattr(data, "__dlpack__"):
        array = np.from_dlpack(data)
    else:
        array = listed_numbers(data)
        if dtype is None and array.dtype == np.float64:
            dtype = dt.default_float
    if array.dtype.kind not in "biuf":
        refuse_kind(array, data)
    return array.astype(dt.dtype_of(array.dtype) if dtype is None else dtype, copy=False)


def as_tensor(x: Any, like: DType | None = None) -> Tensor:
    """``x`` if it is a tensor; otherwise a constant; a Python number takes the dtype ``like``, if
    it can."""
    if isinstance(x, Value):
        return x  # type: ignore[return-value]
    if isinstance(x, bool | int | float | np.generic):
        number = x.item() if isinstance(x, np.generic) else x
        if isinstance(number, bool | int | float):
            dtype = dt.bool_ if isinstance(number, bool) and like is None else None
            dtype = dtype or dt.weak(
                number, like or (dt.default_int if isinstance(number, int) else dt.default_float)
            )
            return make(constant(number, dtype))
    if isinstance(x, list | tuple) and any(isinstance(i, Value) for i in x):
        first = next(i for i in x if isinstance(i, Value))
        if all(isinstance(i, Value | bool | int | float) for i in x):
            rows = [as_tensor(i, first.dtype) for i in x]
            return make(_stack(rows), *rows)
    array = array_of(x)
    return make(g.constant(array)) if array.size <= 64 else stored(aligned(array))


def _stack(tensors: Sequence[Value]) -> Node:
    first = tensors[0]
    for t in tensors:
        if t.shape != first.shape or t.dtype != first.dtype:
            raise ShapeError(
                "a list of tensors needs equal shapes and dtypes, got "
                f"{first.dtype}{list(first.shape)}"
                f" and {t.dtype}{list(t.shape)}"
            )
    return g.concat([g.reshape(use(t), (1, *t.shape)) for t in tensors], 0)


def constant(number: bool | int | float, dtype: DType) -> Node:
    """A scalar constant; raises DTypeError if an integer does not fit."""
    try:
        return g.constant(number, dtype)
    except OverflowError:
        raise DTypeError(
            f"{number} does not fit in {dtype}; convert the tensor first, with .to()"
        ) from None
