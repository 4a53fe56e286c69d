"""Trace: a function of tensors, run once on placeholders: its program, and how to call it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...backends.base import Program
from ...core import dtypes as dt
from ...core.node import Array, Node
from ...core.signature import Signature
from ...errors import CompileError
from ...runtime.program import build
from ..capture import Capture, active, capturing
from ..pytree import Structure, flatten, unflatten
from ..ranges import Extremes
from ..value import Tensor, Value, lent, make, register_leaf, stored
from .follow import follow
from .watch import Watch


# -- arguments -------------------------------------------------------------------------------------
def key_of(leaf: Any) -> tuple[Any, ...]:
    """What a trace depends on in an argument: a tensor's shape and dtype, the value of all else."""
    if isinstance(leaf, Value):
        array = leaf._array
        if array is None or leaf._weak:
            return ("tensor", leaf.shape, leaf.dtype, leaf._requires_grad, leaf._weak)
        return ("tensor", array.shape, array.dtype, leaf._requires_grad, False)
    if isinstance(leaf, np.ndarray):
        return ("tensor", leaf.shape, leaf.dtype, False, False)
    if type(leaf) is float or isinstance(leaf, np.floating):
        return ("tensor", (), dt.float64, False, True)
    return ("static", type(leaf), leaf)


def array_of_leaf(leaf: Any) -> Array:
    """The numbers of a tensor argument, for the program."""
    if isinstance(leaf, Value):
        array = leaf._storage()
        return array.astype(np.float64) if leaf._weak else array
    if isinstance(leaf, np.ndarray):
        array = np.ascontiguousarray(leaf).reshape(leaf.shape)
        return array.copy() if lent(array) else array
    return np.array(leaf, np.float64)


def _tracer(key: tuple[Any, ...], capture: Capture) -> Tensor:
    _, shape, dtype, requires_grad, weak = key
    node = capture.placeholder(shape, dt.float64 if weak else dt.dtype_of(dtype))
    tensor = make(node, requires_grad=requires_grad)
    tensor._weak = weak
    if requires_grad:
        register_leaf(node, tensor)
    return tensor


# -- one trace -------------------------------------------------------------------------------------
@dataclass
class Result:
    """A leaf of what the function returned: an output, an outside tensor, or a plain value."""

    output: int | None = None
    value: Any = None


@dataclass
class GradResult:
    """Where a gradient goes after a run: ``output`` (None: no gradient) to tensor or argument."""

    target: Value | int
    output: int | None


