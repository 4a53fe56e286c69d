"""Hyper-parameters with a number of its own for each seed.

A number that Python reads while a step is made is a constant of its program. Here it is a tensor
that the step reads, with rows for the seeds: while a step is made, it stands where the number was.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from ...core.node import Array
from ...errors import CompileError, OptionError
from ...nn.dropout import _Dropout
from ...nn.module import Module
from ...nn.options import Constraint, check, number
from ...tensor.compiling.trace import Trace
from ...tensor.tensor import Tensor
from ...tensor.value import Value, array_of, as_number, stored
from ..task import Task
from .stack import Stack

CLIP = dict.fromkeys(("clip_norm", "clip_value"), number(0, brackets="()"))
_OWN = {"dropout": number(0, 1), "gain": number(0, brackets="()")}
_SAME = {
    "seed": "seeds= is the list of them",
    "epochs": "early_stopping ends each seed by itself",
    "batch_size": "the seeds share the rows of a batch",
    "accumulate": "the seeds share the rows of a batch",
}
_APART = "for settings in ...: cr.Trainer(make(settings), ...)"


def varied(given: Any, seeds: int) -> dict[str, Array]:
    """Hyper-parameters by name, (R,) each, or (R, k) for one that is k numbers.

    Raises OptionError for what is none.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise OptionError(
            f'Trainer: vary is a dict such as {{"lr": rates}}, got {type(given).__name__}'
        )
    found = {}
    for name, values in given.items():
        try:
            array = np.asarray(array_of(values) if isinstance(values, Value) else values, float)
        except (TypeError, ValueError):
            raise OptionError(
                f"Trainer: vary[{name!r}] has one number for each of {seeds} seeds; what is no "
                f"number cannot differ between nets of one program: {_APART}"
            ) from None
        if array.shape[:1] != (seeds,) or array.ndim > 2:
            raise OptionError(
                f"Trainer: vary[{name!r}] has one number for each of {seeds} seeds, got shape "
                f"{array.shape}; for a grid give each pair a place: np.repeat and np.tile"
            )
        for value in array.ravel().tolist():
            check(f"Trainer: vary[{name!r}]", _OWN, {name: value})
        found[str(name)] = array
    return found


@dataclass(frozen=True)
class Place:
    """An attribute that holds a number, in an object at ``path`` in the model (None: not in it)."""

    name: str
    owner: Any
    attribute: str
    path: str | None
    tensor: Tensor


