"""Learning rate schedules: lr as a function of the count of ``scheduler.step()`` calls.

A schedule is a closed formula f(t) of a count t that is a tensor, so ``step`` works at once and inside a
compiled function. With several schedules on one optimizer lr is the product of their factors:
lr = initial_lr · Π fᵢ(tᵢ). Names, arguments and values are those of ``torch.optim.lr_scheduler``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import OptionError
from ..nn.options import Constraint, check, choice, integer, number
from ..tensor import elementwise as e
from ..tensor.capture import active
from ..tensor.tensor import Tensor
from ..tensor.value import no_grad, stored
from .group import ParamGroup, scalar
from .optimizer import Optimizer

Number = Any  # a float64 tensor, or a Python number


class LRScheduler:
    """Base class. A subclass gives ``factor(t, initial)``: lr at count t, divided by the initial lr."""

    constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, **options: Any) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise OptionError(f"{name}: the first argument is an optimizer, got {type(optimizer).__name__}")
        check(name, {"last_epoch": integer(-1), **self.constraints}, {"last_epoch": last_epoch, **options})
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
                lr = lr * schedule._factors[i]
            group["lr"] = lr

    def get_last_lr(self) -> list[Any]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Count and factors."""
        return {
            "last_epoch": self._count.item(), "base_lrs": list(self.base_lrs),
            "factors": [f.item() for f in self._factors],
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the schedule whose `state_dict` this was."""
        self.base_lrs = [float(x) for x in state_dict["base_lrs"]]
        self._count.assign(np.array(state_dict["last_epoch"], np.int64))
        for factor, value in zip(self._factors, state_dict["factors"], strict=True):
            factor.assign(scalar(value))
        for group, initial in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["initial_lr"] = initial
        self._apply()


def schedulers(optimizer: Optimizer) -> list[LRScheduler]:
    """The schedules of an optimizer, in the order they were made."""
    found: list[LRScheduler] = optimizer.__dict__.setdefault("_schedulers", [])
    return found


def _double(value: Number) -> Tensor:
    """As a float64 tensor; a Python number keeps all its digits."""
    return value.double() if isinstance(value, Tensor) else scalar(float(value))


def _power(base: float, exponent: Number) -> Number:
    return e.power(base, exponent)


# -- functions of the user's ------------------------------------------------------------------------------
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
    """lr ← lr · f(t) at each step."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self.lr_lambdas = _functions("MultiplicativeLR", optimizer, lr_lambda)
        self._made = False
        super().__init__(optimizer, last_epoch)
        self._made = True

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The product so far."""
        if not self._made:
            return 1.0
        return self._factors[index] * self.lr_lambdas[index](t if active.capture is not None else int(t))


def _functions(name: str, optimizer: Optimizer, given: Any) -> list[Callable[[Any], Any]]:
    groups = len(optimizer.param_groups)
    listed = list(given) if isinstance(given, list | tuple) else [given] * groups
    if len(listed) != groups or not all(callable(f) for f in listed):
        raise OptionError(
            f"{name}: lr_lambda is a function, or a list of {groups} functions (one for each group),"
            f" got {given!r}"
        )
    return listed


# -- steps and decay ------------------------------------------------------------------------------------
class StepLR(LRScheduler):
    """lr = initial · gamma^⌊t / step_size⌋."""

    constraints = {"step_size": integer(1), "gamma": number(0)}
    step_size: int
    gamma: float

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, step_size=step_size, gamma=gamma)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^⌊t / step_size⌋."""
        return _power(self.gamma, e.floor(t / self.step_size))


class MultiStepLR(LRScheduler):
    """lr = initial · gamma^(how many milestones are ≤ t)."""

    constraints = {"gamma": number(0)}
    gamma: float

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        check("MultiStepLR", {"milestones": integer(0)}, {"milestones": min(self.milestones, default=0)})
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^passed."""
        return _power(self.gamma, _passed(self.milestones, t))


def _passed(milestones: Sequence[float], t: Number) -> Number:
    """How many milestones are ≤ t, float64."""
    if not milestones:
        return t * 0
    return (t >= stored(np.array(milestones, np.float64))).to("float64").sum()


class ExponentialLR(LRScheduler):
    """lr = initial · gamma^t."""

    constraints = {"gamma": number(0)}
    gamma: float

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """gamma^t."""
        return _power(self.gamma, t)


class ConstantLR(LRScheduler):
    """lr = initial · factor until t = total_iters, then initial."""

    constraints = {"factor_": number(0, 1), "total_iters": integer(0)}
    factor_: float
    total_iters: int

    def __init__(
        self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, factor_=factor, total_iters=total_iters)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The factor, or 1."""
        return e.where(t < self.total_iters, scalar(self.factor_), 1.0)


class LinearLR(LRScheduler):
    """lr = initial · a straight line from start_factor to end_factor at t = total_iters: a warm-up."""

    constraints = {
        "start_factor": number(0, 1, "(]"), "end_factor": number(0, 1), "total_iters": integer(1),
    }  # fmt: skip
    start_factor: float
    end_factor: float
    total_iters: int

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0,
        total_iters: int = 5, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(
            optimizer, last_epoch, start_factor=start_factor, end_factor=end_factor, total_iters=total_iters
        )

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The line."""
        part = e.minimum(t, float(self.total_iters)) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class PolynomialLR(LRScheduler):
    """lr = initial · (1 - t / total_iters)^power, 0 from total_iters on."""

    constraints = {"total_iters": integer(1), "power": number(0)}
    total_iters: int
    power: float

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, total_iters=total_iters, power=power)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The power."""
        return e.power(1 - e.minimum(t, float(self.total_iters)) / self.total_iters, float(self.power))


class NoamLR(LRScheduler):
    """lr = initial · d_model^-½ · min(t^-½, t · warmup_steps^-3/2), t from 1 (Vaswani et al., 2017).

    Give the optimizer lr=1.0 (or the factor wanted).
    """

    constraints = {"d_model": integer(1), "warmup_steps": integer(1)}
    d_model: int
    warmup_steps: int

    def __init__(self, optimizer: Optimizer, d_model: int, warmup_steps: int, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, d_model=d_model, warmup_steps=warmup_steps)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The formula at t + 1."""
        n = t + 1
        return self.d_model**-0.5 * e.minimum(1 / e.sqrt(n), n * self.warmup_steps**-1.5)


# -- cosines --------------------------------------------------------------------------------------------
def _relative(value: Number, initial: float) -> Number:
    return value / initial if initial else value * 0


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial - eta_min) (1 + cos(π t / T_max)) / 2 (Loshchilov & Hutter, 2017)."""

    constraints = {"T_max": integer(1), "eta_min": number(0)}
    T_max: int
    eta_min: float

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:  # noqa: N803
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
            growth = e.round(_power(float(self.T_mult), _passed(starts, t)))
            since = t - self.T_0 * (growth - 1) / (self.T_mult - 1)
            length = self.T_0 * growth
        wave = (1 + e.cos(math.pi * since / length)) * 0.5
        return _relative(self.eta_min + (initial - self.eta_min) * wave, initial)


class WarmupCosineLR(LRScheduler):
    """From 0 in a straight line to initial at warmup_steps, then by a cosine to eta_min at total_steps."""

    constraints = {"warmup_steps": integer(0), "total_steps": integer(1), "eta_min": number(0)}
    warmup_steps: int
    total_steps: int
    eta_min: float

    def __init__(
        self, optimizer: Optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not warmup_steps < total_steps:
            raise OptionError(
                "WarmupCosineLR: warmup_steps must be below total_steps,"
                f" got {warmup_steps} and {total_steps}"
            )
        super().__init__(
            optimizer, last_epoch, warmup_steps=warmup_steps, total_steps=total_steps, eta_min=eta_min
        )

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The line (from 1 / warmup_steps at t = 0), or the cosine."""
        part = (t - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        wave = (1 + e.cos(math.pi * e.clip(part, 0.0, 1.0))) * 0.5
        cosine = _relative(self.eta_min + (initial - self.eta_min) * wave, initial)
        return e.where(t < self.warmup_steps, (t + 1) / max(self.warmup_steps, 1), cosine)


class OneCycleLR(LRScheduler):
    """Up to max_lr and down to almost 0 in total_steps, and momentum the other way (Smith & Topin, 2017).

    lr starts at max_lr / div_factor, is max_lr after ``pct_start`` of the steps, and ends at
    initial / final_div_factor. ``cycle_momentum`` moves momentum (or β₁) between max_ and base_momentum.
    """

    constraints = {
        "pct_start": number(0, 1), "anneal_strategy": choice("cos", "linear"),
        "div_factor": number(0, brackets="()"), "final_div_factor": number(0, brackets="()"),
        "base_momentum": number(0, 1, "[)"), "max_momentum": number(0, 1, "[)"),
        "total_steps": integer(1),
    }  # fmt: skip
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
        self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
        cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise OptionError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        groups = len(optimizer.param_groups)
        max_lrs = list(max_lr) if isinstance(max_lr, list | tuple) else [max_lr] * groups
        super().__init__(
            optimizer, last_epoch, total_steps=total_steps, pct_start=pct_start,
            anneal_strategy=anneal_strategy, cycle_momentum=cycle_momentum, base_momentum=base_momentum,
            max_momentum=max_momentum, div_factor=div_factor, final_div_factor=final_div_factor,
            three_phase=three_phase, max_lrs=max_lrs,
        )  # fmt: skip

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
            return [(up, "initial", "max", "max", "base"), (down, "max", "initial", "base", "max"),
                    (end, "initial", "min", "max", "max")]  # fmt: skip
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
                (end, self._anneal(values[str(phase[columns[0]])], values[str(phase[columns[1]])], part))
            )
            start = end
        for end, value in reversed(spans):
            result = value if result is None else e.where(t <= end, value, result)
        return result

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The phase's curve, divided by the initial rate."""
        t = e.minimum(t, float(self.total_steps - 1))
        if self.cycle_momentum:
            momentum = self._curve(t, {"base": self.base_momentum, "max": self.max_momentum}, (3, 4))
            self._set_momentum(self.optimizer.param_groups[index], momentum)
        rates = {"initial": initial, "max": self.max_lrs[index], "min": initial / self.final_div_factor}
        return self._curve(t, rates, (1, 2)) / initial

    @staticmethod
    def _set_momentum(group: ParamGroup, momentum: Number) -> None:
        value = momentum if active.capture is not None else float(momentum)
        if "betas" in group:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


# -- combinations -------------------------------------------------------------------------------------------
class SequentialLR(LRScheduler):
    """One schedule after another: the next begins, at its count 0, when t reaches a milestone."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if len(schedulers) != len(milestones) + 1:
            raise OptionError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones,"
                f" got {len(milestones)}"
            )
        self._take(optimizer, schedulers)
        self.milestones = list(milestones)
        super().__init__(optimizer, last_epoch)

    def _take(self, optimizer: Optimizer, listed: Sequence[LRScheduler]) -> None:
        self.schedulers = list(listed)
        for schedule in self.schedulers:
            if schedule.optimizer is not optimizer or schedule not in schedulers(optimizer):
                raise OptionError(
                    f"{type(self).__name__}: the schedules must be of the optimizer given, each once"
                )
        for schedule in self.schedulers:
            schedulers(optimizer).remove(schedule)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The factor of the schedule whose turn it is."""
        starts = [0, *self.milestones]
        if active.capture is None:
            k = sum(m <= t.item() for m in self.milestones)
            return self.schedulers[k].factor(t - starts[k], initial, index)
        result: Number = None
        for k in reversed(range(len(starts))):
            value = self.schedulers[k].factor(e.maximum(t - starts[k], 0.0), initial, index)
            result = value if result is None else e.where(t < starts[k + 1], value, result)
        return result


class ChainedScheduler(SequentialLR):
    """All schedules together: the product of their factors."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise OptionError("ChainedScheduler: there are no schedules")
        owner = schedulers[0].optimizer if optimizer is None else optimizer
        self._take(owner, schedulers)
        LRScheduler.__init__(self, owner)

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """The product."""
        result: Number = 1.0
        for schedule in self.schedulers:
            result = result * schedule.factor(t, initial, index)
        return result


class ReduceLROnPlateau(LRScheduler):
    """lr ← lr · factor when ``step(metric)`` has not seen an improvement for ``patience`` steps.

    Better means below best · (1 - threshold) (mode "min", threshold_mode "rel"; "abs": best - threshold).
    Looks at the value of the metric, so not inside a compiled function.
    """

    constraints = {
        "mode": choice("min", "max"), "factor_": number(0, 1, "[)"), "patience": integer(0),
        "threshold": number(0), "threshold_mode": choice("rel", "abs"), "cooldown": integer(0),
        "min_lr": number(0), "eps": number(0),
    }  # fmt: skip
    mode: str
    factor_: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    min_lr: float
    eps: float

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0, min_lr: float = 0,
        eps: float = 1e-8,
    ) -> None:  # fmt: skip
        super().__init__(
            optimizer, -1, mode=mode, factor_=factor, patience=patience, threshold=threshold,
            threshold_mode=threshold_mode, cooldown=cooldown, min_lr=min_lr, eps=eps,
        )  # fmt: skip
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """What it is: `step` changes it."""
        return self._factors[index]

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * value < sign * self.best * (1 - sign * self.threshold) if math.isfinite(self.best) \
                else sign * value < sign * self.best  # fmt: skip
        return sign * value < sign * self.best - self.threshold

    def step(self, metrics: Any = None) -> None:
        """Look at the metric of this epoch."""
        if metrics is None:
            raise OptionError(
                "ReduceLROnPlateau: step needs the metric to watch: scheduler.step(validation_loss)"
            )
        value = float(metrics)
        self._count.assign(self._count + 1)
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for factor, group in zip(self._factors, self.optimizer.param_groups, strict=True):
                old = group["lr"]
                new = max(old * self.factor_, self.min_lr)
                if old - new > self.eps:
                    factor.assign(scalar(factor.item() * new / old))
            self._apply()
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
