"""Curves of many seeds, and the weights of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..plot import COLOURS, hinton


def solved_curves(axes: Any, runs: dict[str, Any], limit: int) -> None:
    """The share of seeds that have solved their task, against the sweeps (logarithmic)."""
    for (label, r), colour in zip(runs.items(), COLOURS, strict=False):
        took = np.sort(r.sweeps[r.solved_in(limit)])
        share = np.arange(1, len(took) + 1) / len(r.solved)
        last = share[-1] if len(took) else 0.0
        axes.step([*took, limit], [*share, last], where="post", color=colour, label=label)
    axes.set_xscale("log")
    first = min((r.sweeps[r.solved].min() for r in runs.values() if r.solved.any()), default=1)
    marks = [m * 10**k for k in range(6) for m in (1, 2, 5)]
    marks = [m for m in marks if 0.8 * first <= m <= limit]
    axes.set_xticks(marks, [f"{m:,}" for m in marks], rotation=45, fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("sweeps")
    axes.set_ylabel("share of seeds that solved it")
    axes.grid(alpha=0.3)
    if runs:
        axes.legend(fontsize=8)


def shortcut_net(
    axes: Any, runs: Any, seed: int, outputs: Sequence[str], inputs: Sequence[str]
) -> None:
    """The weights of one 4-3-3 net with shortcuts, by the names of its inputs and outputs."""
    w = {k: v[seed] for k, v in runs.weights.items()}
    hidden = np.concatenate([w["W1"].T, np.full((3, 3), np.nan), w["b1"][:, None]], axis=1)
    output = np.concatenate([w["S"].T, w["W2"].T, w["b2"][:, None]], axis=1)
    rows, columns = (
        ("hidden 1", "hidden 2", "hidden 3", *outputs),
        (*inputs, "h1", "h2", "h3", "bias"),
    )
    hinton(
        np.concatenate([hidden, output]), axes, rows=rows, columns=columns, numbers=1, holes=True
    )
    axes.set_title(f"4-3-3 with shortcuts, seed {seed}", fontsize=9)
