"""Watch: looks at a training while it runs, now and then, and warns of what `diagnose` finds.

A warning must be right: it is given if two looks agree, if the training makes no progress (but for
layers that are almost all dead), and once for each kind. Looks take at most `COST` of the time.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import numpy as np

from ...core.node import Array
from ...habits import user_level
from ..inspect.diagnosis import Diagnosis, Finding, diagnose
from ..kept import Kept
from ..rows.dataset import Dataset
from ..step.steps import Steps
from .callbacks import Callback, Pause

COST = 0.01
"""The share of the time that looking may take."""
FIRST_COST = 0.01
"""Seconds that the first look is expected to take, besides what grows with the step."""
ROWS = 64
"""Rows of a look, at most: as many as a minibatch usually has."""
STEPS = 50
"""Steps before the first look: what is odd at the start may be so for good reasons."""
PROGRESS = 0.8
"""A loss below this share of the first one is progress."""
MANY, NEARLY_ALL = 0.5, 0.9
"""Of a layer's units, for a warning: without progress, and in any case."""
GROWN = 4.0
"""A loss of so many times the first one has gone astray."""
LARGEST = 5_000_000
"""Weights beyond which copies would be felt."""


class TrainingWarning(UserWarning):
    """Something about a training that runs is not well; `Trainer.diagnose` tells more.

    Not wanted: ``fit(..., diagnose=False)``, or
    ``warnings.simplefilter("ignore", cr.train.TrainingWarning)``.
    """


class Watch(Callback):
    """The looks of one `fit`."""

    def __init__(self, steps: Steps, data: Dataset, wanted: bool) -> None:
        """``data``: what is trained on. To be made before the first step."""
        task = steps.task
        self.task, self.steps, self.data = task, steps, data
        self.wanted = wanted and not self._disturbs()
        self.first_loss: float | None = task.first_loss
        first = task.trained if self.wanted and self.first_loss is None else ()
        self._first_weights = Kept(first)
        self._spent, self._taken = 0.0, 0
        self._suspects: set[str] = set()
        self._warned: set[str] = set()
        self._first_step, self._began = task.step, time.perf_counter()

    def _disturbs(self) -> bool:
        """Whether code of the user's would notice a look, or memory would."""
        task = self.task
        changed = task.own_step
        hooked = any(m._forward_hooks or m._forward_pre_hooks for m in task._known.modules)
        size = sum(p.numel() for p in task.trained)
        return changed or hooked or size > LARGEST

    def _at_pause(self, trainer: Any, pause: Pause) -> None:
        """Look, unless that was done too short a time ago."""
        if not self.wanted or pause.advance is None or self.task.step - self._first_step < STEPS:
            return
        now = time.perf_counter()
        rows = min(ROWS, self.data.rows)
        if self._taken:
            next_cost = self._spent / self._taken
        else:
            next_cost = FIRST_COST + pause.per_step * (2 + 20 * rows / self.data.batch)
        if (now - self._began) * COST < self._spent + next_cost:
            return
        some = np.linspace(0, self.data.rows - 1, rows).astype(np.int64)  # from all over the data
        if self.first_loss is None:
            self.first_loss = self.task.first_loss = self._loss_at_first(some)
        self._judge(diagnose(self.steps, self.data, some, pause.advance))
        self._spent += time.perf_counter() - now
        self._taken += 1

    def _loss_at_first(self, some: Array) -> float:
        """The loss of the same rows with the weights this fit began with."""
        with Kept(self._first_weights.tensors):
            self._first_weights.put_back()
            loss = diagnose(self.steps, self.data, some, lambda: None).loss
        self._first_weights = Kept(())
        return loss

    # -- what is worth a warning -------------------------------------------------------------------
    def _judge(self, found: Diagnosis) -> None:
        progress = self._progress(found)
        serious: dict[str, list[Finding]] = {}
        for finding in found.findings:
            if self._serious(finding, progress):
                serious.setdefault(finding.kind, []).append(finding)
        if self._grown(found):
            serious = {"diverging": [self._diverging(found)]}
        if "dead" in serious or "saturated" in serious:
            serious.pop("vanishing", None)  # it follows from them
        for kind, findings in serious.items():
            if kind in self._suspects and kind not in self._warned:
                self._warned.add(kind)
                self._warn(findings, found.loss)
        self._suspects = set(serious)

    def _progress(self, found: Diagnosis) -> bool:
        """Whether the loss has fallen; a loss that is not finite is the sentinel's affair."""
        first = self.first_loss
        if first is None or not math.isfinite(found.loss):
            return True
        return found.loss <= first - (1 - PROGRESS) * abs(first)

    def _grown(self, found: Diagnosis) -> bool:
        first = self.first_loss
        return first is not None and 0 < GROWN * first < found.loss

    def _diverging(self, found: Diagnosis) -> Finding:
        lr = float(self.task.optimizer.param_groups[0]["lr"])
        what = f"the loss has grown from {self.first_loss:.4g} to {found.loss:.4g}"
        advice = f"Lower the learning rate (it is {lr:g}), or bound the gradients: clip_norm=1.0"
        return Finding("diverging", "the training", what, advice)

    @staticmethod
    def _serious(finding: Finding, progress: bool) -> bool:
        if finding.kind == "dead" and finding.share >= NEARLY_ALL:
            return True
        if finding.kind in ("dead", "saturated"):
            return not progress and finding.share >= MANY
        return not progress and finding.kind in ("vanishing", "exploding", "large update")

    def _warn(self, findings: list[Finding], loss: float) -> None:
        first, more = findings[0], len(findings) - 1
        others = f" {more} more {'layer' if more == 1 else 'layers'} likewise." if more else ""
        message = (
            f"{first}.{others}\n    Step {self.task.step}; the loss was {self.first_loss:.4g}, "
            f"is {loss:.4g}. trainer.diagnose(x, y) tells more; fit(..., diagnose=False) is silent"
        )
        warnings.warn(message, TrainingWarning, stacklevel=user_level())
