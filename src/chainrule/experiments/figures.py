"""Curves of many seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..plot import COLOURS


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
