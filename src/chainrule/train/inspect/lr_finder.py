"""The learning rate range test: raise the learning rate step by step, and watch the loss.

Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, OptionError
from ...nn.options import check, integer, number
from ...plot import matplotlib_of, save_figure
from ..kept import Kept
from ..rows.dataset import Dataset, Kind
from ..state.snapshot import tensors_of
from ..step.steps import Steps

SMOOTHING = 0.9
"""The share that the mean of the losses keeps at each step."""
DIVERGED = 4.0
"""The search ends where the smoothed loss is so many times its smallest (fastai's rule)."""


class LRSearch:
    """Learning rates tried, and the loss at each; ``suggestion``: where the loss falls fastest."""

    def __init__(self, lrs: list[float], losses: list[float]) -> None:
        """``losses``: of the batches, one for each learning rate."""
        self.lrs, self.losses = lrs, losses
        self.smoothed = _smoothed(losses)

    @property
    def suggestion(self) -> float:
        """The learning rate of the steepest fall of the smoothed loss, before its lowest point."""
        low = int(np.argmin(self.smoothed))
        reach = max(
            len(self.lrs) // 10, 1
        )  # a slope over neighbours would follow the noise of batches
        middle = range(len(self.lrs) // 5, low - reach + 1)
        falls = [(self.smoothed[i + reach] - self.smoothed[max(i - reach, 0)], i) for i in middle]
        return self.lrs[min(falls)[1] if falls else max(low - reach, 0)]

    def to_dict(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "lr": list(self.lrs),
            "loss": list(self.losses),
            "smoothed": list(self.smoothed),
            "suggestion": self.suggestion,
        }

    def table(self, rows: int = 20) -> str:
        """About ``rows`` of the steps as text, the suggested one marked."""
        every = max(len(self.lrs) // rows, 1)
        marked = self.lrs.index(self.suggestion)
        shown = sorted({*range(0, len(self.lrs), every), marked})
        lines = [f"{'lr':>11} {'loss':>11} {'smoothed':>11}"]
        lines += [
            f"{self.lrs[i]:>11.3g} {self.losses[i]:>11.5g} {self.smoothed[i]:>11.5g}"
            + ("  <-" if i == marked else "")
            for i in shown
        ]
        return "\n".join(lines)

    def plot(self, path: str | Path) -> Path:
        """Draw loss against learning rate into a file. Needs matplotlib."""
        mpl = matplotlib_of("LRSearch.plot needs")
        figure = mpl.figure.Figure(figsize=(5.0, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.lrs, self.losses, alpha=0.3, label="batch")
        axes.plot(self.lrs, self.smoothed, label="smoothed")
        axes.axvline(
            self.suggestion, linestyle="--", color="gray", label=f"lr = {self.suggestion:.2g}"
        )
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend()
        return save_figure(figure, path)

    def __repr__(self) -> str:
        return f"LRSearch({len(self.lrs)} steps, suggestion {self.suggestion:.3g})"


def _smoothed(losses: list[float]) -> list[float]:
    """The exponential mean, corrected for its start."""
    mean, found = 0.0, []
    for i, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**i))
    return found


def find_lr(steps: Steps, data: Dataset, start: float, stop: float, count: int) -> LRSearch:
    """Run the test; all state of the training is put back afterwards."""
    check(
        "find_lr",
        {"start": number(0, brackets="()"), "stop": number(0, brackets="()"), "steps": integer(2)},
        {"start": start, "stop": stop, "steps": count},
    )
    if not start < stop:
        raise OptionError(f"find_lr: start must be below stop, got {start:g} and {stop:g}")
    steps.prepare(data)
    kind = Kind(data.batch)
    steps.train_trace(data, kind)
    task = steps.task
    first = [float(g["lr"]) for g in task.optimizer.param_groups]
    lrs: list[float] = []
    losses: list[float] = []
    with Kept(tensors_of(task, steps).values()):
        for i in range(count):
            lr = start * (stop / start) ** (i / (count - 1))
            for group, own in zip(task.optimizer.param_groups, first, strict=True):
                group.put("lr", lr * own / first[0] if first[0] else lr)
            if i % max(data.full, 1) == 0:
                steps.cursor.start(task.seed, task.epoch + i // max(data.full, 1))
            steps.meter.reset()
            steps.run_training(data, kind, 1)
            loss = steps.meter.logs()["loss"]
            if not math.isfinite(loss):
                break
            lrs.append(lr)
            losses.append(loss)
            smoothed = _smoothed(losses)
            if smoothed[-1] > DIVERGED * min(smoothed) and i > count // 10:
                break
    steps.meter.reset()
    if len(losses) < 2:
        raise DataError(
            f"find_lr: the loss is not finite at lr = {start:g}; start lower, or scale the inputs"
        )
    return LRSearch(lrs, losses)
