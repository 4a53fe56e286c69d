"""What can be known about a tensor now, without waiting for a compiled function; and a choice."""

from __future__ import annotations

from typing import Any

from ...core.node import Array
from ...runtime import realize as rt
from ...tensor.capture import active
from ...tensor.elementwise import where
from ...tensor.tensor import Tensor
from ...tensor.value import Value


def known_values(x: Value) -> Array | None:
    """The numbers of ``x`` outside of compiled and vectorized functions; None inside them."""
    if active.capture is not None:
        return None
    if x._array is None and rt.purpose_of([x.node]) is not None:
        return None
    return x._read()


def select(condition: Any, a: Any, b: Any) -> Tensor:
    """``a`` where ``condition`` holds, else ``b``."""
    chosen: Tensor = where(condition, a, b)
    return chosen
