"""RunFolder: the folder of a run: checkpoints are written while `fit` trains, and the run that is
found there goes on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError, WriteError
from ..habits import user_level
from ..tensor.compiling.trace import Trace
from .checkpoint import Checkpoint, State
from .identity import Settings, data_of, differences, digest_of, options_of
from .meta import FitMeta, read_fit, read_meta
from .plan import Plan
from .snapshot import Part, restore, state_of
from .steps import Steps

if TYPE_CHECKING:
    from .trainer import Trainer


@dataclass
class Found:
    """A checkpoint of this run."""

    state: State
    fit: FitMeta


class RunFolder:
    """The checkpoints of one `fit`."""

    def __init__(
        self,
        trainer: Trainer,
        steps: Steps,
        plan: Plan,
        checkpoint: Checkpoint,
        traces: Callable[[], list[Trace]],
    ) -> None:
        """``traces``: all kinds of training steps, compiled."""
        self.trainer, self.steps, self.plan = trainer, steps, plan
        self.checkpoint, self.traces = checkpoint, traces
        self.where = f"the checkpoint in {checkpoint.folder}"
        self._failed = False  # whether the last one could not be written
        self._options = options_of(trainer, plan.callbacks)
        # Where this trainer goes on itself, its learning rate is what the run made of it.
        started = trainer._started.setdefault(checkpoint.folder.resolve(), {})
        self._options |= {"lr": started.setdefault("lr", self._options.get("lr"))}
        self._settings: Settings = {}
        self._found: Found | None = None

    def settings(self, compiled: bool = True) -> Settings:
        """What must be the same for a resumed run to be the same run; all but the computation
        itself is known before anything is compiled."""
        if not self._settings:
            self._settings = {**data_of(self.plan.data, self.plan.validation), **self._options}
        if compiled and "step" not in self._settings:
            self._settings["step"] = digest_of(self.traces())
        return self._settings

    # -- writing -----------------------------------------------------------------------------------
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return self.checkpoint.due(self.trainer.step)

    def write(self, epoch: int, batch: int, last: bool) -> None:
        """Write the state before a batch. Where that cannot be training goes on, with a warning."""
        state = state_of(self.trainer, self.steps)
        state.meta["fit"] = {
            "epoch": epoch,
            "batch": batch,
            "rows": self.steps.meter.rows,
            "settings": self.settings(),
            "callbacks": [c.state_dict() for c in self.plan.callbacks],
        }
        try:
            self.checkpoint.write(self.trainer.step, state)
        except WriteError as error:
            if not self._failed or last:
                with contextlib.suppress(RuntimeWarning):  # it must end nothing
                    warnings.warn(
                        f"checkpoint: {error}. Training goes on; what it learns is not kept",
                        RuntimeWarning,
                        stacklevel=user_level(),
                    )
            self._failed = True
        else:
            self._failed = False

    # -- going on ----------------------------------------------------------------------------------
    def look(self) -> None:
        """Find the state in the folder, if there is one: of this run, and at a place that there is.
        Raises CheckpointError otherwise."""
        state = self.checkpoint.read()
        if state is None:
            return
        where, data = self.where, self.plan.data
        fit = read_fit(state.meta, read_meta(state, where).epoch, where)
        self._check_same(fit, compiled=False)
        if len(fit.callbacks) != len(self.plan.callbacks):
            raise CheckpointError(
                f"{where} has the state of {len(fit.callbacks)} callbacks, this call of fit has "
                f"{len(self.plan.callbacks)}"
            )
        if fit.batch > data.steps:
            raise CheckpointError(
                f"{where} is damaged: its next batch is {fit.batch}, an epoch has {data.steps}"
            )
        position = state.arrays.get("cursor.position")
        row = min(fit.batch * data.batch, data.rows)
        if data.steps > 1 and position is not None and not np.array_equal(position, row):
            raise CheckpointError(
                f"{where} is damaged: its next row is {position}, batch {fit.batch} begins with "
                f"row {row}"
            )
        self._found = Found(state, fit)

    def restore(self) -> FitMeta | None:
        """Put back the state that was found; where it is in the run."""
        found, self._found = self._found, None
        if found is None:
            return None
        self._check_same(found.fit, compiled=True)
        callbacks = zip(self.plan.callbacks, found.fit.callbacks, strict=True)
        parts = [Part(f"callback {type(c).__name__}", c, saved) for c, saved in callbacks]
        restore(self.trainer, self.steps, found.state, self.where, parts=parts)
        self.steps.meter.rows = found.fit.rows
        return found.fit

    def _check_same(self, fit: FitMeta, compiled: bool) -> None:
        there = fit.settings if compiled else {k: v for k, v in fit.settings.items() if k != "step"}
        different = differences(there, self.settings(compiled))
        if different:
            raise CheckpointError(
                f"{self.where} is of another run ({'; '.join(different)}); remove the folder, or "
                "choose another one"
            )
