"""NumPy, written by hand: forward, backward and update with in-place operations where they help."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Mode
from .layers import Array
from .workload import ADAM, Workload


class NumPy(Mode):
    """A user's careful loop without a library."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        self.reset()

    def reset(self) -> None:
        """Copies of the initial weights, zero moments."""
        self.p = [a.copy() for a in self.initial]
        self.m = [np.zeros_like(a) for a in self.initial]
        self.v = [np.zeros_like(a) for a in self.initial]
        self.t = 0

    def steps(self, n: int) -> float:
        """A Python loop over minibatches."""
        loss = 0.0
        if self.workload.full_batch:
            for _ in range(n):
                loss = self.step(self.x, self.y)
            return loss
        for rows in self.next_batches(n):
            loss = self.step(self.x[rows], self.y[rows])
        return loss

    def losses(self, n: int) -> list[float]:
        """See Mode."""
        self.reset()
        return [self.step(self.x[rows], self.y[rows]) for rows in self.workload.batches_in_order(n)]

    def step(self, x: Array, y: Array) -> float:
        """One training step; returns the loss before it."""
        w, relu = self.workload, self.workload.activation == "relu"
        activities, layers = [x], len(self.p) // 2
        for i in range(layers):
            z = activities[-1] @ self.p[2 * i].T
            z += self.p[2 * i + 1]
            if i < layers - 1:
                np.maximum(z, 0, out=z) if relu else np.tanh(z, out=z)
            activities.append(z)
        out = activities[-1]
        if w.loss == "mse":
            delta = out - y
            loss = float((delta * delta).mean())
            delta *= 2.0 / delta.size
        else:
            rows = np.arange(len(y))
            delta = out - out.max(1, keepdims=True)
            log_sum = np.log(np.exp(delta).sum(1, keepdims=True))
            delta -= log_sum
            loss = float(-delta[rows, y].mean())
            np.exp(delta, out=delta)
            delta[rows, y] -= 1
            delta /= len(y)
        gradients: list[Any] = [None] * len(self.p)
        for i in reversed(range(layers)):
            gradients[2 * i] = delta.T @ activities[i]
            gradients[2 * i + 1] = delta.sum(0)
            if i:
                delta = delta @ self.p[2 * i]
                a = activities[i]
                delta *= (a > 0) if relu else 1 - a * a
        self.update(gradients)
        return loss

    def update(self, gradients: list[Array]) -> None:
        """SGD with momentum, or Adam (Kingma & Ba, with both bias corrections)."""
        w = self.workload
        if w.optimizer == "sgd":
            for p, m, g in zip(self.p, self.m, gradients, strict=True):
                if w.momentum:
                    m *= w.momentum
                    m += g
                    g = m
                p -= w.lr * g
            return
        self.t += 1
        b1, b2, eps = ADAM["beta1"], ADAM["beta2"], ADAM["eps"]
        rate = w.lr / (1 - b1**self.t)
        root = np.sqrt(1 - b2**self.t)
        for p, m, v, g in zip(self.p, self.m, self.v, gradients, strict=True):
            m += (1 - b1) * (g - m)
            g *= g
            g -= v
            v += (1 - b2) * g
            denominator = np.sqrt(v, out=g)
            denominator /= p.dtype.type(root)
            denominator += eps
            np.divide(m, denominator, out=denominator)
            denominator *= p.dtype.type(rate)
            p -= denominator
