"""Doubts: what a model's numbers should make its user look at twice."""

from __future__ import annotations

from ..core.node import Array
from ..data import Preprocessor
from .giveaways import giveaways


def doubts(
    p: Preprocessor, x: Array, y: Array, metrics: dict[str, float], baseline: dict[str, float]
) -> list[str]:
    """Sentences about a model trained on inputs ``x`` and targets ``y``, of these measures."""
    found = []
    if p.width > len(x):
        found.append(
            f"the {p.width} inputs outnumber the {len(x)} rows learned from: nets do badly there; "
            "drop columns, or give more rows"
        )
    found += giveaways(p, x, y)
    if p.classes:
        more = metrics["accuracy"] - baseline["accuracy"]
        better = more > 0 or (more == 0 and metrics["log_loss"] < baseline["log_loss"])
    else:
        better = metrics["rmse"] < baseline["rmse"]
    if not better:
        always = "the most frequent class" if p.classes else "the mean"
        found.append(
            f"warning: the model is not better than always answering {always}; look at lr, epochs "
            "and columns before you use it"
        )
    return found
