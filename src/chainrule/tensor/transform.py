"""Transformations: grad, value_and_grad, vjp, jvp, jacobian, hessian, vmap, custom_vjp.

A function is run on tracers, tensors with fresh input nodes; what it returns is a graph, which is
transformed; then the tracers are replaced by the arguments. So transformations nest in any order.
Arguments and results may be pytrees (tuples, lists, dicts) of tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autodiff import batching, check, reverse
from ..core import dtypes as dt
from ..core import graph as g
from ..core.node import Node, reachable
from ..errors import GradientError, OptionError, ShapeError
from ..runtime import realize as rt
from .capture import active, substitute
from .pytree import broadcast_prefix, flatten, unflatten
from .ranges import RangeCheck, settle
from .value import Tensor, Value, array_of, as_tensor, depends_on_leaf, make, register_leaf

Function = Callable[..., Any]
Argnums = int | Sequence[int]


@contextmanager
def tracing() -> Iterator[list[RangeCheck]]:
    """A function is being run on tracers; yields the checks of indices that it asks for."""
    checks: list[RangeCheck] = []
    before, active.checks = active.checks, checks
    active.transforms += 1
    try:
        yield checks
    finally:
        active.transforms -= 1
        active.checks = before


@contextmanager
def transforming(finished: Callable[[list[Node]], Sequence[Node]]) -> Iterator[None]:
    """A function is being run on tracers; ``finished`` replaces them in nodes by the arguments."""
    with tracing() as checks:
        yield
    settle(checks, finished)


class Tracers:
    """Tracers for the leaves of some arguments, and the way back to the arguments."""

    def __init__(self, name: str, leaves: Sequence[Any]) -> None:
        self.originals = [_differentiable(name, x) for x in leaves]
        self.given = [x.node for x in self.originals]
        self.nodes: list[Node] = []
        self.tensors: list[Tensor] = []
        for x in self.originals:
            node = _fresh(x)
            tensor = make(node, requires_grad=True)
            register_leaf(node, tensor)
            self.nodes.append(node)
            self.tensors.append(tensor)

    def replace(self, nodes: Sequence[Node]) -> list[Node]:
        """``nodes`` of the arguments in place of the tracers."""
        return substitute(nodes, dict(zip(self.nodes, self.given, strict=True)))

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """The function is being run on these tracers; what it leaves behind has the arguments."""
        before, active.changed = active.changed, []
        try:
            with transforming(self.replace):
                yield
            for value in active.changed:
                value._without_tracers(self.replace)
            if before is not None:
                before += active.changed
        finally:
            active.changed = before

    def require_unchanged(self, name: str) -> None:
        """An argument changed in place has lost what the derivative is by."""
        for tensor, node in zip(self.tensors, self.nodes, strict=True):
            if tensor.node is not node:
                raise GradientError(
                    f"{name}: the function changes its argument in place, and the derivative would "
                    "be by the new value; change a copy: y = x.clone()"
                )

    def finish(self, nodes: Sequence[Node], now: bool = True) -> list[Tensor]:
        """Tensors of ``nodes`` with the tracers replaced; computed at once if without gradient."""
        nodes = self.replace(nodes)
        if active.capture is not None:
            active.capture.settle(dict(zip(self.nodes, self.given, strict=True)))
        results = [make(n, requires_grad=active.grad_enabled and depends_on_leaf(n)) for n in nodes]
        plain = [t for t in results if not t.requires_grad]
        if now and plain and active.capture is None and rt.has_value([t.node for t in plain]):
            rt.realize([t.node for t in plain])
            for t in plain:
                t._read()
        return results


def _differentiable(name: str, x: Any) -> Tensor:
    if not isinstance(x, Value | np.ndarray | float | np.floating):
        raise GradientError(
            f"{name} differentiates by float tensors, got {type(x).__name__}; for the parameters "
            "of a module"
            " use loss.backward(), or choose arguments with argnums="
        )
    tensor = as_tensor(x)
    if not dt.is_float(tensor.dtype):
        raise GradientError(
            f"{name} differentiates by float tensors, got {tensor.dtype}; convert it with .float()"
        )
    return tensor


def _fresh(x: Value) -> Node:
    """An input node like ``x``, with its value if it has one."""
    node = x.node
    if active.capture is None and rt.has_value([node]):
        array = x._read()
        if array.flags.writeable:  # a program may change it in place while the tracer lives
            array = array.copy()
            array.setflags(write=False)
        return rt.leaf(array)
    return rt.placeholder(node.shape, node.dtype, rt.purpose_of([node]) or "cr.compile")


def _scalar_loss(name: str, out: Any) -> Tensor:
    if not isinstance(out, Value):
        raise GradientError(
            f"{name}: the function must return a scalar tensor, it returned {type(out).__name__}"
        )
    if out.shape != ():
        raise GradientError(
            f"{name}: the function must return a scalar, it returned shape {out.shape};"
            " reduce it with .sum() or .mean(), or use cr.jacobian"
        )
    if not dt.is_float(out.dtype):
        raise GradientError(
            f"{name}: the function returned {out.dtype}, only floats have gradients"
        )
    return out  # type: ignore[return-value]


def _select(name: str, args: Sequence[Any], argnums: Argnums) -> list[int]:
    listed = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in listed:
        if not -len(args) <= i < len(args):
            raise OptionError(
                f"{name}: argnums={argnums}, but the function was called with {len(args)} arguments"
            )
    return [i % len(args) for i in listed]


def _with(args: Sequence[Any], chosen: Sequence[int], new: Sequence[Any]) -> list[Any]:
    result = list(args)
    for i, x in zip(chosen, new, strict=True):
        result[i] = x
    return result


def _or_zeros(grads: Sequence[Node | None], like: Sequence[Node]) -> list[Node]:
    return [g.zeros_like(x) if n is None else n for n, x in zip(grads, like, strict=True)]


# -- reverse mode ----------------------------------------------------------------------------------
def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns ``(f(*args), gradient)``; see `grad`.

    With ``has_aux``: ``((loss, aux), gradient)``.

    >>> import chainrule as cr
    >>> cr.value_and_grad(lambda x: (x * x).sum())(cr.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        chosen = _select("grad", args, argnums)
        leaves, structure = flatten([args[i] for i in chosen])
        tracers = Tracers("grad", leaves)
        with tracers.replacing():
            out = f(*_with(args, chosen, unflatten(structure, tracers.tensors)), **options)
            if has_aux and not (isinstance(out, tuple) and len(out) == 2):
                raise OptionError(
                    "grad with has_aux=True: the function must return a pair (loss, aux)"
                )
            tracers.require_unchanged("grad")
            loss = _scalar_loss("grad", out[0] if has_aux else out)
            aux, aux_structure = flatten(out[1] if has_aux else None)
            grads = reverse.gradients([loss.node], [g.ones_like(loss.node)], tracers.nodes)
            extra = [t for t in aux if isinstance(t, Value)]
            found = _or_zeros(grads, tracers.nodes)
            extra_nodes = [t.node for t in extra]
        value, *rest = tracers.finish([loss.node, *found, *extra_nodes])
        gradient = unflatten(structure, rest[: len(found)])
        result = gradient[0] if isinstance(argnums, int) else tuple(gradient)
        if not has_aux:
            return value, result
        replaced = iter(rest[len(found) :])
        new_aux = unflatten(
            aux_structure, [next(replaced) if isinstance(t, Value) else t for t in aux]
        )
        return (value, new_aux), result

    return wrapped


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The gradient of a scalar function: a function of its arguments that gives ∂f/∂args[argnums].

    ``argnums`` is one position or several (then a tuple of gradients). With ``has_aux`` the
    function returns ``(loss, aux)`` and the result is ``(gradient, aux)``. Again for higher orders.

    >>> import chainrule as cr
    >>> f = lambda x: x ** 3
    >>> cr.grad(f)(cr.tensor(2.0)), cr.grad(cr.grad(f))(cr.tensor(2.0))
    (tensor(12.), tensor(12.))
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        value, gradient = both(*args, **options)
        return (gradient, value[1]) if has_aux else gradient

    return wrapped


def _outputs(out: Any, name: str) -> tuple[list[Tensor], Any]:
    leaves, structure = flatten(out)
    for t in leaves:
        if not isinstance(t, Value):
            raise GradientError(
                f"{name}: the function must return tensors, it returned {type(t).__name__}"
            )
    return leaves, structure


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """``f(*primals)`` and the function v ↦ vᵀJ: the result's cotangents to the arguments'.

    >>> import chainrule as cr
    >>> y, pull = cr.vjp(cr.sin, cr.tensor(0.0))
    >>> pull(cr.tensor(2.0))
    (tensor(2.),)
    """
    leaves, structure = flatten(list(primals))
    tracers = Tracers("vjp", leaves)
    with tracers.replacing():
        outputs, out_structure = _outputs(f(*unflatten(structure, tracers.tensors)), "vjp")
        tracers.require_unchanged("vjp")
        nodes = [t.node for t in outputs]
    result = unflatten(out_structure, tracers.finish(nodes))

    def pull_back(cotangents: Any) -> tuple[Any, ...]:
        given = [as_tensor(c) for c in flatten(cotangents)[0]]
        if len(given) != len(nodes):
            raise OptionError(f"vjp: {len(given)} cotangents for {len(nodes)} outputs")
        cast = [g.cast(c.node, n.dtype) for c, n in zip(given, nodes, strict=True)]
        grads = reverse.gradients(nodes, cast, tracers.nodes)
        return tuple(unflatten(structure, tracers.finish(_or_zeros(grads, tracers.nodes))))

    return result, pull_back


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``f(*primals)`` and its derivative J·v along ``tangents`` (shaped like the primals).

    >>> import chainrule as cr
    >>> cr.jvp(cr.sin, [cr.tensor(0.0)], [cr.tensor(2.0)])
    (tensor(0.), tensor(2.))
    """
    leaves, structure = flatten(list(primals))
    tracers = Tracers("jvp", leaves)
    given = [as_tensor(t) for t in flatten(list(tangents))[0]]
    if [t.shape for t in given] != [t.shape for t in tracers.originals]:
        raise ShapeError(
            f"jvp: primals have shapes {[t.shape for t in tracers.originals]},"
            f" tangents {[t.shape for t in given]}"
        )
    with tracers.replacing():
        outputs, out_structure = _outputs(f(*unflatten(structure, tracers.tensors)), "jvp")
        tracers.require_unchanged("jvp")
        nodes = [t.node for t in outputs]
        cast = [g.cast(t.node, n.dtype) for t, n in zip(given, tracers.nodes, strict=True)]
        derivatives = _or_zeros(reverse.jvp(nodes, tracers.nodes, cast), nodes)
    found = tracers.finish([*nodes, *derivatives])
    k = len(nodes)
    return unflatten(out_structure, found[:k]), unflatten(out_structure, found[k:])


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """All derivatives of ``f``, which returns one tensor: (*out.shape, *arg.shape) for each.

    >>> import chainrule as cr
    >>> cr.jacobian(lambda x: x * x)(cr.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        chosen = _select("jacobian", args, argnums)
        leaves, structure = flatten([args[i] for i in chosen])
        tracers = Tracers("jacobian", leaves)
        with tracers.replacing():
            out = f(*_with(args, chosen, unflatten(structure, tracers.tensors)), **options)
            tracers.require_unchanged("jacobian")
            [result] = _outputs([out], "jacobian")[0]
            y = result.node
            row = g.input(y.shape, y.dtype)
            grads = _or_zeros(reverse.gradients([y], [row], tracers.nodes), tracers.nodes)
            unit = g.reshape(_identity(y.size, y.dtype), (y.size, *y.shape))
            rows = batching.vmap_nodes(grads, {row: unit})
        shaped = [
            g.reshape(n if mapped else g.expand(n, (y.size, *n.shape)), (*y.shape, *x.shape))
            for (n, mapped), x in zip(rows, tracers.nodes, strict=True)
        ]
        found = unflatten(structure, tracers.finish(shaped))
        return found[0] if isinstance(argnums, int) else tuple(found)

    return wrapped


def _identity(n: int, dtype: dt.DType) -> Node:
    return g.cast(g.eq(g.iota((n, n), 0, dt.int64), g.iota((n, n), 1, dt.int64)), dtype)


def hessian(f: Function, argnums: int = 0) -> Function:
    """The second derivatives of a scalar function: shape (*arg.shape, *arg.shape).

    >>> import chainrule as cr
    >>> cr.hessian(lambda x: (x ** 3).sum())(cr.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


def stop_gradient(x: Any) -> Any:
    """``x`` (a tensor, or a pytree of tensors), as a constant to every gradient.

    >>> import chainrule as cr
    >>> cr.grad(lambda x: x * cr.stop_gradient(x))(3.0)
    tensor(3.)
    """
    leaves, structure = flatten(x)
    return unflatten(structure, [make(g.stop_gradient(as_tensor(t).node)) for t in leaves])


# -- vmap ------------------------------------------------------------------------------------------
RANDOMNESS = ("same", "different", "error")


@contextmanager
def _drawing(randomness: str, mapped: dict[Node, Node], length: int) -> Iterator[None]:
    """What a draw inside a mapped function gives: see `vmap`."""
    before = active.steps, active.draws
    active.draws = randomness != "error"
    if randomness == "different":
        number = rt.placeholder((), dt.uint32, rt.MAPPED)
        mapped[number] = g.iota((length,), 0, dt.uint32)
        active.steps = (*active.steps, number)
    try:
        yield
    finally:
        active.steps, active.draws = before


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0, randomness: str = "same") -> Function:
    """``f`` for many examples at once: write it for one, call it with an axis of examples added.

    ``in_axes``: the axis of the examples in each argument (None: the same for all); ``out_axes``:
    where it goes in the results. ``randomness``: whether random numbers drawn inside are the
    "same" for all examples, "different" for each (a function of its number), or an "error".

    >>> import chainrule as cr
    >>> cr.vmap(lambda a, b: (a * b).sum())(cr.ones(3, 2), cr.ones(3, 2))
    tensor([2., 2., 2.])
    >>> noisy = cr.vmap(lambda x: x + cr.rand(), randomness="different")(cr.zeros(2))
    >>> bool(noisy[0] == noisy[1])
    False
    """
    if randomness not in RANDOMNESS:
        raise OptionError(f"vmap: randomness is one of {', '.join(RANDOMNESS)}, got {randomness!r}")

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        leaves, structure = flatten(list(args))
        if isinstance(in_axes, list | tuple) and len(in_axes) != len(args):
            raise OptionError(f"vmap: in_axes={in_axes} for {len(args)} arguments")
        axes = broadcast_prefix(
            list(in_axes) if isinstance(in_axes, tuple) else in_axes, list(args)
        )
        mapped: dict[Node, Node] = {}
        arguments: list[tuple[Tensor, Tensor, Node, int]] = []
        inner: list[Any] = []
        lengths: dict[int, Any] = {}
        for x, axis in zip(leaves, axes, strict=True):
            if axis is None or not isinstance(x, Value | np.ndarray):
                inner.append(x)
                continue
            tensor = as_tensor(x)
            if not -tensor.ndim <= axis < tensor.ndim:
                raise ShapeError(
                    f"vmap: in_axes names axis {axis} of a tensor of shape {tensor.shape}"
                )
            axis %= tensor.ndim
            lengths[tensor.shape[axis]] = tensor.shape
            front = tensor.moveaxis(axis, 0)
            node = rt.placeholder(front.shape[1:], front.dtype, rt.MAPPED)
            mapped[node] = front.node
            inner.append(make(node, front))
            if isinstance(x, Value):
                arguments.append((tensor, inner[-1], node, axis))
            if inner[-1].requires_grad:
                register_leaf(node, inner[-1])
        if len(lengths) != 1:
            shown = " and ".join(str(s) for s in lengths.values()) or "no tensor"
            raise ShapeError(
                f"vmap: mapped arguments must have one length along in_axes, got {shown}"
            )

        def batch_first(nodes: list[Node]) -> list[Node]:
            return [n for n, _ in batching.vmap_nodes(nodes, mapped)]

        with transforming(batch_first):
            with _drawing(randomness, mapped, next(iter(lengths))):
                out = f(*unflatten(structure, inner), **options)
            results, out_structure = flatten(out)
            changed = [(x, t.node, axis) for x, t, node, axis in arguments if t.node is not node]
            nodes = [as_tensor(t).node for t in results] + [node for _, node, _ in changed]
            batched = batching.vmap_nodes(nodes, mapped)
        rt.end(mapped)
        for (x, _, axis), (n, m) in zip(changed, batched[len(results) :], strict=True):
            new = _placed(n, m, axis, next(iter(lengths)))  # changed in place: so is the argument
            tracked = active.grad_enabled and depends_on_leaf(new)
            x._become(make(new, requires_grad=tracked), "the function given to vmap changes x")
        places = broadcast_prefix(out_axes, out)
        found = [
            _placed(n, m, place, next(iter(lengths)))
            for (n, m), place in zip(batched, places, strict=False)
        ]
        return unflatten(
            out_structure,
            [make(n, requires_grad=active.grad_enabled and depends_on_leaf(n)) for n in found],
        )

    return wrapped


