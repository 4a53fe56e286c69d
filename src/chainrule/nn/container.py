"""Modules that hold modules or parameters."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from ..errors import OptionError
from ..tensor.value import Value
from .module import Module
from .parameter import Parameter


def _place(index: Any, length: int, owner: str) -> int:
    i = operator.index(index)
    if not -length <= i < length:
        raise IndexError(f"{owner}: index {i} of {length} entries")
    return i % length


def _require_module(owner: str, name: object, module: Any) -> Module:
    if isinstance(module, Module):
        return module
    hint = "; call it: add ()" if isinstance(module, type) and issubclass(module, Module) else ""
    shown = module.__name__ if isinstance(module, type) else type(module).__name__
    raise OptionError(f"{owner}: entry {name} must be an nn.Module, got {shown}{hint}")


class _ModuleSequence(Module):
    """Modules under the names 0, 1, 2, …"""

    def _extend(self, modules: Iterable[Module]) -> None:
        for module in modules:
            name = str(len(self._modules))
            self._modules[name] = _require_module(type(self).__name__, name, module)

    def _reset(self, modules: list[Module]) -> None:
        self._modules.clear()
        self._extend(modules)

    def _list(self) -> list[Module]:
        return [m for m in self._modules.values() if m is not None]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)._of(self._list()[index])
        return self._list()[_place(index, len(self), type(self).__name__)]

    @classmethod
    def _of(cls, modules: list[Module]) -> Self:
        new = cls()
        new._extend(modules)
        return new

    def __setitem__(self, index: int, module: Module) -> None:
        name = list(self._modules)[_place(index, len(self), type(self).__name__)]
        self._modules[name] = _require_module(type(self).__name__, name, module)

    def __delitem__(self, index: Any) -> None:
        modules = self._list()
        del modules[index]
        self._reset(modules)

    def pop(self, index: Any = -1) -> Module:
        """Take a module out."""
        module: Module = self[index]
        del self[index]
        return module

    def __add__(self, other: Iterable[Module]) -> Self:
        return self._of([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self._extend([module])
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        self._extend(modules)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the entry ``index``."""
        modules = self._list()
        modules.insert(index, module)
        self._reset(modules)
        return self


class Sequential(_ModuleSequence):
    """Layers one after another: the output of each is the input of the next.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    >>> net(cr.zeros(5, 4)).shape, len(net)
    ((5, 2), 3)
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, _require_module("Sequential", name, module))
        elif len(args) == 1 and isinstance(args[0], list | tuple):
            raise OptionError(
                "Sequential takes its layers one by one: write nn.Sequential(*layers)"
            )
        else:
            self._extend(args)

    def __getattr__(self, name: str) -> Any:
        if name == "layers":  # as in Keras; below an attribute of a subclass with this name
            return self._list()
        return super().__getattr__(name)

    def forward(self, x: Any) -> Any:
        """Through all layers."""
        for module in self._list():
            x = module(x)
        return x


class ModuleList(_ModuleSequence):
    """A list of modules whose parameters count; it computes nothing itself.

    >>> from chainrule import nn
    >>> len(list(nn.ModuleList(nn.Linear(2, 2) for _ in range(3)).parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._extend(modules or ())


class ModuleDict(Module):
    """A dictionary of modules whose parameters count; it computes nothing itself.

    >>> from chainrule import nn
    >>> heads = nn.ModuleDict({"age": nn.Linear(3, 1), "kind": nn.Linear(3, 5)})
    >>> list(heads.state_dict())
    ['age.weight', 'age.bias', 'kind.weight', 'kind.bias']
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, _require_module("ModuleDict", repr(key), module))

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Take a module out."""
        module: Module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules."""
        for key, module in modules.items():
            self[key] = module


def _parameter(owner: str, value: Any) -> Parameter:
    if not isinstance(value, Value):
        raise OptionError(f"{owner}: entries are parameters or tensors, got {type(value).__name__}")
    return value if isinstance(value, Parameter) else Parameter(value)


class ParameterList(Module):
    """A list of parameters; tensors become parameters.

    >>> from chainrule import nn
    >>> [p.item() for p in nn.ParameterList([nn.Parameter([1.0]), nn.Parameter([2.0])])]
    [1.0, 2.0]
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        name = str(len(self._parameters))
        self._parameters[name] = _parameter("ParameterList", value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self

    __iadd__ = extend

    def __getitem__(self, index: int) -> Any:
        return list(self._parameters.values())[_place(index, len(self), "ParameterList")]

    def __setitem__(self, index: int, value: Any) -> None:
        name = str(_place(index, len(self), "ParameterList"))
        self._parameters[name] = _parameter("ParameterList", value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())


class ParameterDict(Module):
    """A dictionary of parameters; tensors become parameters.

    >>> from chainrule import nn
    >>> scales = nn.ParameterDict({"left": nn.Parameter([1.0])})
    >>> scales["right"] = nn.Parameter([2.0])
    >>> list(scales.state_dict())
    ['left', 'right']
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _parameter("ParameterDict", value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameters.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return self._parameters.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and parameters."""
        return self._parameters.items()

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter, or ``default``."""
        return self._parameters.get(key, default)

    def pop(self, key: str) -> Any:
        """Take a parameter out."""
        return self._parameters.pop(key)

    def clear(self) -> None:
        """Take all parameters out."""
        self._parameters.clear()

    def update(self, parameters: Mapping[str, Any]) -> None:
        """Add parameters."""
        for key, value in parameters.items():
            self[key] = value