@dataclass(eq=False)
class Trace:
    """A function captured for one kind of arguments: its signature, program, and how to call it."""

    name: str
    key: Any
    signature: Signature
    program: Program
    arguments: list[int]  # which leaves of the arguments the program reads
    grads_read: list[Value]  # whose .grad it reads, after the arguments
    state: list[Value]
    updated: list[bool]
    results: list[Result]
    structure: Structure
    grad_results: list[GradResult]
    assigned_arguments: list[tuple[int, int]]  # (leaf of the arguments, output)
    grad_presence: tuple[list[Value], list[Value]]  # tensors whose .grad was there, or None
    watch: Watch
    extremes: Extremes

    def __post_init__(self) -> None:
        self.changes = any(self.updated)

    def holds(self) -> bool:
        """Whether everything Python looked at during the trace is still as it was."""
        have, have_not = self.grad_presence
        return (
            not [t for t in have_not if t._grad is not None]
            and not [t for t in have if t._grad is None]
            and self.watch.unchanged()
        )

    def run(self, leaves: Sequence[Any], steps: int) -> Any:
        """Run ``steps`` steps and return what the function returned in the last one."""
        if self.assigned_arguments:
            self._forbid_shared(leaves)
        if steps > 1 and not self.repeatable():
            for _ in range(steps - 1):
                self.run(leaves, 1)
            steps = 1
        inputs, state = self.bound(leaves)
        outputs = self.program.run(inputs, state, steps)
        self.look()
        return self.finish(leaves, outputs)

    def finish(self, leaves: Sequence[Any], outputs: Sequence[Array]) -> Any:
        """After a run: give tensors what it leaves for them; returns what the function returned."""
        for leaf, i in self.assigned_arguments:
            leaves[leaf].assign(stored(outputs[i]))
        for grad in self.grad_results:
            self._set_grad(grad, leaves, outputs)
        found = [r.value if r.output is None else stored(outputs[r.output]) for r in self.results]
        return unflatten(self.structure, found)

    def own_state(self) -> list[Array]:
        """The arrays of the state: those of tensors that are updated may be written."""
        return [
            t._storage_for_update() if updated else t._storage()
            for t, updated in zip(self.state, self.updated, strict=True)
        ]

    def bound(self, leaves: Sequence[Any]) -> tuple[list[Array], list[Array]]:
        """The arrays that the program takes: inputs, and state."""
        state = self.own_state()
        return self.inputs(leaves, state), [*state, *self.extremes.arrays]

    def inputs(self, leaves: Sequence[Any], state: Sequence[Array]) -> list[Array]:
        """The arrays of the inputs, beside those of the state."""
        inputs = [array_of_leaf(leaves[i]) for i in self.arguments]
        if self.grads_read:
            inputs += [t._grad._storage() for t in self.grads_read]  # type: ignore[union-attr]
        if self.changes:
            owned = {id(a) for a, updated in zip(state, self.updated, strict=False) if updated}
            inputs = [a.copy() if id(a) in owned else a for a in inputs]
        return inputs

    def look(self) -> None:
        """After a run: raise OutOfRangeError if an index was outside."""
        if self.extremes.checks:
            self.extremes.look(self.changes)

    def _forbid_shared(self, leaves: Sequence[Any]) -> None:
        """In a program arguments are apart: one that is changed is not seen through another."""
        roots = [id(x.root) for x in leaves if isinstance(x, Value)]
        for leaf, _ in self.assigned_arguments:
            if isinstance(leaves[leaf], Value) and roots.count(id(leaves[leaf].root)) > 1:
                raise CompileError(
                    f"{self.name} changes an argument in place, and another argument is a view of "
                    "it or the same tensor; pass one of them, and take the view inside"
                )

    def repeatable(self) -> bool:
        """Whether a step leaves nothing to Python that the next step needs."""
        accumulates = any(isinstance(r.target, int) for r in self.grad_results)
        return not (self.grads_read or self.assigned_arguments or accumulates)

    @staticmethod
    def _set_grad(grad: GradResult, leaves: Sequence[Any], outputs: Sequence[Array]) -> None:
        new = None if grad.output is None else stored(outputs[grad.output])
        if isinstance(grad.target, int):
            target = leaves[grad.target]
            target._grad = new if target._grad is None or new is None else target._grad + new
        else:
            grad.target._grad = new


# -- tracing ---------------------------------------------------------------------------------------
def trace(
    function: Callable[..., Any],
    name: str,
    key: Any,
    keys: Sequence[tuple[Any, ...]],
    structure: Structure,
    leaves: Sequence[Any],
    roots: Callable[[], Iterable[Any]] | None = None,
    build: Callable[[Signature], Program] = build,
) -> Trace:
    """Run ``function`` once on placeholders and build the program of what it did."""
    static = [x for k, x in zip(keys, leaves, strict=True) if k[0] == "static"]
    roots = roots or (lambda: (function, *static))
    watched = follow(roots)
    capture = Capture(name, make, register_leaf)
    ran = _run(function, name, keys, structure, leaves, capture)
    nodes, outputs = ran.nodes, ran.outputs
    for message in watched.unwatched(capture.arrays.values()):
        warnings.warn(f"{name}: {message}", RuntimeWarning, stacklevel=4)
    watched = _settled(watched, roots).also(capture.guards)
    slots = list(capture.slots.values())
    changed = [s.current if s.assigned else s.placeholder for s in slots]
    extremes = Extremes(capture, nodes.values())
    resolved = capture.resolve([*changed, *outputs, *extremes.roots])
    k, end = len(slots), len(slots) + len(outputs)
    grad_slots = [s for s in capture.grads.values() if s.before is not None]
    before = [s.before for s in grad_slots if s.before is not None]
    whole = Signature(
        (*nodes.values(), *before),
        (*(s.placeholder for s in slots), *extremes.state),
        (*resolved[:k], *extremes.updates(resolved[end:])),
        tuple(resolved[k:end]),
    )
    used_inputs, used_state = whole.used()
    signature = whole.pruned()
    tensors = [s.tensor for s, used in zip(slots, used_state, strict=False) if used]
    kinds = [
        (s.tensor, k, getattr(s.tensor, k)) for s in slots for k in ("_requires_grad", "dtype")
    ]
    return Trace(
        name=name,
        key=key,
        signature=signature,
        program=build(signature),
        arguments=[i for i, used in zip(nodes, used_inputs, strict=False) if used],
        grads_read=[
            s.tensor for s, used in zip(grad_slots, used_inputs[len(nodes) :], strict=True) if used
        ],
        state=tensors,
        updated=[u is not s for s, u in zip(signature.state, signature.updates, strict=True)][
            : len(tensors)
        ],
        results=ran.results,
        structure=ran.structure,
        grad_results=ran.grads,
        assigned_arguments=ran.assigned,
        grad_presence=(
            [s.tensor for s in capture.grads.values() if s.read and s.had_grad],
            [s.tensor for s in capture.grads.values() if s.read and not s.had_grad],
        ),
        watch=watched.also(kinds),
        extremes=extremes,
    )


