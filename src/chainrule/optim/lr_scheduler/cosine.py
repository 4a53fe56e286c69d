"""Schedules with cosines: annealing, restarts, warm-up, one cycle."""

from __future__ import annotations

import math
from typing import Any

from ...errors import OptionError
from ...nn.options import check, choice, integer, number
from ...tensor import elementwise as e
from ...tensor.capture import active
from ..group import ParamGroup
from ..optimizer import Optimizer
from .base import LRScheduler, Number, passed, power


def _relative(value: Number, initial: float) -> Number:
    return value / initial if initial else value * 0


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π t / T_max)) / 2 (Loshchilov & Hutter, 2017)."""

    constraints = {"T_max": integer(1), "eta_min": number(0)}
    T_max: int
    eta_min: float

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:  # noqa: N803
        super().__init__(optimizer, last_epoch, T_max=T_max, eta_min=eta_min)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The cosine."""
        wave = (1 + e.cos(t * (math.pi / self.T_max))) * 0.5
        return _relative(self.eta_min + (initial - self.eta_min) * wave, initial)


class CosineAnnealingWarmRestarts(LRScheduler):
    """`CosineAnnealingLR` that starts again after T_0 steps, then T_0 · T_mult, T_0 · T_mult², …"""

    constraints = {"T_0": integer(1), "T_mult": integer(1), "eta_min": number(0)}
    T_0: int
    T_mult: int
    eta_min: float

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,  # noqa: N803
    ) -> None:
        super().__init__(optimizer, last_epoch, T_0=T_0, T_mult=T_mult, eta_min=eta_min)

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
    """From 0 in a straight line to initial at warmup_steps, then by a cosine to eta_min at
    total_steps."""

    constraints = {"warmup_steps": integer(0), "total_steps": integer(1), "eta_min": number(0)}
    warmup_steps: int
    total_steps: int
    eta_min: float

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not warmup_steps < total_steps:
            raise OptionError(
                f"WarmupCosineLR: warmup_steps must be below total_steps, got {warmup_steps} and "
                f"{total_steps}"
            )
        super().__init__(
            optimizer,
            last_epoch,
            warmup_steps=warmup_steps,
            total_steps=total_steps,
            eta_min=eta_min,
        )

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The line (from 1 / warmup_steps at t = 0), or the cosine."""
        part = (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        wave = (1 + e.cos(math.pi * e.clip(part, 0.0, 1.0))) * 0.5
        cosine = _relative(self.eta_min + (initial - self.eta_min) * wave, initial)
        return e.where(t < self.warmup_steps, (t + 1) / max(self.warmup_steps, 1), cosine)


class OneCycleLR(LRScheduler):
    """Up to max_lr and down to almost 0 in total_steps, and momentum the other way (Smith & Topin,
    2017).

    lr starts at max_lr / div_factor, is max_lr after ``pct_start`` of the steps, and ends at
    initial / final_div_factor. ``cycle_momentum`` moves momentum (or β₁) between max_ and
    base_momentum.
    """

    constraints = {
        "pct_start": number(0, 1),
        "anneal_strategy": choice("cos", "linear"),
        "div_factor": number(0, brackets="()"),
        "final_div_factor": number(0, brackets="()"),
        "base_momentum": number(0, 1, "[)"),
        "max_momentum": number(0, 1, "[)"),
        "total_steps": integer(1),
    }
    total_steps: int
    pct_start: float
    anneal_strategy: str
    div_factor: float
    final_div_factor: float
    base_momentum: float
    max_momentum: float
    three_phase: bool
    cycle_momentum: bool
    max_lrs: list[float]

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise OptionError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        groups = len(optimizer.param_groups)
        max_lrs = list(max_lr) if isinstance(max_lr, list | tuple) else [max_lr] * groups
        super().__init__(
            optimizer,
            last_epoch,
            total_steps=total_steps,
            pct_start=pct_start,
            anneal_strategy=anneal_strategy,
            cycle_momentum=cycle_momentum,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
            three_phase=three_phase,
            max_lrs=max_lrs,
        )

    def prepare(self) -> None:
        """The lowest rates are the initial ones; momentum becomes state."""
        for group, max_lr in zip(self.optimizer.param_groups, self.max_lrs, strict=True):
            check("OneCycleLR", {"max_lr": number(0, brackets="()")}, {"max_lr": max_lr})
            group["initial_lr"] = max_lr / self.div_factor
            if self.cycle_momentum:
                names = [n for n in ("momentum", "betas") if n in group]
                if not names or (names == ["momentum"] and not group["momentum"]):
                    raise OptionError(
                        "OneCycleLR: cycle_momentum=True needs an optimizer with momentum or betas"
                    )
                group.track(names[-1])

    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """For each phase: its last step, and where lr and momentum start and end."""
        up = float(self.pct_start * self.total_steps) - 1
        end = float(self.total_steps) - 1
        if self.three_phase:
            down = float(2 * self.pct_start * self.total_steps) - 2
            return [
                (up, "initial", "max", "max", "base"),
                (down, "max", "initial", "base", "max"),
                (end, "initial", "min", "max", "max"),
            ]
        return [(up, "initial", "max", "max", "base"), (end, "max", "min", "base", "max")]

    def _anneal(self, start: float, stop: float, part: Number) -> Number:
        if self.anneal_strategy == "linear":
            return start + (stop - start) * part
        return stop + (start - stop) * 0.5 * (1 + e.cos(math.pi * part))

    def _curve(self, t: Number, values: dict[str, float], columns: tuple[int, int]) -> Number:
        result: Number = None
        start = 0.0
        spans: list[tuple[float, Number]] = []
        for phase in self._phases():
            end = phase[0]
            part = (t - start) / (end - start) if end != start else t * 0 + 1.0
            spans.append(
                (
                    end,
                    self._anneal(
                        values[str(phase[columns[0]])], values[str(phase[columns[1]])], part
                    ),
                )
            )
            start = end
        for end, value in reversed(spans):
            result = value if result is None else e.where(t <= end, value, result)
        return result

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The phase's curve, divided by the initial rate."""
        t = e.minimum(t, float(self.total_steps - 1))
        if self.cycle_momentum:
            momentum = self._curve(
                t, {"base": self.base_momentum, "max": self.max_momentum}, (3, 4)
            )
            self._set_momentum(self.optimizer.param_groups[index], momentum)
        rates = {
            "initial": initial,
            "max": self.max_lrs[index],
            "min": initial / self.final_div_factor,
        }
        return self._curve(t, rates, (1, 2)) / initial

    @staticmethod
    def _set_momentum(group: ParamGroup, momentum: Number) -> None:
        value = momentum if active.capture is not None else float(momentum)
        if "betas" in group:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value
