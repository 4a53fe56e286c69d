"""The memory cell and the learning rule of 1997, on the tasks of their paper.

One sequence at a time, plain gradient descent, errors that flow back through the states of the
cells only; beside it the full gradient of the same cell, and a plain recurrent net of as many
units, by the same rule; and weights that are guessed.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.node import Array
from . import guessing, lstm1997_first, lstm1997_reber
from .base import Experiment, Lab, Report
from .lstm1997_figure import draw
from .lstm1997_nets import KINDS, PLAIN, RULE, net_of
from .lstm1997_tasks import TESTED, Task, adding, long_lag, multiplication, noise, order
from .online import Course, Online, course


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
        noise("b", 150_000),
        long_lag(100, 10_000, 150_000, 0.8),
        noise("c", 400_000),
        order(3, 1_500_000, 0.6),
        adding(500, 400_000),
        multiplication(100, 1_300_000),
    ]


def run(lab: Lab) -> Report:
    """Reber's grammar, and the tasks that need long lags."""
    tasks = full_tasks() if lab.full else quick_tasks()
    report = study(lab, tasks, 60_000 if lab.full else 30_000)
    if lab.full:
        lstm1997_first.study(lab, report)
        for kind in "ab":
            guessing.study(lab, report, noise(kind, 0))
    return report


def study(lab: Lab, tasks: list[Task], strings: int) -> Report:
    """Each task by the rule of 1997; the first five, which are drawn, by the two others too."""
    report, seen = Report(), {task.title: dict[str, Course]() for task in tasks}
    reader = lstm1997_reber.study(lab, report, strings)
    for task in tasks:
        for kind in KINDS if task in tasks[:5] else (RULE,):
            rule = kind == RULE
            seeds = lab.seeds(task.seeds if rule and lab.full else 5 if rule else 3)
            nets = Online([net_of(task, kind, s) for s in range(seeds)], task.of_seed, task.rate)
            limit = task.limit if rule else int(seen[task.title][RULE].seen[-1])
            criteria = [met for _, met in task.criteria]
            found = course(lab, f"{task.title}, {kind}", nets, criteria, task.test(), limit)
            seen[task.title][kind] = found
            compare(report, task, kind, found)
    report.figures["lstm-1997"] = lambda figure: draw(figure, tasks[:5], seen, reader)
    return report


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
