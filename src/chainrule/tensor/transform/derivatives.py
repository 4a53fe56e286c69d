"""Derivatives of functions: gradients, products with the Jacobian, all of it, and their check."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autodiff import batching, check, reverse
from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node, reachable
from ...errors import GradientError, OptionError, ShapeError
from ...runtime import realize as rt
from ..pytree import flatten, unflatten
from ..value import Tensor, Value, array_of, as_tensor, make
from .tracers import Argnums, Function, Tracers


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


class _Arguments:
    """The arguments of a call of which some, ``argnums``, are tracers."""

    def __init__(self, name: str, args: Sequence[Any], argnums: Argnums) -> None:
        listed = [argnums] if isinstance(argnums, int) else list(argnums)
        for i in listed:
            if not -len(args) <= i < len(args):
                raise OptionError(
                    f"{name}: argnums={argnums}, but the function was called with {len(args)} "
                    "arguments"
                )
        self.one = isinstance(argnums, int)
        leaves, self.structure = flatten([args[i] for i in listed])
        self.tracers = Tracers(name, leaves)
        self.traced = list(args)
        for i, x in zip(listed, unflatten(self.structure, self.tracers.tensors), strict=True):
            self.traced[i] = x

    def like(self, found: Sequence[Tensor]) -> Any:
        """One tensor for each tracer, in the structure of the arguments."""
        given = unflatten(self.structure, found)
        return given[0] if self.one else tuple(given)


def _or_zeros(grads: Sequence[Node | None], like: Sequence[Node]) -> list[Node]:
    return [g.zeros_like(x) if n is None else n for n, x in zip(grads, like, strict=True)]


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns ``(f(*args), gradient)``; see `grad`.

    With ``has_aux``: ``((loss, aux), gradient)``.

    >>> import chainrule as cr
    >>> cr.value_and_grad(lambda x: (x * x).sum())(cr.tensor([1.0, 3.0]))
    (tensor(10.), tensor([2., 6.]))
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        arguments = _Arguments("grad", args, argnums)
        tracers = arguments.tracers
        with tracers.replacing():
            out = f(*arguments.traced, **options)
            if has_aux and not (isinstance(out, tuple) and len(out) == 2):
                raise OptionError(
                    "grad with has_aux=True: the function must return a pair (loss, aux)"
                )
            tracers.require_unchanged("grad")
            loss = _scalar_loss("grad", out[0] if has_aux else out)
            aux, aux_structure = flatten(out[1] if has_aux else None)
            grads = reverse.gradients([loss.node], [g.ones_like(loss.node)], tracers.nodes)
            found = _or_zeros(grads, tracers.nodes)
            extra = [t.node for t in aux if isinstance(t, Value)]
        value, *rest = tracers.finish([loss.node, *found, *extra])
        gradient = arguments.like(rest[: len(found)])
        if not has_aux:
            return value, gradient
        replaced = iter(rest[len(found) :])
        new_aux = [next(replaced) if isinstance(t, Value) else t for t in aux]
        return (value, unflatten(aux_structure, new_aux)), gradient

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
        arguments = _Arguments("jacobian", args, argnums)
        tracers = arguments.tracers
        with tracers.replacing():
            out = f(*arguments.traced, **options)
            tracers.require_unchanged("jacobian")
            results = _outputs([out], "jacobian")[0]
            if len(results) != 1:
                raise GradientError(
                    f"jacobian: the function must return one tensor, it returned {len(results)}; "
                    "take the jacobian of each, or of cr.concat of them"
                )
            [result] = results
            y = result.node
            row = g.input(y.shape, y.dtype)
            grads = _or_zeros(reverse.gradients([y], [row], tracers.nodes), tracers.nodes)
            unit = g.reshape(_identity(y.size, y.dtype), (y.size, *y.shape))
            rows = batching.vmap_nodes(grads, {row: unit})
        shaped = [
            g.reshape(n if mapped else g.expand(n, (y.size, *n.shape)), (*y.shape, *x.shape))
            for (n, mapped), x in zip(rows, tracers.nodes, strict=True)
        ]
        return arguments.like(tracers.finish(shaped))

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
    pairs = list(zip(wide, floats, strict=True))
    tracers = Tracers("check_grads", [x for x, is_float in pairs if is_float])
    tensors = iter(tracers.tensors)
    traced = [next(tensors) if is_float else x for x, is_float in pairs]
    with tracers.replacing():
        out = f(*unflatten(structure, traced))
        outputs = [t.node for t in _outputs(out, "check_grads")[0]]
    inputs = {n: rt.values[n] for n in reachable(outputs) if n.op == "input"}
    inputs |= {n: array_of(t) for n, t in zip(tracers.nodes, tracers.originals, strict=True)}
    check.check_gradients(outputs, inputs, tracers.nodes, order=order, **options)
