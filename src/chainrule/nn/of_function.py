"""Layers that are a function with its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..tensor.tensor import Tensor
from .module import Module
from .options import Constraint, check


class OfFunction(Module):
    """A function without parameters; its options are checked once, when it is made."""

    constraints: ClassVar[dict[str, Constraint]] = {}
    function: ClassVar[Callable[..., Tensor]]

    def __init__(self) -> None:
        super().__init__()
        self._options: dict[str, Any] = {}

    def _take(self, options: dict[str, Any]) -> None:
        """What `takes_options` finds in a constructor's arguments."""
        super().__init__()
        options.pop("inplace", None)
        check(type(self).__name__, self.constraints, options)
        self.__dict__.update(options)
        self._options = options

    def forward(self, x: Any) -> Tensor:
        """The function of ``x``; the same shape, unless the class says otherwise."""
        return type(self).function(x, *(getattr(self, name) for name in self._options))

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{k}={v!r}" for k, v in self._options.items())
