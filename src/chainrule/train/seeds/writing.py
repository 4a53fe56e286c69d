"""What is kept of a training of many seeds in files: checkpoints of a fit, `save` and `load`."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.node import Array
from ...errors import CheckpointError, WriteError
from ...habits import user_level
from ..checkpoint import Checkpoint, State
from ..identity import data_of, differences, digest_of, options_of
from ..snapshot import _jsonable
from .history import SeedHistory

if TYPE_CHECKING:
    from .fit import SeedFit
    from .trainer import SeedTrainer

KIND = "seeds"


def state_of(over: SeedTrainer) -> State:
    """A copy of everything that training changes."""
    arrays = {k: a.copy() for k, a in over.rows().items()}
    arrays |= {f"best.{k}": a.copy() for k, a in over.best_weights.items()}
    arrays |= {f"history.{k}": over.history[k].copy() for k in over.history}
    arrays |= {"failed": over.failed.copy(), "epochs": over.epochs.copy()}
    arrays |= {"has_best": over.has_best.copy(), "best_row": over.best_row.copy()}
    meta: dict[str, Any] = {
        "kind": KIND,
        "seeds": list(over.seeds),
        "model": type(over.one.model).__name__,
        "optimizer": type(over.one.optimizer).__name__,
        "step": over.step,
        "history": over.history.keys(),
        "stopped": list(over.history.stopped),
        "rates": None if over.rates is None else _jsonable(over.rates.states),
    }
    return State(arrays, meta)


LOADED = ("model.", "optimizer.", "generator", "schedule.")
"""What the names begin with of what every trainer of the same arguments has, before its steps are
compiled."""


def restore(over: SeedTrainer, state: State, where: str, only: tuple[str, ...] = ("",)) -> None:
    """Put a copy back. Nothing is changed unless all fits; raises CheckpointError otherwise."""
    meta, arrays = state.meta, state.arrays
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{where} is of a Trainer of one net, not of one with seeds=")
    problems = [
        f"it is of the {name} {meta.get(name)}, here it is {here}"
        for name, here in (
            ("model", type(over.one.model).__name__),
            ("optimizer", type(over.one.optimizer).__name__),
        )
        if meta.get(name) != here
    ]
    if meta.get("seeds") != list(over.seeds):
        problems.append(f"its {len(meta.get('seeds') or ())} seeds are not those of this trainer")
    own = {k: a for k, a in over.rows().items() if k.startswith(only)}
    best = {k: a for k, a in own.items() if f"best.{k}" in arrays}
    counts = {"failed": over.failed, "epochs": over.epochs, "has_best": over.has_best}
    counts["best_row"] = over.best_row
    for name, here in {**own, **{f"best.{k}": a for k, a in best.items()}, **counts}.items():
        there = arrays.get(name)
        if there is None:
            problems.append(f"{name} is missing")
        elif (there.shape, there.dtype) != (here.shape, here.dtype):
            problems.append(
                f"{name} is {there.dtype}{list(there.shape)}, here {here.dtype}{list(here.shape)}"
            )
    if problems:
        more = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
        raise CheckpointError(
            "\n    ".join([f"{where} does not fit this trainer:", *problems[:8], *more])
        )
    history = _history(over, state, where)
    rates = meta.get("rates")
    if (over.rates is None) != (rates is None):
        raise CheckpointError(f"{where} does not fit this trainer: it has another schedule")
    if over.rates is not None and rates is not None:
        over.rates.load(rates)
    for name, rows in own.items():
        rows[...] = arrays[name]
    for name, held in counts.items():
        held[...] = arrays[name]
    over.best_weights = {k.removeprefix("best."): a for k, a in arrays.items() if k[:5] == "best."}
    over.history, over.step = history, int(meta["step"])


def _history(over: SeedTrainer, state: State, where: str) -> SeedHistory:
    names, stopped = state.meta.get("history"), state.meta.get("stopped")
    found = SeedHistory(over.seeds)
    try:
        lines = {str(k): state.arrays[f"history.{k}"] for k in names}  # type: ignore[union-attr]
        found.extend(lines)
        found.stopped = [str(text) for text in stopped]  # type: ignore[union-attr]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where} is damaged: its history is not of this form") from error
    if len(found.stopped) != len(over.seeds) or not isinstance(state.meta.get("step"), int):
        raise CheckpointError(f"{where} is damaged: it does not say how each seed ended")
    return found


class Writing:
    """The checkpoints of one fit: after epochs, whole or not at all."""

    def __init__(self, fit: SeedFit, checkpoint: Checkpoint | None) -> None:
        self.fit, self.checkpoint = fit, checkpoint
        self._settings: dict[str, Any] = {}
        self._warned = False

    def held(self) -> AbstractContextManager[None]:
        """The folder, for this fit alone."""
        return contextlib.nullcontext() if self.checkpoint is None else self.checkpoint.held()

    def settings(self) -> dict[str, Any]:
        """What must be the same for a resumed run to be the same run."""
        if not self._settings:
            fit, plan = self.fit, self.fit.plan
            over = fit.over
            found = {**data_of(plan.data, plan.validation), **options_of(fit.one, plan.callbacks)}
            found["seed"] = list(over.seeds)
            found |= {f"vary[{k!r}]": v.tolist() for k, v in over.vary.items()}
            found["step"] = digest_of(mapped.trace for mapped, _, _ in fit.turns)
            self._settings = json.loads(json.dumps(_jsonable(found)))
        return self._settings

    def until_due(self, n: int) -> int:
        """So many epochs at most, of one step each, before one is due."""
        every = None if self.checkpoint is None else self.checkpoint.every_steps
        return n if every is None else min(n, every - self.fit.over.step % every)

    def _due(self) -> bool:
        checkpoint, over = self.checkpoint, self.fit.over
        assert checkpoint is not None
        if checkpoint.every_steps is None:
            return checkpoint.due(over.step)
        before = over.step - self.fit.data.steps
        return over.step // checkpoint.every_steps > before // checkpoint.every_steps

    def write(self, force: bool = False) -> None:
        """A checkpoint, if it is time. Where none can be written training goes on, with a
        warning."""
        if self.checkpoint is None or not (force or self._due()):
            return
        fit = self.fit
        state = state_of(fit.over)
        state.arrays |= {f"frozen.{k}": a for k, a in fit.frozen.items()}
        state.arrays["alive"] = fit.alive.copy()
        for i, stop in enumerate(fit.stops):
            state.arrays |= {f"stopping.{i}.{k}": a.copy() for k, a in stop.state().items()}
        callbacks = [c.state_dict() for c in fit.listeners]
        state.meta["fit"] = {
            "epoch": fit.epoch,
            "settings": self.settings(),
            "callbacks": callbacks,
        }
        try:
            self.checkpoint.write(fit.over.step, state)
        except WriteError as error:
            if not self._warned or force:
                with contextlib.suppress(RuntimeWarning):  # it must end nothing
                    warnings.warn(
                        f"checkpoint: {error}. Training goes on; what it learns is not kept",
                        RuntimeWarning,
                        stacklevel=user_level(),
                    )
            self._warned = True

    def resume(self) -> None:
        """Continue the run in the folder, if there is one."""
        state = None if self.checkpoint is None else self.checkpoint.read()
        if state is None or self.checkpoint is None:
            return
        fit, where = self.fit, f"the checkpoint in {self.checkpoint.folder}"
        held: Any = state.meta.get("fit")
        if not isinstance(held, Mapping) or not isinstance(held.get("epoch"), int):
            raise CheckpointError(f"{where} was not written by fit")
        different = differences(held.get("settings") or {}, self.settings())
        if different:
            raise CheckpointError(
                f"{where} is of another run ({'; '.join(different)}); remove the folder, or choose "
                "another one"
            )
        alive: Array | None = state.arrays.get("alive")
        if alive is None or alive.shape != fit.alive.shape or alive.dtype != np.bool_:
            raise CheckpointError(f"{where} is damaged: it does not say which seeds go on")
        callbacks = held.get("callbacks")
        if not isinstance(callbacks, list) or len(callbacks) != len(fit.listeners):
            raise CheckpointError(f"{where} has the state of other callbacks")
        restore(fit.over, state, where)
        for i, stop in enumerate(fit.stops):
            name = f"stopping.{i}."
            own = {k.removeprefix(name): a for k, a in state.arrays.items() if k.startswith(name)}
            stop.load(own, where)
        for callback, saved in zip(fit.listeners, callbacks, strict=True):
            callback.load_state_dict(saved)
        frozen = {k: a for k, a in state.arrays.items() if k.startswith("frozen.")}
        fit.frozen = {k.removeprefix("frozen."): a for k, a in frozen.items()}
        fit.alive, fit.epoch = alive.copy(), held["epoch"]
