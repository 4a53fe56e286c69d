"""The figure of `lstm1997`: errors as sequences are learned, and what a net remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import nn
from ..plot import COLOURS, GREY
from ..tensor import functions as f
from ..tensor.grad_mode import no_grad
from .lstm1997_nets import RULE, net_of
from .lstm1997_tasks import Task
from .online import Course


def draw(figure: Any, tasks: list[Task], seen: dict[str, dict[str, Course]]) -> None:
    """Errors by sequences learned; states and gates while it tells an order; gradients by lag."""
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
    """‖∂E/∂x‖ by the steps before the end, root mean square over 50 sequences."""
    given = task.draw(50, 6)
    for (kind, net), colour in zip(nets.items(), COLOURS, strict=False):
        x = f.tensor(given.x.swapaxes(0, 1), requires_grad=True)
        off = (net(x) - f.tensor(given.d.swapaxes(0, 1))) * given.counts.T[..., None]
        (0.5 * (off**2).sum()).backward()
        assert x.grad is not None
        slopes = x.grad.numpy().astype(float)
        ends = given.counts.argmax(1)
        lags = np.array([slopes[end - np.arange(100), i] for i, end in enumerate(ends)])
        ax.plot(np.sqrt((lags**2).sum(-1).mean(0)) + 1e-30, color=colour, label=kind)
    ax.set(yscale="log", xlabel="lag: steps before the end", title="‖∂E/∂x‖")
    ax.legend(fontsize=7)
