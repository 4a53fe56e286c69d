"""What is kept of a training of many seeds in files: checkpoints of a fit, `save` and `load`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ...core.node import Array
from ...errors import CheckpointError
from ...tensor.compiling.trace import Trace
from ..listeners.callbacks import Callback
from ..listeners.checkpoints import RunFolder
from ..run import Plan
from ..state.checkpoint import Checkpoint, State
from ..state.identity import options_of
from ..state.snapshot import jsonable, misfits, other_names, refuse
from .history import SeedHistory
from .nets import Nets
from .passes import Turn
from .stopping import Stopping

KIND = "seeds"


def state_of(nets: Nets) -> State:
    """A copy of everything that training changes."""
    arrays = {k: a.copy() for k, a in nets.rows().items()}
    arrays |= {f"best.{k}": a.copy() for k, a in nets.best_weights.items()}
    arrays |= {f"history.{k}": nets.history[k].copy() for k in nets.history}
    arrays |= {"failed": nets.failed.copy(), "epochs": nets.epochs.copy()}
    arrays |= {"has_best": nets.has_best.copy(), "best_row": nets.best_row.copy()}
    meta: dict[str, Any] = {
        "kind": KIND,
        "seeds": list(nets.seeds),
        "model": type(nets.one.model).__name__,
        "optimizer": type(nets.one.optimizer).__name__,
        "step": nets.step,
        "history": nets.history.keys(),
        "stopped": list(nets.history.stopped),
        "rates": None if nets.rates is None else jsonable(nets.rates.states),
    }
    return State(arrays, meta)


LOADED = ("model.", "optimizer.", "generator", "schedule.")
"""What the names begin with of what every trainer of the same arguments has, before its steps are
compiled."""


def restore(nets: Nets, state: State, where: str, only: tuple[str, ...] = ("",)) -> None:
    """Put a copy back. Nothing is changed unless all fits; raises CheckpointError otherwise."""
    meta, arrays = state.meta, state.arrays
    if meta.get("kind") != KIND:
        raise CheckpointError(f"{where} is of a Trainer of one net, not of one with seeds=")
    problems = other_names(nets.one, meta.get("model"), meta.get("optimizer"))
    if meta.get("seeds") != list(nets.seeds):
        problems.append(f"its {len(meta.get('seeds') or ())} seeds are not those of this trainer")
    own = {k: a for k, a in nets.rows().items() if k.startswith(only)}
    counts = {"failed": nets.failed, "epochs": nets.epochs, "has_best": nets.has_best}
    counts["best_row"] = nets.best_row
    needed = {**own, **{f"best.{k}": a for k, a in own.items() if f"best.{k}" in arrays}, **counts}
    problems += misfits(needed, {k: a for k, a in arrays.items() if k in needed})
    refuse(where, problems)
    history = _history(nets, state, where)
    rates = meta.get("rates")
    if (nets.rates is None) != (rates is None):
        raise CheckpointError(f"{where} does not fit this trainer: it has another schedule")
    if nets.rates is not None and rates is not None:
        nets.rates.load(rates)
    for name, rows in own.items():
        rows[...] = arrays[name]
    for name, held in counts.items():
        held[...] = arrays[name]
    nets.best_weights = _within("best.", arrays)
    nets.history, nets.step = history, int(meta["step"])


def _history(nets: Nets, state: State, where: str) -> SeedHistory:
    names, stopped = state.meta.get("history"), state.meta.get("stopped")
    found = SeedHistory(nets.seeds)
    try:
        lines = {str(k): state.arrays[f"history.{k}"] for k in names}  # type: ignore[union-attr]
        found.extend(lines)
        found.stopped = [str(text) for text in stopped]  # type: ignore[union-attr]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where} is damaged: its history is not of this form") from error
    if len(found.stopped) != len(nets.seeds) or not isinstance(state.meta.get("step"), int):
        raise CheckpointError(f"{where} is damaged: it does not say how each seed ended")
    return found


class Written(Protocol):
    """What is written down of a run of `SeedLoop`."""

    nets: Nets
    plan: Plan
    epoch: int
    turns: list[Turn]
    stops: list[Stopping]
    callbacks: list[Callback]
    alive: Array
    frozen: dict[str, Array]
    ran: int


class SeedFolder(RunFolder):
    """The checkpoints of one fit of many seeds, after epochs."""

    def __init__(self, run: Written, checkpoint: Checkpoint) -> None:
        plan, nets, self.run = run.plan, run.nets, run
        stops = [stop.rule._as_settings(nets.one) for stop in run.stops]
        options = options_of(nets.one, nets.one._steps.meter.metrics, stops)
        options["seed"] = list(nets.seeds)
        options |= {f"vary[{k!r}]": v.tolist() for k, v in nets.vary.items()}
        data = (plan.data, plan.validation)
        super().__init__(checkpoint, run.callbacks, options, data, self._traces)

    def _traces(self) -> list[Trace]:
        return [mapped.trace for mapped, _, _ in self.run.turns]

    def _at_rest(self, trainer: Any, epoch: int, batch: int, last: bool) -> None:
        """Write the state after an epoch, if it is time."""
        nets, run = self.run.nets, self.run
        before = nets.step - run.ran * run.plan.data.steps
        due = self.checkpoint.due(nets.step)
        if self.every:
            due = nets.step // self.every > before // self.every
        if not (due or last):
            return
        state = state_of(nets)
        state.arrays |= {f"frozen.{k}": a for k, a in run.frozen.items()}
        state.arrays["alive"] = run.alive.copy()
        for i, stop in enumerate(run.stops):
            state.arrays |= {f"stopping.{i}.{k}": a.copy() for k, a in stop.state().items()}
        self.write(state, {"epoch": epoch}, nets.step, last)

    def resume(self) -> None:
        """Continue the run in the folder, if there is one."""
        state, run, where = self.checkpoint.read(), self.run, self.where
        if state is None:
            return
        held: Any = state.meta.get("fit")
        if not isinstance(held, Mapping) or not isinstance(held.get("epoch"), int):
            raise CheckpointError(f"{where} was not written by fit")
        self.check_same(held.get("settings") or {})
        alive: Array | None = state.arrays.get("alive")
        if alive is None or alive.shape != run.alive.shape or alive.dtype != np.bool_:
            raise CheckpointError(f"{where} is damaged: it does not say which seeds go on")
        callbacks = held.get("callbacks")
        if not isinstance(callbacks, list) or len(callbacks) != len(run.callbacks):
            raise CheckpointError(f"{where} has the state of other callbacks")
        restore(run.nets, state, where)
        for i, stop in enumerate(run.stops):
            stop.load(_within(f"stopping.{i}.", state.arrays), where)
        for callback, saved in zip(run.callbacks, callbacks, strict=True):
            callback.load_state_dict(saved)
        run.frozen = _within("frozen.", state.arrays)
        run.alive, run.epoch = alive.copy(), held["epoch"]


def _within(name: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin so, by the rest of their names."""
    return {k.removeprefix(name): a for k, a in arrays.items() if k.startswith(name)}
