"""What a net says, from its outputs."""

from __future__ import annotations

from ..core.node import Array
from ..data import Preprocessor
from .network import softmax


def shown(p: Preprocessor, z: Array) -> Array:
    """Probabilities, or numbers in the target's unit, of a net's outputs."""
    return softmax(z) if p.classes else p.numbers(z)
