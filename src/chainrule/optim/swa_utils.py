"""Averages of weights over training: stochastic weight averaging (SWA) and exponential (EMA)."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import OptionError
from ..nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ..nn.modes import in_mode
from ..nn.module import Module
from ..nn.options import check, choice, integer, number
from ..tensor.grad_mode import no_grad
from ..tensor.ops import elementwise as e
from ..tensor.ops.create import check_device
from ..tensor.tensor import Tensor
from ..tensor.value import stored
from .lr_scheduler.base import LRScheduler, Number, of_each_group
from .optimizer import Optimizer

Average = Callable[[Tensor, Tensor, Tensor], Any]
"""(average so far, new value, how many were averaged) -> new average."""


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average ← decay · average + (1 - decay) · new."""
    check("get_ema_avg_fn", {"decay": number(0, 1)}, {"decay": decay})
    return functools.partial(_ema, decay)


def get_swa_avg_fn() -> Average:
    """average ← average + (new - average) / (count + 1): the plain mean."""
    return _mean


# Functions with names: a model of averages can be pickled.
def _ema(decay: float, average: Tensor, new: Tensor, count: Tensor) -> Tensor:
    return decay * average + (1 - decay) * new


def _mean(average: Tensor, new: Tensor, count: Tensor) -> Tensor:
    return average + (new - average) / (count + 1).to(average.dtype)


MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor], None]
"""(averages so far, new values, how many were averaged): changes the averages in place."""


def _of_all(average: Average) -> MultiAverage:
    return functools.partial(_change, average)


def _change(
    average: Average, averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor
) -> None:
    for old, new in zip(averages, values, strict=True):
        old.assign(average(old.detach(), new, count))


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """`get_ema_avg_fn` for all parameters at once: the same numbers."""
    return _of_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverage:
    """`get_swa_avg_fn` for all parameters at once: the same numbers."""
    return _of_all(get_swa_avg_fn())


class AveragedModel(Module):
    """A model whose parameters are averages of another's; ``update_parameters`` adds one.

    The first call copies. ``avg_fn``: `get_swa_avg_fn` (default) or `get_ema_avg_fn`; or
    ``multi_avg_fn``, which changes all averages at once. ``use_buffers`` averages float buffers
    too; otherwise they are copied. Also inside compiled functions. Source: Izmailov et al., 2018
    (SWA); Polyak & Juditsky, 1992.

    >>> from chainrule import nn, optim
    >>> model = nn.Linear(1, 1)
    >>> average = optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     average.update_parameters(model)
    >>> average.module.weight.tolist()
    [[2.0]]
    """

    module: Module
    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        check_device(device)
        if avg_fn is not None and multi_avg_fn is not None:
            raise OptionError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", stored(np.zeros((), np.int64)))
        self.average = multi_avg_fn or _of_all(avg_fn or get_swa_avg_fn())
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Add the present parameters of ``model`` to the averages."""
        own, new = (
            [
                *m.parameters(),
                *(b for b in m.buffers() if self.use_buffers and b.is_floating_point()),
            ]
            for m in (self.module, model)
        )
        with no_grad():
            first = self.n_averaged == 0
            values = [value.detach() for value in new]
            self.average(own, values, self.n_averaged)
            for average, value in zip(own, values, strict=True):
                average.assign(e.where(first, value, average))
            if not self.use_buffers:
                for average, value in zip(self.module.buffers(), model.buffers(), strict=True):
                    average.assign(value.detach())
            self.n_averaged.assign(self.n_averaged + 1)


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Measure the running means of batch norms over the batches of ``loader``, with these weights.

    >>> import chainrule as cr
    >>> from chainrule import nn, optim
    >>> model = nn.BatchNorm1d(1)
    >>> optim.swa_utils.update_bn([cr.tensor([[1.0], [3.0]]), cr.tensor([[3.0], [5.0]])], model)
    >>> model.running_mean
    tensor([3.])
    """
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d)]
    if not norms:
        return
    before = [(m, m.momentum) for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    try:
        with in_mode(model, True), no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
    finally:
        for m, momentum in before:
            m.momentum = momentum


class SWALR(LRScheduler):
    """From the rate where it begins to swa_lr in anneal_epochs steps, and then constant.

    lr ← (1 - a) lr + a swa_lr, with a = (1 - cos(π t / anneal_epochs)) / 2 or ("linear") the part
    t / anneal_epochs. It begins with its first ``step()`` (anneal_epochs 0: at once); until then
    other schedules set the rate.

    >>> from chainrule import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter([1.0])], lr=1.0)
    >>> schedule = optim.swa_utils.SWALR(optimizer, 0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> [(schedule.get_last_lr()[0], schedule.step())[0] for _ in range(4)]
    [1.0, 0.75, 0.5, 0.5]
    """

    constraints = {"anneal_epochs": integer(0), "anneal_strategy": choice("cos", "linear")}
    anneal_epochs: int
    anneal_strategy: str
    swa_lrs: list[float]

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        super().__init__(
            optimizer,
            last_epoch,
            anneal_epochs=anneal_epochs,
            anneal_strategy=anneal_strategy,
            swa_lrs=of_each_group("SWALR", "swa_lr", swa_lr, optimizer),
        )

    def _check_rate(self, name: str) -> None:
        """It goes to a rate of its own, also from 0."""

    def prepare(self) -> None:
        """Rates are not negative."""
        for rate in self.swa_lrs:
            check("SWALR", {"swa_lr": number(0)}, {"swa_lr": rate})

    def factor(self, t: Number, initial: float, index: int) -> Number:
        """How far it has come, from 0 to 1."""
        if not self.anneal_epochs:
            return t * 0 + 1.0
        part = e.clip(t / self.anneal_epochs, 0.0, 1.0)
        return part if self.anneal_strategy == "linear" else (1 - e.cos(math.pi * part)) * 0.5

    def combine(self, lr: Number, index: int) -> Number:
        """Between the rate of the other schedules and swa_lr."""
        part: Any = self._factors[index]
        if self._rebased:  # what is left of the way since a rate was set by hand
            gone = self._since[index]
            part = e.where(gone >= 1, 0.0, (part - gone) / e.where(gone >= 1, 1.0, 1 - gone))
        return lr * (1 - part) + self.swa_lrs[index] * part
