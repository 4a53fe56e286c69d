"""The memory cell and the learning rule of 1997, on the tasks of their paper.

One sequence at a time, plain gradient descent, errors that flow back through the states of the
cells only; beside it the full gradient of the same cell, and a plain recurrent net of as many
units, by the same rule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import models, nn
from ..core.node import Array
from ..func import functional_call
from ..plot import COLOURS, GREY
from ..tensor import functions as f
from ..tensor.value import no_grad
from .base import Experiment, Lab, Report
from .lstm1997_tasks import TESTED, Task, adding, long_lag, multiplication, noise, order, reber
from .online import Course, Online, course

RULE, FULL_GRADIENT, PLAIN = KINDS = ("rule of 1997", "full gradient", "plain net")


class Plain(nn.Module):
    """A recurrent net of tanh units, as many as a net of memory cells has gates and cells."""

    def __init__(
        self, inputs: int, blocks: int, size: int, outputs: int, linear: bool = False, **_: Any
    ) -> None:
        super().__init__()
        self.linear, self.rnn = linear, nn.RNN(inputs, blocks * (2 + size))
        self.head = nn.Linear(self.rnn.hidden_size, outputs)

    def forward(self, x: Any) -> Any:
        """Outputs after each step."""
        out = self.head(self.rnn(x)[0])
        return out if self.linear else f.sigmoid(out)


def net_of(task: Task, kind: str, seed: int) -> nn.Module:
    """The net of a task, with the weights of a seed."""
    f.manual_seed(seed)
    if kind == PLAIN:
        return Plain(**task.net)
    return models.LSTM1997(**task.net, truncated=kind == RULE)


def quick_tasks() -> list[Task]:
    """What takes seconds: sizes of the paper, shorter limits."""
    return [
        long_lag(50, 1000, 60_000, 0.2),
        noise(100, "a", 60_000, 0.8),
        adding(100, 120_000, 0.8),
        order(2, 50_000, 0.8),
        multiplication(30, 150_000, 0.6),
        reber(30_000, 0.1),
    ]


def full_tasks() -> list[Task]:
    """All of the paper's that take less than an hour."""
    return [
        long_lag(50, 10_000, 150_000, 0.8),
        noise(100, "a", 150_000, 0.8),
        adding(100, 300_000, 0.8),
        order(2, 100_000, 0.8),
        multiplication(100, 1_300_000),
        reber(60_000, 0.2),
        long_lag(100, 10_000, 150_000, 0.8),
        noise(100, "b", 150_000),
        noise(100, "c", 400_000),
        order(3, 1_500_000, 0.6),
        adding(500, 400_000),
    ]


def run(lab: Lab) -> Report:
    """All tasks, and how the cells remember."""
    return study(lab, full_tasks() if lab.full else quick_tasks())


def study(lab: Lab, tasks: list[Task]) -> Report:
    """Each task by the rule of 1997; those that come with a figure by the two others too."""
    report = Report()
    seen: dict[str, dict[str, Course]] = {}
    for i, task in enumerate(tasks):
        courses = seen[task.title] = {}
        for kind in KINDS if i < 5 else (RULE,):
            seeds = lab.seeds(task.seeds if lab.full and kind == RULE else 5 if kind == RULE else 3)
            nets = Online([net_of(task, kind, s) for s in range(seeds)], task.of_seed, task.rate)
            limit = task.limit if kind == RULE else int(courses[RULE].seen[-1])
            criteria = [met for _, met in task.criteria]
            test = task.draw(TESTED, 777_777)
            courses[kind] = course(lab, f"{task.title}, {kind}", nets, criteria, test, limit)
            compare(report, task, kind, courses[kind])
    report.figures["lstm-1997"] = lambda figure: draw(figure, tasks[:5], seen)
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


def after(took: Array) -> str:
    """When, in words."""
    met = np.sort(took[took > 0])
    return f", after {', '.join(f'{n:,}' for n in met)} sequences" if len(met) else ""


# -- the figure ------------------------------------------------------------------------------------
def draw(figure: Any, tasks: list[Task], seen: dict[str, dict[str, Course]]) -> None:
    """Errors by sequences learned; states and gates of a net while it tells an order; gradients by
    lag."""
    figure.set_size_inches(16, 8)
    axes = figure.subplots(2, 5).ravel()
    for ax, task in zip(axes, tasks, strict=False):
        for (kind, found), colour in zip(seen[task.title].items(), COLOURS, strict=False):
            for s, error in enumerate(found.squared.T):
                label = None if s else kind
                ax.plot(found.seen, np.maximum(error, 1e-5), color=colour, lw=0.8, label=label)
        ax.set(yscale="log", xlabel="sequences", title=task.title)
        ax.title.set_fontsize(8)
    axes[0].set_ylabel("squared error")
    axes[0].legend(fontsize=7)
    task = next(t for t in tasks if "order" in t.title)
    nets = {kind: solved(task, kind, found) for kind, found in seen[task.title].items()}
    memory(axes[5:9], task, nets[RULE])
    by_lag(axes[9], task, nets)


def solved(task: Task, kind: str, found: Course) -> nn.Module:
    """The net of the seed with the least test error."""
    best = int(found.squared_of_test.mean(0).argmin())
    net = net_of(task, kind, best)
    with no_grad():
        for name, p in net.named_parameters():
            p.assign(f.tensor(found.weights[name][best]))
    return net


def memory(axes: Any, task: Task, net: Any) -> None:
    """Inputs, states, and both kinds of gates, by time."""
    given = task.draw(1, 5)
    x = given.x[0][: int(given.counts[0].argmax()) + 1]
    y, s = (t.numpy() for t in net.states(x))
    b = net.blocks
    for ax, lines, title in zip(
        axes,
        (x[:, 2:4], s, y[:, :b], y[:, b : 2 * b]),
        ("the symbols X and Y", "states of the cells", "input gates", "output gates"),
        strict=True,
    ):
        for line, colour in zip(lines.T, COLOURS, strict=False):
            ax.plot(line, color=colour, lw=1)
        for t in np.flatnonzero(x[:, 2:4].any(1)):
            ax.axvline(t, color=GREY, lw=0.8, ls="--")
        ax.set(title=title, xlabel="step (dashed: X or Y)")


def by_lag(ax: Any, task: Task, nets: dict[str, Any]) -> None:
    """‖∂E/∂x‖ by the steps before the end, root mean square over 200 sequences."""
    given = task.draw(200, 6)
    for (kind, net), colour in zip(nets.items(), COLOURS, strict=False):
        x = f.tensor(given.x.swapaxes(0, 1), requires_grad=True)
        off = (net(x) - f.tensor(given.d.swapaxes(0, 1))) * given.counts.T[..., None]
        (0.5 * (off**2).sum()).backward()
        slopes = x.grad.numpy().astype(float)
        ends = given.counts.argmax(1)
        lags = np.array([slopes[end - np.arange(100), i] for i, end in enumerate(ends)])
        ax.plot(np.sqrt((lags**2).sum(-1).mean(0)) + 1e-30, color=colour, label=kind)
    ax.set(yscale="log", xlabel="lag: steps before the end", title="‖∂E/∂x‖")
    ax.legend(fontsize=7)


EXPERIMENT = Experiment(
    "lstm-1997",
    "Long lags by the cell and the rule of 1997",
    "Hochreiter & Schmidhuber 1997, Neural Computation 9, 1735-1780",
    run,
)
