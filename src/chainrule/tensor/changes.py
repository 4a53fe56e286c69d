"""Changes: modules and optimizers say when they change, so that programs made of them are looked
at again, and only then."""

from __future__ import annotations

from typing import Any, ClassVar

_NOTHING: Any = object()


class Changes:
    """``now`` is another object after each change of a module or an optimizer."""

    now: object = object()


def changed() -> None:
    """Tell compiled functions that a module or an optimizer is not as before."""
    Changes.now = object()


class Table(dict[Any, Any]):
    """A dictionary that says when it changes."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.get(key, _NOTHING) is not value:
            super().__setitem__(key, value)
            changed()

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        changed()

    def pop(self, *args: Any) -> Any:
        """As of a dict."""
        found = super().pop(*args)
        changed()
        return found

    def popitem(self) -> tuple[Any, Any]:
        """As of a dict."""
        found = super().popitem()
        changed()
        return found

    def clear(self) -> None:
        """As of a dict."""
        super().clear()
        changed()

    def update(self, *args: Any, **items: Any) -> None:
        """As of a dict."""
        super().update(*args, **items)
        changed()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """As of a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Any) -> Table:  # type: ignore[misc]
        self.update(other)
        return self


class Versioned:
    """Base of objects all of whose changes `changed` tells."""

    _unwatched_: ClassVar[tuple[str, ...]] = ()
    """Attributes that no program is built from, or that are watched where they are read."""
