"""Sequences learned one at a time, as in 1997: each seed its own net and sequences, in one program.

w ← w - ε ∂E/∂w after every sequence,    E = ½ Σ (y - d)² over the steps that have a target,

or as the rule ``learn`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..func import functional_call, stack_module_state
from ..nn import Module
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.grad_mode import no_grad
from ..tensor.tensor import Tensor
from ..tensor.transform import value_and_grad, vmap
from .base import Lab


@dataclass(frozen=True)
class Given:
    """Sequences x (n, T, inputs), targets d (n, 1 or T, outputs), which steps count (n, T)."""

    x: Array
    d: Array
    counts: Array


def at_the_end(x: Array, lengths: Array, d: Array) -> Given:
    """Targets d (n, outputs) that count at the last step of each sequence only."""
    counts = np.arange(x.shape[1]) == lengths[:, None] - 1
    return Given(x, d.astype(np.float32)[:, None], counts.astype(np.float32))


Draw = Callable[[int, int, int], Given]  # how many, the seed, which chunk of its sequences
# Weights, x, d, counts of one sequence -> weights, the largest error, squared errors.
Learn = Callable[[Any, Any, Any, Any], Any]


class Online:
    """Nets of modules that map (T, inputs) to (T, outputs), one a seed."""

    def __init__(
        self,
        nets: Sequence[Module],
        draw: Draw,
        rate: float,
        chunk: int = 500,
        learn: Learn | None = None,
    ) -> None:
        self.seeds, self.chunk, self.draw, self.seen = len(nets), chunk, draw, 0
        self._one = nets[0]
        self.weights, _ = stack_module_state(nets)
        self._row = f.zeros((), dtype="int64")
        self._step = program(learn or by_gradient(nets[0], rate), self.weights, self._row)

        def answer(w: Any, x: Any) -> Any:
            return functional_call(nets[0], w, x)

        self._common = compiled(vmap(answer, in_axes=(0, None)))
        self._own = compiled(vmap(answer))

    def learn(self) -> tuple[Array, Array]:
        """The next ``chunk`` sequences: largest errors and squared errors, (chunk, seeds).

        Of each sequence and seed, the largest of any output, and the squares added up.
        """
        given = [self.draw(self.chunk, s, self.seen // self.chunk) for s in range(self.seeds)]
        stacked = [np.stack([getattr(g, k) for g in given], 1) for k in ("x", "d", "counts")]
        self._row.assign(f.zeros_like(self._row))
        worst, squared = self._step.repeat(self.chunk, *map(f.tensor, stacked), record=1)
        self.seen += self.chunk
        return worst.numpy(), squared.numpy()

    def outputs(self, x: Array) -> Array:
        """(seeds, n, T, outputs) of sequences (n, T, inputs), or (seeds, n, T, inputs): its own."""
        answer = self._common if x.ndim == 3 else self._own
        out: Array = answer(self.weights, f.tensor(np.swapaxes(x, -3, -2))).numpy()
        return out.swapaxes(1, 2)

    def net(self, seed: int) -> Module:
        """A net of its own with the weights of a seed."""
        return with_weights(deepcopy(self._one), {k: w[seed] for k, w in self.weights.items()})

    def errors(self, test: Given) -> tuple[Array, Array]:
        """What `learn` returns, of the sequences ``test``, without learning: (n, seeds)."""
        off = (self.outputs(test.x) - test.d) * test.counts[..., None]
        return np.abs(off).max((2, 3)).T, (off**2).sum((2, 3)).T


def with_weights(net: Module, weights: dict[str, Any]) -> Module:
    """The net, with these weights in it."""
    with no_grad():
        for name, p in net.named_parameters():
            p.assign(f.tensor(weights[name]))
    return net


def by_gradient(net: Module, rate: float) -> Learn:
    """Learns a sequence by the gradient of all its errors."""

    def learn(w: Any, x: Any, d: Any, counts: Any) -> Any:
        def error(w: Any) -> Any:
            off = (functional_call(net, w, x) - d) * counts.unsqueeze(-1)
            return 0.5 * (off**2).sum(), off

        (_, off), slopes = value_and_grad(error, has_aux=True)(w)
        return {k: w[k] - rate * slopes[k] for k in w}, f.abs(off).max(), (off**2).sum()

    return learn


def program(learn: Learn, weights: dict[str, Tensor], row: Tensor) -> Any:
    """A step that learns one sequence, that of ``row``, with each of the stacked weights."""

    @compiled
    def step(x: Any, d: Any, counts: Any) -> Any:
        new, worst, squared = vmap(learn)(weights, x[row], d[row], counts[row])
        for name, w in weights.items():
            w.assign(new[name])
        row.assign(row + 1)
        return worst, squared

    return step


# -- criteria: of the largest errors of the last sequences (n, seeds), and the nets ----------------
Criterion = Callable[[Array, Online], Array]
LONGEST = 10_000  # sequences that a criterion may look back on


def enough(worst: Array, near: float, wrong: int, error: float) -> Array:
    """At most ``wrong`` sequences off by ``near`` or more, and a mean error below ``error``."""
    return np.asarray(((worst >= near).sum(0) <= wrong) & (worst.mean(0) < error))


def of_the_last(n: int, near: float, wrong: int = 0, error: float = np.inf) -> Criterion:
    """`enough` of the last ``n`` sequences, each before it was learned."""

    def met(worst: Array, nets: Online) -> Array:
        return enough(worst[-n:], near, wrong, error) & (len(worst) >= n)

    return met


def of_others(test: Given, near: float, wrong: int = 0, error: float = np.inf) -> Criterion:
    """`enough` of the sequences ``test``."""

    def met(worst: Array, nets: Online) -> Array:
        return enough(nets.errors(test)[0], near, wrong, error)

    return met


@dataclass
class Course:
    """What `course` saw.

    After how many sequences which errors (chunks, seeds); when each criterion was met, by seed
    (criteria, seeds), 0: never; the nets as they were when all were, with their errors on the test
    sequences (n, seeds).
    """

    seen: Array
    squared: Array
    took: Array
    worst: Array
    squared_of_test: Array
    weights: dict[str, Array]


def course(
    lab: Lab, what: str, nets: Online, criteria: Sequence[Criterion], test: Given, limit: int
) -> Course:
    """Learn until every seed has met all ``criteria`` once, or has seen ``limit`` sequences.

    Each is then tested with the weights that it has.
    """
    took = np.zeros((len(criteria), nets.seeds), int)
    worst, squared = np.zeros((0, nets.seeds)), []
    chunks = max(1, lab.epochs(limit // nets.chunk))
    tested = np.zeros((2, len(test.x), nets.seeds))
    kept = {k: w.numpy().copy() for k, w in nets.weights.items()}
    for chunk in range(chunks):
        open_before = (took == 0).any(0)
        new, errors = nets.learn()
        worst = np.concatenate([worst, new])[-LONGEST:]
        squared.append(errors.mean(0))
        for met, when in zip(criteria, took, strict=True):
            when[met(worst, nets) & (when == 0)] = nets.seen
        now = open_before & ((took > 0).all(0) | (chunk == chunks - 1))
        if now.any():
            tested[..., now] = np.stack(nets.errors(test))[..., now]
            for name, w in nets.weights.items():
                kept[name][now] = w.numpy()[now]
        lab.tell(what, chunk + 1, chunks)
        if took.all():
            break
    seen = nets.chunk * np.arange(1, len(squared) + 1)
    return Course(seen, np.array(squared), took, tested[0], tested[1], kept)
