"""Run: what a call of `fit` was asked to do, being done: who is told of it, and Ctrl-C."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from .interrupt import INTERRUPTED, Interrupts, interrupts
from .listeners.callbacks import Callback, Pause, told
from .listeners.progress import Progress, TimeLimit, progress_display
from .rows.dataset import Dataset
from .state.checkpoint import Checkpoint

CHUNK_SECONDS = 0.05
"""How long native code may run before Python looks at something."""


@dataclass
class Plan:
    """What one call of `fit` was asked to do."""

    data: Dataset
    validation: Dataset | None
    epochs: int
    max_seconds: float | None
    progress: bool | None
    callbacks: list[Callback]
    checkpoint: Checkpoint | None
    diagnose: bool

    def held(self) -> contextlib.AbstractContextManager[None]:
        """The folder of checkpoints, for this fit alone."""
        return contextlib.nullcontext() if self.checkpoint is None else self.checkpoint.held()


class Run:
    """A plan for one net, or for those of many seeds."""

    def __init__(self, trainer: Any, plan: Plan) -> None:
        """``trainer``: what callbacks are given."""
        self.trainer, self.plan, self.data = trainer, plan, plan.data
        self.epoch = 0  # of this fit
        self.batch = 0  # the next one of this epoch
        self.per_epoch = 0.0  # seconds, measured
        self.interrupts = Interrupts()
        self.limit = [] if plan.max_seconds is None else [TimeLimit(plan.max_seconds)]
        self.listeners: list[Callback] = []
        self._whole = True  # whether the counters say what the state is
        self._over = False  # whether a run that is resumed had ended

    def _prepare(self) -> None:
        """Look at the checkpoint, if there is one, and compile; no more than that."""
        raise NotImplementedError

    def _listening(self, display: Progress) -> list[Callback]:
        """All who are told, in their order."""
        raise NotImplementedError

    def _train(self) -> None:
        """All epochs."""
        raise NotImplementedError

    def _mark(self, stopped: str) -> None:
        """Write into the history why training ended."""
        raise NotImplementedError

    def run(self) -> Any:
        """Train; returns the history."""
        plan, trainer = self.plan, self.trainer
        with plan.held():
            self._prepare()
            with (
                progress_display(plan.progress, plan.epochs) as display,
                interrupts() as self.interrupts,
            ):
                self.listeners = self._listening(display)
                self.interrupts.deferred = True
                for begin in told(self.listeners, "on_fit_begin"):
                    begin(trainer)
                self._hear()
                try:
                    self._train()
                except KeyboardInterrupt:
                    if self.interrupts.at_once:
                        raise
                    if self._whole:
                        self._settle(last=True)
                    self._end(INTERRUPTED)
                    raise
                if not self._over:  # before weights are exchanged for the best: it may go on
                    self._settle(last=True)
                self._end(trainer._stop)
                if self.interrupts.waiting:  # pressed since the last look
                    self._mark(INTERRUPTED)
                    self.interrupts.answer()
        return trainer.history

    def _hear(self) -> None:
        """Who is told of what."""
        listeners = self.listeners
        self._epoch_begun, self._epoch_ended, self._settled, self._ended = (
            told(listeners, method)
            for method in ("on_epoch_begin", "on_epoch_end", "_at_rest", "on_fit_end")
        )
        heard = [c for c in listeners if told([c], "_at_pause") or told([c], "on_steps")]
        self._paused = [c._at_pause for c in heard]

    def _pause(self, pause: Pause) -> None:
        for paused in self._paused:
            paused(self.trainer, pause)

    def _settle(self, last: bool = False) -> None:
        """Say where the run is, between two batches."""
        for settled in self._settled:
            settled(self.trainer, self.epoch, self.batch, last)

    def _end(self, stopped: str) -> None:
        self._mark(stopped)
        for end in self._ended:
            end(self.trainer)
