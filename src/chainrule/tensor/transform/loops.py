"""Loops that are part of a graph: scan, and remat.

A Python loop in a compiled function becomes as many copies of its body as it has steps; `scan` is
one loop of the program, however many steps it has. Gradients, vmap and compiling go through it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from ...autodiff.recurrence import loop
from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import CompileError, OptionError, ShapeError
from ...runtime import realize as rt
from ..backward import depends_on_leaf
from ..capture import active
from ..pytree import LEAF, NOTHING, Structure, flatten, unflatten
from ..ranges import settle
from ..value import Tensor, Value, as_tensor, make, use
from .tracers import tracing


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    remat: bool = False,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` along the first axis of ``xs``; ``(last carry, stacked ys)``.

        carry = init
        for t in range(length):                       # from the last to the first if reverse
            carry, ys[t] = f(carry, xs[t])

    ``init``, ``xs`` and what ``f`` returns are pytrees of tensors (None: nothing). ``f`` is called
    once, on placeholders, so it must not ask for numbers or assign to tensors from outside; those
    it reads are the same at every step, and gradients flow to them. The carry keeps its structure,
    shapes and dtypes. Random numbers differ from step to step.

    ``remat`` keeps the carries of about √length steps only and computes the steps between them
    again for the gradient: √length times less memory for a third more work.

    Raises ShapeError where lengths or carries do not agree. A loop in back-propagation: Rumelhart,
    Hinton & Williams, "Learning internal representations by error propagation", 1986, recurrent
    nets. The names are those of JAX's ``lax.scan``.

    >>> import chainrule as cr
    >>> def step(total, x):
    ...     total = total + x
    ...     return total, total * total
    >>> cr.scan(step, cr.tensor(0.0), cr.tensor([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([ 1.,  9., 36.]))
    """
    first, structure = _tensors("init", init)
    rows, rows_structure = _tensors("xs", xs)
    steps = _length(rows, length)
    if remat and steps > 3:
        return _scan_of_scans(f, init, xs, steps, reverse)
    return _loop(f, structure, first, rows_structure, rows, steps, reverse, "needed")


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f``, but what its gradient needs is computed again from the arguments instead of stored.

    For the parts of a large net whose intermediate values fill the memory (PyTorch's
    ``checkpoint``, JAX's ``remat``). Values and gradients are the same, to rounding.

    >>> import chainrule as cr
    >>> cr.grad(cr.remat(lambda x: cr.sin(cr.sin(x)).sum()))(cr.zeros(2))
    tensor([1., 1.])
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **options: Any) -> Any:
        leaves, structure = flatten(list(args))
        at = [i for i, x in enumerate(leaves) if isinstance(x, Value)]

        def once(_: None, given: Sequence[Any]) -> tuple[None, Any]:
            inner = list(leaves)
            for i, x in zip(at, given, strict=True):
                inner[i] = x
            return None, f(*unflatten(structure, inner), **options)

        rows = [as_tensor(leaves[i]).unsqueeze(0) for i in at]
        found, shape = flatten(rows)
        _, out = _loop(once, NOTHING, [], shape, found, 1, False, "carry")
        results, out_structure = flatten(out)
        return unflatten(out_structure, [t[0] for t in results])

    return wrapped


def _tensors(name: str, tree: Any) -> tuple[list[Tensor], Structure]:
    leaves, structure = flatten(tree)
    for x in leaves:
        if isinstance(x, str) or callable(x):
            raise OptionError(f"scan: {name} must hold tensors, got {type(x).__name__}")
    return [as_tensor(x) for x in leaves], structure


def _length(rows: Sequence[Tensor], length: int | None) -> int:
    if any(x.ndim == 0 for x in rows):
        raise ShapeError(
            "scan: xs has a leaf without axes; the steps are its first axis (a Python list is a "
            "tree of leaves: give cr.tensor([...]))"
        )
    lengths = sorted({x.shape[0] for x in rows})
    if len(lengths) > 1:
        shown = " and ".join(str(x.shape) for x in rows)
        raise ShapeError(f"scan: xs must agree in their first axis, got {shown}")
    if length is None:
        if not lengths:
            raise OptionError("scan: give xs, or length= (the number of steps)")
        return lengths[0]
    if lengths and lengths[0] != length:
        raise ShapeError(f"scan: length={length}, but xs have {lengths[0]} steps")
    if length < 0:
        raise OptionError(f"scan: length={length} is negative")
    return length


