"""The figure of `lstm1997`: errors as sequences are learned, and what a net remembers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..data.generators import REBER_SYMBOLS, make_reber
from ..plot import COLOURS, GREY
from ..tensor import functions as f
from .lstm1997_nets import RULE, net_of
from .lstm1997_tasks import Task
from .online import Course, with_weights


def draw(figure: Any, tasks: list[Task], seen: dict[str, dict[str, Course]], reader: Any) -> None:
    """Errors by sequences learned; gradients by lag; states and gates.

    Of nets while they tell an order, read a string of the grammar, and add.
    """
    figure.set_size_inches(18, 14)
    axes = figure.subplots(4, 5)
    for ax, task in zip(axes[0], tasks, strict=False):
        for (kind, found), colour in zip(seen[task.title].items(), COLOURS, strict=False):
            for s, error in enumerate(found.squared.T):
                label = None if s else kind
                ax.plot(found.seen, np.maximum(error, 1e-5), color=colour, lw=0.8, label=label)
        ax.set(yscale="log", xlabel="sequences", title=task.title)
        ax.title.set_fontsize(8)
    axes[0, 0].set_ylabel("squared error")
    axes[0, 0].legend(fontsize=7)
    of_order, of_sums = (
        next((t for t in tasks if word in t.title), None) for word in ("order", "adding")
    )
    if of_order:
        nets = {kind: solved(of_order, kind, found) for kind, found in seen[of_order.title].items()}
        marks(axes[1], of_order, nets[RULE], slice(2, 4), "X, Y")
        by_lag(axes[1, 4], of_order, nets)
    string(axes[2], reader)
    if of_sums:
        marks(axes[3], of_sums, solved(of_sums, RULE, seen[of_sums.title][RULE]), slice(0, 2), "+")


def solved(task: Task, kind: str, found: Course) -> Any:
    """The net of the seed with the least test error."""
    best = int(found.squared_of_test.mean(0).argmin())
    return with_weights(net_of(task, kind, best), {k: w[best] for k, w in found.weights.items()})


def memory(axes: Any, net: Any, x: Array, at: Array) -> None:
    """States of the cells, and both kinds of gates, by time; dashed: the steps ``at``."""
    y, s = (t.numpy() for t in net.states(x))
    b = net.blocks
    for ax, lines, title in zip(
        axes,
        (s, y[:, :b], y[:, b : 2 * b]),
        ("states of the cells", "input gates", "output gates"),
        strict=True,
    ):
        size = lines.shape[1] // b  # of a block: its cells, or its gate
        for i, line in enumerate(lines.T):
            ax.plot(line, color=COLOURS[i // size], lw=1, ls=":" if i % size else "-")
        for t in at:
            ax.axvline(t, color=GREY, lw=0.8, ls="--")
        ax.set(title=title)


def marks(axes: Any, task: Task, net: Any, shown: slice, what: str) -> None:
    """A sequence of a task, and what the net remembers of it."""
    given = task.draw(1, 5)
    x = given.x[0][: int(given.counts[0].argmax()) + 1]
    marked = x[:, shown] if what != "+" else x[:, 1:]
    at = np.flatnonzero((marked > 0).any(1))
    for line, colour in zip(x[:, shown].T, COLOURS, strict=False):
        axes[0].plot(line, color=colour, lw=1)
    axes[0].set(title=f"{task.title}: inputs", xlabel=f"step (dashed: {what})")
    axes[0].title.set_fontsize(8)
    memory(axes[1:4], net, x, at)
    if what == "+":
        axes[4].plot(net(x).numpy(), color=COLOURS[0], lw=1, label="output")
        axes[4].axhline(float(given.d[0, 0, 0]), color=GREY, ls="--", lw=0.8, label="target")
        axes[4].set(title="output")
        axes[4].legend(fontsize=7)


def string(axes: Any, net: Any) -> None:
    """A string of the embedded Reber grammar; dashed: T or P, and where it is to be told."""
    text = max(make_reber(40, embedded=True, random_state=3)[:20], key=len)
    x = np.eye(7, dtype=np.float32)[[REBER_SYMBOLS.index(c) for c in text[:-1]]]
    at = np.array([1, len(text) - 3])
    out = net(x).numpy()
    axes[0].imshow(out.T, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    axes[0].plot([REBER_SYMBOLS.index(c) for c in text[1:]], ".", color=COLOURS[1])
    axes[0].set(title="outputs (dots: what followed)", yticks=range(7))
    axes[0].set_yticklabels(list(REBER_SYMBOLS))
    memory(axes[1:4], net, x, at)
    for symbol, colour in zip("TP", COLOURS, strict=False):
        axes[4].plot(out[:, REBER_SYMBOLS.index(symbol)], color=colour, lw=1, label=symbol)
    axes[4].set(title="outputs T and P")
    axes[4].legend(fontsize=7)
    for ax in axes:
        ax.set_xticks(range(len(x)), list(text[:-1]), fontsize=6)
    for t in at:
        axes[4].axvline(t, color=GREY, lw=0.8, ls="--")


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
