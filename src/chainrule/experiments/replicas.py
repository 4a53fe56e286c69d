"""All seeds of an experiment trained side by side, by one program.

A net is written for one seed and mapped over seeds by `vmap`; a step is a sweep through the cases,

    Δw(t) = -ε ∂E/∂w + α Δw(t-1),    E = ½ Σ (y - d)²  summed over cases and outputs,

and `repeat` runs many sweeps natively. Whether a net has solved its task is seen within the
program, at the first sweep at which it is so; nets that have are frozen there, while the others go
on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.node import Array
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compile_function
from ..tensor.tensor import Tensor
from ..tensor.transform import value_and_grad, vmap
from .networks import Net, Weights, initial_weights

Measure = Callable[[Tensor, Tensor], Tensor]  # (outputs, targets) to a scalar
Progress = Callable[[int, int, int], None]  # sweeps done, sweeps in all, seeds solved

PAUSE = 0.1  # seconds between two looks at progress and Ctrl-C


def squared_error(y: Tensor, d: Tensor) -> Tensor:
    """E = ½ Σ (y - d)²."""
    return 0.5 * ((y - d) ** 2).sum()


def within(distance: float) -> Measure:
    """The criterion that every output of every case is within ``distance`` of its target."""

    def solved(y: Tensor, d: Tensor) -> Tensor:
        near: Tensor = f.abs(y - d).max() < distance
        return near

    return solved


@dataclass(frozen=True)
class Statistics:
    """How many seeds solved a task, and how many sweeps those took (nan if none did)."""

    seeds: int
    solved: int
    median: float
    p10: float
    p90: float

    def __str__(self) -> str:
        text = f"{self.solved} of {self.seeds} seeds"
        if self.solved:
            text += f"; sweeps: median {self.median:,.0f}, 10-90 % {self.p10:,.0f}-{self.p90:,.0f}"
        return text


@dataclass(frozen=True)
class Runs:
    """The nets of all seeds after training. Every array has the seeds as its first axis, R."""

    net: Net
    inputs: Array
    targets: Array
    own_cases: bool
    weights: dict[str, Array]
    solved: Array  # bool (R,)
    # int (R,): the first sweep after which the task was solved; of the others, all sweeps
    sweeps: Array
    seconds: float

    def statistics(self, limit: int | None = None) -> Statistics:
        """Of all seeds; solved later than ``limit`` sweeps counts as not solved."""
        solved = self.solved_in(limit) if limit is not None else self.solved
        took = self.sweeps[solved]
        p10, median, p90 = np.percentile(took, [10, 50, 90]) if len(took) else (np.nan,) * 3
        return Statistics(len(solved), int(solved.sum()), float(median), float(p10), float(p90))

    def solved_in(self, limit: int) -> Array:
        """Which seeds solved the task within ``limit`` sweeps, (R,)."""
        return self.solved & (self.sweeps <= limit)

    def outputs(self, inputs: Array | None = None, own_cases: bool | None = None) -> Array:
        """What the nets answer, (R, P, m), to their own cases or to ``inputs``."""
        own = self.own_cases if own_cases is None and inputs is None else bool(own_cases)
        return outputs(self.net, self.weights, self.inputs if inputs is None else inputs, own)

    def error_and_gradient(self) -> tuple[Array, Array]:
        """E (R,) and the norm of its gradient (R,)."""

        def one(weights: Weights, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
            e, grads = value_and_grad(lambda w: squared_error(self.net.forward(w, x), d))(
                dict(weights)
            )
            return e, f.sqrt(sum(((g * g).sum() for g in grads.values()), f.zeros(())))

        axis = 0 if self.own_cases else None
        x, d = f.tensor(self.inputs), f.tensor(self.targets)
        e, norm = vmap(one, in_axes=(0, axis, axis))(_tensors(self.weights), x, d)
        return e.numpy(), norm.numpy()


def outputs(net: Net, weights: dict[str, Array], inputs: Array, own_cases: bool = False) -> Array:
    """The outputs (R, P, m) of R nets, computed in the precision of their weights."""
    dtype = next(iter(weights.values())).dtype
    mapped = vmap(net.forward, in_axes=(0, 0 if own_cases else None))
    return np.asarray(mapped(_tensors(weights), f.tensor(inputs.astype(dtype))).numpy())


def _tensors(arrays: dict[str, Array]) -> dict[str, Tensor]:
    return {k: f.tensor(a) for k, a in arrays.items()}


class Replicas:
    """R copies of ``net``, of seeds 0 … R-1, each with weights uniform in (-init, init) at first.

    ``inputs`` (P, n) and ``targets`` (P, m) are the cases; with ``own_cases`` every seed has its
    own, (R, P, n) and (R, P, m). ``freeze``: a net that has solved its task keeps its weights.
    """

    def __init__(
        self,
        net: Net,
        inputs: Array,
        targets: Array,
        *,
        seeds: int,
        init: float,
        error: Measure = squared_error,
        solved: Measure | None = None,
        freeze: bool = True,
        own_cases: bool = False,
        dtype: str = "float32",
    ) -> None:
        self.net, self.own_cases, self.dtype = net, own_cases, dtype
        self.inputs, self.targets = inputs.astype(dtype), targets.astype(dtype)
        self._x, self._d = f.tensor(self.inputs), f.tensor(self.targets)
        self.weights = _tensors(initial_weights(net, seeds, init, dtype))
        self.changes = {k: f.zeros_like(w) for k, w in self.weights.items()}
        self.sweeps = f.zeros((seeds,), dtype=dtype)
        self.solved = f.zeros((seeds,), dtype=dtype)  # 1 where it is
        self.seconds = 0.0
        self._criterion = within(0.4) if solved is None else solved
        self._error, self._freeze = error, freeze
        self._step = compile_function(self._sweep)

    def _sweep(self, eps: float, alpha: float, keep: float | None) -> None:
        """One sweep of all nets. Nothing in it goes from one seed to another."""
        axis = 0 if self.own_cases else None
        one = vmap(self._one, in_axes=(0, 0, 0, 0, axis, axis, None, None, None))
        weights, changes, sweeps, solved = one(
            self.weights, self.changes, self.sweeps, self.solved, self._x, self._d, eps, alpha, keep
        )
        for name in self.weights:
            self.weights[name].assign(weights[name])
            self.changes[name].assign(changes[name])
        self.sweeps.assign(sweeps)
        self.solved.assign(solved)

    def _one(
        self,
        weights: Weights,
        changes: Weights,
        sweeps: Tensor,
        solved: Tensor,
        x: Tensor,
        d: Tensor,
        eps: float,
        alpha: float,
        keep: float | None,
    ) -> tuple[Weights, Weights, Tensor, Tensor]:
        """One sweep of one net; ``keep`` is what a weight shrinks to after a change, or None."""

        def error(w: Weights) -> tuple[Tensor, Tensor]:
            y = self.net.forward(w, x)
            return self._error(y, d), y

        (_, y), gradients = value_and_grad(error, has_aux=True)(weights)
        solved = f.where(self._criterion(y, d), 1.0, solved)
        done = solved > 0
        changes = {k: alpha * changes[k] - eps * gradients[k] for k in weights}
        new = {k: weights[k] + changes[k] for k in weights}
        if keep is not None:
            new = {k: keep * w for k, w in new.items()}
        if self._freeze:
            new = {k: f.where(done, weights[k], w) for k, w in new.items()}
        return new, changes, f.where(done, sweeps, sweeps + 1), solved

    def train(
        self,
        sweeps: int,
        eps: float,
        alpha: float,
        *,
        shrink: float = 0.0,
        progress: Progress | None = None,
    ) -> None:
        """At most ``sweeps`` sweeps more; fewer if all nets are frozen before."""
        keep = 1.0 - shrink if shrink else None
        done, chunk, begun = 0, min(16, sweeps), time.perf_counter()
        while done < sweeps:
            start = time.perf_counter()
            self._step.repeat(chunk, float(eps), float(alpha), keep)
            done += chunk
            solved = int(self.solved.numpy().sum())
            if progress is not None:
                progress(done, sweeps, solved)
            took = time.perf_counter() - start
            if self._freeze and solved == len(self.solved):
                break
            chunk = max(1, min(4 * chunk, int(chunk * PAUSE / took), sweeps - done))
        self.seconds += time.perf_counter() - begun

    def runs(self) -> Runs:
        """What has become of all nets so far."""
        weights = {k: w.numpy().copy() for k, w in self.weights.items()}
        # The program looks at the outputs before it changes the weights: look once more at the end.
        axis = 0 if self.own_cases else None
        y = outputs(self.net, weights, self.inputs, self.own_cases)
        last = vmap(self._criterion, in_axes=(0, axis))(f.tensor(y), f.tensor(self.targets)).numpy()
        solved = (self.solved.numpy() > 0) | last.astype(bool)
        sweeps = self.sweeps.numpy().astype(np.int64)
        return Runs(
            self.net,
            self.inputs,
            self.targets,
            self.own_cases,
            weights,
            solved,
            sweeps,
            self.seconds,
        )
