"""State of a trainer: what must be kept so that training goes on to the same bits."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.node import Array
from ..errors import CheckpointError
from ..tensor.random import default_generator
from ..tensor.value import Value
from .checkpoint import State
from .dataset import Dataset
from .history import History
from .steps import Steps, updated_tensors

if TYPE_CHECKING:
    from .trainer import Trainer


def optimizer_tensors(trainer: Trainer) -> dict[str, Value]:
    """The optimizer's state by the number of each parameter, and the options kept as tensors."""
    found: dict[str, Value] = {}
    number = 0
    for i, group in enumerate(trainer.optimizer.param_groups):
        found |= {f"optimizer.group{i}.{k}": t for k, t in group._tensors.items()}
        for p in group["params"]:
            found |= {f"optimizer.{number}.{k}": t for k, t in trainer.optimizer.state[p].items()}
            number += 1
    return found


def tensors_of(trainer: Trainer, steps: Steps) -> dict[str, Value]:
    """Every tensor that training changes, by name."""
    found: dict[str, Value] = {f"model.{k}": t for k, t in trainer.model_tensors().items()}
    found |= optimizer_tensors(trainer)
    found |= {
        "generator.key": default_generator.key,
        "generator.counter": default_generator.counter,
    }
    found |= {f"meter.{k}": t for k, t in steps.meter.tensors().items()}
    found |= {"cursor.position": steps.cursor.position, "cursor.order": steps.cursor.order}
    if steps.sums:
        found["sums.count"] = steps.sum_count
        found |= {f"sums.{i}": steps.sums[id(p)] for i, p in enumerate(trainer.trained)}
    known = {id(t) for t in found.values()}
    traces = steps.training_traces()
    known |= {id(t) for t in steps.meter.records.values()}  # read after each run
    others = [t for t in updated_tensors(traces) if id(t) not in known]
    return found | {f"other.{i}": t for i, t in enumerate(others)}


def write_array(tensor: Value, array: Array) -> None:
    """Overwrite the numbers of a tensor; expressions made before keep theirs."""
    np.copyto(tensor._storage_for_update(), array)


def state_of(trainer: Trainer, steps: Steps) -> State:
    """A copy of everything."""
    arrays = {k: np.array(t._read()) for k, t in tensors_of(trainer, steps).items()}
    arrays |= {f"best.{k}": v for k, v in (trainer._best or {}).items()}
    meta: dict[str, Any] = {
        "model": type(trainer.model).__name__,
        "optimizer": type(trainer.optimizer).__name__,
        "groups": [_options(g) for g in trainer.optimizer.param_groups],
        "schedulers": [_jsonable(s.state_dict()) for s in trainer.schedulers],
        "epoch": trainer.epoch,
        "step": trainer.step,
        "history": trainer.history.to_dict(),
        "stopped": trainer.history.stopped,
    }
    return State(arrays, meta)


def _options(group: Any) -> dict[str, Any]:
    return {
        k: _jsonable(v)
        for k, v in group._options.items()
        if k not in ("params", "param_names")
        and isinstance(v, bool | int | float | str | tuple | None)
    }


def _jsonable(value: Any) -> Any:
    """JSON's version of a value: tuples are lists; NumPy numbers and tensors are numbers."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, Value | np.ndarray | np.generic):
        return _jsonable(np.asarray(value).tolist())
    return value


def restore(
    trainer: Trainer, steps: Steps, state: State, where: str, only: tuple[str, ...] = ()
) -> None:
    """Put a copy back. Nothing is changed unless all fits; raises CheckpointError otherwise."""
    tensors = {
        k: t for k, t in tensors_of(trainer, steps).items() if not only or k.startswith(only)
    }
    own, meta = set(tensors), state.meta
    saved = {k for k in state.arrays if not k.startswith("best.")}
    problems = []
    for key, name in (
        ("model", type(trainer.model).__name__),
        ("optimizer", type(trainer.optimizer).__name__),
    ):
        if meta[key] != name:
            problems.append(f"it is of the {key} {meta[key]}, here it is {name}")
    missing = sorted(own - saved, key=_important)
    unknown = sorted(saved - own, key=_important)
    if missing:
        problems.append(f"it has no {_listed(missing)}")
    if unknown:
        problems.append(f"it has {_listed(unknown)}, which is not here")
    for k in sorted(own & saved):
        a, t = state.arrays[k], tensors[k]
        if a.shape != t.shape or a.dtype != t.dtype:
            problems.append(f"{k} is {a.dtype}{list(a.shape)} there, {t.dtype}{list(t.shape)} here")
    groups = json.loads(json.dumps([_options(g) for g in trainer.optimizer.param_groups]))
    for i, (there, here) in enumerate(zip(meta["groups"], groups, strict=False)):
        problems += [
            f"the optimizer's {k} was {there.get(k)}, here it is {here.get(k)}"
            + (f" (group {i})" if i else "")
            for k in here
            if there.get(k) != here[k]
        ]
    if len(meta["schedulers"]) != len(trainer.schedulers):
        problems.append(
            f"it has {len(meta['schedulers'])} schedules, here are {len(trainer.schedulers)}"
        )
    if problems:
        more = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
        raise CheckpointError(
            "\n    ".join([f"{where} does not fit this trainer:", *problems[:8], *more])
        )
    for scheduler, saved_schedule in zip(trainer.schedulers, meta["schedulers"], strict=True):
        scheduler.load_state_dict(saved_schedule)
    written: dict[int, Array] = {}
    for k, t in tensors.items():
        if id(t) in written and written[id(t)].tobytes() != state.arrays[k].tobytes():
            raise CheckpointError(
                f"{where} does not fit this trainer: {k} differs among parameters there"
            )
        written[id(t)] = state.arrays[k]
        write_array(t, state.arrays[k])
    best = {k.removeprefix("best."): v for k, v in state.arrays.items() if k.startswith("best.")}
    trainer._best = best or None
    trainer.epoch, trainer.step = int(meta["epoch"]), int(meta["step"])
    trainer.history = History(meta["history"])
    trainer.history.stopped = meta["stopped"]


def _important(name: str) -> tuple[bool, str]:
    return not name.startswith("model."), name


def _listed(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (
        f" and {len(names) - limit} more" if len(names) > limit else ""
    )


def fingerprint(data: Dataset) -> int:
    """A number that tells one data set from another: shapes, and up to 64 rows of each array."""
    crc = 0
    groups = [
        data.x.arrays,
        data.y.arrays if data.y else (),
        (data.weights,) if data.weights is not None else (),
    ]
    for array in (a for group in groups for a in group):
        some = array[:: max(len(array) // 64, 1)]
        crc = zlib.crc32(f"{array.shape}{array.dtype}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(some).tobytes(), crc)
    return crc
