"""Schedules one after another, together, and by a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import OptionError
from ...nn.options import check, choice, integer, number
from ...tensor.capture import active
from ...tensor.ops import elementwise as e
from ..group import scalar
from ..optimizer import Optimizer
from .base import LRScheduler, Number, apply, of_each_group, schedulers, settle
from .decay import MultiplicativeLR


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, at its count 0, when t reaches a milestone.

    >>> from chainrule import nn, optim
    >>> from chainrule.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = SequentialLR(optimizer, parts, milestones=[2])
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(schedulers) != len(milestones) + 1:
            raise OptionError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones,"
                f" got {len(milestones)}"
            )
        self.milestones = list(milestones)
        if any(b <= a for a, b in zip([0, *self.milestones], self.milestones, strict=False)):
            raise OptionError(
                f"SequentialLR: milestones are counts of steps that grow, got {self.milestones}"
            )
        self._gather(optimizer, schedulers)
        super().__init__(optimizer, last_epoch)

    def _gather(self, optimizer: Optimizer, listed: Sequence[LRScheduler]) -> None:
        self.schedulers = list(listed)
        for schedule in self.schedulers:
            if isinstance(schedule, ReduceLROnPlateau):
                raise OptionError(
                    f"{type(self).__name__}: ReduceLROnPlateau looks at a metric, and cannot be one"
                    " of them; call its step(metric) beside this schedule"
                )
            if schedule.optimizer is not optimizer or schedule not in schedulers(optimizer):
                raise OptionError(
                    f"{type(self).__name__}: the schedules must be of the optimizer given, each "
                    "once"
                )
        settle(optimizer)
        for schedule in self.schedulers:
            schedulers(optimizer).remove(schedule)
        apply(optimizer)  # without what the parts have done to the rate

    def _join(self) -> None:
        for schedule in self.schedulers:
            schedule._join()
        super()._join()

    def _part(self, k: int, t: Number, initial: float, index: int, now: Any = True) -> Number:
        """The factor of one of the schedules; kept, where its next one follows from it."""
        part = self.schedulers[k]
        value = part.factor(t, initial, index)
        if isinstance(part, MultiplicativeLR):
            kept = part._factors[index]
            kept.assign(
                scalar(float(value)) if active.capture is None else e.where(now, value, kept)
            )
        return value

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The factor of the schedule whose turn it is."""
        starts = [0, *self.milestones]
        if active.capture is None:
            k = sum(m <= t.item() for m in self.milestones)
            return self._part(k, t - starts[k], initial, index)
        result: Number = None
        for k in reversed(range(len(starts))):
            now = t >= starts[k]
            if k < len(self.milestones):
                now = now & (t < starts[k + 1])
            value = self._part(k, e.maximum(t - starts[k], 0.0), initial, index, now)
            result = value if result is None else e.where(t < starts[k + 1], value, result)
        return result

    def state_dict(self) -> dict[str, Any]:
        """Count and factors, of the parts as well."""
        return {**super().state_dict(), "parts": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the schedule whose `state_dict` this was."""
        for part, state in zip(self.schedulers, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        super().load_state_dict(state_dict)


class ChainedScheduler(SequentialLR):
    """All schedules together: the product of their factors.

    >>> from chainrule import nn, optim
    >>> from chainrule.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, 2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = ChainedScheduler(parts)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.5, 0.25, 0.25, 0.125, 0.0625]
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise OptionError("ChainedScheduler: there are no schedules")
        owner = schedulers[0].optimizer if optimizer is None else optimizer
        self._gather(owner, schedulers)
        LRScheduler.__init__(self, owner)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The product."""
        result: Number = 1.0
        for k in range(len(self.schedulers)):
            result = result * self._part(k, t, initial, index)
        return result


class ReduceLROnPlateau(LRScheduler):
    """lr ← lr · factor when ``step(metric)`` has not seen an improvement for ``patience`` steps.

    Better means below best - threshold · |best| (mode "min", threshold_mode "rel"; "abs": best -
    threshold), so a worse value of a negative metric is not better. The rate stays at least
    ``min_lr`` (one for all groups, or a list), and a change smaller than ``eps`` is not made. Looks
    at the value of the metric, so not inside a compiled function.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in (0.5, 0.4, 0.4, 0.4):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    constraints = {
        "mode": choice("min", "max"),
        "factor_": number(0, 1, "[)"),
        "patience": integer(0),
        "threshold": number(0),
        "threshold_mode": choice("rel", "abs"),
        "cooldown": integer(0),
        "eps": number(0),
    }
    mode: str
    factor_: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    min_lrs: list[float]
    eps: float

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            optimizer,
            -1,
            mode=mode,
            factor_=factor,
            patience=patience,
            threshold=threshold,
            threshold_mode=threshold_mode,
            cooldown=cooldown,
            min_lrs=of_each_group("ReduceLROnPlateau", "min_lr", min_lr, optimizer),
            eps=eps,
        )
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def prepare(self) -> None:
        """Rates are not negative."""
        for least in list(self.min_lrs):
            check("ReduceLROnPlateau", {"min_lr": number(0)}, {"min_lr": least})

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """What it is: `step` changes it."""
        return self._factors[index] if index < len(self._factors) else scalar(1.0)

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(self.best):
            return value < self.best if self.mode == "min" else value > self.best
        least = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1.0)
        return value < self.best - least if self.mode == "min" else value > self.best + least

    def step(self, metrics: Any = None) -> None:
        """Look at the metric of this epoch."""
        if metrics is None:
            raise OptionError(
                "ReduceLROnPlateau: step needs the metric to watch: scheduler.step(validation_loss)"
            )
        settle(self.optimizer)
        value = float(metrics)
        self._count.assign(np.array(self._count.item() + 1, np.int64))
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for i, group in enumerate(self.optimizer.param_groups):
                factor, old = self._factors[i], group["lr"]
                new = max(old * self.factor_, self.min_lrs[i])
                if old - new > self.eps:
                    factor.assign(scalar(factor.item() * new / old))
            apply(self.optimizer)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """Count, factors, and what it remembers of the metric."""
        own = {k: getattr(self, k) for k in ("best", "num_bad_epochs", "cooldown_counter")}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the schedule whose `state_dict` this was."""
        super().load_state_dict(state_dict)
        for k in ("best", "num_bad_epochs", "cooldown_counter"):
            setattr(self, k, state_dict[k])
