"""What can be known about a tensor now, without waiting for a compiled function."""

from __future__ import annotations

from typing import Any

from ...core.node import Array
from ...runtime import realize as rt
from ...tensor.capture import active
from ...tensor.value import Value, array_of


def known_values(x: Value) -> Array | None:
    """The numbers of ``x`` outside of compiled and vectorized functions; None inside them."""
    if active.capture is not None:
        return None
    if x._array is None and rt.purpose_of([x.node]) is not None:
        return None
    return x._read()


def static_values(x: Any) -> Array | None:
    """The numbers of ``x`` if they are the same at each call of the function that runs now.

    In compiled functions those of constants only.
    """
    if not isinstance(x, Value):
        return array_of(x)
    if active.capture is None:
        return known_values(x)
    if x._is_outside() or x.node.op != "constant":
        return None
    array: Array = x.node.params["value"].array
    return array
