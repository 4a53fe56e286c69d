"""Base of the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...errors import OptionError
from ...nn.options import Constraint, check, integer
from ...tensor import elementwise as e
from ...tensor.capture import active
from ...tensor.tensor import Tensor
from ...tensor.value import no_grad, stored
from ..group import scalar
from ..optimizer import Optimizer

Number = Any  # a float64 tensor, or a Python number


class LRScheduler:
    """Base class. A subclass gives ``factor(t, initial, index)``: lr at count t / the initial lr.

    ``t`` is a float64 tensor, so that a formula of it works inside compiled functions too;
    ``index`` is the number of the parameter group.

    >>> from chainrule import nn, optim
    >>> class Hyperbola(optim.lr_scheduler.LRScheduler):
    ...     def factor(self, t, initial, index):
    ...         return 1 / (1 + t)
    >>> schedule = Hyperbola(optim.SGD([nn.Parameter([1.0])], lr=1.0))
    >>> [(schedule.get_last_lr()[0], schedule.step())[0] for _ in range(3)]
    [1.0, 0.5, 0.3333333333333333]
    """

    constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, **options: Any) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise OptionError(
                f"{name}: the first argument is an optimizer, got {type(optimizer).__name__}"
            )
        check(
            name,
            {"last_epoch": integer(-1), **self.constraints},
            {"last_epoch": last_epoch, **options},
        )
        self.optimizer = optimizer
        self.__dict__.update(options)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.prepare()
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._count = stored(np.array(max(last_epoch, 0), np.int64))
        self._factors = [scalar(1.0) for _ in self.base_lrs]
        schedulers(optimizer).append(self)
        self._set()

    def prepare(self) -> None:
        """Options that depend on the optimizer."""

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """lr / initial lr of the group with number ``index`` at count ``t`` (float64)."""
        raise NotImplementedError(f"{type(self).__name__} has no factor method")

    @property
    def last_epoch(self) -> Any:
        """The count of steps (a tensor inside a compiled function)."""
        return self._count if active.capture is not None else self._count.item()

    def step(self) -> None:
        """One more step: set the learning rate for it."""
        with no_grad():
            self._count.assign(self._count + 1)
        self._set()

    def _set(self) -> None:
        t = self._count.double()
        with no_grad():
            for i, (factor, initial) in enumerate(zip(self._factors, self.base_lrs, strict=True)):
                factor.assign(_double(self.factor(t, initial, i)))
            self._apply()

    def _apply(self) -> None:
        """lr = initial lr · the product of the factors of all schedules of the optimizer."""
        for i, group in enumerate(self.optimizer.param_groups[: len(self.base_lrs)]):
            lr: Any = group["initial_lr"]
            for schedule in schedulers(self.optimizer):
                lr = schedule.combine(lr, i)
            group["lr"] = lr

    def combine(self, lr: Number, index: int) -> Number:
        """The rate of the group with number ``index`` after this schedule, given it before."""
        return lr * self._factors[index]

    def get_last_lr(self) -> list[Any]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Count and factors."""
        return {
            "last_epoch": self._count.item(),
            "base_lrs": list(self.base_lrs),
            "factors": [f.item() for f in self._factors],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the schedule whose `state_dict` this was."""
        self.base_lrs = [float(x) for x in state_dict["base_lrs"]]
        self._count.assign(np.array(state_dict["last_epoch"], np.int64))
        for factor, value in zip(self._factors, state_dict["factors"], strict=True):
            factor.assign(scalar(value))
        for group, initial in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["initial_lr"] = initial
        self._apply()


def of_each_group(owner: str, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for each parameter group, from a list or from one for all."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(values) != groups:
        raise OptionError(
            f"{owner}: {name} has {len(values)} values, the optimizer {groups} groups"
        )
    return values


def schedulers(optimizer: Optimizer) -> list[LRScheduler]:
    """The schedules of an optimizer, in the order they were made."""
    found: list[LRScheduler] = optimizer.__dict__.setdefault("_schedulers", [])
    return found


def _double(value: Number) -> Tensor:
    """As a float64 tensor; a Python number keeps all its digits."""
    return value.double() if isinstance(value, Tensor) else scalar(float(value))


def power(base: float, exponent: Number) -> Number:
    """base^exponent, float64."""
    return e.power(base, exponent)


def passed(milestones: Sequence[float], t: Number) -> Number:
    """How many milestones are ≤ t, float64."""
    if not milestones:
        return t * 0
    return (t >= stored(np.array(milestones, np.float64))).to("float64").sum()
