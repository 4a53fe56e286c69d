"""Optimizer: base of the rules that change parameters by their gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Unpack

import numpy as np

from ..core.host.memory import aligned
from ..errors import CheckpointError, OptionError, ShapeError
from ..habits import no_attribute
from ..nn.module import Module
from ..nn.options import Constraint
from ..nn.uninitialized import UninitializedParameter
from ..tensor.capture import depends_on, outside
from ..tensor.changes import Table, Versioned, changed
from ..tensor.grad_mode import enable_grad, no_grad
from ..tensor.tensor import Tensor
from ..tensor.value import Value, array_of, snapshot, stored
from .eager import count_eager
from .group import RENAMED, ParamGroup, Switches, check_key, check_switches

State = dict[str, Tensor]
_PACKAGE = __name__.split(".", 1)[0]

_SNAPSHOT = (
    "a state dict holds the numbers as they were, to change them would not change the optimizer; "
    "write optimizer.load_state_dict(changed), or change optimizer.state[parameter][name]"
)


class _Asking(type):
    """Says what to write where an optimizer is made without parameters."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if not args and "params" not in options:
            kind: Any = cls
            if "params" in inspect.signature(kind.__init__).parameters:
                name = cls.__name__
                raise TypeError(
                    f"{name} needs the parameters it changes; write optim.{name}(model.parameters()"
                    f"{''.join(f', {k}={v!r}' for k, v in options.items())}), or "
                    f'Trainer(model, loss, "{name.lower()}")'
                )
        return super().__call__(*args, **options)


