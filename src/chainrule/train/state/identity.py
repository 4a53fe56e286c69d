"""What makes a run the same run: options, structure, what a step computes, and all the data.

A checkpoint holds it as names and values, so that one of another run is refused with what differs.
"""

from __future__ import annotations

import functools
import hashlib
import types
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ... import __version__
from ...core.graph_digest import add_graph
from ...core.node import Array
from ...nn.module import Module
from ...tensor.compiling.trace import Trace
from ..measure.meter import Measured
from ..rows.dataset import Dataset
from ..task import Task

Settings = dict[str, Any]
CHUNK = 1 << 22
"""Bytes that are hashed at a time: rows that do not lie together are copied first."""
HINTS = "attributes of own modules"
"""These may hold anything (a time, a path): they explain a step that differs, and are no reason."""
OPTIONS = {"schedule": "scheduler_interval"}
"""Options that are called otherwise now than in the files."""
WORDS = {
    "data": "the training data differ",
    "validation data": "the validation data differ",
    "step": "what a training step computes differs",
}


def options_of(task: Task, metrics: Iterable[Measured], stops: Iterable[Settings]) -> Settings:
    """All before the first step but data and graph; ``stops``: settings of early stopping."""
    found: Settings = {
        "version": __version__,
        "seed": task.seed,
        "accumulate": task.accumulate,
        "clip_norm": task.clip_norm,
        "clip_value": task.clip_value,
        "schedule": task.scheduler_interval,
        "metrics": [name for _, name, _ in metrics],
        "trainer": type(task).__qualname__,
    }
    found |= _structure("model", task.model)
    for part in task.objective.parts:
        name = "loss" if part.key is None else f"loss[{part.key!r}]"
        found |= _structure(name, part.loss)
        if isinstance(part.loss, Module):  # weights of classes and the like
            for k, buffer in part.loss.named_buffers():
                found[f"{name}.{k}"] = (
                    f"numbers of crc {_add(np.atleast_1d(buffer._read()), 0):08x}"
                )
        found[f"{name}, its weight"] = part.weight
    found |= _attributes("optimizer", task.optimizer, {})
    for i, group in enumerate(task.optimizer.param_groups):
        for k, v in group._options.items():
            if k not in ("params", "param_names") and (text := _plain(v)) is not None:
                found[f"optimizer.param_groups[{i}][{k!r}]"] = text
    if not task.schedulers:
        found["lr"] = [float(group["lr"]) for group in task.optimizer.param_groups]
    for i, scheduler in enumerate(task.schedulers):
        found |= _schedule(f"scheduler[{i}]" if i else "scheduler", scheduler)
    for i, stop in enumerate(stops):
        name = f"early_stopping[{i}]" if i else "early_stopping"
        found |= {f"{name}.{k}": v for k, v in stop.items()}
    return {**found, HINTS: _hints(task)}


def data_of(data: Dataset, validation: Dataset | None) -> Settings:
    """The numbers of rows, and a checksum of all of them."""
    return {
        "rows": data.rows,
        "batch_size": data.batch,
        "shuffle": data.shuffle,
        **({"group_by_length": True} if data.by_length is not None else {}),
        **({"drop_last": True} if data.drop_last else {}),
        "data": checksum(data),
        "validation data": None if validation is None else checksum(validation),
    }


def digest_of(traces: Iterable[Trace]) -> str:
    """What training steps compute, whatever the values of their state are."""
    digest = hashlib.blake2b(digest_size=16)
    for trace in traces:
        s = trace.signature
        add_graph(digest, s)
    return digest.hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any], limit: int = 6) -> list[str]:
    """What differs, in words; nothing if it is the same run."""
    skipped = {"version", HINTS}
    if there.get("version") != here.get("version"):
        skipped.add("step")  # another version may write the same step down in another way
    names = [k for k in [*here, *(k for k in there if k not in here)] if k not in skipped]
    odd = [k for k in names if there.get(k) != here.get(k) or (k in there) != (k in here)]
    if "step" in odd:
        before, now = (
            {} if not isinstance(s.get(HINTS), dict) else s[HINTS] for s in (there, here)
        )
        hints = [k for k in {**before, **now} if before.get(k) != now.get(k)]
        there, here = {**before, **there}, {**now, **here}
        if len(odd) > 1:
            odd.remove("step")  # it follows from the others
        odd += hints
    odd.sort(key=lambda k: k in WORDS)
    found = [
        WORDS.get(k) or f"{OPTIONS.get(k, k)} differ: {there.get(k)} there, {here.get(k)} here"
        for k in odd[:limit]
    ]
    return found + ([f"and {len(odd) - limit} more"] if len(odd) > limit else [])


