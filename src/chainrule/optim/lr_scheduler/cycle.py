"""Schedules in cycles that move the momentum against the rate: one cycle, and many."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...errors import OptionError
from ...nn.options import check, choice, integer, number, optional, takes_options
from ...tensor.capture import active
from ...tensor.ops import elementwise as e
from ..group import ParamGroup
from ..optimizer import Optimizer
from .base import LRScheduler, Number, of_each_group, power

_MOMENTUM = number(0, 1, "[)")


def track_momentum(name: str, group: ParamGroup) -> None:
    """Make momentum (or β₁) state that a schedule can change; OptionError if there is none."""
    if "betas" not in group and not group.get("momentum"):
        raise OptionError(
            f"{name}: cycle_momentum=True needs an optimizer with momentum or betas: give it"
            " momentum=0.9, or the schedule cycle_momentum=False"
        )
    group.track("betas" if "betas" in group else "momentum")


def set_momentum(group: ParamGroup, momentum: Number) -> None:
    """Set momentum, or β₁."""
    value = momentum if active.capture is not None else float(momentum)
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class OneCycleLR(LRScheduler):
    """Up to max_lr, down to almost 0 in total_steps; momentum the other way (Smith & Topin, 2017).

    lr starts at max_lr / div_factor, is max_lr after ``pct_start`` of the steps, and ends at
    initial / final_div_factor. ``cycle_momentum`` moves momentum (or β₁) the other way.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.lr_scheduler.OneCycleLR(optimizer, 2.0, 5, cycle_momentum=False)
    >>> [(round(schedule.get_last_lr()[0], 4), schedule.step())[0] for _ in range(5)]
    [0.08, 1.901, 1.2225, 0.3765, 0.0]
    """

    constraints = {
        "pct_start": number(0, 1),
        "anneal_strategy": choice("cos", "linear"),
        "div_factor": number(0, brackets="()"),
        "final_div_factor": number(0, brackets="()"),
        "base_momentum": _MOMENTUM,
        "max_momentum": _MOMENTUM,
        "total_steps": integer(1),
    }
    sets_rate = True
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
        max_lrs = of_each_group("OneCycleLR", "max_lr", max_lr, optimizer)
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
                track_momentum("OneCycleLR", group)

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
            set_momentum(self.optimizer.param_groups[index], momentum)
        rates = {
            "initial": initial,
            "max": self.max_lrs[index],
            "min": initial / self.final_div_factor,
        }
        return self._curve(t, rates, (1, 2)) / initial


class CyclicLR(LRScheduler):
    """Up from base_lr to max_lr in step_size_up steps and down in step_size_down, again and again.

    lr = base_lr + (max_lr - base_lr) · h · s, h the height in the triangle. ``mode``: "triangular"
    s = 1; "triangular2" s = ½^(cycles passed); "exp_range" s = gamma^t. Or give a ``scale_fn`` of
    the number of the cycle, from 1, or (``scale_mode="iterations"``) of t; inside a compiled
    function it gets a tensor. ``cycle_momentum`` moves momentum (or β₁) the other way, from
    max_momentum to base_momentum. Source: Smith, 2017.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.1, momentum=0.9)
    >>> schedule = optim.lr_scheduler.CyclicLR(optimizer, 0.0, 0.5, step_size_up=2)
    >>> [(schedule.get_last_lr()[0], schedule.step())[0] for _ in range(5)]
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """

    constraints = {
        "step_size_up": integer(1),
        "step_size_down": optional(integer(1)),
        "mode": choice("triangular", "triangular2", "exp_range"),
        "gamma": number(0),
        "scale_mode": choice("cycle", "iterations"),
        "base_momentum": _MOMENTUM,
        "max_momentum": _MOMENTUM,
    }
    sets_rate = True
    step_size_up: int
    step_size_down: int | None
    mode: str
    gamma: float
    scale_fn: Callable[[Any], Any] | None
    scale_mode: str
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float
    base_lr: Any
    max_lr: Any
    lows: list[float]
    highs: list[float]

    @takes_options
    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: Any,
        max_lr: Any,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[Any], Any] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None: ...

    def prepare(self) -> None:
        """Factors are of max_lr, because base_lr may be 0; momentum becomes state."""
        groups = self.optimizer.param_groups
        self.lows = of_each_group("CyclicLR", "base_lr", self.base_lr, self.optimizer)
        self.highs = of_each_group("CyclicLR", "max_lr", self.max_lr, self.optimizer)
        for group, low, high in zip(groups, self.lows, self.highs, strict=True):
            check("CyclicLR", {"base_lr": number(0)}, {"base_lr": low})
            check("CyclicLR", {"max_lr": number(0, brackets="()")}, {"max_lr": high})
            group["initial_lr"] = high
            if self.cycle_momentum:
                track_momentum("CyclicLR", group)

    def _scale(self, t: Number, cycle: Number) -> Number:
        if self.scale_fn is not None:
            x = cycle if self.scale_mode == "cycle" else t
            return self.scale_fn(x if active.capture is not None else float(x))
        if self.mode == "exp_range":
            return power(self.gamma, t)
        return power(0.5, cycle - 1) if self.mode == "triangular2" else 1.0

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The height in the cycle, as a part of max_lr."""
        up = float(self.step_size_up)
        total = up + float(up if self.step_size_down is None else self.step_size_down)
        passed = e.floor(t / total)
        part, top = t / total - passed, up / total
        height = e.where(part <= top, part / top, (part - 1) / (top - 1))
        height = height * self._scale(t, 1 + passed)
        if self.cycle_momentum:
            momentum = self.max_momentum - (self.max_momentum - self.base_momentum) * height
            set_momentum(self.optimizer.param_groups[index], momentum)
        low, high = self.lows[index], self.highs[index]
        return (low + (high - low) * height) / high
