"""State of a trainer: what must be kept so that training goes on to the same bits."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.node import Array
from ..errors import CheckpointError
from ..tensor.ops.random import Generator, default_generator
from ..tensor.value import Value
from .checkpoint import State
from .meta import HISTORY, Meta, read_meta
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


def generator_tensors(trainer: Trainer) -> dict[str, Value]:
    """Key and counter of the default generator, and of those that modules have as attributes."""
    found: dict[str, Value] = {}
    seen: set[int] = set()
    generators = {"generator": default_generator}
    for i, module in enumerate(trainer._modules):
        for path, part in module.named_modules():
            own = {k: v for k, v in vars(part).items() if isinstance(v, Generator)}
            generators |= {f"generator.{i}.{path}.{k}": v for k, v in own.items()}
    for name, generator in generators.items():
        if id(generator) not in seen:
            seen.add(id(generator))
            found |= {f"{name}.key": generator.key, f"{name}.counter": generator.counter}
    return found


def tensors_of(trainer: Trainer, steps: Steps) -> dict[str, Value]:
    """Every tensor that training changes, by name."""
    found: dict[str, Value] = {f"model.{k}": t for k, t in trainer.model_tensors().items()}
    found |= optimizer_tensors(trainer)
    found |= generator_tensors(trainer)
    found |= {f"meter.{k}": t for k, t in steps.meter.tensors().items()}
    found |= {"cursor.position": steps.cursor.position, "cursor.order": steps.cursor.order}
    if steps.sums:
        found["sums.count"] = steps.sum_count
        found |= {f"sums.{i}": steps.sums[id(p)] for i, p in enumerate(trainer.trained)}
    known = {id(t) for t in found.values()}
    traces = steps.training_traces()
    known.add(id(steps.meter.record))  # read after each run
    others = [t for t in updated_tensors(traces) if id(t) not in known]
    return found | {f"other.{i}": t for i, t in enumerate(others)}


def write_array(tensor: Value, array: Array) -> None:
    """Overwrite the numbers of a tensor; expressions made before keep theirs."""
    np.copyto(tensor._storage_for_update(), array)


def state_of(trainer: Trainer, steps: Steps) -> State:
    """A copy of everything."""
    arrays = {k: np.array(t._read()) for k, t in tensors_of(trainer, steps).items()}
    arrays |= {f"best.{k}": v for k, v in (trainer._best or {}).items()}
    arrays |= {HISTORY + k: trainer.history.numpy(k) for k in trainer.history}
    meta: dict[str, Any] = {
        "model": type(trainer.model).__name__,
        "optimizer": type(trainer.optimizer).__name__,
        "groups": [_options(g) for g in trainer.optimizer.param_groups],
        "schedulers": [_jsonable(s.state_dict()) for s in trainer.schedulers],
        "epoch": trainer.epoch,
        "step": trainer.step,
        "history": trainer.history.keys(),
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


@dataclass(frozen=True)
class Part:
    """Something with a state of its own (a schedule, a callback), and the state to take."""

    name: str
    owner: Any
    saved: Any


def restore(
    trainer: Trainer,
    steps: Steps,
    state: State,
    where: str,
    only: tuple[str, ...] = (),
    parts: Sequence[Part] = (),
) -> None:
    """Put a copy back. Nothing is changed unless all fits; raises CheckpointError otherwise."""
    meta = read_meta(state, where)
    tensors = {
        k: t for k, t in tensors_of(trainer, steps).items() if not only or k.startswith(only)
    }
    best = {k.removeprefix("best."): v for k, v in state.arrays.items() if k.startswith("best.")}
    problems = _of_another_kind(trainer, meta)
    problems += _misfits(
        tensors, {k: v for k, v in state.arrays.items() if not k.startswith(("best.", HISTORY))}
    )
    if best:
        problems += [f"best: {p}" for p in _misfits(trainer.model_tensors(), best)]
    problems += [] if problems else _shared(tensors, state.arrays)
    if problems:
        more = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
        raise CheckpointError(
            "\n    ".join([f"{where} does not fit this trainer:", *problems[:8], *more])
        )
    schedules = zip(trainer.schedulers, meta.schedulers, strict=True)
    _load_parts(
        trainer,
        [*(Part(f"schedule {type(s).__name__}", s, v) for s, v in schedules), *parts],
        where,
    )
    for k, t in tensors.items():
        write_array(t, state.arrays[k])
    trainer._best = best or None
    trainer.epoch, trainer.step, trainer.history = meta.epoch, meta.step, meta.history


def _of_another_kind(trainer: Trainer, meta: Meta) -> list[str]:
    """How model, optimizer and schedules differ from those that were saved."""
    problems = []
    for there, here, name in (
        (meta.model, type(trainer.model).__name__, "model"),
        (meta.optimizer, type(trainer.optimizer).__name__, "optimizer"),
    ):
        if there != here:
            problems.append(f"it is of the {name} {there}, here it is {here}")
    groups = json.loads(json.dumps([_options(g) for g in trainer.optimizer.param_groups]))
    if len(meta.groups) != len(groups):
        problems.append(
            f"its optimizer has {len(meta.groups)} parameter groups, here are {len(groups)}"
        )
    for i, (saved, own) in enumerate(zip(meta.groups, groups, strict=False)):
        problems += [
            f"the optimizer's {k} was {saved.get(k)}, here it is {own.get(k)}"
            + (f" (group {i})" if i else "")
            for k in own
            if saved.get(k) != own[k]
        ]
    if len(meta.schedulers) != len(trainer.schedulers):
        problems.append(
            f"it has {len(meta.schedulers)} schedules, here are {len(trainer.schedulers)}"
        )
    return problems


def _misfits(tensors: Mapping[str, Value], saved: Mapping[str, Array]) -> list[str]:
    """Names, shapes and dtypes that differ."""
    problems = []
    missing = sorted(set(tensors) - set(saved), key=_important)
    unknown = sorted(set(saved) - set(tensors), key=_important)
    if missing:
        problems.append(f"it has no {_listed(missing)}")
    if unknown:
        problems.append(f"it has {_listed(unknown)}, which is not here")
    for k in sorted(set(tensors) & set(saved)):
        a, t = saved[k], tensors[k]
        if a.shape != t.shape or a.dtype != t.dtype:
            problems.append(f"{k} is {a.dtype}{list(a.shape)} there, {t.dtype}{list(t.shape)} here")
    return problems


def _shared(tensors: Mapping[str, Value], saved: Mapping[str, Array]) -> list[str]:
    """What is one tensor here, and has two values there."""
    first: dict[int, Array] = {}
    return [
        f"{k} differs among parameters there"
        for k, t in tensors.items()
        if first.setdefault(id(t), saved[k]).tobytes() != saved[k].tobytes()
    ]


def _load_parts(trainer: Trainer, parts: Sequence[Part], where: str) -> None:
    """Give each its state; all have theirs back if one refuses."""
    before = [copy.deepcopy(part.owner.state_dict()) for part in parts]
    rates = [(t, np.array(t._read())) for t in optimizer_tensors(trainer).values()] if parts else []
    for i, part in enumerate(parts):
        try:
            part.owner.load_state_dict(part.saved)
        except Exception as error:
            for done, own in zip(parts[: i + 1], before, strict=False):
                done.owner.load_state_dict(own)
            for tensor, array in rates:
                write_array(tensor, array)
            raise CheckpointError(
                f"{where} does not fit this trainer: its state of the {part.name} is refused: "
                f"{type(error).__name__}: {error}"
            ) from error


def _important(name: str) -> tuple[bool, str]:
    return not name.startswith("model."), name


def _listed(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (
        f" and {len(names) - limit} more" if len(names) > limit else ""
    )
