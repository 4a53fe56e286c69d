"""Module: a function with parameters, made of other modules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ..core import dtypes as dt
from ..core.node import Array
from ..errors import ChainruleError, CheckpointError, OptionError
from ..habits import no_attribute
from ..tensor.capture import active, depends_on
from ..tensor.changes import Table, Versioned, changed
from ..tensor.ops.create import dtype_asked_for
from ..tensor.tensor import Tensor
from ..tensor.value import stored
from . import trail
from .hooks import GradientWatch, Hook, Hooks, RemovableHandle
from .parameter import Buffer, Parameter
from .state_dict import IncompatibleKeys, as_it_is, convert, load
from .summary import summary


class Module(Versioned):
    """Base of all layers and networks; names and behaviour are those of ``torch.nn.Module``.

    A subclass calls ``super().__init__()``, assigns parameters and modules to attributes, and
    defines ``forward``. Calling the module calls ``forward``.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> class Double(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.scale = nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.scale * x
    >>> Double()(cr.tensor([1.0, 3.0])).tolist()
    [2.0, 6.0]
    """

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _forward_pre_hooks: Hooks
    _forward_hooks: Hooks
    _backward_hooks: Hooks
    _backward_pre_hooks: Hooks
    _training: bool
    _made_at: str
    _version: ClassVar[int] = 1
    _unwatched_ = ("_training", "_transient", "_made_at", "_options")

    def __init__(self) -> None:
        """An empty module in training mode."""
        set_ = super().__setattr__
        for table in (
            "_parameters",
            "_buffers",
            "_modules",
            "_forward_pre_hooks",
            "_forward_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
        ):
            set_(table, Table())
        set_("_transient", set())
        set_("_training", True)
        set_("_made_at", trail.where_made())

    # -- attributes --------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_modules" not in tables:
            if isinstance(value, Parameter | Buffer | Module):
                raise AttributeError(
                    f"{type(self).__name__}: call super().__init__() before self.{name} is assigned"
                )
            super().__setattr__(name, value)
        elif isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            self._modules[name] = value
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter: assign an nn.Parameter or None, "
                    f"got {type(value).__name__} (to change its numbers: .{name}.assign(value))"
                )
            self._parameters[name] = None
        elif name in self._buffers:
            if value is not None:
                if not isinstance(value, Tensor):
                    raise TypeError(
                        f"{type(self).__name__}.{name} is a buffer: assign a tensor or None, got "
                        f"{type(value).__name__}; write cr.tensor(value)"
                    )
                value._separate()
            self._buffers[name] = value
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}.{name} is a module, got {type(value).__name__}"
                )
            self._modules[name] = None
        else:
            super().__setattr__(name, value)
            changed()

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            entries = self.__dict__.get(table)
            if entries is not None and name in entries:
                return entries[name]
        raise no_attribute(type(self).__name__, "Module", name)

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._transient.discard(name)
                return
        super().__delattr__(name)
        changed()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _forget(self, name: str, keep: str) -> None:
        """``name`` will be entered into the table ``keep``: take it out of everything else."""
        self.__dict__.pop(name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            if table != keep:
                self.__dict__[table].pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None: a place without one (``bias=False``), no key in the state dict."""
        self._check_name(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter {name!r} expects an nn.Parameter, got {type(param).__name__}"
            )
        if param is not None and not param.name:
            param.name = name
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained (running means); saved if persistent."""
        self._check_name(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer {name!r} expects a tensor, got {type(tensor).__name__}"
            )
        if tensor is not None:
            tensor._separate()  # a buffer has numbers of its own
        if not persistent:
            self._transient.add(name)
        self._buffers[name] = tensor

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under a name."""
        self._check_name(name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"add_module {name!r} expects an nn.Module, got {type(module).__name__}"
            )
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, table: Mapping[str, object]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise OptionError(f"a name without dots is needed, got {name!r}")
        if name not in table and hasattr(self, name):
            raise OptionError(f"{type(self).__name__} already has an attribute {name!r}")

    # -- what is in it -----------------------------------------------------------------------------
    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (with the name ``prefix``) and all within it, parents first."""
        memo = set() if memo is None else memo
        if id(self) in memo and remove_duplicate:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(
                    memo, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Module]:
        """This module and all within it."""
        found: dict[int, Module] = {}
        self._gather(found)
        return iter(found.values())

    def _gather(self, found: dict[int, Module]) -> None:
        """`modules`, without making names of them."""
        if id(self) not in found:
            found[id(self)] = self
            for child in self._modules.values():
                if child is not None:
                    child._gather(found)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly in this one, with their names."""
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly in this one."""
        return (module for _, module in self.named_children())

    def _named(
        self, table: str, prefix: str, recurse: bool, unique: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=unique)
            if recurse
            else iter([(prefix, self)])
        )
        for path, module in modules:
            for name, value in getattr(module, table).items():
                if value is not None and not (unique and id(value) in seen):
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names; a shared one once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters; a shared one once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def _find(self, path: str) -> Any:
        found: Any = self
        for name in path.split(".") if path else ():
            if not hasattr(found, name):
                raise AttributeError(
                    f"{type(self).__name__} has no {path!r}: no {name!r} in {type(found).__name__}"
                )
            found = getattr(found, name)
        return found

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name; the empty name is this one."""
        found = self._find(target)
        if not isinstance(found, Module):
            raise AttributeError(f"{target!r} is not a module")
        return found

    def set_submodule(self, target: str, module: Module) -> None:
        """Put ``module`` in the place of the one with a dotted name."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if name not in owner._modules:
            raise AttributeError(f"{type(owner).__name__} has no module {name!r}")
        owner._modules[name] = _require(module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name."""
        found = self._find(target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"{target!r} is not a parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name."""
        path, _, name = target.rpartition(".")
        buffer = self.get_submodule(path)._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"{target!r} is not a buffer")
        return buffer

    # -- numbers in and out ------------------------------------------------------------------------
    def count_params(self) -> int:
        """How many numbers the parameters have, frozen ones included.

        >>> from chainrule import nn
        >>> nn.Linear(3, 2).count_params()
        8
        """
        return sum(p.numel() for p in self.parameters())

    def get_weights(self) -> list[Array]:
        """Copies of parameters and buffers as NumPy arrays, in the order of the state dict."""
        return [np.array(tensor.numpy()) for tensor in self.state_dict().values()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take numbers in the order of `get_weights`. Raises CheckpointError if they do not fit."""
        names = [*self.state_dict()]
        if len(weights) != len(names):
            raise CheckpointError(
                f"set_weights: {type(self).__name__} has {len(names)} arrays, got {len(weights)}"
            )
        self.load_state_dict(dict(zip(names, weights, strict=True)))

    def summary(self, input_shape: Any = None) -> None:
        """Print the table of `nn.summary`. ``input_shape``: see there; without it, one row of the
        features that the first layer says it has.

        Raises OptionError if the first layer with parameters is none with ``in_features``.
        """
        if input_shape is None:
            first = next((m for m in self.modules() if m._parameters), self)
            features = getattr(first, "in_features", None)
            if not isinstance(features, int):
                raise OptionError(
                    f"summary: {type(first).__name__}, the first layer, does not say the shape of "
                    "its input; write model.summary((1, channels, height, width)), or what it takes"
                )
            input_shape = (1, features)
        print(summary(self, input_shape))

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, as now (later training leaves them).

        To change one in place would not change the module, so it is refused: load a changed dict,
        or ask with ``keep_vars`` for the module's own tensors.

        >>> from chainrule import nn
        >>> {name: t.shape for name, t in nn.Linear(3, 2).state_dict().items()}
        {'weight': (2, 3), 'bias': (2,)}
        """
        result: dict[str, Tensor] = {}
        for path, module in self.named_modules(prefix=prefix.rstrip("."), remove_duplicate=False):
            start = f"{path}." if path else ""
            for name, p in module._parameters.items():
                if p is not None:
                    result[start + name] = p if keep_vars else as_it_is(p)
            for name, b in module._buffers.items():
                if b is not None and name not in module._transient:
                    result[start + name] = b if keep_vars else as_it_is(b)
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Take over the numbers of ``state_dict``, whose values are array-likes of the right
        shapes; with ``assign`` their float dtypes too.

        Nothing is changed unless everything fits. Raises CheckpointError with all that does not:
        missing keys, unexpected keys (both only if ``strict``), wrong shapes.
        """
        own = self.state_dict(keep_vars=True)
        return load(own, state_dict, strict, assign, type(self).__name__)

    # -- modes -------------------------------------------------------------------------------------
    @property
    def training(self) -> bool:
        """Whether dropout drops and batch norm measures; compiled functions notice a change."""
        depends_on(self, "_training")
        return self._training

    @training.setter
    def training(self, mode: bool) -> None:
        self._set_mode(bool(mode))

    def _set_mode(self, mode: bool) -> None:
        """Of this module alone. Steps that read it look at it themselves: no change is told."""
        object.__setattr__(self, "_training", mode)

    def train(self, mode: bool = True) -> Self:
        """Set this module and all within it to training mode (or, with False, to evaluation)."""
        if not isinstance(mode, bool | np.bool_):
            raise OptionError(f"train(mode) expects True or False, got {mode!r}")
        for module in self.modules():
            module._set_mode(bool(mode))
        return self

    def eval(self) -> Self:
        """Set this module and all within it to evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train (or freeze) all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            if p.grad is not None:
                p.grad = None if set_to_none else stored(np.zeros(p.shape, p.dtype))

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call ``fn`` with every module within this one, children first, then with this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False
    ) -> Self:
        """Convert all float parameters and buffers to a float dtype, in place (integers stay).

        The dtype, or that of a tensor. The device "cpu" does nothing; others are refused.
        """
        wanted = dtype_asked_for(args, dtype, device)
        if wanted is None:
            return self
        target = dt.dtype_of(wanted)
        if not dt.is_float(target):
            raise OptionError(f"Module.to expects a float dtype, got {target}")
        for tensor in itertools.chain(self.parameters(), self.buffers()):
            if dt.is_float(tensor.dtype) and tensor.dtype != target:
                convert(tensor, target)
        return self

    def type(self, dst_type: Any) -> Self:
        """``to(dst_type)``."""
        return self.to(dst_type)

    def cpu(self) -> Self:
        """The module itself."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused with OptionError: there is only the CPU."""
        return self.to(device="cuda")

    def float(self) -> Self:
        """``to("float32")``."""
        return self.to(dt.float32)

    def double(self) -> Self:
        """``to("float64")``."""
        return self.to(dt.float64)

    # -- calling -----------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; a subclass defines it."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward method; define forward(self, x)"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        checks = active.checks
        first = len(checks) if checks is not None else 0
        with trail.entered(self):
            try:
                for hook, with_kwargs in list(self._forward_pre_hooks.values()):
                    changed = hook(self, args, kwargs) if with_kwargs else hook(self, args)
                    if changed is not None and with_kwargs:
                        args, kwargs = changed
                    elif changed is not None:
                        args = changed if isinstance(changed, tuple) else (changed,)
                watch = GradientWatch.of(self) if self._has_backward_hooks() else None
                if watch is not None:
                    args = watch.around_input(args)
                result = self.forward(*args, **kwargs)
            except ChainruleError as error:
                trail.explain(error, self, args)
                raise
            for hook, with_kwargs in list(self._forward_hooks.values()):
                given = (args, kwargs, result) if with_kwargs else (args, result)
                changed = hook(self, *given)
                if changed is not None:
                    result = changed
            if watch is not None:
                result = watch.around_output(result)
            trail.record(self, args, result)
            if checks is not None and len(checks) > first:
                trail.name_layer(checks[first:], self)
        return result

    def _has_backward_hooks(self) -> bool:
        return bool(self._backward_hooks or self._backward_pre_hooks)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; its result (unless None) replaces args.

        ``with_kwargs``: it is called with (module, args, kwargs) and returns (args, kwargs) or
        None. ``prepend``: before the hooks there are.
        """
        return RemovableHandle(self._forward_pre_hooks, hook, with_kwargs, prepend)

    def register_forward_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; its result replaces the output.

        ``with_kwargs``: called with (module, args, kwargs, output). ``prepend``: as the first.

        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> seen = []
        >>> layer = nn.Tanh()
        >>> handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
        >>> y = layer(cr.tensor([0.0, 1.0]))
        >>> seen[0] is y
        True
        >>> handle.remove()
        """
        return RemovableHandle(self._forward_hooks, hook, with_kwargs, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when gradients pass the module.

        The gradients are tuples: one entry for each argument, one for each output, None where there
        is no gradient. The hook sees them while the graph of gradients is built; inside a compiled
        function they have no numbers yet. What it returns (unless None) replaces ``grad_input``.

        >>> import chainrule as cr
        >>> from chainrule import nn
        >>> layer = nn.Tanh()
        >>> def show(module, grad_input, grad_output):
        ...     print(grad_input[0].tolist(), grad_output[0].tolist())
        >>> handle = layer.register_full_backward_hook(show)
        >>> x = cr.tensor([0.0], requires_grad=True)
        >>> layer(x).sum().backward()
        [1.0] [1.0]
        """
        return RemovableHandle(self._backward_hooks, hook, False, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before gradients pass the module; what it returns
        (unless None) replaces ``grad_output``."""
        return RemovableHandle(self._backward_pre_hooks, hook, False, prepend)

    # -- text --------------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands between the parentheses of the text form."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._modules.items()
            if child is not None
        ]
        extra = self.extra_repr()
        if not lines:
            return f"{self._get_name()}({extra})"
        body = "\n  ".join([extra, *lines] if extra else lines)
        return f"{self._get_name()}(\n  {body}\n)"


def _require(module: Any) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"set_submodule expects an nn.Module, got {type(module).__name__}")
    return module