def _loop(
    f: Callable[[Any, Any], tuple[Any, Any]],
    structure: Structure,
    first: Sequence[Tensor],
    rows_structure: Structure,
    rows: Sequence[Tensor],
    length: int,
    reverse: bool,
    save: str,
) -> tuple[Any, Any]:
    carries = [_placeholder(x, x.shape) for x in first]
    stacked = [_placeholder(x, x.shape[1:]) for x in rows]
    step = rt.placeholder((), dt.uint32, "cr.scan")
    with tracing() as checks, _in_step(step):
        out = f(unflatten(structure, carries), unflatten(rows_structure, stacked))
    if not (isinstance(out, tuple) and len(out) == 2):
        raise OptionError(
            f"scan: f must return (carry, y), it returned {type(out).__name__}; y may be None"
        )
    new, ys = out
    new_leaves, new_structure = flatten(new)
    updates = [as_tensor(x) for x in new_leaves]
    _check_carry(structure, first, new_structure, updates)
    results, results_structure = flatten(ys)
    results = [as_tensor(y) for y in results]
    inputs = [t.node for t in (*carries, *stacked)] + [step]
    _forbid_effects(inputs)
    extremes = [n for c in checks for n in (c.index, c.lowest, c.highest)]
    found = loop(
        [t.node for t in carries],
        [*(t.node for t in stacked), step],
        [use(t) for t in updates],
        [*(use(t) for t in results), *extremes],
        [use(t) for t in first],
        [*(use(t) for t in rows), g.iota((length,), 0, dt.uint32)],
        length=length,
        reverse=reverse,
        save=save,
    )
    rt.end(inputs)
    settle(checks, lambda _: found.stacked[len(results) :])
    last, ys = [
        [make(n, requires_grad=active.grad_enabled and depends_on_leaf(n)) for n in nodes]
        for nodes in (found.carries, found.stacked[: len(results)])
    ]
    return unflatten(structure, last), unflatten(results_structure, ys)


def _placeholder(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return make(rt.placeholder(shape, x.dtype, "cr.scan"), x)


class _in_step:
    """Random numbers drawn inside are functions of the step."""

    def __init__(self, step: Node) -> None:
        self.step = step

    def __enter__(self) -> None:
        active.steps = (*active.steps, self.step)

    def __exit__(self, *_: object) -> None:
        active.steps = active.steps[:-1]


def _check_carry(
    structure: Structure, first: Sequence[Tensor], new: Structure, updates: Sequence[Tensor]
) -> None:
    if new != structure:
        raise ShapeError(
            f"scan: the carry must keep its structure, it goes in as {_shown(structure, first)} "
            f"and comes out as {_shown(new, updates)}"
        )
    for a, b in zip(first, updates, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ShapeError(
                f"scan: the carry must keep its shapes and dtypes, it goes in as "
                f"{_shown(structure, first)} and comes out as {_shown(new, updates)}"
            )


def _shown(structure: Structure, leaves: Sequence[Tensor]) -> str:
    texts = iter([f"{t.dtype}{list(t.shape)}" for t in leaves])

    def text(s: Structure) -> str:
        if s == LEAF:
            return next(texts)
        if s.kind is type(None):
            return "None"
        parts = [text(c) for c in s.children]
        if s.keys:
            pairs = ", ".join(f"{k!r}: {p}" for k, p in zip(s.keys, parts, strict=True))
            return f"{{{pairs}}}"
        return f"[{', '.join(parts)}]" if s.kind is list else f"({', '.join(parts)})"

    return text(structure)


def _forbid_effects(inputs: Sequence[Node]) -> None:
    """An assignment to a tensor from outside cannot be part of a step."""
    tensor = active.capture.assigned_from(inputs) if active.capture is not None else None
    if tensor is not None:
        raise CompileError(
            f"scan: f assigns to a tensor of shape {tensor.shape} from outside the loop; "
            "make it part of the carry, and assign the last carry behind the loop"
        )


def _scan_of_scans(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any, length: int, reverse: bool
) -> tuple[Any, Any]:
    """Blocks of about √length steps: the gradient keeps the carry before each block only."""
    size = math.isqrt(length - 1) + 1
    count, rest = divmod(length, size)
    leaves, tree = flatten(xs)
    rows = [as_tensor(x) for x in leaves]

    def blocks(start: int, number: int, steps: int, carry: Any) -> tuple[Any, list[Tensor], Any]:
        """``number`` blocks of ``steps`` from ``start`` on."""
        parts = [
            x[start : start + number * steps].reshape(number, steps, *x.shape[1:]) for x in rows
        ]

        def block(carry: Any, part: Any) -> tuple[Any, Any]:
            return scan(f, carry, unflatten(tree, part), length=steps, reverse=reverse)

        carry_leaves, carry_tree = _tensors("init", carry)
        found, shape = flatten(parts)
        carry, ys = _loop(block, carry_tree, carry_leaves, shape, found, number, reverse, "carry")
        results, results_tree = flatten(ys)
        flat = [y.reshape(number * steps, *y.shape[2:]) for y in results]
        return carry, flat, results_tree

    pieces = [(0, count, size)] + ([(count * size, 1, rest)] if rest else [])
    carry, outputs = init, []
    for start, number, steps in reversed(pieces) if reverse else pieces:
        carry, ys, results_tree = blocks(start, number, steps, carry)
        outputs.append(ys)
    if reverse:
        outputs.reverse()
    joined = [_joined(list(parts)) for parts in zip(*outputs, strict=True)]
    return carry, unflatten(results_tree, joined)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else make(g.concat([use(p) for p in parts], 0), *parts)
