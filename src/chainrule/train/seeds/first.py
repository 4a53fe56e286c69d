"""First weights for every seed: the net, made anew as often as there are seeds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.node import Array
from ...errors import OptionError, ShapeError
from ...nn.module import Module
from ...tensor.ops import random

Model = Module | Callable[[], Module]


@dataclass(frozen=True)
class FirstStates:
    """What the seeds begin with: a net, and its tensors of all seeds, (R, …) by name.

    ``key`` (R, 2) and ``counter`` (R,): of the random numbers that follow.
    """

    net: Module
    tensors: dict[str, Array]
    key: Array
    counter: Array


def first_states(where: str, model: Model, seeds: Sequence[int]) -> FirstStates:
    """A net for every seed.

    ``model()`` after ``manual_seed(s)``, or, of a module, ``reset_parameters`` of all its parts.
    The module, and the default generator, stay as they were.

    Raises OptionError for a module with weights that cannot be made anew, or for nets that are not
    of one shape (ShapeError).
    """
    net: Module | None = None
    rows: list[dict[str, Array]] = []
    keys, counters = [], []
    for made in _made(where, model, seeds):
        net = made if net is None else net
        rows.append({k: np.array(t._read()) for k, t in named_tensors(made).items()})
        keys.append(np.array(random.default_generator.key))
        counters.append(np.array(random.default_generator.counter))
    assert net is not None
    for seed, row in zip(seeds, rows, strict=True):
        shapes = [{k: (a.shape, a.dtype) for k, a in r.items()} for r in (rows[0], row)]
        if shapes[0] != shapes[1]:
            raise ShapeError(
                f"{where}: the nets of seed {seeds[0]} and seed {seed} differ in names or shapes of"
                " their weights; the function that makes the net shall draw numbers only"
            )
    tensors = {k: np.stack([row[k] for row in rows]) for k in rows[0]}
    return FirstStates(net, tensors, np.stack(keys), np.stack(counters))


def named_tensors(module: Module) -> dict[str, Any]:
    """Parameters and buffers by name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _made(where: str, model: Model, seeds: Sequence[int]) -> Iterator[Module]:
    """The net of each seed, when its numbers are drawn; a module's are copies of one another."""
    state = random.default_generator.get_state()
    own = copy.deepcopy(model) if isinstance(model, Module) else None
    try:
        for seed in seeds:
            random.manual_seed(seed)
            if own is None:
                net = model()
                if not isinstance(net, Module):
                    raise OptionError(
                        f"{where}: model is a module, or a function that makes one; it returned "
                        f"{type(net).__name__}"
                    )
                yield net
            else:
                reset_parameters(where, own)
                yield own
    finally:
        random.default_generator.set_state(state)


def reset_parameters(where: str, net: Module) -> None:
    """Draw all weights of a net anew, as its layers do when they are made."""
    for path, part in net.named_modules():
        reset = getattr(part, "reset_parameters", None)
        if reset is not None:
            reset()
        elif any(p is not None and p.ndim > 1 for p in part._parameters.values()):
            raise OptionError(
                f"{where}: {path or 'the model'} ({type(part).__name__}) has weights and no "
                "reset_parameters() to draw them anew; give a function that makes the net, "
                f"{where}(lambda: Net(), ...)"
            )


def times_gain(tensors: dict[str, Array], gains: Any, names: Sequence[str]) -> None:
    """Multiply the weights of two or more axes among ``names`` by a number for each net."""
    for name in names:
        w = tensors[name]
        if w.ndim > 2:  # the nets, and two axes of their own
            w *= np.asarray(gains, w.dtype).reshape(-1, *[1] * (w.ndim - 1))
