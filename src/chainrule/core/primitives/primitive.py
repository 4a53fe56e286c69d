"""Primitive: one row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..dtypes import DType

Shape = tuple[int, ...]
Array = NDArray[Any]
Params = Mapping[str, Any]
Infer = Callable[..., tuple[Shape, DType]]
Meaning = Callable[..., Array]


@dataclass(frozen=True, eq=False)
class Primitive:
    """An operation, and what a backend may assume of it.

    kind          what a backend may assume
    leaf          no inputs (or only a key): a value from outside, or made from its own index
    elementwise   out[i] depends on inputs[i] only
    view          out[i] is one element of the input, at an index that is affine in i
    movement      out[i] is one element of an input, or a fixed value (pad)
    reduce        axes disappear
    contract      sums of products
    matrix        each matrix as a whole; compiled as loops of other primitives
    control       a loop over a graph of its own
    index         positions are data
    identity      the first input, unchanged (a mark for the reverse sweep)
    """

    name: str
    arity: int | None  # None: any number of inputs
    kind: str
    infer: Infer
    meaning: Meaning
    cost: int = 1  # of an element, about, in instructions like an addition
    in_memory: Sequence[int] = ()  # inputs that are read at addresses which are not the output's
    own_kernel: bool = False  # its loops are its own: nothing is computed along with it
    by_parts: bool = False  # a part of the result is one input: it can be computed where it is put
    updates: bool = False  # the first input, some elements changed: it may be written in its place
    chain: bool = False  # one long chain of instructions that wait for each other
    copies: bool = False  # it is there for a buffer of its own
    traps: bool = False  # divides or branches: it must not see lanes that hold nothing

    @property
    def is_cheap(self) -> bool:
        """Whether an element is cheaper computed again than written and read."""
        return self.kind == "elementwise" and self.cost <= 1

    def __repr__(self) -> str:
        return self.name
