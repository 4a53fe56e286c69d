"""Base of the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ...errors import OptionError
from ...nn.options import Constraint, check, integer
from ...tensor.capture import active, depends_on, outside
from ...tensor.grad_mode import no_grad
from ...tensor.ops import elementwise as e
from ...tensor.tensor import Tensor
from ...tensor.value import stored
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
    sets_rate: ClassVar[bool] = False
    """Whether it brings the initial rate with it, whatever the rate was before."""

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
        if last_epoch >= 0:  # a resume: the rate is that of an earlier schedule, not a new start
            for group in optimizer.param_groups:
                group.by_hand = False
        settle(optimizer)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.prepare()
        self._check_rate(name)
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._count = stored(np.array(last_epoch + 1, np.int64))
        self._factors = [scalar(1.0) for _ in self.base_lrs]
        self._since = [scalar(1.0) for _ in self.base_lrs]
        self._rebased = False  # whether some of _since is not 1
        schedulers(optimizer).append(self)
        self._set()

    def _take(self, options: dict[str, Any]) -> None:
        LRScheduler.__init__(self, **options)

    def prepare(self) -> None:
        """Options that depend on the optimizer."""

    def _check_rate(self, name: str) -> None:
        """Raise OptionError where all that this schedule gives would be 0."""
        if self.sets_rate:
            for i in range(len(self.optimizer.param_groups)):
                _rebase(self.optimizer, i)
            return
        stepped = [s for s in schedulers(self.optimizer) if s._count.item()]
        for i, group in enumerate(self.optimizer.param_groups):
            if stepped and group["lr"] == 0 and group["initial_lr"] != 0:
                raise OptionError(
                    f"{name}: the learning rate of group {i} is 0, where "
                    f"{type(stepped[-1]).__name__} has ended, and a schedule multiplies it; set it"
                    f' first: optimizer.param_groups[{i}]["lr"] = ...'
                )

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """lr / initial lr of the group with number ``index`` at count ``t`` (float64)."""
        raise NotImplementedError(f"{type(self).__name__} has no factor method")

    @property
    def last_epoch(self) -> Any:
        """The count of steps (a tensor inside a compiled function)."""
        return self._count if active.capture is not None else self._count.item()

    def step(self) -> None:
        """One more step: set the learning rate for it."""
        settle(self.optimizer)
        with no_grad():
            self._count.assign(self._count + 1)
        self._set()

    def _set(self) -> None:
        t = self._count.double()
        with no_grad():
            for i, (factor, initial) in enumerate(zip(self._factors, self.base_lrs, strict=True)):
                factor.assign(_double(self.factor(t, initial, i)))
            apply(self.optimizer)

    def _join(self) -> None:
        """Take in groups that were added to the optimizer: they go on from their own rates."""
        for i in range(len(self.base_lrs), len(self.optimizer.param_groups)):
            group = self.optimizer.param_groups[i]
            group.setdefault("initial_lr", group["lr"])
            initial = float(group["initial_lr"])
            try:
                now = _double(self.factor(self._count.double(), initial, i)).item()
            except IndexError:
                raise OptionError(
                    f"{type(self).__name__} was made with options for {i} parameter groups, and the"
                    f" optimizer has {len(self.optimizer.param_groups)} now; call add_param_group "
                    "before the schedule is made, or give it one value for all groups"
                ) from None
            self.base_lrs.append(initial)
            self._factors.append(scalar(now))
            self._since.append(scalar(now))
            self._rebased = True

    def combine(self, lr: Number, index: int) -> Number:
        """The rate of the group with number ``index`` after this schedule, given it before."""
        now = self._factors[index]
        if not self._rebased:
            return lr * now
        # Since a rate was set by hand: f(t) / f(then). A schedule that was at 0 stays out of it
        # until it moves.
        then = self._since[index]
        return lr * e.where(
            then == 0, e.where(now == 0, 1.0, now), now / e.where(then == 0, 1.0, then)
        )

    def get_last_lr(self) -> list[Any]:
        """The learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Count and factors, and the rates that they multiply."""
        return {
            "last_epoch": self._count.item(),
            "base_lrs": list(self.base_lrs),
            "initial_lrs": [float(g["initial_lr"]) for g in self.optimizer.param_groups],
            "factors": [f.item() for f in self._factors],
            "since": [f.item() for f in self._since],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue as the schedule whose `state_dict` this was."""
        settle(self.optimizer)
        self.base_lrs = [float(x) for x in state_dict["base_lrs"]]
        self._count.assign(np.array(state_dict["last_epoch"], np.int64))
        for name, held in (("factors", self._factors), ("since", self._since)):
            for tensor, value in zip(held, state_dict[name], strict=True):
                tensor.assign(scalar(value))
        self._rebased = any(value != 1 for value in state_dict["since"])
        initials = state_dict["initial_lrs"]
        for group, initial in zip(self.optimizer.param_groups, initials, strict=True):
            group["initial_lr"] = float(initial)
        apply(self.optimizer)


def apply(optimizer: Optimizer) -> None:
    """lr = initial lr · the product of the factors of all schedules of the optimizer."""
    depends_on(optimizer, "_sharing")
    for schedule in schedulers(optimizer):
        depends_on(schedule, "_rebased")
    for i, group in enumerate(optimizer.param_groups):
        depends_on(group, "initial_lr")
        lr: Any = group["initial_lr"]
        for schedule in schedulers(optimizer):
            lr = schedule.combine(lr, i)
        group.put("lr", lr)


def settle(optimizer: Optimizer) -> None:
    """Look at what users have done to the groups: added some, or set a rate by hand."""
    with outside():
        for schedule in schedulers(optimizer):
            schedule._join()
        for i, group in enumerate(optimizer.param_groups):
            if group.by_hand and group.initial_lr is not None:
                group["initial_lr"] = group["lr"]
                _rebase(optimizer, i)
            group.by_hand = False
    for group in optimizer.param_groups:
        depends_on(group, "by_hand")


def _rebase(optimizer: Optimizer, index: int) -> None:
    """From now on the schedules count as 1 for this group."""
    for schedule in schedulers(optimizer):
        schedule._since[index].assign(scalar(schedule._factors[index].item()))
        schedule._rebased = True


class OneForAll(list[Any]):
    """The same option for each group, also for groups that come later."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(0 if isinstance(index, int) else index)


def of_each_group(owner: str, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for each parameter group, from a list or from one for all."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else OneForAll([value] * groups)
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
