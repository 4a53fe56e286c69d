"""ParamGroup: the parameters that share options, and the options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from difflib import get_close_matches
from typing import Any, ClassVar, Protocol, TypedDict

import numpy as np

from ..errors import OptionError
from ..nn.options import Constraint, check, choice
from ..tensor.capture import active, outside
from ..tensor.changes import Table, Versioned, changed
from ..tensor.grad_mode import no_grad
from ..tensor.tensor import Tensor
from ..tensor.value import as_number, stored


def scalar(value: float) -> Tensor:
    """A float64 number that is state: a compiled step reads it anew each time."""
    return stored(np.array(value, np.float64))


class Constrained(Protocol):
    """A kind of optimizer: it says what its options must be."""

    constraints: ClassVar[dict[str, Constraint]]


class ParamGroup(MutableMapping[str, Any], Versioned):
    """A dictionary of options, as ``optimizer.param_groups[0]``.

    The learning rate is kept as a float64 tensor, so a change of it reaches compiled steps as they
    are; a change of another option makes them compile again. Read outside a compiled function it is
    a Python float; inside, a tensor.
    """

    _unwatched_ = ("_kind", "by_hand")

    def __init__(self, kind: type[Constrained], options: Mapping[str, Any]) -> None:
        self._kind = kind
        self.by_hand = False
        """Whether the rate was set by hand since a schedule last looked."""
        self._options: dict[str, Any] = Table()
        self._tensors: dict[str, Tensor] = Table()
        self._rest: dict[str, tuple[Any, ...]] = Table()
        self._numbers: dict[str, tuple[Tensor, ...]] = Table()
        for name, value in options.items():
            self.put(name, value)
        self.track("lr")

    def track(self, name: str) -> None:
        """Keep a number (of a pair: the first) as a tensor from now on: a schedule changes it."""
        if name in self._tensors:
            return
        value = self._options.pop(name)
        first, *rest = value if isinstance(value, tuple) else (value,)
        with outside():
            self._tensors[name] = scalar(float(first))
        if isinstance(value, tuple):
            self._rest[name] = tuple(rest)

    def as_numbers(self, name: str) -> tuple[Tensor, ...]:
        """Keep a number, or each of a pair, as a tensor; returns these tensors.

        A step reads it as it would read a Python number. What a schedule changes is a tensor
        already.
        """
        if name in self._tensors:
            return (self._tensors[name],)
        if name not in self._numbers:
            value = self._options.pop(name)
            with outside():
                values = value if isinstance(value, tuple) else (value,)
                self._numbers[name] = tuple(scalar(float(v)) for v in values)
        return self._numbers[name]

    @property
    def static(self) -> tuple[Any, ...]:
        """The options a compiled step has built in."""
        apart = ("params", "param_names", "initial_lr")  # schedules alone read initial_lr
        fixed = [(k, v) for k, v in self._options.items() if k not in apart]
        return (*fixed, *self._rest.items(), *self._tensors, *self._numbers)

    @property
    def initial_lr(self) -> float | None:
        """The rate that schedules multiply; None where there has been none."""
        return self._options.get("initial_lr")

    def __getitem__(self, name: str) -> Any:
        if name in self._numbers:
            traced = active.capture is not None
            found = [as_number(t) if traced else t.item() for t in self._numbers[name]]
            return tuple(found) if len(found) > 1 else found[0]
        if name not in self._tensors:
            return self._options[name]
        tensor = self._tensors[name]
        value = tensor if active.capture is not None else tensor.item()
        return (value, *self._rest[name]) if name in self._rest else value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._options and name not in self._tensors:
            check_key(self._kind.__name__, name, self)
        self.put(name, value)
        if name == "lr" and active.capture is None and not self.by_hand:
            self.by_hand = True
            changed()  # a compiled schedule takes note; steps that read no schedule stay

    def put(self, name: str, value: Any) -> None:
        """Set an option. Schedules, and those who put a rate back, set it so; not users."""
        value = tuple(value) if isinstance(value, list) and name != "params" else value
        constraints = self._kind.constraints
        if active.capture is None and name in constraints:
            value = value.item() if isinstance(value, Tensor) else value
            check(self._kind.__name__, constraints, {name: value})
        if name in self._numbers:
            values = value if isinstance(value, tuple) else (value,)
            for tensor, one in zip(self._numbers[name], values, strict=True):
                tensor._put(float(one))
            return
        if name not in self._tensors:
            self._options[name] = value
            return
        if name in self._rest:
            value, *rest = value
            self._rest[name] = tuple(rest)
        if not isinstance(value, Tensor):
            self._tensors[name]._put(float(value))
            return
        with no_grad():
            self._tensors[name].assign(value.double())

    def __delitem__(self, name: str) -> None:
        del self._options[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._options
        yield from self._tensors
        yield from self._numbers

    def __len__(self) -> int:
        return len(self._options) + len(self._tensors) + len(self._numbers)

    def __repr__(self) -> str:
        return repr({k: v for k, v in self.items() if k != "params"})


RENAMED = {"learning_rate": "lr"}


def check_key(owner: str, key: str, known: Iterable[str]) -> None:
    """Raise for a key of a group that is nearly an option; users may keep others of their own."""
    close = [RENAMED[key]] if key in RENAMED else get_close_matches(str(key), [*known], 1, 0.75)
    if close and close[0] in known and not key.endswith(f"_{close[0]}"):
        raise OptionError(f"{owner}: a parameter group has the key {key!r}; is it {close[0]!r}?")


class Switches(TypedDict, total=False):
    """PyTorch's choices of an implementation: taken, and without effect, for there is one."""

    foreach: bool | None
    fused: bool | None
    capturable: bool
    differentiable: bool


def check_switches(owner: str, switches: Mapping[str, Any]) -> None:
    """Raise for an option there is not, and for ``differentiable``, which would change results."""
    for name, value in switches.items():
        if name not in Switches.__annotations__:
            raise TypeError(f"{owner}: there is no option {name!r}")
        check(owner, {name: choice(None, False, True)}, {name: value})
    if switches.get("differentiable"):
        raise OptionError(
            f"{owner}: differentiable=True is not possible, for step changes parameters in place;"
            " write the update as a function of the parameters and use chainrule.grad of it"
        )


def cast(value: Any, p: Any) -> Any:
    """A scalar in the dtype of ``p``, for use on its elements; numbers as they are."""
    return value.to(p.dtype) if isinstance(value, Tensor) and not value._weak else value
