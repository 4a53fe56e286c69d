"""JAX: jit with one call a step; jit of lax.scan over many steps."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Mode
from .jax_layers import forward
from .layers import Conv
from .workload import ADAM, Workload

SCAN_SECONDS = 0.02  # about how long one call of a scan should take


class Jit(Mode):
    """A jitted step: gather, value_and_grad, update; weights and moments are donated."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        if workload.dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        y = self.y.astype(np.int32) if workload.loss == "ce" else self.y
        x = self.x.astype(np.int32) if workload.words else self.x
        # Channels last; a sequence has its features there anyway.
        images = not workload.words and isinstance(workload.layers[0], Conv)
        self.jx, self.jy = jnp.asarray(np.moveaxis(x, 1, -1) if images else x), jnp.asarray(y)
        self.jitted = jax.jit(self._step, donate_argnums=0)
        self.reset()

    def reset(self) -> None:
        """The initial weights, zero moments."""
        p = [jnp.array(a) for a in self.initial]
        zero = [jnp.zeros_like(a) for a in p]
        t = jnp.zeros((), self.workload.dtype)
        self.state: Any = (p, zero, [jnp.zeros_like(a) for a in p], t)

    def _loss(self, p: Any, x: Any, y: Any) -> Any:
        x = forward(self.workload.layers, p, x)
        if self.workload.loss == "mse":
            return ((x - y) ** 2).mean()
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[..., None], -1).mean()

    def _step(self, state: Any, x: Any, y: Any, rows: Any) -> Any:
        w = self.workload
        p, m, v, t = state
        if rows is not None:
            x, y = x[rows], y[rows]
        loss, gradients = jax.value_and_grad(self._loss)(p, x, y)
        if w.optimizer == "sgd":
            if w.momentum:
                m = [w.momentum * a + g for a, g in zip(m, gradients, strict=True)]
                gradients = m
            p = [a - w.lr * g for a, g in zip(p, gradients, strict=True)]
            return (p, m, v, t), loss
        t = t + 1
        b1, b2, eps = ADAM["beta1"], ADAM["beta2"], ADAM["eps"]
        rate = (w.lr / (1 - b1**t)).astype(w.dtype)
        root = jnp.sqrt(1 - b2**t).astype(w.dtype)
        m = [b1 * a + (1 - b1) * g for a, g in zip(m, gradients, strict=True)]
        v = [b2 * a + (1 - b2) * g * g for a, g in zip(v, gradients, strict=True)]
        p = [a - rate * b / (jnp.sqrt(c) / root + eps) for a, b, c in zip(p, m, v, strict=True)]
        return (p, m, v, t), loss

    def steps(self, n: int) -> float:
        """A Python loop over minibatches."""
        loss: Any = None
        rows_of: Any = [None] * n if self.workload.full_batch else self.next_batches(n)
        for rows in rows_of:
            self.state, loss = self.jitted(self.state, self.jx, self.jy, rows)
        return float(loss)

    def losses(self, n: int) -> list[float]:
        """See Mode."""
        self.reset()
        found = []
        for rows in self.workload.batches_in_order(n):
            given = None if self.workload.full_batch else rows
            self.state, loss = self.jitted(self.state, self.jx, self.jy, given)
            found.append(float(loss))
        return found


class Scan(Jit):
    """lax.scan over the minibatches of about 20 ms, jitted; one call is one scan."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, threads)
        estimate = max(workload.flops / 60e9, 0.25e-6)
        self.granularity = int(min(max(SCAN_SECONDS / estimate, 2), 20_000))
        self.scanned = jax.jit(self._scan, donate_argnums=0)

    def _scan(self, state: Any, x: Any, y: Any, batches: Any) -> Any:
        def body(state: Any, rows: Any) -> Any:
            return self._step(state, x, y, rows)

        if batches is None:
            state, losses = jax.lax.scan(body, state, None, length=self.granularity)
        else:
            state, losses = jax.lax.scan(body, state, batches)
        return state, losses[-1]

    def steps(self, n: int) -> float:
        """n / granularity scans."""
        loss: Any = None
        for _ in range(n // self.granularity):
            batches = None if self.workload.full_batch else self.next_batches(self.granularity)
            self.state, loss = self.scanned(self.state, self.jx, self.jy, batches)
        return float(loss)
