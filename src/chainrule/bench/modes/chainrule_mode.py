"""Chainrule: `Trainer.fit`, and a compiled step of the user's own, repeated natively."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule import nn, optim
from chainrule.core import dtypes as dt
from chainrule.data import Batches
from chainrule.train import History

from .base import Mode, criterion
from .layers import sequential
from .workload import Workload


class Native(Mode):
    """Model, loss and optimizer with the workload's initial weights."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.model = sequential(nn, workload.layers).to(dt.dtype_of(workload.dtype))
        for p, a in zip(self.model.parameters(), self.initial, strict=True):
            p.assign(a)
        self.criterion: Any = criterion(nn, workload)
        parameters = self.model.parameters()
        self.optimizer: Any = (
            optim.SGD(parameters, lr=workload.lr, momentum=workload.momentum)
            if workload.optimizer == "sgd"
            else optim.Adam(parameters, lr=workload.lr)
        )
        self.start = [t.numpy().copy() for t in self.changing()]

    def changing(self) -> list[Any]:
        """The tensors that a step changes: weights, moments, counts."""
        moments = [t for held in self.optimizer.state.values() for t in held.values()]
        return list({id(t): t for t in [*self.model.parameters(), *moments]}.values())

    def reset(self) -> None:
        """Everything goes back to what it was."""
        for tensor, value in zip(self.changing(), self.start, strict=True):
            tensor.assign(value)


class Compile(Native):
    """``@cr.compile``: draw a minibatch, forward, backward, update; ``step.repeat(n)`` runs n."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        size = workload.rows if workload.full_batch else workload.batch
        self.batches = {
            shuffled: Batches(self.x, self.y, size, shuffle=shuffled, dtype=workload.dtype)
            for shuffled in (False, True)
        }
        self.step = cr.compile(self._step)

    def _step(self, shuffled: bool) -> Any:
        x, y = self.batches[shuffled].next()
        loss = self.criterion(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def steps(self, n: int) -> float:
        """n steps in one native run."""
        return float(self.step.repeat(n, not self.workload.full_batch))

    def losses(self, n: int) -> list[float]:
        """See Mode."""
        self.reset()
        self.batches[False].seek()
        return [float(self.step(False)) for _ in range(n)]


class Trainer(Native):
    """``cr.Trainer(model, loss, optimizer).fit(x, y, epochs=…)``: the loop that users run."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.granularity = workload.steps_an_epoch
        self.trainer = cr.Trainer(self.model, loss=self.criterion, optimizer=self.optimizer)

    def _fit(self, x: Any, y: Any, epochs: int, shuffle: bool) -> float:
        size = self.workload.batch
        history = self.trainer.fit(
            x, y, epochs=epochs, batch_size=size, shuffle=shuffle, progress=False
        )
        return float(history.numpy("loss")[-1])

    def reset(self) -> None:
        """See Native; a history that goes on for millions of epochs is not what is measured."""
        super().reset()
        self.trainer.history = History()

    def steps(self, n: int) -> float:
        """n / steps_an_epoch epochs in one `fit`."""
        return self._fit(self.x, self.y, n // self.granularity, not self.workload.full_batch)

    def losses(self, n: int) -> list[float]:
        """See Mode: each step is an epoch over the rows of one minibatch."""
        self.reset()
        batches = self.workload.batches_in_order(n)
        return [self._fit(self.x[rows], self.y[rows], 1, False) for rows in batches]
