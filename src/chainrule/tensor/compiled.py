"""compile: a Python function of tensors becomes one program.

The function runs once, on placeholders, for every new combination of argument shapes and plain
values; what it computes, assigns and back-propagates is captured as a graph and built into a
program. Later calls run the program. Tensors from outside (parameters, moments, counters) are its
state, updated in place.
"""

from __future__ import annotations

import functools
import itertools
import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.base import Program
from ..core import dtypes as dt
from ..core.node import Array, Node
from ..core.signature import Signature
from ..errors import CompileError, OptionError
from ..runtime.program import build
from .capture import Capture, active, capturing
from .follow import follow
from .pytree import Structure, flatten, unflatten
from .ranges import Extremes
from .value import Value, array_of, lent, make, register_leaf, stored
from .watch import Watch

if TYPE_CHECKING:
    from .tensor import Tensor

_grad = operator.attrgetter("_grad")

MANY_TRACES = 32
KEPT_TRACES = 8
"""Programs kept for one kind of arguments: the last ones used."""


# -- arguments -------------------------------------------------------------------------------------
def _key(leaf: Any) -> tuple[Any, ...]:
    """What a trace depends on in one argument: shape and dtype of a tensor, the value of anything
    else."""
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


def _array(leaf: Any) -> Array:
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
    """A leaf of what the function returned: an output of the program, an outside tensor, or a plain
    value."""

    output: int | None = None
    value: Any = None


@dataclass
class GradResult:
    """Where a gradient goes after a run: ``output`` (None: the gradient is None) to tensor or
    argument."""

    target: Value | int
    output: int | None


@dataclass(eq=False)
class Trace:
    """A captured function for one kind of arguments: its signature, its program, and how to call
    it."""

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
            (not have_not or all(map(operator.is_, map(_grad, have_not), itertools.repeat(None))))
            and (not have or all(map(operator.is_not, map(_grad, have), itertools.repeat(None))))
            and self.watch.unchanged()
        )

    def run(self, leaves: Sequence[Any], steps: int) -> Any:
        """Run ``steps`` steps and return what the function returned in the last one."""
        if self.assigned_arguments:
            self._forbid_shared(leaves)
        if steps > 1 and not self._repeatable():
            for _ in range(steps - 1):
                self.run(leaves, 1)
            steps = 1
        state = [
            t._storage_for_update() if updated else t._storage()
            for t, updated in zip(self.state, self.updated, strict=True)
        ]
        inputs = [_array(leaves[i]) for i in self.arguments]
        if self.grads_read:
            inputs += [t._grad._storage() for t in self.grads_read]  # type: ignore[union-attr]
        if self.changes:
            owned = {id(a) for a, updated in zip(state, self.updated, strict=True) if updated}
            inputs = [a.copy() if id(a) in owned else a for a in inputs]
        outputs = self.program.run(inputs, [*state, *self.extremes.arrays], steps)
        if self.extremes.checks:
            self.extremes.look(self.changes)
        for leaf, i in self.assigned_arguments:
            leaves[leaf].assign(stored(outputs[i]))
        for grad in self.grad_results:
            self._set_grad(grad, leaves, outputs)
        found = [r.value if r.output is None else stored(outputs[r.output]) for r in self.results]
        return unflatten(self.structure, found)

    def _forbid_shared(self, leaves: Sequence[Any]) -> None:
        """In a program arguments are apart: one that is changed is not seen through another."""
        roots = [id(x.root) for x in leaves if isinstance(x, Value)]
        for leaf, _ in self.assigned_arguments:
            if isinstance(leaves[leaf], Value) and roots.count(id(leaves[leaf].root)) > 1:
                raise CompileError(
                    f"{self.name} changes an argument in place, and another argument is a view of "
                    "it or the same tensor; pass one of them, and take the view inside"
                )

    def _repeatable(self) -> bool:
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
) -> Trace:
    """Run ``function`` once on placeholders and build the program of what it did."""
    static = [x for k, x in zip(keys, leaves, strict=True) if k[0] == "static"]
    roots = roots or (lambda: (function, *static))
    watched = follow(roots)
    gradients = active.grad_enabled
    capture = Capture(name, make, register_leaf)
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
        outputs: list[Node] = []

        def output(value: Value) -> int:
            outputs.append(value.node)
            return len(outputs) - 1

        results = [_result(x, output) for x in out]
        changed_arguments = [i for i, n in nodes.items() if inner[i]._exact_node is not n]
        assigned = [(i, output(inner[i])) for i in changed_arguments]
        grads = _gradients(capture, {i: inner[i] for i in nodes}, output)
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
        results=results,
        structure=out_structure,
        grad_results=grads,
        assigned_arguments=assigned,
        grad_presence=(
            [s.tensor for s in capture.grads.values() if s.read and s.had_grad],
            [s.tensor for s in capture.grads.values() if s.read and not s.had_grad],
        ),
        watch=watched.also(kinds),
        extremes=extremes,
    )


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