class Vary:
    """The numbers of one trainer that differ between seeds."""

    def __init__(self, one: Task, stack: Stack, values: Mapping[str, Array]) -> None:
        """Find each, and give its tensors rows. Raises OptionError for what cannot vary."""
        self.one, self.stack, self.values = one, stack, values
        self.tensors: dict[str, list[Tensor]] = {}
        self.places: list[Place] = []
        for name, rows in values.items():
            if name != "gain" and not (self._in_optimizer(name, rows) or self._places(name, rows)):
                self._refuse(name)

    # -- where they are ----------------------------------------------------------------------------
    def _in_optimizer(self, name: str, rows: Array) -> bool:
        optimizer = self.one.optimizer
        kind, groups = type(optimizer).__name__, optimizer.param_groups
        if name not in optimizer.defaults:
            return False
        constraint = optimizer.constraints.get(name)
        for group in groups:
            held = group[name]
            _check_number(f"{kind}'s {name}", name, held, constraint)
            several = len(held) if isinstance(held, tuple) else 0
            if rows.shape[1:] != ((several,) if several else ()):
                wanted = f"{several} numbers" if several else "one number"
                raise OptionError(
                    f"Trainer: vary[{name!r}] has {wanted} for each seed, got shape {rows.shape}"
                )
            for row in rows.tolist():
                value = tuple(row) if several else row
                check(kind, optimizer.constraints, {name: value})
            if name != "lr" and name in group._tensors:
                raise OptionError(
                    f"Trainer: vary[{name!r}]: the schedule changes it, and brings its numbers with"
                    " it; leave it out, or take another schedule"
                )
            tensors = group.as_numbers(name)
            for tensor, column in zip(tensors, rows.reshape(len(rows), -1).T, strict=True):
                self.stack.put(tensor, column)
            self.tensors.setdefault(name, []).extend(tensors)
        return True

    def _places(self, name: str, rows: Array) -> bool:
        found = list(self._found(name))
        if found and rows.ndim > 1:
            raise OptionError(
                f"Trainer: vary[{name!r}] has one number for each seed, got shape {rows.shape}"
            )
        for owner, attribute, path in found:
            kind = type(owner).__name__
            table = CLIP if owner is self.one else getattr(owner, "constraints", {})
            constraint = table.get(attribute, _annotated(kind=type(owner), name=attribute))
            _check_number(f"{kind}'s {attribute}", name, getattr(owner, attribute), constraint)
            if constraint is not None:
                for value in rows.tolist():
                    check(f"Trainer: vary[{name!r}]", {attribute: constraint}, {attribute: value})
            tensor = stored(np.zeros(()))
            self.stack.put(tensor, rows)
            self.tensors.setdefault(name, []).append(tensor)
            self.places.append(Place(name, owner, attribute, path, tensor))
        return bool(found)

    def _found(self, name: str) -> Iterator[tuple[Any, str, str | None]]:
        """Owner, attribute and path of what is called so: in the trainer, its losses, or layers.

        Of all layers, or of the one that a dotted name says.
        """
        one = self.one
        if name in CLIP:
            yield one, name, None
            return
        losses = [p.loss for p in one.objective.parts if isinstance(p.loss, Module)]
        path, _, attribute = name.rpartition(".")
        if not path:
            own = [(loss, name, None) for loss in losses if name in vars(loss)]
            if own:
                yield from own
                return
        for at, layer in one.model.named_modules():
            if path and at != path:
                continue
            inside = "p" if name == "dropout" and isinstance(layer, _Dropout) else attribute
            if inside in vars(layer) and not inside.startswith("_"):
                yield layer, inside, at

    def _refuse(self, name: str) -> NoReturn:
        one = self.one
        if name in _SAME:
            raise OptionError(
                f"Trainer: vary[{name!r}]: it is the same for all seeds; {_SAME[name]}"
            )
        known = [k for k, v in one.optimizer.param_groups[0].items() if _is_number(v)]
        modules = [p.loss for p in one.objective.parts if isinstance(p.loss, Module)]
        modules += list(one.model.modules())
        known += [k for m in modules for k, v in vars(m).items() if isinstance(v, float)]
        known = ["gain", *CLIP, *(k for k in dict.fromkeys(known) if not k.startswith("_"))]
        close = get_close_matches(name, known, 1)
        hint = f"; is it {close[0]!r}?" if close else ""
        raise OptionError(
            f"Trainer: vary[{name!r}]: neither {type(one.optimizer).__name__} nor the loss nor a "
            f"layer has a number of this name; what may differ here is {', '.join(known)}{hint}"
        )

    # -- what the steps read -----------------------------------------------------------------------
    @contextlib.contextmanager
    def numbers(self) -> Iterator[None]:
        """While a step is made: tensors in place of the numbers."""
        before = [vars(p.owner)[p.attribute] for p in self.places]
        names = {f"vary[{p.name!r}]" for p in self.places}
        try:
            for place in self.places:
                stand_in = as_number(place.tensor)
                stand_in.name = f"vary[{place.name!r}]"
                vars(place.owner)[place.attribute] = stand_in
            yield
        except CompileError as error:
            if not names:
                raise
            [line, *_] = str(error).splitlines()
            raise OptionError(
                f"Trainer: {' or '.join(sorted(names))}: the step asks in Python what the number "
                f"is, so it cannot differ between nets of one program ({line}); train these nets "
                f"one after the other: {_APART}"
            ) from error
        finally:
            for place, value in zip(self.places, before, strict=True):
                vars(place.owner)[place.attribute] = value

    def check_read(self, traces: Iterable[Trace]) -> None:
        """Raise OptionError for a number that none of the steps reads."""
        read = {id(t) for trace in traces for t in trace.state}
        for name, tensors in self.tensors.items():
            if not any(id(t) in read for t in tensors):
                kind = type(self.one.optimizer).__name__
                raise OptionError(
                    f"Trainer: vary[{name!r}]: no step reads it; it says what {kind} or a layer is "
                    "made of, which all seeds share (SGD made without momentum keeps no running "
                    "sum: make it with a momentum above 0)"
                )

    def give(self, net: Module, seed: int) -> None:
        """Give a copy of the model the numbers of a seed (by its place)."""
        layers = dict(net.named_modules())
        for place in self.places:
            if place.path is not None:
                setattr(layers[place.path], place.attribute, float(self.values[place.name][seed]))


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple) and value:
        return all(map(_is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _annotated(kind: type, name: str) -> Constraint | None:
    """What the constructor says of an argument: any number, if it is a float."""
    asked = inspect.signature(kind).parameters.get(name)
    return number() if asked is not None and "float" in str(asked.annotation) else None


def _check_number(what: str, name: str, held: Any, constraint: Constraint | None) -> None:
    """Raise OptionError for an option that is no number, or counts something."""
    none = held is None and constraint is None
    counts = not any(isinstance(v, float) for v in (held if isinstance(held, tuple) else (held,)))
    if constraint is not None:
        counts = not any(map(constraint.holds, (0.5, 1.5, (0.5, 0.5))))
    if (held is None and not none) or (_is_number(held) and not counts):
        return
    reason = "counts something, and" if _is_number(held) else "is no number:"
    raise OptionError(
        f"Trainer: vary[{name!r}]: {what} ({held!r}) {reason} nets that differ in it have programs "
        f"of their own; train them one after the other: {_APART}"
    )