# -- structure -------------------------------------------------------------------------------------
def _structure(name: str, given: Any) -> Settings:
    """Types and options of a module and all inside it, or what a function is."""
    if not isinstance(given, Module):
        return {name: _plain(given) or type(given).__qualname__}
    found: Settings = {}
    for place, module in _places(name, given):
        if _own(module):
            found[place] = type(module).__qualname__
        else:
            found |= _attributes(place, module, {"training": 0})
    return found


def _places(name: str, given: Module) -> Iterator[tuple[str, Module]]:
    """A module and all inside it, by how a user writes them."""
    for path, module in given.named_modules():
        parts = [p for p in path.split(".") if p]
        yield name + "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in parts), module


def _own(module: Module) -> bool:
    """Whether its class is the user's."""
    return type(module).__module__.partition(".")[0] != __name__.partition(".")[0]


def _hints(task: Task) -> Settings:
    found: Settings = {}
    for place, module in _places("model", task.model):
        if _own(module):
            found |= _attributes(place, module, {"training": 0})
    return found


def _schedule(name: str, scheduler: Any) -> Settings:
    """A schedule's options: what of it does not change while it runs."""
    state = scheduler.state_dict() if hasattr(scheduler, "state_dict") else {}
    changing = {k: v for k, v in state.items() if k != "base_lrs"}
    found = _attributes(name, scheduler, changing)
    for i, part in enumerate(getattr(scheduler, "schedulers", ())):
        found |= _schedule(f"{name}.schedulers[{i}]", part)
    return found


def _attributes(name: str, owner: Any, skipped: Mapping[str, Any]) -> Settings:
    found: Settings = {name: type(owner).__qualname__}
    for k, v in sorted(vars(owner).items()):
        if not k.startswith("_") and k not in skipped and (text := _plain(v)) is not None:
            found[f"{name}.{k}"] = text
    return found


def _plain(value: Any) -> str | None:
    """The text of a plain value or a function; None for what has a life of its own."""
    if isinstance(value, bool | int | float | complex | str | None | np.generic | np.dtype):
        return _short(repr(value))
    if isinstance(value, tuple | list):
        parts = [_plain(v) for v in value]
        return None if None in parts else _short(f"[{', '.join(map(str, parts))}]")
    if isinstance(value, functools.partial):
        return _plain([value.func, *value.args, *value.keywords.values()])
    if isinstance(value, types.FunctionType):
        return f"{value.__qualname__}{_constants(value.__code__)}"
    if isinstance(value, type | types.BuiltinFunctionType | np.ufunc):
        return getattr(value, "__qualname__", repr(value))
    return None


def _constants(code: types.CodeType) -> str:
    """The numbers in a function, by which two lambdas differ."""
    found = [c for c in code.co_consts if isinstance(c, int | float | complex | str)]
    return f" with {found}" if found and "<lambda>" in code.co_name else ""


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:80]}… (crc {zlib.crc32(text.encode()):08x})"


# -- data ------------------------------------------------------------------------------------------
def checksum(data: Dataset) -> int:
    """CRC-32 of shapes, dtypes and all rows of a data set (some GB a second)."""
    crc = 0
    groups = (
        data.x.arrays,
        data.y.arrays if data.y else (),
        (data.weights,) if data.weights is not None else (),
    )
    for number, group in enumerate(groups):
        for array in group:
            crc = _add(array, zlib.crc32(f"{number}{array.shape}{array.dtype}".encode(), crc))
    return crc


def _add(array: Array, crc: int) -> int:
    rows = max(CHUNK // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(array), rows):
        crc = zlib.crc32(np.ascontiguousarray(array[start : start + rows]).data, crc)
    return crc
