"""A module as a function of its parameters and buffers, and many modules as one of stacked ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError
from ..tensor.tensor import Tensor
from ..tensor.value import array_of, as_tensor, stored
from .module import Module

Places = dict[str, tuple[dict[str, Any], str]]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with other tensors in the places of its parameters and buffers.

    ``parameter_and_buffer_dicts``: tensors by dotted name, as in the state dict, or several such
    dicts; what is not named stays the module's own, unless ``strict``. A buffer that the call
    changes (a running mean) is changed in the dict's tensor. A parameter that has several names is
    replaced under all of them, unless ``tie_weights`` is false. An ``args`` that is no tuple is the
    one argument.

    Raises OptionError for names that the module does not have, ShapeError for shapes that are not
    the module's. Meaning and names are those of ``torch.func.functional_call``. While it runs the
    module holds the other tensors: no other thread should call it then.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> net = nn.Linear(2, 1)
    >>> weights = {"weight": cr.tensor([[1.0, 2.0]]), "bias": cr.tensor([0.5])}
    >>> cr.func.functional_call(net, weights, cr.tensor([[3.0, 4.0]]))
    tensor([[11.5]])
    >>> cr.grad(lambda w: cr.func.functional_call(net, w, cr.ones(2)).sum())(weights)["weight"]
    tensor([[1., 1.]])
    """
    given = _merged(parameter_and_buffer_dicts)
    positional = args if isinstance(args, tuple) else () if args is None else (args,)
    with _in_place_of(module, given, tie_weights, strict):
        return module(*positional, **(kwargs or {}))


def _merged(dicts: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    listed = [dicts] if isinstance(dicts, Mapping) else list(dicts)
    merged: dict[str, Any] = {}
    for d in listed:
        if not isinstance(d, Mapping):
            raise OptionError(
                "functional_call expects a dict of tensors by name, or several, got "
                f"{type(d).__name__}"
            )
        twice = sorted(merged.keys() & d.keys())
        if twice:
            raise OptionError(f"functional_call: {_listed(twice)} in more than one of the dicts")
        merged |= d
    return merged


@contextmanager
def _in_place_of(
    module: Module, given: Mapping[str, Any], tie_weights: bool, strict: bool
) -> Iterator[None]:
    """The module has the tensors ``given`` while the block runs."""
    places = _places(module)
    unknown = [name for name in given if name not in places]
    if unknown:
        raise OptionError(
            f"functional_call: {type(module).__name__} has no parameter or buffer "
            f"{_listed(unknown)}; it has {_listed(list(places)) or 'none'}"
        )
    new = {name: as_tensor(value) for name, value in given.items()}
    for name, tensor in new.items():
        table, key = places[name]
        if tensor.shape != table[key].shape:
            raise ShapeError(
                f"functional_call: {name} has shape {table[key].shape}, got {tensor.shape}; for "
                "several values of it at once map the call: cr.vmap"
            )
    if tie_weights:
        new |= _tied(places, new)
    missing = [name for name in places if name not in new]
    if strict and missing:
        raise OptionError(f"functional_call with strict=True: {_listed(missing)} not given")
    before = [(*places[name], places[name][0][places[name][1]]) for name in new]
    try:
        for name, tensor in new.items():
            table, key = places[name]
            dict.__setitem__(table, key, tensor)  # for a while: programs need not be looked at
        yield
    finally:
        for table, key, old in before:
            dict.__setitem__(table, key, old)


def _places(module: Module) -> Places:
    """The table and the key of every parameter and buffer, by each of its dotted names."""
    found: Places = {}
    for path, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, held in table.items():
                if held is not None:
                    found[f"{path}.{key}" if path else key] = (table, key)
    return found


def _tied(places: Places, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is given for a tensor under one of its names, for its other names."""
    names: dict[int, list[str]] = {}
    for name, (table, key) in places.items():
        names.setdefault(id(table[key]), []).append(name)
    found: dict[str, Tensor] = {}
    for tied in names.values():
        chosen = {id(given[n]): given[n] for n in tied if n in given}
        if len(chosen) > 1:
            raise OptionError(
                f"functional_call: {_listed(tied)} are one tensor of the module, and get several; "
                "give it under one name, or say tie_weights=False"
            )
        found |= {n: t for n in tied for t in chosen.values()}
    return found


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of equal modules, each stacked along a new first axis.

    (parameters, buffers), dicts by dotted name: with `functional_call` and `vmap` one call runs all
    the modules. The tensors are copies; parameters require gradients as the modules' do. Raises
    OptionError unless the modules are of one class and one mode and all have the same names,
    ShapeError unless the shapes are equal. As ``torch.func.stack_module_state``.

    >>> import chainrule as cr
    >>> from chainrule import nn
    >>> nets = [nn.Linear(2, 1) for _ in range(3)]
    >>> parameters, buffers = cr.func.stack_module_state(nets)
    >>> parameters["weight"].shape, buffers
    ((3, 1, 2), {})
    >>> def one(parameters, x):
    ...     return cr.func.functional_call(nets[0], parameters, x)
    >>> cr.vmap(one, in_axes=(0, None))(parameters, cr.ones(5, 2)).shape
    (3, 5, 1)
    """
    models = list(models)
    if not models:
        raise OptionError("stack_module_state: expected at least one module, got none")
    for i, model in enumerate(models):
        if not isinstance(model, Module):
            raise OptionError(
                f"stack_module_state: expected modules, the one at {i} is {type(model).__name__}"
            )
        if type(model) is not type(models[0]):
            raise OptionError(
                f"stack_module_state: modules of one class are stacked, got "
                f"{type(models[0]).__name__} and, at {i}, {type(model).__name__}"
            )
        if model.training != models[0].training:
            raise OptionError(
                "stack_module_state: some modules are in training and some in evaluation mode; "
                "call .train() or .eval() on all of them"
            )
    parameters = [dict(m.named_parameters()) for m in models]
    return _stacked(parameters), _stacked([dict(m.named_buffers()) for m in models])


def _stacked(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    for i, state in enumerate(states):
        if state.keys() != states[0].keys():
            different = sorted(state.keys() ^ states[0].keys())
            raise OptionError(
                f"stack_module_state: module {i} and module 0 differ in {_listed(different)}"
            )
        for name, tensor in state.items():
            first = states[0][name]
            if (tensor.shape, tensor.dtype) != (first.shape, first.dtype):
                raise ShapeError(
                    f"stack_module_state: {name} is {first.dtype}{list(first.shape)} in module 0 "
                    f"and {tensor.dtype}{list(tensor.shape)} in module {i}"
                )
    stacked = {}
    for name, first in states[0].items():
        new = stored(np.stack([array_of(state[name]) for state in states]))
        new.name = name
        stacked[name] = new.requires_grad_() if first.requires_grad else new
    return stacked


def _listed(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
