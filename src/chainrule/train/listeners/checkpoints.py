"""Checkpoints of a run: a folder is written while `fit` trains, and the run found there goes on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import CheckpointError, WriteError
from ...habits import user_level
from ...tensor.compiling.trace import Trace
from ..rows.dataset import Dataset
from ..state.checkpoint import Checkpoint, State
from ..state.identity import Settings, data_of, differences, digest_of, options_of
from ..state.meta import FitMeta, read_fit, read_meta
from ..state.snapshot import Part, restore, state_of
from ..step.steps import Steps
from .callbacks import Callback


class RunFolder(Callback):
    """The folder of a run, for one net or for many seeds."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        callbacks: Sequence[Callback],
        options: Settings,
        data: tuple[Dataset, Dataset | None],
        traces: Callable[[], Iterable[Trace]],
    ) -> None:
        """A folder of checkpoints of one run.

        ``options``: what must be the same, besides the ``data`` and the steps, for a resumed
        run to be the same run; ``traces``: all kinds of training steps, compiled.
        """
        self.checkpoint, self.callbacks, self.traces = checkpoint, callbacks, traces
        self.every = checkpoint.every_steps or 0
        self.where = f"the checkpoint in {checkpoint.folder}"
        self._options, self._data = options, data
        self._known: Settings = {}
        self._failed = False  # whether the last one could not be written

    def settings(self, compiled: bool = True) -> Settings:
        """What makes a run another run, but for the computation: known before any compiling."""
        if not self._known:
            self._known = {**data_of(*self._data), **self._options}
        if compiled and "step" not in self._known:
            self._known["step"] = digest_of(self.traces())
        return self._known

    def check_same(self, there: Mapping[str, Any], compiled: bool = True) -> None:
        """Raise CheckpointError for the settings of another run."""
        there = there if compiled else {k: v for k, v in there.items() if k != "step"}
        different = differences(there, self.settings(compiled))
        if different:
            raise CheckpointError(
                f"{self.where} is of another run ({'; '.join(different)}); remove the folder, or "
                "choose another one"
            )

    def write(self, state: State, place: dict[str, Any], step: int, last: bool) -> None:
        """Write a state and its place in the run; warn, and train on, where that cannot be."""
        own = [c.state_dict() for c in self.callbacks]
        state.meta["fit"] = {**place, "settings": self.settings(), "callbacks": own}
        try:
            self.checkpoint.write(step, state)
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


@dataclass
class Found:
    """A checkpoint of this run."""

    state: State
    fit: FitMeta


class Checkpoints(RunFolder):
    """The checkpoints of one `fit`."""

    def __init__(
        self,
        steps: Steps,
        data: tuple[Dataset, Dataset | None],
        callbacks: Sequence[Callback],
        checkpoint: Checkpoint,
        traces: Callable[[], Iterable[Trace]],
    ) -> None:
        self.steps = steps
        stops = filter(None, (c._as_settings(steps.task) for c in callbacks))
        options = options_of(steps.task, steps.meter.metrics, stops)
        # Where this trainer goes on itself, its learning rate is what the run made of it.
        started = steps.task._started.setdefault(checkpoint.folder.resolve(), {})
        options |= {"lr": started.setdefault("lr", options.get("lr"))}
        super().__init__(checkpoint, callbacks, options, data, traces)
        self._found: Found | None = None

    def _at_rest(self, trainer: Any, epoch: int, batch: int, last: bool) -> None:
        """Write the state before a batch, if it is time."""
        if last or self.checkpoint.due(trainer.step):
            place = {"epoch": epoch, "batch": batch, "rows": self.steps.meter.rows}
            self.write(state_of(trainer, self.steps), place, trainer.step, last)

    def look(self) -> None:
        """Find the state in the folder, if there is one: of this run, and at a place that there is.
        Raises CheckpointError otherwise."""
        state = self.checkpoint.read()
        if state is None:
            return
        where, (data, _) = self.where, self._data
        fit = read_fit(state.meta, read_meta(state, where).epoch, where)
        self.check_same(fit.settings, compiled=False)
        if len(fit.callbacks) != len(self.callbacks):
            raise CheckpointError(
                f"{where} has the state of {len(fit.callbacks)} callbacks, this call of fit has "
                f"{len(self.callbacks)}"
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
        self.check_same(found.fit.settings)
        callbacks = zip(self.callbacks, found.fit.callbacks, strict=True)
        parts = [Part(f"callback {type(c).__name__}", c, saved) for c, saved in callbacks]
        restore(self.steps.task, self.steps, found.state, self.where, parts=parts)
        self.steps.meter.rows = found.fit.rows
        return found.fit
