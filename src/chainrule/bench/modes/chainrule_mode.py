"""Chainrule: `Trainer.fit`, and a compiled step of the user's own, repeated natively."""

from __future__ import annotations

from typing import Any

import chainrule as cr
from chainrule import nn, optim
from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.tensor.value import make

from .base import Mode
from .workload import Workload


class Compile(Mode):
    """``@cr.compile`` of draw a minibatch, forward, backward, update; ``step.repeat(n)`` runs n of them."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self._make()
        self.key = cr.tensor([0, 1], dtype="uint32")
        self.position = cr.tensor(0, dtype="uint32")
        self.tx, self.ty = cr.tensor(self.x), cr.tensor(self.y)
        self.step = cr.compile(self._step)
        self.start = {k: v.numpy().copy() for k, v in self._state().items()}

    def _make(self) -> None:
        w = self.workload
        self.model = build_model(w)
        for p, a in zip(self.model.parameters(), self.initial, strict=True):
            p.assign(a)
        self.criterion: Any = nn.MSELoss() if w.loss == "mse" else nn.CrossEntropyLoss()
        parameters = self.model.parameters()
        self.optimizer: Any = (
            optim.SGD(parameters, lr=w.lr, momentum=w.momentum)
            if w.optimizer == "sgd"
            else optim.Adam(parameters, lr=w.lr)
        )

    def _state(self) -> dict[str, Any]:
        moments = [t for held in self.optimizer.state.values() for t in held.values()]
        tensors = [*self.model.parameters(), *{id(t): t for t in moments}.values()]
        return {str(i): t for i, t in enumerate(tensors)}

    def reset(self) -> None:
        """Everything the steps change goes back to what it was, in place."""
        for name, tensor in self._state().items():
            tensor.assign(self.start[name])

    def _step(self, shuffled: bool) -> Any:
        w = self.workload
        x, y = self.tx, self.ty
        if not w.full_batch:
            here = self.position.node
            index = g.add(g.expand(here, (w.batch,)), g.iota((w.batch,), 0, dt.uint32))
            index = g.mod(index, g.full((w.batch,), w.rows, dt.uint32))
            self.position.assign(make(g.add(here, g.constant(w.batch, dt.uint32))))
            if shuffled:
                index = g.shuffle(index, self.key.node, w.rows)
            x, y = make(g.gather(x.node, index)), make(g.gather(y.node, index))
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
        self.position.assign(cr.tensor(0, dtype="uint32"))
        return [float(self.step(False)) for _ in range(n)]


class Trainer(Mode):
    """``cr.Trainer(model, loss, optimizer).fit(x, y, epochs=…)``: the loop that users run."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.granularity = workload.steps_an_epoch
        self._make()
        self.start = {k: v.numpy().copy() for k, v in self._state().items()}
        self.trainer = cr.Trainer(self.model, loss=self.criterion, optimizer=self.optimizer)

    _make, _state, reset = Compile._make, Compile._state, Compile.reset

    def _fit(self, epochs: int, rows: int, shuffle: bool) -> Any:
        w = self.workload
        return self.trainer.fit(
            self.x[:rows], self.y[:rows], epochs=epochs, batch_size=w.batch, shuffle=shuffle, progress=False
        )

    def steps(self, n: int) -> float:
        """n / steps_an_epoch epochs in one `fit`."""
        history = self._fit(n // self.granularity, self.workload.rows, not self.workload.full_batch)
        return float(history["loss"][-1])

    def losses(self, n: int) -> list[float]:
        """See Mode: each step is an epoch over the rows of one minibatch."""
        self.reset()
        found = []
        for rows in self.workload.batches_in_order(n):
            history = self.trainer.fit(
                self.x[rows], self.y[rows], epochs=1, batch_size=self.workload.batch, shuffle=False, progress=False
            )
            found.append(float(history["loss"][-1]))
        return found


def build_model(workload: Workload) -> Any:
    """The workload's net as a Sequential."""
    layers: list[Any] = []
    for i, (fan_in, fan_out) in enumerate(zip(workload.sizes, workload.sizes[1:], strict=False)):
        if i:
            layers.append(nn.ReLU() if workload.activation == "relu" else nn.Tanh())
        layers.append(nn.Linear(fan_in, fan_out))
    return nn.Sequential(*layers).to(dt.dtype_of(workload.dtype))
