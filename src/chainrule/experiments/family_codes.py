"""What the six units for persons say about each of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..plot import hinton
from .base import Report, spread
from .family_facts import (
    BRANCH,
    ENGLISH,
    GENERATION,
    ITALIAN,
    NATIONALITY,
)
from .replicas import Runs


def correlations(codes: Array) -> Array:
    """|correlation| of units' weights (R, 24, 6) with nation, generation, branch: (R, 3, 6)."""
    labels = np.stack([NATIONALITY, GENERATION, BRANCH]).astype(float)
    labels = (labels - labels.mean(1, keepdims=True)) / labels.std(1, keepdims=True)
    codes = (codes - codes.mean(1, keepdims=True)) / codes.std(1, keepdims=True)
    return np.asarray(np.abs(np.einsum("lp,rpu->rlu", labels, codes)) / 24)


def twin_ratio(codes: Array) -> Array:
    """Distance of equivalent people's codes over the mean, without the nationality unit: (R,)."""
    unit = correlations(codes)[:, 0].argmax(1)
    found = []
    for code, nationality in zip(codes, unit, strict=True):
        rest = np.delete(code, nationality, axis=1)
        apart = np.linalg.norm(rest[:, None] - rest, axis=-1)
        found.append(
            apart[np.arange(12), np.arange(12) + 12].mean() / apart[np.triu_indices(24, 1)].mean()
        )
    return np.array(found)


def representation(report: Report, runs: Runs, seeds: int) -> None:
    """The best unit of each net for nationality, generation and branch."""
    codes = runs.weights["person"][:seeds].astype(float)
    best = correlations(codes).max(2).mean(0)
    report.add(
        "best |correlation| of a person unit with nationality, generation, branch",
        ", ".join(f"{b:.2f}" for b in best),
        bool((best >= (0.6, 0.6, 0.5)).all()),
        reported="one unit each for nationality, generation and branch",
        criterion="on average at least 0.6, 0.6, 0.5 (random labels: 0.35)",
        correlations=best.tolist(),
    )
    ratio = twin_ratio(codes)
    report.add(
        "distance of equivalent people's codes, over the mean distance",
        spread(ratio),
        ratio=float(ratio.mean()),
    )


def draw(figure: Any, runs: Runs) -> None:
    """The weights from the 24 people to the six units, of the net whose units are the clearest."""
    codes = runs.weights["person"].astype(float)
    strength = correlations(codes)
    seed = int(strength.max(2).sum(1).argmax())
    figure.set_size_inches(11, 5.2)
    named = {
        int(strength[seed, k].argmax()): (what, strength[seed, k].max())
        for k, what in enumerate(("nationality", "generation", "branch"))
    }
    grid = figure.subplots(3, 2, sharex=True)
    for unit, axes in enumerate(grid.ravel()):
        code = codes[seed, :, unit].reshape(2, 12)
        hinton(code, axes, rows=("English", "Italian"), columns=ENGLISH)
        title = f"unit {unit + 1}"
        if unit in named:
            title += f": {named[unit][0]} (|r| = {named[unit][1]:.2f})"
        axes.set_title(title, fontsize=9)
    for axes in grid[-1]:
        both = [f"{e} / {i}" for e, i in zip(ENGLISH, ITALIAN, strict=True)]
        axes.set_xticks(range(12), both, rotation=50, ha="right", fontsize=7)
    figure.suptitle(
        f"Weights from the 24 people to the six person units, seed {seed}"
        f" (the clearest of {len(codes)} nets)",
        fontsize=10,
    )
