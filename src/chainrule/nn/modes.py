"""Training and evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module


@contextmanager
def in_mode(model: Module, training: bool) -> Iterator[None]:
    """Inside, all modules are in one mode; afterwards each is in its own again, as frozen ones are
    in another than the rest."""
    before = [(m, m.training) for m in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
