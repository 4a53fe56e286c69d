"""ParamGroup: the parameters that share options, and the options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from ..nn.options import Constraint, check
from ..tensor.capture import active
from ..tensor.tensor import Tensor
from ..tensor.value import Value, as_tensor, no_grad, stored


def scalar(value: float) -> Tensor:
    """A float64 number that is state: a compiled step reads it anew each time."""
    return stored(np.array(value, np.float64))


class ParamGroup(MutableMapping[str, Any]):
    """A dictionary of options, as ``optimizer.param_groups[0]``.

    The learning rate is kept as a float64 tensor, so a change of it reaches compiled steps as they are;
    a change of another option makes them compile again. Read outside a compiled function it is a
    Python float; inside, a tensor.
    """

    def __init__(self, owner: str, constraints: Mapping[str, Constraint], options: Mapping[str, Any]) -> None:
        self._owner, self._constraints = owner, constraints
        self._options: dict[str, Any] = {}
        self._tensors: dict[str, Tensor] = {}
        for name, value in options.items():
            self[name] = value
        self.track("lr")

    def track(self, name: str) -> None:
        """Keep a number (of a pair: both numbers) as a tensor from now on: a schedule will change it."""
        if name not in self._tensors:
            value = self._options.pop(name)
            before, active.capture = active.capture, None
            try:
                self._tensors[name] = scalar(float(value))
            finally:
                active.capture = before

    def number(self, name: str) -> Any:
        """The option to compute with: a float64 tensor if it is tracked, else a Python number."""
        return self._tensors[name] if name in self._tensors else self._options[name]

    @property
    def static(self) -> tuple[Any, ...]:
        """The options a compiled step has built in."""
        return tuple((k, v) for k, v in self._options.items() if k not in ("params", "param_names"))

    def __getitem__(self, name: str) -> Any:
        if name in self._tensors:
            return self._tensors[name] if active.capture is not None else self._tensors[name].item()
        return self._options[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._constraints and not isinstance(value, Value):
            check(self._owner, {name: self._constraints[name]}, {name: value})
        if name in self._tensors:
            if isinstance(value, Value) and active.capture is None:
                check(self._owner, self._constraints, {name: value.item()})  # type: ignore[attr-defined]
            with no_grad():
                number = value if isinstance(value, Value) else scalar(float(value))
                self._tensors[name].assign(as_tensor(number).double())
        elif isinstance(value, Value) and name in self._constraints:
            self._options[name] = value.item()  # type: ignore[attr-defined]
        else:
            self._options[name] = tuple(value) if isinstance(value, list) and name != "params" else value

    def __delitem__(self, name: str) -> None:
        del self._options[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._options
        yield from self._tensors

    def __len__(self) -> int:
        return len(self._options) + len(self._tensors)

    def __repr__(self) -> str:
        return repr({k: v for k, v in self.items() if k != "params"})


def cast(value: Any, p: Any) -> Any:
    """A scalar in the dtype of ``p``, for use on its elements; Python numbers as they are."""
    return value.to(p.dtype) if isinstance(value, Tensor) else value