def _placed(node: Node, mapped: bool, axis: Any, length: int) -> Node:
    if axis is None:
        if mapped:
            raise OptionError("vmap: out_axes is None for a result that differs between examples")
        return node
    node = node if mapped else g.expand(node, (length, *node.shape))
    if not -node.ndim <= axis < node.ndim:
        raise ShapeError(f"vmap: out_axes={axis} for a result of shape {node.shape[1:]}")
    order = list(range(1, node.ndim))
    order.insert(axis % node.ndim, 0)
    return g.permute(node, order)


# -- rules of one's own ----------------------------------------------------------------------------
@dataclass(frozen=True)
class _Rule:
    """The user's rule as `core.graph.custom_vjp` wants it; equal for equal static arguments."""

    owner: custom_vjp
    statics: tuple[tuple[int, Any], ...]
    count: int

    @property
    def __name__(self) -> str:
        return self.owner.__name__

    def __call__(self, cotangent: Node, out: Node, *nodes: Node) -> list[Node | None]:
        assert self.owner.forward is not None and self.owner.backward is not None
        fixed = dict(self.statics)
        tensors = iter([make(n, requires_grad=True) for n in nodes])
        args = [fixed[i] if i in fixed else next(tensors) for i in range(self.count)]
        _, residuals = self.owner.forward(*args)
        found = self.owner.backward(residuals, make(cotangent, requires_grad=True))
        cotangents = list(found) if isinstance(found, tuple | list) else [found]
        if len(cotangents) == self.count:
            cotangents = [c for i, c in enumerate(cotangents) if i not in fixed]
        result: list[Node | None] = []
        for i, c in enumerate(cotangents):
            node = None if c is None else as_tensor(c).node
            if node is not None and i < len(nodes) and node.shape == nodes[i].shape:
                node = g.cast(node, nodes[i].dtype)
            result.append(node)
        return result


