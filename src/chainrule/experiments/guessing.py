"""Weights that are guessed until one net is right (Hochreiter & Schmidhuber 1997, NIPS 9).

It says what a task with long lags is worth as a test of learning.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..tensor import functions as f
from ..tensor.compiling.compiled import compile as compiled
from ..tensor.transform.loops import scan
from .base import Lab, Report
from .lstm1997_tasks import TESTED, Task
from .online import Given

AT_ONCE, RANGE, LIMIT = 1024, 100.0, 200_000


def answers(w: Any, x: Any, ends: Any) -> Any:
    """What nets with weights w (nets, 2, 4) have as their second unit at the ends: (nets, N).

    Of two logistic units each reads the input, both units and a constant; sequences x (T, N, 1).
    """

    def step(y: Any, now: Any) -> Any:
        given, end = now
        a, b, answer = y
        new_a, new_b = (
            f.sigmoid(w[:, i, :1] * given[:, 0] + w[:, i, 1:2] * a + w[:, i, 2:3] * b + w[:, i, 3:])
            for i in (0, 1)
        )
        return (new_a, new_b, f.where(end > 0, new_b, answer)), ()

    zeros = f.zeros(len(w), x.shape[1])
    (_, _, answer), _ = scan(step, (zeros, zeros, zeros), (x, ends))
    return answer


def guess(task: Task, seed: int, limit: int, run: Any) -> tuple[int, float]:
    """How many guesses until all of 100 sequences are within 0.1, and per cent of others wrong.

    0: not within ``limit``.
    """
    rng = np.random.default_rng(seed)
    learned, tested = task.of_seed(100, seed, 0), task.test()
    for tries in range(0, limit, AT_ONCE):
        w = rng.uniform(-RANGE, RANGE, (AT_ONCE, 2, 4)).astype(np.float32)
        good = (off(run, w, learned) < 0.1).all(1)
        if good.any():
            first = int(good.argmax())
            return tries + first + 1, 100 * float(
                (off(run, w[first : first + 1], tested) >= task.near).mean()
            )
    return 0, 100.0


def off(run: Any, w: Array, given: Given) -> Array:
    """Errors at the ends of sequences (nets, N)."""
    told: Array = run(w, given.x.swapaxes(0, 1), given.counts.T).numpy()
    return np.asarray(np.abs(told - given.d[:, 0, 0]))


def study(lab: Lab, report: Report, task: Task) -> None:
    """Guesses by seed."""
    seeds, run = lab.seeds(10), compiled(answers)
    limit, found = lab.epochs(LIMIT // AT_ONCE) * AT_ONCE, []
    for seed in range(seeds):
        found.append(guess(task, seed, limit, run))
        lab.tell(f"{task.title}, guessing", seed + 1, seeds)
    guesses = np.array([n for n, _ in found])
    met = np.sort(guesses[guesses > 0])
    wrong = [w for n, w in found if n]
    report.add(
        f"{task.title}, weights guessed in ±{RANGE:g}, 2 units",
        f"{len(met)} of {seeds} seeds within {limit:,} guesses"
        + (
            f", after {', '.join(f'{n:,}' for n in met)}; of {TESTED:,} others "
            f"{np.median(wrong):.2f} % wrong ({min(wrong):.2f} to {max(wrong):.2f})"
            if len(met)
            else ""
        ),
        None,
        reported="sooner than by gradient descent",
        guesses=guesses.tolist(),
        wrong=wrong,
    )
