"""PyTorch: eager with its modules and fused optimizers, or compiled; also with channels last.

torch.compile is of the whole step as one graph where the net is dense, else of the forward and
backward pass.
"""

from __future__ import annotations

from typing import Any

import torch

from .base import Mode, criterion
from .layers import sequential
from .workload import ADAM, Workload


class Eager(Mode):
    """nn.Sequential, loss.backward(), optimizer.step() with fused=True."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        torch.set_num_threads(threads)
        self.tx, self.ty = torch.from_numpy(self.x), torch.from_numpy(self.y)
        self.reset()

    def reset(self) -> None:
        """The initial weights, a new optimizer."""
        w = self.workload
        if not hasattr(self, "model"):
            self.model = sequential(torch.nn, w.layers).to(getattr(torch, w.dtype))
            self.criterion = criterion(torch.nn, w)
        with torch.no_grad():
            for p, a in zip(self.model.parameters(), self.initial, strict=True):
                p.copy_(torch.from_numpy(a))
        parameters = list(self.model.parameters())
        self.optimizer: Any = (
            torch.optim.SGD(parameters, lr=w.lr, momentum=w.momentum, fused=True)
            if w.optimizer == "sgd"
            else torch.optim.Adam(parameters, lr=w.lr, fused=True)
        )

    def loss(self, x: Any, y: Any) -> Any:
        """Of a minibatch."""
        return self.criterion(self.model(x), y)

    def step(self, x: Any, y: Any) -> Any:
        """One step; returns the loss as a tensor."""
        loss = self.loss(x, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def steps(self, n: int) -> float:
        """A Python loop over minibatches."""
        loss: Any = None
        if self.workload.full_batch:
            for _ in range(n):
                loss = self.step(self.tx, self.ty)
        else:
            for rows in torch.from_numpy(self.next_batches(n)):
                loss = self.step(self.tx[rows], self.ty[rows])
        return float(loss.detach())

    def losses(self, n: int) -> list[float]:
        """See Mode."""
        self.reset()
        batches = torch.from_numpy(self.workload.batches_in_order(n))
        return [float(self.step(self.tx[rows], self.ty[rows]).detach()) for rows in batches]


class ChannelsLast(Eager):
    """Images and weights with channels last, as PyTorch advises for convolutions on CPUs."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.model.to(memory_format=torch.channels_last)
        self.tx = self.tx.contiguous(memory_format=torch.channels_last)
        self.reset()

    def loss(self, x: Any, y: Any) -> Any:
        """Of a minibatch, whose rows are gathered as they lie."""
        return super().loss(x.contiguous(memory_format=torch.channels_last), y)


class Compiled(Eager):
    """Loss and gradients compiled; a fused optimizer, as PyTorch has none that is quicker."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.loss = torch.compile(super().loss, dynamic=False)  # type: ignore[method-assign]


class WholeStep(Eager):
    """The whole step, gather and update included, as one torch.compile graph."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.compiled = torch.compile(self._whole_step, fullgraph=True, dynamic=False)

    def reset(self) -> None:
        """The weights and moments go back in place, so that nothing is compiled again."""
        if not hasattr(self, "p"):
            self.p = [torch.from_numpy(a).clone() for a in self.initial]
            self.m = [torch.zeros_like(a) for a in self.p]
            self.v = [torch.zeros_like(a) for a in self.p]
            self.t = torch.zeros((), dtype=self.p[0].dtype)
            return
        for p, m, v, a in zip(self.p, self.m, self.v, self.initial, strict=True):
            p.copy_(torch.from_numpy(a))
            m.zero_()
            v.zero_()
        self.t.zero_()

    def step(self, x: Any, y: Any) -> Any:
        """One step on given rows."""
        return self.compiled(self.p, self.m, self.v, self.t, x, y, None)

    def steps(self, n: int) -> float:
        """A Python loop over minibatches; the rows are gathered inside the graph."""
        loss: Any = None
        if self.workload.full_batch:
            return super().steps(n)
        for rows in torch.from_numpy(self.next_batches(n)):
            loss = self.compiled(self.p, self.m, self.v, self.t, self.tx, self.ty, rows)
        return float(loss.detach())

    def losses(self, n: int) -> list[float]:
        """See Mode; the same graph as in `steps`."""
        if self.workload.full_batch:
            return super().losses(n)
        self.reset()
        batches = torch.from_numpy(self.workload.batches_in_order(n))
        return [
            float(self.compiled(self.p, self.m, self.v, self.t, self.tx, self.ty, r))
            for r in batches
        ]

    def _loss(self, p: Any, x: Any, y: Any) -> Any:
        f = torch.nn.functional
        for i in range(0, len(p), 2):
            x = f.linear(x, p[i], p[i + 1])
            if i + 2 < len(p):
                x = f.relu(x) if self.workload.activation == "relu" else torch.tanh(x)
        return f.mse_loss(x, y) if self.workload.loss == "mse" else f.cross_entropy(x, y)

    def _whole_step(self, p: Any, m: Any, v: Any, t: Any, x: Any, y: Any, rows: Any) -> Any:
        w = self.workload
        if rows is not None:
            x, y = x[rows], y[rows]
        gradients, loss = torch.func.grad_and_value(self._loss)(p, x, y)
        if w.optimizer == "sgd":
            for pi, mi, gi in zip(p, m, gradients, strict=True):
                if w.momentum:
                    mi.mul_(w.momentum).add_(gi)
                    gi = mi
                pi.sub_(w.lr * gi)
            return loss
        t.add_(1)
        b1, b2, eps = ADAM["beta1"], ADAM["beta2"], ADAM["eps"]
        rate = w.lr / (1 - b1**t)
        root = torch.sqrt(1 - b2**t)
        for pi, mi, vi, gi in zip(p, m, v, gradients, strict=True):
            mi.lerp_(gi, 1 - b1)
            vi.mul_(b2).add_((1 - b2) * gi * gi)
            pi.sub_(rate * mi / (torch.sqrt(vi) / root + eps))
        return loss


def compiled(workload: Workload, threads: int) -> Eager:
    """The way to compile that suits the net."""
    kind = WholeStep if workload.net is None else Compiled
    return kind(workload, threads)
