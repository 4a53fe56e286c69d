"""Gradients on and off: whether what is computed now requires them."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any

from .capture import active


class _GradMode(ContextDecorator):
    """Results computed inside require a gradient, or not."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(active.grad_enabled)
        active.grad_enabled = self.enabled

    def __exit__(self, *_: object) -> None:
        active.grad_enabled = self._before.pop()


class set_grad_enabled(_GradMode):
    """Switch gradients on or off, from the call on; as a context or decorator, for what is inside.

    >>> import chainrule as cr
    >>> before = cr.set_grad_enabled(False)
    >>> cr.is_grad_enabled()
    False
    >>> with cr.set_grad_enabled(True):
    ...     cr.is_grad_enabled()
    True
    >>> cr.is_grad_enabled()
    False
    >>> on_again = cr.set_grad_enabled(True)
    """

    def __init__(self, enabled: bool) -> None:
        super().__init__(bool(enabled))
        self._called_in: bool | None = active.grad_enabled
        active.grad_enabled = self.enabled

    def __enter__(self) -> None:
        """The end of the block brings back what was before the call."""
        self._take_back()
        super().__enter__()

    def __call__(self, function: Any) -> Any:
        """As a decorator, it switches while ``function`` runs only."""
        self._take_back()
        return super().__call__(function)

    def _take_back(self) -> None:
        if self._called_in is not None:
            active.grad_enabled, self._called_in = self._called_in, None


class no_grad(_GradMode):
    """Context or decorator: what is computed inside has no gradient.

    >>> import chainrule as cr
    >>> w = cr.tensor(2.0, requires_grad=True)
    >>> with cr.no_grad():
    ...     y = w * 3
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class inference_mode(_GradMode):
    """The same as `no_grad` (PyTorch's forbids later use of what is computed inside; this does
    not). ``inference_mode(False)`` is `enable_grad`.

    >>> import chainrule as cr
    >>> w = cr.tensor(2.0, requires_grad=True)
    >>> with cr.inference_mode():
    ...     y = w * 3
    >>> y.requires_grad
    False
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class enable_grad(_GradMode):
    """Context or decorator: gradients are on again (inside `no_grad`)."""

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """Whether results of tensors that require a gradient require one.

    >>> import chainrule as cr
    >>> with cr.no_grad():
    ...     cr.is_grad_enabled()
    False
    """
    return active.grad_enabled
