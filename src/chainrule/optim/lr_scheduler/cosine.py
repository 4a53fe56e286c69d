"""Schedules with cosines: annealing, restarts, warm-up."""

from __future__ import annotations

import math

from ...errors import OptionError
from ...nn.options import integer, number, takes_options
from ...tensor.ops import elementwise as e
from ..optimizer import Optimizer
from .base import LRScheduler, Number, passed, power


def _relative(value: Number, initial: float) -> Number:
    return value / initial if initial else value * 0


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π t / T_max)) / 2 (Loshchilov & Hutter, 2017).

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0]
    """

    constraints = {"T_max": integer(1), "eta_min": number(0)}
    T_max: int
    eta_min: float

    @takes_options
    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The cosine."""
        wave = (1 + e.cos(t * (math.pi / self.T_max))) * 0.5
        return _relative(self.eta_min + (initial - self.eta_min) * wave, initial)


class CosineAnnealingWarmRestarts(LRScheduler):
    """`CosineAnnealingLR` that starts again after T_0 steps, then T_0 · T_mult, T_0 · T_mult², …

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    constraints = {"T_0": integer(1), "T_mult": integer(1), "eta_min": number(0)}
    T_0: int
    T_mult: int
    eta_min: float

    @takes_options
    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None: ...

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The cosine of the part of the period that has passed."""
        if self.T_mult == 1:
            length: Number = float(self.T_0)
            since = e.remainder(t, length)
        else:
            starts = [float(self.T_0)]  # where the periods after the first begin
            while starts[-1] < 2.0**53:
                starts.append(self.T_0 + starts[-1] * self.T_mult)
            growth = e.round(power(float(self.T_mult), passed(starts, t)))
            since = t - self.T_0 * (growth - 1) / (self.T_mult - 1)
            length = self.T_0 * growth
        wave = (1 + e.cos(math.pi * since / length)) * 0.5
        return _relative(self.eta_min + (initial - self.eta_min) * wave, initial)


class WarmupCosineLR(LRScheduler):
    """lr = initial · (t + 1) / warmup_steps, then the cosine of `CosineAnnealingLR` to eta_min.

    The cosine begins at t = warmup_steps and ends at total_steps; eta_min stays after it.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.WarmupCosineLR(optimizer, 2, 4)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    constraints = {"warmup_steps": integer(0), "total_steps": integer(1), "eta_min": number(0)}
    warmup_steps: int
    total_steps: int
    eta_min: float

    @takes_options
    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None: ...

    def prepare(self) -> None:
        """The line ends before the cosine."""
        if not self.warmup_steps < self.total_steps:
            raise OptionError(
                f"WarmupCosineLR: warmup_steps must be below total_steps, got {self.warmup_steps} "
                f"and {self.total_steps}"
            )

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The line (from 1 / warmup_steps at t = 0), or the cosine."""
        part = (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        wave = (1 + e.cos(math.pi * e.clip(part, 0.0, 1.0))) * 0.5
        cosine = _relative(self.eta_min + (initial - self.eta_min) * wave, initial)
        return e.where(t < self.warmup_steps, (t + 1) / max(self.warmup_steps, 1), cosine)
