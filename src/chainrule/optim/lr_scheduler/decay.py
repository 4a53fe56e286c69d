"""Schedules that decay or warm up: by a function, in steps, exponentially, linearly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import OptionError
from ...nn.options import check, integer, number, takes_options
from ...tensor.capture import active
from ...tensor.ops import elementwise as e
from ..group import scalar
from ..optimizer import Optimizer
from .base import LRScheduler, Number, OneForAll, apply, passed, power


class LambdaLR(LRScheduler):
    """lr = initial · f(t), with a function for all groups or one for each.

    Outside compiled functions f gets an integer; inside, a tensor (then it must be a formula).

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)
    >>> schedule.step(); schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas = _functions("LambdaLR", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """f(t)."""
        return self.lr_lambdas[index](t if active.capture is not None else int(t))


class MultiplicativeLR(LRScheduler):
    """lr ← lr · f(t) at each step.

    With ``last_epoch``, which is for a resume, f is called for all steps before.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.MultiplicativeLR(optimizer, lambda t: 0.5)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas = _functions("MultiplicativeLR", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)
        if last_epoch >= 0:
            for f, factor in zip(self.lr_lambdas, self._factors, strict=True):
                factor.assign(scalar(math.prod(f(t) for t in range(1, last_epoch + 2))))
            apply(optimizer)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The product so far; 1 at the start."""
        f = self.lr_lambdas[index]
        before = self._factors[index] if index < len(self._factors) else scalar(1.0)
        if active.capture is None:
            return before * f(int(t)) if int(t) else 1.0
        return e.where(t == 0, 1.0, before * f(t))


def _functions(name: str, optimizer: Optimizer, given: Any) -> list[Callable[[Any], Any]]:
    groups = len(optimizer.param_groups)
    listed = list(given) if isinstance(given, list | tuple) else OneForAll([given] * groups)
    if len(listed) != groups or not all(callable(f) for f in listed):
        raise OptionError(
            f"{name}: lr_lambda is a function, or a list of {groups} functions (one for each "
            f"group), got {given!r}"
        )
    return listed


class StepLR(LRScheduler):
    """lr = initial · gamma^⌊t / step_size⌋.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    constraints = {"step_size": integer(1), "gamma": number(0)}
    step_size: int
    gamma: float

    @takes_options
    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^⌊t / step_size⌋."""
        return power(self.gamma, e.floor(t / self.step_size))


class MultiStepLR(LRScheduler):
    """lr = initial · gamma^(how many milestones are ≤ t).

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], 0.5)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    constraints = {"gamma": number(0)}
    gamma: float

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        check(
            "MultiStepLR",
            {"milestones": integer(0)},
            {"milestones": min(self.milestones, default=0)},
        )
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^passed."""
        return power(self.gamma, passed(self.milestones, t))


class ExponentialLR(LRScheduler):
    """lr = initial · gamma^t.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    """

    constraints = {"gamma": number(0)}
    gamma: float

    @takes_options
    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^t."""
        return power(self.gamma, t)


class ConstantLR(LRScheduler):
    """lr = initial · factor until t = total_iters, then initial.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.ConstantLR(optimizer, 0.5, 2)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.5, 0.5, 1.0, 1.0, 1.0]
    """

    constraints = {"factor_": number(0, 1), "total_iters": integer(0)}
    factor_: float
    total_iters: int

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        super().__init__(optimizer, last_epoch, factor_=factor, total_iters=total_iters)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The factor, or 1."""
        return e.where(t < self.total_iters, scalar(self.factor_), 1.0)


class LinearLR(LRScheduler):
    """lr = initial · a straight line from start_factor to end_factor at t = total_iters: a warm-up.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.5, 0.75, 1.0, 1.0, 1.0]
    """

    constraints = {
        "start_factor": number(0, 1, "(]"),
        "end_factor": number(0, 1),
        "total_iters": integer(1),
    }
    start_factor: float
    end_factor: float
    total_iters: int

    @takes_options
    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The line."""
        part = e.minimum(t, float(self.total_iters)) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class PolynomialLR(LRScheduler):
    """lr = initial · (1 - t / total_iters)^power, 0 from total_iters on.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.PolynomialLR(optimizer, 4)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    constraints = {"total_iters": integer(1), "power": number(0)}
    total_iters: int
    power: float

    @takes_options
    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The power."""
        return e.power(
            1 - e.minimum(t, float(self.total_iters)) / self.total_iters, float(self.power)
        )


class NoamLR(LRScheduler):
    """lr = initial · d_model^-½ · min(t^-½, t warmup_steps^-3/2), t from 1 (Vaswani et al., 2017).

    Give the optimizer lr=1.0 (or the factor wanted).

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.NoamLR(optimizer, d_model=4, warmup_steps=4)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.0625, 0.125, 0.1875, 0.25, 0.2236]
    """

    constraints = {"d_model": integer(1), "warmup_steps": integer(1)}
    d_model: int
    warmup_steps: int

    @takes_options
    def __init__(
        self, optimizer: Optimizer, d_model: int, warmup_steps: int, last_epoch: int = -1
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The formula at t + 1."""
        n = t + 1
        return self.d_model**-0.5 * e.minimum(1 / e.sqrt(n), n * self.warmup_steps**-1.5)
