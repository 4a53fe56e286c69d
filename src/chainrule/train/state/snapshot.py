"""State of a trainer: what must be kept so that training goes on to the same bits."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import CheckpointError
from ...tensor.ops.random import Generator, default_generator
from ...tensor.value import Value
from ..kept import Kept, write_array
from ..step.steps import Steps, updated_tensors
from ..task import Task
from .checkpoint import State
from .meta import HISTORY, Meta, read_meta


def optimizer_tensors(task: Task) -> dict[str, Value]:
    """The optimizer's state by the number of each parameter, and the options kept as tensors."""
    found: dict[str, Value] = {}
    number = 0
    for i, group in enumerate(task.optimizer.param_groups):
        found |= {f"optimizer.group{i}.{k}": t for k, t in group._tensors.items()}
        for p in group["params"]:
            found |= {f"optimizer.{number}.{k}": t for k, t in task.optimizer.state[p].items()}
            number += 1
    return found


def generator_tensors(task: Task) -> dict[str, Value]:
    """Key and counter of the default generator, and of those that modules have as attributes."""
    found: dict[str, Value] = {}
    seen: set[int] = set()
    generators = {"generator": default_generator}
    for i, module in enumerate(task._modules):
        for path, part in module.named_modules():
            own = {k: v for k, v in vars(part).items() if isinstance(v, Generator)}
            generators |= {f"generator.{i}.{path}.{k}": v for k, v in own.items()}
    for name, generator in generators.items():
        if id(generator) not in seen:
            seen.add(id(generator))
            found |= {f"{name}.key": generator.key, f"{name}.counter": generator.counter}
    return found


def tensors_of(task: Task, steps: Steps) -> dict[str, Value]:
    """Every tensor that training changes, by name."""
    found: dict[str, Value] = {f"model.{k}": t for k, t in task.model_tensors().items()}
    found |= optimizer_tensors(task)
    found |= generator_tensors(task)
    found |= {f"meter.{k}": t for k, t in steps.meter.tensors().items()}
    found |= {"cursor.position": steps.cursor.position, "cursor.order": steps.cursor.order}
    if steps.sums:
        found["sums.count"] = steps.sum_count
        found |= {f"sums.{i}": steps.sums[id(p)] for i, p in enumerate(task.trained)}
    known = {id(t) for t in found.values()}
    traces = steps.training_traces()
    known.add(id(steps.meter.record))  # read after each run
    others = [t for t in updated_tensors(traces) if id(t) not in known]
    return found | {f"other.{i}": t for i, t in enumerate(others)}


def state_of(task: Task, steps: Steps) -> State:
    """A copy of everything."""
    arrays = {k: np.array(t._read()) for k, t in tensors_of(task, steps).items()}
    arrays |= {f"best.{k}": v for k, v in (task._best or {}).items()}
    arrays |= {HISTORY + k: task.history.numpy(k) for k in task.history}
    meta: dict[str, Any] = {
        "model": type(task.model).__name__,
        "optimizer": type(task.optimizer).__name__,
        "groups": [_options(g) for g in task.optimizer.param_groups],
        "schedulers": [jsonable(s.state_dict()) for s in task.schedulers],
        "epoch": task.epoch,
        "step": task.step,
        "history": task.history.keys(),
        "stopped": task.history.stopped,
    }
    return State(arrays, meta)


def _options(group: Any) -> dict[str, Any]:
    return {
        k: jsonable(v)
        for k, v in group._options.items()
        if k not in ("params", "param_names")
        and isinstance(v, bool | int | float | str | tuple | None)
    }


def jsonable(value: Any) -> Any:
    """JSON's version of a value: tuples are lists; NumPy numbers and tensors are numbers."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, Value | np.ndarray | np.generic):
        return jsonable(np.asarray(value).tolist())
    return value


@dataclass(frozen=True)
class Part:
    """Something with a state of its own (a schedule, a callback), and the state to take."""

    name: str
    owner: Any
    saved: Any


def restore(
    task: Task,
    steps: Steps,
    state: State,
    where: str,
    only: tuple[str, ...] = (),
    parts: Sequence[Part] = (),
) -> None:
    """Put a copy back. Nothing is changed unless all fits; raises CheckpointError otherwise."""
    meta = read_meta(state, where)
    tensors = {k: t for k, t in tensors_of(task, steps).items() if not only or k.startswith(only)}
    best = {k.removeprefix("best."): v for k, v in state.arrays.items() if k.startswith("best.")}
    problems = _of_another_kind(task, meta)
    problems += misfits(
        tensors, {k: v for k, v in state.arrays.items() if not k.startswith(("best.", HISTORY))}
    )
    if best:
        problems += [f"best: {p}" for p in misfits(task.model_tensors(), best)]
    problems += [] if problems else _shared(tensors, state.arrays)
    refuse(where, problems)
    schedules = zip(task.schedulers, meta.schedulers, strict=True)
    _load_parts(
        task,
        [*(Part(f"schedule {type(s).__name__}", s, v) for s, v in schedules), *parts],
        where,
    )
    for k, t in tensors.items():
        write_array(t, state.arrays[k])
    task._best = best or None
    task.epoch, task.step, task.history = meta.epoch, meta.step, meta.history


def refuse(where: str, problems: Sequence[str]) -> None:
    """Raise CheckpointError if there are problems."""
    if problems:
        more = [f"and {len(problems) - 8} more"] if len(problems) > 8 else []
        raise CheckpointError(
            "\n    ".join([f"{where} does not fit this trainer:", *problems[:8], *more])
        )


def other_names(task: Task, model: Any, optimizer: Any) -> list[str]:
    """Whether the classes that were saved are others than those of a task."""
    pairs = ((model, task.model, "model"), (optimizer, task.optimizer, "optimizer"))
    return [
        f"it is of the {name} {there}, here it is {type(here).__name__}"
        for there, here, name in pairs
        if there != type(here).__name__
    ]


def _of_another_kind(task: Task, meta: Meta) -> list[str]:
    """How model, optimizer and schedules differ from those that were saved."""
    problems = other_names(task, meta.model, meta.optimizer)
    groups = json.loads(json.dumps([_options(g) for g in task.optimizer.param_groups]))
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
    if len(meta.schedulers) != len(task.schedulers):
        problems.append(f"it has {len(meta.schedulers)} schedules, here are {len(task.schedulers)}")
    return problems


def misfits(tensors: Mapping[str, Value | Array], saved: Mapping[str, Array]) -> list[str]:
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


def _load_parts(task: Task, parts: Sequence[Part], where: str) -> None:
    """Give each its state; all have theirs back if one refuses."""
    before = [copy.deepcopy(part.owner.state_dict()) for part in parts]
    rates = Kept(optimizer_tensors(task).values() if parts else ())
    for i, part in enumerate(parts):
        try:
            part.owner.load_state_dict(part.saved)
        except Exception as error:
            for done, own in zip(parts[: i + 1], before, strict=False):
                done.owner.load_state_dict(own)
            rates.put_back()
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
