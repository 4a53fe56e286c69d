"""Averages of weights over training: stochastic weight averaging (SWA) and exponential (EMA)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..nn.module import Module
from ..nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ..nn.options import check, number
from ..tensor.tensor import Tensor
from ..tensor.value import no_grad, stored

Average = Callable[[Tensor, Tensor, Tensor], Any]
"""(average so far, new value, how many were averaged) -> new average."""


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """average ← decay · average + (1 - decay) · new."""
    check("get_ema_avg_fn", {"decay": number(0, 1)}, {"decay": decay})
    return lambda average, new, count: decay * average + (1 - decay) * new


def get_swa_avg_fn() -> Average:
    """average ← average + (new - average) / (count + 1): the plain mean."""
    return lambda average, new, count: average + (new - average) / (count + 1).to(average.dtype)


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's; call ``update_parameters`` to
    add one.

    The first call copies. ``avg_fn``: `get_swa_avg_fn` (default) or `get_ema_avg_fn`. Also inside
    compiled functions. Source: Izmailov et al., 2018 (SWA); Polyak & Juditsky, 1992.

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
        self, model: Module, avg_fn: Average | None = None, use_buffers: bool = False
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", stored(np.zeros((), np.int64)))
        self.avg_fn = get_swa_avg_fn() if avg_fn is None else avg_fn
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
            for average, value in zip(own, new, strict=True):
                value = value.detach()
                mixed = self.avg_fn(average.detach(), value, self.n_averaged)
                average.assign(_choose(first, value, mixed))
            if not self.use_buffers:
                for average, value in zip(self.module.buffers(), model.buffers(), strict=True):
                    average.assign(value.detach())
            self.n_averaged.assign(self.n_averaged + 1)


def _choose(condition: Tensor, a: Tensor, b: Any) -> Tensor:
    return a.where(condition, b)


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Measure the running means of batch norms anew, over the batches of ``loader``, with these
    weights."""
    norms = [m for m in model.modules() if isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d)]
    if not norms:
        return
    before = [(m, m.momentum) for m in norms]
    was_training = model.training
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    with no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, tuple | list) else batch)
    for m, momentum in before:
        m.momentum = momentum
    model.train(was_training)
