"""The memory cell and the learning rule of 1997, on the tasks of their paper.

One sequence at a time, plain gradient descent, errors that flow back through the states of the
cells only; beside it the full gradient of the same cell, and a plain recurrent net of as many
units, by the same rule.
"""

from __future__ import annotations

import math

import numpy as np

from .. import models
from ..core.node import Array
from ..tensor import functions as f
from .base import Experiment, Lab, Report
from .lstm1997_figure import draw
from .lstm1997_nets import FULL_GRADIENT, KINDS, PLAIN, RULE, net_of
from .lstm1997_tasks import TESTED, Task, adding, long_lag, multiplication, noise, order
from .online import Course, Given, Online, course
from .reber import coded, legal, strings_of


def quick_tasks() -> list[Task]:
    """What takes seconds: lower limits, and products over shorter lags."""
    return [
        long_lag(50, 1000, 60_000, 0.2),
        noise("a", 60_000, 0.8),
        adding(100, 120_000, 0.8),
        order(2, 50_000, 0.8),
        multiplication(30, 150_000, 0.6),
    ]


def full_tasks() -> list[Task]:
    """Those of the paper that take minutes."""
    return [
        long_lag(50, 10_000, 150_000, 0.8),
        noise("a", 150_000, 0.8, 10),
        adding(100, 300_000, 0.8),
        order(2, 100_000, 0.8, 10),
        multiplication(100, 1_300_000),
        long_lag(100, 10_000, 150_000, 0.8),
        noise("b", 150_000),
        noise("c", 400_000),
        order(3, 1_500_000, 0.6),
        adding(500, 400_000),
    ]


def run(lab: Lab) -> Report:
    """Reber's grammar, and the tasks that need long lags."""
    return study(lab, full_tasks() if lab.full else quick_tasks(), 60_000 if lab.full else 30_000)


def study(lab: Lab, tasks: list[Task], strings: int) -> Report:
    """Each task by the rule of 1997; the first five, which are drawn, by the two others too."""
    report, seen = Report(), {task.title: dict[str, Course]() for task in tasks}
    grammar(lab, report, strings)
    for task in tasks:
        for kind in KINDS if task in tasks[:5] else (RULE,):
            rule = kind == RULE
            seeds = lab.seeds(task.seeds if rule and lab.full else 5 if rule else 3)
            nets = Online([net_of(task, kind, s) for s in range(seeds)], task.of_seed, task.rate)
            limit = task.limit if rule else int(seen[task.title][RULE].seen[-1])
            criteria = [met for _, met in task.criteria]
            test = task.draw(TESTED, 777_777)
            found = course(lab, f"{task.title}, {kind}", nets, criteria, test, limit)
            seen[task.title][kind] = found
            compare(report, task, kind, found)
    report.figures["lstm-1997"] = lambda figure: draw(figure, tasks[:5], seen)
    return report


def grammar(lab: Lab, report: Report, limit: int) -> None:
    """Experiment 1: whether all of 256 strings and 256 others are right, after each 256."""
    seeds, sweeps = lab.seeds(10), lab.epochs(limit // 256)
    strings = [[*strings_of(s)[0], *strings_of(s)[1]] for s in range(seeds)]
    longest = max(len(t) for own in strings for t in own) - 1
    x, lengths, y, allowed = (
        np.stack(a) for a in zip(*map(coded, strings, [longest] * seeds), strict=True)
    )
    counts = (np.arange(longest) < lengths[..., None]).astype(np.float32)

    def drawn(n: int, seed: int, chunk: int) -> Given:
        rows = np.random.default_rng((seed, chunk)).integers(0, 256, n)
        return Given(
            x[seed, rows],
            np.eye(7, dtype=np.float32)[np.maximum(y[seed, rows], 0)],
            counts[seed, rows],
        )

    for kind in (RULE, FULL_GRADIENT):
        cells = [reber_net(kind, s) for s in range(seeds)]
        nets, took = Online(cells, drawn, 0.5, 256), np.zeros(seeds, int)
        for sweep in range(sweeps):
            nets.learn()
            scores = nets.outputs(x)
            right = np.array([legal(*a) for a in zip(scores, lengths, allowed, strict=True)])
            took[right.all(1) & (took == 0)] = nets.seen
            lab.tell(f"Reber's grammar, {kind}", sweep + 1, sweeps)
        needed, judged = math.ceil(0.2 * seeds - 1e-9), lab.full and kind == RULE
        report.add(
            f"embedded Reber grammar, 3 blocks of 2 (1), {kind}",
            f"{(took > 0).sum()} of {seeds} seeds{after(took, 'strings')}; "
            f"{100 * right[:, 256:].mean():.1f} % of the other strings right after {nets.seen:,}",
            bool((took > 0).sum() >= needed) if judged else None,
            criterion=f"{needed} of {seeds} within {limit:,} strings" if judged else "",
            reported="100 % of trials, 8,440 strings" if kind == RULE else "",
            took=took.tolist(),
        )


def reber_net(kind: str, seed: int) -> models.LSTM1997:
    """3 blocks of 2 cells, with the published biases."""
    f.manual_seed(seed)
    gates = (-1.0, -2.0, -3.0)
    return models.LSTM1997(7, 3, 2, 7, "gates", kind == RULE, init=0.2, output_gates=gates)


def compare(report: Report, task: Task, kind: str, found: Course) -> None:
    """When the criteria were met, and the test errors then."""
    seeds = len(found.worst.T)
    wrong = 100 * (found.worst >= task.near).mean(0)
    squared = found.squared_of_test.mean(0)
    good = (found.took[0] > 0) & (wrong <= task.wrong) & (squared <= task.error)
    words = [
        f"{name}: {(took > 0).sum()} of {seeds} seeds" + after(took)
        for (name, _), took in zip(task.criteria, found.took, strict=True)
    ]
    passed, criterion = None, ""
    if kind == RULE and task.share is not None:
        needed = math.ceil(task.share * seeds - 1e-9)
        passed = bool(good.sum() >= needed)
        criterion = f"{task.criteria[0][0]}: {needed} of {seeds} within {task.limit:,} sequences"
        if np.isfinite(task.wrong):
            criterion += f", then at most {task.wrong:g} % of {TESTED:,} wrong"
    elif kind == PLAIN and task.constant:
        passed = bool((squared > 0.75 * task.constant).all())
        criterion = f"squared error above {0.75 * task.constant:.3f}"
    words.append(
        f"of {TESTED:,} others {np.median(wrong):.2f} % wrong ({wrong.min():.2f} to "
        f"{wrong.max():.2f})"
    )
    if task.constant:
        words.append(f"squared error {np.median(squared):.5f} (a constant: {task.constant:.3f})")
    report.add(
        f"{task.title}, {kind}",
        "; ".join(words) + ("" if kind == RULE else f"; {found.seen[-1]:,} sequences"),
        passed,
        reported=task.reported if kind == RULE else "",
        criterion=criterion,
        took=found.took.tolist(),
        wrong=wrong.tolist(),
        squared=squared.tolist(),
    )


def after(took: Array, what: str = "sequences") -> str:
    """When, in words."""
    met = np.sort(took[took > 0])
    return f", after {', '.join(f'{n:,}' for n in met)} {what}" if len(met) else ""


EXPERIMENT = Experiment(
    "lstm-1997",
    "Long lags by the cell and the rule of 1997",
    "Hochreiter & Schmidhuber 1997, Neural Computation 9, 1735-1780",
    run,
)