# -- the decorator ---------------------------------------------------------------------------------
class Compiled:
    """A function with its traces. Call it like the function."""

    _watched_ = ("function",)

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        roots: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        """``roots``: what it reads from outside, instead of what its code names."""
        self.function, self.roots = function, roots
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.traces: dict[Any, list[Trace]] = {}
        self._made = 0  # traces, those that are not kept any more included
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the program for these arguments (tracing and building it the first time)."""
        if active.capture is not None or active.transforms:
            return self.function(*args, **options)
        found, leaves = self._find(args, options)
        return found.run(leaves, 1)

    def repeat(self, n: int, *args: Any, **options: Any) -> Any:
        """``n`` calls with the same arguments in one native run; returns what the last call
        returns.

        >>> import chainrule as cr
        >>> total = cr.zeros(())
        >>> @cr.compile
        ... def step(x):
        ...     return total.assign(total + x)
        >>> step.repeat(10, cr.tensor(2.0))
        tensor(20.)
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise OptionError(
                f"{self.name}.repeat: the number of calls is a positive integer, got {n!r}"
            )
        if active.capture is not None or active.transforms:
            for _ in range(n - 1):
                self.function(*args, **options)
            return self.function(*args, **options)
        found, leaves = self._find(args, options)
        return found.run(leaves, int(n))

    def program(self, *args: Any, **options: Any) -> Trace:
        """The trace for these arguments (``.signature``, ``.program``), without running it."""
        return self._find(args, options)[0]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method, with ``self`` as a plain first argument."""
        return self if instance is None else BoundCompiled(self, instance)

    def __getattr__(self, name: str) -> Any:
        """What the function has (a compiled module's ``parameters()``, …)."""
        if name.startswith("__") or name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)

    def __repr__(self) -> str:
        return f"<compiled {self.name}>"

    def _find(self, args: Any, options: Any) -> tuple[Trace, list[Any]]:
        leaves, structure = flatten((args, options))
        keys = tuple([_key(x) for x in leaves])
        key = (structure, keys, active.grad_enabled)
        try:
            known = self.traces.get(key)
        except TypeError:
            self._explain_unhashable(leaves)
            raise
        for i, found in enumerate(known or ()):
            if found.holds():
                if i and known:  # the latest first
                    known.insert(0, known.pop(i))
                return found, leaves
        leaves = [_known_dtype(x) for x in leaves]
        title = f"compiled {self.name}"
        new = trace(self.function, title, key, keys, structure, leaves, self.roots)
        kept = self.traces.setdefault(key, [])
        kept.insert(0, new)
        del kept[KEPT_TRACES:]
        self._warn_if_many()
        return new, leaves

    def _explain_unhashable(self, leaves: Sequence[Any]) -> None:
        for x in leaves:
            if not isinstance(x, Value | np.ndarray):
                try:
                    hash(x)
                except TypeError:
                    raise CompileError(
                        f"{self.name}: an argument of type {type(x).__name__} is neither a tensor, "
                        "an array,"
                        " a number nor hashable; convert it with cr.tensor, or pass its parts"
                    ) from None

    def _warn_if_many(self) -> None:
        self._made += 1
        if self._made == MANY_TRACES:
            warnings.warn(
                f"{self.name} was traced {MANY_TRACES} times: its arguments change shape, or a "
                "plain argument, a global or an attribute that it reads changes at every call. "
                "Keep shapes constant, and pass changing numbers as floats or tensors",
                RuntimeWarning,
                stacklevel=4,
            )


def _known_dtype(leaf: Any) -> Any:
    return array_of(leaf) if isinstance(leaf, np.ndarray) else leaf


class BoundCompiled:
    """A compiled method of one object."""

    _watched_ = ("compiled", "instance")

    def __init__(self, compiled: Compiled, instance: Any) -> None:
        self.compiled, self.instance = compiled, instance

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `Compiled.__call__`."""
        return self.compiled(self.instance, *args, **options)

    def repeat(self, n: int, *args: Any, **options: Any) -> Any:
        """See `Compiled.repeat`."""
        return self.compiled.repeat(n, self.instance, *args, **options)

    def program(self, *args: Any, **options: Any) -> Trace:
        """See `Compiled.program`."""
        return self.compiled.program(self.instance, *args, **options)


def compile(function: Callable[..., Any] | None = None, *, name: str | None = None) -> Any:
    """Decorator: the function becomes one native program, for each kind of arguments it is called
    with.

    Tensors, NumPy arrays and floats are inputs. Integers, bools, strings and other hashable values
    are constants of the program: another value means another program. Tensors made outside and
    assigned inside (parameters, optimizer state, random numbers) are updated in place.

    Inside, nobody can ask for a number: `CompileError` says on which line it was tried.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> @cr.compile
    ... def step(x, lr):
    ...     loss = ((w - x) ** 2).sum()
    ...     w.grad = None
    ...     loss.backward()
    ...     w.assign(w - lr * w.grad)
    ...     return loss
    >>> step(cr.zeros(2), 0.25), step(cr.zeros(2), 0.25), w
    (tensor(5.), tensor(1.25), tensor([0.25, 0.5 ], requires_grad=True))
    """
    if function is None:
        return functools.partial(compile, name=name)
    if not callable(function):
        raise OptionError(f"compile takes a function or a module, got {type(function).__name__}")
    return Compiled(function, name)