class custom_vjp:
    """Decorator: a function of tensors, which returns one tensor, with a gradient rule of your own.

    ``defvjp(forward, backward)``: ``forward(*args)`` returns ``(result, residuals)``;
    ``backward(residuals, g)`` returns one cotangent (or None) per argument. Arguments that are not
    tensors must be hashable.

    >>> import chainrule as cr
    >>> @cr.custom_vjp
    ... def clipped(x):
    ...     return cr.clip(x, -1, 1)
    >>> clipped.defvjp(lambda x: (cr.clip(x, -1, 1), None), lambda _, g: (g,))
    >>> cr.grad(clipped)(cr.tensor(3.0))
    tensor(1.)
    """

    _watched_ = ("function", "forward", "backward")
    forward: Function | None = None
    backward: Function | None = None

    def __init__(self, f: Function) -> None:
        self.function = f
        functools.update_wrapper(self, f)

    __name__: str

    def defvjp(self, forward: Function, backward: Function) -> None:
        """Set the rule."""
        self.forward, self.backward = forward, backward

    def __call__(self, *args: Any) -> Tensor:
        """The function's value, with the rule as its gradient."""
        if self.forward is None:
            raise GradientError(
                f"custom_vjp: {self.__name__} has no rule yet; call {self.__name__}.defvjp first"
            )
        out = self.function(*args)
        if not isinstance(out, Value):
            raise GradientError(
                f"custom_vjp: {self.__name__} must return one tensor, got {type(out).__name__}"
            )
        tensors = [x for x in args if isinstance(x, Value)]
        statics = tuple((i, x) for i, x in enumerate(args) if not isinstance(x, Value))
        try:
            hash(statics)
        except TypeError:
            raise OptionError(
                f"custom_vjp: arguments of {self.__name__} must be tensors or hashable;"
                " pass arrays as tensors"
            ) from None
        nodes = [t.node if active.grad_enabled else g.stop_gradient(t.node) for t in tensors]
        return make(g.custom_vjp(out.node, nodes, _Rule(self, statics, len(args))), *tensors)