class _Run(NamedTuple):
    """What a function has done with placeholders."""

    nodes: dict[int, Node]  # what stands for each argument that is a tensor
    outputs: list[Node]
    results: list[Result]
    structure: Structure  # of the results
    assigned: list[tuple[int, int]]  # arguments changed in place, and the outputs they become
    grads: list[GradResult]


def _run(
    function: Callable[..., Any],
    name: str,
    keys: Sequence[tuple[Any, ...]],
    structure: Structure,
    leaves: Sequence[Any],
    capture: Capture,
) -> _Run:
    gradients = active.grad_enabled
    outputs: list[Node] = []

    def output(value: Value) -> int:
        outputs.append(value.node)
        return len(outputs) - 1

    with capturing(capture):
        inner = [
            _tracer(k, capture) if k[0] == "tensor" else x
            for k, x in zip(keys, leaves, strict=True)
        ]
        nodes = {i: t._exact_node for i, t in enumerate(inner) if keys[i][0] == "tensor"}
        args, options = unflatten(structure, inner)
        out, out_structure = flatten(function(*args, **options))
        if active.grad_enabled is not gradients:
            active.grad_enabled = gradients
            raise CompileError(
                f"{name} switches gradients {'off' if gradients else 'on'} for what comes after "
                "it, which a program cannot do; write `with cr.set_grad_enabled(...):`, or call "
                "it outside"
            )
        results = [_result(x, output) for x in out]
        changed = [i for i, n in nodes.items() if inner[i]._exact_node is not n]
        assigned = [(i, output(inner[i])) for i in changed]
        grads = _gradients(capture, {i: inner[i] for i in nodes}, output)
    return _Run(nodes, outputs, results, out_structure, assigned, grads)


def _settled(before: Watch, roots: Callable[[], Iterable[Any]]) -> Watch:
    """What is watched after a capture: not the numbers and containers that it changed itself."""
    changes = {place for place, _ in before.differing()}
    return follow(roots, changes) if changes else before


def _result(x: Any, output: Callable[[Value], int]) -> Result:
    if not isinstance(x, Value):
        return Result(value=x)
    return Result(value=x) if x._is_outside() else Result(output=output(x))


def _gradients(
    capture: Capture, arguments: dict[int, Tensor], output: Callable[[Value], int]
) -> list[GradResult]:
    """The gradients a run leaves behind. A tensor that the function has updated by its gradient
    keeps the ``.grad`` it had."""
    found = []
    for slot in capture.grads.values():
        in_place = slot.current is not None and slot.current.node is not slot.before
        if (slot.changed or in_place) and not slot.spent:
            found.append(
                GradResult(slot.tensor, None if slot.current is None else output(slot.current))
            )
    for i, tensor in arguments.items():
        if tensor._grad is not None:
            found.append(GradResult(i, output(tensor._grad)))
    return found