class Optimizer(Versioned, metaclass=_Asking):
    """Base class; names and behaviour are those of ``torch.optim.Optimizer``.

    All state is made with the optimizer, and ``step`` only computes tensors and assigns them, so
    the code runs at once and in compiled functions. A parameter without gradient is left alone.

    A subclass says which tensors each parameter needs (``new_state``), and how one is changed
    (``update``). What is common to the parameters of a group is computed once, in ``prepare``;
    scalars named in ``shared`` (the count of steps) are one tensor for all that stepped together.

    >>> from chainrule import nn, optim
    >>> class SignDescent(optim.Optimizer):
    ...     def __init__(self, params, lr=0.5):
    ...         super().__init__(params, {"lr": lr})
    ...
    ...     def update(self, p, grad, state, group, common):
    ...         p.assign(p - group["lr"] * grad.sign())
    >>> p = nn.Parameter([1.0])
    >>> optimizer = SignDescent([p])
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    _unwatched_ = ("constraints", "defaults", "_schedulers")
    constraints: ClassVar[dict[str, Constraint]] = {}
    shared: ClassVar[dict[str, Any]] = {"step": np.zeros((), np.int64)}

    def __init__(
        self, params: Any, defaults: Mapping[str, Any], **switches: Unpack[Switches]
    ) -> None:
        check_switches(type(self).__name__, switches)
        self.defaults = Table(defaults)
        self.state: dict[Value, State] = Table()
        self.param_groups: list[ParamGroup] = []
        # Counts changes of the groups and of who shares the scalars; compiled steps depend on it.
        self._sharing = 0
        for group in self._groups(params):
            self.add_param_group(group)

    def _take(self, options: dict[str, Any], **switches: Any) -> None:
        """What `takes_options` finds in a constructor's arguments."""
        Optimizer.__init__(self, options.pop("params"), options, **switches)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        if kind.__module__.startswith(_PACKAGE) and {name, RENAMED.get(name)} & {
            *self.__dict__.get("defaults", ())
        }:
            raise OptionError(
                f"{kind.__name__}: {name} is an option of the parameter groups; write for group in "
                f"optimizer.param_groups: group[{RENAMED.get(name, name)!r}] = {value!r}"
            )
        super().__setattr__(name, value)
        changed()

    def __getattr__(self, name: str) -> Any:
        raise no_attribute(type(self).__name__, "Optimizer", name)

    # -- parameters --------------------------------------------------------------------------------
    def _groups(self, params: Any) -> list[dict[str, Any]]:
        name = type(self).__name__
        if isinstance(params, Value):
            raise OptionError(
                f"{name}: params is a list of parameters, got one tensor; write [parameter]"
            )
        if isinstance(params, Module):
            raise OptionError(
                f"{name}: params is a list of parameters, got a module; write model.parameters()"
            )
        if callable(params):
            raise OptionError(f"{name}: params is a method; call it: model.parameters()")
        listed = list(params)
        if not listed:
            raise OptionError(
                f"{name}: the list of parameters is empty (an iterator like model.parameters() can "
                "be used once)"
            )
        return listed if isinstance(listed[0], Mapping) else [{"params": listed}]

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own; missing options are the defaults."""
        name = type(self).__name__
        if "params" not in param_group:
            raise OptionError(
                f"{name}: a parameter group needs the key 'params', got {sorted(param_group)}"
            )
        given = param_group["params"]
        listed = [given] if isinstance(given, Value) else list(given)
        params: list[Value] = []
        names: list[str] = []
        for entry in listed:
            p: Any = entry
            if isinstance(entry, tuple) and len(entry) == 2:
                names.append(entry[0])
                p = entry[1]
            if not isinstance(p, Value):
                raise OptionError(f"{name}: parameters are tensors, got {type(p).__name__}")
            if not p.is_leaf:
                raise OptionError(
                    f"{name}: cannot change a tensor that was computed from others (not a leaf)"
                )
            if any(p is q for q in params) or p in self.state:
                raise OptionError(f"{name}: a parameter of shape {p.shape} occurs twice")
            params.append(p)
        own = {k: v for k, v in param_group.items() if k != "params"}
        for key in own.keys() - self.defaults.keys():
            check_key(name, key, self.defaults)
        options = {**self.defaults, **own}
        group = ParamGroup(type(self), {"params": params, **options})
        if names:
            group["param_names"] = tuple(names)
        self.check_group(group)
        self.param_groups.append(group)
        self._sharing += 1
        scalars = self._new_scalars()
        for p in params:
            self.state[p] = Table()
            start = partial(self._start, group, p, scalars)
            if isinstance(p, UninitializedParameter):
                p.when_materialized(start)
            else:
                start()

    def _new_scalars(self) -> State:
        return {k: stored(np.array(v)) for k, v in self.shared.items()}

    def _start(self, group: ParamGroup, p: Value, scalars: State) -> None:
        """Make the state of a parameter; ``scalars`` are the group's, if it has not stepped."""
        if any(scalars[k].item() != v for k, v in self.shared.items()):
            scalars, self._sharing = self._new_scalars(), self._sharing + 1
        self.state[p].update({**scalars, **self.new_state(group, p)})

    def check_group(self, group: ParamGroup) -> None:
        """Check options that depend on one another."""

    def new_state(self, group: ParamGroup, p: Any) -> State:
        """The tensors kept for a parameter, in their state before the first step."""
        return {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else p.grad * 0

    # -- a step ------------------------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change all parameters with a gradient. ``closure`` (optional) computes the loss anew."""
        loss = None
        count_eager()
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            work = [
                (group, [p for p in group["params"] if p.grad is not None])
                for group in self.param_groups
            ]
            for group, ready in work:
                self._separate(group, ready)
            depends_on(self, "_sharing")
            for group, ready in work:
                depends_on(group, "static")
                for members in self._together(ready):
                    scalars = self._advance(members[0])
                    common = self.prepare(group, scalars)
                    for p in members:
                        self.update(p, self._gradient(group, p), self.state[p], group, common)
        return loss

    def prepare(self, group: ParamGroup, scalars: State) -> Any:
        """What is the same for all parameters of a group, given the advanced scalars (float64)."""
        return None

    def update(self, p: Any, grad: Tensor, state: State, group: ParamGroup, common: Any) -> None:
        """Change one parameter and its state."""
        raise NotImplementedError(f"{type(self).__name__} has no update method")

    def advance(self, scalars: State) -> State:
        """The shared scalars after a step."""
        return {"step": scalars["step"] + 1} if "step" in scalars else {}

    def _advance(self, p: Value) -> State:
        scalars = {k: self.state[p][k] for k in self.shared}
        for k, new in self.advance(scalars).items():
            scalars[k].assign(new)
        return scalars

    @staticmethod
    def _gradient(group: ParamGroup, p: Any) -> Tensor:
        grad: Tensor = p.grad if p.grad.dtype == p.dtype else p.grad.to(p.dtype)
        return -grad if group.get("maximize") else grad

    def _together(self, ready: Sequence[Value]) -> list[list[Any]]:
        """Parameters by the scalars they share."""
        if not self.shared:
            return [list(ready)] if ready else []
        first = next(iter(self.shared))
        classes: dict[int, list[Any]] = {}
        for p in ready:
            classes.setdefault(id(self.state[p].get(first)), []).append(p)
        return list(classes.values())

    def _separate(self, group: ParamGroup, ready: Sequence[Value]) -> None:
        """Parameters that do not step this time get scalars of their own, of the same values."""
        if not self.shared or len(ready) == len(group["params"]):
            return
        stepping = {id(p) for p in ready}
        for members in self._together(group["params"]):
            waiting = [p for p in members if id(p) not in stepping]
            if waiting and len(waiting) < len(members):
                with outside():
                    copies = {k: stored(np.array(self.state[waiting[0]][k])) for k in self.shared}
                for p in waiting:
                    self.state[p].update(copies)
                self._sharing += 1

    # -- state in and out --------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """State by the parameters' numbers, and the options of the groups (PyTorch's layout)."""
        number = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        return {
            "state": {
                number[id(p)]: {k: snapshot(v, _SNAPSHOT) for k, v in entry.items()}
                for p, entry in self.state.items()
                if entry
            },
            "param_groups": [
                {**dict(group), "params": [number[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue as the optimizer whose `state_dict` this was: same groups, same shapes.

        Nothing is changed unless everything fits; raises CheckpointError otherwise.
        """
        name = type(self).__name__
        groups, saved = state_dict["param_groups"], state_dict["state"]
        if len(groups) != len(self.param_groups):
            raise CheckpointError(
                f"{name}: the state has {len(groups)} parameter groups, this one "
                f"{len(self.param_groups)}"
            )
        plan: list[tuple[Value, dict[str, Any]]] = []
        for i, (new, own) in enumerate(zip(groups, self.param_groups, strict=True)):
            if len(new["params"]) != len(own["params"]):
                raise CheckpointError(
                    f"{name}: group {i} of the state has {len(new['params'])} parameters, here "
                    f"{len(own['params'])}"
                )
            for key, p in zip(new["params"], own["params"], strict=True):
                entry = saved.get(key, saved.get(str(key), {}))
                plan.append((p, self._fitting(own, p, key, entry)))
        for new, own in zip(groups, self.param_groups, strict=True):
            for key, value in new.items():
                if key not in ("params", "param_names"):
                    own.put(key, value)
        for p, arrays in plan:
            for key, array in arrays.items():
                if key not in self.shared:
                    self.state[p][key].assign(array)
        self._share({id(p): arrays for p, arrays in plan})

    def _fitting(
        self, group: ParamGroup, p: Value, key: Any, entry: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Arrays for all state of ``p``: from ``entry``, or as before the first step."""
        name = type(self).__name__
        unknown = [
            k for k, v in entry.items() if k not in self.state[p] and v is not None and k != "step"
        ]
        if unknown:
            raise CheckpointError(
                f"{name}: the state of parameter {key} has {', '.join(unknown)},"
                f" expected {', '.join(self.state[p]) or 'nothing'};"
                " was it saved by another optimizer, or with other options?"
            )
        fresh = {**self.shared, **{k: v.numpy() for k, v in self.new_state(group, p).items()}}
        arrays = {}
        for k, value in fresh.items():
            array = array_of(entry[k]) if entry.get(k) is not None else np.asarray(value)
            if array.shape != np.shape(value):
                raise CheckpointError(
                    f"{name}: {k} of parameter {key} has shape {array.shape} in the state, here "
                    f"{np.shape(value)}"
                )
            arrays[k] = aligned(array.astype(np.asarray(value).dtype))
        return arrays

    def _share(self, arrays: Mapping[int, Mapping[str, Any]]) -> None:
        """Give parameters of a group with equal scalars the same tensors."""
        self._sharing += 1
        for group in self.param_groups:
            tensors: dict[Any, State] = {}
            for p in group["params"]:
                values = tuple(arrays[id(p)][k].item() for k in self.shared)
                if values not in tensors:
                    tensors[values] = {k: stored(arrays[id(p)][k]) for k in self.shared}
                self.state[p].update(tensors[values])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [
                f"    {k}: {group[k]}" for k in sorted(group) if k not in ("params", "param_names")
            ]
        return "\n".join([*lines, ")"])


def zeros(p: Value, value: float = 0.0) -> Tensor:
    """A state tensor like ``p``, filled with ``value``."""
    return stored(aligned(np.full(p.shape, value, p.dtype)))


def require(condition: bool, message: str) -> None:
    """Raise OptionError unless ``condition`` holds."""
    if not condition:
        raise OptionError(message)


def require_matrix(name: str, params: Iterable[Value]) -> None:
    """Raise ShapeError for a parameter that is not a matrix."""
    for p in params:
        if p.ndim != 2:
            raise ShapeError(
                f"{name} changes matrices only, got a parameter of shape {p.shape};"
                " give the others (biases, norms, embeddings) to AdamW"
            )