# -- checks ----------------------------------------------------------------------------------------
def check_grads(f: Function, args: Sequence[Any], order: int = 1, **options: Any) -> None:
    """Compare gradients of ``f(*args)`` with finite differences, in float64; see `autodiff.check`.

    Float arguments are converted to float64. Raises GradientError with the elements that differ.

    >>> import chainrule as cr
    >>> cr.check_grads(lambda x: cr.tanh(x).sum(), [cr.tensor([0.3, -1.2])], order=2)
    """
    leaves, structure = flatten(list(args))
    floats = [isinstance(x, Value | np.ndarray) and x.dtype.kind == "f" for x in leaves]
    wide = [
        as_tensor(x).double() if is_float else x for x, is_float in zip(leaves, floats, strict=True)
    ]
    tracers = Tracers(
        "check_grads", [x for x, is_float in zip(wide, floats, strict=True) if is_float]
    )
    tensors = iter(tracers.tensors)
    with tracers.replacing():
        out = f(
            *unflatten(
                structure,
                [
                    next(tensors) if is_float else x
                    for x, is_float in zip(wide, floats, strict=True)
                ],
            )
        )
        outputs = [t.node for t in _outputs(out, "check_grads")[0]]
    inputs = {n: rt.values[n] for n in reachable(outputs) if n.op == "input"}
    inputs |= {n: array_of(t) for n, t in zip(tracers.nodes, tracers.originals, strict=True)}
    check.check_gradients(outputs, inputs, tracers.nodes, order=order, **options)
